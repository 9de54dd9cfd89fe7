//! `show` and `showconf`: formats a device as text, into a [`Spool`] first, because a dump that
//! changes interrupt must be read again.

use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use proto_core::ip::IpNet;
use proto_core::key::SecretKey;
use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{DeviceInfo, Event, PeerInfo};

use super::Wg;
use super::order::Order;
use super::process::Process;
use super::spool::Spool;
use super::text::{self, BOLD, CYAN, GREEN, RESET, Sink, YELLOW, paint};
use crate::fault::Fault;
use crate::system::File;

/// The form of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Pretty,
    Configuration,
    Dump,
    PublicKey,
    PrivateKey,
    ListenPort,
    Fwmark,
    Peers,
    PresharedKeys,
    Endpoints,
    AllowedIps,
    LatestHandshakes,
    Transfer,
    PersistentKeepalive,
}

/// The fields by name, in the order of the help.
const FIELDS: &[(&str, Form)] = &[
    ("public-key", Form::PublicKey),
    ("private-key", Form::PrivateKey),
    ("listen-port", Form::ListenPort),
    ("fwmark", Form::Fwmark),
    ("peers", Form::Peers),
    ("preshared-keys", Form::PresharedKeys),
    ("endpoints", Form::Endpoints),
    ("allowed-ips", Form::AllowedIps),
    ("latest-handshakes", Form::LatestHandshakes),
    ("transfer", Form::Transfer),
    ("persistent-keepalive", Form::PersistentKeepalive),
    ("dump", Form::Dump),
];

impl Form {
    /// The field of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        FIELDS.iter().find(|(field, _)| *field == name).map(|(_, form)| *form)
    }
}

/// A spool as a destination for text. A failure is kept and reported at the end.
pub(crate) struct Text<'s, 'w, F> {
    pub(crate) spool: &'s mut Spool<'w, F>,
    pub(crate) fault: Option<Fault>,
}

impl<F: File> Sink for Text<'_, '_, F> {
    fn bytes(&mut self, bytes: &[u8]) {
        if self.fault.is_none() {
            self.fault = self.spool.append(bytes).err();
        }
    }
}

impl<F: File> Write for Text<'_, '_, F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// A device that is being formatted.
pub(crate) struct Show<'a, 's, 'w, P: Process> {
    pub(super) wg: &'a Wg<'a, P>,
    pub(super) form: Form,
    /// Whether each line starts with the name of the interface.
    pub(super) prefix: Option<IfName>,
    pub(super) colour: bool,
    pub(super) reveal: bool,
    text: Text<'s, 'w, P::File>,
    /// The start of each peer's text in the pretty form, and the time of its latest handshake.
    order: &'s mut Order<'w, P::File>,
    peer: Option<PeerInfo>,
    /// Number of the peer's allowed IPs so far, and number of peers.
    ips: u32,
    peers: u32,
}

impl<'a, 's, 'w, P: Process> Show<'a, 's, 'w, P> {
    pub(crate) fn new(
        wg: &'a Wg<'a, P>,
        form: Form,
        prefix: Option<IfName>,
        spool: &'s mut Spool<'w, P::File>,
        order: &'s mut Order<'w, P::File>,
    ) -> Self {
        let colour = match wg.process.variable(c"WG_COLOR_MODE") {
            _ if form != Form::Pretty => false,
            Some("always") => true,
            Some("never") => false,
            _ => wg.process.is_terminal(),
        };
        let reveal = wg.is(c"WG_HIDE_KEYS", "never");
        let text = Text { spool, fault: None };
        Self { wg, form, prefix, colour, reveal, text, order, peer: None, ips: 0, peers: 0 }
    }

