# A device with nothing set.
ip link add wg0 type wireguard
wg show wg0 dump
