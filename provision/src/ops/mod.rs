//! Operations on one router, as a library: what a command, a fleet and a factory line have in common.
//!
//! ```text
//! Target (operator, keys, way) --open--> Session --> operation --> outcome, or Error with a stable code
//!                                                        |
//!                                                        +--> Observer (progress, notes)
//! ```
//!
//! Every operation is a future that [`crate::drive`] runs, alone or beside thousands of others. None prints, asks, or
//! ends the process: progress goes to the [`Observer`], a question to a closure of the caller.
//!
//! | operation | does |
//! |---|---|
//! | [`push`], [`repair`], [`remove`], [`rollback`] | change an interface, and follow the change until it is final |
//! | [`diff`], [`status()`] | ask, and change nothing |
//! | [`claim()`] | makes an unclaimed router the operator's |
//! | [`hand_over()`] | makes another person the only owner |
//! | [`Target::open`] | a [`Session`] for everything else: `confirm`, `revert`, `history`, `show`, owners |
//!
//! Not here: files of configurations ([`crate::conf`]), the wording of results ([`crate::command`]).

mod change;
mod claim;
mod error;
pub(crate) mod failure;
mod hand_over;
mod router;
mod status;
mod way;

use std::time::Duration;

use proto_core::key::PublicKey;
use proto_core::protocol::digest;
use proto_core::protocol::message::{Drift, Name};
use proto_core::protocol::session::{Wire, fingerprint};

use crate::home::{Home, HomeError, Operator, Place};
use crate::image::Image;
use crate::observe::Observer;
use crate::session::{Diff, Session, SessionError, printable};
use crate::transport::{FindError, Reason, Secure, Transport};

use change::Wanted;
pub use change::{Changed, Confirming, Settled};
pub use claim::{Claiming, claim};
pub use error::{Cause, Error, Kind, Outcome, Stop};
pub use hand_over::{HandedOver, hand_over};
pub use router::Router;
pub use status::{Agreement, Health, status};
pub use way::{Address, Opening, Way};

/// A router, and everything needed to talk to it.
pub struct Target {
    /// The operator.
    pub operator: Operator,
    /// The connection, opened again for each session.
    pub way: Box<dyn Way>,
    /// The router or the routers that it may be, in words.
    pub who: String,
    /// Their keys, the most likely first.
    pub keys: Vec<PublicKey>,
    /// How long to wait for a reply.
    pub timeout: Duration,
    /// The options by which `postwire` reaches the same router, for messages that name a command.
    pub typed: String,
    /// Where to note that the router was met, and at which place.
    pub note: Option<(Home, Place)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Target {
    /// Opens a session with the first of the routers that answers.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open<'o>(
        &self,
        observer: &'o mut dyn Observer,
    ) -> Result<Session<'o>, SessionError> {
        self.open_to_push(None, observer).await
    }

    /// Opens a session, and begins the push of an image in the same round trip.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open_to_push<'o>(
        &self,
        image: Option<&Image>,
        observer: &'o mut dyn Observer,
    ) -> Result<Session<'o>, SessionError> {
        let line = self.way.open(self.timeout)?;
        let secure =
            Secure::find(line, &self.operator, &self.keys, self.timeout, observer).await.map_err(
                |error| stranger(error, &self.operator, &self.who, self.keys.len(), self.timeout),
            )?;
        let mut session = Session::open_to_push(secure, self.timeout, observer, image).await?;
        if let Some((home, place)) = &self.note
            && let Err(error) = remember(home, &mut session, place, None)
        {
            // The session is the result; the list is a convenience.
            session.tell(&format!("cannot save the address of this router: {error}"));
        }
        Ok(session)
    }

    /// Opens a new session with a router that was reached before, over a way that is opened anew: the change may have
    /// moved this machine to another address.
    async fn open_again<'o>(
        &self,
        router: PublicKey,
        timeout: Duration,
        observer: &'o mut dyn Observer,
    ) -> Result<Session<'o>, SessionError> {
        let mut line = self.way.open(timeout)?;
        line.skip_listening();
        let who = fingerprint(&router).to_string();
        let secure = Secure::find(line, &self.operator, &[router], timeout, observer)
            .await
            .map_err(|error| stranger(error, &self.operator, &who, 1, timeout))?;
        Session::open(secure, timeout, observer).await
    }
}

