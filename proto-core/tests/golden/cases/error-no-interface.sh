# ENODEV.
wg set wg0 listen-port 51820
wg show wg0 dump
