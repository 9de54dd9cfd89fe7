# The effects of a file with `wg setconf`, `addconf` and `syncconf`.

== conf: missing and superfluous words
for command in setconf addconf syncconf; do
	wg $command
	wg $command wg0
	wg $command wg0 /dev/null more
	wg $command wg0 nosuch
	wg $command wg0 ''
	wg $command nosuch /dev/null
	wg $command lo /dev/null
	wg $command '' /dev/null
	wg $command all /dev/null
	wg $command --help
	wg $command -h
	wg $command help
done

== conf: an interface that is not there, and a file that is wrong
echo nonsense >conf
for command in setconf addconf syncconf; do
	wg $command nosuch conf
	wg $command wg0 conf
done

== conf: an empty file
ref set wg0 private-key /diff/p1 listen-port 5 fwmark 6 peer $k1 allowed-ips 10.0.0.0/8
: >conf
wg addconf wg0 conf
wg syncconf wg0 conf
ref set wg0 private-key /diff/p1 listen-port 5 fwmark 6 peer $k1 allowed-ips 10.0.0.0/8
wg setconf wg0 conf

== conf: an empty section of the interface
ref set wg0 private-key /diff/p1 listen-port 5 fwmark 6 peer $k1 allowed-ips 10.0.0.0/8
echo '[Interface]' >conf
wg addconf wg0 conf
wg syncconf wg0 conf
ref set wg0 private-key /diff/p1 listen-port 5 fwmark 6 peer $k1 allowed-ips 10.0.0.0/8
wg setconf wg0 conf

== conf: everything, three times each
cat >conf <<END
[Interface]
PrivateKey = $p1
ListenPort = 51820
FwMark = 0xca6c

[Peer]
PublicKey = $k1
PresharedKey = $s1
AllowedIPs = 10.0.1.0/24, fd00:1::/64
Endpoint = 192.0.2.1:51820
PersistentKeepalive = 25

[Peer]
PublicKey = $k2
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = [2001:db8::2]:51821

[Peer]
PublicKey = $k3
END
for command in setconf addconf syncconf; do
	wg $command wg0 conf
	wg $command wg0 conf
done
for command in syncconf addconf setconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
	wg showconf wg0
done

== conf: what a file leaves out
cat >full <<END
[Interface]
PrivateKey = $p1
ListenPort = 51820
FwMark = 7
[Peer]
PublicKey = $k1
PresharedKey = $s1
AllowedIPs = 10.0.1.0/24, fd00:1::/64
Endpoint = 192.0.2.1:51820
PersistentKeepalive = 25
[Peer]
PublicKey = $k2
PresharedKey = $s2
AllowedIPs = 10.0.2.0/24
PersistentKeepalive = 26
END
for left in PrivateKey ListenPort FwMark PresharedKey AllowedIPs Endpoint PersistentKeepalive; do
	grep -v "^$left" full >less
	for command in setconf addconf syncconf; do
		ref setconf wg0 full
		wg $command wg0 less
	done
done

== conf: syncconf, one thing changed at a time
cat >base <<END
[Interface]
PrivateKey = $p1
ListenPort = 51820
FwMark = 7
[Peer]
PublicKey = $k1
PresharedKey = $s1
AllowedIPs = 10.0.1.0/24, fd00:1::/64
Endpoint = 192.0.2.1:51820
PersistentKeepalive = 25
[Peer]
PublicKey = $k2
AllowedIPs = 10.0.2.0/24
END
change() {
	ref setconf wg0 base
	sed "$1" base >conf
	wg syncconf wg0 conf
}
change 's/51820$/51821/'
change 's/FwMark = 7/FwMark = 0x8/'
change "s|$p1|$p2|"
change "s|$s1|$s2|"
change 's/10.0.1.0/10.0.3.0/'
change 's/, fd00:1::.64//'
change 's/$/, 10.9.0.0\/16/;/AllowedIPs/!s/, 10.9.0.0\/16//'
change 's/192.0.2.1/192.0.2.2/'
change 's/= 25/= off/'
change "s|$k2|$k3|"
change "s|$k1|$k3|"
change '/^.Peer/,$d'
change '1,4d'
change 's/FwMark = 7/FwMark = off/'
change 's/ListenPort.*/ListenPort = 0/'

