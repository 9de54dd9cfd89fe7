//! Why an operation failed, with a code that scripts can rely on.

use std::borrow::Cow;
use std::fmt;

use proto_core::protocol::message::{Failure, Name, State};
use serde::Serialize;

use super::{Router, failure};
use crate::home::HomeError;
use crate::session::SessionError;
use crate::transport::TransportError;

/// Which side an error is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The command line.
    Usage,
    /// FILE.
    File,
    /// One of the operator's own files.
    Own,
    /// The connection to the router.
    Connection,
    /// The router.
    Router,
    /// The user pressed Ctrl-C, or answered no.
    Interrupted,
}

/// The state of the router's running configuration after a failed change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As before.
    Unchanged,
    /// Some of the changes were made, and could not be reverted.
    Partly,
    /// Changed, and reverted.
    Undone,
    /// Changed; the change was not confirmed, and the router reverted it.
    TakenBack,
    /// Changed; the router was not reached since, and reverts the change by itself.
    Unconfirmed,
    /// The change was requested, and its outcome is not known.
    Unknown,
}

/// Why an operation failed.
#[derive(Debug)]
pub enum Cause {
    /// A session could not be opened, or ended early.
    Session(SessionError),
    /// The change was not confirmed, and the router has its previous configuration again.
    Reverted(String),
    /// Another client's change is pending in place of this one.
    Overtaken(String),
    /// The router was not reached after the change, and reverts the change by itself.
    Unconfirmed(String),
    /// The caller stopped the operation.
    Stopped(Stop),
}

/// A caller's reason to stop an operation before anything is changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// Whose decision that was.
    pub kind: Kind,
    /// The message.
    pub message: String,
    /// The hint.
    pub hint: Option<String>,
}

/// Why an operation failed, and the state in which it left the router.
///
/// | [`Error::kind`] | [`Error::code`] |
/// |---|---|
/// | `router` | the name of a `proto_core::protocol::message::Code` in snake case (`code_N` for a number that has no name here), `unowned`, `restarts`, `protocol`, `reverted`, `overtaken` |
/// | `connection` | `port_busy`, `no_port`, `several_ports`, `permission`, `not_serial`, `speed` (one that the port does not have), `open` (a port, for another cause), `lookup`, `unreachable`, `refused`, `silence`, `lost` (in the middle), `unconfirmed`, `starting` (again and again), `boot_loader` (stopped at its prompt), `not_a_key` (of a router) |
/// | `own` | `random`; none for the operator's own files |
/// | `interrupted` | `interrupted`, `declined` |
///
/// Codes may be added; none changes its meaning.
#[derive(Debug)]
pub struct Error {
    /// Why.
    pub cause: Cause,
    /// The state of the running configuration; `None` for an operation that changes nothing.
    pub state: Option<Outcome>,
    /// The router, if it was reached before a change failed.
    pub router: Option<Box<Router>>,
    /// The interface that the operation is about.
    interface: Option<Name>,
    /// The hint, if it is not the one of the cause.
    hint: Option<String>,
}

impl From<Cause> for Error {
    /// An error that says nothing of the state of the router.
    fn from(cause: Cause) -> Self {
        Self { cause, state: None, router: None, interface: None, hint: None }
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        Cause::from(error).into()
    }
}

impl From<HomeError> for Error {
    fn from(error: HomeError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<SessionError> for Cause {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<Stop> for Cause {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Session(SessionError::Failed(failure)) => {
                f.write_str(&failure::message(failure, self.interface.as_ref()))
            }
            Cause::Session(error) => error.fmt(f),
            Cause::Reverted(text) | Cause::Overtaken(text) | Cause::Unconfirmed(text) => {
                f.write_str(text)
            }
            Cause::Stopped(stop) => f.write_str(&stop.message),
        }
    }
}

/// The hint for a router that could not be reached after a change.
const CUT_OFF: &str =
    "check whether the change removes the address, route or port by which you reach the router";

impl Error {
    /// The failure of a change, which had been requested from the router or not.
    pub(super) fn of_change(cause: Cause, requested: bool) -> Self {
        let state = match &cause {
            Cause::Session(SessionError::Failed(failure)) => state(failure),
            Cause::Session(SessionError::Home(_)) if !requested => return cause.into(),
            Cause::Session(_) if requested => Outcome::Unknown,
            Cause::Session(_) => Outcome::Unchanged,
            Cause::Stopped(_) => return cause.into(),
            Cause::Reverted(_) | Cause::Overtaken(_) => Outcome::TakenBack,
            Cause::Unconfirmed(_) => Outcome::Unconfirmed,
        };
        Self { state: Some(state), ..cause.into() }
    }

