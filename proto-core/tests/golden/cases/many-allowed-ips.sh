# One peer with more allowed IPs than fit a message: it continues in the next one.
ip link add wg0 type wireguard
ips=
for n in $(seq 0 249); do
	ips="$ips,10.0.$n.0/24,fd00:$n::/32"
done
key 2 >shared
wg set wg0 listen-port 51820 peer "$(key 11)" preshared-key shared endpoint 192.0.2.1:51820 \
	allowed-ips "${ips#,}"
wg show wg0 dump
