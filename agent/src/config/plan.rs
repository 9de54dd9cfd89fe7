//! The differences between an image and the kernel. The kernel's tables are read entry by entry,
//! and each entry is looked up in the index. Entries with equal values are marked; entries that are
//! not in the image are recorded in the extras. Nothing is changed here.
//!
//! The same comparison verifies a change: without differences, the kernel's state matches the
//! image.

use core::net::IpAddr;

use proto_core::conf::routing::has_own_route;
use proto_core::ip::IpNet;
use proto_core::key::PublicKey;
use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{DeviceInfo, PeerInfo};
use proto_core::protocol::config::{
    Interface, Item, ItemKey, PLACE_OF_RULE, Peer, PrivateKey, Record,
};
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::message::{Code, Count, Phase, Subject, Summary, device, peer};

use crate::config::claims::{self, EachClaim};
use crate::config::image::Records;
use crate::config::index::{Entry, Extras, Index, Mark, REMAKE};
use crate::config::peers::{self, Met};
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, LinkState, steady};
use crate::kernel::families;
use crate::kernel::links::Links;
use crate::kernel::read::{each_on_link, each_rule, wireguard_link};
use crate::store::snapshot::Parts;
use crate::system::{File, NetlinkSocket};

/// The staged image with everything that is known about it.
#[derive(Debug)]
pub struct Work<'f, F> {
    /// Where failures are recorded.
    pub slot: &'f Slot,
    /// The file with the image.
    pub image: &'f mut F,
    /// The end of the image in the file.
    pub end: u32,
    /// Its items.
    pub index: Index<'f, F>,
    /// What the kernel has beyond the image.
    pub extras: Extras<'f, F>,
    /// The key of [`SetSum`](crate::config::set_sum::SetSum).
    pub key: [u8; 16],
    /// Whether the link should be up.
    pub up: bool,
    /// The links of endpoint scopes.
    pub links: Links,
    /// `Some` for a snapshot: the places of its parts in the file of the image.
    pub parts: Option<Parts>,
}

/// A position on a walk through the items of an image, or through the extras.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The number of the next item.
    pub next: u32,
    /// The item.
    pub item: Item,
    /// Its state, for an item of the image.
    pub mark: Mark,
    /// The offset of its record, for an item of the image.
    pub offset: u32,
}

impl Step {
    /// Before item number `next`.
    #[must_use]
    pub const fn before(next: u32) -> Self {
        let item = Item::Peer(PublicKey([0; 32]));
        Self { next, item, mark: Mark::Missing, offset: 0 }
    }
}

