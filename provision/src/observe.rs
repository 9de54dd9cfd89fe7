//! What an operation reports while it runs. The terminal ([`crate::ui`]), the lines and records of a fleet, and any
//! other program are observers; operations write nothing themselves.

use proto_core::protocol::message::Phase;

use crate::transport::Stray;

/// Something that happened during an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// Bytes of an image were sent.
    Uploading {
        /// How many.
        done: u32,
        /// Of how many.
        total: u32,
    },
    /// Bytes of a report were received.
    Reading {
        /// How many.
        done: u32,
        /// Of how many.
        total: u32,
    },
    /// The router reports how far it is.
    Working {
        /// What it does.
        phase: Phase,
        /// How much of it is done.
        done: u32,
        /// Of how much; 0 if the router cannot say.
        total: u32,
    },
    /// Seconds of a wait for a router that does not answer after a change.
    Waiting {
        /// How many passed.
        done: u32,
        /// Of how many.
        total: u32,
    },
    /// The router is about to be told to make a change. From now on, silence says nothing about its state.
    Committing,
    /// The change was made, and the router is being reached again to confirm it.
    Confirming,
    /// Nothing is under way: output may follow.
    Idle,
    /// A sentence for the person, now.
    Note(&'e str),
    /// A sentence for a person who asked for details.
    Detail(&'e str),
    /// A line of text that the router sent outside packets, for a person who asked for details.
    Line(&'e str),
}

/// Takes the events of an operation.
pub trait Observer: Send {
    /// Takes an event.
    fn event(&mut self, event: Event<'_>);

    /// Returns `true` if details are wanted, so that none are put into words for nobody.
    fn wants_details(&self) -> bool {
        false
    }
}

/// Takes nothing.
impl Observer for () {
    fn event(&mut self, _: Event<'_>) {}
}

impl dyn Observer + '_ {
    /// Reports a sentence for the person.
    pub(crate) fn note(&mut self, line: &str) {
        self.event(Event::Note(line));
    }

    /// Reports a detail.
    pub(crate) fn detail(&mut self, line: &str) {
        if self.wants_details() {
            self.event(Event::Detail(line));
        }
    }

    /// Reports the lines that were received outside packets. `all` includes an unfinished line.
    pub(crate) fn stray(&mut self, stray: &mut Stray, all: bool) {
        for line in stray.take_lines(all) {
            if self.wants_details() {
                self.event(Event::Line(&line));
            }
        }
    }
}
