//! The facts about a router that every result names.

use proto_core::key::PublicKey;
use proto_core::protocol::session::fingerprint;
use serde::Serialize;

use crate::session::{Session, printable};
use crate::units::mac_text;

/// A router, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Router {
    hostname: String,
    board: String,
    serial_number: String,
    macs: Vec<String>,
    agent: String,
    name: String,
    public_key: String,
    fingerprint: String,
    #[serde(skip)]
    key: PublicKey,
}

impl Router {
    /// The router of a session.
    #[must_use]
    pub fn of(session: &Session<'_>) -> Self {
        let (status, key) = (session.status(), session.router_key());
        Self {
            hostname: printable(&status.hostname),
            board: printable(&status.board),
            serial_number: printable(&status.serial_number),
            macs: status.macs.iter().map(mac_text).collect(),
            agent: printable(&session.hello().agent),
            name: session.known_as().into(),
            public_key: key.to_string(),
            fingerprint: fingerprint(&key).to_string(),
            key,
        }
    }

    /// The router's host name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.hostname.is_empty() { "the router" } else { &self.hostname }
    }

    /// The router's host name; empty if it has none.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The router's name in the operator's list.
    #[must_use]
    pub fn known_as(&self) -> &str {
        &self.name
    }

    /// The fingerprint of the router's key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The version of the agent.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The board, as the router names it.
    #[must_use]
    pub fn board(&self) -> &str {
        &self.board
    }

    /// The device's serial number; empty if the router does not tell it.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// The MAC addresses of the device, with spaces between them; empty if the router does not tell them.
    #[must_use]
    pub fn macs(&self) -> String {
        self.macs.join(" ")
    }

    /// The router's key.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }
}
