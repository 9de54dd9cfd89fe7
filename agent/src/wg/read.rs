//! Reads files and command lines into a [`Wanted`]: opens and reads them, the keys in other files,
//! and looks up host names.

use core::net::SocketAddr;

use proto_core::conf::quick::QUICK_VALUE_MAX;
use proto_core::conf::{self, ConfError, Host, Item, Part, Problem, QuickFile, Span, Stop, shown};
use proto_core::ip::IpNet;
use proto_core::key::{KEY_TEXT_LEN, SecretKey};
use proto_core::text::number;
use zeroize::Zeroize;

use super::process::Process;
use super::spool::Spool;
use super::sync::Lookup;
use super::wanted::{KEEPALIVE, PRESHARED_KEY, Peer, REMOVE, REPLACE, Wanted};
use super::{Failed, Wg};
use crate::fault::Fault;

/// Bytes of one read.
pub(super) const PIECE: usize = 16 * 1024;
/// Number of attempts for a name by default.
const RETRIES: u32 = 15;
/// The first and the longest pause before a retry, in milliseconds.
const WAIT: (u32, u32) = (1_000, 20_000);

/// Number of attempts for a name.
#[derive(Clone, Copy)]
enum Retries {
    Unread,
    Times(u32),
    Forever,
}

/// A configuration that is being read.
pub(super) struct Reader<'a, 'p, 'w, P: Process> {
    wg: &'a Wg<'p, P>,
    wanted: &'a mut Wanted<'w, P::File>,
    lookup: Option<&'a mut Lookup>,
    /// The last peer; `None` before the first.
    peer: Peer,
    in_peer: bool,
    /// The flags of a new peer.
    fresh: u8,
    retries: Retries,
    /// Whether the last peer's endpoint has no address, and the rest continues.
    unresolved: bool,
    /// Number of endpoints without an address.
    pub(super) lost: u32,
}

impl<'a, 'p, 'w, P: Process> Reader<'a, 'p, 'w, P> {
    /// A reader into `wanted`.
    pub(super) fn new(
        wg: &'a Wg<'p, P>,
        wanted: &'a mut Wanted<'w, P::File>,
        lookup: Option<&'a mut Lookup>,
    ) -> Self {
        let (retries, unresolved, lost) = (Retries::Unread, false, 0);
        let (peer, in_peer) = (Peer::new(0, 0), false);
        Self { wg, wanted, lookup, peer, in_peer, fresh: 0, retries, unresolved, lost }
    }

    /// Reads the words of `wg set`.
    pub(super) fn words(&mut self, words: &mut dyn Iterator<Item = &str>) -> Result<(), Failed> {
        let read = conf::words(words, &mut |at, item| self.take(at, item));
        self.end(read)
    }

    /// Reads a file piece by piece.
    pub(super) fn file(&mut self, path: &str, piece: &mut [u8; PIECE]) -> Result<(), Failed> {
        self.fresh = REPLACE;
        let wg = self.wg;
        let refused = |errno| wg.say(format_args!("{}: {errno}", shown(path)));
        let mut input = wg.process.open(Some(path)).map_err(refused)?;
        let mut file = conf::File::new();
        let mut used = 0;
        let read = loop {
            let take = &mut |at, item: &Item<'_>| self.take(at, item);
            let read = match wg.process.read(&mut input, piece) {
                Err(errno) => break Err(refused(errno)),
                Ok(0) => break Ok(file.end(take)),
                Ok(len) => {
                    used = len.max(used);
                    file.feed(piece.get(..len).unwrap_or_default(), take)
                }
            };
            if read.is_err() {
                break Ok(read);
            }
        };
        if let Some(used) = piece.get_mut(..used) {
            used.zeroize();
        }
        self.end(read?)
    }

