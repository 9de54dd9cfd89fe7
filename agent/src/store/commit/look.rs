//! The comparison of the kernel with the configuration that should run, at any moment, without a change.

use proto_core::protocol::message::Name;

use super::{Committer, Target};
use crate::config::differences::{self, Words};
use crate::config::plan::Purpose;
use crate::fault::Fault;
use crate::store::configurations::Head;
use crate::system::System;

impl<S: System> Committer<'_, S> {
    /// Says in `words` what the kernel has other than the stored configuration of an interface, or than the pending
    /// change of the interface. Returns the index of its link, or 0 if the link is gone; `None` if no interface of
    /// that name should run.
    ///
    /// # Errors
    /// As for [`Committer::plan`].
    pub fn look(
        &mut self,
        interface: &Name,
        pending: Option<&Head>,
        words: &mut Words,
    ) -> Result<Option<u32>, Fault> {
        words.clear();
        let expected = match pending {
            Some(head) => self.expected(head)?,
            None => self.newest_whole(interface)?,
        };
        let Some((head, mut image)) = expected.filter(|(head, _)| head.has_image()) else {
            return Ok(None);
        };
        let mut target = self.target(head.span());
        self.compare(&mut image, &mut target, Purpose::Repair, &mut |_, _, _| {})?;
        let Self { slot, files, .. } = self;
        let mut work = target.work(slot, &mut image, &mut files.index, &mut files.extras);
        let Target { plan, .. } = &mut target;
        differences::words(&mut work, plan, words)?;
        Ok(Some(plan.link.map_or(0, |link| link.index)))
    }
}
