# A whole configuration over another one: settings that it does not contain are reset.
ip link add wg0 type wireguard
key 1 >private
wg set wg0 fwmark 7 peer "$(key 99)" allowed-ips 10.99.0.0/16
cat >conf <<END
[Interface]
PrivateKey = $(key 1)
ListenPort = 51820

[Peer]
PublicKey = $(key 11)
PresharedKey = $(key 2)
Endpoint = 192.0.2.1:51820
AllowedIPs = 10.0.1.0/24, fd00:1::/64
PersistentKeepalive = 25

[Peer]
PublicKey = $(key 12)
END
wg setconf wg0 conf
wg show wg0 dump
