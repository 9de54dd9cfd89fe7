# `wg set`.

== set: nothing to set
wg set
wg set wg0
wg set wg0 ''
wg set nosuch
wg set lo

== set: listen-port
for port in 51820 1 65535 0 -1 off '' '5 ' 5x 0x10 010 1.5 domain; do
	ref set wg0 listen-port 4
	wg set wg0 listen-port "$port"
done
wg set wg0 listen-port
wg set wg0 listen-port 7 listen-port 8

== set: fwmark
for mark in 51820 0x0 0xca6c 0XCA6C 0xFFFFFFFF 0xffffffff 4294967295 0 off; do
	ref set wg0 fwmark 4
	wg set wg0 fwmark "$mark"
done
wg set wg0 fwmark

== set: marks that cannot be
for mark in OFF Off 4294967296 0x100000000 -1 '' ' 5' '5 ' 5x 0x 0xg x10 +5 99999999999999999999999 offf of; do
	ref set wg0 fwmark 4
	wg set wg0 fwmark "$mark"
done

== set: a mark that begins with a zero
wg set wg0 fwmark 010
wg set wg0 fwmark 09

== set: private-key
wg set wg0 private-key /diff/p1
wg set wg0 private-key /diff/p2
wg set wg0 private-key /dev/null
wg set wg0 private-key /diff/p1
: >empty
wg set wg0 private-key empty
wg set wg0 private-key
wg set wg0 private-key nosuch
wg set wg0 private-key ''
wg set wg0 private-key .

== set: a private key in place of a file
wg set wg0 private-key $p1
wg set wg0 peer $k1 preshared-key $s1

== set: files of keys
form() {
	printf "$1" >form
	ref set wg0 private-key /diff/p4
	wg set wg0 private-key form
}
form "$p1"
form "$p1\n"
form "$p1\n\n\n"
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
form " "
form "short"
form "$p1\0"
form "${p1%??}!=\n"
form "${p1%?}A\n"

== set: keys with bits that say nothing
# The last two bits of the 43rd character belong to no byte.
for last in A E I M Q U Y c g k o s w 0 4 8 B C D R Z / + -; do
	wg set wg0 peer "${k1%??}$last="
done

== set: a key from standard input, a FIFO and a descriptor
wg set wg0 private-key /dev/stdin </diff/p1
mkfifo fifo
cat /diff/p2 >fifo &
wg set wg0 private-key fifo
wait
cat /diff/s1 >fifo &
wg set wg0 peer $k1 preshared-key fifo
wait
wg set wg0 private-key /dev/fd/7 7</diff/p3
echo $p1 | wg set wg0 private-key /dev/stdin
run sh -c 'wg set wg0 private-key /dev/stdin' </diff/p4
run sh -c 'cat /diff/p1 | wg set wg0 private-key /dev/stdin'

== set: a key from a device without end
wg set wg0 private-key /dev/full
wg set wg0 peer $k1 preshared-key /dev/zero

== set: two keys from one stream
run sh -c 'cat /diff/p1 /diff/s1 | wg set wg0 private-key /dev/stdin peer $0 preshared-key /dev/stdin' $k1

== set: peer
wg set wg0 peer $k1
wg set wg0 peer $k2 peer $k3
wg set wg0 peer $k1
wg set wg0 peer $k2 remove
wg set wg0 peer $k2 remove
wg set wg0 peer $k4 remove peer $k5
wg set wg0 peer $k1 remove peer $k1
wg set wg0 peer $k1 peer $k1 remove
wg set wg0 peer

== set: peers that cannot be
for key in '' short "$k1=" "${k1%=}" "$k1 " " $k1" "${k1%?}A" "${k1%????}====" "$k1$k1" remove; do
	wg set wg0 peer "$key"
done

== set: the peer with nothing but zeros for a key
wg set wg0 peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
wg set wg0 peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= allowed-ips 10.0.0.0/8
wg show wg0
wg set wg0 peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= remove

