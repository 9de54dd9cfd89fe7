//! Removes an interface: its rules, its peers, and the link with its addresses and routes. A stock
//! kernel needs 12 ms a peer to delete a link, and almost no time to delete a link whose peers were
//! removed before.

use proto_core::netlink::IfName;
use proto_core::netlink::route;
use proto_core::netlink::wireguard::{DeviceChange, Event};
use proto_core::protocol::config::Item;
use proto_core::protocol::message::{State, Subject, Summary};

use crate::config::claims::{EachClaim, settle};
use crate::config::index::Extras;
use crate::config::plan::counter;
use crate::fault::Fault;
use crate::kernel::exchange::{Kernel, LinkState, Protocol, SET, steady};
use crate::kernel::read::{each_event, each_on_link, each_rule};
use crate::kernel::write::{set_device, write_item};
use crate::system::{File, NetlinkSocket};

/// Removes all peers of a link, then the link.
///
/// # Errors
/// Kernel errors.
pub fn link<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    set: &mut [u8; SET],
    name: IfName,
    index: u32,
) -> Result<(), Fault> {
    let change = DeviceChange { replace_peers: true, ..DeviceChange::default() };
    set_device(kernel, set, name, Subject::Interface, &change)?;
    kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
        route::link::delete(buf, seq, index)
    })
}

/// What the removal of an interface removes. Its rules are in the extras.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The link, if it exists.
    pub link: Option<LinkState>,
    /// The number of its items.
    pub summary: Summary,
}

/// Finds the parts of an interface with this link, if it has one, and the rules that are removed with it. Changes
/// nothing.
///
/// # Errors
/// Errors of the kernel or of `claims`.
pub fn find<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    extras: &mut Extras<'_, F>,
    (name, link): (IfName, Option<LinkState>),
    claims: &mut EachClaim<'_>,
) -> Result<Found, Fault> {
    kernel.wireguard()?;
    let mut summary = Summary::default();
    steady(kernel.slot, Subject::Interface, &mut || {
        extras.clear()?;
        summary = Summary::default();
        let mut whole = true;
        if let Some(link) = &link {
            let mut peers = 0_u32;
            whole = each_event(kernel, name, &mut |event| {
                peers = peers.saturating_add(u32::from(matches!(event, Event::Peer(_))));
                Ok(())
            })?;
            whole &= each_on_link(kernel, link.index, &mut |item, ours| {
                let removed = &mut counter(&mut summary, item).removed;
                *removed = removed.saturating_add(u32::from(ours));
                Ok(())
            })?;
            summary.peers.removed = peers;
        }
        whole &= each_rule(kernel, &mut |item, ours| {
            if ours { extras.push(&item.key(), false) } else { Ok(()) }
        })?;
        Ok(whole)
    })?;
    settle(extras, false, claims, &mut |_| Ok(()))?;
    each_rule_of(extras, &mut |_| {
        summary.rules.removed = summary.rules.removed.saturating_add(1);
        Ok(())
    })?;
    Ok(Found { link, summary })
}

/// Visits the rules that are removed with the interface.
fn each_rule_of<F: File>(
    extras: &mut Extras<'_, F>,
    take: &mut dyn FnMut(&Item) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut n = 0_u32;
    while let Some((key, sure)) = extras.get(n)? {
        if let (Some(true), Some(rule)) = (sure, Item::from_key(&key)) {
            take(&rule)?;
        }
        n = n.saturating_add(1);
    }
    Ok(())
}

/// Removes the parts that were found.
///
/// # Errors
/// Kernel errors, with [`State::Partly`] if something may have been removed.
pub fn interface<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    extras: &mut Extras<'_, F>,
    set: &mut [u8; SET],
    name: IfName,
    found: &Found,
) -> Result<(), Fault> {
    let mut changed = false;
    let mut removed = each_rule_of(extras, &mut |rule| {
        rule_of(kernel, rule)?;
        changed = true;
        Ok(())
    });
    if let (Ok(()), Some(found)) = (&removed, &found.link) {
        changed = true;
        removed = link(kernel, set, name, found.index);
    }
    removed.map_err(|fault| match changed {
        true => kernel.slot.amend(fault, &|failure| failure.state = State::Partly),
        false => fault,
    })
}

/// Removes the rules that were found, and passes over those that the kernel keeps.
///
/// # Errors
/// [`Code::Storage`](proto_core::protocol::message::Code::Storage).
pub fn rules_if_possible<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    extras: &mut Extras<'_, F>,
) -> Result<(), Fault> {
    each_rule_of(extras, &mut |rule| {
        let _ = rule_of(kernel, rule).map_err(|fault| kernel.slot.take(fault));
        Ok(())
    })
}

fn rule_of<N: NetlinkSocket>(kernel: &mut Kernel<'_, N>, rule: &Item) -> Result<(), Fault> {
    kernel
        .change(Protocol::Route, Subject::Rule, &|buf, seq| write_item(buf, seq, (rule, 0), false))
}
