#!/bin/sh
# netifd's protocol `postwire`: shows an interface of the Postwire agent to netifd, and so to ifstatus, LuCI, zones and
# hotplug. The section has the name of the interface. Nothing is changed here: the addresses are "external", the agent's.

[ -n "$INCLUDE_ONLY" ] || {
	. /lib/functions.sh
	. ../netifd-proto.sh
	init_proto "$@"
}

proto_postwire_init_config() {
	available=1
	no_device=1
	no_proto_task=1
	renew_handler=1
}

# Without the link, the interface stays pending, until the agent makes the link and calls for a renew.
proto_postwire_setup() {
	local word family=""
	if [ -z "$(ip -o link show dev "$1" up 2>/dev/null)" ]; then
		proto_init_update "*" 0
		proto_send_update "$1"
		return
	fi
	proto_init_update "$1" 1 1
	for word in $(ip -o address show dev "$1"); do
		case "$family $word" in
		"inet "*/*) proto_add_ipv4_address "${word%/*}" "${word#*/}" ;;
		"inet6 "*/*) proto_add_ipv6_address "${word%/*}" "${word#*/}" ;;
		esac
		family="$word"
	done
	proto_send_update "$1"
}

proto_postwire_renew() {
	proto_postwire_setup "$1"
}

# The link stays: the agent owns it.
proto_postwire_teardown() {
	:
}

[ -n "$INCLUDE_ONLY" ] || add_protocol postwire
