# On, at its maximum, and off.
ip link add wg0 type wireguard
wg set wg0 peer "$(key 11)" persistent-keepalive 25
wg show wg0 dump
wg set wg0 peer "$(key 11)" persistent-keepalive 65535
wg show wg0 dump
wg set wg0 peer "$(key 11)" persistent-keepalive off
wg show wg0 dump
