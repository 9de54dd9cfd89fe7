# The longest name: 15 characters, and the NUL that ends it.
ip link add wg-15-long-name type wireguard
wg set wg-15-long-name fwmark 1
wg show wg-15-long-name dump
