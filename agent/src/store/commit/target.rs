//! An image on its way to the kernel: checked, compared, applied, and compared again.

use proto_core::protocol::message::State;

use super::{Committer, Working};
use crate::config::apply::{ROUNDS, apply};
use crate::config::claims::{TakeClaim, each_in_force};
use crate::config::clash;
use crate::config::image::{Checked, Span, check, check_allowed_ips};
use crate::config::index::{Extras, Index};
use crate::config::plan::{Plan, Purpose, Work, agree, compare};
use crate::fault::{Fault, Slot};
use crate::store::noted::Noted;
use crate::store::snapshot::Parts;
use crate::system::{File, System};

/// An image that is being applied, without its files.
pub(super) struct Target {
    /// Place of the image in its file.
    pub(super) span: Span,
    /// Number of items of the image.
    pub(super) items: u32,
    /// Number of items that the kernel has and the image has not.
    pub(super) extras: u32,
    pub(super) key: [u8; 16],
    /// Whether the link must be up.
    pub(super) up: bool,
    /// The parts of a snapshot; `None` for any other image.
    pub(super) parts: Option<Parts>,
    pub(super) checked: Checked,
    pub(super) plan: Plan,
}

impl Target {
    #[inline(never)]
    pub(super) const fn work<'f, F: File>(
        &self,
        slot: &'f Slot,
        image: &'f mut F,
        index: &'f mut F,
        extras: &'f mut F,
    ) -> Work<'f, F> {
        let index = Index::again(slot, index, self.items);
        let extras = Extras::again(slot, extras, self.extras);
        let Self { span: Span { end, .. }, key, up, parts, .. } = *self;
        let links = self.checked.links;
        Work { slot, image, end, index, extras, key, up, links, parts }
    }
}

impl<S: System> Committer<'_, S> {
    /// An image that is not checked yet.
    #[inline(never)]
    pub(super) fn target(&self, span: Span) -> Target {
        Target {
            span,
            items: 0,
            extras: 0,
            key: self.sum_key,
            up: true,
            parts: None,
            checked: Checked::default(),
            plan: Plan::default(),
        }
    }

    /// Checks an image, makes its index, and compares it with the kernel.
    pub(super) fn compare(
        &mut self,
        image: &mut S::File,
        target: &mut Target,
        purpose: Purpose,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, store, .. } = self;
        let mut index = Index::new(slot, &mut files.index);
        // The agent wrote the snapshot itself.
        let own = purpose == Purpose::Undo;
        let Target { span, key, checked, .. } = target;
        // The allowed IPs of a stored image were checked when it was pushed.
        if purpose == Purpose::Change {
            let noted = Noted { slot, file: &mut *image };
            check_allowed_ips(noted, *span, &mut index, &mut files.extras)?;
        }
        let noted = Noted { slot, file: &mut *image };
        let mut find_link = |name| Ok(kernel.link(name)?.map(|link| link.index));
        check(noted, *span, &mut index, (key, own), checked, &mut find_link, working)?;
        if !checked.sorted {
            index.sort(&mut files.extras)?;
        }
        target.items = index.len();
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let Target { checked, plan, .. } = target;
        let interface = &checked.interface;
        compare(
            kernel,
            &mut work,
            interface,
            purpose,
            plan,
            &mut |take| each_in_force(store, &interface.name, take),
            working,
        )?;
        target.extras = work.extras.len();
        Ok(())
    }

    /// Fails for a route that another part of the router has.
    pub(super) fn check_routes(
        &mut self,
        image: &mut S::File,
        target: &Target,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, store, .. } = self;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let interface = &target.checked.interface;
        clash::check(kernel, &mut work, interface, &mut |take| {
            each_in_force(store, &interface.name, take)
        })
    }

    /// Applies the changes of a plan, and compares again; the plan then describes the kernel.
    ///
    /// The kernel has side effects: routes go with the last address, addresses and routes come back when a link goes
    /// up. So remaining differences are applied again, a few times at most.
    pub(super) fn make(
        &mut self,
        image: &mut S::File,
        target: &mut Target,
        working: &mut Working<'_>,
    ) -> Result<(), Fault> {
        let Self { slot, kernel, files, machine, set, store, .. } = self;
        let mut work = target.work(slot, image, &mut files.index, &mut files.extras);
        let Target { checked: Checked { interface, .. }, plan, .. } = target;
        let mut claims = |take: &mut TakeClaim<'_>| each_in_force(store, &interface.name, take);
        apply(kernel, &mut work, interface, (plan, ROUNDS == 1), *machine, set, working)?;
        let mut again = || {
            for round in 2..=ROUNDS {
                compare(kernel, &mut work, interface, Purpose::Verify, plan, &mut claims, working)?;
                if !plan.summary.is_quiet() && !plan.other_than_items() {
                    let strict = round == ROUNDS;
                    apply(kernel, &mut work, interface, (plan, strict), *machine, set, working)?;
                } else {
                    return agree(&mut work, plan);
                }
            }
            compare(kernel, &mut work, interface, Purpose::Verify, plan, &mut claims, working)?;
            agree(&mut work, plan)
        };
        again().map_err(|fault| slot.amend(fault, &|failure| failure.state = State::Partly))
    }
}
