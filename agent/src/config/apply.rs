//! Making it so: the changes of a plan, in an order in which the one most likely to be refused comes
//! first, so that a refusal finds as little changed as possible. What comes is added before what goes is removed, so
//! that packets always have a way.
//!
//! The kernel does more than it is told, and some changes have to wait for others: an IPv6 address cannot come with
//! another prefix before it went. So the caller compares and applies again, up to [`ROUNDS`] times, and before the last
//! round a thing that is there already is no failure.
//!
//! An interface that was made for this push is taken away again when anything fails. On one that was
//! there before, the failure says whether something was changed.

use proto_core::key::SecretKey;
use proto_core::netlink::route;
use proto_core::netlink::wireguard::{AllowedIpChange, DeviceChange, PeerChange, SetEncoder};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::config::{Interface, Item, PrivateKey, Record};
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::message::{
    Code, Count, Phase, State, Subject, Summary, cut, device, peer,
};

use crate::config::index::{Mark, REMAKE};
use crate::config::plan::{Plan, Step, Work, peer_record, subject};
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, NO_WIREGUARD, Protocol, SET, WriteRequest};
use crate::kernel::write::{encoding, flush, put, write_item};
use crate::system::{File, Machine, NetlinkSocket};

/// How often the changes are made at most.
pub const ROUNDS: u32 = 4;
/// How many changes pass between two signs of life.
const BEAT: u32 = 64;

/// Everything a change needs.
struct Applier<'a, 'b, 'f, N, F, M> {
    kernel: &'a mut Kernel<'b, N>,
    work: &'a mut Work<'f, F>,
    machine: &'a M,
    working: &'a mut dyn FnMut(Phase, u32, u32),
    name: IfName,
    index: u32,
    changed: bool,
    /// A thing to add that is there already is a failure.
    strict: bool,
    done: u32,
    total: u32,
}

/// Makes the changes of `plan`, in the last round if that is `strict`.
///
/// # Errors
/// A failure naming the item, whose `state` says what became of the running configuration.
pub fn apply<N: NetlinkSocket, F: File, M: Machine>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    interface: &Interface,
    (plan, strict): (&Plan, bool),
    machine: &M,
    set: &mut [u8; SET],
    working: &mut dyn FnMut(Phase, u32, u32),
) -> Result<(), Fault> {
    let slot = kernel.slot;
    let name = interface.name;
    let all = [plan.summary.addresses, plan.summary.routes, plan.summary.rules, plan.summary.peers];
    let total = all.iter().fold(0_u32, |sum, count| {
        sum.saturating_add(count.added).saturating_add(count.changed).saturating_add(count.removed)
    });
    let index = plan.link.map_or(0, |link| link.index);
    let (changed, done) = (false, 0);
    let mut applier =
        Applier { kernel, work, machine, working, name, index, changed, strict, done, total };
    applier.all(interface, plan, set).map_err(|fault| {
        let state = if applier.changed { State::Partly } else { State::Unchanged };
        slot.amend(fault, &|failure| failure.state = state)
    })
}

