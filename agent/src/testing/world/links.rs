//! Links: created, changed, removed and listed.

use proto_core::netlink::read::Attributes;
use proto_core::netlink::{Errno, Message, NLMSG_DONE, NLMSG_ERROR};

use super::answers::Answers;
use super::device::Device;
use super::ip::Port;
use super::{DEL_LINK, NEW_LINK, State};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_INFO_KIND: u16 = 1;

/// An interface.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) up: bool,
    pub(super) mtu: u32,
    pub(super) kind: String,
    pub(super) alias: Vec<u8>,
    /// The MAC address of hardware, which has no kind.
    pub(super) mac: Option<[u8; 6]>,
    pub(super) device: Device,
}

impl Link {
    pub(super) const fn port(&self) -> Port {
        Port { index: self.index, up: self.up, mtu: self.mtu }
    }
}

impl State {
    /// A WireGuard interface of the kernel.
    pub(super) fn wireguard(&mut self, name: &str) -> Result<&mut Link, Errno> {
        let link = self.links.get_mut(name).ok_or(Errno::ENODEV)?;
        if link.kind == "wireguard" { Ok(link) } else { Err(Errno::EOPNOTSUPP) }
    }

    pub(super) fn drop_link(&mut self, name: &str) {
        let Some(link) = self.links.remove(name) else { return };
        self.ip.promotes.remove(&link.index);
        self.ip.unplugged(link.index);
    }

    pub(super) fn name_of(&self, index: u32) -> Result<String, Errno> {
        let found = self.links.iter().find(|(_, link)| link.index == index);
        found.map(|(name, _)| name.clone()).ok_or(Errno::ENODEV)
    }

    pub(super) fn change_link(&mut self, message: &Message<'_>) -> Result<(), Errno> {
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
    pub(super) fn make_link(
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
        if self.no_wireguard && kind.str() == Ok("wireguard") {
            return Err(Errno::EOPNOTSUPP);
        }
        let (kind, device) = (kind.str().unwrap().to_owned(), Device::default());
        let (up, mtu, alias, mac) = (false, 1420, Vec::new(), None);
        self.links.insert(name, Link { index, up, mtu, kind, alias, mac, device });
        Ok(())
    }

    /// Answers a request for one link by name, or for all.
    pub(super) fn list_links(&self, answers: &mut Answers, message: &Message<'_>) {
        let (_, attributes) = message.split::<16>().unwrap();
        let named = attributes.flatten().find(|a| a.ty == IFLA_IFNAME);
        let named = named.map(|name| name.str().unwrap());
        let found = self.links.iter().filter(|(name, _)| named.is_none_or(|n| *n == **name));
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
                    w.nest(IFLA_LINKINFO, |info| info.string(IFLA_INFO_KIND, &link.kind)).unwrap();
                }
            });
        }
        match named {
            None => answers.end(message, NLMSG_DONE, 0),
            Some(_) if found.is_empty() => {
                answers.end(message, NLMSG_ERROR, Errno::ENODEV.0);
            }
            Some(_) => answers.end(message, NLMSG_ERROR, 0),
        }
    }
}
