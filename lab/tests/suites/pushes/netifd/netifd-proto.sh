# Stand-in for OpenWrt's /lib/netifd/netifd-proto.sh: the functions that the protocol handler calls, with the same
# arguments. What netifd would be told is written to /tmp/record, one call a line.

record() {
	echo "$*" >>/tmp/record
}

proto_init_update() { record update "$@"; }
proto_add_ipv4_address() { record ipv4 "$@"; }
proto_add_ipv6_address() { record ipv6 "$@"; }
proto_send_update() { record send "$@"; }

init_proto() {
	proto="$1" cmd="$2" interface="$3" ifname="$5"
	add_protocol() {
		[ "$proto" = "$1" ] || [ -z "$proto" ] || return 0
		case "$cmd" in
		dump)
			no_device=0 no_proto_task=0 available=0 renew_handler=0 teardown_on_l3_link_down=0
			"proto_$1_init_config"
			record "protocol $1: available $available, no_device $no_device, no_proto_task $no_proto_task," \
				"renew_handler $renew_handler, teardown_on_l3_link_down $teardown_on_l3_link_down"
			;;
		setup | renew | teardown) "proto_$1_$cmd" "$interface" "$ifname" ;;
		esac
	}
}
