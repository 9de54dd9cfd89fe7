# The deliberate differences (known.rs), each in a case of its own. `run true` shows that both sides
# have the same state again.

== kept: endpoints of all interfaces
wg show all endpoints
ref set wg0 peer $k1 endpoint 192.0.2.1:51820 peer $k2
wg show all endpoints

== kept: the version
wg --version
wg -v
wg version

== kept: output that cannot be written
run sh -c 'wg show wg0 >/dev/full'
run sh -c 'wg show interfaces >/dev/full'
run sh -c 'wg showconf wg0 >/dev/full'
run sh -c 'wg genkey >/dev/full'
run sh -c 'wg genpsk >/dev/full'
run sh -c 'wg pubkey </diff/p1 >/dev/full'
run sh -c 'wg genkey >&-'
run sh -c 'wg show wg0 >&-'

== kept: ports
again() {
	ref set wg0 listen-port 4 peer $k1 endpoint 192.0.2.9:9
	run true
}
for port in 65536 70000 ' 65536' +65536 99999999999; do
	again
	wg set wg0 listen-port "$port"
	again
	wg set wg0 peer $k1 endpoint "192.0.2.1:$port"
	printf '[Interface]\nListenPort = %s\n' "$port" >conf
	again
	wg addconf wg0 conf
	printf '[Peer]\nPublicKey = %s\nEndpoint = 192.0.2.1:%s\n' $k1 "$port" >conf
	again
	wg addconf wg0 conf
done

== kept: a folder as a file
for command in addconf syncconf setconf; do
	ref set wg0 listen-port 5 peer $k1
	run true
	wg $command wg0 .
done

== kept: long words
long=$(printf '%05000d' 0)
printf '[Interface]\nListenPort = %s5\n' "$long" >number
printf '[Interface]\nFwMark = 0x%s5\n' "$long" >mark
printf '[Peer]\nPublicKey = %s\nPersistentKeepalive = %s5\n' $k1 "$long" >keepalive
printf '[Peer]\nPublicKey = %s\nEndpoint = %s:5\n' $k1 "$long" >endpoint
for file in number mark keepalive endpoint; do
	ref setconf wg0 /dev/null
	run true
	wg setconf wg0 $file
done

== kept: lists with plus and minus
ref set wg0 peer $k1 allowed-ips 10.0.0.0/8,10.2.0.0/16
wg set wg0 peer $k1 allowed-ips +10.1.0.0/16
ref set wg0 peer $k1 allowed-ips 10.0.0.0/8,10.2.0.0/16
run true
wg set wg0 peer $k1 allowed-ips -10.2.0.0/16

== kept: long names of interfaces
ip link add wg-15-long-name type wireguard
run true
wg set wg-15-long-name2 listen-port 5
echo '[Interface]' >conf
for command in setconf addconf; do
	ref set wg-15-long-name listen-port 6
	run true
	wg $command wg-15-long-name2 conf
done

== kept: endpoints that do not resolve may be left out
export WG_ENDPOINT_RESOLUTION_SKIP=1
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24
[Peer]
PublicKey = $k2
Endpoint = nowhere.invalid:5
AllowedIPs = 10.0.2.0/24
[Peer]
PublicKey = $k3
AllowedIPs = 10.0.3.0/24
END
wg setconf wg0 conf
