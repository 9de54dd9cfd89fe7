# The syntax of files. All commands have the same parser, so one command is enough for most cases.

== parse: white space
# Several forms of the same file.
file() {
	ref setconf wg0 /dev/null
	printf "$1" $k1 >conf
	wg setconf wg0 conf
}
file '[Interface]\nListenPort=5\n[Peer]\nPublicKey=%s\nAllowedIPs=10.0.0.0/8,fd00::/8\n'
file '[Interface]\nListenPort = 5\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.0.0/8 , fd00::/8\n'
file '\n\n [Interface] \n\tListenPort\t=\t5\t\n\n[ Peer ]\n  PublicKey  =  %s  \nAllowedIPs = 10.0.0.0/8,\tfd00::/8\n\n\n'
file '[Inter face]\nListen Port = 5\n[P e e r]\nPublic Key = %s\nAllowed IPs = 1 0.0.0.0/8, fd00 ::/ 8\n'
file '[Interface]\nListenPort = 5 6\n[Peer]\nPublicKey = %s\n'
file '[Interface]\r\nListenPort = 5\r\n[Peer]\r\nPublicKey = %s\r\nAllowedIPs = 10.0.0.0/8\r\n'
file '[Interface]\rListenPort = 5\r[Peer]\rPublicKey = %s\r'
file '[Interface]\fListenPort = 5\n'
file '[Interface]\n\vListenPort\v=\f5\v\n[Peer]\nPublicKey = %s\n'
file '[Interface]\nListenPort = 5\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.0.0/8'
file '[Interface]\nListenPort = 5'
file '[Interface]\n\n\nListenPort = 5\n\n \n\t\n'
file '[Interface]\n\302\240ListenPort = 5\n'
file '\357\273\277[Interface]\nListenPort = 5\n'

== parse: comments
file() {
	ref setconf wg0 /dev/null
	printf "$1" $k1 >conf
	wg setconf wg0 conf
}
file '# one\n[Interface] # two\n#three\nListenPort = 5 # four\nFwMark = 6# five\n   # six\n'
file '#\n##\n#=\n# [Peer]\n[Interface]\nListenPort = 5#6\n'
file '[Interface]\nListenPort #= 5\n'
file '[Interface]\nListenPort = #5\n'
file '[Interface#]\nListenPort = 5\n'
file '[Interface]\n; ListenPort = 5\n'
file '[Interface]\n// ListenPort = 5\n'
file '[Interface]\nListenPort = 5 ; a comment\n'
file '# only a comment'
file '#'
file '[Peer]\nPublicKey = %s # of a friend\nAllowedIPs = 10.0.0.0/8, # his\nEndpoint = 1.2.3.4:5#6\n'
file '[Peer]\nPublicKey = %s\nAllowedIPs = # none\n'

== parse: keys and sections in any case
file() {
	ref setconf wg0 /dev/null
	printf "$1" $k1 >conf
	wg setconf wg0 conf
}
file '[INTERFACE]\nLISTENPORT = 5\nFWMARK = 0XA\n[PEER]\nPUBLICKEY = %s\nALLOWEDIPS = FD00::/8\nPERSISTENTKEEPALIVE = 5\n'
file '[interface]\nlistenport = 5\nfwmark = off\n[peer]\npublickey = %s\nallowedips = fd00::/8\npersistentkeepalive = off\n'
file '[iNTERFACE]\nlISTENpORT = 5\n[pEER]\npUBLICkEY = %s\n'
file '[Interface]\nFwMark = OFF\n'
file '[Peer]\nPublicKey = %s\nPersistentKeepalive = OFF\n'

