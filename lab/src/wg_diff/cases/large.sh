# Large configurations. `peers COUNT` writes that many peers.

== large: 1,000 peers
{
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' $p1
	awk -v count=1000 'BEGIN { for (n = 1; n <= count; n++) {
		printf "[Peer]\nPublicKey = %032dAAAAAAAAAAA=\nAllowedIPs = 10.%d.%d.0/24, fd00:%x::/64\n", n, n / 256, n % 256, n
		if (n % 3 == 0) printf "PersistentKeepalive = %d\n", n
		if (n % 5 == 0) printf "Endpoint = 192.0.2.%d:%d\n", n % 256, n
		if (n % 7 == 0) printf "PresharedKey = %032dAAAAAAAAAAA=\n", n + 5000
	} }'
} >conf
wg setconf wg0 conf
wg show wg0
wg show wg0 dump
wg show wg0 allowed-ips
wg showconf wg0
wg syncconf wg0 conf
sed 's/^AllowedIPs = 10.1.7.0.24/AllowedIPs = 10.200.0.0\/16/; s/Keepalive = 33$/Keepalive = 34/' conf >other
wg syncconf wg0 other
head -n 2000 conf >half
wg syncconf wg0 half
wg addconf wg0 conf
wg syncconf wg0 /dev/null

== large: 10,000 allowed IPs of one peer
{
	printf '[Peer]\nPublicKey = %s\n' $k1
	awk 'BEGIN { for (n = 0; n < 5000; n++) printf "AllowedIPs = 10.%d.%d.0/24, fd00:%x::/64\n", n / 256, n % 256, n }'
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 192.0.2.0/24\n' $k2
} >conf
wg setconf wg0 conf
wg show wg0 allowed-ips
wg syncconf wg0 conf
sed 's/10.3.4.0/10.200.4.0/' conf >other
wg syncconf wg0 other

== large: 5,000 allowed IPs on one line
{
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.200.0.0/16' $k1
	awk 'BEGIN { for (n = 0; n < 5000; n++) printf ", 10.%d.%d.0/24", n / 256, n % 256 }'
	echo
} >conf
wg setconf wg0 conf
wg showconf wg0
wg addconf wg0 conf

== large: 2,000 allowed IPs on a command line
ips=$(awk 'BEGIN { for (n = 0; n < 2000; n++) printf "%s10.%d.%d.0/24", n ? "," : "", n / 256, n % 256 }')
wg set wg0 peer $k1 allowed-ips "$ips"
wg set wg0 peer $k2 allowed-ips "$ips"

== large: peers of every size
awk 'BEGIN { for (n = 1; n <= 60; n++) {
	printf "[Peer]\nPublicKey = %032dAAAAAAAAAAA=\n", n
	for (i = 0; i < n * 3; i++) printf "AllowedIPs = 10.%d.%d.0/24\n", n, i
} }' >conf
for command in setconf addconf syncconf; do
	wg $command wg0 conf
done
wg show wg0 peers
