# Of four peers one is unchanged, one changes and one is removed; the fourth has no preshared key
# and keepalive in the file, which this `wg` leaves unchanged. A fifth is new.
ip link add wg0 type wireguard
key 1 >private
key 2 >shared
wg set wg0 private-key private listen-port 51820 \
	peer "$(key 11)" allowed-ips 10.0.1.0/24 \
	peer "$(key 12)" endpoint 192.0.2.2:51820 allowed-ips 10.0.2.0/24 \
	peer "$(key 13)" allowed-ips 10.0.3.0/24 \
	peer "$(key 14)" preshared-key shared persistent-keepalive 25 allowed-ips 10.0.4.0/24
cat >conf <<END
[Interface]
PrivateKey = $(key 1)
ListenPort = 51820

[Peer]
PublicKey = $(key 11)
AllowedIPs = 10.0.1.0/24

[Peer]
PublicKey = $(key 12)
Endpoint = 192.0.2.22:51820
AllowedIPs = 10.0.22.0/24

[Peer]
PublicKey = $(key 14)
AllowedIPs = 10.0.4.0/24

[Peer]
PublicKey = $(key 15)
AllowedIPs = 10.0.5.0/24
END
wg syncconf wg0 conf
wg show wg0 dump