== set: the peer that is the interface itself
wg set wg0 private-key /diff/p1
own=$(ref pubkey </diff/p1)
wg set wg0 peer $own allowed-ips 10.0.0.0/8
wg set wg0 peer $(ref pubkey </diff/p2) allowed-ips 10.0.0.0/8
wg set wg0 private-key /diff/p2

== set: preshared-key
wg set wg0 peer $k1 preshared-key /diff/s1
wg set wg0 peer $k1 preshared-key /diff/s2 peer $k2 preshared-key /diff/s1
wg set wg0 peer $k1 preshared-key /dev/null
: >empty
wg set wg0 peer $k2 preshared-key empty
wg set wg0 peer $k2 preshared-key
wg set wg0 peer $k2 preshared-key nosuch
wg set wg0 preshared-key /diff/s1

== set: a preshared key of nothing but zeros
echo AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= >zeros
wg set wg0 peer $k1 preshared-key /diff/s1
wg set wg0 peer $k1 preshared-key zeros
wg show wg0
wg set wg0 private-key /diff/p1
wg set wg0 private-key zeros
wg show wg0

== set: endpoint
for endpoint in 192.0.2.1:51820 1.2.3.4:1 1.2.3.4:65535 '[2001:db8::1]:51820' '[::1]:1' '[fe80::1%lo]:5' \
	'[fe80::1%1]:5' '[::ffff:1.2.3.4]:6' localhost:7 '[1.2.3.4]:8' 010.0.0.1:9 1.2.3:10 0x7f.1:11 16909060:12; do
	wg set wg0 peer $k1 endpoint "$endpoint"
done
wg set wg0 peer $k1 endpoint
wg set wg0 endpoint 192.0.2.1:51820

== set: scopes of endpoints
for endpoint in '[2001:db8::1%lo]:5' '[2001:db8::1%1]:5' '[fe80::1%0]:5' '[fe80::1%4294967296]:5' '[fe80::1%]:5' '[fe80::1%lo%lo]:5' \
	'[ff02::1%lo]:5' '1.2.3.4%lo:5' '[1.2.3.4%lo]:5' '[fe80::1%+1]:5' '[::ffff:1.2.3.4%lo]:5'; do
	ref set wg0 peer $k1 endpoint 192.0.2.9:9
	wg set wg0 peer $k1 endpoint "$endpoint"
done

== set: endpoints that cannot be
for endpoint in '' : :1 1.2.3.4 1.2.3.4: '[::1]' '[::1]:' '[::1' '::1:5' '[]:5' '[::1]5' '[::1]]:5' ' 1.2.3.4:5' \
	'1.2.3.4 :5' '1.2.3.4:5 ' 1.2.3.4:-1 1.2.3.4:x 1.2.3.4:5x 256.1.1.1:5 '[fe80::1%nosuch]:5' '[:::]:5'; do
	wg set wg0 peer $k1 endpoint "$endpoint"
done

== set: ports of endpoints at the edge
for port in 0 65535 05 0x5; do
	ref set wg0 peer $k1 endpoint 192.0.2.9:9
	wg set wg0 peer $k1 endpoint "192.0.2.1:$port"
done

== set: names of endpoints
grep -q here.example /etc/hosts || echo '192.0.2.77 here.example here' >>/etc/hosts
echo '2001:db8::77 six.example' >>/etc/hosts
wg set wg0 peer $k1 endpoint here.example:51820
wg set wg0 peer $k1 endpoint here:51821
wg set wg0 peer $k1 endpoint HERE:51820
wg set wg0 peer $k1 endpoint 127.1:51824
wg set wg0 peer $k1 endpoint 0x7f.0.0.010:51825
wg set wg0 peer $k1 endpoint six.example:51822
wg set wg0 peer $k2 endpoint nowhere.invalid:51820
wg set wg0 peer $k3 endpoint '[here.example]:51823'
wg set wg0 peer $k4 endpoint 'two words:5'
wg set wg0 peer $k4 endpoint "a-name-of-more-than-sixty-three-characters-in-one-label-of-it-is-no-name.example:5"

