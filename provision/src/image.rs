//! Converts a [`Config`] to the byte image of a push (`proto_core::protocol::config`), and maps a
//! router's failure about the image back to the line of the file.

use proto_core::ip::IpNet;
use proto_core::key::PublicKey;
use proto_core::protocol::codec;
use proto_core::protocol::config::{
    self, Checker, HostName, Interface, Item, MAX_RECORD, PrivateKey, Record,
};
pub use proto_core::protocol::draft::DEFAULT_MTU;
use proto_core::protocol::message::{Name, Subject};

use crate::conf::{self, At, Config, Destination, MAIN_TABLE, Place};
use crate::routes;

/// Number of records of each kind in an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counts {
    /// Addresses.
    pub addresses: usize,
    /// Routes.
    pub routes: usize,
    /// Policy rules.
    pub rules: usize,
    /// Peers.
    pub peers: usize,
    /// Allowed IPs of all peers.
    pub allowed_ips: usize,
    /// Peers whose endpoints are host names.
    pub host_names: usize,
}

/// An image and its origin.
#[derive(Clone, Debug)]
pub struct Image {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The number of its records.
    pub counts: Counts,
    /// Its interface.
    pub interface: Name,
    config: Config,
    routing: routes::Routing,
    /// The start of each record, and the place in the file that it comes from.
    offsets: Vec<(usize, Option<Place>)>,
}

/// An image that no router could apply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{error}")]
pub struct ImageError {
    error: config::ConfigError,
    /// The place of the error in the file.
    pub place: Option<Place>,
}

impl Image {
    /// Builds the image of a configuration whose host names have been looked up.
    ///
    /// # Errors
    /// [`ImageError`] if the router's own check would refuse the image.
    pub fn new(interface: &Name, config: Config) -> Result<Self, ImageError> {
        let routing = routes::derive(&config);
        let records = records(interface, &config, &routing)?;
        let mut image = Self {
            bytes: Vec::new(),
            counts: Counts::default(),
            interface: *interface,
            config,
            routing,
            offsets: Vec::with_capacity(records.len()),
        };
        let mut checker = Checker::default();
        for (record, place) in records {
            checker.record(&record).map_err(|error| ImageError { error, place: place.clone() })?;
            image.count(&record);
            image.offsets.push((image.bytes.len(), place));
            let mut buf = [0; MAX_RECORD];
            let len = codec::write_record(&record, &mut buf)
                .ok_or(ImageError { error: config::ConfigError::Record, place: None })?;
            image.bytes.extend_from_slice(buf.get(..len).unwrap_or_default());
        }
        checker.finish().map_err(|error| ImageError { error, place: None })?;
        Ok(image)
    }

    /// The public key of the interface, if its private key is in the file.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        match &self.config.private_key.as_ref()?.value {
            PrivateKey::Given(secret) => Some(conf::public_key(secret)),
            PrivateKey::None | PrivateKey::Generate => None,
        }
    }

    /// The addresses of the interface.
    pub fn addresses(&self) -> impl Iterator<Item = IpNet> {
        self.config.addresses.iter().map(|at| at.value)
    }

    /// Whether the router generates the private key.
    #[must_use]
    pub fn generates(&self) -> bool {
        self.config.private_key.as_ref().is_some_and(|at| at.value == PrivateKey::Generate)
    }

    /// Whether the configuration has a private key or a preshared key.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        let given = |key: &PrivateKey| matches!(key, PrivateKey::Given(_));
        self.config.private_key.as_ref().is_some_and(|at| given(&at.value))
            || self.config.peers.iter().any(|peer| peer.preshared_key.is_some())
    }

    const fn count(&mut self, record: &Record) {
        let counts = &mut self.counts;
        match record {
            Record::Interface(_) => {}
            Record::Address(_) => counts.addresses += 1,
            Record::Route(_) => counts.routes += 1,
            Record::Rule(_) => counts.rules += 1,
            Record::Peer(_) => counts.peers += 1,
            Record::AllowedIp(_) => counts.allowed_ips += 1,
            Record::Host(_) => counts.host_names += 1,
        }
    }

    /// The place in the file of a failure's subject.
    #[must_use]
    pub fn place(&self, subject: &Subject) -> Option<&Place> {
        fn at<T>(at: Option<&At<T>>) -> Option<&Place> {
            at.map(|at| &at.place)
        }
        let config = &self.config;
        let peer = |key: &PublicKey| config.peers.iter().find(|peer| peer.public_key.value == *key);
        let whole = |key: &PublicKey| peer(key).map(|peer| &peer.public_key.place);
        match subject {
            Subject::None | Subject::Interface | Subject::Unknown(_) => None,
            Subject::PrivateKey => at(config.private_key.as_ref()),
            Subject::ListenPort => at(config.listen_port.as_ref()),
            Subject::Fwmark => at(config.fwmark.as_ref()).or(self.rule_place()),
            Subject::Mtu => at(config.mtu.as_ref()),
            Subject::Address(net) => at(config.addresses.iter().find(|at| at.value == *net)),
            Subject::Route(net) => self.route_place(net),
            Subject::Rule => self.rule_place(),
            Subject::Peer(key) => whole(key),
            Subject::Endpoint(key) => at(peer(key)?.endpoint.as_ref()).or(whole(key)),
            Subject::PresharedKey(key) => at(peer(key)?.preshared_key.as_ref()).or(whole(key)),
            Subject::PersistentKeepalive(key) => {
                at(peer(key)?.persistent_keepalive.as_ref()).or(whole(key))
            }
            Subject::AllowedIps(key) => at(peer(key)?.allowed_ips.first()).or(whole(key)),
            Subject::AllowedIp(key, net) => {
                at(peer(key)?.allowed_ips.iter().find(|at| at.value == *net)).or(whole(key))
            }
            Subject::Offset(offset) => {
                let offset = usize::try_from(*offset).ok()?;
                let next = self.offsets.partition_point(|&(start, _)| start <= offset);
                self.offsets.get(next.checked_sub(1)?)?.1.as_ref()
            }
        }
    }

    fn route_place(&self, to: &IpNet) -> Option<&Place> {
        let of = |item: &Item| matches!(item, Item::Route(route) if route.to == *to);
        self.routing.items.iter().find(|(item, _)| of(item)).map(|(_, place)| place)
    }

    fn rule_place(&self) -> Option<&Place> {
        let is_rule = |(item, _): &&(Item, Place)| matches!(item, Item::Rule(_));
        self.routing.items.iter().find(is_rule).map(|(_, place)| place)
    }
}