impl<N: NetlinkSocket, F: File, M: Machine> Applier<'_, '_, '_, N, F, M> {
    fn all(
        &mut self,
        interface: &Interface,
        plan: &Plan,
        set: &mut [u8; SET],
    ) -> Result<(), Fault> {
        if plan.link.is_none() {
            self.create()?;
        }
        let Summary { device: bits, addresses, routes, rules, peers, .. } = &plan.summary;
        self.device(interface, plan, set)?;
        if peers.added > 0 || peers.changed > 0 {
            self.peers(set, false)?;
        }
        if bits & device::MTU != 0 {
            let (index, mtu) = (self.index, interface.mtu);
            self.change(Subject::Mtu, &|buf, seq| route::link::set_mtu(buf, seq, index, mtu))?;
        }
        self.add_items(Kind::Address, addresses)?;
        if plan.link.is_none() && self.work.up {
            self.up()?;
        }
        self.add_items(Kind::Route, routes)?;
        // While the mark and its rules do not fit each other, WireGuard's own packets go astray: they are changed
        // right behind one another.
        if bits & device::FWMARK != 0 {
            let change = DeviceChange { fwmark: Some(interface.fwmark), ..DeviceChange::default() };
            self.set_device(set, Subject::Fwmark, &change)?;
        }
        self.add_items(Kind::Rule, rules)?;
        self.remove_items(Kind::Rule, rules)?;
        self.remove_items(Kind::Route, routes)?;
        self.remove_addresses(addresses, plan)?;
        // Peers go last: a refusal before costs none of them its session.
        if peers.removed > 0 {
            self.peers(set, true)?;
        }
        Ok(())
    }

    fn change(&mut self, subject: Subject, write: &WriteRequest<'_>) -> Result<(), Fault> {
        self.kernel.change(Protocol::Route, subject, write)?;
        self.changed = true;
        Ok(())
    }

    fn create(&mut self) -> Result<(), Fault> {
        let name = self.name;
        let made = self.change(Subject::Interface, &|buf, seq| {
            route::link::create(buf, seq, name, route::link::KIND_WIREGUARD)
        });
        made.map_err(|fault| {
            self.kernel.slot.amend(fault, &|failure| {
                if i32::from(failure.errno) == Errno::EOPNOTSUPP.0 {
                    failure.code = Code::NoWireGuard;
                    failure.text = cut(NO_WIREGUARD);
                }
            })
        })?;
        let link = self.kernel.link(name)?;
        self.index = link.map(|link| link.index).ok_or_else(|| {
            let text = "the new interface is gone again";
            self.kernel.slot.fail(Code::NoInterface, Subject::Interface, text)
        })?;
        Ok(())
    }

    fn up(&mut self) -> Result<(), Fault> {
        let index = self.index;
        let up =
            self.change(Subject::Interface, &|buf, seq| route::link::set_up(buf, seq, index, true));
        // The port is opened when the link goes up: the kernel's words say nothing of it.
        up.map_err(|fault| port_taken(self.kernel.slot, fault))
    }

    fn device(
        &mut self,
        interface: &Interface,
        plan: &Plan,
        set: &mut [u8; SET],
    ) -> Result<(), Fault> {
        let bits = plan.summary.device;
        // The port goes alone and first, and then the link goes up: it is what is refused most
        // often, and the kernel sets the mark in the same message before it looks at the port.
        if let (true, Some(port)) = (bits & device::LISTEN_PORT != 0, interface.listen_port) {
            let change = DeviceChange { listen_port: Some(port), ..DeviceChange::default() };
            self.set_device(set, Subject::ListenPort, &change)
                .map_err(|fault| port_taken(self.kernel.slot, fault))?;
        }
        if bits & device::UP != 0 && plan.link.is_some() {
            self.up()?;
        }
        if bits & device::PRIVATE_KEY != 0 {
            let key = match &interface.private_key {
                PrivateKey::Given(key) => key.clone(),
                // One that was to be generated is given by now.
                PrivateKey::None | PrivateKey::Generate => SecretKey::ZERO,
            };
            let change = DeviceChange { private_key: Some(key), ..DeviceChange::default() };
            self.set_device(set, Subject::PrivateKey, &change)?;
        }
        Ok(())
    }

    fn set_device(
        &mut self,
        set: &mut [u8; SET],
        subject: Subject,
        change: &DeviceChange,
    ) -> Result<(), Fault> {
        let family = self.kernel.wireguard()?;
        let mut encoder = SetEncoder::new(set, family, self.name);
        encoder.device(change).map_err(|error| encoding(self.kernel.slot, error))?;
        let seq = self.kernel.next_seq();
        let message = encoder.message(seq).unwrap_or_default();
        self.kernel.set(subject, seq, message)?;
        self.changed = true;
        Ok(())
    }

    fn beat(&mut self) {
        self.done = self.done.saturating_add(1);
        if self.done.is_multiple_of(BEAT) {
            (self.working)(Phase::Applying, self.done, self.total);
        }
    }

    /// Adds an address, a route or a rule, or takes it away.
    fn change_item(&mut self, item: &Item, comes: bool) -> Result<(), Fault> {
        let index = self.index;
        let changed =
            self.change(subject(item), &|buf, seq| write_item(buf, seq, (item, index), comes));
        let slot = self.kernel.slot;
        match changed {
            // The kernel took it away along with something else.
            Err(_) if !comes && GONE.iter().any(|errno| slot.is(*errno)) => {}
            // The kernel made it itself, or it can come when something else went.
            Err(_) if comes && !self.strict && slot.is(Errno::EEXIST) => {}
            Err(fault) if comes && matches!(item, Item::Route(_)) => {
                let text = "something else on the router has this very route already";
                return Err(slot.reword(fault, Errno::EEXIST, None, text));
            }
            changed => changed?,
        }
        self.beat();
        Ok(())
    }

    /// Removes what the kernel has beyond the image of a kind.
    fn remove_items(&mut self, kind: Kind, Count { removed, .. }: &Count) -> Result<(), Fault> {
        let mut left = *removed;
        let mut step = Step::before(0);
        while left > 0 && self.work.extra(&mut step)? {
            if Kind::of(&step.item) == kind {
                self.change_item(&step.item, false)?;
                left = left.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Removes addresses. Meanwhile the kernel keeps the other IPv4 addresses of a network when the first of them
    /// goes, and with them all routes of the interface.
    fn remove_addresses(&mut self, addresses: &Count, plan: &Plan) -> Result<(), Fault> {
        if addresses.removed == 0 {
            return Ok(());
        }
        let was = plan.link.is_some_and(|link| link.promote_secondaries);
        if !was {
            self.promote_secondaries(true)?;
        }
        let removed = self.remove_items(Kind::Address, addresses);
        if was {
            return removed;
        }
        // The failure of the removal is the one to tell.
        let removed = removed.map_err(|fault| self.kernel.slot.take(fault));
        let back = self.promote_secondaries(false);
        removed.map_err(|failure| self.kernel.slot.restore(failure))?;
        back
    }

    fn promote_secondaries(&mut self, on: bool) -> Result<(), Fault> {
        let index = self.index;
        let set = self.change(Subject::Interface, &|buf, seq| {
            route::link::set_promote_secondaries(buf, seq, index, on)
        });
        match set {
            // Without the setting, what the kernel takes away comes back in the next round.
            Err(_) if self.kernel.slot.code() == Some(Code::Kernel) => Ok(()),
            set => set,
        }
    }

    /// Adds what the kernel does not have of a kind.
    fn add_items(&mut self, kind: Kind, Count { added, .. }: &Count) -> Result<(), Fault> {
        let mut left = *added;
        let mut step = Step::before(0);
        let mut marks = false;
        while left > 0 && self.work.wanted(&mut step, false)? {
            if Kind::of(&step.item) != kind {
                continue;
            }
            if let Item::Rule(rule) = &step.item {
                marks |= rule.fwmark.is_some() && !rule.v6;
            }
            self.change_item(&step.item, true)?;
            left = left.saturating_sub(1);
        }
        if marks {
            let name = "net.ipv4.conf.all.src_valid_mark";
            self.machine.set_src_valid_mark().map_err(|errno| {
                let words = format_args!("{name} cannot be set: {errno}");
                self.kernel.slot.say(Code::Kernel, Subject::Rule, errno, words)
            })?;
        }
        Ok(())
    }

    /// Removes peers, or adds and changes them.
    fn peers(&mut self, set: &mut [u8; SET], removing: bool) -> Result<(), Fault> {
        let mut batch = Batch { one_by_one: false, from: 0 };
        match self.send_peers(set, &mut batch, removing) {
            Err(_) if self.kernel.slot.code() == Some(Code::Kernel) => {
                // The kernel does not say which peer of a message it refused. What it took of the
                // message it takes again without harm, so each goes alone until it refuses one.
                batch.one_by_one = true;
                self.send_peers(set, &mut batch, removing)
            }
            other => other,
        }
    }

    fn send_peers(
        &mut self,
        set: &mut [u8; SET],
        batch: &mut Batch,
        removing: bool,
    ) -> Result<(), Fault> {
        let family = self.kernel.wireguard()?;
        let mut encoder = SetEncoder::new(set, family, self.name);
        if removing {
            self.remove_peers(&mut encoder, batch)
        } else {
            self.set_peers(&mut encoder, batch)
        }
    }

    fn remove_peers(
        &mut self,
        encoder: &mut SetEncoder<'_>,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let mut step = Step::before(batch.from);
        loop {
            let n = step.next;
            if !self.work.extra(&mut step)? {
                break;
            }
            let Item::Peer(public_key) = step.item else { continue };
            let change = PeerChange { remove: true, ..PeerChange::new(public_key) };
            let about = Subject::Peer(public_key);
            self.changed = true;
            if put(self.kernel, encoder, about, &|encoder| encoder.peer(&change))? {
                batch.from = n;
            }
            if batch.one_by_one {
                flush(self.kernel, encoder, about)?;
            }
            self.beat();
        }
        flush(self.kernel, encoder, Subject::Interface)
    }

    fn set_peers(&mut self, encoder: &mut SetEncoder<'_>, batch: &mut Batch) -> Result<(), Fault> {
        let mut step = Step::before(batch.from);
        loop {
            let n = step.next;
            if !self.work.wanted(&mut step, false)? {
                break;
            }
            let Item::Peer(key) = step.item else { continue };
            self.changed = true;
            if self.set_peer(encoder, &step)? {
                batch.from = n;
            }
            if batch.one_by_one {
                flush(self.kernel, encoder, Subject::Peer(key))?;
            }
            self.beat();
        }
        flush(self.kernel, encoder, Subject::Interface)
    }

    /// Encodes one peer with its allowed IPs. Whether a message was sent on the way.
    fn set_peer(&mut self, encoder: &mut SetEncoder<'_>, step: &Step) -> Result<bool, Fault> {
        let mut records = self.work.records(step.offset);
        let wanted = peer_record(&mut records)?;
        let about = Subject::Peer(wanted.public_key);
        let (mut mark, mut sent) = (step.mark, false);
        if matches!(mark, Mark::Differs(fields) if fields & REMAKE != 0) {
            let change = PeerChange { remove: true, ..PeerChange::new(wanted.public_key) };
            sent = put(self.kernel, encoder, about, &|encoder| encoder.peer(&change))?;
            mark = Mark::Missing;
        }
        let change = peer_change(wanted, mark);
        sent |= put(self.kernel, encoder, about, &|encoder| encoder.peer(&change))?;
        if !change.replace_allowed_ips {
            return Ok(sent);
        }
        loop {
            let net = match records.next()? {
                Some(Record::AllowedIp(net)) => *net,
                Some(Record::Host(_)) => continue,
                _ => break,
            };
            let change = AllowedIpChange { net, remove: false };
            sent |= put(self.kernel, encoder, about, &|encoder| encoder.allowed_ip(&change))?;
        }
        Ok(sent)
    }
}

/// How far the peers have got.
#[derive(Clone, Copy)]
struct Batch {
    /// Each in a message of its own.
    one_by_one: bool,
    /// The first that is in the message that is being filled.
    from: u32,
}

/// The errors of removing what is gone already: an address, an address or a route of an interface without IPv6,
/// a route, a rule.
const GONE: [Errno; 4] = [Errno::EADDRNOTAVAIL, Errno::ENXIO, Errno::ESRCH, Errno::ENOENT];

/// The kinds of items, by how they are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    Route,
    Rule,
    Peer,
}

impl Kind {
    const fn of(item: &Item) -> Self {
        match item {
            Item::Address(_) => Self::Address,
            Item::Route(_) => Self::Route,
            Item::Rule(_) => Self::Rule,
            Item::Peer(_) => Self::Peer,
        }
    }
}

fn port_taken(slot: &Slot, fault: Fault) -> Fault {
    let text = "another program or interface on the router has this port";
    slot.reword(fault, Errno::EADDRINUSE, Some(Subject::ListenPort), text)
}

fn peer_change(wanted: &proto_core::protocol::config::Peer, mark: Mark) -> PeerChange {
    let change = PeerChange::new(wanted.public_key);
    let endpoint = wanted.endpoint.map(PeerEndpoint::addr);
    match mark {
        Mark::Differs(fields) => PeerChange {
            // If it went away since it was read, it is not made anew by halves.
            update_only: true,
            replace_allowed_ips: fields & peer::ALLOWED_IPS != 0,
            preshared_key: (fields & peer::PRESHARED_KEY != 0)
                .then(|| wanted.preshared_key.clone().unwrap_or(SecretKey::ZERO)),
            endpoint: endpoint.filter(|_| fields & peer::ENDPOINT != 0),
            persistent_keepalive: (fields & peer::PERSISTENT_KEEPALIVE != 0)
                .then_some(wanted.persistent_keepalive),
            ..change
        },
        Mark::Missing | Mark::Same => PeerChange {
            replace_allowed_ips: true,
            preshared_key: wanted.preshared_key.clone(),
            endpoint,
            persistent_keepalive: Some(wanted.persistent_keepalive).filter(|seconds| *seconds != 0),
            ..change
        },
    }
}
