# ENOENT: a kernel without WireGuard knows no such family.
# The devices of the cases before may still be going away.
until rmmod wireguard 2>/dev/null; do
	sleep 0.2
done
wg set wg0 listen-port 51820
wg show wg0 dump
insmod /lib/modules/wireguard.ko
