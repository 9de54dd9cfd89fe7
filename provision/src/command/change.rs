//! How a command ends that changed something on the router, or found that it need not.

use proto_core::protocol::message::{Applied, Name};
use serde::Serialize;

use super::connect::Router;
use super::summary::{self, SummaryJson};

/// What `--json` says of a change.
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

/// A change that stays, or that somebody has to confirm by hand.
#[derive(Debug)]
pub(super) struct Settled {
    /// What the router said of it. Its answer may have been lost, and the change found later.
    pub(super) applied: Option<Applied>,
    /// The number that it has in the history, or gets.
    pub(super) number: u32,
    /// Whether it was confirmed.
    pub(super) confirmed: bool,
    /// What has become of it, in words.
    pub(super) text: String,
}

impl Settled {
    /// A change that was made and need not be confirmed.
    pub(super) fn at_once(applied: Applied) -> Self {
        let number = applied.number;
        let text = match applied.stored {
            true => format!("stored as number {number}"),
            false => format!("stored already as number {number}"),
        };
        Self { applied: Some(applied), number, confirmed: false, text }
    }

    /// Whether the kernel was changed.
    pub(super) fn changed(&self) -> bool {
        self.applied.as_ref().is_none_or(|applied| !applied.summary.is_quiet())
    }

    /// Whether something was written to the router's storage.
    pub(super) fn stored(&self) -> bool {
        self.confirmed || self.applied.as_ref().is_some_and(|applied| applied.stored)
    }

    /// What was changed, in words, behind `what`.
    pub(super) fn describe(&self, what: &str) -> String {
        match &self.applied {
            Some(applied) => format!("{what}: {}\n{}", summary::text(&applied.summary), self.text),
            None => format!("{what}; the router's answer to it was lost\n{}", self.text),
        }
    }

    /// The facts.
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