    /// Reads the lines of a wg-quick(8) file that are for wg(8).
    pub(super) fn quick(&mut self, text: &mut Spool<'_, P::File>) -> Result<(), Failed> {
        let mut file = conf::File::new();
        let mut value = [0; QUICK_VALUE_MAX];
        let mut quick = QuickFile::new(&mut value);
        let mut read = Ok(());
        let mut at = 0_u32;
        while read.is_ok() && at <= text.len() {
            let piece = text.piece(at, PIECE);
            let piece = piece.map_err(|fault| self.wg.tell("the configuration", "", fault))?;
            let mut take = |_, part: &Part<'_>| {
                let bytes: &[u8] = match part {
                    // An omitted line still counts.
                    Part::Setting(..) => b"\n",
                    Part::Wg(bytes) => bytes,
                };
                read = file.feed(bytes, &mut |at, item| self.take(at, item));
                read.map_err(|_| Stop)
            };
            // All errors in its own settings were found before.
            let _ = match piece.len() {
                0 => quick.end(&mut take),
                _ => quick.feed(piece, &mut take),
            };
            at = at.saturating_add(piece.len().max(1) as u32);
        }
        let read = read.and_then(|()| file.end(&mut |at, item| self.take(at, item)));
        self.end(read)
    }

    fn end(&mut self, read: Result<(), ConfError>) -> Result<(), Failed> {
        match read {
            Ok(()) => self.end_peer(),
            // The failure was reported.
            Err(ConfError { problem: Problem::Stopped, .. }) => Err(Failed),
            Err(error) => Err(self.wg.say(format_args!("{error}"))),
        }
    }

    fn kept<T>(&self, kept: Result<T, Fault>) -> Result<T, Failed> {
        kept.map_err(|fault| self.wg.tell("the configuration", "", fault))
    }

    /// The last peer is complete.
    fn end_peer(&mut self) -> Result<(), Failed> {
        if !core::mem::take(&mut self.in_peer) {
            return Ok(());
        }
        let peer = &mut self.peer;
        if let Some(lookup) = &mut self.lookup {
            lookup.peer(peer, self.wanted.count);
        }
        if core::mem::take(&mut self.unresolved) {
            let _ = self.wg.say(format_args!("peer {}: configured without its endpoint", peer.key));
        }
        let kept = self.wanted.push_peer(peer);
        self.kept(kept)
    }

    fn take(&mut self, at: Span, item: &Item<'_>) -> Result<(), Stop> {
        self.item(at.line, item).map_err(|Failed| Stop)
    }

    fn item(&mut self, line: u32, item: &Item<'_>) -> Result<(), Failed> {
        let device = &mut self.wanted.device;
        match item {
            Item::ListenPort(port) => device.listen_port = Some(*port),
            Item::ListenService(service) => {
                device.listen_port = Some(self.wg.service_port(line, service)?);
            }
            Item::Fwmark(mark) => device.fwmark = Some(*mark),
            Item::PrivateKey(key) => device.private_key = Some(key.clone()),
            Item::PrivateKeyFile(path) => device.private_key = Some(self.wg.key_file(path)?),
            Item::Peer => {
                self.end_peer()?;
                self.peer = Peer::new(self.fresh, self.wanted.next_ip());
                self.in_peer = true;
            }
            _ => return self.peer_item(line, item),
        }
        Ok(())
    }

    fn peer_item(&mut self, line: u32, item: &Item<'_>) -> Result<(), Failed> {
        // Neither reader passes on a peer's setting before its peer.
        let peer = &mut self.peer;
        let mut secret = |key| {
            peer.preshared_key = key;
            peer.flags |= PRESHARED_KEY;
        };
        match item {
            Item::PresharedKey(key) => secret(key.clone()),
            Item::PresharedKeyFile(path) => secret(self.wg.key_file(path)?),
            Item::PublicKey(key) => peer.key = *key,
            Item::Remove => peer.flags |= REMOVE,
            Item::PersistentKeepalive(seconds) => {
                peer.keepalive = *seconds;
                peer.flags |= KEEPALIVE;
            }
            Item::AllowedIps => peer.flags |= REPLACE,
            Item::AllowedIp(net) => return self.allowed_ip(line, net, false),
            Item::AddAllowedIp(net) | Item::RemoveAllowedIp(net) => {
                peer.flags &= !REPLACE;
                return self.allowed_ip(line, net, matches!(item, Item::RemoveAllowedIp(_)));
            }
            Item::Endpoint(host) => {
                let endpoint = self.endpoint(line, host)?;
                if endpoint.is_some() {
                    self.peer.endpoint = endpoint;
                }
            }
            // A setting of the device.
            _ => {}
        }
        Ok(())
    }

    fn allowed_ip(&mut self, line: u32, net: &IpNet, remove: bool) -> Result<(), Failed> {
        let masked = net.masked();
        if masked != *net {
            let text = "has host bits set; they are cleared";
            let _ = match line {
                0 => self.wg.say(format_args!("warning: allowed IP {net} {text}")),
                line => self.wg.say(format_args!("warning: line {line}: allowed IP {net} {text}")),
            };
        }
        match &mut self.lookup {
            Some(lookup) => lookup.allowed_ip(&mut self.peer, &masked),
            None => self.peer.ips.count = self.peer.ips.count.saturating_add(1),
        }
        self.wanted.takes_away |= remove;
        let kept = self.wanted.push_ip(net, remove);
        self.kept(kept)
    }

    /// The address of an endpoint. `None` if it has no address, and the rest continues.
    fn endpoint(&mut self, line: u32, host: &Host<'_>) -> Result<Option<SocketAddr>, Failed> {
        let wg = self.wg;
        if let Retries::Unread = self.retries {
            self.retries = match wg.process.variable(c"WG_ENDPOINT_RESOLUTION_RETRIES") {
                None => Retries::Times(RETRIES),
                Some("infinity") => Retries::Forever,
                Some("") => Retries::Times(0),
                Some(text) => match times(text) {
                    Some(times) => Retries::Times(times),
                    None => {
                        return Err(wg.say(format_args!(
                            "WG_ENDPOINT_RESOLUTION_RETRIES is neither a number nor `infinity`"
                        )));
                    }
                },
            };
        }
        if let Some(address) = host.address() {
            return Ok(Some(address));
        }
        let (mut wait, longest) = WAIT;
        let mut retries = self.retries;
        loop {
            let unresolved = match wg.process.resolve(host) {
                Ok(address) => return Ok(Some(address)),
                Err(unresolved) => unresolved,
            };
            let (seconds, rest) = (wait / 1_000, wait % 1_000 / 10);
            let last = unresolved.permanent || matches!(retries, Retries::Times(0));
            let (name, words) = (shown(host.name), unresolved.words);
            let _ = if last && line != 0 {
                wg.say(format_args!("line {line}: Endpoint {name}: {words}"))
            } else if last {
                wg.say(format_args!("endpoint {name}: {words}"))
            } else {
                wg.say(format_args!(
                    "{name}: {words}. Trying again in {seconds}.{rest:02} seconds..."
                ))
            };
            if last {
                break;
            }
            if let Retries::Times(times) = &mut retries {
                *times = times.saturating_sub(1);
            }
            wg.process.sleep(wait);
            wait = longest.min(wait.saturating_mul(6) / 5);
        }
        if !wg.is(c"WG_ENDPOINT_RESOLUTION_SKIP", "1") {
            return Err(Failed);
        }
        self.unresolved = true;
        self.lost = self.lost.saturating_add(1);
        Ok(None)
    }
}

