//! A kernel with interfaces, addresses, routes and rules that does what it is sent, refuses a request of one's
//! choice, and can be shut down in the middle.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proto_core::ip::IpNet;
use proto_core::netlink::genl::{GENL_ID_CTRL, GenlHeader};
use proto_core::netlink::route::{Addr, Route, Rule};
use proto_core::netlink::wireguard::attr::{WG_CMD_SET_DEVICE, WGDEVICE_A_IFNAME};
use proto_core::netlink::{Errno, Message, Messages, NLMSG_DONE, NLMSG_ERROR};

use super::deliver;
use crate::system::{Datagram, NetlinkSocket};
use crate::wg::tests::fake::{Answers, Device, FAMILY, FakePeer, set};

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDR: u16 = 20;
const DEL_ADDR: u16 = 21;
const GET_ADDR: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const DEL_RULE: u16 = 33;
const GET_RULE: u16 = 34;

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;

/// An interface.
#[derive(Clone, Debug)]
struct Link {
    index: u32,
    up: bool,
    mtu: u32,
    device: Device,
}

/// What hangs on links, and the message that it was made with, which is how it is told.
type Made<T> = Vec<(T, Vec<u8>)>;

/// What the machine has, apart from the order in which it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) links: Vec<(String, bool, u32, Vec<u8>, u16, u32)>,
    pub(crate) peers: Vec<(String, FakePeer)>,
    pub(crate) others: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<String, Link>,
    last_index: u32,
    addresses: Made<(u32, IpNet)>,
    routes: Made<Route>,
    rules: Made<Rule>,
    /// Requests for a change so far, and the one that something happens to.
    changes: usize,
    at: Option<(usize, Incident)>,
    dead: bool,
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Incident {
    /// It is refused.
    Refused(Errno),
    /// It and all that follow are refused.
    Broken(Errno),
    /// Somebody deletes all interfaces before it.
    Deleted,
    /// The machine, or the agent, is gone: it and all that follow get no answer.
    Gone,
}

/// The machine. Clones are the same one.
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
    pub(crate) fn socket(&self, generic: bool) -> Wire {
        Wire { world: self.clone(), generic, answers: Answers::default() }
    }

    pub(crate) fn changes(&self) -> usize {
        self.0.borrow().changes
    }

    /// Something happens to the request for a change of that number, counted from now on.
    pub(crate) fn incident(&self, change: usize, incident: Incident) {
        let mut state = self.0.borrow_mut();
        state.at = Some((state.changes + change, incident));
    }

    /// The agent is started again.
    pub(crate) fn revive(&self) {
        let mut state = self.0.borrow_mut();
        (state.dead, state.at) = (false, None);
    }

    /// The machine is started again: nothing is left.
    pub(crate) fn reboot(&self) {
        *self.0.borrow_mut() = State::default();
    }

    /// Changes the device of an interface, as somebody on the router would.
    pub(crate) fn meddle(&self, name: &str, change: impl FnOnce(&mut Device)) {
        change(&mut self.0.borrow_mut().links.get_mut(name).unwrap().device);
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.0.borrow();
        let mut seen = Seen { links: Vec::new(), peers: Vec::new(), others: Vec::new() };
        for (name, Link { index, up, mtu, device }) in &state.links {
            let Device { private_key, port, fwmark, .. } = device;
            seen.links.push((name.clone(), *up, *mtu, private_key.clone(), *port, *fwmark));
            for peer in &device.peers {
                let mut peer = peer.clone();
                peer.ips.sort_unstable();
                seen.peers.push((name.clone(), peer));
            }
            let on = |other: u32| other == *index;
            let addresses = state.addresses.iter().filter(|((oif, _), _)| on(*oif));
            seen.others.extend(addresses.map(|((_, net), _)| format!("{name} {net}")));
            let routes = state.routes.iter().filter(|(route, _)| route.oif.is_some_and(on));
            seen.others.extend(routes.map(|(route, _)| {
                format!("{name} {} table {} metric {}", route.dst, route.table, route.metric)
            }));
        }
        seen.others.extend(state.rules.iter().map(|(rule, _)| format!("{rule:?}")));
        seen.peers.sort_unstable_by(|a, b| (&a.0, &a.1.key).cmp(&(&b.0, &b.1.key)));
        seen.others.sort_unstable();
        seen
    }
}

