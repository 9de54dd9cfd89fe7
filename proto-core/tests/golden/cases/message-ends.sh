# A message with a given number of bytes left, and then a peer with two allowed IPs. That peer takes
# 40 bytes for its key, 8 for its flags, 4 for the list and 28 for each entry: it is split before,
# within and after each of these.
ip link add wg0 type wireguard
for room in 0 4 40 48 52 76 80 108; do
	# Headers, name and the first peer take 84 of the 4096 bytes, an IPv4 entry 28, an IPv6 one 40.
	v6=0
	until [ $(((4012 - room - 40 * v6) % 28)) -eq 0 ]; do
		v6=$((v6 + 1))
	done
	v4=$(((4012 - room - 40 * v6) / 28))
	{
		echo "[Peer]"
		echo "PublicKey = $(key 11)"
		for n in $(seq 1 $v4); do
			echo "AllowedIPs = 10.0.$n.0/24"
		done
		for n in $(seq 1 $v6); do
			echo "AllowedIPs = fd00:$n::/32"
		done
		echo "[Peer]"
		echo "PublicKey = $(key 12)"
		echo "AllowedIPs = 10.1.0.0/24"
		echo "AllowedIPs = 10.2.0.0/24"
	} >room-for-$room
	wg addconf wg0 room-for-$room
done
