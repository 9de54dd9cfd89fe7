//! A session with a router. It drives the state machines of `proto_core::protocol::client` with a real clock and a
//! real transport.
//!
//! The session starts with a hello and a status. The hello says how many bytes may be in flight; the status
//! identifies the router, for every later message to the user.

pub mod console;
mod error;
mod machine;
mod opening;
mod owners;
mod patch;
mod push;
mod read;
mod stored;
mod talk;

use std::time::Duration;

use proto_core::key::PublicKey;
use proto_core::protocol::digest;
use proto_core::protocol::message::{Answer, Applied, Ask, Hello, Status};
use proto_core::text::misleads;

use crate::image::Image;
use crate::observe::{Event, Observer};
use crate::transport::Secure;
use opening::{Begun, Greeting};
use talk::{Talk, patience};

pub use error::SessionError;
pub use push::Diff;

/// How often a push is retried when its stage on the router has expired.
const MAX_RESTARTS: u32 = 3;
/// Overhead of a request and its reply on the line, in bytes.
const OVERHEAD: u32 = 200;
/// The longest accepted report, in bytes.
const MAX_REPORT: u32 = 64 << 20;

/// A session with a router.
pub struct Session<'u> {
    talk: Talk<'u>,
    known_as: String,
    commit_sent: bool,
    /// A push that began together with the hello.
    begun: Option<Begun>,
    hello: Hello,
    status: Status,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl<'u> Session<'u> {
    /// Opens the session: hello and status.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open(
        transport: Secure,
        timeout: Duration,
        observer: &'u mut dyn Observer,
    ) -> Result<Self, SessionError> {
        Self::open_to_push(transport, timeout, observer, None).await
    }

    /// Opens the session and begins the push of an image in the same round trip.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open_to_push(
        transport: Secure,
        timeout: Duration,
        observer: &'u mut dyn Observer,
        image: Option<&Image>,
    ) -> Result<Self, SessionError> {
        let mut talk = Talk::new(transport, timeout, observer)?;
        let Greeting { hello, status, begun } = opening::greet(&mut talk, image).await?;
        let mut session =
            Self { talk, known_as: String::new(), commit_sent: false, begun, hello, status };
        let mut patience = patience(timeout);
        let line = session.talk.transport.line();
        if let Some(baud) = line.baud() {
            let bytes = OVERHEAD.saturating_add(session.piece_size().into());
            patience.resend = patience.resend.saturating_add(bytes.saturating_mul(10_000) / baud);
        }
        let opened = format!(
            "postwired {} on {}: pieces of {} bytes, {} bytes under way",
            printable(&session.hello.agent),
            line.name(),
            session.piece_size(),
            session.hello.in_flight,
        );
        session.talk.transport.set_patience(patience);
        session.talk.observer.detail(&opened);
        Ok(session)
    }

    /// The router's early replies about an image.
    fn take_begun(&mut self, image: &Image) -> Option<Begun> {
        let piece_size = self.piece_size();
        let same =
            |begun: &Begun| begun.piece_size == piece_size && begun.digest == digest(&image.bytes);
        self.begun.take().filter(same)
    }

    /// The router's hello.
    #[must_use]
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The router's status at the start of the session.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The router's key.
    #[must_use]
    pub const fn router_key(&self) -> PublicKey {
        self.talk.transport.router()
    }

    /// The operator's key.
    #[must_use]
    pub fn own_key(&self) -> PublicKey {
        self.talk.transport.own()
    }

    /// The router's name in the operator's list, once saved.
    #[must_use]
    pub fn known_as(&self) -> &str {
        &self.known_as
    }

    /// Removes the progress display before output is printed.
    pub fn clear(&mut self) {
        self.talk.observer.event(Event::Idle);
    }

    /// Prints a line before the command ends.
    pub fn tell(&mut self, line: &str) {
        self.talk.observer.note(line);
    }

    /// Sets the router's name in the operator's list.
    pub fn set_known_as(&mut self, name: String) {
        self.known_as = name;
    }

    /// Notes that a change is about to be requested.
    pub(super) fn committing(&mut self) {
        self.commit_sent = true;
        self.talk.observer.event(Event::Committing);
    }

    /// Whether a change was requested, so that its outcome is unknown if the router does not reply.
    #[must_use]
    pub const fn commit_sent(&self) -> bool {
        self.commit_sent
    }

    /// Bytes in one piece: the smaller of the limits of the router and the line.
    fn piece_size(&self) -> u16 {
        self.hello.max_data.min(self.talk.likely_piece())
    }

    /// Sends one request and returns the reply.
    async fn call(&mut self, ask: Ask<'_>) -> Result<Answer<'static>, SessionError> {
        self.talk.call(ask).await
    }

    /// Sends one request that changes the router. If the change must be confirmed, the reply is awaited for at most
    /// half the time: the rest is needed to find the router again.
    async fn change(&mut self, ask: Ask<'_>, confirm_within: u16) -> Result<Applied, SessionError> {
        self.committing();
        let half = Duration::from_millis(u64::from(confirm_within) * 500);
        let timeout =
            if confirm_within == 0 { self.talk.timeout } else { self.talk.timeout.min(half) };
        self.talk.caller.set_patience(patience(timeout));
        let answer = self.call(ask).await;
        self.talk.caller.set_patience(patience(self.talk.timeout));
        match answer? {
            Answer::Applied(applied) => Ok(applied),
            _ => Err(SessionError::Nonsense("unexpected reply to a change")),
        }
    }
}

/// Text from a router with a `?` for each character that could mislead its reader.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if misleads(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{Source, parse};
    use crate::transport::Stray;

    /// Invisible characters and those that change the writing direction, too.
    #[test]
    fn no_character_that_misleads_reaches_the_person() {
        let all: String = (char::MIN..=char::MAX).filter(|&c| misleads(c) && c != '\n').collect();
        let mut stray = Stray::default();
        stray.take_text(all.as_bytes());
        let mut shown = stray.take_lines(true);
        shown.push(printable(&all));
        for c in all.chars() {
            let file = format!(
                "[Interface]\nAddress = 10.0.0.1{c}/24\nMTU{c} = 1\n[Pe{c}er]\nPrivateKey{c}\n"
            );
            let (source, _) = Source::new("t.conf", file.as_bytes());
            shown.extend(
                parse(&source).1.iter().map(|problem| problem.render(&source).replace('\n', " ")),
            );
        }
        assert!(shown.len() > 100);
        for text in shown {
            assert!(!text.chars().any(misleads), "{text:?}");
        }
    }
}
