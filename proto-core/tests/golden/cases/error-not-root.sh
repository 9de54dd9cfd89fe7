# EPERM, before the kernel checks anything else; any user can look up the family.
ip link add wg0 type wireguard
as_nobody
wg set wg0 listen-port 51820
wg show wg0 dump