/// Asked before a push that leaves an interface without peers or addresses. An error ends the push.
pub type Approve = dyn FnMut(&Emptied) -> Result<(), Stop> + Send;

/// How to push an image.
pub struct Pushing<'a> {
    /// Whether the change must be confirmed.
    pub confirming: Confirming,
    /// Take over an interface that the agent did not make.
    pub adopt: bool,
    /// Asked before a push that leaves the interface without peers or addresses; `None` pushes without asking.
    pub approve: Option<&'a mut Approve>,
}

impl std::fmt::Debug for Pushing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushing").field("confirming", &self.confirming).finish_non_exhaustive()
    }
}

/// The items that a push would remove without a replacement: most such files were truncated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emptied {
    /// The interface.
    pub interface: Name,
    /// The number of its peers, if it would have none left; else 0.
    pub peers: u32,
    /// The number of its addresses, if it would have none left; else 0.
    pub addresses: u32,
}

/// Makes a router run and store an image.
///
/// # Errors
/// [`Error`].
pub async fn push(
    target: &Target,
    image: &Image,
    how: Pushing<'_>,
    observer: &mut dyn Observer,
) -> Result<Changed, Error> {
    let Pushing { confirming, adopt, approve } = how;
    let what = (&image.interface, Some(image), Wanted::Image(digest(&image.bytes)));
    change::make(target, confirming, what, observer, async |session| {
        if let Some(approve) = approve {
            approved(session, image, approve).await?;
        }
        Ok(session.push(image, confirming.seconds, adopt).await?)
    })
    .await
}

async fn approved(
    session: &mut Session<'_>,
    image: &Image,
    approve: &mut Approve,
) -> Result<(), Cause> {
    match emptied(session, image).await? {
        Some(emptied) => {
            // A question has a line of its own.
            session.clear();
            Ok(approve(&emptied)?)
        }
        None => Ok(()),
    }
}

/// Only an image without peers or addresses costs the question to the router.
async fn emptied(
    session: &mut Session<'_>,
    image: &Image,
) -> Result<Option<Emptied>, SessionError> {
    if image.counts.peers > 0 && image.counts.addresses > 0 {
        return Ok(None);
    }
    let plan = session.diff(image).await?.summary;
    let goes = |has: usize, removed: u32| if has == 0 { removed } else { 0 };
    let emptied = Emptied {
        interface: image.interface,
        peers: goes(image.counts.peers, plan.peers.removed),
        addresses: goes(image.counts.addresses, plan.addresses.removed),
    };
    Ok(Some(emptied).filter(|emptied| emptied.peers > 0 || emptied.addresses > 0))
}

/// Shows what a push of an image would change, and what another program changed on the interface since the last push.
///
/// # Errors
/// [`Error`].
pub async fn diff(
    target: &Target,
    image: &Image,
    observer: &mut dyn Observer,
) -> Result<(Router, Diff, Option<Drift>), Error> {
    let compared = compare(target, image, observer).await;
    compared.map_err(|error| Error::from(error).on(&image.interface))
}

async fn compare(
    target: &Target,
    image: &Image,
    observer: &mut dyn Observer,
) -> Result<(Router, Diff, Option<Drift>), SessionError> {
    let mut session = target.open_to_push(Some(image), observer).await?;
    let diff = session.diff(image).await?;
    let mut drift = session.status().drift.iter();
    let drift = drift.find(|drift| drift.interface == image.interface).cloned();
    Ok((Router::of(&session), diff, drift))
}

/// Applies the stored configuration of an interface again.
///
/// # Errors
/// [`Error`].
pub async fn repair(
    target: &Target,
    interface: &Name,
    confirming: Confirming,
    observer: &mut dyn Observer,
) -> Result<Changed, Error> {
    change::make(target, confirming, (interface, None, Wanted::Stored), observer, async |session| {
        Ok(session.repair(interface, confirming.seconds).await?)
    })
    .await
}

