# The prelude of the cases of `cargo xtask wg-diff`, run once for each side: `sh all.sh SIDE`. The
# cases follow it, each as `begin NUMBER; ( its script; finish ); end`.
#
# A case calls `wg`, or `run` with another command, such as `run sh -c 'wg genkey | wg pubkey'`:
# these commands are compared. `ref` is Debian's `wg` on both sides, for preparations. There is an
# interface wg0 with nothing set, and it stays down: an interface that goes up must have another
# name.
#
# Four files record the results, separated by control characters: 036 before and after the output of
# a program, 037 between words, 035 after a case.
umask 77
side=$1
results=/diff/results/$side
mkdir -p "$results" /diff/work
cd "$results"
exec >out 2>err 5>state 6>words
# The same words on both sides, even if a case changes PATH.
ln -sfn "/diff/$side" /diff/bin
PATH=/diff/bin:/bin:/sbin:/usr/bin:/usr/sbin
export WG_ENDPOINT_RESOLUTION_RETRIES=0
ip link set lo up

ref() {
	/usr/bin/wg "$@"
}

# The state of the kernel, printed by Debian's `wg`. It is not printed after a command that only
# reads; if such a command changes it after all, the change shows after the next command, or at the
# end of the case.
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

# If tunnel.sh has created one.
tunnel() {
	nsenter --net="/proc/$(cat /diff/tunnel)/ns/net" "$@"
}

# Removes everything that the case before may have left. Peers are removed first, because a stock
# kernel takes 12 ms for each peer of an interface that is deleted.
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

# A `wg` that hangs is killed, which counts as a difference. Processor time decides, so that a slow
# machine does not: 20 s of it (USER_HZ is 100), or none in 24 checks, for a `wg` that waits for an
# event that never comes.
watch() {
	last= still=0
	while sleep 5; do
		seen=
		for pid in $(pidof wg); do
			{ read -r stat <"/proc/$pid/stat"; } 2>/dev/null || continue
			# After the name in brackets: the state, ten other fields, utime and stime.
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
