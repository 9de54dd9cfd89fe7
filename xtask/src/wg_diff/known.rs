//! The differences from Debian's `wg` that are kept on purpose. `docs/wg.md` has the same table for
//! readers. A run fails when one of them is met by no case, so that none stays here after it is gone.

use super::compare::{Pair, State};

/// A difference that is kept.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    /// Whether all in which the two sides differ after a command is this.
    pub(super) explains: fn(&Pair<'_>) -> bool,
}

pub(super) const TABLE: &[Known] = &[Known {
    name: "syncconf keeps the order",
    reason: "allowed IPs that are the same are left alone, so they stay in the order they had",
    explains: |pair| pair.command("syncconf") && pair.only_state() && pair.state() == State::Order,
}];

impl Pair<'_> {
    /// Whether it is this subcommand of `wg`.
    fn command(&self, name: &str) -> bool {
        self.ours.words.iter().take(3).any(|word| word == name)
    }

    fn only_state(&self) -> bool {
        self.same_status() && self.same_stdout() && self.same_stderr()
    }
}
