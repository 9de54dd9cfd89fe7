//! Applies the changes of a plan. The change that is most likely to be refused comes first, so that
//! a refusal finds as little changed as possible. Additions come before removals, so that packets
//! always have a route.
//!
//! The kernel changes more than it is asked to, and some changes depend on others: an IPv6 address
//! cannot be added with another prefix before the old one is removed. So the caller compares and
//! applies again, up to [`ROUNDS`] times; before the last round, an item that exists already is not
//! a failure.
//!
//! An interface that was created for this push is removed again when anything fails. For an
//! interface that existed before, the failure says whether something was changed.

use proto_core::key::{PublicKey, SecretKey};
use proto_core::netlink::route;
use proto_core::netlink::wireguard::{AllowedIpChange, DeviceChange, PeerChange};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::config::{Interface, Item, PrivateKey, Record};
use proto_core::protocol::message::{Code, Count, Phase, State, Subject, Summary, cut, device};

use crate::config::index::{Mark, REMAKE};
use crate::config::peers::{self, Sender};
use crate::config::plan::{Plan, Step, Work, peer_record, settings, subject};
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, NO_WIREGUARD, Protocol, SET, WriteRequest};
use crate::kernel::write::{set_device, write_item};
use crate::system::{File, Machine, NetlinkSocket};

/// The maximum number of rounds.
pub const ROUNDS: u32 = 4;
/// Number of changes between two signs of life.
const BEAT: u32 = 64;

/// Everything that a change needs.
struct Applier<'a, 'b, 'f, N, F> {
    kernel: &'a mut Kernel<'b, N>,
    work: &'a mut Work<'f, F>,
    machine: &'a dyn Machine,
    beat: Beat<'a>,
    name: IfName,
    index: u32,
    changed: bool,
    /// Whether adding an item that exists already is a failure.
    strict: bool,
}

/// Sends signs of life during a change.
struct Beat<'a> {
    working: &'a mut dyn FnMut(Phase, u32, u32),
    done: u32,
    total: u32,
}

impl Beat<'_> {
    /// Counts a change.
    fn next(&mut self) {
        self.done = self.done.saturating_add(1);
        if self.done.is_multiple_of(BEAT) {
            (self.working)(Phase::Applying, self.done, self.total);
        }
    }
}

/// Makes the changes of `plan`. `strict` marks the last round.
///
/// # Errors
/// A failure naming the item. Its `state` says what happened to the running configuration.
pub fn apply<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    interface: &Interface,
    (plan, strict): (&Plan, bool),
    machine: &dyn Machine,
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
    let beat = Beat { working, done: 0, total };
    let mut applier = Applier { kernel, work, machine, beat, name, index, changed: false, strict };
    applier.all(interface, plan, set).map_err(|fault| {
        let state = if applier.changed { State::Partly } else { State::Unchanged };
        slot.amend(fault, &|failure| failure.state = state)
    })
}

