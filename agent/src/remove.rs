//! Taking an interface away: its peers first, then its rules, then the link with its addresses and
//! routes. A stock kernel takes 12 ms a peer to delete a link, and almost nothing to delete one
//! whose peers were removed before.

use proto_core::netlink::IfName;
use proto_core::netlink::route;
use proto_core::netlink::wireguard::Event;
use proto_core::netlink::wireguard::{DeviceChange, SetEncoder};
use proto_core::protocol::config::Item;
use proto_core::protocol::message::{Subject, Summary};

use crate::fault::Fault;
use crate::index::Extras;
use crate::kernel::{Kernel, Protocol, SET, steady};
use crate::plan::counter;
use crate::system::{File, NetlinkSocket};
use crate::walk::{each_event, each_item, each_rule_of, wireguard_link, write_item};

/// Removes all peers of a link, then the link.
///
/// # Errors
/// What the kernel said.
pub fn link<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    set: &mut [u8; SET],
    name: IfName,
    index: u32,
) -> Result<(), Fault> {
    let family = kernel.wireguard()?;
    let mut encoder = SetEncoder::new(set, family, name);
    let change = DeviceChange { replace_peers: true, ..DeviceChange::default() };
    if encoder.device(&change).is_ok() {
        let seq = kernel.next_seq();
        kernel.set(Subject::Interface, seq, encoder.message(seq).unwrap_or_default())?;
    }
    kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
        route::link::delete(buf, seq, index)
    })
}

/// Removes an interface, if it is there, and what the agent made for it. What there was is in the summary.
/// `fwmark` is a mark that its rules may have besides that of the device, or 0.
///
/// # Errors
/// [`Code::WrongKind`], or what the kernel said.
///
/// [`Code::WrongKind`]: proto_core::protocol::message::Code::WrongKind
pub fn interface<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    extras: &mut Extras<'_, F>,
    set: &mut [u8; SET],
    name: IfName,
    fwmark: u32,
) -> Result<Summary, Fault> {
    kernel.wireguard()?;
    let found = wireguard_link(kernel, name)?;
    let mut summary = Summary::default();
    steady(kernel.slot, Subject::Interface, &mut || {
        extras.clear()?;
        summary = Summary::default();
        let (mut marks, mut whole) = ([fwmark, 0], true);
        let mut peers = 0_u32;
        if found.is_some() {
            whole = each_event(kernel, name, &mut |event| {
                match event {
                    Event::Device(device) => marks = [fwmark, device.fwmark],
                    Event::Peer(_) => peers = peers.saturating_add(1),
                    Event::AllowedIp(_) => {}
                }
                Ok(())
            })?;
        }
        let mut take = |item: &Item, ours: bool| {
            if !ours {
                return Ok(());
            }
            let removed = &mut counter(&mut summary, item).removed;
            *removed = removed.saturating_add(1);
            match item {
                Item::Rule(_) => extras.push(&item.key()),
                _ => Ok(()),
            }
        };
        whole &= match &found {
            Some(found) => each_item(kernel, found.index, marks, &mut take)?,
            None => each_rule_of(kernel, marks, &mut take)?,
        };
        summary.peers.removed = peers;
        Ok(whole)
    })?;
    let mut n = 0_u32;
    while let Some(key) = extras.get(n)? {
        if let Some(rule) = Item::from_key(&key) {
            kernel.change(Protocol::Route, Subject::Rule, &|buf, seq| {
                write_item(buf, seq, (&rule, 0), false)
            })?;
        }
        n = n.saturating_add(1);
    }
    if let Some(found) = found {
        link(kernel, set, name, found.index)?;
    }
    Ok(summary)
}
