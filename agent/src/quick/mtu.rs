//! The interface's MTU. If the file has none, it is derived from the paths to the endpoints: the
//! smallest MTU of their routes, else that of the default route, else 1500, minus WireGuard's
//! overhead.

use core::net::IpAddr;

use proto_core::conf::setting::ip_number;
use proto_core::ip::{AF_INET, IpNet};
use proto_core::netlink::Message;
use proto_core::netlink::route::route::{RT_TABLE_MAIN, get, path_mtu};
use proto_core::netlink::route::{Route, RouteFilter, link};
use proto_core::netlink::wireguard::{Event, PeerInfo};
use proto_core::protocol::message::Subject;

use super::process::QuickProcess;
use super::{Exit, Session, WINDOW};
use crate::fault::Fault;
use crate::kernel::exchange::{Protocol, steady};
use crate::kernel::read::each_event_of_whole;
use crate::wg::nets::Nets;

/// IPv6 and UDP headers, and WireGuard's own header and tag.
const AROUND: u32 = 80;
/// The MTU of an unknown path.
const ETHERNET: u32 = 1500;
/// The exit code of `ip` for an unknown word.
const WRONG_WORD: Exit = Exit(255);

/// The outgoing interface of a route, and the MTU of the route if it is smaller than the
/// interface's.
type Way = (Option<u32>, Option<u32>);

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// Sets the MTU and the interface up.
    pub(super) fn set_mtu(&mut self) -> Result<(), Exit> {
        let (name, index) = (self.name, self.index);
        let given = self.conf.mtu;
        let mtu = if given.is_empty() { self.fitting_mtu()? } else { ip_number(&given) };
        match mtu.filter(|_| given.is_empty()) {
            Some(mtu) => self.echo(format_args!("ip link set mtu {mtu} up dev {name}")),
            // As it is in the file.
            None => self.echo(format_args!("ip link set mtu {given} up dev {name}")),
        }
        let Some(mtu) = mtu else {
            let _ = self.wg.say(format_args!("MTU `{given}' is not a number"));
            return Err(WRONG_WORD);
        };
        let set = self.kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
            link::set_mtu(buf, seq, index, mtu)
        });
        let set = set.and_then(|()| {
            self.kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
                link::set_up(buf, seq, index, true)
            })
        });
        set.map_err(|fault| self.refused("cannot set the interface up", fault))
    }

    fn fitting_mtu(&mut self) -> Result<Option<u32>, Exit> {
        let least = self.least_mtu();
        let least = least.map_err(|fault| self.refused("cannot determine the MTU", fault))?;
        Ok(Some(least.unwrap_or(ETHERNET).saturating_sub(AROUND)))
    }

    fn least_mtu(&mut self) -> Result<Option<u32>, Fault> {
        let mut window = [0; WINDOW];
        let mut endpoints = Nets(self.spool(&mut window));
        each_event_of_whole(&mut self.kernel, self.name, &mut |event| {
            match event {
                Event::Device(_) => endpoints.clear(),
                Event::Peer(PeerInfo { endpoint: Some(endpoint), .. })
                    // The path of a link-local address depends on its scope, which is ignored.
                    if !is_local(endpoint.ip()) =>
                {
                    let whole = IpNet { addr: endpoint.ip(), prefix: 0 };
                    endpoints.push(IpNet { prefix: whole.max_prefix(), ..whole })?;
                }
                _ => {}
            }
            Ok(())
        })?;
        let mut least = None;
        for n in 0..endpoints.count() {
            if let Some(net) = endpoints.get(n)? {
                // Without a route there is no MTU.
                let way = self.way_to(net.addr).unwrap_or_default();
                least = least.into_iter().chain(self.mtu_of(way)?).min();
            }
        }
        if least.is_some() {
            return Ok(least);
        }
        let way = self.default_way()?;
        self.mtu_of(way)
    }

    /// The route for packets to an address.
    fn way_to(&mut self, addr: IpAddr) -> Option<Way> {
        let slot = self.wg.slot;
        let mut found = None;
        let asked = self.kernel.ask(
            Protocol::Route,
            Subject::Interface,
            &|buf, seq| get(buf, seq, addr),
            &mut |message| {
                found = Some(way(message).map_err(|error| slot.unreadable(&error))?);
                Ok(())
            },
        );
        asked.ok().and(found)
    }

    /// The first IPv4 default route.
    fn default_way(&mut self) -> Result<Way, Fault> {
        let slot = self.wg.slot;
        let filter = RouteFilter { table: Some(RT_TABLE_MAIN), ..RouteFilter::default() };
        let mut found = None;
        let kernel = &mut self.kernel;
        steady(slot, Subject::Interface, &mut || {
            found = None;
            kernel.dump_family(
                Subject::Interface,
                &|buf, seq, family| filter.list(buf, seq, family),
                AF_INET,
                &mut |message| {
                    let route = Route::parse(message).map_err(|error| slot.unreadable(&error))?;
                    if route.dst.prefix == 0 && filter.matches(&route) && found.is_none() {
                        found = Some(way(message).map_err(|error| slot.unreadable(&error))?);
                    }
                    Ok(())
                },
            )
        })?;
        Ok(found.unwrap_or_default())
    }

    /// The MTU of a route.
    fn mtu_of(&mut self, (oif, mtu): Way) -> Result<Option<u32>, Fault> {
        if mtu.is_some() {
            return Ok(mtu);
        }
        match oif.and_then(|index| self.wg.process.interface_name(index)) {
            Some(name) => Ok(self.kernel.link(name)?.map(|link| link.mtu)),
            None => Ok(None),
        }
    }
}

fn way(message: &Message<'_>) -> Result<Way, proto_core::netlink::ParseError> {
    Ok((Route::parse(message)?.oif, path_mtu(message)?))
}

/// Whether an address needs an interface as its scope.
fn is_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80))
}
