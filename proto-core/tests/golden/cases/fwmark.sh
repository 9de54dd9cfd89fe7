# In hexadecimal, in decimal, and the two ways to clear the mark.
ip link add wg0 type wireguard
wg set wg0 fwmark 0x12345678
wg show wg0 dump
wg set wg0 fwmark off
wg show wg0 dump
wg set wg0 fwmark 51820
wg set wg0 fwmark 0
wg show wg0 dump
