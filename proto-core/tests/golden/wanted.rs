//! The commands of each case in our types: for every `wg` that changes a setting, the input of the
//! encoder. The scripts beside this file contain the commands.

use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::wireguard::{AllowedIpChange, DeviceChange, PeerChange};

/// A change of a device and its peers.
#[derive(Default)]
pub(crate) struct Config {
    /// A `wg` command with only peers sends nothing about the device.
    pub(crate) device: DeviceChange,
    pub(crate) peers: Vec<(PeerChange, Vec<AllowedIpChange>)>,
}

impl Config {
    fn peer(mut self, peer: PeerChange, ips: &[&str]) -> Self {
        let change = |ip: &&str| AllowedIpChange { net: ip.parse().unwrap(), remove: false };
        self.peers.push((peer, ips.iter().map(change).collect()));
        self
    }
}

/// The key of `key N` in a script: the number in 32 digits.
fn key(number: u32) -> [u8; 32] {
    format!("{number:032}").into_bytes().try_into().unwrap()
}

fn secret(number: u32) -> Option<SecretKey> {
    Some(SecretKey::new(key(number)))
}

/// A key of zeros removes the key.
const NO_KEY: Option<SecretKey> = Some(SecretKey::ZERO);

/// A change that leaves every setting of the device unchanged.
const SAME: DeviceChange =
    DeviceChange { private_key: None, listen_port: None, fwmark: None, replace_peers: false };

/// The start of a file: settings that it does not contain are reset.
const RESET: DeviceChange = DeviceChange {
    private_key: NO_KEY,
    listen_port: Some(0),
    fwmark: Some(0),
    replace_peers: true,
};

fn config(device: DeviceChange) -> Config {
    Config { device, peers: Vec::new() }
}

fn port(port: u16) -> Config {
    config(DeviceChange { listen_port: Some(port), ..SAME })
}

fn fwmark(mark: u32) -> Config {
    config(DeviceChange { fwmark: Some(mark), ..SAME })
}

/// A peer whose allowed IPs are added to ...
fn peer(number: u32) -> PeerChange {
    PeerChange::new(PublicKey(key(number)))
}

/// ... or replaced: `wg` replaces the list whenever a command has one, and always for a file.
fn listed(number: u32) -> PeerChange {
    PeerChange { replace_allowed_ips: true, ..peer(number) }
}

fn removed(number: u32) -> PeerChange {
    PeerChange { remove: true, ..peer(number) }
}

fn to(number: u32, endpoint: &str) -> PeerChange {
    PeerChange { endpoint: Some(endpoint.parse().unwrap()), ..peer(number) }
}

fn listed_to(number: u32, endpoint: &str) -> PeerChange {
    PeerChange { replace_allowed_ips: true, ..to(number, endpoint) }
}

fn alive(number: u32, seconds: u16) -> PeerChange {
    PeerChange { persistent_keepalive: Some(seconds), ..peer(number) }
}

