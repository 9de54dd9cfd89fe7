//! Requests that change the kernel: the addresses, routes and rules of an image, and WireGuard messages that are
//! filled and sent.
//!
//! Not here: which changes are made, and in which order (`config`, `wg`, `quick`, `remove`).

use proto_core::netlink::route::{self, Addr, IfExists};
use proto_core::netlink::wireguard::{DeviceChange, SetEncoder, SetError};
use proto_core::netlink::{Errno, Full, IfName};
use proto_core::protocol::config::{Item, Route, Rule};
use proto_core::protocol::message::{Code, Subject};

use crate::fault::{Fault, Slot};
use crate::kernel::exchange::Kernel;
use crate::system::NetlinkSocket;

/// Marks routes and rules as ours (`rtm_protocol`, `FRA_PROTOCOL`), so that routes and rules of
/// other programs are left alone. `/etc/iproute2/rt_protos` does not assign this number.
pub const PROTOCOL: u8 = 87;

/// A route of an image in rtnetlink's type.
const fn device_route(wanted: &Route, index: u32) -> route::Route {
    let device = route::Route::device(wanted.to, index, wanted.table, PROTOCOL);
    let metric = if wanted.metric == 0 { device.metric } else { wanted.metric };
    route::Route { metric, ..device }
}

/// A rule of an image in rtnetlink's type.
const fn policy_rule(wanted: &Rule) -> route::Rule {
    route::Rule {
        priority: Some(wanted.priority),
        fwmark: wanted.fwmark,
        invert: wanted.invert,
        suppress_prefixlen: wanted.suppress_prefixlength,
        protocol: PROTOCOL,
        ..route::Rule::new(wanted.family(), wanted.table)
    }
}

/// Writes the request that adds or removes an address, a route or a rule of a link. Does nothing
/// for peers, which are sent in other messages.
///
/// # Errors
/// The request does not fit.
pub fn write_item<'b>(
    buf: &'b mut [u8],
    seq: u32,
    (item, index): (&Item, u32),
    comes: bool,
) -> Result<&'b [u8], Full> {
    match item {
        Item::Address(net) => {
            let addr = Addr::new(index, *net);
            if comes { addr.add(buf, seq, IfExists::Fail) } else { addr.delete(buf, seq) }
        }
        Item::Route(route) => {
            let route = device_route(route, index);
            if comes { route.add(buf, seq, IfExists::Fail) } else { route.delete(buf, seq) }
        }
        Item::Rule(rule) => {
            let rule = policy_rule(rule);
            if comes { rule.add(buf, seq) } else { rule.delete(buf, seq) }
        }
        Item::Peer(_) => Ok(&[]),
    }
}

/// Changes settings of a device. `set` is for the message, `about` the subject of a refusal.
#[inline(never)]
pub(crate) fn set_device<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    set: &mut [u8],
    name: IfName,
    about: Subject,
    change: &DeviceChange,
) -> Result<(), Fault> {
    let family = kernel.wireguard()?;
    let mut encoder = SetEncoder::new(set, family, name);
    encoder.device(change).map_err(|error| encoding(kernel.slot, error))?;
    flush(kernel, &mut encoder, about)
}

/// Sends the encoded message. `about` is the subject of a refusal.
pub(crate) fn flush<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    encoder: &mut SetEncoder<'_>,
    about: Subject,
) -> Result<(), Fault> {
    let seq = kernel.next_seq();
    match encoder.message(seq) {
        Some(message) => kernel.set(about, seq, message),
        None => Ok(()),
    }
}

/// Adds a piece. Sends the message first if it is full. Returns whether a message was sent.
pub(crate) fn put<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    encoder: &mut SetEncoder<'_>,
    about: Subject,
    piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>,
) -> Result<bool, Fault> {
    match piece(encoder) {
        Ok(()) => Ok(false),
        Err(SetError::Full) => {
            flush(kernel, encoder, about)?;
            piece(encoder).map_err(|error| encoding(kernel.slot, error))?;
            Ok(true)
        }
        Err(error) => Err(encoding(kernel.slot, error)),
    }
}

/// Records that a piece cannot be encoded.
pub(crate) fn encoding(slot: &Slot, error: SetError) -> Fault {
    slot.say(Code::Config, Subject::None, Errno(0), format_args!("{error}"))
}
