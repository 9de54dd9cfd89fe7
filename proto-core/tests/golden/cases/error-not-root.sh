# EPERM, before the kernel looks at anything else; the family can be looked up by anybody.
ip link add wg0 type wireguard
as_nobody
wg set wg0 listen-port 51820
wg show wg0 dump