/// All records in the order of an image, each with its place in the file.
fn records(
    name: &Name,
    config: &Config,
    routing: &routes::Routing,
) -> Result<Vec<(Record, Option<Place>)>, ImageError> {
    let interface = Interface {
        name: *name,
        private_key: config.private_key.as_ref().map_or(PrivateKey::None, |at| at.value.clone()),
        // wg(8) reads 0 as "any port"; for the router this means that the port stays.
        listen_port: config.listen_port.as_ref().map(|at| at.value).filter(|&port| port != 0),
        fwmark: routing.fwmark,
        mtu: config.mtu.as_ref().map_or(DEFAULT_MTU, |at| at.value),
    };
    let key_place = config.private_key.as_ref().map(|at| at.place.clone());
    let mut items: Vec<(Item, Vec<(Record, &Place)>)> = Vec::new();
    let alone = |item: Item, place| Some((item, vec![(item.record()?, place)]));
    let addresses = config.addresses.iter().map(|at| (Item::Address(at.value), &at.place));
    let routing = routing.items.iter().map(|(item, place)| (*item, place));
    items.extend(addresses.chain(routing).filter_map(|(item, place)| alone(item, place)));
    for peer in &config.peers {
        items.push((Item::Peer(peer.public_key.value), peer_records(peer)?));
    }
    items.sort_by_cached_key(|(item, _)| item.key());
    // One route is enough for an allowed IP of two peers.
    items.dedup_by_key(|(item, _)| item.key());

    let mut records = vec![(Record::Interface(interface), key_place)];
    let items = items.into_iter().flat_map(|(_, records)| records);
    records.extend(items.map(|(record, place)| (record, Some(place.clone()))));
    Ok(records)
}

/// The records of a peer.
fn peer_records(peer: &conf::Peer) -> Result<Vec<(Record, &Place)>, ImageError> {
    let record = Record::Peer(config::Peer {
        public_key: peer.public_key.value,
        preshared_key: peer.preshared_key.as_ref().map(|at| at.value.clone()),
        endpoint: peer.endpoint.as_ref().and_then(|at| match &at.value {
            Destination::Address(address) => Some(*address),
            Destination::Name(host) => host.address.map(Into::into),
        }),
        persistent_keepalive: peer.persistent_keepalive.as_ref().map_or(0, |at| at.value),
    });
    let mut records = vec![(record, &peer.public_key.place)];
    if let Some(At { value: Destination::Name(host), place }) = &peer.endpoint {
        let name = HostName::try_from(host.name.as_str()).map_err(|_| ImageError {
            error: config::ConfigError::Host,
            place: Some(place.clone()),
        })?;
        records.push((Record::Host(config::Host { name, port: host.port }), place));
    }
    let mut allowed: Vec<_> = peer.allowed_ips.iter().collect();
    allowed.sort_by_key(|at| at.value);
    allowed.dedup_by_key(|at| at.value);
    records.extend(allowed.into_iter().map(|at| (Record::AllowedIp(at.value), &at.place)));
    Ok(records)
}

/// A table, by name if it has one.
#[must_use]
pub fn table_name(table: u32) -> String {
    if table == MAIN_TABLE { "main".into() } else { table.to_string() }
}
