//! Changes of interfaces that the program of `--applied` is told, one after the other.

use heapless::Vec;
use proto_core::protocol::message::Name;

use super::Service;
use crate::system::{Machine, System};

/// Number of interfaces that can wait.
const WAIT: usize = 32;

/// The changes that wait.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// An interface, and the last change of it.
    waiting: Vec<(Name, &'static str), WAIT>,
    /// Whether every stored interface was visited once. At a start of the agent, the program is told of those that
    /// ran before too: it may not know them.
    pub(super) started: bool,
}

impl<S: System> Service<'_, S> {
    /// Has the program told of a change. An earlier change of the interface that still waits is not told.
    pub(super) fn announce(&mut self, interface: &Name, what: &'static str) {
        let told = &mut self.told.waiting;
        if let Some((_, before)) = told.iter_mut().find(|(name, _)| name == interface) {
            *before = what;
        } else if told.push((*interface, what)).is_err() {
            let line = format_args!(
                "{interface}: more than {WAIT} interfaces wait for the program of --applied"
            );
            self.committer.machine.log(line);
        }
    }

    /// The next change that the program is to be told: the interface, and the change in a word.
    pub fn next_told(&mut self) -> Option<(Name, &'static str)> {
        let told = &mut self.told.waiting;
        (!told.is_empty()).then(|| told.remove(0))
    }
}
