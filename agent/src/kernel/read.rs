//! The kernel's tables, entry by entry: addresses, routes, rules, and a device with its peers, in
//! the types of an image.
//!
//! Not here: the use of the entries (`plan`, `report`, `snapshot`, `remove`).

use proto_core::ip::AF_INET6;
use proto_core::netlink::IfName;
use proto_core::netlink::route::route::RTN_UNICAST;
use proto_core::netlink::route::{self, Addr, RouteFilter};
use proto_core::netlink::wireguard::{Event, GetDecoder, get};
use proto_core::protocol::config::{Item, Route, Rule};
use proto_core::protocol::message::{Code, Subject};

use crate::fault::Fault;
use crate::kernel::exchange::{Kernel, LinkState, Protocol, steady};
use crate::kernel::write::PROTOCOL;
use crate::system::NetlinkSocket;

/// Converts a route to the form in an image.
#[must_use]
pub const fn wanted_route(route: &route::Route) -> Route {
    let wanted = Route { table: route.table, metric: route.metric, to: route.dst };
    Route { metric: wanted.plain_metric(), ..wanted }
}

/// Converts a rule to the form in an image; `None` if an image cannot express it.
#[must_use]
pub fn wanted_rule(rule: &route::Rule) -> Option<Rule> {
    (!rule.other && rule.fwmask.is_none()).then_some(Rule {
        v6: rule.family == AF_INET6,
        priority: rule.priority.unwrap_or(0),
        table: rule.table,
        fwmark: rule.fwmark,
        invert: rule.invert,
        suppress_prefixlength: rule.suppress_prefixlen,
    })
}

/// The link of that name, if it exists. It must be a WireGuard interface.
///
/// # Errors
/// [`Code::WrongKind`].
pub fn wireguard_link<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
) -> Result<Option<LinkState>, Fault> {
    match kernel.link(name)? {
        Some(link) if !link.wireguard => {
            let text = "there is an interface of that name that is not a WireGuard interface";
            Err(kernel.slot.fail(Code::WrongKind, Subject::Interface, text))
        }
        link => Ok(link),
    }
}

/// Takes an address, a route or a rule, and whether an agent added it, as far as the kernel can
/// tell. An address counts as ours; `claims` decides about rules.
pub type TakeItem<'t> = dyn FnMut(&Item, bool) -> Result<(), Fault> + 't;

/// Visits the addresses of a link, then its routes. `Ok(false)` when they changed meanwhile.
///
/// # Errors
/// Errors of the kernel or of `take`.
pub fn each_on_link<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    index: u32,
    take: &mut TakeItem<'_>,
) -> Result<bool, Fault> {
    let filter = RouteFilter { oif: Some(index), table: None, protocol: None };
    let slot = kernel.slot;
    let addresses = kernel.dump_both(
        Subject::Interface,
        &|buf, seq, family| route::addr::list(buf, seq, family, Some(index)),
        &mut |message| {
            let addr = Addr::parse(message).map_err(|error| slot.unreadable(&error))?;
            // A point-to-point address was added by hand or by another program: an image cannot
            // express it.
            if addr.index == index && addr.peer.is_none() {
                take(&Item::Address(addr.net), true)?;
            }
            Ok(())
        },
    )?;
    if !addresses {
        return Ok(false);
    }
    kernel.dump_both(
        Subject::Interface,
        &|buf, seq, family| filter.list(buf, seq, family),
        &mut |message| {
            let route = route::Route::parse(message).map_err(|error| slot.unreadable(&error))?;
            let plain = route.kind == RTN_UNICAST && route.gateway.is_none() && !route.other;
            if filter.matches(&route) && plain {
                take(&Item::Route(wanted_route(&route)), route.protocol == PROTOCOL)?;
            }
            Ok(())
        },
    )
}

/// Visits the policy rules of both families that an image can express. `Ok(false)` when they
/// changed meanwhile.
///
/// # Errors
/// Errors of the kernel or of `take`.
pub fn each_rule<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    take: &mut TakeItem<'_>,
) -> Result<bool, Fault> {
    let slot = kernel.slot;
    kernel.dump_both(Subject::Rule, &route::rule::list, &mut |message| {
        let rule = route::Rule::parse(message).map_err(|error| slot.unreadable(&error))?;
        match wanted_rule(&rule) {
            Some(wanted) => take(&Item::Rule(wanted), rule.protocol == PROTOCOL),
            None => Ok(()),
        }
    })
}

/// Reads a device, again if it changed meanwhile. Each attempt begins with [`Event::Device`], with
/// which `take` drops what it has from the attempt before.
///
/// # Errors
/// Errors of the kernel or of `take`.
pub fn each_event_of_whole<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    take: &mut dyn FnMut(&Event) -> Result<(), Fault>,
) -> Result<(), Fault> {
    steady(kernel.slot, Subject::Interface, &mut || each_event(kernel, name, take))
}

/// Reads a device. `Ok(false)` when it changed meanwhile.
///
/// # Errors
/// Errors of the kernel or of `take`.
pub fn each_event<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    take: &mut dyn FnMut(&Event) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    if let Some(told) = kernel.each_event_of_program(take) {
        // The list was consistent.
        return told.map(|()| true);
    }
    let slot = kernel.slot;
    let family = kernel.wireguard()?;
    let mut decoder = GetDecoder::new(family);
    kernel.dump(
        Protocol::Generic,
        Subject::Interface,
        &|buf, seq| get::request(buf, family, seq, name),
        &mut |message| {
            let mut events = decoder.message(message);
            while let Some(event) = events.advance() {
                take(event.map_err(|error| slot.unreadable(&error))?)?;
            }
            Ok(())
        },
    )
}
