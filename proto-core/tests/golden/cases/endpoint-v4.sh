# An IPv4 endpoint, and then another.
ip link add wg0 type wireguard
wg set wg0 peer "$(key 11)" endpoint 192.0.2.1:51820
wg show wg0 dump
wg set wg0 peer "$(key 11)" endpoint 203.0.113.254:4660
wg show wg0 dump
