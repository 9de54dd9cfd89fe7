//! What differs between an image and the kernel: the kernel's tables are read as they come, and each
//! thing in them is looked up in the index. What the kernel has just so is marked; what it has
//! beyond the image is noted in the extras. Nothing is changed here.
//!
//! The same comparison is the proof after a change: when it finds nothing to do, the kernel agrees.

use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::key::PublicKey;
use proto_core::netlink::IfName;
use proto_core::netlink::route::route::RTN_UNICAST;
use proto_core::netlink::route::{self, Addr, RouteFilter};
use proto_core::netlink::wireguard::{DeviceInfo, Event, GetDecoder, PeerInfo, get};
use proto_core::protocol::config::{Interface, Item, Peer, PrivateKey, Record, Route, Rule};
use proto_core::protocol::message::{Code, Count, Phase, Subject, Summary, device, peer};

use crate::fault::{Fault, Slot};
use crate::image::Records;
use crate::index::{Entry, Extras, Index, Mark};
use crate::kernel::{Kernel, LinkState, Protocol, steady};
use crate::set_sum::SetSum;
use crate::system::{File, NetlinkSocket};

/// Marks routes and rules as ours (`rtm_protocol`, `FRA_PROTOCOL`), so that those of others are left
/// alone. A number that `/etc/iproute2/rt_protos` does not give to anybody.
pub const PROTOCOL: u8 = 87;

/// The staged image with everything that is known about it.
#[derive(Debug)]
pub struct Work<'f, F> {
    /// Where failures are written down.
    pub slot: &'f Slot,
    /// The image.
    pub stage: &'f mut F,
    /// Its length in bytes.
    pub length: u32,
    /// Its items.
    pub index: Index<'f, F>,
    /// What the kernel has beyond it.
    pub extras: Extras<'f, F>,
    /// The key of [`SetSum`].
    pub key: [u8; 16],
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The link, if it is there.
    pub link: Option<LinkState>,
    /// The device, if the link is there.
    pub device: Option<DeviceInfo>,
    /// How much of everything changes. The items are in the index and the extras.
    pub summary: Summary,
}

/// Why the comparison is made: it is stricter before a change than after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To find what has to be changed.
    Change,
    /// To see whether the kernel took it. An endpoint that a peer moved since is no difference.
    Verify,
}

/// The route as an image has it.
#[must_use]
pub const fn wanted_route(route: &route::Route) -> Route {
    let wanted = Route { table: route.table, metric: route.metric, to: route.dst };
    Route { metric: wanted.plain_metric(), ..wanted }
}

/// The rule as an image has it.
#[must_use]
pub fn wanted_rule(rule: &route::Rule) -> Option<Rule> {
    (!rule.other).then_some(Rule {
        v6: rule.family == AF_INET6,
        priority: rule.priority.unwrap_or(0),
        table: rule.table,
        fwmark: rule.fwmark,
        invert: rule.invert,
        suppress_prefixlength: rule.suppress_prefixlen,
    })
}

/// A route of an image as rtnetlink has it.
#[must_use]
pub const fn device_route(wanted: &Route, index: u32) -> route::Route {
    let device = route::Route::device(wanted.to, index, wanted.table, PROTOCOL);
    let metric = if wanted.metric == 0 { device.metric } else { wanted.metric };
    route::Route { metric, ..device }
}

/// A rule of an image as rtnetlink has it.
#[must_use]
pub const fn policy_rule(wanted: &Rule) -> route::Rule {
    route::Rule {
        priority: Some(wanted.priority),
        fwmark: wanted.fwmark,
        invert: wanted.invert,
        suppress_prefixlen: wanted.suppress_prefixlength,
        protocol: PROTOCOL,
        ..route::Rule::new(wanted.family(), wanted.table)
    }
}

/// Compares the image in `work` with the kernel.
///
/// # Errors
/// [`Code::NoWireGuard`], [`Code::WrongKind`], [`Code::Permission`], whatever the kernel says, and
/// [`Code::Storage`].
pub fn compare<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    interface: &Interface,
    purpose: Purpose,
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<Plan, Fault> {
    let slot = kernel.slot;
    let name = parse_name(slot, &interface.name)?;
    kernel.wireguard()?;
    let mut plan = None;
    steady(slot, Subject::Interface, &mut || {
        let compared = compare_once(kernel, work, (name, interface), purpose, working)?;
        let whole = compared.is_some();
        plan = compared;
        Ok(whole)
    })?;
    plan.ok_or_else(|| slot.fail(Code::Unsteady, Subject::Interface, ""))
}

