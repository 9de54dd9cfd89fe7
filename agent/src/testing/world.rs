//! A kernel with interfaces, addresses, routes and rules. It executes requests, refuses a chosen
//! request, and can be shut down in between.

mod ip;
#[cfg(test)]
mod tests;

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proto_core::netlink::genl::{GENL_ID_CTRL, GenlHeader};
use proto_core::netlink::read::Attributes;
use proto_core::netlink::wireguard::attr::{WG_CMD_SET_DEVICE, WGDEVICE_A_IFNAME};
use proto_core::netlink::{Errno, Message, NLMSG_DONE, NLMSG_ERROR};

use crate::system::{Datagram, NetlinkSocket};
use crate::wg::fake::{Answers, Device, FAMILY, FakePeer, set};
use ip::{GET_ADDR, GET_ROUTE, GET_RULE, Ip, Port, is_kernels_own, only};

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;

const NLM_F_DUMP: u16 = 0x300;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_INFO_KIND: u16 = 1;

/// An interface.
#[derive(Clone, Debug)]
struct Link {
    index: u32,
    up: bool,
    mtu: u32,
    kind: String,
    alias: Vec<u8>,
    /// The MAC address of hardware, which has no kind.
    mac: Option<[u8; 6]>,
    device: Device,
}

impl Link {
    const fn port(&self) -> Port {
        Port { index: self.index, up: self.up, mtu: self.mtu }
    }
}

/// The state of the machine, independent of order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) links: Vec<(String, bool, u32, Vec<u8>, u16, u32)>,
    pub(crate) aliases: Vec<Vec<u8>>,
    pub(crate) peers: Vec<(String, FakePeer)>,
    pub(crate) others: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<String, Link>,
    last_index: u32,
    ip: Ip,
    /// Number of requests for a change so far, and the request with an incident.
    changes: usize,
    at: Option<(usize, Incident)>,
    dead: bool,
    /// The words of its refusals, or empty.
    words: &'static str,
    /// The kernel has no WireGuard.
    no_wireguard: bool,
    /// The addresses, routes and rules after each request for a change, if a test watches.
    watched: Option<Vec<Vec<String>>>,
}

/// An incident at a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Incident {
    /// It is refused.
    Refused(Errno),
    /// It and all that follow are refused.
    Broken(Errno),
    /// Another program deletes all interfaces before it.
    Deleted,
    /// The machine, or the agent, is gone: this request and all later ones get no answer.
    Gone,
}

/// The machine. Clones are the same machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(Rc<RefCell<State>>);

/// A socket to its kernel.
#[derive(Debug)]
pub(crate) struct Wire {
    world: World,
    generic: bool,
    answers: Answers,
}

impl World {
    /// Adds an Ethernet interface.
    pub(crate) fn plug(&self, name: &str, mac: [u8; 6]) {
        let mut state = self.0.borrow_mut();
        state.last_index += 1;
        let (index, device) = (state.last_index, Device::default());
        let (up, mtu, kind, alias) = (true, 1500, String::new(), Vec::new());
        let link = Link { index, up, mtu, kind, alias, mac: Some(mac), device };
        state.links.insert(name.into(), link);
    }

    pub(crate) fn socket(&self, generic: bool) -> Wire {
        Wire { world: self.clone(), generic, answers: Answers::default() }
    }

    pub(crate) fn changes(&self) -> usize {
        self.0.borrow().changes
    }

    /// Sets an incident for the request for a change of that number, counted from now on.
    pub(crate) fn incident(&self, change: usize, incident: Incident) {
        let mut state = self.0.borrow_mut();
        state.at = Some((state.changes + change, incident));
    }

    /// From now on refuses all changes, with these words.
    pub(crate) fn refuse_changes(&self, errno: Errno, words: &'static str) {
        self.incident(0, Incident::Broken(errno));
        self.0.borrow_mut().words = words;
    }

    /// From now on its kernel has no WireGuard.
    pub(crate) fn without_wireguard(&self) {
        self.0.borrow_mut().no_wireguard = true;
    }

    /// Another program deletes all interfaces.
    pub(crate) fn delete_links(&self) {
        let mut state = self.0.borrow_mut();
        let names: Vec<String> = state.links.keys().cloned().collect();
        names.iter().for_each(|name| state.drop_link(name));
    }

