# A file that is added: settings that it does not contain stay.
ip link add wg0 type wireguard
wg set wg0 listen-port 51820 fwmark 7 peer "$(key 11)" persistent-keepalive 25 allowed-ips 10.0.1.0/24
cat >conf <<END
[Interface]
FwMark = 0x8

[Peer]
PublicKey = $(key 11)
AllowedIPs = 10.0.1.128/25

[Peer]
PublicKey = $(key 12)
AllowedIPs = 10.0.2.0/24
END
wg addconf wg0 conf
wg show wg0 dump