/// Removes an interface.
///
/// # Errors
/// [`Error`].
pub async fn remove(
    target: &Target,
    interface: &Name,
    confirming: Confirming,
    observer: &mut dyn Observer,
) -> Result<Changed, Error> {
    let what = (interface, None, Wanted::Nothing);
    change::make(target, confirming, what, observer, async |session| {
        Ok(session.remove(interface, confirming.seconds).await?)
    })
    .await
}

/// Applies an earlier configuration again: that of `number`, or the one before the newest.
///
/// # Errors
/// [`Error`].
pub async fn rollback(
    target: &Target,
    interface: &Name,
    number: Option<u32>,
    confirming: Confirming,
    observer: &mut dyn Observer,
) -> Result<Changed, Error> {
    change::make(
        target,
        confirming,
        (interface, None, Wanted::Earlier),
        observer,
        async |session| {
            Ok(match number {
                Some(number) => session.rollback(interface, number, confirming.seconds).await?,
                None => session.rollback_one(interface, confirming.seconds).await?,
            })
        },
    )
    .await
}

/// Notes that a router was met at a place, under the given name, or the name that it has, or else its host name.
pub(crate) fn remember(
    home: &Home,
    session: &mut Session<'_>,
    place: &Place,
    name: Option<&str>,
) -> Result<(), HomeError> {
    let key = session.router_key();
    let hostname = printable(&session.status().hostname);
    let known_as = home.note(key, place, name, &[&hostname])?;
    session.set_known_as(known_as);
    Ok(())
}

/// Describes why no session was opened.
fn stranger(
    error: FindError,
    operator: &Operator,
    who: &str,
    tried: usize,
    waited: Duration,
) -> SessionError {
    match error {
        FindError::Transport(error) => error.into(),
        FindError::Unowned { line, key } => SessionError::Unowned { line, key },
        FindError::Silence { line, wire, reason, hint, left_out } => {
            let mut hint = reason.hint(hint);
            if left_out > 0 {
                hint = format!(
                    "only {} of your {tried} known routers could be tried in the time: name the router with \
                     --router NAME, or allow more time with --timeout. {hint}",
                    tried.saturating_sub(left_out)
                );
            }
            let unclaimed = match wire {
                Wire::Serial => "",
                Wire::Udp => {
                    ". An unclaimed router does not answer over UDP: claim it with `postwire claim --serial DEV`"
                }
            };
            SessionError::NoSession {
                who: who.into(),
                name: line,
                waited,
                reason,
                hint: format!(
                    "{hint} A router answers only its owners. If it belongs to others, ask an admin to run \
                     `{}`{unclaimed}",
                    let_in(operator)
                ),
            }
        }
    }
}

/// The command with which an admin adds the operator as an owner.
fn let_in(operator: &Operator) -> String {
    format!("postwire owner add {} --role admin --name YOU", operator.public())
}

/// The hint for a claim to which no router answered.
fn unclaimed_hint(
    line: &dyn Transport,
    reason: &Reason,
    operator: &Operator,
    label: bool,
) -> String {
    let secret = match label {
        true => {
            " Check the label's secret: it works only once. Over a serial cable no secret is needed."
        }
        false => "",
    };
    format!(
        "{}{secret} If the router may be yours already, run `postwire status`. If it belongs to others, ask an \
         admin to run `{}`, or run `postwired reset-owner` on the router itself",
        reason.hint(line.silence_hint()),
        let_in(operator)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program may run each operation in a thread of its own.
    #[test]
    fn operations_can_be_sent_to_threads() {
        fn check<T: Send>(_: impl FnOnce(&'static Target) -> T) {}
        check(|target| diff(target, unreachable(), Box::leak(Box::new(()))));
        check(|target| status(target, Box::leak(Box::new(()))));
        check(|target| {
            let how = Pushing { confirming: Confirming::default(), adopt: false, approve: None };
            push(target, unreachable(), how, Box::leak(Box::new(())))
        });
        check(|target| {
            let confirming = Confirming::default();
            repair(target, unreachable(), confirming, Box::leak(Box::new(())))
        });
    }

    fn unreachable<T>() -> T {
        unreachable!("only types are checked")
    }
}
