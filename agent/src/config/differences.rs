//! The differences of a comparison in words, for `status` and the log: which item is gone, was added or differs, or
//! how many.

use core::fmt::{self, Write};

use heapless::String;
use proto_core::protocol::config::Item;
use proto_core::protocol::message::{Count, WORDS, device};

use crate::config::index::Mark;
use crate::config::plan::{Plan, Step, Work, counter};
use crate::fault::Fault;
use crate::system::File;

/// Some differences.
pub type Words = String<WORDS>;

/// Words that are put one behind another while they fit.
struct Clauses<'w> {
    words: &'w mut Words,
    cut: bool,
}

impl Clauses<'_> {
    #[inline(never)]
    fn add(&mut self, clause: fmt::Arguments<'_>) {
        const MORE: &str = " ...";
        let before = self.words.len();
        let comma = if before == 0 { "" } else { ", " };
        let written = write!(self.words.as_mut_view(), "{comma}{clause}");
        if !self.cut && (written.is_err() || self.words.len().saturating_add(MORE.len()) > WORDS) {
            self.words.truncate(before);
            self.cut = true;
            let _ = self.words.push_str(MORE);
        } else if self.cut {
            self.words.truncate(before);
        }
    }
}

/// An item in words.
struct Named<'i>(&'i Item);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Item::Address(net) => write!(f, "address {net}"),
            Item::Route(route) => write!(f, "route {}", route.to),
            Item::Rule(rule) => write!(f, "rule {}", rule.priority),
            Item::Peer(key) => write!(f, "peer {key}"),
        }
    }
}

/// What became of items.
const GONE: usize = 0;
const DIFFERS: usize = 1;
const ADDED: usize = 2;
const VERBS: [[&str; 2]; 3] =
    [["is gone", "are gone"], ["differs", "differ"], ["was added", "were added"]];

/// Says what differs after [`compare`](crate::config::plan::compare); nothing if nothing does.
///
/// # Errors
/// [`Code::Storage`](proto_core::protocol::message::Code::Storage).
#[inline(never)]
pub fn words<F: File>(
    work: &mut Work<'_, F>,
    plan: &mut Plan,
    words: &mut Words,
) -> Result<(), Fault> {
    words.clear();
    let mut to = Clauses { words, cut: false };
    let Plan { link, device: found, summary } = plan;
    let has = |bit| !summary.created && summary.device & bit != 0;
    match link {
        None => to.add(format_args!("the link was deleted")),
        Some(link) if !link.marked => to.add(format_args!("another program made the link")),
        Some(_) => {}
    }
    if has(device::UP) {
        to.add(format_args!("the link is down"));
    }
    if let (true, Some(link)) = (has(device::MTU), &link) {
        to.add(format_args!("the MTU is {}", link.mtu));
    }
    if let Some(found) = found {
        if has(device::LISTEN_PORT) {
            to.add(format_args!("the port is {}", found.listen_port));
        }
        if has(device::FWMARK) {
            to.add(format_args!("the mark is {:#x}", found.fwmark));
        }
    }
    if has(device::PRIVATE_KEY) {
        to.add(format_args!("the private key differs"));
    }
    // One item of each kind and verb, which is named if there is no other.
    let mut firsts = [[None::<Item>; 3]; 4];
    let mut note = |item: &Item, verb: usize| {
        let kind = kind(item);
        if let Some(first) = firsts.get_mut(kind).and_then(|verbs| verbs.get_mut(verb)) {
            first.get_or_insert(*item);
        }
    };
    let mut step = Step::before(0);
    while work.wanted(&mut step, false)? {
        note(&step.item, if step.mark == Mark::Missing { GONE } else { DIFFERS });
    }
    step = Step::before(0);
    while work.extra(&mut step)? {
        note(&step.item, ADDED);
    }
    let created = summary.created;
    for (first, verb) in firsts.iter().flat_map(|verbs| verbs.iter().zip(VERBS.iter().zip(0..))) {
        let ([one, many], verb) = verb;
        let Some(item) = first else { continue };
        // The kernel deletes them with the link.
        if created && !matches!(item, Item::Rule(_)) {
            continue;
        }
        let Count { added, changed, removed, .. } = *counter(summary, item);
        let plural = match item {
            Item::Address(_) => "addresses",
            Item::Route(_) => "routes",
            Item::Rule(_) => "rules",
            Item::Peer(_) => "peers",
        };
        match [added, changed, removed].get(verb).copied().unwrap_or(1) {
            1 => to.add(format_args!("{} {one}", Named(item))),
            count => to.add(format_args!("{count} {plural} {many}")),
        }
    }
    Ok(())
}

const fn kind(item: &Item) -> usize {
    match item {
        Item::Address(_) => 0,
        Item::Route(_) => 1,
        Item::Rule(_) => 2,
        Item::Peer(_) => 3,
    }
}
