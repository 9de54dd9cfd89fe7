# ENOENT: a kernel without WireGuard has no such family.
# The devices of earlier cases may still be disappearing.
until rmmod wireguard 2>/dev/null; do
	sleep 0.2
done
wg set wg0 listen-port 51820
wg show wg0 dump
insmod /lib/modules/wireguard.ko
