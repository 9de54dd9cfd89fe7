# Both families, the default route of each, host bits that the kernel clears, a list that replaces
# another, and the empty list.
ip link add wg0 type wireguard
wg set wg0 peer "$(key 11)" allowed-ips 10.0.0.0/8
wg show wg0 dump
wg set wg0 peer "$(key 11)" allowed-ips 10.1.2.3/24,192.0.2.7,fd00::1234/64,fd00::7
wg show wg0 dump
wg set wg0 peer "$(key 11)" allowed-ips 0.0.0.0/0,::/0
wg show wg0 dump
wg set wg0 peer "$(key 11)" allowed-ips ''
wg show wg0 dump
