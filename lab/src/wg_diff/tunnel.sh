# A tunnel with past traffic, for cases about handshakes and counters: three interfaces in a network
# namespace that both sides read. Everything is down afterwards, so that the counters do not change
# any more.
set -e
umask 77
mkdir -p /diff
cat >/diff/make-tunnel <<'END'
set -e
ip link set lo up
mkdir -p /tmp/tunnel
cd /tmp/tunnel
for n in 0 1 2; do
	ip link add tun$n type wireguard
	wg genkey >private$n
	wg set tun$n private-key private$n listen-port $((50000 + n))
	ip address add 10.66.$n.1/24 dev tun$n
done
key() {
	wg pubkey <private$1
}
wg set tun0 peer "$(key 1)" allowed-ips 10.77.1.0/24 endpoint 127.0.0.1:50001 \
	peer "$(wg genkey | wg pubkey)" allowed-ips 10.77.3.0/24 endpoint 127.0.0.1:50003 \
	persistent-keepalive 600 \
	peer "$(key 2)" allowed-ips 10.77.2.0/24 endpoint 127.0.0.1:50002
for n in 1 2; do
	wg set tun$n peer "$(key 0)" allowed-ips 10.88.0.0/24
	ip link set tun$n up
done
ip address add 10.88.0.1/32 dev tun0
ip link set tun0 up
ip route add 10.77.0.0/16 dev tun0 src 10.88.0.1
# There are no replies; only the traffic through the tunnel matters. The second peer's handshake is
# more than a second later than the first's, and it gets more than a MiB. Packets wait for a handshake
# in a short queue, and an overflow ends a ping: so many are sent only after the handshake.
handshakes() {
	wg show tun0 latest-handshakes | awk '$2 > 0' | wc -l
}
for n in 1 2; do
	until [ "$(handshakes)" = $n ]; do
		ping -c 1 -W 1 10.77.$n.1 >/dev/null 2>&1 || true
	done
	[ $n = 2 ] || sleep 1
done
until [ "$(wg show tun0 transfer | awk '$3 > 1048576' | wc -l)" = 1 ]; do
	ping -s 60000 -c 5 -i 0.05 -W 1 10.77.2.1 >/dev/null 2>&1 || true
done
for n in 0 1 2; do
	ip link set tun$n down
done
[ "$(handshakes)" = 2 ]
END
setsid unshare -n sleep 100000 >/dev/null 2>&1 </dev/null &
echo $! >/diff/tunnel
# `unshare` becomes `sleep` once the namespace is there.
until grep -q sleep "/proc/$!/comm"; do
	sleep 0.1
done
nsenter --net="/proc/$!/ns/net" sh /diff/make-tunnel
