# EOPNOTSUPP.
wg set lo listen-port 51820
wg show lo dump
