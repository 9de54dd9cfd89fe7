//! Configurations to push, made from a seed, and the kernel state that follows from them.

use fastrand::Rng;
use proto_core::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::Ipv4Addr,
};

/// A peer of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub preshared_key: Option<String>,
    pub endpoint: Option<String>,
    pub persistent_keepalive: u16,
    pub allowed_ips: BTreeSet<String>,
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub private_key: String,
    pub listen_port: u16,
    pub addresses: BTreeSet<String>,
    pub mtu: u32,
    /// The routing table: `auto`, `off` or a number.
    pub table: &'static str,
    /// The peers by public key.
    pub peers: BTreeMap<String, Peer>,
}

/// The state of a kernel, as `wg show wg0 dump` and `ip address` print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub private_key: String,
    pub listen_port: u16,
    pub addresses: BTreeSet<String>,
    pub mtu: u32,
    pub peers: BTreeMap<String, Peer>,
}

fn secret(rng: &mut Rng) -> SecretKey {
    let mut key = [0; 32];
    rng.fill(&mut key);
    SecretKey::new(key)
}

fn secret_text(key: &SecretKey) -> String {
    key.reveal(&mut [0; KEY_TEXT_LEN]).to_owned()
}

impl Peer {
    /// A peer with one network and no other setting.
    pub fn quiet(allowed_ip: &str) -> Self {
        let allowed_ips = [allowed_ip.to_owned()].into();
        Self { preshared_key: None, endpoint: None, persistent_keepalive: 0, allowed_ips }
    }
}

impl Config {
    /// A configuration with `peers` peers and `ips` allowed IPs each, a third of them IPv6, and a
    /// mixture of all other settings.
    pub fn random(rng: &mut Rng, peers: u32, ips: u32) -> Self {
        let peer = |n: u32, rng: &mut Rng| {
            // Up to 8 each, all different in the whole configuration.
            let id = n * 8;
            let allowed = (0..ips).map(|i| match i % 3 {
                2 => format!("fd77:{:x}:{:x}:{i:x}::/64", n >> 16, n & 0xffff),
                1 => format!("{}/31", Ipv4Addr::from_bits(0x0a80_0000 + (id + i) * 2)),
                _ => format!("{}/32", Ipv4Addr::from_bits(0x0a00_0000 + id + i)),
            });
            let allowed: BTreeSet<String> = allowed.collect();
            let port = 1024 + rng.u64(..60_000);
            let key = PublicKey(*secret(rng).as_bytes()).to_string();
            let peer = Peer {
                preshared_key: rng.bool().then(|| secret_text(&secret(rng))),
                endpoint: match rng.u64(..3) {
                    0 => None,
                    1 => Some(format!("198.51.100.{}:{port}", rng.u64(..256))),
                    _ => Some(format!("[2001:db8::{:x}]:{port}", 1 + rng.u64(..0xffff))),
                },
                persistent_keepalive: [0, 25, 65_535][rng.usize(..3)],
                allowed_ips: allowed,
            };
            (key, peer)
        };
        Self {
            private_key: secret_text(&secret(rng).clamped()),
            listen_port: 51_820,
            addresses: ["10.77.0.1/24", "fd76::1/64"].map(str::to_owned).into(),
            mtu: 1_280 + rng.u32(..140),
            table: "auto",
            peers: (0..peers).map(|n| peer(n, rng)).collect(),
        }
    }

    /// The configuration with half of its peers changed, some removed, and some added. `round`
    /// distinguishes the new peers of one change from those of another.
    pub fn changed(&self, rng: &mut Rng, round: u32) -> Self {
        let other = Self::random(rng, self.peers.len() as u32 / 4 + 1, 1);
        let mut changed = self.clone();
        changed.peers.retain(|_, _| rng.f64() >= 0.2);
        for peer in changed.peers.values_mut() {
            match rng.u64(..8) {
                0 => peer.preshared_key = None,
                1 => peer.persistent_keepalive = 17,
                2 => peer.endpoint = Some("203.0.113.9:9".to_owned()),
                3 => drop(peer.allowed_ips.pop_first()),
                _ => {}
            }
        }
        let new = other.peers.into_iter().enumerate().map(|(n, (key, peer))| {
            let net = Ipv4Addr::from_bits(0xac10_0000 + round * 0x1_0000 + n as u32);
            let allowed_ips = [format!("{net}/32")].into();
            (key, Peer { allowed_ips, ..peer })
        });
        changed.peers.extend(new);
        changed.mtu = 1_280 + rng.u32(..140);
        changed
    }

