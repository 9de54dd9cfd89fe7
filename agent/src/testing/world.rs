//! A kernel with interfaces, addresses, routes and rules. It executes requests, refuses a chosen
//! request, and can be shut down in between.

mod answers;
mod device;
mod ip;
mod links;
#[cfg(test)]
mod tests;
mod words;

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proto_core::netlink::genl::{GENL_ID_CTRL, GenlHeader};
use proto_core::netlink::read::Attributes;
use proto_core::netlink::route::link;
use proto_core::netlink::wireguard::attr::{WG_CMD_SET_DEVICE, WGDEVICE_A_IFNAME};
use proto_core::netlink::{Errno, Message, NLMSG_DONE, NLMSG_ERROR};

use crate::system::{Datagram, NetlinkSocket};
use answers::Answers;
pub(crate) use answers::FAMILY;
pub(crate) use device::{Device, DevicePeer, set};
use ip::{Entry, GET_ADDR, GET_ROUTE, GET_RULE, Ip, NEW_ROUTE, is_kernels_own, only};
use links::Link;

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;

const NLM_F_DUMP: u16 = 0x300;

/// The state of the machine, independent of order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) links: Vec<(String, bool, u32, Vec<u8>, u16, u32)>,
    pub(crate) aliases: Vec<Vec<u8>>,
    pub(crate) peers: Vec<(String, DevicePeer)>,
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
    /// The requests for a change of links, addresses, routes and rules in words, and what else a test notes.
    log: Vec<String>,
    /// The first words of requests that are refused.
    refused: Option<&'static str>,
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

    /// From now on refuses the requests that begin with these words ([`World::log`]) with `EEXIST`.
    pub(crate) fn refuse(&self, words: &'static str) {
        self.0.borrow_mut().refused = Some(words);
    }

    /// Takes the requests so far for changes of links, addresses, routes and rules, in words.
    pub(crate) fn log(&self) -> Vec<String> {
        core::mem::take(&mut self.0.borrow_mut().log)
    }

    /// Adds a line to [`World::log`].
    pub(crate) fn note(&self, line: &str) {
        self.0.borrow_mut().log.push(line.to_owned());
    }

    /// Creates an interface, as a user on the router would.
    pub(crate) fn make(&self, name: &str, kind: &str) {
        self.by_hand(|buf| link::create(buf, 1, name.parse().unwrap(), kind).unwrap()).unwrap();
    }

    /// The kind of an interface; `None` if there is no interface of this name.
    pub(crate) fn kind(&self, name: &str) -> Option<String> {
        self.0.borrow().links.get(name).map(|link| link.kind.clone())
    }

    /// The name of an interface.
    pub(crate) fn name(&self, index: u32) -> Option<String> {
        self.0.borrow().name_of(index).ok()
    }

    /// The device of an interface.
    pub(crate) fn device(&self, name: &str) -> Device {
        self.0.borrow().links[name].device.clone()
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
    pub(crate) fn meddle<T>(&self, name: &str, change: impl FnOnce(&mut Device) -> T) -> T {
        change(&mut self.0.borrow_mut().links.get_mut(name).unwrap().device)
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

    /// The table whose default route an IPv4 packet with this mark takes.
    pub(crate) fn way(&self, mark: u32) -> u32 {
        self.0.borrow().ip.way(mark)
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

    fn change(&mut self, generic: bool, message: &Message<'_>) -> Result<(), Errno> {
        if generic {
            let (_, attributes) = GenlHeader::parse(message).unwrap();
            let named = attributes.clone().flatten().find(|a| a.ty == WGDEVICE_A_IFNAME);
            let device = &mut self.wireguard(named.unwrap().str().unwrap())?.device;
            device.meddled();
            return set(device, attributes);
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

    fn dump(&self, answers: &mut Answers, message: &Message<'_>) {
        let (ty, made) = match self.ip.list(message) {
            Ok(list) => list,
            Err(errno) => return answers.end(message, NLMSG_ERROR, errno.0),
        };
        for entry in made {
            put(answers, message, (ty, 2), entry);
        }
        answers.end(message, NLMSG_DONE, 0);
    }
}

/// Answers with an address, a route or a rule.
fn put(answers: &mut Answers, message: &Message<'_>, (ty, flags): (u16, u16), entry: &Entry) {
    answers.answer(|w| {
        w.message(ty, flags, message.seq, 7).unwrap();
        w.header(&entry.header).unwrap();
        for (ty, payload) in &entry.attributes {
            w.bytes(*ty, payload).unwrap();
        }
    });
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
                match state.wireguard(&name) {
                    _ if header.cmd == WG_CMD_SET_DEVICE => false,
                    Ok(Link { index, device, .. }) => {
                        let interrupted = device.interrupted > 0;
                        device.interrupted = device.interrupted.saturating_sub(1);
                        answers.dump((&name, *index), device, &message, interrupted);
                        true
                    }
                    Err(errno) => {
                        answers.end(&message, NLMSG_ERROR, errno.0);
                        true
                    }
                }
            }
            GET_LINK => {
                state.list_links(answers, &message);
                true
            }
            GET_ROUTE if message.flags & NLM_F_DUMP == 0 => {
                match state.ip.route_to(&message) {
                    Ok(route) => put(answers, &message, (NEW_ROUTE, 0), route),
                    Err(errno) => answers.end(&message, NLMSG_ERROR, errno.0),
                }
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
        let words = if self.generic { String::new() } else { words::of(&message) };
        let refused = state.refused.is_some_and(|refused| words.starts_with(refused));
        state.log.extend((!self.generic).then_some(words));
        let done = match incident {
            None if refused => Err(Errno::EEXIST),
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