== conf: syncconf with an allowed IP that moves from peer to peer
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24, 10.0.3.0/24
[Peer]
PublicKey = $k2
AllowedIPs = 10.0.2.0/24
END
ref setconf wg0 conf
sed 's/, 10.0.3.0.24//; s/10.0.2.0.24/&, 10.0.3.0\/24/' conf >moved
wg syncconf wg0 moved
wg syncconf wg0 conf
cat >swapped <<END
[Peer]
PublicKey = $k2
AllowedIPs = 10.0.1.0/24, 10.0.3.0/24
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.2.0/24
END
wg syncconf wg0 swapped

== conf: syncconf with an allowed IP that two peers have
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24, 10.0.2.0/24
[Peer]
PublicKey = $k2
AllowedIPs = 10.0.2.0/24
END
wg syncconf wg0 conf
wg syncconf wg0 conf

== conf: syncconf with the peers in another order
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24
[Peer]
PublicKey = $k2
AllowedIPs = 10.0.2.0/24
[Peer]
PublicKey = $k3
AllowedIPs = 10.0.3.0/24
END
ref set wg0 peer $k3 allowed-ips 10.0.3.0/24 peer $k2 peer $k1
wg syncconf wg0 conf
wg syncconf wg0 conf

== conf: syncconf with the allowed IPs in another order
ref set wg0 peer $k1 allowed-ips 10.0.1.0/24,10.0.2.0/24,fd00:1::/64
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = fd00:1::/64, 10.0.2.0/24, 10.0.1.0/24
END
wg syncconf wg0 conf
wg show wg0
wg show wg0 allowed-ips
wg showconf wg0

== conf: syncconf from a first to a last peer
for n in 1 2 3 4 5; do
	cat >conf <<END
[Peer]
PublicKey = $(eval echo \$k$n)
AllowedIPs = 10.0.$n.0/24
[Peer]
PublicKey = $(eval echo \$k$((n + 1)))
AllowedIPs = 10.0.$((n + 1)).0/24
END
	wg syncconf wg0 conf
done

== conf: addconf adds allowed IPs
ref set wg0 peer $k1 allowed-ips 10.0.1.0/24 preshared-key /diff/s1 persistent-keepalive 5
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.2.0/24
[Peer]
PublicKey = $k2
AllowedIPs = 10.0.1.0/24
END
wg addconf wg0 conf
wg addconf wg0 conf

== conf: the same peer twice
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24
PersistentKeepalive = 5
[Peer]
PublicKey = $k2
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.2.0/24
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done
wg syncconf wg0 conf

== conf: the same peer twice, with different settings
cat >conf <<END
[Peer]
PublicKey = $k1
PresharedKey = $s1
Endpoint = 192.0.2.1:1
PersistentKeepalive = 5
[Peer]
PublicKey = $k1
PresharedKey = $s2
Endpoint = 192.0.2.2:2
PersistentKeepalive = off
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done
wg syncconf wg0 conf

== conf: the interface twice
cat >conf <<END
[Interface]
ListenPort = 5
[Peer]
PublicKey = $k1
[Interface]
FwMark = 6
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done

== conf: the same key twice in a section
cat >conf <<END
[Interface]
ListenPort = 5
ListenPort = 6
FwMark = 5
FwMark = off
[Peer]
PublicKey = $k1
Endpoint = 192.0.2.1:1
Endpoint = 192.0.2.2:2
PersistentKeepalive = 5
PersistentKeepalive = 6
PresharedKey = $s1
PresharedKey = $s2
AllowedIPs = 10.0.1.0/24
AllowedIPs = 10.0.2.0/24
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done

== conf: the public key twice in a section
printf '[Peer]\nPublicKey = %s\nPublicKey = %s\nAllowedIPs = 10.0.0.0/8\n' $k1 $k2 >conf
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done

== conf: the public key after the rest
cat >conf <<END
[Peer]
AllowedIPs = 10.0.1.0/24
Endpoint = 192.0.2.1:1
PersistentKeepalive = 5
PresharedKey = $s1
PublicKey = $k1
[Peer]
AllowedIPs = 10.0.2.0/24
PublicKey = $k2
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done

