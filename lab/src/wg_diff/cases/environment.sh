# Colours, hidden keys, retries, and the calls that scripts make.

== environment: colours
ref set wg0 private-key /diff/p1 listen-port 51820 fwmark 0xca6c \
	peer $k1 preshared-key /diff/s1 endpoint 192.0.2.1:51820 persistent-keepalive 25 \
	allowed-ips 10.0.1.0/24,fd00:1::/64 peer $k2
for mode in always never auto nonsense ALWAYS ''; do
	export WG_COLOR_MODE=$mode
	wg show wg0
	wg show
	wg show wg0 dump
	wg showconf wg0
	wg show interfaces
	wg help
done
export WG_COLOR_MODE=always
wg show nosuch
wg set wg0 listen-port x
wg set wg0 peer $k1 allowed-ips 10.1.2.3/8
wg show wg0 --help

== environment: hidden keys
ref set wg0 private-key /diff/p1 peer $k1 preshared-key /diff/s1 peer $k2
for mode in always never nonsense NEVER ''; do
	export WG_HIDE_KEYS=$mode
	wg show wg0
	wg show
	wg show wg0 dump
	wg showconf wg0
	wg show wg0 private-key
done
export WG_HIDE_KEYS=never WG_COLOR_MODE=always
wg show wg0

== environment: retries
printf '[Peer]\nPublicKey = %s\nEndpoint = nowhere.invalid:5\n' $k1 >conf
for retries in 0 -1 nonsense ''; do
	export WG_ENDPOINT_RESOLUTION_RETRIES=$retries
	wg set wg0 peer $k1 endpoint 1.2.3.4:5
	wg set wg0 peer $k1 endpoint 1.2.3.4:nonsense
done
export WG_ENDPOINT_RESOLUTION_RETRIES=1
wg setconf wg0 conf

== environment: other languages
export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 POSIXLY_CORRECT=1 COLUMNS=10
ref set wg0 private-key /diff/p1 listen-port 51820 peer $k1 allowed-ips 10.0.0.0/8,fd00::/8
wg show wg0
wg showconf wg0
unset PATH HOME
wg show wg0 dump

== scripts: what LuCI calls
ref set wg0 private-key /diff/p1 listen-port 51820 peer $k1 preshared-key /diff/s1 \
	endpoint 192.0.2.1:51820 persistent-keepalive 25 allowed-ips 10.0.1.0/24,fd00:1::/64 peer $k2
wg show all dump
run sh -c 'wg show all dump | while IFS="	" read -r a b c d e f g h i; do echo "$a|$b|$c|$d|$e|$f|$g|$h|$i"; done'
run sh -c 'wg genkey 2>/dev/null | wc -c; wg genpsk 2>/dev/null | wc -c'
run sh -c 'echo '$p1' | wg pubkey 2>/dev/null'
run sh -c 'wg show wg0 >/dev/null 2>&1 && echo there; wg show nosuch >/dev/null 2>&1 || echo not there'

== scripts: what netifd calls
cat >wg0 <<END
[Interface]
PrivateKey=$p1
ListenPort=51820
FwMark=0x52

[Peer]
PublicKey=$k1
PresharedKey=$s1
AllowedIPs=10.0.1.0/24
AllowedIPs=fd00:1::/64
Endpoint=192.0.2.1:51820
PersistentKeepalive=25
END
chmod 600 wg0
wg setconf wg0 wg0
wg syncconf wg0 /dev/stdin <wg0
run sh -c 'sed "s/25$/26/" wg0 | wg syncconf wg0 /dev/stdin'
run sh -c 'grep -v Preshared wg0 | wg syncconf wg0 /dev/stdin'
run sh -c 'wg showconf wg0 | grep -v ^PrivateKey'
run sh -c 'wg show wg0 endpoints; wg show wg0 latest-handshakes; wg show wg0 peers | wc -l'
run sh -c 'wg set wg0 peer '$k1' endpoint 192.0.2.2:51820 && wg show wg0 endpoints'

== scripts: keys made as people make them
run sh -c 'umask 077; wg genkey | tee private | wg pubkey >public; [ "$(/usr/bin/wg pubkey <private)" = "$(cat public)" ]'
run sh -c 'wg set wg0 private-key private && [ "$(wg show wg0 public-key)" = "$(cat public)" ]; s=$?; wg set wg0 private-key /dev/null; exit $s'

== scripts: a reader that goes away
ref set wg0 peer $k1 peer $k2 peer $k3
run sh -c 'wg show wg0 | head -n 1'
run sh -c 'wg show wg0 dump | true'

== environment: colours on a terminal
ref set wg0 private-key /diff/p1 listen-port 51820 peer $k1 endpoint 192.0.2.1:51820
# telnetd gives the program a terminal and records its output; it ends with the program, or at the
# end of its input.
on_terminal() {
	printf '#!/bin/sh\n%s\n' "$1" >on-terminal
	chmod 700 on-terminal
	run telnetd -i -l ./on-terminal <>hold
}
mkfifo hold
on_terminal 'wg show wg0'
on_terminal 'wg show wg0 dump'
on_terminal 'WG_COLOR_MODE=never wg show wg0'
on_terminal 'WG_COLOR_MODE=auto wg show wg0'
on_terminal 'wg show wg0 | cat'
on_terminal 'wg genkey | wc -c'
