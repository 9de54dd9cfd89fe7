# Every option of `wg set`, in one message.
ip link add wg0 type wireguard
key 1 >private
key 2 >shared
wg set wg0 listen-port 51820 fwmark 0xca6c private-key private \
	peer "$(key 11)" preshared-key shared endpoint 192.0.2.1:51820 \
	persistent-keepalive 25 allowed-ips 10.0.1.0/24,fd00:1::/64 \
	peer "$(key 12)" endpoint '[2001:db8::2]:51821' allowed-ips 10.0.2.0/24 \
	peer "$(key 13)" remove
wg show wg0 dump