    /// The same error of an operation on this interface, which the router does not name.
    #[must_use]
    pub fn on(mut self, interface: &Name) -> Self {
        self.interface = Some(*interface);
        self
    }

    /// The same error with another hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As [`Error::with_hint`], for a change that may have cut its own way to the router.
    pub(super) fn cut_off(self) -> Self {
        self.with_hint(CUT_OFF)
    }

    /// Which side the error is on.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match &self.cause {
            Cause::Session(error) => match error {
                SessionError::Home(_)
                | SessionError::Random(_)
                | SessionError::Transport(TransportError::Home(_) | TransportError::Random(_)) => {
                    Kind::Own
                }
                SessionError::Transport(TransportError::Interrupted) => Kind::Interrupted,
                SessionError::Transport(
                    TransportError::Open { .. }
                    | TransportError::Passing(..)
                    | TransportError::Lost(..),
                )
                | SessionError::Silence { .. }
                | SessionError::NoSession { .. } => Kind::Connection,
                SessionError::Failed(_)
                | SessionError::Unowned { .. }
                | SessionError::Restarts
                | SessionError::Nonsense(_) => Kind::Router,
            },
            Cause::Reverted(_) | Cause::Overtaken(_) => Kind::Router,
            Cause::Unconfirmed(_) => Kind::Connection,
            Cause::Stopped(stop) => stop.kind,
        }
    }

    /// The code for scripts: see the table above. `None` for the operator's own files.
    #[must_use]
    pub fn code(&self) -> Option<Cow<'static, str>> {
        match &self.cause {
            Cause::Session(SessionError::Failed(failure)) => {
                Some(failure::code_name(failure.code).into())
            }
            Cause::Session(error) => error.code().map(Cow::Borrowed),
            Cause::Reverted(_) => Some("reverted".into()),
            Cause::Overtaken(_) => Some("overtaken".into()),
            Cause::Unconfirmed(_) => Some("unconfirmed".into()),
            Cause::Stopped(Stop { kind: Kind::Interrupted, .. }) => Some("declined".into()),
            Cause::Stopped(_) => None,
        }
    }

    /// The hint.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        match &self.cause {
            Cause::Session(error) => match error {
                SessionError::Failed(failure) => failure::advice(failure).map(Into::into),
                SessionError::Home(error)
                | SessionError::Transport(TransportError::Home(error)) => error.hint(),
                SessionError::Transport(TransportError::Open { hint, .. }) => hint.clone(),
                SessionError::Transport(TransportError::Lost(..)) => {
                    Some("check that the cable and the adapter are plugged in".into())
                }
                SessionError::Silence { hint, .. } | SessionError::NoSession { hint, .. } => {
                    Some(hint.clone())
                }
                SessionError::Unowned { .. } => Some(failure::CLAIM.into()),
                SessionError::Transport(_)
                | SessionError::Random(_)
                | SessionError::Restarts
                | SessionError::Nonsense(_) => None,
            },
            Cause::Stopped(stop) => stop.hint.clone(),
            Cause::Reverted(_) | Cause::Overtaken(_) | Cause::Unconfirmed(_) => None,
        }
    }

    /// Whether the router could not be reached, so that another attempt may succeed.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        match &self.cause {
            Cause::Session(error) => error.is_silence(),
            _ => false,
        }
    }
}

const fn state(failure: &Failure) -> Outcome {
    match failure.state {
        State::Unchanged => Outcome::Unchanged,
        State::Partly => Outcome::Partly,
        State::Undone => Outcome::Undone,
        State::Unknown(_) => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn sources(folder: &Path, each: &mut dyn FnMut(&str)) {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, each),
                false => each(&std::fs::read_to_string(path).unwrap()),
            }
        }
    }

    #[test]
    fn every_code_of_a_transport_is_in_the_table() {
        let table = include_str!("error.rs")
            .lines()
            .find(|line| line.starts_with("/// | `connection`"))
            .unwrap();
        let mut count = 0;
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport")), &mut |text| {
            for rest in text.split("TransportError::Open {").skip(1) {
                let Some((_, rest)) =
                    rest.split_once("code: \"").filter(|(before, _)| before.trim().is_empty())
                else {
                    continue;
                };
                let code = rest.split('"').next().unwrap();
                assert!(table.contains(&format!("`{code}`")), "{code} is not in {table}");
                count += 1;
            }
        });
        assert!(count > 4, "{count}");
    }
}
