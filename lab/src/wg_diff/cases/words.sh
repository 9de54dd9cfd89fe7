# The first word of the command line, help, and the commands for keys.

== words: help
wg help
wg --help
wg -h
wg help show
wg help nosuch

== words: unknown
wg nosuch
wg ''
wg -x
wg --nosuch
wg SHOW
wg Show
wg show-conf
wg wg0
wg sho
wg s
wg set-conf

== words: bytes that are no text
bytes=$(printf '\377\376x')
wg "$bytes"
wg show "$bytes"
wg show wg0 "$bytes"
wg set wg0 "$bytes" 5
wg set wg0 peer "$bytes"
wg set wg0 peer $k1 endpoint "$bytes:5"
wg set wg0 peer $k1 allowed-ips "$bytes"
wg setconf wg0 "$bytes"

== words: called by a path
run /diff/bin/wg show interfaces
ln -s "$(readlink -f /diff/bin/wg)" wg
run ./wg show interfaces

== keys: genkey and genpsk
run sh -c 'wg genkey | wc -lc'
run sh -c 'wg genpsk | wc -lc'
run sh -c 'wg genkey | base64 -d | wc -c'
run sh -c 'a=$(wg genkey); b=$(wg genkey); [ "$a" != "$b" ]'
# Clamped: the three lowest bits of the first byte are zero, and the two highest of the last are 01.
run sh -c 'for i in 1 2 3 4 5 6 7 8 9; do
	set -- $(wg genkey | base64 -d | od -An -v -tu1); shift 0; echo $(($1 & 7)) $((${32} & 192)); done'
wg genkey more
wg genpsk more
wg genkey --help
wg genkey -h
wg genpsk --help

== keys: pubkey
for n in 1 2 3 4; do
	wg pubkey </diff/p$n
	wg pubkey </diff/s$n
done
run sh -c 'wg pubkey more </diff/p1'
run sh -c 'wg pubkey --help </diff/p1'
run sh -c 'cat /diff/p1 | wg pubkey'
run sh -c 'k=$(wg genkey); [ "$(echo $k | wg pubkey)" = "$(echo $k | /usr/bin/wg pubkey)" ]'
run sh -c 'wg genkey | wg pubkey | wc -lc'

== keys: what pubkey reads
form() {
	printf "$1" >form
	wg pubkey <form
}
form "$p1"
form "$p1\n"
form "$p1\n\n"
form "$p1\r\n"
form "$p1 \t\n"
form " $p1\n"
form "\n$p1\n"
form "$p1\n$p2\n"
form "$p1 x\n"
form "$p1#\n"
form "${p1%?}\n"
form "${p1%=}"
form "$p1="
form "$p1$p1"
form "not a key\n"
form "\n"
form ""
form "$p1\0"
form "\0"
form "${p1%??}B=\n"
form "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
form "//////////////////////////////////////////8=\n"
form "${p1%???} ${p1#?????????????????????????????????????????}\n"
run sh -c '{ head -c 10 /diff/p1; sleep 0.2; tail -c +11 /diff/p1; } | wg pubkey'
run sh -c 'wg pubkey <&-'
run sh -c 'wg pubkey </'

== keys: a file that others may read
run sh -c 'umask 022; wg genkey >key'
run sh -c 'umask 077; wg genkey >key2'
run sh -c 'umask 022; wg genpsk >key3'
run sh -c 'umask 022; wg pubkey </diff/p1 >key4'
run sh -c 'umask 027; wg genkey >key5'
run sh -c 'umask 073; wg genkey >key6'
run sh -c 'wg genkey >/dev/null'
run sh -c 'umask 022; ref=$(wg genkey); [ ${#ref} = 44 ]'
run sh -c 'stat -c %a key*'

