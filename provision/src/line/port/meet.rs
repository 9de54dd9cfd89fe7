//! Who is at a port: looks for a router, and finds out why none answers.

use std::time::Duration;

use proto_core::key::PublicKey;
use proto_core::protocol::message::Code;
use proto_core::protocol::session::fingerprint;

use super::Worker;
use crate::drive;
use crate::home::Place;
use crate::ops::{self, Address, Opening, Target};
use crate::session::SessionError;
use crate::transport::{Prompt, SerialLine, TransportError, tried};
use crate::units::{DEFAULT_BAUD, SerialAddress};

/// How long one attempt to find a router takes.
const SEARCH: Duration = Duration::from_secs(2);
/// How long a search listens before its first byte.
const LISTEN: Duration = Duration::from_millis(500);
/// The most known routers of one attempt. A slow line carries fewer handshakes in its time.
const AT_ONCE: usize = 24;

/// What was found at a port.
pub(super) enum Met {
    /// A router that is known, with this key.
    Known(PublicKey),
    /// An unclaimed router with this key.
    Unclaimed(PublicKey),
    /// No router that answers.
    Nobody,
    /// The port cannot be used, for this reason.
    NoPort(String),
    /// A router that answers, but not as it should.
    Broken(ops::Error),
}

/// Why no router answers.
pub(super) struct Silence {
    pub(super) code: &'static str,
    pub(super) why: String,
    /// The router, if it belongs to another owner.
    pub(super) stranger: Option<PublicKey>,
}

impl Worker<'_> {
    /// Why no router answers, from what its console says to a person. `None` if there may be none.
    pub(super) fn explain(&self) -> Option<Silence> {
        let opened = SerialLine::open(&self.serial(), self.shared.options.dtr, Duration::ZERO);
        let seconds = self.shared.options.patience.as_secs();
        let mut stranger = None;
        let (code, why) = match opened.and_then(|mut line| line.prompt()) {
            Ok(Prompt::Postwire(key)) => {
                stranger = Some(key);
                let rows = self.shared.rows();
                let unit = rows.of(&key).and_then(|row| self.shared.manifest.units.get(row));
                let who = match unit {
                    Some(unit) => format!("{} ({})", fingerprint(&key), unit.name),
                    None => fingerprint(&key).to_string(),
                };
                let why = format!(
                    "the router {who} belongs to another owner: your key is none of its owners'"
                );
                ("another_owner", why)
            }
            Ok(Prompt::Other(words)) => {
                let why = format!(
                    "another program than postwired has the router's port; it says: {words}"
                );
                ("no_answer", why)
            }
            // It may be one of the known routers that were not tried yet.
            _ if self.heard && self.part < self.parts => return None,
            _ if self.heard => {
                let why = format!(
                    "the router is on, and did not answer for {seconds} s: it belongs to another owner and its \
                     console is off, or postwired does not run on this port"
                );
                ("no_answer", why)
            }
            // A port that had its cable when the line began may have no router.
            _ if !self.is_new => return None,
            _ => {
                let why = format!(
                    "nothing was heard for {seconds} s: is the router on, and are RX and TX crossed?"
                );
                ("silence", why)
            }
        };
        Some(Silence { code, why, stranger })
    }

    /// Whether the router with this key answers the operator.
    pub(super) fn answers(&mut self, key: PublicKey) -> bool {
        let target = self.target(vec![key], SEARCH, false);
        drive::one(target.open(&mut self.watcher())).is_ok()
    }

    /// Whether the router with this key has no owner. At a cable, it answers everybody.
    pub(super) fn has_no_owner(&mut self, key: PublicKey) -> bool {
        let target = self.target(vec![key], SEARCH, false);
        let mut watcher = self.watcher();
        let asked = drive::one(async {
            let mut session = target.open(&mut watcher).await?;
            session.owners().await
        });
        matches!(asked, Err(SessionError::Failed(failure)) if failure.code == Code::Unclaimed)
    }

    /// Looks for a router: the one that is present, or else any.
    pub(super) fn meet(&mut self) -> Met {
        let keys = match self.present {
            Some(key) => vec![key],
            None => self.some_keys(),
        };
        let target = self.target(keys, SEARCH, false);
        let mut watcher = self.watcher();
        let met = match drive::one(target.open(&mut watcher)) {
            Ok(session) => Met::Known(session.router_key()),
            Err(SessionError::Unowned { key, .. }) => Met::Unclaimed(key),
            Err(SessionError::NoSession { .. } | SessionError::Silence { .. }) => Met::Nobody,
            Err(SessionError::Transport(TransportError::Interrupted)) => Met::Nobody,
            Err(
                error
                @ SessionError::Transport(TransportError::Home(_) | TransportError::Random(_)),
            ) => Met::Broken(error.into()),
            Err(error @ SessionError::Transport(_)) => Met::NoPort(error.to_string()),
            Err(error) => Met::Broken(error.into()),
        };
        self.heard |= watcher.heard;
        met
    }

    /// The known routers to look for this time.
    fn some_keys(&mut self) -> Vec<PublicKey> {
        let baud = self.port.baud.unwrap_or(DEFAULT_BAUD);
        let most = tried(baud, SEARCH, AT_ONCE);
        let keys = self.shared.rows().keys();
        let (keys, parts) = one_part(self.stray, keys, most, self.part);
        (self.part, self.parts) = (self.part + 1, parts);
        keys
    }

    fn serial(&self) -> SerialAddress {
        SerialAddress { device: self.port.path.clone(), baud: self.port.baud, auto: false }
    }

    pub(super) fn place(&self) -> Place {
        Place::Serial(self.serial().to_string())
    }

    pub(super) fn target(&self, keys: Vec<PublicKey>, timeout: Duration, note: bool) -> Target {
        let (serial, place) = (self.serial(), self.place());
        // A router that was just switched on may be in its boot loader, which any byte would stop.
        let listen =
            if timeout == SEARCH && self.present.is_none() { LISTEN } else { Duration::ZERO };
        let opening = Opening { dtr: self.shared.options.dtr, listen };
        Target {
            operator: self.shared.operator.clone(),
            who: "a router".into(),
            keys,
            timeout,
            typed: format!("--serial {serial}"),
            note: note.then(|| (self.shared.home.clone(), place)),
            way: Box::new(Address::Serial(serial, opening)),
        }
    }
}

