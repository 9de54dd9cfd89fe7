//! The interface that a policy rule belongs to: the interface whose image has the rule.
//!
//! The images in force are the newest undamaged stored image of each interface, and the image of
//! the pending change. A change may remove a rule only if an image of its own interface has the
//! rule and no image of another interface does. So a rule that two interfaces share stays until the
//! last of them gives it up. A rule that is in no image is left alone, whatever its protocol number
//! is.
//!
//! The kernel adds link-local addresses of its own. The same test protects them: only an address
//! that an image of the interface has is removed.

use heapless::Vec;
use proto_core::protocol::config::{Item, ItemKey, Record};
use proto_core::protocol::message::{Code, Name};

use crate::config::image::{Records, Span};
use crate::config::index::Extras;
use crate::fault::{Fault, Slot};
use crate::store::configurations::Store;
use crate::system::{Disk, File};

/// Takes a record of an image in force. The interface is that of the image, or `None` for the
/// interface that is changed.
pub type TakeClaim<'t> = dyn FnMut(Option<&str>, &Record) -> Result<(), Fault> + 't;
/// Visits the images in force.
pub type EachClaim<'c> = dyn FnMut(&mut TakeClaim<'_>) -> Result<(), Fault> + 'c;

/// Number of items that one pass over the images looks for.
const AT_ONCE: usize = 16;

/// Visits the records of an image up to its first peer: the interface, its addresses, routes and
/// rules.
///
/// # Errors
/// [`Code::Storage`], or what `take` returned.
pub fn each_record<F: File>(
    slot: &Slot,
    file: &mut F,
    Span { from, end }: Span,
    other: Option<&str>,
    take: &mut TakeClaim<'_>,
) -> Result<(), Fault> {
    let mut records = Records::new(slot, file, from, end);
    while let Some(record) = records.next()? {
        if matches!(record, Record::Peer(_)) {
            break;
        }
        take(other, record)?;
    }
    Ok(())
}

/// Visits the images in force while `interface` is changed.
///
/// # Errors
/// [`Code::Storage`], or what `take` returned.
pub fn each_in_force<D: Disk>(
    store: &mut Store<'_, D>,
    interface: &str,
    take: &mut TakeClaim<'_>,
) -> Result<(), Fault> {
    let slot = store.slot;
    let mut before: Option<Name> = None;
    while let Some(last) = store.interface_after(before.as_ref())? {
        before = Some(last);
        // Another part of the agent reports damaged files.
        let newest =
            store.newest_whole(&last, u32::MAX, &mut |slot, fault| drop(slot.take(fault)))?;
        if let Some((head, mut file)) = newest {
            let other = Some(&*last).filter(|name| *name != interface);
            each_record(slot, &mut file, head.span(), other, take)?;
        }
    }
    match store.open_next() {
        Ok((head, mut file)) => {
            let other = Some(&*head.interface).filter(|name| *name != interface);
            each_record(slot, &mut file, head.span(), other, take)
        }
        // Without a change under way this file does not exist, and a torn file was never applied.
        Err(_) if matches!(slot.code(), Some(Code::NotStored | Code::Damaged)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Decides for each open item of `extras` whether the interface may remove it. With `shared`, rules
/// that another interface has too count as well. `left` sees the items that stay.
///
/// # Errors
/// [`Code::Storage`], or what `left` returned.
pub fn settle<F: File>(
    extras: &mut Extras<'_, F>,
    shared: bool,
    each: &mut EachClaim<'_>,
    left: &mut dyn FnMut(&ItemKey) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut n = 0_u32;
    while extras.has_open() {
        let mut open = Vec::<(u32, ItemKey, bool, bool), AT_ONCE>::new();
        while !open.is_full()
            && let Some((key, sure)) = extras.get(n)?
        {
            if sure.is_none() {
                let _ = open.push((n, key, false, false));
            }
            n = n.saturating_add(1);
        }
        each(&mut |other, record| {
            let item = match record {
                Record::Address(net) if other.is_none() => Item::Address(*net),
                Record::Rule(rule) => Item::Rule(*rule),
                _ => return Ok(()),
            };
            let claimed = item.key();
            for (_, _, mine, others) in open.iter_mut().filter(|(_, key, ..)| *key == claimed) {
                *(if other.is_none() { &mut *mine } else { &mut *others }) = true;
            }
            Ok(())
        })?;
        for (n, key, mine, others) in &open {
            let sure = *mine && (shared || !*others);
            extras.settle(*n, sure)?;
            if !sure {
                left(key)?;
            }
        }
    }
    Ok(())
}