    /// Takes an event of the dump.
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        match event {
            Event::Device(device) => self.device(device),
            Event::Peer(peer) => {
                self.end_peer()?;
                self.begin_peer(peer)?;
            }
            Event::AllowedIp(net) => self.allowed_ip(net),
        }
        self.text.fault.take().map_or(Ok(()), Err)
    }

    /// Handles the end of the dump.
    pub(crate) fn end(mut self) -> Result<(), Fault> {
        self.end_peer()?;
        self.text.fault.take().map_or(Ok(()), Err)
    }

    fn put(&mut self, text: &str) {
        self.text.bytes(text.as_bytes());
    }

    fn write(&mut self, words: fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(words);
    }

    fn number(&mut self, number: impl Into<u64>) {
        text::number(&mut self.text, number.into());
    }

    fn key(&mut self, key: Option<&[u8; 32]>) {
        match key {
            Some(key) => text::key(&mut self.text, key),
            None => self.put("(none)"),
        }
    }

    /// A number, or `off` for 0.
    fn or_off(&mut self, number: u16) {
        match number {
            0 => self.put("off"),
            number => self.number(number),
        }
    }

    /// A line of the pretty form up to its value.
    fn label(&mut self, label: &str) {
        self.put("  ");
        paint(&mut self.text, self.colour, &[BOLD], label);
        self.put(": ");
    }

    /// The heading of the pretty form.
    fn heading(&mut self, colour: &str, what: &str) {
        paint(&mut self.text, self.colour, &[colour, BOLD], what);
        self.put(": ");
        if self.colour {
            self.put(colour);
        }
    }

    fn end_heading(&mut self) {
        self.put(if self.colour { RESET } else { "" });
        self.put("\n");
    }

    fn secret(&mut self, label: &str, key: Option<&SecretKey>) {
        let Some(key) = key else { return };
        self.label(label);
        if self.reveal {
            self.key(Some(key.as_bytes()));
        } else {
            self.put("(hidden)");
        }
        self.put("\n");
    }

    /// Starts a line.
    fn line(&mut self) {
        if let Some(name) = self.prefix {
            self.put(name.as_str());
            self.put("\t");
        }
    }

    fn device(&mut self, device: &DeviceInfo) {
        let private = device.private_key.as_ref().map(SecretKey::as_bytes);
        let public = device.public_key.as_ref().map(|key| &key.0);
        match self.form {
            Form::Pretty => return self.pretty_device(device),
            Form::Configuration => return self.configured_device(device),
            Form::Dump => {
                self.line();
                self.key(private);
                self.put("\t");
                self.key(public);
                self.put("\t");
                self.number(device.listen_port);
                self.put("\t");
                self.fwmark(device.fwmark);
            }
            Form::PublicKey | Form::PrivateKey => {
                self.line();
                self.key(if self.form == Form::PublicKey { public } else { private });
            }
            Form::ListenPort => {
                self.line();
                self.number(device.listen_port);
            }
            Form::Fwmark => {
                self.line();
                self.fwmark(device.fwmark);
            }
            _ => return,
        }
        self.put("\n");
    }

    fn fwmark(&mut self, mark: u32) {
        match mark {
            0 => self.put("off"),
            mark => self.write(format_args!("{mark:#x}")),
        }
    }

    fn pretty_device(&mut self, device: &DeviceInfo) {
        self.put(if self.colour { RESET } else { "" });
        self.heading(GREEN, "interface");
        self.put(device.ifname.as_str());
        self.end_heading();
        if let Some(key) = device.public_key {
            self.label("public key");
            self.key(Some(&key.0));
            self.put("\n");
        }
        self.secret("private key", device.private_key.as_ref());
        if device.listen_port != 0 {
            self.label("listening port");
            self.write(format_args!("{}\n", device.listen_port));
        }
        if device.fwmark != 0 {
            self.label("fwmark");
            self.write(format_args!("{:#x}\n", device.fwmark));
        }
    }

    fn configured_device(&mut self, device: &DeviceInfo) {
        self.put("[Interface]\n");
        if device.listen_port != 0 {
            self.write(format_args!("ListenPort = {}\n", device.listen_port));
        }
        if device.fwmark != 0 {
            self.write(format_args!("FwMark = {:#x}\n", device.fwmark));
        }
        if let Some(key) = &device.private_key {
            self.put("PrivateKey = ");
            self.key(Some(key.as_bytes()));
            self.put("\n");
        }
        self.put("\n");
    }

    fn begin_peer(&mut self, peer: &PeerInfo) -> Result<(), Fault> {
        // Without the preshared key: a secret is not copied.
        let kept = self.peer.insert(PeerInfo::new(peer.public_key));
        (kept.endpoint, kept.latest_handshake) = (peer.endpoint, peer.latest_handshake);
        (kept.rx_bytes, kept.tx_bytes) = (peer.rx_bytes, peer.tx_bytes);
        kept.persistent_keepalive = peer.persistent_keepalive;
        self.ips = 0;
        self.peers = self.peers.saturating_add(1);
        let preshared_key = peer.preshared_key.as_ref().map(SecretKey::as_bytes);
        match self.form {
            Form::PublicKey | Form::PrivateKey | Form::ListenPort | Form::Fwmark => return Ok(()),
            Form::Pretty => {
                self.order.begin(peer.latest_handshake, self.text.spool.len())?;
                self.heading(YELLOW, "peer");
                self.key(Some(&peer.public_key.0));
                self.end_heading();
                self.secret("preshared key", peer.preshared_key.as_ref());
                if peer.endpoint.is_some() {
                    self.label("endpoint");
                    self.endpoint(peer.endpoint);
                    self.put("\n");
                }
                self.label("allowed ips");
                return Ok(());
            }
            Form::Configuration => {
                self.put(if self.peers > 1 {
                    "\n[Peer]\nPublicKey = "
                } else {
                    "[Peer]\nPublicKey = "
                });
                self.key(Some(&peer.public_key.0));
                self.put("\n");
                if preshared_key.is_some() {
                    self.put("PresharedKey = ");
                    self.key(preshared_key);
                    self.put("\n");
                }
                return Ok(());
            }
            _ => {}
        }
        self.line();
        self.key(Some(&peer.public_key.0));
        if self.form == Form::Peers {
            self.put("\n");
            return Ok(());
        }
        self.put("\t");
        match self.form {
            Form::PresharedKeys => self.key(preshared_key),
            Form::Endpoints => self.endpoint(peer.endpoint),
            Form::LatestHandshakes => self.handshake(peer),
            Form::Transfer => self.transfer(peer),
            Form::PersistentKeepalive => self.or_off(peer.persistent_keepalive),
            Form::Dump => {
                self.key(preshared_key);
                self.put("\t");
                self.endpoint(peer.endpoint);
                self.put("\t");
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.put("\n");
        Ok(())
    }

    fn transfer(&mut self, peer: &PeerInfo) {
        self.number(peer.rx_bytes);
        self.put("\t");
        self.number(peer.tx_bytes);
    }

    fn handshake(&mut self, peer: &PeerInfo) {
        // Unsigned, as in `wg`.
        let seconds = peer.latest_handshake.map_or(0, |time| time.secs as u64);
        self.number(seconds);
    }

    /// An endpoint, or `(none)`. The scope of a link-local address is shown as the name of the
    /// interface.
    fn endpoint(&mut self, endpoint: Option<SocketAddr>) {
        let Some(endpoint) = endpoint else { return self.put("(none)") };
        match endpoint {
            SocketAddr::V4(_) => text::ip(&mut self.text, endpoint.ip()),
            SocketAddr::V6(v6) => {
                self.put("[");
                text::ip(&mut self.text, IpAddr::V6(*v6.ip()));
                let [first, second, ..] = v6.ip().octets();
                // Link-local: fe80::/10, and the link-local multicast addresses such as ff02::/16.
                let local =
                    first == 0xfe && second & 0xc0 == 0x80 || first == 0xff && second & 0x0f == 2;
                let scope = v6.scope_id();
                let name = if local { self.wg.process.interface_name(scope) } else { None };
                match name {
                    _ if scope == 0 => {}
                    Some(name) => self.write(format_args!("%{name}")),
                    None => self.write(format_args!("%{scope}")),
                }
                self.put("]");
            }
        }
        self.put(":");
        self.number(endpoint.port());
    }

    fn allowed_ip(&mut self, net: &IpNet) {
        let between = match self.form {
            Form::Pretty => ", ",
            Form::Configuration if self.ips == 0 => "AllowedIPs = ",
            Form::Configuration => ", ",
            Form::Dump => ",",
            Form::AllowedIps => " ",
            _ => return,
        };
        if self.ips > 0 || self.form == Form::Configuration {
            self.put(between);
        }
        self.ips = self.ips.saturating_add(1);
        text::ip(&mut self.text, net.addr);
        paint(&mut self.text, self.colour, &[CYAN], "/");
        self.number(net.prefix);
    }

    /// The text after the allowed IPs.
    fn end_peer(&mut self) -> Result<(), Fault> {
        let Some(peer) = self.peer.take() else { return Ok(()) };
        let none = self.ips == 0;
        match self.form {
            Form::Dump => {
                self.put(if none { "(none)\t" } else { "\t" });
                self.handshake(&peer);
                self.put("\t");
                self.transfer(&peer);
                self.put("\t");
                self.or_off(peer.persistent_keepalive);
                self.put("\n");
            }
            Form::AllowedIps => self.put(if none { "(none)\n" } else { "\n" }),
            Form::Configuration => {
                self.put(if none { "" } else { "\n" });
                if peer.endpoint.is_some() {
                    self.put("Endpoint = ");
                    self.endpoint(peer.endpoint);
                    self.put("\n");
                }
                if peer.persistent_keepalive != 0 {
                    self.put("PersistentKeepalive = ");
                    self.number(peer.persistent_keepalive);
                    self.put("\n");
                }
            }
            Form::Pretty => {
                self.put(if none { "(none)\n" } else { "\n" });
                self.pretty_times(&peer);
                return self.order.end(self.text.spool.len());
            }
            _ => {}
        }
        Ok(())
    }

    fn pretty_times(&mut self, peer: &PeerInfo) {
        let colour = self.colour;
        if let Some(time) = peer.latest_handshake.filter(|time| time.secs != 0) {
            self.label("latest handshake");
            let now = self.wg.process.unix_time();
            text::ago(&mut self.text, colour, now, time.secs as u64);
            self.put("\n");
        }
        if peer.rx_bytes != 0 || peer.tx_bytes != 0 {
            self.label("transfer");
            text::bytes(&mut self.text, colour, peer.rx_bytes);
            self.put(" received, ");
            text::bytes(&mut self.text, colour, peer.tx_bytes);
            self.put(" sent\n");
        }
        if peer.persistent_keepalive != 0 {
            self.label("persistent keepalive");
            self.put("every ");
            text::time(&mut self.text, colour, peer.persistent_keepalive.into());
            self.put("\n");
        }
    }
}
