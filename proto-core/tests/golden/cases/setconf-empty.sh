# An empty file removes every peer and resets every setting.
ip link add wg0 type wireguard
key 1 >private
wg set wg0 private-key private listen-port 51820 fwmark 7 peer "$(key 99)"
wg setconf wg0 /dev/null
wg show wg0 dump