impl<F: File> Work<'_, F> {
    /// The records of the image from `offset`.
    pub fn records(&mut self, offset: u32) -> Records<'_, F> {
        Records::new(self.slot, self.image, offset, self.end).on(&self.links)
    }

    /// Advances to the next item of the image, or to the next that differs in the kernel. Returns
    /// `false` at the end.
    ///
    /// # Errors
    /// [`Code::Storage`].
    #[inline(never)]
    pub fn wanted(&mut self, step: &mut Step, same_too: bool) -> Result<bool, Fault> {
        while let Some(entry) = self.index.get(step.next)? {
            step.next = step.next.saturating_add(1);
            if (same_too || entry.mark != Mark::Same)
                && let Some(item) = Item::from_key(&entry.key)
            {
                (step.item, step.mark, step.offset) = (item, entry.mark, entry.offset);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Advances to the next item that the kernel has beyond the image. Returns `false` at the end.
    ///
    /// # Errors
    /// [`Code::Storage`].
    #[inline(never)]
    pub fn extra(&mut self, step: &mut Step) -> Result<bool, Fault> {
        while let Some((key, sure)) = self.extras.get(step.next)? {
            step.next = step.next.saturating_add(1);
            if sure == Some(true)
                && let Some(item) = Item::from_key(&key)
            {
                step.item = item;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Decides which of the open extras are removed.
    fn settle_claims(&mut self, each: &mut EachClaim<'_>) -> Result<(), Fault> {
        let Self { slot, image, index, extras, parts, .. } = self;
        claims::settle(
            extras,
            false,
            &mut |take| match *parts {
                Some(parts) => claims::each_record(slot, *image, parts.added, None, take),
                None => each(take),
            },
            &mut |key| {
                // The kernel removes the first rule of a family, priority and table that has the mark of
                // the request, or any if the request has none.
                let same_place = key.0.get(..PLACE_OF_RULE).unwrap_or_default();
                if key.0.first() == Some(&RULE_KIND)
                    && parts.is_none()
                    && let Some(n) = index.number_of(same_place)?
                    && !index.get(n)?.is_some_and(|own| differ_in_mark(key, &own.key))
                {
                    let text = "another interface has a rule of this priority and table: choose \
                                another priority";
                    return Err(slot.fail(Code::Config, Subject::Rule, text));
                }
                Ok(())
            },
        )
    }
}

/// Whether these are two rules with different marks.
fn differ_in_mark(one: &ItemKey, other: &ItemKey) -> bool {
    let mark = |key| match Item::from_key(key) {
        Some(Item::Rule(rule)) => rule.fwmark,
        _ => None,
    };
    matches!((mark(one), mark(other)), (Some(one), Some(other)) if one != other)
}

/// The first byte of a rule's key.
const RULE_KIND: u8 = 3;

/// The changes to make.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The link, if it exists.
    pub link: Option<LinkState>,
    /// The device, if the link exists.
    pub device: Option<DeviceInfo>,
    /// The number of changes of each kind. The items are in the index and the extras.
    pub summary: Summary,
}

impl Plan {
    /// Whether anything but addresses, routes and rules differs.
    #[must_use]
    pub const fn other_than_items(&self) -> bool {
        let Summary { created, device, peers, .. } = &self.summary;
        *created || *device != 0 || peers.added > 0 || peers.changed > 0 || peers.removed > 0
    }
}

/// The purpose of a comparison, which is stricter before a change than after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To find what must be changed.
    Change,
    /// To find what was changed since the last push. An endpoint that moved with its peer, or that
    /// was looked up by name, is not a difference.
    Repair,
    /// To find the differences from a snapshot. WireGuard cannot unset a peer's endpoint,
    /// so a peer without a handshake is removed and added again, which loses nothing.
    Undo,
    /// To verify that the kernel accepted the change. Endpoints as for a repair.
    Verify,
}

/// Compares the image in `work` with the kernel. The result is put into `plan`.
///
/// # Errors
/// [`Code::NoWireGuard`], [`Code::WrongKind`], [`Code::Permission`], any kernel error, and
/// [`Code::Storage`].
pub fn compare<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    interface: &Interface,
    purpose: Purpose,
    plan: &mut Plan,
    claims: &mut EachClaim<'_>,
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<(), Fault> {
    let slot = kernel.slot;
    let name = interface.name;
    kernel.wireguard()?;
    steady(slot, Subject::Interface, &mut || {
        *plan = Plan::default();
        compare_once(kernel, work, (name, interface), purpose, plan, claims, working)
    })?;
    if matches!(purpose, Purpose::Change | Purpose::Repair) {
        families::check(kernel, work)?;
    }
    Ok(())
}

fn compare_once<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    (name, interface): (IfName, &Interface),
    purpose: Purpose,
    Plan { link, device: found, summary }: &mut Plan,
    claims: &mut EachClaim<'_>,
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<bool, Fault> {
    work.index.unmark()?;
    work.extras.clear()?;
    *link = wireguard_link(kernel, name)?;
    if let Some(link) = link {
        // Addresses and routes of a snapshot are not among its items (`restore`).
        let whole = (work.parts.is_some()
            || each_on_link(kernel, link.index, &mut |item, ours| meet(work, item, ours))?)
            && {
                let key = work.key;
                let mut pushed = Pushed { work, purpose, seen: 0, working };
                peers::compare(kernel, name, &key, &mut pushed, found)?
            };
        if !whole {
            return Ok(false);
        }
    }
    if !each_rule(kernel, &mut |item, ours| meet(work, item, ours))? {
        return Ok(false);
    }
    work.settle_claims(claims)?;
    count(work, summary)?;
    summary.created = link.is_none();
    summary.device = device_changes(interface, link.as_ref(), found.as_ref());
    if !work.up {
        summary.device &= !device::UP;
    }
    if let Some(found) = found {
        summary.public_key = found.public_key;
        summary.listen_port = Some(found.listen_port).filter(|port| *port != 0);
    }
    if let (0, Some(own)) = (summary.device & device::PRIVATE_KEY, summary.public_key)
        && work.index.number_of(&Item::Peer(own).key().0)?.is_some()
    {
        let text = "the peer is this interface itself";
        return Err(work.slot.fail(Code::Config, Subject::Peer(own), text));
    }
    Ok(true)
}

fn device_changes(
    interface: &Interface,
    link: Option<&LinkState>,
    found: Option<&DeviceInfo>,
) -> u8 {
    let has = found.and_then(|device| device.private_key.as_ref());
    let key = match &interface.private_key {
        PrivateKey::None => has.is_some(),
        PrivateKey::Given(key) => has != Some(&key.clone().clamped()),
        PrivateKey::Generate => has.is_none(),
    };
    let port =
        interface.listen_port.is_some_and(|port| found.is_none_or(|d| d.listen_port != port));
    let fwmark = found.map_or(0, |device| device.fwmark) != interface.fwmark;
    let mtu = link.is_none_or(|link| link.mtu != interface.mtu);
    let up = link.is_none_or(|link| !link.up);
    [
        (key, device::PRIVATE_KEY),
        (port, device::LISTEN_PORT),
        (fwmark, device::FWMARK),
        (mtu, device::MTU),
        (up, device::UP),
    ]
    .iter()
    .filter(|(differs, _)| *differs)
    .fold(0, |bits, (_, bit)| bits | bit)
}

/// Looks up an item of the kernel: marks it as equal, or records it as an extra.
fn meet<F: File>(work: &mut Work<'_, F>, item: &Item, ours: bool) -> Result<(), Fault> {
    let key = item.key();
    match work.index.number_of(&key.0)? {
        Some(_) if !ours && goes_with_address(work, item)? => Ok(()),
        Some(n) => work.index.mark(n, Mark::Same),
        None if ours => {
            let sure = match item {
                Item::Rule(_) => false,
                Item::Address(net) => !link_local(net),
                Item::Route(_) | Item::Peer(_) => true,
            };
            work.extras.push(&key, sure)
        }
        None => Ok(()),
    }
}

/// Whether the kernel added a route for an address that the change removes, and removes the route with the address.
/// Such a route of the image must be added, so it can be in use by another interface.
#[inline(never)]
fn goes_with_address<F: File>(work: &mut Work<'_, F>, item: &Item) -> Result<bool, Fault> {
    let Item::Route(route) = item else { return Ok(false) };
    let makes = |item: &Item| matches!(item, Item::Address(net) if has_own_route(net) && net.masked() == route.to);
    let (mut goes, mut step) = (false, Step::before(0));
    while !goes && work.extra(&mut step)? {
        goes = makes(&step.item);
    }
    step = Step::before(0);
    while goes && work.wanted(&mut step, true)? {
        goes = !makes(&step.item);
    }
    Ok(goes)
}

const fn link_local(net: &IpNet) -> bool {
    matches!(net.addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

/// The peers of an image, for the engine's comparison.
struct Pushed<'a, 'f, F> {
    work: &'a mut Work<'f, F>,
    purpose: Purpose,
    seen: u32,
    working: &'a mut dyn FnMut(Phase, u32, u32),
}

impl<F: File> peers::Wanted for Pushed<'_, '_, F> {
    fn meet(&mut self, info: &PeerInfo) -> Result<Option<Met>, Fault> {
        self.seen = self.seen.saturating_add(1);
        if self.seen.is_multiple_of(256) {
            let phase = match self.purpose {
                Purpose::Change | Purpose::Repair | Purpose::Undo => Phase::Comparing,
                Purpose::Verify => Phase::Verifying,
            };
            (self.working)(phase, self.seen, 0);
        }
        let key = Item::Peer(info.public_key).key();
        let Some((n, entry)) = self.work.index.find(&key)? else {
            self.work.extras.push(&key, true)?;
            return Ok(None);
        };
        let fields = peer_changes(self.work, &entry, info, self.purpose)?;
        Ok(Some(Met { n, fields, allowed_ips: entry.allowed_ips }))
    }

    fn settle(&mut self, n: u32, mark: Mark) -> Result<(), Fault> {
        self.work.index.mark(n, mark)
    }
}

/// The settings of a peer of an image.
pub(crate) fn settings(peer: &Peer) -> peers::Settings<'_> {
    peers::Settings {
        endpoint: peer.endpoint.map(PeerEndpoint::addr),
        preshared_key: peer.preshared_key.as_ref().filter(|key| !key.is_zero()),
        persistent_keepalive: peer.persistent_keepalive,
    }
}

/// The next record, which must be a peer.
///
/// # Errors
/// `Code::Storage`.
pub fn peer_record<'r, F: File>(records: &'r mut Records<'_, F>) -> Result<&'r Peer, Fault> {
    let slot = records.file.slot;
    match records.next()? {
        Some(Record::Peer(peer)) => Ok(peer),
        _ => Err(slot.fail(Code::Storage, Subject::None, "the staged image has changed")),
    }
}

fn peer_changes<F: File>(
    work: &mut Work<'_, F>,
    entry: &Entry,
    info: &PeerInfo,
    purpose: Purpose,
) -> Result<u8, Fault> {
    let mut records = work.records(entry.offset);
    let wanted = peer_record(&mut records)?;
    let settings = settings(wanted);
    let differing = settings.differing(info);
    let remake = purpose == Purpose::Undo
        && settings.endpoint.is_none()
        && info.endpoint.is_some()
        && info.latest_handshake.is_none();
    let exact = matches!(purpose, Purpose::Change | Purpose::Undo);
    let may_move = !exact
        && (info.latest_handshake.is_some() || matches!(records.next()?, Some(Record::Host(_))));
    let fields = if may_move { differing & !peer::ENDPOINT } else { differing };
    Ok(if remake { fields | REMAKE } else { fields })
}

fn count<F: File>(work: &mut Work<'_, F>, summary: &mut Summary) -> Result<(), Fault> {
    let mut step = Step::before(0);
    while work.wanted(&mut step, true)? {
        let count = counter(summary, &step.item);
        let number = match step.mark {
            Mark::Missing => &mut count.added,
            Mark::Same => &mut count.same,
            Mark::Differs(_) => &mut count.changed,
        };
        *number = number.saturating_add(1);
    }
    step = Step::before(0);
    while work.extra(&mut step)? {
        let removed = &mut counter(summary, &step.item).removed;
        *removed = removed.saturating_add(1);
    }
    Ok(())
}

/// The counter of changes of this kind of item.
pub(crate) const fn counter<'s>(summary: &'s mut Summary, item: &Item) -> &'s mut Count {
    match item {
        Item::Address(_) => &mut summary.addresses,
        Item::Route(_) => &mut summary.routes,
        Item::Rule(_) => &mut summary.rules,
        Item::Peer(_) => &mut summary.peers,
    }
}

/// The subject of a failure about this item.
#[must_use]
#[inline(never)]
pub const fn subject(item: &Item) -> Subject {
    match item {
        Item::Address(net) => Subject::Address(*net),
        Item::Route(route) => Subject::Route(route.to),
        Item::Rule(_) => Subject::Rule,
        Item::Peer(key) => Subject::Peer(*key),
    }
}

/// Fails when the kernel's state does not match what was applied, after [`compare`] with
/// [`Purpose::Verify`].
///
/// # Errors
/// [`Code::Verify`] naming the first item, [`Code::Storage`].
pub fn agree<F: File>(work: &mut Work<'_, F>, plan: &Plan) -> Result<(), Fault> {
    if plan.summary.is_quiet() {
        return Ok(());
    }
    let (subject, text) = disagreement(work, plan)?;
    Err(work.slot.fail(Code::Verify, subject, text))
}

fn disagreement<F: File>(
    work: &mut Work<'_, F>,
    plan: &Plan,
) -> Result<(Subject, &'static str), Fault> {
    if plan.summary.created {
        return Ok((Subject::Interface, "the interface is gone"));
    }
    let other = "the kernel's value is not the one that was set";
    // The lowest bit is the first setting.
    let setting = match 1_u8.checked_shl(plan.summary.device.trailing_zeros()) {
        Some(device::PRIVATE_KEY) => Some(Subject::PrivateKey),
        Some(device::LISTEN_PORT) => Some(Subject::ListenPort),
        Some(device::FWMARK) => Some(Subject::Fwmark),
        Some(device::MTU) => Some(Subject::Mtu),
        Some(device::UP) => return Ok((Subject::Interface, "the interface is down again")),
        _ => None,
    };
    if let Some(setting) = setting {
        return Ok((setting, other));
    }
    let mut step = Step::before(0);
    if work.wanted(&mut step, false)? {
        return Ok(match (step.mark, &step.item) {
            (Mark::Differs(fields), Item::Peer(key)) => (peer_subject(*key, fields), other),
            (Mark::Missing, Item::Peer(key)) => {
                let text = "the kernel ignored this peer: is its key the router's own public key?";
                (Subject::Peer(*key), text)
            }
            (Mark::Missing, item) => (subject(item), "the kernel does not have it"),
            (_, item) => (subject(item), other),
        });
    }
    step = Step::before(0);
    let extra = work.extra(&mut step)?;
    Ok((if extra { subject(&step.item) } else { Subject::Interface }, "the kernel still has it"))
}

#[inline(never)]
const fn peer_subject(key: PublicKey, fields: u8) -> Subject {
    if fields & peer::ENDPOINT != 0 {
        Subject::Endpoint(key)
    } else if fields & peer::PRESHARED_KEY != 0 {
        Subject::PresharedKey(key)
    } else if fields & peer::PERSISTENT_KEEPALIVE != 0 {
        Subject::PersistentKeepalive(key)
    } else {
        Subject::AllowedIps(key)
    }
}
