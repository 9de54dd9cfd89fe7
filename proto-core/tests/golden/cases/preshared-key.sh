# Set a preshared key, and clear it.
ip link add wg0 type wireguard
key 2 >shared
wg set wg0 peer "$(key 11)" preshared-key shared
wg show wg0 dump
wg set wg0 peer "$(key 11)" preshared-key /dev/null
wg show wg0 dump
