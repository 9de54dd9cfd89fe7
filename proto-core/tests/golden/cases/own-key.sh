# The kernel silently ignores a peer with the device's own key.
ip link add wg0 type wireguard
key 1 >private
wg set wg0 private-key private
wg set wg0 peer "$(key 1 | command wg pubkey)" allowed-ips 10.0.0.0/8 peer "$(key 12)"
wg show wg0 dump