    /// The same configuration with an endpoint for every peer.
    pub fn with_endpoints(mut self) -> Self {
        for peer in self.peers.values_mut() {
            peer.endpoint.get_or_insert_with(|| "192.0.2.7:7".to_owned());
        }
        self
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = {}\nMTU = {}\nTable = {}\n",
            self.private_key, self.listen_port, self.mtu, self.table
        );
        for address in &self.addresses {
            let _ = writeln!(text, "Address = {address}");
        }
        for (key, peer) in &self.peers {
            let ips: Vec<&str> = peer.allowed_ips.iter().map(String::as_str).collect();
            let _ = write!(text, "\n[Peer]\nPublicKey = {key}\n");
            if !ips.is_empty() {
                let _ = writeln!(text, "AllowedIPs = {}", ips.join(", "));
            }
            if let Some(key) = &peer.preshared_key {
                let _ = writeln!(text, "PresharedKey = {key}");
            }
            if let Some(endpoint) = &peer.endpoint {
                let _ = writeln!(text, "Endpoint = {endpoint}");
            }
            if peer.persistent_keepalive != 0 {
                let _ = writeln!(text, "PersistentKeepalive = {}", peer.persistent_keepalive);
            }
        }
        text
    }

    /// The state of a kernel that runs this configuration.
    pub fn kernel(&self) -> Kernel {
        Kernel {
            private_key: self.private_key.clone(),
            listen_port: self.listen_port,
            addresses: self.addresses.clone(),
            mtu: self.mtu,
            peers: self.peers.clone(),
        }
    }
}

impl Kernel {
    /// Reads `wg show wg0 dump` (tab-separated, `wg(8)`), then `ip -o address` and the MTU.
    pub fn parse(dump: &str, addresses: &str, mtu: &str) -> Option<Self> {
        let mut lines = dump.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let device = lines.next()?;
        let given = |text: &str| (text != "(none)").then(|| text.to_owned());
        let peers = lines.map(|fields| {
            let [key, psk, endpoint, ips, _, _, _, keepalive] = fields[..] else { return None };
            let ips = given(ips);
            let allowed_ips = ips.iter().flat_map(|ips| ips.split(',')).map(str::to_owned);
            let peer = Peer {
                preshared_key: given(psk),
                endpoint: given(endpoint),
                persistent_keepalive: keepalive.parse().unwrap_or(0),
                allowed_ips: allowed_ips.collect(),
            };
            Some((key.to_owned(), peer))
        });
        Some(Self {
            private_key: given(device.first()?).unwrap_or_default(),
            listen_port: device.get(2)?.parse().ok()?,
            addresses: addresses
                .lines()
                .filter_map(|line| {
                    let mut words = line.split_whitespace();
                    words.find(|word| *word == "inet" || *word == "inet6")?;
                    words.next().map(str::to_owned)
                })
                .collect(),
            mtu: mtu.trim().parse().ok()?,
            peers: peers.collect::<Option<_>>()?,
        })
    }

    /// The first difference, in few words.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let strip = |kernel: &Self| Self { peers: BTreeMap::new(), ..kernel.clone() };
        if strip(self) != strip(other) {
            return Some(format!("{:?} instead of {:?}", strip(self), strip(other)));
        }
        let keys: BTreeSet<&String> = self.peers.keys().chain(other.peers.keys()).collect();
        let mut different =
            keys.iter().filter(|key| self.peers.get(**key) != other.peers.get(**key));
        let first = different.next()?;
        Some(format!(
            "{} peers differ, the first is {first}: {:?} instead of {:?}",
            different.count() + 1,
            self.peers.get(*first),
            other.peers.get(*first)
        ))
    }
}