    /// Number of requests for a change until the incident.
    pub(crate) fn left(&self) -> Option<(usize, bool)> {
        let state = self.0.borrow();
        let (at, incident) = state.at?;
        let broken = matches!(incident, Incident::Broken(_));
        at.checked_sub(state.changes).or(broken.then_some(0)).map(|left| (left, broken))
    }

    /// The agent is restarted.
    pub(crate) fn revive(&self) {
        let mut state = self.0.borrow_mut();
        (state.dead, state.at) = (false, None);
    }

    /// The machine is restarted, with no state left.
    pub(crate) fn reboot(&self) {
        *self.0.borrow_mut() = State::default();
    }

    /// Changes the device of an interface, as a user on the router would.
    pub(crate) fn meddle(&self, name: &str, change: impl FnOnce(&mut Device)) {
        change(&mut self.0.borrow_mut().links.get_mut(name).unwrap().device);
    }

    /// Executes a request of a user on the router: no incident happens to it, and it is not
    /// counted.
    pub(crate) fn by_hand(&self, write: impl FnOnce(&mut [u8]) -> &[u8]) -> Result<(), Errno> {
        let mut buf = [0; 4096];
        self.0.borrow_mut().change(false, &only(write(&mut buf)))
    }

    /// The index of an interface.
    pub(crate) fn index(&self, name: &str) -> u32 {
        self.0.borrow().links[name].index
    }

    /// The addresses of an interface in order: the first one is the source of most packets.
    pub(crate) fn order(&self, name: &str) -> Vec<String> {
        let state = self.0.borrow();
        let Some(link) = state.links.get(name) else { return Vec::new() };
        state.ip.order(link.index)
    }

    /// From now on its kernel has no IPv6, or no IPv6 rules.
    pub(crate) fn without_ipv6(&self, rules_only: bool) {
        let ip = &mut self.0.borrow_mut().ip;
        (ip.no_ipv6, ip.no_ipv6_rules) = (!rules_only, rules_only);
    }

    /// From now on records the addresses, routes and rules after each request for a change.
    pub(crate) fn watch(&self) {
        self.0.borrow_mut().watched = Some(Vec::new());
    }

    /// The records since [`World::watch`].
    pub(crate) fn watched(&self) -> Vec<Vec<String>> {
        self.0.borrow_mut().watched.take().unwrap_or_default()
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.0.borrow();
        let mut seen =
            Seen { links: Vec::new(), aliases: Vec::new(), peers: Vec::new(), others: Vec::new() };
        for (name, Link { up, mtu, device, alias, .. }) in &state.links {
            seen.aliases.push(alias.clone());
            let Device { private_key, port, fwmark, .. } = device;
            seen.links.push((name.clone(), *up, *mtu, private_key.clone(), *port, *fwmark));
            for peer in &device.peers {
                let mut peer = peer.clone();
                peer.ips.sort_unstable();
                seen.peers.push((name.clone(), peer));
            }
        }
        seen.others = state.others();
        seen.peers.sort_unstable_by(|a, b| (&a.0, &a.1.key).cmp(&(&b.0, &b.1.key)));
        seen
    }
}

impl State {
    /// The addresses, routes and rules.
    fn others(&self) -> Vec<String> {
        let name = |index| self.name_of(index).unwrap_or_default();
        let Ip { addresses, routes, rules, .. } = &self.ip;
        let mut others = Vec::new();
        for (kind, all) in [("address", addresses), ("route", routes), ("rule", rules)] {
            let all = all.iter().filter(|entry| !is_kernels_own(entry, kind));
            others.extend(all.map(|entry| entry.text(kind, &name)));
        }
        others.sort_unstable();
        others
    }

    fn drop_link(&mut self, name: &str) {
        let Some(link) = self.links.remove(name) else { return };
        self.ip.promotes.remove(&link.index);
        self.ip.unplugged(link.index);
    }

    fn name_of(&self, index: u32) -> Result<String, Errno> {
        let found = self.links.iter().find(|(_, link)| link.index == index);
        found.map(|(name, _)| name.clone()).ok_or(Errno::ENODEV)
    }

    fn change(&mut self, generic: bool, message: &Message<'_>) -> Result<(), Errno> {
        if generic {
            let (_, attributes) = GenlHeader::parse(message).unwrap();
            let named = attributes.clone().flatten().find(|a| a.ty == WGDEVICE_A_IFNAME);
            let link = self.links.get_mut(named.unwrap().str().unwrap()).ok_or(Errno::ENODEV)?;
            return set(&mut link.device, attributes);
        }
        if matches!(message.ty, NEW_LINK | SET_LINK | DEL_LINK) {
            return self.change_link(message);
        }
        let Self { links, ip, .. } = self;
        let find = |index| links.iter().find(|(_, link)| link.index == index);
        let port = |index| find(index).map(|(_, link)| link.port());
        let name = |index| find(index).map_or_else(String::new, |(name, _)| name.clone());
        ip.change(&port, &name, message)
    }