== set: an endpoint that cannot be set
wg set wg0 peer $k1 endpoint 0.0.0.0:5
wg set wg0 peer $k1 endpoint '[::]:5'
wg set wg0 peer $k1 endpoint 224.0.0.1:5
wg set wg0 peer $k1 endpoint 255.255.255.255:5
wg set wg0 peer $k1 endpoint '[ff02::1]:5'

== set: persistent-keepalive
for seconds in 25 1 65535 0 off 65536 -1 '' OFF ' 5' '5 ' 5x 0x10 010 +5 99999999999 offf 1.5; do
	ref set wg0 peer $k1 persistent-keepalive 4
	wg set wg0 peer $k1 persistent-keepalive "$seconds"
done
wg set wg0 peer $k1 persistent-keepalive
wg set wg0 persistent-keepalive 5

== set: allowed-ips
for ips in 10.0.0.0/8 10.0.0.1 10.0.0.1/32 0.0.0.0/0 ::/0 fd00::1 fd00::/64 10.0.0.0/8,fd00::/8 \
	0.0.0.0/0,::/0 10.0.0.0/8,10.0.0.0/8 10.0.0.0/8,10.1.0.0/16 '' 10.0.0.0/08 1.2.3.4/0; do
	wg set wg0 peer $k1 allowed-ips "$ips"
done
wg set wg0 peer $k1 allowed-ips
wg set wg0 allowed-ips 10.0.0.0/8

== set: host bits
wg set wg0 peer $k1 allowed-ips 10.1.2.3/24
wg set wg0 peer $k1 allowed-ips fd00::1234/64
wg set wg0 peer $k1 allowed-ips 10.1.2.3/0,::1/0
wg set wg0 peer $k1 allowed-ips 10.1.2.3/31,10.1.2.2/31
wg set wg0 peer $k1 allowed-ips fd00::1/127,fd00::/127

== set: allowed IPs that cannot be
for ips in 10.0.0.0/33 fd00::/129 10.0.0.0/ 10.0.0.0/-1 10.0.0.0/x 10.0.0.0/8x 10.0.0/8 10.0.0.0.0/8 \
	256.0.0.0/8 /8 , ,, 10.0.0.0/8, ,10.0.0.0/8 10.0.0.0/8,,10.1.0.0/16 fd00::1::/64 fd00:/64 \
	10.0.0.0/255.0.0.0 ' 10.0.0.0/8' '10.0.0.0/8 ' '10.0.0.0/ 8' '10.0.0.0 /8' 10.0.0.0/+8 10.0.0.0/0x8 \
	'10.0.0.0/8 10.1.0.0/16' '10.0.0.0/8, 10.1.0.0/16' 10.0.0.0/8/8 nowhere fd00::%lo/64 010.0.0.0/8 \
	10.0.0.0/999999999999 '(none)' off; do
	ref set wg0 peer $k1 allowed-ips 192.0.2.0/24
	wg set wg0 peer $k1 allowed-ips "$ips"
done

== set: allowed IPs that are in every form
for ip in :: ::1 1:: 1::8 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1:2:3:4:5:6:1.2.3.4 ::1.2.3.4 ::FFFF:1.2.3.4 \
	FD00::ABCD 0:0:0:0:0:0:0:0 00001::1 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 ::1:2:3:4:5:6:7:8 1.2.3.4:: ::1.2.3 ::1.2.3.256 \
	0.0.0.0 255.255.255.255 1.2.3.4. 1..2.3 01.2.3.4 1.2.3.0x4 1.2.3.004; do
	wg set wg0 peer $k1 allowed-ips "$ip"
done

== set: an allowed IP that moves to another peer
wg set wg0 peer $k1 allowed-ips 10.0.0.0/8,10.1.0.0/16
wg set wg0 peer $k2 allowed-ips 10.1.0.0/16
wg set wg0 peer $k1 allowed-ips 10.3.0.0/16 peer $k2 allowed-ips 10.3.0.0/16 peer $k3 allowed-ips 10.3.0.0/16