== conf: a peer without a public key
printf '[Peer]\nAllowedIPs = 10.0.0.0/8\n[Peer]\nPublicKey = %s\n' $k1 >first
printf '[Peer]\nPublicKey = %s\n[Peer]\nAllowedIPs = 10.0.0.0/8\n' $k1 >last
printf '[Peer]\n' >only
printf '[Peer]\n[Interface]\nListenPort = 5\n' >between
for command in setconf addconf syncconf; do
	for file in first last only between; do
		ref set wg0 peer $k9
		wg $command wg0 $file
	done
done

== conf: the peers before the interface
cat >conf <<END
[Peer]
PublicKey = $k1
AllowedIPs = 10.0.1.0/24
[Interface]
PrivateKey = $p1
ListenPort = 5
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done

== conf: a peer that is the interface itself
cat >conf <<END
[Interface]
PrivateKey = $p1
[Peer]
PublicKey = $(ref pubkey </diff/p1)
AllowedIPs = 10.0.1.0/24
[Peer]
PublicKey = $k1
END
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done
wg syncconf wg0 conf

== conf: an error at the end of a file changes nothing
ref set wg0 listen-port 9 peer $k9 allowed-ips 10.9.0.0/16
{
	printf '[Interface]\nListenPort = 5\n'
	n=0
	while [ $n -lt 200 ]; do
		printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.%d.0/24\n' "$(printf %032d $n | base64)" $n
		n=$((n + 1))
	done
	echo 'Nonsense = 5'
} >conf
for command in setconf addconf syncconf; do
	wg $command wg0 conf
	wg $command wg0 /dev/stdin <conf
done

== conf: from standard input, a pipe, a FIFO and a descriptor
printf '[Interface]\nListenPort = 5\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.0.0/8\n' $k1 >conf
mkfifo fifo
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 /dev/stdin <conf
	ref setconf wg0 /dev/null
	run sh -c "cat conf | wg $command wg0 /dev/stdin"
	ref setconf wg0 /dev/null
	cat conf >fifo &
	wg $command wg0 fifo
	wait
	ref setconf wg0 /dev/null
	wg $command wg0 /dev/fd/7 7<conf
	ref setconf wg0 /dev/null
	# A byte now and then.
	run sh -c "{ head -c 20 conf; sleep 0.2; tail -c +21 conf; } | wg $command wg0 /dev/stdin"
	wg $command wg0 /dev/stdin </dev/null
done

== conf: standard input that is closed
wg setconf wg0 /dev/stdin <&-
wg syncconf wg0 /dev/fd/9

== conf: what showconf says is taken back
ref set wg0 private-key /diff/p1 listen-port 51820 fwmark 0xca6c \
	peer $k1 preshared-key /diff/s1 endpoint 192.0.2.1:51820 persistent-keepalive 25 \
	allowed-ips 10.0.1.0/24,fd00:1::/64 \
	peer $k2 endpoint '[2001:db8::2]:1' allowed-ips 10.0.2.2/32,0.0.0.0/0,::/0 \
	peer $k3 endpoint '[fe80::1%lo]:4660'
run sh -c 'wg showconf wg0 >conf'
ref setconf wg0 /dev/null
wg setconf wg0 conf
wg syncconf wg0 conf
ref setconf wg0 /dev/null
run sh -c 'wg showconf wg0 | wg setconf wg0 /dev/stdin'

== conf: names of endpoints
grep -q here.example /etc/hosts || echo '192.0.2.77 here.example here' >>/etc/hosts
printf '[Peer]\nPublicKey = %s\nEndpoint = here.example:5\n' $k1 >conf
for command in setconf addconf syncconf; do
	ref setconf wg0 /dev/null
	wg $command wg0 conf
done

== conf: one endpoint that does not resolve
ref set wg0 peer $k9
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

== conf: wg-quick's keys
cat >conf <<END
[Interface]
PrivateKey = $p1
Address = 10.0.0.1/24
END
wg setconf wg0 conf
for line in 'DNS = 10.0.0.1' 'MTU = 1400' 'Table = off' 'PreUp = true' 'PostUp = true' 'PreDown = true' \
	'PostDown = true' 'SaveConfig = true'; do
	printf '[Interface]\n%s\n' "$line" >conf
	wg setconf wg0 conf
	wg syncconf wg0 conf
done
