//! Routes of an image that are in use by another interface or program. They are found before
//! anything is changed, because the kernel accepts only one route of a table, metric and
//! destination.

use core::fmt;

use proto_core::ip::{AF_INET, AF_INET6};
use proto_core::netlink::Errno;
use proto_core::netlink::route::{Route, RouteFilter, Rule, rule};
use proto_core::protocol::config::{Interface, Item, Record};
use proto_core::protocol::message::{Code, Name, Subject};

use crate::config::claims::EachClaim;
use crate::config::index::{Index, Mark};
use crate::config::plan::{Step, Work};
use crate::fault::Fault;
use crate::kernel::exchange::Kernel;
use crate::kernel::read::wanted_route;
use crate::system::{File, NetlinkSocket};

/// The first number that is proposed for a table and a mark, and the number of candidates.
const PROPOSED: u32 = 51_820;
const PROPOSALS: u32 = u64::BITS;

/// The owner of a route.
#[derive(Clone, Debug)]
enum Owner {
    /// The interface with this image.
    Image(Name),
    /// The interface with this index; `None` for a route without interface.
    Kernel(Option<u32>),
}

/// Fails when a route that is to be added is in the image of another interface, or in the kernel on its behalf.
///
/// # Errors
/// [`Code::Config`] naming the route, a kernel error, [`Code::Storage`].
pub fn check<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
    interface: &Interface,
    claims: &mut EachClaim<'_>,
) -> Result<(), Fault> {
    let Some(filter) = missing(work)? else { return Ok(()) };
    let mut found: Option<(Item, Owner)> = None;
    claims(&mut |other, record| {
        if let (Some(other), Record::Route(route), None) = (other, record, &found) {
            let item = Item::Route(*route);
            if is_missing(&mut work.index, &item)? {
                found = Some((item, Owner::Image(other.parse().unwrap_or_default())));
            }
        }
        Ok(())
    })?;
    if found.is_none() {
        // A missing route that the interface has goes with an address.
        let own = kernel.link(interface.name)?.map(|link| link.index);
        each_route(kernel, filter, &mut |route| {
            let item = Item::Route(wanted_route(route));
            let others = own.is_none() || route.oif != own;
            let counts = found.is_none() && others && filter.matches(route);
            if counts && is_missing(&mut work.index, &item)? {
                found = Some((item, Owner::Kernel(route.oif)));
            }
            Ok(())
        })?;
    }
    let Some((Item::Route(route), owner)) = found else { return Ok(()) };
    let owner = match owner {
        Owner::Image(name) => Some(name),
        Owner::Kernel(None) => None,
        Owner::Kernel(Some(index)) => kernel.name_of(index)?,
    };
    let owner: &dyn fmt::Display = match &owner {
        Some(name) => name,
        None => &"the router",
    };
    let table = route.table;
    let fail = |words| kernel.slot.say(Code::Config, Subject::Route(route.to), Errno(0), words);
    if route.to.prefix != 0 {
        return Err(fail(format_args!(
            "{owner} has the same route of table {table}: leave the route out of one of the two, or give this \
             interface another `Table`"
        )));
    }
    let setting = if interface.fwmark == table { "FwMark" } else { "Table" };
    let number = free_number(kernel, claims)?;
    Err(kernel.slot.say(
        Code::Config,
        Subject::Route(route.to),
        Errno(0),
        format_args!(
            "{owner} has the default route of table {table}: give this interface `{setting} = {number}`"
        ),
    ))
}

/// The filter for the kernel's routes that new routes can clash with; `None` if no route is to be
/// added.
fn missing<F: File>(work: &mut Work<'_, F>) -> Result<Option<RouteFilter>, Fault> {
    let mut filter: Option<RouteFilter> = None;
    let mut step = Step::before(0);
    while work.wanted(&mut step, false)? {
        match step.item {
            Item::Route(route) => {
                let table = Some(route.table);
                let filter = filter.get_or_insert(RouteFilter { table, ..RouteFilter::default() });
                filter.table = filter.table.filter(|table| *table == route.table);
            }
            Item::Address(_) => {}
            Item::Rule(_) | Item::Peer(_) => break,
        }
    }
    Ok(filter)
}

fn is_missing<F: File>(index: &mut Index<'_, F>, item: &Item) -> Result<bool, Fault> {
    Ok(index.find(&item.key())?.is_some_and(|(_, entry)| entry.mark == Mark::Missing))
}

/// Visits the kernel's routes of both families. A list that changes meanwhile is not read again:
/// the kernel refuses a clash that is missed here.
fn each_route<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    filter: RouteFilter,
    take: &mut dyn FnMut(&Route) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let slot = kernel.slot;
    for family in [AF_INET, AF_INET6] {
        kernel.dump_family(
            Subject::Interface,
            &|buf, seq, family| filter.list(buf, seq, family),
            family,
            &mut |message| take(&Route::parse(message).map_err(|error| slot.unreadable(&error))?),
        )?;
    }
    Ok(())
}

/// A number that nothing on the router uses as a table or mark.
fn free_number<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    claims: &mut EachClaim<'_>,
) -> Result<u32, Fault> {
    let slot = kernel.slot;
    let mut used = 0_u64;
    let mut note = |number: u32| {
        let bit = number.checked_sub(PROPOSED).and_then(|n| 1_u64.checked_shl(n));
        used |= bit.unwrap_or(0);
    };
    claims(&mut |_, record| {
        match record {
            Record::Interface(interface) => note(interface.fwmark),
            Record::Route(route) => note(route.table),
            Record::Rule(rule) => {
                note(rule.table);
                note(rule.fwmark.unwrap_or(0));
            }
            _ => {}
        }
        Ok(())
    })?;
    each_route(kernel, RouteFilter::default(), &mut |route| {
        note(route.table);
        Ok(())
    })?;
    kernel.dump_both(Subject::Rule, &rule::list, &mut |message| {
        let rule = Rule::parse(message).map_err(|error| slot.unreadable(&error))?;
        note(rule.table);
        note(rule.fwmark.unwrap_or(0));
        Ok(())
    })?;
    // When all candidates are in use, the number after them is returned, which is as good as any.
    Ok(PROPOSED.saturating_add(used.trailing_ones().min(PROPOSALS)))
}
