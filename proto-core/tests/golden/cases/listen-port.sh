# 65535 has two equal bytes; 0x1234 shows the byte order.
ip link add wg0 type wireguard
wg set wg0 listen-port 65535
wg show wg0 dump
wg set wg0 listen-port 4660
wg show wg0 dump
wg set wg0 listen-port 0
wg show wg0 dump