/// The name of an interface.
///
/// # Errors
/// [`Code::Config`].
pub fn parse_name(slot: &Slot, name: &str) -> Result<IfName, Fault> {
    let wrong = "not an interface name";
    name.parse().map_err(|_| slot.fail(Code::Config, Subject::Interface, wrong))
}

/// The link of that name, which has to be a WireGuard interface if there is one.
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

fn compare_once<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    (name, interface): (IfName, &Interface),
    purpose: Purpose,
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<Option<Plan>, Fault> {
    work.index.unmark()?;
    work.extras.clear()?;
    let mut summary = Summary::default();
    let link = wireguard_link(kernel, name)?;
    let mut found = None;
    if let Some(link) = &link {
        let whole = addresses(kernel, work, link.index)?
            && routes(kernel, work, link.index)?
            && device_and_peers(kernel, work, (name, interface), purpose, &mut found, working)?;
        if !whole {
            return Ok(None);
        }
    }
    let fwmark = found.map_or(0, |device| device.fwmark);
    if !rules(kernel, work, fwmark)? {
        return Ok(None);
    }
    count(work, &mut summary)?;
    summary.created = link.is_none();
    summary.device = device_changes(interface, link.as_ref(), found.as_ref());
    summary.public_key = found.and_then(|device| device.public_key);
    summary.listen_port = found.map(|device| device.listen_port).filter(|port| *port != 0);
    if let (0, Some(own)) = (summary.device & device::PRIVATE_KEY, summary.public_key) {
        let item = Item::Peer(own);
        if work.index.find(&item.key())?.is_some() {
            let text = "the peer is this interface itself";
            return Err(work.slot.fail(Code::Config, Subject::Peer(own), text));
        }
    }
    Ok(Some(Plan { link, device: found, summary }))
}

