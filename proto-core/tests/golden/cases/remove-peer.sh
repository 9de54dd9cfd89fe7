# Remove one of two peers; then a missing one, which is not an error.
ip link add wg0 type wireguard
wg set wg0 peer "$(key 11)" allowed-ips 10.0.1.0/24 peer "$(key 12)" allowed-ips 10.0.2.0/24
wg show wg0 dump
wg set wg0 peer "$(key 11)" remove
wg show wg0 dump
wg set wg0 peer "$(key 99)" remove
wg show wg0 dump