impl State {
    fn drop_link(&mut self, name: &str) {
        let Some(link) = self.links.remove(name) else { return };
        self.addresses.retain(|((oif, _), _)| *oif != link.index);
        self.routes.retain(|(route, _)| route.oif != Some(link.index));
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
        let body = message.payload.to_vec();
        // A request is read as what it makes.
        let as_new = |ty| Message { ty, ..*message };
        match message.ty {
            NEW_LINK | SET_LINK | DEL_LINK => {
                let (header, attributes) = message.split::<16>().unwrap();
                let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
                let find = |ty| attributes.clone().flatten().find(|a| a.ty == ty);
                if let Some(name) = find(IFLA_IFNAME) {
                    self.last_index += 1;
                    let (index, device) = (self.last_index, Device::default());
                    let link = Link { index, up: false, mtu: 1420, device };
                    self.links.insert(name.str().unwrap().to_owned(), link);
                    return Ok(());
                }
                let name = self.name_of(word(4))?;
                if message.ty == DEL_LINK {
                    self.drop_link(&name);
                    return Ok(());
                }
                let mtu = find(IFLA_MTU).map(|mtu| mtu.u32().unwrap());
                let link = self.links.get_mut(&name).unwrap();
                link.mtu = mtu.unwrap_or(link.mtu);
                if word(12) & 1 != 0 {
                    link.up = word(8) & 1 != 0;
                }
            }
            NEW_ADDR | DEL_ADDR => {
                let addr = Addr::parse(&as_new(NEW_ADDR)).unwrap();
                self.name_of(addr.index)?;
                let (key, before) = ((addr.index, addr.net), self.addresses.len());
                self.addresses.retain(|(other, _)| *other != key);
                match (message.ty, self.addresses.len() < before) {
                    (NEW_ADDR, _) => self.addresses.push((key, body)),
                    (_, false) => return Err(Errno::EADDRNOTAVAIL),
                    _ => {}
                }
            }
            NEW_ROUTE | DEL_ROUTE => {
                let route = Route::parse(&as_new(NEW_ROUTE)).unwrap();
                self.name_of(route.oif.unwrap())?;
                let key = |route: &Route| (route.table, route.dst, route.metric);
                let before = self.routes.len();
                if message.ty == NEW_ROUTE {
                    if self.routes.iter().any(|(other, _)| key(other) == key(&route)) {
                        return Err(Errno::EEXIST);
                    }
                    self.routes.push((route, body));
                } else {
                    self.routes.retain(|(other, _)| key(other) != key(&route));
                    if self.routes.len() == before {
                        return Err(Errno::ESRCH);
                    }
                }
            }
            NEW_RULE => self.rules.push((Rule::parse(message).unwrap(), body)),
            DEL_RULE => {
                let rule = Rule::parse(&as_new(NEW_RULE)).unwrap();
                let found = self.rules.iter().position(|(other, _)| *other == rule);
                self.rules.remove(found.ok_or(Errno::ENOENT)?);
            }
            other => panic!("request {other}"),
        }
        Ok(())
    }

    fn dump(&self, answers: &mut Answers, message: &Message<'_>) {
        let (ty, made): (u16, Vec<&Vec<u8>>) = match message.ty {
            GET_ADDR => (NEW_ADDR, self.addresses.iter().map(|(_, body)| body).collect()),
            GET_ROUTE => (NEW_ROUTE, self.routes.iter().map(|(_, body)| body).collect()),
            GET_RULE => (NEW_RULE, self.rules.iter().map(|(_, body)| body).collect()),
            other => panic!("list {other}"),
        };
        let family = message.payload[0];
        for body in made.into_iter().filter(|body| body[0] == family) {
            answers.answer(|w| {
                w.message(ty, 2, message.seq, 7).unwrap();
                w.header(body).unwrap();
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
        let message = Messages::new(datagram).next().unwrap().unwrap();
        let world = self.world.clone();
        let mut state = world.0.borrow_mut();
        if state.dead {
            return Ok(());
        }
        let answers = &mut self.answers;
        let looks = match message.ty {
            GENL_ID_CTRL if self.generic => {
                answers.family(&message);
                answers.end(&message, NLMSG_ERROR, 0);
                return Ok(());
            }
            FAMILY if self.generic => {
                let (header, attributes) = GenlHeader::parse(&message).unwrap();
                let named = attributes.flatten().find(|a| a.ty == WGDEVICE_A_IFNAME);
                let name = named.unwrap().str().unwrap().to_owned();
                match state.links.get(&name) {
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
                        let words = [0, link.index, link.up.into(), 0].map(u32::to_ne_bytes);
                        w.header(&words.concat()).unwrap();
                        w.string(IFLA_IFNAME, name).unwrap();
                        w.u32(IFLA_MTU, link.mtu).unwrap();
                        let info = w.nest_start(18).unwrap();
                        w.string(1, "wireguard").unwrap();
                        w.nest_end(info);
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
        answers.end(&message, NLMSG_ERROR, done.err().map_or(0, |errno| errno.0));
        Ok(())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        deliver(&mut self.answers.0, buf)
    }
}