fn device_changes(
    interface: &Interface,
    link: Option<&LinkState>,
    found: Option<&DeviceInfo>,
) -> u8 {
    let has = found.and_then(|device| device.private_key);
    let key = match &interface.private_key {
        PrivateKey::None => has.is_some(),
        PrivateKey::Given(key) => has != Some(key.clamped()),
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

/// Looks up something the kernel has: marks it as it should be, or notes it as one too many.
fn meet<F: File>(work: &mut Work<'_, F>, item: &Item, removable: bool) -> Result<(), Fault> {
    let key = item.key();
    match work.index.find(&key)? {
        Some((n, _)) => work.index.mark(n, Mark::Same),
        None if removable => work.extras.push(&key),
        None => Ok(()),
    }
}

fn addresses<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    index: u32,
) -> Result<bool, Fault> {
    each_address(kernel, index, &mut |net| meet(work, &Item::Address(net), true))
}

/// Goes through the addresses of a link. `Ok(false)` when they changed meanwhile.
///
/// # Errors
/// What the kernel or `take` said.
pub fn each_address<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    index: u32,
    take: &mut dyn FnMut(IpNet) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let slot = kernel.slot;
    for family in [AF_INET, AF_INET6] {
        let whole = kernel.dump(
            Protocol::Route,
            Subject::Interface,
            &|buf, seq| route::addr::list(buf, seq, family, Some(index)),
            &mut |message| {
                let addr = Addr::parse(message).map_err(|error| slot.unreadable(&error))?;
                // A point-to-point address is somebody's handiwork: an image cannot say one.
                if addr.index == index && addr.peer.is_none() {
                    take(addr.net)?;
                }
                Ok(())
            },
        )?;
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

fn routes<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    index: u32,
) -> Result<bool, Fault> {
    each_route(kernel, index, &mut |route| {
        let item = Item::Route(wanted_route(&route));
        meet(work, &item, route.protocol == PROTOCOL)
    })
}

/// Goes through the routes of a link. `Ok(false)` when they changed meanwhile.
///
/// # Errors
/// What the kernel or `take` said.
pub fn each_route<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    index: u32,
    take: &mut dyn FnMut(route::Route) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let filter = RouteFilter { oif: Some(index), table: None, protocol: None };
    let slot = kernel.slot;
    for family in [AF_INET, AF_INET6] {
        let whole = kernel.dump(
            Protocol::Route,
            Subject::Interface,
            &|buf, seq| filter.list(buf, seq, family),
            &mut |message| {
                let route =
                    route::Route::parse(message).map_err(|error| slot.unreadable(&error))?;
                if filter.matches(&route) && route.kind == RTN_UNICAST && route.gateway.is_none() {
                    take(route)?;
                }
                Ok(())
            },
        )?;
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Goes through the policy rules of both families. `Ok(false)` when they changed meanwhile.
///
/// # Errors
/// What the kernel or `take` said.
fn each_rule<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    take: &mut dyn FnMut(Rule, bool) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let slot = kernel.slot;
    for family in [AF_INET, AF_INET6] {
        let whole = kernel.dump(
            Protocol::Route,
            Subject::Rule,
            &|buf, seq| route::rule::list(buf, seq, family),
            &mut |message| {
                let rule = route::Rule::parse(message).map_err(|error| slot.unreadable(&error))?;
                match wanted_rule(&rule) {
                    Some(wanted) => take(wanted, rule.protocol == PROTOCOL),
                    None => Ok(()),
                }
            },
        )?;
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Which of our rules belong to the interface with this mark.
///
/// A rule with a mark belongs to the interface that has it. One without is shared by all: it is the
/// interface's only when nobody else's rule is left in its family.
#[derive(Clone, Copy, Debug, Default)]
struct RuleOwner {
    fwmark: u32,
    /// Whether another interface has rules: IPv4, IPv6.
    others: [bool; 2],
}

impl RuleOwner {
    /// For the interface with this mark; 0 has no rules.
    #[must_use]
    const fn new(fwmark: u32) -> Self {
        Self { fwmark, others: [false; 2] }
    }

    /// Takes note of one of our rules. All of them have to pass by before [`RuleOwner::owns`].
    fn meet(&mut self, rule: &Rule) {
        let [v4, v6] = &mut self.others;
        let others = if rule.v6 { v6 } else { v4 };
        *others |= rule.fwmark.is_some_and(|mark| mark != self.fwmark);
    }

    /// Whether one of our rules belongs to the interface.
    #[must_use]
    fn owns(&self, rule: &Rule) -> bool {
        let [v4, v6] = self.others;
        match rule.fwmark {
            Some(mark) => mark == self.fwmark,
            None => self.fwmark != 0 && !(if rule.v6 { v6 } else { v4 }),
        }
    }
}

/// Goes through the policy rules and says of each whether it is the interface's with this mark.
/// `Ok(false)` when they changed meanwhile.
///
/// Twice: whose a shared rule is can be told only when all the others are known.
///
/// # Errors
/// What the kernel or `take` said.
pub fn each_rule_of<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    fwmark: u32,
    take: &mut dyn FnMut(Rule, bool) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let mut owner = RuleOwner::new(fwmark);
    let whole = each_rule(kernel, &mut |rule, ours| {
        if ours {
            owner.meet(&rule);
        }
        Ok(())
    })?;
    Ok(whole && each_rule(kernel, &mut |rule, ours| take(rule, ours && owner.owns(&rule)))?)
}

fn rules<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    fwmark: u32,
) -> Result<bool, Fault> {
    each_rule_of(kernel, fwmark, &mut |rule, owned| meet(work, &Item::Rule(rule), owned))
}

/// Goes through a device. `Ok(false)` when it changed meanwhile.
///
/// # Errors
/// What the kernel or `take` said.
pub fn each_event<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    take: &mut dyn FnMut(&Event) -> Result<(), Fault>,
) -> Result<bool, Fault> {
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

/// A peer of the kernel's that is being told, with the entry it is compared to.
struct Told {
    n: u32,
    entry: Entry,
    fields: u8,
    allowed_ips: SetSum,
}

fn device_and_peers<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    (name, _): (IfName, &Interface),
    purpose: Purpose,
    found: &mut Option<DeviceInfo>,
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<bool, Fault> {
    let phase = match purpose {
        Purpose::Change => Phase::Comparing,
        Purpose::Verify => Phase::Verifying,
    };
    let mut told: Option<Told> = None;
    let mut seen = 0_u32;
    let whole = each_event(kernel, name, &mut |event| {
        match event {
            Event::Device(device) => *found = Some(*device),
            Event::Peer(info) => {
                settle(work, told.take())?;
                let key = Item::Peer(info.public_key).key();
                match work.index.find(&key)? {
                    None => work.extras.push(&key)?,
                    Some((n, entry)) => {
                        let fields = peer_changes(work, &entry, info, purpose)?;
                        told = Some(Told { n, entry, fields, allowed_ips: SetSum::default() });
                    }
                }
                seen = seen.saturating_add(1);
                if seen.is_multiple_of(256) {
                    working(phase, seen, 0);
                }
            }
            Event::AllowedIp(net) => {
                if let Some(told) = &mut told {
                    told.allowed_ips.add(&work.key, net);
                }
            }
        }
        Ok(())
    })?;
    settle(work, told)?;
    Ok(whole)
}

/// Marks a peer after its last allowed IP.
fn settle<F: File>(work: &mut Work<'_, F>, told: Option<Told>) -> Result<(), Fault> {
    let Some(told) = told else { return Ok(()) };
    let ips = if told.allowed_ips == told.entry.allowed_ips { 0 } else { peer::ALLOWED_IPS };
    work.index.mark(
        told.n,
        match told.fields | ips {
            0 => Mark::Same,
            fields => Mark::Differs(fields),
        },
    )
}

/// The record of a peer, from its entry.
///
/// # Errors
/// `Code::Storage`.
pub fn peer_record<F: File>(records: &mut Records<'_, F>, entry: &Entry) -> Result<Peer, Fault> {
    records.seek(entry.offset);
    match records.next()? {
        Some(Record::Peer(peer)) => Ok(peer),
        _ => Err(records.slot.fail(Code::Storage, Subject::None, "the staged image has changed")),
    }
}

fn peer_changes<F: File>(
    work: &mut Work<'_, F>,
    entry: &Entry,
    info: &PeerInfo,
    purpose: Purpose,
) -> Result<u8, Fault> {
    let wanted =
        peer_record(&mut Records::new(work.slot, work.stage, entry.offset, work.length), entry)?;
    let moved = purpose == Purpose::Verify && info.latest_handshake.is_some();
    let endpoint = wanted.endpoint.is_some() && wanted.endpoint != info.endpoint && !moved;
    let psk = wanted.preshared_key.filter(|key| !key.is_zero()) != info.preshared_key;
    let keepalive = wanted.persistent_keepalive != info.persistent_keepalive;
    Ok([
        (endpoint, peer::ENDPOINT),
        (psk, peer::PRESHARED_KEY),
        (keepalive, peer::PERSISTENT_KEEPALIVE),
    ]
    .iter()
    .filter(|(differs, _)| *differs)
    .fold(0, |bits, (_, bit)| bits | bit))
}

fn count<F: File>(work: &mut Work<'_, F>, summary: &mut Summary) -> Result<(), Fault> {
    let mut n = 0_u32;
    while let Some(entry) = work.index.get(n)? {
        if let Some(count) = Item::from_key(&entry.key).map(|item| counter(summary, &item)) {
            let number = match entry.mark {
                Mark::Missing => &mut count.added,
                Mark::Same => &mut count.same,
                Mark::Differs(_) => &mut count.changed,
            };
            *number = number.saturating_add(1);
        }
        n = n.saturating_add(1);
    }
    let mut n = 0_u32;
    while let Some(key) = work.extras.get(n)? {
        if let Some(count) = Item::from_key(&key).map(|item| counter(summary, &item)) {
            count.removed = count.removed.saturating_add(1);
        }
        n = n.saturating_add(1);
    }
    Ok(())
}

const fn counter<'s>(summary: &'s mut Summary, item: &Item) -> &'s mut Count {
    match item {
        Item::Address(_) => &mut summary.addresses,
        Item::Route(_) => &mut summary.routes,
        Item::Rule(_) => &mut summary.rules,
        Item::Peer(_) => &mut summary.peers,
    }
}

/// What a failure about this item is about.
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

/// Fails when the kernel has something else than what it was told, after [`compare`] with
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
    let other = "the kernel has another value than the one it was given";
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
    let mut n = 0_u32;
    while let Some(entry) = work.index.get(n)? {
        n = n.saturating_add(1);
        if entry.mark == Mark::Same {
            continue;
        }
        let Some(item) = Item::from_key(&entry.key) else { break };
        return Ok(match (entry.mark, &item) {
            (Mark::Differs(fields), Item::Peer(key)) => (peer_subject(*key, fields), other),
            (mark, _) => {
                let text = match (mark, &item) {
                    (Mark::Missing, Item::Peer(_)) => {
                        "the kernel did not take this peer: is the key this router's own?"
                    }
                    (Mark::Missing, _) => "the kernel does not have it",
                    _ => other,
                };
                (subject(&item), text)
            }
        });
    }
    let extra = work.extras.get(0)?.and_then(|key| Item::from_key(&key));
    Ok((extra.map_or(Subject::Interface, |item| subject(&item)), "it is still there"))
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
