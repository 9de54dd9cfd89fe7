# The output of `wg show` for a tunnel with traffic (tunnel.sh). `at TIME` is `wg show` at that
# time.

== tunnel: fields
for field in latest-handshakes transfer dump; do
	run tunnel wg show tun0 $field
	run tunnel wg show all $field
done

== tunnel: the time of the latest handshake
at() {
	# Again, if the second ended before the command ran.
	until date -s "@$1" >/dev/null && tunnel wg show tun0 >shown && [ "$(date +%s)" = "$1" ]; do
		:
	done
	cat shown
}
now=$(date +%s)
latest=$(tunnel /usr/bin/wg show tun0 latest-handshakes | sort -k 2n | tail -n 1 | cut -f 2)
for age in -100 -2 -1 0 1 2 59 60 61 62 119 120 121 3599 3600 3601 3660 3661 7322 86399 86400 86401 \
	90061 172800 31535999 31536000 31536001 31626061 63072000 315360000; do
	run at $((latest + age))
done
export WG_COLOR_MODE=always
run at $((latest + 90061))
run at $((latest - 1))
date -s "@$now" >/dev/null

== tunnel: the order of peers
now=$(date +%s)
run tunnel wg showconf tun0
run tunnel wg showconf tun1
run tunnel wg show tun0 peers
date -s "@$((now + 1000000))" >/dev/null
run sh -c 'nsenter --net=/proc/$0/ns/net wg show | grep -E "interface|peer|transfer|endpoint"' $(cat /diff/tunnel)
date -s "@$now" >/dev/null
