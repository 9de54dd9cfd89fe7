//! `show` and `diff`: interfaces as they run, and as they are stored.

use core::fmt;

use proto_core::protocol::message::{Answer, Ask, ClientId, Failure, Name};
use proto_core::protocol::report::{Change, Running};

use crate::console::Person;
use crate::console::answers::{self, RunningPage};
use crate::console::page::Page;
use crate::fault::Fault;
use crate::requests::service::{Outlet, SCRATCH, Service, Turn};
use crate::system::System;

/// Tells the failure of one interface of a list: a person in its place, a program at the end, where a list is closed and
/// a failure is `error` of the whole.
#[inline(never)]
fn tell_one((name, failure): &(Name, Failure), at_end: bool, page: &mut Page<'_>) {
    if page.is_json() == at_end {
        page.interface = Some(*name);
        answers::failure(page, failure);
    }
}

impl<S: System> Service<'_, S> {
    /// The number of the configuration before the newest.
    pub(super) fn one_back(&mut self, interface: &Name) -> Result<Option<u32>, Fault> {
        let store = &mut self.committer.store;
        match store.newest(interface, u32::MAX)? {
            Some(newest) => store.newest(interface, newest),
            None => Ok(None),
        }
    }

    /// The WireGuard interface whose name follows `after`, in the order of the alphabet.
    fn link_after(&mut self, after: Option<Name>) -> Option<Name> {
        let mut next: Option<Name> = None;
        let found = self.committer.kernel.wireguard_links(&mut |name, _| {
            let follows = after.is_none_or(|after| *name > *after);
            if follows && next.is_none_or(|next| *name < *next) {
                next = Some(name);
            }
            Ok(())
        });
        let _ = found.map_err(|fault| self.slot.take(fault));
        next
    }

    /// Passes the name of each interface that runs or is stored to `take`, once.
    pub fn link_names(&mut self, take: &mut dyn FnMut(&str)) {
        let mut next = self.link_after(None);
        while let Some(name) = next {
            take(&name);
            next = self.link_after(next);
        }
        let mut stored = self.stored_after(None);
        while let Some(name) = stored {
            let mut runs = false;
            let found = self.committer.kernel.wireguard_links(&mut |link, _| {
                runs |= link == name;
                Ok(())
            });
            let _ = found.map_err(|fault| self.slot.take(fault));
            if !runs {
                take(&name);
            }
            stored = self.stored_after(stored);
        }
    }

    /// The interface after `after`: that has a stored configuration, or that runs.
    fn interface_after(&mut self, stored: bool, after: Option<Name>) -> Option<Name> {
        if stored { self.stored_after(after) } else { self.link_after(after) }
    }

    /// Tells how an interface runs, or all of them; or, with `stored`, what a repair would change.
    pub(super) fn each_interface(
        &mut self,
        interface: Option<Name>,
        stored: bool,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        page.open("interfaces", "[");
        let mut next = interface.or_else(|| self.interface_after(stored, None));
        if next.is_none() {
            let none = if stored { "nothing is stored" } else { "there is no WireGuard interface" };
            page.line(format_args!("{none}"));
        }
        let mut failed = None;
        while let Some(name) = next {
            let ask = match stored {
                true => Ask::Drift { interface: name },
                false => Ask::Show { interface: name },
            };
            if stored {
                page.open("", "{");
                page.field("interface", "interface:", format_args!("{name}"));
            }
            match self.attempt(&ask, (client, false), person, page) {
                None if stored => {
                    page.open("list", "[");
                    let take = &mut |record: &Change| answers::change(page, record);
                    self.records::<Change>(client, person, take);
                    page.close("]");
                }
                None => {
                    let mut shown = RunningPage::default();
                    let take = &mut |record: &Running| shown.record(page, record);
                    self.records::<Running>(client, person, take);
                    shown.end(page);
                }
                Some(failure) => tell_one(failed.insert((name, failure)), false, page),
            }
            if stored {
                page.close("}");
            }
            next = if interface.is_some() { None } else { self.interface_after(stored, next) };
            if next.is_some() && !stored {
                page.text("\n");
            }
        }
        page.close("]");
        if let Some(failed) = &failed {
            tell_one(failed, true, page);
        }
        failed.is_none()
    }

    /// The interface after `after` that has a stored configuration.
    fn stored_after(&mut self, after: Option<Name>) -> Option<Name> {
        let mut before = after;
        loop {
            let next = self.committer.store.interface_after(before.as_ref());
            let next = next.map_err(|fault| self.slot.take(fault)).ok().flatten()?;
            let stored = self.stored(&next).map_err(|fault| self.slot.take(fault));
            if stored.is_ok() {
                return Some(next);
            }
            before = Some(next);
        }
    }

    /// Tells of each stored configuration whether the kernel agrees with it.
    pub(super) fn agreements(
        &mut self,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) {
        /// Keeps the summary of a plan.
        struct Quiet<'q>(Option<bool>, &'q dyn fmt::Display);
        impl Outlet for Quiet<'_> {
            fn take(&mut self, answer: &Answer<'_>) -> bool {
                if let Answer::Planned(summary) = answer {
                    self.0 = Some(summary.is_quiet());
                }
                true
            }

            fn send(&mut self, _: &mut [u8; SCRATCH], _: usize) {}

            fn in_flight(&self) -> u32 {
                0
            }

            fn from(&self) -> &dyn fmt::Display {
                self.1
            }
        }
        page.open("stored", "[");
        let mut label = "stored";
        let mut next = self.stored_after(None);
        while let Some(interface) = next {
            let mut quiet = Quiet(None, person.from);
            let mut turn = Turn::new(client, 0, &mut quiet);
            let asked = self.answer(&Ask::Drift { interface }, person.visitor, &mut turn);
            let _ = asked.map_err(|fault| self.slot.take(fault));
            let words = match quiet.0 {
                Some(true) => "runs as stored",
                Some(false) => "differs from what is stored: see `diff`",
                None => "cannot be compared: see `diff`",
            };
            page.open("", "{");
            page.value("interface", format_args!("{interface}"));
            page.truth("agrees", quiet.0);
            page.close("}");
            page.field("", label, format_args!("{interface} {words}"));
            label = "";
            next = self.stored_after(next);
        }
        page.close("]");
    }
}
