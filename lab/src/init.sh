#!/bin/busybox sh
# PID 1 of a lab machine: sets up the system as it is on a router when its services start, then runs
# the host's requests from the virtio port named `control`.
#
# Kernel arguments of the form NAME=value arrive as environment variables: LAB_NAME, LAB_LINE,
# LAB_ETH0 and up, LAB_DISK.

# When PID 1 ends, the kernel panics, QEMU stops (-no-reboot, panic=-1), and the host shows the end
# of the console: this line.
fail() {
	echo "lab: $*"
	exit 1
}

# Devices appear while this script runs; each wait has a limit.
await() {
	tries=0
	until "$@" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 500 ] || fail "waited for: $*"
		usleep 20000
	done
}

port_named() {
	for port in /sys/class/virtio-ports/*; do
		read -r name <"$port/name" || continue
		[ "$name" = "$1" ] && found=/dev/${port##*/} && [ -c "$found" ] && return
	done
	return 1
}

pci_tty() {
	set -- /sys/bus/pci/devices/*/tty/ttyS*
	found=/dev/${1##*/}
	[ -c "$found" ]
}

carrier() {
	read -r up <"/sys/class/net/$1/carrier" && [ "$up" = 1 ]
}

export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /root /etc /var /usr/bin /sbin
# Applets that are run by their bare name start through /proc/self/exe, so this must come first.
/bin/busybox mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev ||
	fail "the file systems of the kernel do not mount"
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
busybox --install -s /bin 2>/dev/null
hostname "$LAB_NAME"

while read -r module; do
	insmod "/lib/modules/$module.ko" || fail "the module $module does not load"
done </etc/lab/modules

# Cards appear in any order; the fourth byte of the address identifies each. Renamed in two steps,
# so that they can swap names.
card_is_here() {
	for card in /sys/class/net/*; do
		read -r mac <"$card/address" || continue
		case $mac in
		52:54:00:0$1:*) ip link set "${card##*/}" name "lab$1" && return ;;
		esac
	done
	return 1
}
for number in 0 1 2; do
	eval address=\$LAB_ETH$number
	[ -z "$address" ] || await card_is_here $number
done

# QEMU's network announces itself as an IPv6 router some seconds after the boot, and an address is
# tentative for a second or two. Such automatic changes would disturb tests.
for card in /proc/sys/net/ipv6/conf/*; do
	echo 0 >"$card/accept_ra"
	echo 0 >"$card/accept_dad"
	echo 0 >"$card/dad_transmits"
done
ip link set lo up
for number in 0 1 2; do
	eval address=\$LAB_ETH$number
	[ -n "$address" ] || continue
	card=eth$number
	ip link set "lab$number" name $card && ip address add "$address" dev $card &&
		ip link set $card up || fail "$card does not come up"
	# Until then it drops packets.
	await carrier $card
done
ip route add default via 10.0.2.2 || fail "no default route"

if [ -n "$LAB_DISK" ]; then
	await test -b /dev/vda
	mkdir -p "$LAB_DISK"
	mount -t ext4 /dev/vda "$LAB_DISK" || fail "the disk does not mount"
fi

case $LAB_LINE in
pci) await pci_tty ;;
virtio) await port_named line ;;
*) found=$LAB_LINE && await test -c "$found" ;;
esac
ln -s "$found" /dev/postwire-serial
# A raw line: otherwise the terminal would echo bytes.
[ "$LAB_LINE" = virtio ] || stty -F "$found" raw -echo 115200

await port_named control
exec 3<>"$found" || fail "the control port does not open"
unset LAB_NAME LAB_LINE LAB_ETH0 LAB_ETH1 LAB_ETH2 LAB_DISK name port found tries card mac number address module up
echo ready >&3

# A request is a line and two byte sequences: the script and its input. The reply is a line and two
# byte sequences: standard output and standard error. All of these are files, so a program left in
# the background holds nothing open that this loop waits for.
while read -r id limit script input <&3; do
	dir=/run/lab/$id
	mkdir -p "$dir"
	for file in script input; do
		eval size=\$$file
		: >"$dir/$file"
		# One block of exactly this size: dd never reads beyond it.
		[ "$size" -eq 0 ] || dd bs="$size" count=1 iflag=fullblock status=none <&3 >"$dir/$file"
	done
	read -r start rest </proc/uptime
	# Its own session, so that all of it can be killed. The session's leader is another shell, because
	# a terminal that a leader opens becomes its own and is hung up when the leader ends.
	timeout -s KILL "$limit" setsid sh -c 'echo $$ >"$0.pid"; sh "$0"; exit $?' "$dir/script" \
		<"$dir/input" >"$dir/out" 2>"$dir/err" 3<&-
	status=$?
	read -r end rest </proc/uptime
	if [ $status -eq 137 ] && [ $((${end%.*} - ${start%.*})) -ge "$limit" ]; then
		# The children of a killed script are still running, in the session of the script.
		read -r leader <"$dir/script.pid" && kill -KILL "-$leader" 2>/dev/null
		status=timeout
	fi
	set -- $(stat -c %s "$dir/out" "$dir/err")
	echo "$id $status $1 $2" >&3
	# A program in the background may have written more since; that is not part of the reply.
	head -c "$1" "$dir/out" >&3
	head -c "$2" "$dir/err" >&3
	rm -rf "$dir"
done
fail "the control port closed"
