# An allowed IP belongs to one peer: assigned to another peer, it moves.
ip link add wg0 type wireguard
wg set wg0 peer "$(key 11)" allowed-ips 10.0.0.0/8,10.1.0.0/16
wg set wg0 peer "$(key 12)" allowed-ips 10.1.0.0/16
wg show wg0 dump