== parse: lines that are no lines
for line in nonsense 'Nonsense = 5' = '= 5' 'ListenPort' 'ListenPort =' 'ListenPort 5' 'ListenPort = = 5' \
	'ListenPort == 5' '[Interface' 'Interface]' '[]' '[Nonsense]' '[[Interface]]' '[Interface] ListenPort = 5' \
	'[Interface]]' 'ListenPort = "5"' 'ListenPort: 5' 'Listen-Port = 5' 'listen-port = 5' 'ListenPorts = 5' \
	'PublicKey = '$k1 'AllowedIPs = 10.0.0.0/8' 'ListenPort=5=6' 'List\0enPort = 5'; do
	ref set wg0 listen-port 9 fwmark 9
	printf "[Interface]\nFwMark = 1\n$line\n" >conf
	wg setconf wg0 conf
done

== parse: before the first section
for line in 'ListenPort = 5' nonsense 'PublicKey = '$k1 '[Peer' ''; do
	ref set wg0 listen-port 9 fwmark 9
	printf "$line\n[Interface]\nFwMark = 1\n" >conf
	wg setconf wg0 conf
done

== parse: keys of the other section
for line in "PrivateKey = $p1" 'ListenPort = 5' 'FwMark = 5' 'Nonsense = 5'; do
	printf '[Peer]\nPublicKey = %s\n%s\n' $k1 "$line" >conf
	wg setconf wg0 conf
done
for line in "PublicKey = $k1" "PresharedKey = $s1" 'AllowedIPs = 10.0.0.0/8' 'Endpoint = 1.2.3.4:5' 'PersistentKeepalive = 5'; do
	printf '[Interface]\n%s\n' "$line" >conf
	wg setconf wg0 conf
done

== parse: ListenPort
for value in 1 65535 0 -1 off '' 5x 0x10 010 1.5 domain; do
	ref set wg0 listen-port 9
	printf '[Interface]\nListenPort = %s\n' "$value" >conf
	wg setconf wg0 conf
	wg syncconf wg0 conf
done

== parse: FwMark
for value in 1 0x1 0XfF 0 0x0 off Off 4294967295 4294967296 0xffffffff 0x100000000 -1 '' 5x 0x 0xg +5 x5; do
	ref set wg0 fwmark 9
	printf '[Interface]\nFwMark = %s\n' "$value" >conf
	wg setconf wg0 conf
	wg addconf wg0 conf
done

== parse: PersistentKeepalive
for value in 1 65535 0 off Off 65536 -1 '' 5x 0x10 010 +5 99999999999 1.5 5s; do
	ref set wg0 peer $k1 persistent-keepalive 9
	printf '[Peer]\nPublicKey = %s\nPersistentKeepalive = %s\n' $k1 "$value" >conf
	wg setconf wg0 conf
	wg addconf wg0 conf
done

== parse: PrivateKey
for value in $p1 '' "${p1%?}" "$p1=" "${p1%??}B=" "${p1%?}A" "$p1$p1" "${p1%????}!!!=" off '(none)' /dev/null \
	AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; do
	ref set wg0 private-key /diff/p4
	printf '[Interface]\nPrivateKey = %s\n' "$value" >conf
	wg setconf wg0 conf
done

== parse: PublicKey
for value in $k1 '' "${k1%?}" "$k1=" "${k1%??}B=" "${k1%?}A" "$k1$k1" "${k1%????}!!!=" off \
	AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; do
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.0.0/8\n' "$value" >conf
	wg setconf wg0 conf
done

== parse: PresharedKey
for value in $s1 '' "${s1%?}" "$s1=" "${s1%??}B=" "$s1$s1" off AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; do
	ref set wg0 peer $k1 preshared-key /diff/s4
	printf '[Peer]\nPublicKey = %s\nPresharedKey = %s\n' $k1 "$value" >conf
	wg addconf wg0 conf
done

