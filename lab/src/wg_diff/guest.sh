# What the cases of `cargo xtask wg-diff` run behind, once for each side: `sh all.sh SIDE`. Behind
# it come the cases, each as `begin NUMBER; ( its script; finish ); end`.
#
# A case calls `wg`, or `run` with something else, such as `run sh -c 'wg genkey | wg pubkey'`: these
# are the commands that are compared. `ref` is Debian's `wg` on both sides, to prepare things with.
# There is an interface wg0 with nothing set, and it stays down: what is to be up gets another name.
#
# Four files take what happens, cut by control characters: 036 before and after what a program
# wrote, 037 between words, 035 after a case.
umask 77
side=$1
results=/diff/results/$side
mkdir -p "$results" /diff/work
cd "$results"
exec >out 2>err 5>state 6>words
# The same words on both sides, whatever a case does with the path.
ln -sfn "/diff/$side" /diff/bin
PATH=/diff/bin:/bin:/sbin:/usr/bin:/usr/sbin
export WG_ENDPOINT_RESOLUTION_RETRIES=0
ip link set lo up

ref() {
	/usr/bin/wg "$@"
}

# What the kernel has, by Debian's `wg`. A command that only reads is not followed by it; if it
# changes something all the same, that is seen after the next one, or at the end of the case.
look() {
	ref show all dump >&5
	stale=
}

run() {
	printf '%s\037' "$@" >&6
	printf '\036' >&6
	printf '\036'
	printf '\036' >&2
	"$@" 5>&- 6>&-
	status=$?
	printf '\036%d\036' $status
	printf '\036' >&2
	case "$1 $2 $3" in
	'command wg set' | 'command wg setconf' | 'command wg addconf' | 'command wg syncconf') look ;;
	'command wg '*) stale=yes && printf '?' >&5 ;;
	*) look ;;
	esac
	printf '\036' >&5
	return $status
}

wg() {
	run command wg "$@"
}

# Where tunnel.sh has made one.
tunnel() {
	nsenter --net="/proc/$(cat /diff/tunnel)/ns/net" "$@"
}

# Everything the case before may have left goes. The peers first: a stock kernel takes 12 ms for each
# peer of an interface that is deleted.
begin() {
	cd /diff/work
	set -- *
	[ "$1" = '*' ] || rm -rf ./*
	ready=
	while IFS=: read -r link counters; do
		case $link in
		*'|'* | *lo) ;;
		*wg0)
			ref setconf wg0 /dev/null
			ready=yes
			;;
		*)
			ref setconf "${link##* }" /dev/null
			ip link delete "${link##* }"
			;;
		esac
	done </proc/net/dev
	[ -n "$ready" ] || ip link add wg0 type wireguard
	stale=yes
}

finish() {
	[ -z "$stale" ] || look
}

end() {
	printf '\035'
	printf '\035' >&2
	printf '\035' >&5
	printf '\035' >&6
}

# A `wg` that hangs is killed, and differs by that. Processor time decides, so that a slow machine does not: 20 s of
# it (USER_HZ is 100), or none at all in 24 looks, which is a `wg` that waits for something that does not come.
watch() {
	last= still=0
	while sleep 5; do
		seen=
		for pid in $(pidof wg); do
			{ read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
			# Behind the name in brackets: the state, ten other fields, utime and stime.
			set -- ${stat##*) }
			used=$((${12} + ${13}))
			[ $used -lt 2000 ] || kill -9 "$pid"
			seen="$seen $pid:$used:$1"
		done
		case $seen in
		'' | *:R*) still=0 ;;
		"$last") still=$((still + 1)) ;;
		*) still=0 ;;
		esac
		[ $still -lt 24 ] || killall -9 wg
		last=$seen
	done
}
watch >/dev/null 2>&1 5>&- 6>&- &
watcher=$!