    fn change_link(&mut self, message: &Message<'_>) -> Result<(), Errno> {
        let (header, attributes) = message.split::<16>().unwrap();
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        let find = |ty| attributes.clone().flatten().find(|a| a.ty == ty);
        if let (NEW_LINK, Some(name)) = (message.ty, find(IFLA_IFNAME)) {
            return self.make_link(name.str().unwrap(), word(4), attributes);
        }
        let name = self.name_of(word(4))?;
        if message.ty == DEL_LINK {
            self.drop_link(&name);
            return Ok(());
        }
        let Self { links, ip, .. } = self;
        let link = links.get_mut(&name).unwrap();
        if let Some(mtu) = find(IFLA_MTU).map(|mtu| mtu.u32().unwrap()) {
            if mtu > 0x7fff_ff00 {
                return Err(Errno::EINVAL);
            }
            let old = core::mem::replace(&mut link.mtu, mtu);
            ip.narrowed(old, link.port());
        }
        if let Some(alias) = find(IFLA_IFALIAS) {
            link.alias = alias.payload.to_vec();
        }
        // IFLA_AF_SPEC, AF_INET, IFLA_INET_CONF, IPV4_DEVCONF_PROMOTE_SECONDARIES.
        fn nested(of: Attributes<'_>, ty: u16) -> Option<Attributes<'_>> {
            of.flatten().find(|a| a.ty == ty).map(|a| Attributes::new(a.payload))
        }
        let conf = [26, 2, 1].into_iter().try_fold(attributes.clone(), |of, ty| nested(of, ty));
        if let Some(on) = conf.and_then(|conf| conf.flatten().find(|a| a.ty == 20)) {
            let on = on.u32().unwrap() != 0;
            ip.promotes.retain(|other| *other != link.index);
            ip.promotes.extend(on.then_some(link.index));
        }
        let up = word(8) & 1 != 0;
        if word(12) & 1 != 0 && up != link.up {
            link.up = up;
            ip.turned(link.port());
        }
        Ok(())
    }

    /// Creates a link. `%d` in its name becomes the next free number.
    fn make_link(
        &mut self,
        name: &str,
        index: u32,
        attributes: Attributes<'_>,
    ) -> Result<(), Errno> {
        let free = |name: &String| !self.links.contains_key(name);
        let name = match name.split_once("%d") {
            Some((before, after)) => {
                (0..).map(|n| format!("{before}{n}{after}")).find(free).unwrap()
            }
            None => name.to_owned(),
        };
        let taken = self.links.values().any(|link| link.index == index);
        if !free(&name) || taken {
            return Err(Errno::EEXIST);
        }
        self.last_index += 1;
        let index = if index == 0 { self.last_index } else { index };
        self.last_index = self.last_index.max(index);
        let info = attributes.flatten().find(|a| a.ty == IFLA_LINKINFO).unwrap();
        let kind = info.nested().flatten().find(|a| a.ty == IFLA_INFO_KIND).unwrap();
        let (kind, device) = (kind.str().unwrap().to_owned(), Device::default());
        let (up, mtu, alias, mac) = (false, 1420, Vec::new(), None);
        self.links.insert(name, Link { index, up, mtu, kind, alias, mac, device });
        Ok(())
    }

    fn dump(&self, answers: &mut Answers, message: &Message<'_>) {
        let (ty, made) = match self.ip.list(message) {
            Ok(list) => list,
            Err(errno) => return answers.end(message, NLMSG_ERROR, errno.0),
        };
        for entry in made {
            answers.answer(|w| {
                w.message(ty, 2, message.seq, 7).unwrap();
                w.header(&entry.header).unwrap();
                for (ty, payload) in &entry.attributes {
                    w.bytes(*ty, payload).unwrap();
                }
            });
        }
        answers.end(message, NLMSG_DONE, 0);
    }
}

impl NetlinkSocket for Wire {
    fn port(&self) -> u32 {
        7
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        let message = only(datagram);
        let world = self.world.clone();
        let mut state = world.0.borrow_mut();
        if state.dead {
            return Ok(());
        }
        let answers = &mut self.answers;
        let looks = match message.ty {
            GENL_ID_CTRL if self.generic && state.no_wireguard => {
                answers.end(&message, NLMSG_ERROR, Errno::ENOENT.0);
                return Ok(());
            }
            GENL_ID_CTRL if self.generic => {
                answers.family(&message);
                answers.end(&message, NLMSG_ERROR, 0);
                return Ok(());
            }
            FAMILY if self.generic => {
                let (header, attributes) = GenlHeader::parse(&message).unwrap();
                let named = attributes.flatten().find(|a| a.ty == WGDEVICE_A_IFNAME);
                let name = named.unwrap().str().unwrap().to_owned();
                match state.links.get(&name).filter(|link| link.kind == "wireguard") {
                    _ if header.cmd == WG_CMD_SET_DEVICE => false,
                    Some(link) => {
                        answers.dump(&name, &link.device, &message, false);
                        true
                    }
                    None => {
                        answers.end(&message, NLMSG_ERROR, Errno::ENODEV.0);
                        true
                    }
                }
            }
            GET_LINK => {
                let (_, attributes) = message.split::<16>().unwrap();
                let named = attributes.flatten().find(|a| a.ty == IFLA_IFNAME);
                let named = named.map(|name| name.str().unwrap());
                let found =
                    state.links.iter().filter(|(name, _)| named.is_none_or(|n| *n == **name));
                let found: Vec<_> = found.collect();
                for (name, link) in &found {
                    answers.answer(|w| {
                        let flags = if named.is_none() { 2 } else { 0 };
                        w.message(NEW_LINK, flags, message.seq, 7).unwrap();
                        let words = [link.index, link.up.into(), 0].map(u32::to_ne_bytes);
                        let [t0, t1] = u16::from(link.mac.is_some()).to_ne_bytes();
                        w.header(&[&[[0, 0, t0, t1]][..], &words].concat().concat()).unwrap();
                        w.string(IFLA_IFNAME, name).unwrap();
                        w.u32(IFLA_MTU, link.mtu).unwrap();
                        if !link.alias.is_empty() {
                            w.bytes(IFLA_IFALIAS, &link.alias).unwrap();
                        }
                        if let Some(mac) = link.mac {
                            w.bytes(IFLA_ADDRESS, &mac).unwrap();
                        } else {
                            w.nest(IFLA_LINKINFO, |info| info.string(IFLA_INFO_KIND, &link.kind))
                                .unwrap();
                        }
                    });
                }
                match named {
                    None => answers.end(&message, NLMSG_DONE, 0),
                    Some(_) if found.is_empty() => {
                        answers.end(&message, NLMSG_ERROR, Errno::ENODEV.0);
                    }
                    Some(_) => answers.end(&message, NLMSG_ERROR, 0),
                }
                true
            }
            // The route to one address: the caller ignores the answer, and without IPv6 the error
            // is EOPNOTSUPP.
            GET_ROUTE if message.flags & NLM_F_DUMP == 0 => {
                let errno = if state.ip.no_ipv6 { Errno::EOPNOTSUPP } else { Errno(101) };
                answers.end(&message, NLMSG_ERROR, errno.0);
                true
            }
            GET_ADDR | GET_ROUTE | GET_RULE => {
                state.dump(answers, &message);
                true
            }
            _ => false,
        };
        if looks {
            return Ok(());
        }
        let change = state.changes;
        state.changes += 1;
        let incident = match state.at {
            Some((at, incident)) if at == change => Some(incident),
            Some((at, incident @ Incident::Broken(_))) if at < change => Some(incident),
            _ => None,
        };
        let done = match incident {
            Some(Incident::Refused(errno) | Incident::Broken(errno)) => Err(errno),
            Some(Incident::Gone) => {
                state.dead = true;
                return Ok(());
            }
            Some(Incident::Deleted) => {
                let names: Vec<String> = state.links.keys().cloned().collect();
                names.iter().for_each(|name| state.drop_link(name));
                state.change(self.generic, &message)
            }
            None => state.change(self.generic, &message),
        };
        let others = state.watched.is_some().then(|| state.others());
        state.watched.iter_mut().for_each(|watched| watched.extend(others.clone()));
        match done {
            Err(errno) if !state.words.is_empty() => answers.refuse(&message, errno, state.words),
            done => answers.end(&message, NLMSG_ERROR, done.err().map_or(0, |errno| errno.0)),
        }
        Ok(())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        self.answers.deliver(buf)
    }
}
