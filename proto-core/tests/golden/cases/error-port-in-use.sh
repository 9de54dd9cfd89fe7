# EADDRINUSE: only a device that is up opens its port.
ip link set lo up
for n in 0 1; do
	ip link add wg$n type wireguard
	ip link set wg$n up
done
wg set wg0 listen-port 51820
wg set wg1 listen-port 51820