/// The changes of a case, in the order of the script's commands.
pub(crate) fn wanted(case: &str) -> Vec<Config> {
    let one = || config(SAME);
    let private_key = secret(1);
    match case {
        "fresh" | "handshake" => vec![],
        "long-name" => vec![fwmark(1)],
        "private-key" => [private_key, NO_KEY]
            .map(|private_key| config(DeviceChange { private_key, ..SAME }))
            .into(),
        "listen-port" => vec![port(65535), port(0x1234), port(0)],
        "fwmark" => [0x1234_5678, 0, 51820, 0].map(fwmark).into(),
        "preshared-key" => [secret(2), NO_KEY]
            .map(|preshared_key| one().peer(PeerChange { preshared_key, ..peer(11) }, &[]))
            .into(),
        "endpoint-v4" => ["192.0.2.1:51820", "203.0.113.254:4660"]
            .map(|endpoint| one().peer(to(11, endpoint), &[]))
            .into(),
        "endpoint-v6" => ["[2001:db8::1]:51820", "[fe80::1%1]:4660"]
            .map(|endpoint| one().peer(to(11, endpoint), &[]))
            .into(),
        "keepalive" => [25, 65535, 0].map(|seconds| one().peer(alive(11, seconds), &[])).into(),
        "allowed-ips" => {
            let lists: [&[&str]; 4] = [
                &["10.0.0.0/8"],
                &["10.1.2.3/24", "192.0.2.7", "fd00::1234/64", "fd00::7"],
                &["0.0.0.0/0", "::/0"],
                &[],
            ];
            lists.map(|ips| one().peer(listed(11), ips)).into()
        }
        "move-allowed-ip" => vec![
            one().peer(listed(11), &["10.0.0.0/8", "10.1.0.0/16"]),
            one().peer(listed(12), &["10.1.0.0/16"]),
        ],
        "remove-peer" => vec![
            one().peer(listed(11), &["10.0.1.0/24"]).peer(listed(12), &["10.0.2.0/24"]),
            one().peer(removed(11), &[]),
            one().peer(removed(99), &[]),
        ],
        "own-key" => {
            let own = "uvIAvhV7Z9tzLzoO03t2Qd1stcQS5QO2JrV0yt7tKCY=".parse().unwrap();
            let own = PeerChange { replace_allowed_ips: true, ..PeerChange::new(own) };
            vec![
                config(DeviceChange { private_key, ..SAME }),
                one().peer(own, &["10.0.0.0/8"]).peer(peer(12), &[]),
            ]
        }
        "all-at-once" => {
            let first = PeerChange {
                preshared_key: secret(2),
                persistent_keepalive: Some(25),
                ..listed_to(11, "192.0.2.1:51820")
            };
            let device = DeviceChange {
                private_key,
                listen_port: Some(51820),
                fwmark: Some(0xca6c),
                replace_peers: false,
            };
            vec![
                config(device.clone())
                    .peer(first, &["10.0.1.0/24", "fd00:1::/64"])
                    .peer(listed_to(12, "[2001:db8::2]:51821"), &["10.0.2.0/24"])
                    .peer(removed(13), &[]),
            ]
        }
        "setconf" => {
            let first = PeerChange {
                preshared_key: secret(2),
                persistent_keepalive: Some(25),
                ..listed_to(11, "192.0.2.1:51820")
            };
            vec![
                fwmark(7).peer(listed(99), &["10.99.0.0/16"]),
                config(DeviceChange { private_key, listen_port: Some(51820), ..RESET })
                    .peer(first, &["10.0.1.0/24", "fd00:1::/64"])
                    .peer(listed(12), &[]),
            ]
        }
        "setconf-empty" => {
            let device = DeviceChange {
                private_key,
                listen_port: Some(51820),
                fwmark: Some(7),
                replace_peers: false,
            };
            vec![config(device).peer(peer(99), &[]), config(RESET)]
        }
        "addconf" => {
            let before = DeviceChange { listen_port: Some(51820), fwmark: Some(7), ..SAME };
            let peer = PeerChange { replace_allowed_ips: true, ..alive(11, 25) };
            vec![
                config(before).peer(peer, &["10.0.1.0/24"]),
                fwmark(8).peer(listed(11), &["10.0.1.128/25"]).peer(listed(12), &["10.0.2.0/24"]),
            ]
        }
        "syncconf" => {
            let device = DeviceChange { private_key, listen_port: Some(51820), ..SAME };
            let fourth = PeerChange {
                preshared_key: secret(2),
                persistent_keepalive: Some(25),
                ..listed(14)
            };
            vec![
                config(device.clone())
                    .peer(listed(11), &["10.0.1.0/24"])
                    .peer(listed_to(12, "192.0.2.2:51820"), &["10.0.2.0/24"])
                    .peer(listed(13), &["10.0.3.0/24"])
                    .peer(fourth, &["10.0.4.0/24"]),
                // Removals come first; unchanged settings are sent all the same.
                config(DeviceChange { fwmark: Some(0), ..device })
                    .peer(removed(13), &[])
                    .peer(listed(11), &["10.0.1.0/24"])
                    .peer(listed_to(12, "192.0.2.22:51820"), &["10.0.22.0/24"])
                    .peer(listed(14), &["10.0.4.0/24"])
                    .peer(listed(15), &["10.0.5.0/24"]),
            ]
        }
        "many-peers" => {
            vec![(1..=100).fold(config(RESET), |config, n| {
                config.peer(listed(n), &[&format!("10.0.{n}.0/24")])
            })]
        }
        "many-allowed-ips" => {
            let ips = (0..250).flat_map(|n| [format!("10.0.{n}.0/24"), format!("fd00:{n}::/32")]);
            let ips: Vec<_> = ips.collect();
            let ips: Vec<_> = ips.iter().map(String::as_str).collect();
            let peer = PeerChange { preshared_key: secret(2), ..listed_to(11, "192.0.2.1:51820") };
            vec![port(51820).peer(peer, &ips)]
        }
        "message-ends" => [0, 4, 40, 48, 52, 76, 80, 108].map(room_for).into(),
        "uneven-peers" => vec![uneven_peers()],
        "error-no-interface" | "error-not-wireguard" | "error-not-root" => vec![port(51820)],
        "error-port-in-use" => vec![port(51820), port(51820)],
        // Without a number for the family there is no message.
        "error-no-module" => vec![Config::default()],
        _ => panic!("{case} is not described in wanted.rs"),
    }
}

/// A first peer that leaves this much room in a message of 4096 bytes, and a second peer.
fn room_for(room: u32) -> Config {
    let left = |v6: u32| 4012 - room - 40 * v6;
    let v6 = (0..).find(|v6| left(*v6).is_multiple_of(28)).unwrap();
    let v4 = (1..=left(v6) / 28).map(|n| format!("10.0.{n}.0/24"));
    let ips: Vec<_> = v4.chain((1..=v6).map(|n| format!("fd00:{n}::/32"))).collect();
    config(SAME)
        .peer(listed(11), &ips.iter().map(String::as_str).collect::<Vec<_>>())
        .peer(listed(12), &["10.1.0.0/24", "10.2.0.0/24"])
}

fn uneven_peers() -> Config {
    let device = DeviceChange { listen_port: Some(51820), ..RESET };
    (1..=45).fold(config(device), |config, n: u16| {
        let number = u32::from(n);
        let mut peer = listed(number);
        peer.preshared_key = secret(number + 100).filter(|_| n.is_multiple_of(2));
        // The later line of a file takes effect.
        if n.is_multiple_of(5) {
            peer.endpoint = format!("[2001:db8::{n}]:51820").parse().ok();
        } else if n.is_multiple_of(3) {
            peer.endpoint = format!("192.0.2.{n}:51820").parse().ok();
        }
        peer.persistent_keepalive = Some(n).filter(|_| n.is_multiple_of(4));
        let ips = (1..=n * 7 % 11).map(|ip| match ip % 2 {
            0 => format!("10.{n}.{ip}.0/24"),
            _ => format!("fd00:{n}:{ip}::/48"),
        });
        let ips: Vec<_> = ips.collect();
        config.peer(peer, &ips.iter().map(String::as_str).collect::<Vec<_>>())
    })
}