== set: everything at once
wg set wg0 listen-port 51820 fwmark 0xca6c private-key /diff/p1 \
	peer $k1 preshared-key /diff/s1 endpoint 192.0.2.1:51820 persistent-keepalive 25 \
	allowed-ips 10.0.1.0/24,fd00:1::/64 \
	peer $k2 endpoint '[2001:db8::2]:51821' allowed-ips 10.0.2.0/24 \
	peer $k3 remove
wg set wg0 peer $k1 remove peer $k2 allowed-ips '' preshared-key /dev/null listen-port 7

== set: after the peers
wg set wg0 peer $k1 listen-port 51820
wg set wg0 peer $k1 allowed-ips 10.0.0.0/8 fwmark 5
wg set wg0 peer $k1 private-key /diff/p1

== set: the same option twice
wg set wg0 fwmark 1 fwmark 2
wg set wg0 peer $k1 persistent-keepalive 1 persistent-keepalive 2
wg set wg0 peer $k1 allowed-ips 10.0.0.0/8 allowed-ips 10.1.0.0/16
wg set wg0 peer $k1 endpoint 1.2.3.4:5 endpoint 1.2.3.4:6
wg set wg0 private-key /diff/p1 private-key /diff/p2
wg set wg0 peer $k1 preshared-key /diff/s1 preshared-key /diff/s2
wg set wg0 peer $k1 allowed-ips 10.0.0.0/8 allowed-ips ''

== set: with remove
wg set wg0 peer $k1 allowed-ips 10.0.0.0/8 peer $k2
wg set wg0 peer $k1 remove allowed-ips 10.0.0.0/8
wg set wg0 peer $k2 allowed-ips 10.0.0.0/8 remove
wg set wg0 peer $k3 remove remove
wg set wg0 remove
wg set wg0 remove peer $k1

== set: words in another case
wg set wg0 LISTEN-PORT 5
wg set wg0 Fwmark 5
wg set wg0 PEER $k1
wg set wg0 peer $k1 ALLOWED-IPS 10.0.0.0/8
wg set wg0 peer $k1 Remove

== set: words it does not know
wg set wg0 nosuch
wg set wg0 nosuch 5
wg set wg0 listen-port 5 nosuch
wg set wg0 peer $k1 nosuch 5
wg set wg0 $k1
wg set wg0 listenport 5
wg set wg0 ListenPort 5
wg set wg0 PublicKey $k1
wg set wg0 --help
wg set wg0 -h

== set: an error after a good part changes nothing
wg set wg0 listen-port 5 peer $k1 allowed-ips 10.0.0.0/8 peer $k2 allowed-ips 10.0.0.0/99
wg set wg0 listen-port 5 fwmark 6 peer short
wg set wg0 private-key /diff/p1 listen-port x

== set: interfaces that are not there
wg set nosuch listen-port 5
wg set lo listen-port 5
wg set '' listen-port 5
wg set wg-15-long-name2 listen-port 5
wg set all listen-port 5
wg set interfaces listen-port 5

== set: an interface called like an option
ip link add peer type wireguard
wg set peer listen-port 5
wg set peer peer $k1 remove
ip link add help type wireguard
wg set help listen-port 6
wg set --help
wg set -h
wg set help

== set: a port that is taken
ip link add wgx type wireguard
ip link add wgy type wireguard
ip link set wgx up
ip link set wgy up
ref set wgy listen-port 50001
wg set wgx listen-port 50000
wg set wgy listen-port 50000
wg set wgy listen-port 50000 fwmark 5 peer $k1

== set: 100 peers on one command line
words=
n=0
while [ $n -lt 100 ]; do
	words="$words peer $(printf %032d $n | base64) allowed-ips 10.0.$n.0/24 persistent-keepalive $n"
	n=$((n + 1))
done
wg set wg0 listen-port 5 $words
