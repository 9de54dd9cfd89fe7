//! From files and command lines to a [`Wanted`]: opening, reading, the keys in files of their own,
//! and the addresses of host names.

use core::net::SocketAddr;

use proto_core::conf::{self, ConfError, Host, Item, Part, Problem, QuickFile, Stop, shown};
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

/// Bytes read from a file at once.
pub(super) const PIECE: usize = 16 * 1024;
/// How often a name is asked for again, unless told otherwise.
const RETRIES: u32 = 15;
/// The first and the longest wait before a name is asked for again, in milliseconds.
const WAIT: (u32, u32) = (1_000, 20_000);

/// How often a name is asked for again.
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
    /// The last peer, if there is one.
    peer: Peer,
    in_peer: bool,
    /// What a new peer's flags are.
    fresh: u8,
    retries: Retries,
    /// The endpoint of the last peer has no address, and the rest is to go on.
    unresolved: bool,
    /// How many endpoints have no address.
    pub(super) lost: u32,
}

impl<'a, 'p, 'w, P: Process> Reader<'a, 'p, 'w, P> {
    /// Into `wanted`, and `lookup` where it is needed.
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
        let read = conf::words(words, &mut |line, item| self.take(line, item));
        self.end(read)
    }

    /// Reads a file, by pieces.
    pub(super) fn file(&mut self, path: &str, piece: &mut [u8; PIECE]) -> Result<(), Failed> {
        self.fresh = REPLACE;
        let wg = self.wg;
        let refused = |errno| wg.say(format_args!("{}: {errno}", shown(path)));
        let mut input = wg.process.open(Some(path)).map_err(refused)?;
        let mut file = conf::File::new();
        let mut used = 0;
        let read = loop {
            let take = &mut |line, item: &Item<'_>| self.take(line, item);
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

    /// Reads what a file of wg-quick(8) has for wg(8).
    pub(super) fn quick(&mut self, text: &mut Spool<'_, P::File>) -> Result<(), Failed> {
        let mut file = conf::File::new();
        let mut quick = QuickFile::new();
        let mut read = Ok(());
        let mut at = 0_u32;
        while read.is_ok() && at <= text.len() {
            let piece = text.piece(at, PIECE);
            let piece = piece.map_err(|fault| self.wg.tell("the configuration", "", fault))?;
            let mut take = |_, part: &Part<'_>| {
                let bytes: &[u8] = match part {
                    // A line that is left out still counts.
                    Part::Setting(..) => b"\n",
                    Part::Wg(bytes) => bytes,
                };
                read = file.feed(bytes, &mut |line, item| self.take(line, item));
                read.map_err(|_| Stop)
            };
            // All that can be wrong with its own settings was found before.
            let _ = match piece.len() {
                0 => quick.end(&mut take),
                _ => quick.feed(piece, &mut take),
            };
            at = at.saturating_add(piece.len().max(1) as u32);
        }
        let read = read.and_then(|()| file.end(&mut |line, item| self.take(line, item)));
        self.end(read)
    }

    fn end(&mut self, read: Result<(), ConfError>) -> Result<(), Failed> {
        match read {
            Ok(()) => self.end_peer(),
            // It has been said.
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
            let _ = self.wg.say(format_args!("peer {}: left without its endpoint", peer.key));
        }
        let kept = self.wanted.push_peer(peer);
        self.kept(kept)
    }

    fn take(&mut self, line: u32, item: &Item<'_>) -> Result<(), Stop> {
        self.item(line, item).map_err(|Failed| Stop)
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
        // Neither reader tells anything of a peer before there is one.
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
            // Of the device.
            _ => {}
        }
        Ok(())
    }

    fn allowed_ip(&mut self, line: u32, net: &IpNet, remove: bool) -> Result<(), Failed> {
        let masked = net.masked();
        if masked != *net {
            let text = "has bits of a host, which are cleared";
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

    /// The address of an endpoint. Nothing if it has none, and the rest is to go on.
    fn endpoint(&mut self, line: u32, host: &Host<'_>) -> Result<Option<SocketAddr>, Failed> {
        let wg = self.wg;
        if let Retries::Unread = self.retries {
            self.retries = match wg.process.variable(c"WG_ENDPOINT_RESOLUTION_RETRIES") {
                None => Retries::Times(RETRIES),
                Some("infinity") => Retries::Forever,
                Some("") => Retries::Times(0),
                Some(text) => match number(text).filter(|times| *times <= i32::MAX as u32) {
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
        match self.process.resolve(&Host { name: "", port: 0, service }) {
            Ok(address) => Ok(address.port()),
            // It may be a key.
            Err(_) => Err(self.say(format_args!("{}", conf::no_port(line, service)))),
        }
    }

    /// The key in a file. An empty file is the key of zeros.
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

/// What is said of something that is no key.
pub(super) const WRONG_KEY: &str = "not a key: 32 bytes in base64, 44 characters ending in `=`";

/// What is in the place of a key.
pub(super) enum KeyText {
    Empty,
    Key(SecretKey),
    Wrong,
}

impl<P: Process> Wg<'_, P> {
    /// Reads a key and nothing but white space behind it, and NULs where they are let pass.
    pub(super) fn read_key(
        &self,
        input: &mut P::Input,
        nuls: bool,
    ) -> Result<KeyText, proto_core::netlink::Errno> {
        // One byte of room at the end, through which what follows the key passes.
        let mut text = [0; KEY_TEXT_LEN + 1];
        let (mut len, mut wrong) = (0_usize, false);
        loop {
            let room = text.get_mut(len..).unwrap_or_default();
            let got = self.process.read(input, room)?;
            if got == 0 {
                break;
            }
            len = len.saturating_add(got);
            if let (Some(last), true) = (text.get(KEY_TEXT_LEN), len > KEY_TEXT_LEN) {
                let space = matches!(last, b'\t'..=b'\r' | b' ');
                wrong |= !space && (*last != 0 || !nuls);
                len = KEY_TEXT_LEN;
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
