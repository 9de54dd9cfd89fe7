//! Why a session ended early.

use std::time::Duration;

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Code, Failure};
use proto_core::protocol::session::fingerprint;

use crate::home::HomeError;
use crate::transport::{Reason, TransportError};

/// The reason why a session ended early.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The router did not reply.
    #[error("no answer from the router on {name} for {} s{reason}", waited.as_secs_f32())]
    Silence {
        /// The transport.
        name: String,
        /// The last error of the network, if any.
        reason: Reason,
        /// How long.
        waited: Duration,
        /// The hint for the user.
        hint: String,
    },
    /// No session could be opened.
    #[error("no answer from {who} on {name} for {} s{reason}", waited.as_secs_f32())]
    NoSession {
        /// The router or routers that were tried.
        who: String,
        /// The transport.
        name: String,
        /// The last error of the network, if any.
        reason: Reason,
        /// How long.
        waited: Duration,
        /// The hint for the user.
        hint: String,
    },
    /// The router has no owner.
    #[error("the router on {line} is unclaimed; its fingerprint is {}", fingerprint(key))]
    Unowned {
        /// The transport.
        line: String,
        /// Its key.
        key: PublicKey,
    },
    /// The operator's own files cannot be used.
    #[error(transparent)]
    Home(HomeError),
    /// The router reported a failure.
    #[error("the router failed: {}", .0.text)]
    Failed(Box<Failure>),
    /// The router keeps losing the upload or download.
    #[error(
        "the router lost the transfer several times: check whether the router keeps restarting"
    )]
    Restarts,
    /// The router violated the protocol.
    #[error("protocol error: {0}")]
    Nonsense(&'static str),
    /// No random numbers for the client's identity.
    #[error("cannot get random numbers from this machine: {0}")]
    Random(getrandom::Error),
}

impl From<HomeError> for SessionError {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Interrupted => TransportError::Interrupted.into(),
            error => Self::Home(error),
        }
    }
}

impl SessionError {
    /// The name of the cause, for scripts; `None` where the router gave its own code.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Transport(TransportError::Open { code, .. }) => code,
            Self::Transport(TransportError::Passing(..)) => "unreachable",
            Self::Transport(TransportError::Lost(..)) => "lost",
            Self::Silence { reason, .. } | Self::NoSession { reason, .. } => reason.code(),
            Self::Unowned { .. } => "unowned",
            Self::Random(_) | Self::Transport(TransportError::Random(_)) => "random",
            Self::Restarts => "restarts",
            Self::Nonsense(_) => "protocol",
            Self::Transport(TransportError::Interrupted) => "interrupted",
            Self::Home(_) | Self::Transport(TransportError::Home(_)) | Self::Failed(_) => {
                return None;
            }
        })
    }

    /// Whether the router was unreachable for now.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        match self {
            Self::Transport(error) => !matches!(
                error,
                TransportError::Home(_) | TransportError::Random(_) | TransportError::Interrupted
            ),
            Self::Silence { .. } | Self::NoSession { .. } => true,
            _ => false,
        }
    }

    /// Whether the user pressed Ctrl-C.
    pub(crate) const fn is_interrupt(&self) -> bool {
        matches!(self, Self::Transport(TransportError::Interrupted))
    }

    /// Whether the router was reachable to the end.
    pub(super) const fn is_heard(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Nonsense(_))
    }

    /// Whether what the router made of what it was sent is not what was announced.
    pub(super) fn is_digest(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.code == Code::Digest)
    }

    /// Whether the upload or download has expired on the router, so that it must be restarted.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Failed(failure) if matches!(failure.code, Code::Gone | Code::Incomplete))
    }
}
