# The prelude of the cases of `cargo xtask golden`, in a network namespace and a folder of its own.
# Every `wg` of the case is traced, and printed as lines with a prefix:
#   $ the command   ! the trace   | its output   = its exit status
# `command wg` is not captured.
set -eu
dir=$(mktemp -d)
cd "$dir"
runner=strace

# A fixed key: the number in 32 digits.
key() {
	printf %032d "$1" | base64
}

wg() {
	printf '$ wg'
	for word; do
		[ -n "$word" ] || word="''"
		printf ' %s' "$word"
	done
	echo
	status=0
	$runner -o trace -e trace=socket,close,sendto,recvmsg -e write=all -e read=all \
		wg "$@" >out 2>err || status=$?
	[ -s trace ] || cat err >&2
	sed 's/^/!/' trace
	sed 's/^/|/' out
	echo "=$status"
}

# From here on `wg` does not run as root.
as_nobody() {
	chmod 777 .
	rm -f trace
	grep -q ^nobody: /etc/passwd || echo nobody:x:65534:65534::/:/bin/false >>/etc/passwd
	runner='start-stop-daemon -S -c nobody -x /usr/bin/strace --'
}
