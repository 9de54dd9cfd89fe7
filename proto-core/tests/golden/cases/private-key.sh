# Set a private key, which the kernel clamps, and clear it.
ip link add wg0 type wireguard
key 1 >private
wg set wg0 private-key private
wg show wg0 dump
wg set wg0 private-key /dev/null
wg show wg0 dump
