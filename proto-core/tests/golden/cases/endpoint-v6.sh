# An IPv6 endpoint, and a link-local one: its scope is `lo`, interface 1.
ip link add wg0 type wireguard
wg set wg0 peer "$(key 11)" endpoint '[2001:db8::1]:51820'
wg show wg0 dump
wg set wg0 peer "$(key 11)" endpoint '[fe80::1%lo]:4660'
wg show wg0 dump
