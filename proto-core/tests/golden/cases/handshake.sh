# Two devices with a handshake and traffic: times and counters in the dump.
ip link set lo up
for n in 0 1; do
	ip link add wg$n type wireguard
	key $((n + 1)) >private$n
	command wg set wg$n private-key private$n listen-port $((51820 + n))
done
command wg set wg0 peer "$(key 2 | command wg pubkey)" endpoint 127.0.0.1:51821 \
	persistent-keepalive 5 allowed-ips 10.0.0.2/32
command wg set wg1 peer "$(key 1 | command wg pubkey)" allowed-ips 10.0.0.1/32
ip link set wg1 up
ip link set wg0 up
until [ "$(command wg show wg1 latest-handshakes | cut -f 2)" -gt 0 ] &&
	[ "$(command wg show wg1 transfer | cut -f 2)" -gt 148 ]; do
	sleep 0.2
done
wg show wg0 dump
wg show wg1 dump