/// The routers to look for the `part`th time, at most as many as one attempt tries, and in how many parts all of them are
/// looked for. The stray one is looked for each time, if there is room for another one beside it.
fn one_part(
    stray: Option<PublicKey>,
    keys: Vec<PublicKey>,
    most: usize,
    part: usize,
) -> (Vec<PublicKey>, usize) {
    let (each_time, in_turn) = if most > 1 { (stray, None) } else { (None, stray) };
    let keys: Vec<_> = in_turn.into_iter().chain(keys).collect();
    let size = most - usize::from(each_time.is_some());
    let parts = keys.len().div_ceil(size).max(1);
    let some = keys.into_iter().skip(part % parts * size).take(size);
    (each_time.into_iter().chain(some).collect(), parts)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// At 19,200 baud seven of 24 were tried, and always the same: the others could not come back to such a line.
    #[test]
    fn every_known_router_is_tried_at_any_speed() {
        for baud in [1_200, 2_400, 9_600, 19_200, 38_400, 57_600, 115_200, 1_500_000] {
            let most = tried(baud, SEARCH, AT_ONCE);
            for count in 0..60_u8 {
                let keys: Vec<_> = (1..=count).map(|n| PublicKey([n; 32])).collect();
                for stray in [None, Some(PublicKey([99; 32]))] {
                    let (_, parts) = one_part(stray, keys.clone(), most, 0);
                    let mut met = HashSet::new();
                    for part in 5..5 + parts {
                        let (some, _) = one_part(stray, keys.clone(), most, part);
                        let can = tried(baud, SEARCH, some.len());
                        assert_eq!(can, some.len(), "{baud} baud, {count} routers");
                        met.extend(some);
                    }
                    let all: HashSet<_> = keys.iter().copied().chain(stray).collect();
                    assert_eq!(met, all, "{baud} baud, {count} routers");
                }
            }
        }
    }
}
