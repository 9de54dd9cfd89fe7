# Stand-in for OpenWrt's /lib/functions.sh: the functions that packages and init scripts here call, with the same
# arguments, variables and results. UCI text is read as what it is: shell words after `config`, `option` and `list`.

reset_cb() {
	config_cb() { return 0; }
	option_cb() { return 0; }
	list_cb() { return 0; }
}
reset_cb

config_set() {
	eval "CONFIG_$1_$2=\$3"
}

config_get() {
	case "$2$3" in
	*[!A-Za-z0-9_]*) return 0 ;;
	esac
	eval "$1=\"\${CONFIG_$2_$3:-\$4}\""
}

config() {
	SECTIONS=$((SECTIONS + 1))
	SECTION="${2:-cfg0$SECTIONS}"
	config_set "$SECTION" TYPE "$1"
	config_cb "$1" "$SECTION"
}

option() {
	config_set "$SECTION" "$1" "$2"
	option_cb "$1" "$2"
}

list() {
	local len
	config_get len "$SECTION" "$1_LENGTH" 0
	len=$((len + 1))
	config_set "$SECTION" "$1_ITEM$len" "$2"
	config_set "$SECTION" "$1_LENGTH" "$len"
	LISTED="$LISTED CONFIG_${SECTION}_$1_LENGTH"
	list_cb "$1" "$2"
}

config_load() {
	local name status
	for name in $LISTED; do unset "$name"; done
	LISTED="" SECTIONS=0 SECTION=""
	if [ ! -r "/etc/config/$1" ]; then
		echo "uci: Entry not found" >&2
		return 1
	fi
	if grep -qvE "^[[:space:]]*(#.*|(config|option|list|package)[[:space:]].*)?$" "/etc/config/$1"; then
		echo "uci: Parse error" >&2
		return 1
	fi
	set -f
	. "/etc/config/$1"
	set +f
	[ -z "$SECTION" ] || config_cb
}

# What a package's scripts do after it was installed and before it is removed.

package_list() {
	[ -f "/lib/apk/packages/$1.list" ] && cat "/lib/apk/packages/$1.list" || cat "/usr/lib/opkg/info/$1.list"
}

add_group_and_user() {
	:
}

default_postinst() {
	[ -n "$pkgname" ] || pkgname="$(basename "${1%.*}")"
	local file
	for file in $(package_list "$pkgname" | grep "^/etc/uci-defaults/"); do
		( . "$file" ) && rm -f "$file"
	done
	for file in $(package_list "$pkgname" | grep "^/etc/init.d/"); do
		[ "$PKG_UPGRADE" = 1 ] || "$file" enable
		"$file" start
	done
}

default_prerm() {
	[ -n "$pkgname" ] || pkgname="$(basename "${1%.*}")"
	local file
	[ ! -f "/usr/lib/opkg/info/$pkgname.prerm-pkg" ] || ( . "/usr/lib/opkg/info/$pkgname.prerm-pkg" )
	for file in $(package_list "$pkgname" | grep "^/etc/init.d/"); do
		[ "$PKG_UPGRADE" = 1 ] || "$file" disable
		"$file" stop
	done
}
