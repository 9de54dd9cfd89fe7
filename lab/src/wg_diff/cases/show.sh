# `wg show` in all its forms, and `wg showconf`.

== show: an interface with nothing set
wg
wg show
wg show wg0
wg show all
wg show interfaces
wg show wg0 dump
wg show all dump
wg showconf wg0

== show: every field of an interface with nothing set
for field in public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips \
	latest-handshakes transfer persistent-keepalive dump; do
	wg show wg0 $field
	[ $field = endpoints ] || wg show all $field
done

== show: every field of an interface with everything set
ref set wg0 private-key /diff/p1 listen-port 51820 fwmark 0xca6c \
	peer $k1 preshared-key /diff/s1 endpoint 192.0.2.1:51820 persistent-keepalive 25 \
	allowed-ips 10.0.1.0/24,fd00:1::/64 \
	peer $k2 endpoint '[2001:db8::2]:1' allowed-ips 10.0.2.2/32,0.0.0.0/0,::/0 \
	peer $k3 persistent-keepalive 65535 peer $k4
wg show wg0
wg show
wg showconf wg0
for field in public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips \
	latest-handshakes transfer persistent-keepalive dump; do
	wg show wg0 $field
	[ $field = endpoints ] || wg show all $field
done

== show: no interface
ip link delete wg0
wg
wg show
wg show all
wg show interfaces
wg show all dump
wg show all peers
wg show wg0
wg show wg0 dump
wg show wg0 peers
wg showconf wg0

== show: three interfaces, made in another order than that of their names
ip link add wgb type wireguard
ip link add wga type wireguard
ref set wg0 private-key /diff/p1 listen-port 1 peer $k1 allowed-ips 10.0.0.1/32
ref set wga private-key /diff/p2 listen-port 2
ref set wgb listen-port 3 peer $k2 endpoint 192.0.2.1:51820 peer $k3
wg
wg show
wg show interfaces
wg show all
wg show wga
wg show wgb
for field in public-key private-key listen-port fwmark peers preshared-keys allowed-ips \
	latest-handshakes transfer persistent-keepalive dump; do
	wg show all $field
done

== show: interfaces that are not WireGuard's
wg show lo
wg show lo dump
wg show lo public-key
wg showconf lo
wg show nosuch
wg show nosuch dump
wg showconf nosuch

== show: an interface that is called like a word
ip link add interfaces type wireguard
ip link add dump type wireguard
ref set interfaces listen-port 8
ref set dump listen-port 9
wg show interfaces
wg show all
wg show all listen-port
wg show interfaces listen-port
wg show dump
wg show dump dump
wg showconf all
wg showconf interfaces

== show: the longest name, and one that is too long
ip link add wg-15-long-name type wireguard
ref set wg-15-long-name listen-port 9
wg show wg-15-long-name listen-port
wg showconf wg-15-long-name
wg show wg-15-long-name2
wg show wg-15-long-name-and-much-more-than-a-name-may-have dump
wg showconf wg-15-long-name2

== show: names of interfaces that cannot be
wg show ''
wg showconf ''
wg show .
wg show ..
wg show a/b
wg show 'wg 0'

== show: words it does not know
wg show wg0 nosuch
wg show all nosuch
wg show wg0 ''
wg show wg0 DUMP
wg show wg0 public-key more
wg show wg0 dump dump
wg show interfaces more
wg show wg0 publickey
wg show wg0 --dump

== show: help among the words
wg show --help
wg show -h
wg show help
wg show wg0 --help
wg show wg0 -h
wg show wg0 help
wg showconf --help
wg showconf -h
wg showconf help

== show: endpoints as text
ref set wg0 peer $k1 endpoint 0.0.0.1:1 peer $k2 endpoint '[::1]:65535' \
	peer $k3 endpoint '[fe80::1%lo]:4660' peer $k4 endpoint '[::ffff:192.0.2.1]:7' \
	peer $k5 endpoint '[2001:0:0:1:0:0:0:1]:8' peer $k6 endpoint '[::192.0.2.1]:9' \
	peer $k7 endpoint 255.255.255.255:65535 peer $k8 endpoint '[1:0:2:0:3:0:4:0]:10'
wg show wg0
wg show wg0 endpoints
wg show wg0 dump
wg showconf wg0

== show: allowed IPs as text
ref set wg0 peer $k1 \
	allowed-ips 0.0.0.0/0,0.0.0.0/1,128.0.0.0/1,255.255.255.255/32,10.0.0.0/8,10.128.0.0/9 \
	peer $k2 allowed-ips ::/0,::/1,8000::/1,::1/128,::ffff:1.2.3.4/128,::1.2.3.4/128,fe80::/10 \
	peer $k3 allowed-ips 2001:0:0:1:0:0:0:1/128,1:0:2:0:3:0:4:0/128,1:2:3:4:5:6:7:8/128,1::8/128 \
	peer $k4 allowed-ips ::ffff:0:0/96,64:ff9b::/96,0:0:1::/48,::2:0/112,0:1::/32
wg show wg0
wg show wg0 allowed-ips
wg show wg0 dump
wg showconf wg0

== show: marks
for mark in 1 0x10 0xffffffff 4294967295 2147483648; do
	ref set wg0 fwmark $mark
	wg show wg0
	wg show wg0 fwmark
	wg show wg0 dump
	wg showconf wg0
done

== show: keepalive as text
for seconds in 1 59 60 61 3599 3600 3661 65535; do
	ref set wg0 peer $k1 persistent-keepalive $seconds
	wg show wg0
done
wg show wg0 persistent-keepalive
wg showconf wg0

== show: a preshared key
ref set wg0 private-key /diff/p1 peer $k1 preshared-key /diff/s1 peer $k2
wg show wg0
wg show wg0 preshared-keys
wg show wg0 private-key
wg show wg0 public-key
wg showconf wg0

== show: without leave
grep -q ^nobody: /etc/passwd || echo nobody:x:65534:65534::/:/bin/sh >>/etc/passwd
chmod 711 /diff
for words in show 'show wg0' 'show all dump' 'show interfaces' 'showconf wg0' 'set wg0 fwmark 1'; do
	run su nobody -c "PATH=$PATH; wg $words"
done

== showconf: missing and superfluous words
wg showconf
wg showconf wg0 more
