//! The result of a command that changes a router, also when no change was needed.

use proto_core::protocol::message::{Applied, Name};
use serde::Serialize;

use super::connect::Router;
use super::summary::{self, SummaryJson};

/// A change, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    interface: String,
    router: Router,
    changed: bool,
    summary: Option<SummaryJson>,
    public_key: Option<String>,
    listen_port: Option<u16>,
    number: u32,
    stored: bool,
    confirmed: bool,
    confirm_within: u16,
}

/// A change that is final, or that the operator has to confirm by hand.
#[derive(Debug)]
pub(super) struct Settled {
    /// The router's reply; `None` if the reply was lost and the change was found later.
    pub(super) applied: Option<Applied>,
    /// The change's number in the history, or the number that a confirmation will give it.
    pub(super) number: u32,
    /// Whether the change was confirmed.
    pub(super) confirmed: bool,
    /// The outcome, as text.
    pub(super) text: String,
}

impl Settled {
    /// A change that needs no confirmation.
    pub(super) fn at_once(applied: Applied) -> Self {
        let number = applied.number;
        let text = match applied.stored {
            true => format!("stored as number {number}"),
            false => format!("already stored as number {number}"),
        };
        Self { applied: Some(applied), number, confirmed: false, text }
    }

    /// Whether the kernel was changed.
    pub(super) fn changed(&self) -> bool {
        self.applied.as_ref().is_none_or(|applied| !applied.summary.is_quiet())
    }

    /// Whether the router wrote to its storage.
    pub(super) fn stored(&self) -> bool {
        self.confirmed || self.applied.as_ref().is_some_and(|applied| applied.stored)
    }

    /// The changes as text, after `what`.
    pub(super) fn describe(&self, what: &str) -> String {
        match &self.applied {
            Some(applied) => format!("{what}: {}\n{}", summary::text(&applied.summary), self.text),
            None => format!("{what}; the router's answer to it was lost\n{}", self.text),
        }
    }

    /// The change as JSON.
    pub(super) fn json(&self, interface: &Name, router: Router) -> Changed {
        let applied = self.applied.as_ref();
        let summary = applied.map(|applied| &applied.summary);
        Changed {
            interface: interface.to_string(),
            router,
            changed: self.changed(),
            summary: summary.map(summary::json),
            public_key: summary.and_then(|summary| summary.public_key).map(|key| key.to_string()),
            listen_port: summary.and_then(|summary| summary.listen_port),
            number: self.number,
            stored: self.stored(),
            confirmed: self.confirmed,
            confirm_within: match self.confirmed {
                true => 0,
                false => applied.map_or(0, |applied| applied.confirm_within),
            },
        }
    }
}