impl<N: NetlinkSocket, F: File> Applier<'_, '_, '_, N, F> {
    fn all(
        &mut self,
        interface: &Interface,
        plan: &Plan,
        set: &mut [u8; SET],
    ) -> Result<(), Fault> {
        match plan.link {
            None => self.create()?,
            // A rollback restores the mark itself.
            Some(link) if !link.marked && self.work.parts.is_none() => self.mark()?,
            Some(_) => {}
        }
        let Summary { device: bits, addresses, routes, rules, peers, .. } = &plan.summary;
        self.device(interface, plan, set)?;
        // WireGuard's own packets never meet a rule that sends them into a tunnel: a mark has rules before packets
        // have it, and packets have a mark as long as there are rules.
        let before = plan.device.as_ref().map_or(0, |device| device.fwmark);
        let turn = (bits & device::FWMARK != 0).then_some(match (before, interface.fwmark) {
            (_, 0) => Turn::AfterRules,
            (0, _) => Turn::BeforePeers,
            _ => Turn::BetweenRules,
        });
        if turn == Some(Turn::BeforePeers) {
            self.set_fwmark(set, interface.fwmark)?;
            self.add_items(Kind::Rule, rules)?;
        }
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
        if turn != Some(Turn::BeforePeers) {
            self.add_items(Kind::Rule, rules)?;
        }
        if turn == Some(Turn::BetweenRules) {
            self.set_fwmark(set, interface.fwmark)?;
        }
        self.remove_items(Kind::Rule, rules)?;
        if turn == Some(Turn::AfterRules) {
            self.set_fwmark(set, interface.fwmark)?;
        }
        self.remove_items(Kind::Route, routes)?;
        self.remove_addresses(addresses, plan)?;
        // Peers are removed last: an earlier refusal then costs no peer its session.
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
            let text = "the new interface is removed again";
            self.kernel.slot.fail(Code::NoInterface, Subject::Interface, text)
        })?;
        self.mark()
    }

    fn mark(&mut self) -> Result<(), Fault> {
        self.kernel.mark(self.name, self.index)?;
        self.changed = true;
        Ok(())
    }

    fn up(&mut self) -> Result<(), Fault> {
        let index = self.index;
        let up =
            self.change(Subject::Interface, &|buf, seq| route::link::set_up(buf, seq, index, true));
        // The port is opened when the link goes up, and the kernel's error then does not name the
        // port.
        up.map_err(|fault| port_taken(self.kernel.slot, fault))
    }

    fn device(
        &mut self,
        interface: &Interface,
        plan: &Plan,
        set: &mut [u8; SET],
    ) -> Result<(), Fault> {
        let bits = plan.summary.device;
        // The port is set first and alone, and then the link goes up. The port is refused most
        // often, and in a shared message the kernel sets the mark before it checks the port.
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
                // A key that had to be generated is set by now.
                PrivateKey::None | PrivateKey::Generate => SecretKey::ZERO,
            };
            let change = DeviceChange { private_key: Some(key), ..DeviceChange::default() };
            self.set_device(set, Subject::PrivateKey, &change)?;
        }
        Ok(())
    }

    fn set_fwmark(&mut self, set: &mut [u8; SET], fwmark: u32) -> Result<(), Fault> {
        let change = DeviceChange { fwmark: Some(fwmark), ..DeviceChange::default() };
        self.set_device(set, Subject::Fwmark, &change)
    }

    fn set_device(
        &mut self,
        set: &mut [u8; SET],
        subject: Subject,
        change: &DeviceChange,
    ) -> Result<(), Fault> {
        set_device(self.kernel, set, self.name, subject, change)?;
        self.changed = true;
        Ok(())
    }

    /// Adds or removes an address, a route or a rule.
    fn change_item(&mut self, item: &Item, comes: bool) -> Result<(), Fault> {
        let index = self.index;
        let changed =
            self.change(subject(item), &|buf, seq| write_item(buf, seq, (item, index), comes));
        let slot = self.kernel.slot;
        match changed {
            // The kernel removed it together with another item.
            Err(_) if !comes && GONE.iter().any(|errno| slot.is(*errno)) => {}
            // The kernel added it itself, or it can be added once another item is removed.
            Err(_) if comes && !self.strict && slot.is(Errno::EEXIST) => {}
            Err(fault) if comes && matches!(item, Item::Route(_)) => {
                let text = "another program on the router has added the same route";
                return Err(slot.reword(fault, Errno::EEXIST, None, text));
            }
            changed => changed?,
        }
        self.beat.next();
        Ok(())
    }

    /// Removes the items of a kind that the kernel has beyond the image.
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

    /// Removes addresses. While it runs, the kernel is set to keep the other IPv4 addresses of a
    /// network (and with them all routes of the interface) when the network's first address is
    /// removed.
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
        // The failure of the removal is reported.
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
            // Without the setting, what the kernel removes is added again in the next round.
            Err(_) if self.kernel.slot.code() == Some(Code::Kernel) => Ok(()),
            set => set,
        }
    }

    /// Adds the items of a kind that the kernel lacks.
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

    /// Removes peers, or adds and changes peers.
    fn peers(&mut self, set: &mut [u8; SET], removing: bool) -> Result<(), Fault> {
        let Self { kernel, work, beat, changed, name, .. } = self;
        peers::send(kernel, *name, set, &|_| false, &mut |sender| {
            let mut step = Step::before(sender.from);
            loop {
                let n = step.next;
                let more =
                    if removing { work.extra(&mut step)? } else { work.wanted(&mut step, false)? };
                if !more {
                    return Ok(());
                }
                let Item::Peer(key) = step.item else { continue };
                *changed = true;
                if removing {
                    remove_peer(sender, n, key)?;
                } else {
                    set_peer(sender, work, n, &step)?;
                }
                sender.end(Subject::Peer(key))?;
                beat.next();
            }
        })
    }
}

fn remove_peer<N: NetlinkSocket>(
    sender: &mut Sender<'_, '_, N>,
    n: u32,
    key: PublicKey,
) -> Result<(), Fault> {
    let change = PeerChange { remove: true, ..PeerChange::new(key) };
    sender.put(n, Subject::Peer(key), &|encoder| encoder.peer(&change))
}

/// Encodes one peer with its allowed IPs.
fn set_peer<N: NetlinkSocket, F: File>(
    sender: &mut Sender<'_, '_, N>,
    work: &mut Work<'_, F>,
    n: u32,
    step: &Step,
) -> Result<(), Fault> {
    let mut records = work.records(step.offset);
    let wanted = peer_record(&mut records)?;
    let about = Subject::Peer(wanted.public_key);
    let mut mark = step.mark;
    if matches!(mark, Mark::Differs(fields) if fields & REMAKE != 0) {
        remove_peer(sender, n, wanted.public_key)?;
        mark = Mark::Missing;
    }
    let settings = settings(wanted);
    let keepalive = settings.persistent_keepalive;
    let whole = PeerChange {
        replace_allowed_ips: true,
        preshared_key: wanted.preshared_key.clone(),
        endpoint: settings.endpoint,
        persistent_keepalive: Some(keepalive).filter(|seconds| *seconds != 0),
        ..PeerChange::new(wanted.public_key)
    };
    let change = match mark {
        Mark::Differs(fields) => settings.part(whole, fields),
        Mark::Missing | Mark::Same => whole,
    };
    sender.put(n, about, &|encoder| encoder.peer(&change))?;
    if !change.replace_allowed_ips {
        return Ok(());
    }
    loop {
        let net = match records.next()? {
            Some(Record::AllowedIp(net)) => *net,
            Some(Record::Host(_)) => continue,
            _ => return Ok(()),
        };
        let change = AllowedIpChange { net, remove: false };
        sender.put(n, about, &|encoder| encoder.allowed_ip(&change))?;
    }
}

/// The errors of removing an item that is gone already: an address, an address or a route of an
/// interface without IPv6, a route, a rule.
const GONE: [Errno; 4] = [Errno::EADDRNOTAVAIL, Errno::ENXIO, Errno::ESRCH, Errno::ENOENT];

/// The place of a new mark in the order of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Packets have no mark yet: with the new rules, before a peer can be sent anything.
    BeforePeers,
    /// Between the new rules and the removal of the old ones.
    BetweenRules,
    /// There is no mark any more: after the old rules.
    AfterRules,
}

/// The kinds of items, grouped by how they are changed.
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