impl<P: Process> Wg<'_, P> {
    /// The port of a service.
    fn service_port(&self, line: u32, service: &str) -> Result<u16, Failed> {
        match self.process.resolve(&Host { service, ..Host::new("", 0) }) {
            Ok(address) => Ok(address.port()),
            // The text may be a key.
            Err(_) => Err(self.say(format_args!("{}", conf::no_port(line, service)))),
        }
    }

    /// Reads the key in a file. An empty file is the key of zeros.
    fn key_file(&self, path: &str) -> Result<SecretKey, Failed> {
        let shown = shown(path);
        let refused = |errno| self.say(format_args!("{shown}: {errno}"));
        let mut input = self.process.open(Some(path)).map_err(refused)?;
        match self.read_key(&mut input, false).map_err(refused)? {
            KeyText::Empty => Ok(SecretKey::ZERO),
            KeyText::Key(key) => Ok(key),
            KeyText::Wrong => Err(self.say(format_args!("{shown}: {WRONG_KEY}"))),
        }
    }
}

/// The message about text that is not a key.
pub(super) const WRONG_KEY: &str = "not a key: 32 bytes in base64, 44 characters ending in `=`";

/// The text in the place of a key.
pub(super) enum KeyText {
    Empty,
    Key(SecretKey),
    Wrong,
}

/// A number of retries, as strtoul(3) reads it.
fn times(text: &str) -> Option<u32> {
    let digits = text.trim_ascii_start();
    number(digits.strip_prefix('+').unwrap_or(digits)).filter(|times| *times <= i32::MAX as u32)
}

impl<P: Process> Wg<'_, P> {
    /// Reads a key followed by nothing but white space, and by NULs where they are allowed.
    pub(super) fn read_key(
        &self,
        input: &mut P::Input,
        nuls: bool,
    ) -> Result<KeyText, proto_core::netlink::Errno> {
        let mut text = [0; KEY_TEXT_LEN];
        let (mut len, mut wrong) = (0_usize, false);
        // The first byte that may not follow the key is enough: a device has no end.
        while !wrong {
            let mut behind = [0; 256];
            let is_whole = len == KEY_TEXT_LEN;
            let rest = text.get_mut(len..).unwrap_or_default();
            let room = if is_whole { behind.as_mut_slice() } else { rest };
            let got = self.process.read(input, room)?;
            if got == 0 {
                break;
            }
            if is_whole {
                let follows =
                    |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ') || *byte == 0 && nuls;
                wrong = !behind.get(..got).unwrap_or_default().iter().all(follows);
                behind.zeroize();
            } else {
                len = len.saturating_add(got);
            }
        }
        let key = core::str::from_utf8(text.get(..len).unwrap_or_default());
        let key = key.ok().and_then(|key| key.parse().ok()).filter(|_| !wrong);
        text.as_mut_slice().zeroize();
        Ok(match key {
            Some(key) => KeyText::Key(key),
            None if len == 0 => KeyText::Empty,
            None => KeyText::Wrong,
        })
    }
}
