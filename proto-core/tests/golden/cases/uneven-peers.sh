# Peers of all sizes, so that messages end in many different places: before a peer, before its first
# allowed IP, and between two of them.
ip link add wg0 type wireguard
echo "[Interface]" >conf
echo "ListenPort = 51820" >>conf
for n in $(seq 1 45); do
	echo "[Peer]"
	echo "PublicKey = $(key $n)"
	[ $((n % 2)) -ne 0 ] || echo "PresharedKey = $(key $((n + 100)))"
	[ $((n % 3)) -ne 0 ] || echo "Endpoint = 192.0.2.$n:51820"
	[ $((n % 5)) -ne 0 ] || echo "Endpoint = [2001:db8::$n]:51820"
	[ $((n % 4)) -ne 0 ] || echo "PersistentKeepalive = $n"
	for ip in $(seq 1 $((n * 7 % 11))); do
		[ $((ip % 2)) -ne 0 ] || echo "AllowedIPs = 10.$n.$ip.0/24"
		[ $((ip % 2)) -eq 0 ] || echo "AllowedIPs = fd00:$n:$ip::/48"
	done
done >>conf
wg setconf wg0 conf
wg show wg0 dump