== parse: Endpoint
for value in 1.2.3.4:5 '[::1]:5' '[fe80::1%lo]:5' localhost:5 '' : :5 1.2.3.4 1.2.3.4: '[::1]' ::1:5 '[]:5' 1.2.3.4:0 \
	1.2.3.4:x '1.2.3.4 : 5' '[ ::1 ] : 5' 256.1.1.1:5 1.2.3:4 '(none)'; do
	ref set wg0 peer $k1 endpoint 9.9.9.9:9
	printf '[Peer]\nPublicKey = %s\nEndpoint = %s\n' $k1 "$value" >conf
	wg addconf wg0 conf
done

== parse: AllowedIPs
for value in 10.0.0.0/8 10.0.0.1 fd00::1 '10.0.0.0/8, fd00::/8' '' , '10.0.0.0/8,' ',10.0.0.0/8' \
	'10.0.0.0/8,,fd00::/8' '10.0.0.0/8 fd00::/8' 10.0.0.0/33 fd00::/129 10.0.0.0/ /8 10.0.0.0/x 10.0.0/8 \
	10.1.2.3/8 fd00::1/8 '(none)' off 10.0.0.0/8/8 +10.0.0.0/8 -10.0.0.0/8; do
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' $k1 "$value" >conf
	wg setconf wg0 conf
done

== parse: allowed IPs on several lines
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24
AllowedIPs = 10.0.2.0/24, 10.0.3.0/24
AllowedIPs =
AllowedIPs = fd00:1::/64
END
for command in setconf addconf syncconf; do
	wg $command wg0 conf
done

== parse: bytes that are no text
printf '[Interface]\nListenPort = 5\n\0FwMark = 6\n' >zero
printf '[Interface]\nListenPort = 5\0\nFwMark = 6\n' >inside
printf '\0' >only
printf '[Interface]\nListenPort = 5\n\377\376\n' >high
printf '[Interface]\nListenPort = 5 # \377\376\303\n' >comment
head -c 4096 /dev/zero >zeros
for file in zero inside only high comment zeros; do
	ref set wg0 listen-port 9 fwmark 9
	wg setconf wg0 $file
done

== parse: long lines
long=$(printf '%05000d' 0)
spaces=$(printf '%5000s' '')
printf '[Interface]\nListenPort = 5 # %s\n' "$long" >comment
printf '[Interface]%s\nListenPort = %s 5 %s\n' "$spaces" "$spaces" "$spaces" >spaces
printf '[Interface]\n%s = 5\n' "$long" >key
printf '[%s]\n' "$long" >section
printf '[Peer]\nPublicKey = %s%s\n' $k1 "$long" >long-key
printf '[Peer]\nPublicKey = %s\nEndpoint = x%s:5\n' $k1 "$long" >endpoint
printf '[Peer]\nPublicKey = %s\nAllowedIPs = %s\n' $k1 "$long" >ips
for file in comment spaces key section long-key endpoint ips; do
	ref set wg0 listen-port 9 fwmark 9
	wg setconf wg0 $file
done

== parse: ports as the C library takes them
printf '%s\n' '# services' 'domain 53/tcp' 'domain		53/udp nameserver dns # names' 'http 80/tcp' 'x-y 7/udp' \
	'dhcpv6-client 546/udp' >/etc/services
for port in domain nameserver dns x-y dhcpv6-client ' 5' '	6' +7 '  +8' 0009 http DOMAIN doma main names 0x10 5x -1 '5 ' \
	'' ' ' /udp domain/udp '#'; do
	ref set wg0 listen-port 9 peer $k1 endpoint 192.0.2.9:9
	wg set wg0 listen-port "$port"
	wg set wg0 peer $k1 endpoint "192.0.2.1:$port"
	wg set wg0 peer $k1 endpoint "[2001:db8::1]:$port"
	printf '[Interface]\nListenPort = %s\n[Peer]\nPublicKey = %s\nEndpoint = 192.0.2.2:%s\n' "$port" $k1 "$port" >conf
	wg setconf wg0 conf
	wg syncconf wg0 conf
done
rm /etc/services
wg set wg0 listen-port domain
wg set wg0 peer $k1 endpoint 192.0.2.1:domain
