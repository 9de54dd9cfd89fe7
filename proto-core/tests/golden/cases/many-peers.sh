# More peers than fit a message, in both directions.
ip link add wg0 type wireguard
for n in $(seq 1 100); do
	echo "[Peer]"
	echo "PublicKey = $(key $n)"
	echo "AllowedIPs = 10.0.$n.0/24"
done >conf
wg setconf wg0 conf
wg show wg0 dump
