# What a case of `cargo xtask golden` runs behind: in a network namespace and a folder of its own.
# Every `wg` of the case is traced, and shown as lines that begin with what they are:
#   $ the command   ! the trace   | what it printed   = its status
# `command wg` is for what is not to be captured.
set -eu
dir=$(mktemp -d)
cd "$dir"
runner=strace

# A key that is the same every time: the number in 32 digits.
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

# From here on `wg` is not run by root.
as_nobody() {
	chmod 777 .
	rm -f trace
	grep -q ^nobody: /etc/passwd || echo nobody:x:65534:65534::/:/bin/false >>/etc/passwd
	runner='start-stop-daemon -S -c nobody -x /usr/bin/strace --'
}
