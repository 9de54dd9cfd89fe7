//! A change of an interface, from the request to the point where nothing is open.
//!
//! A change that must be confirmed is reverted by the router otherwise. So the router is reached again through a new
//! session over a new transport, and told to keep the change. If the router cannot be reached, the operation waits
//! until the revert is due, and reports the configuration that the router reverted to.

use std::time::{Duration, Instant};

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Applied, Code, Failure, Name, Pending, device};
use proto_core::protocol::report::Stored;
use proto_core::protocol::{Digest, digest};

use super::{Cause, Error, Router, Target, failure};
use crate::image::Image;
use crate::observe::{Event, Observer};
use crate::session::{Session, SessionError, printable};
use crate::{clock, drive, stored};

/// The longest time for one attempt to reach the router, so that the next attempt can take another route.
const TRY: Duration = Duration::from_secs(3);
/// Pause between two attempts when one fails at once.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the router reverts a change unless the change is confirmed in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Confirming {
    /// Seconds until an unconfirmed change is reverted; 0 if the change needs no confirmation.
    pub seconds: u16,
    /// Leave the confirmation to the operator.
    pub by_hand: bool,
}

/// A change that was made, or was not needed.
#[derive(Debug)]
pub struct Changed {
    /// The router.
    pub router: Router,
    /// The change.
    pub settled: Settled,
}

/// A change that is final, or that the operator has to confirm by hand.
#[derive(Debug)]
pub struct Settled {
    /// The router's reply; `None` if the reply was lost and the change was found later.
    pub applied: Option<Applied>,
    /// The change's number in the history, or the number that a confirmation will give it.
    pub number: u32,
    /// Whether the change was confirmed.
    pub confirmed: bool,
    /// A removal left a link of the same name alone, which is another program's.
    pub left_alone: bool,
    /// The outcome, as text.
    pub text: String,
}

impl Settled {
    /// A change that needs no confirmation.
    fn at_once(applied: Applied, wanted: Wanted) -> Self {
        let left_alone = wanted == Wanted::Nothing && applied.summary.device & device::FOREIGN != 0;
        let number = applied.number;
        let text = match applied.stored {
            true => format!("stored as number {number}"),
            false => format!("already stored as number {number}"),
        };
        Self { applied: Some(applied), number, confirmed: false, left_alone, text }
    }

    /// Whether the kernel was changed.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.applied.as_ref().is_none_or(|applied| {
            let mut summary = applied.summary.clone();
            if self.left_alone {
                summary.device &= !device::FOREIGN;
            }
            !summary.is_quiet()
        })
    }

    /// Whether the router wrote to its storage.
    #[must_use]
    pub fn stored(&self) -> bool {
        let stored = self.applied.as_ref().is_some_and(|applied| applied.stored);
        self.confirmed || self.left_alone || stored
    }
}

/// A requested change.
struct Change<'a> {
    target: &'a Target,
    confirming: Confirming,
    interface: &'a Name,
    router: &'a Router,
    /// The router's name, for messages.
    name: &'a str,
    /// What the router should have.
    wanted: Wanted,
    /// Whether the change was requested.
    requested: bool,
}

/// What an interface is to have after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// The image with this digest.
    Image(Digest),
    /// The stored configuration.
    Stored,
    /// An earlier configuration. Only the router knows it.
    Earlier,
    /// Nothing: the interface is to be gone.
    Nothing,
}

impl Wanted {
    /// The digest under which the router stores it, if that is known. A removal has no bytes.
    fn digest(self) -> Option<Digest> {
        match self {
            Self::Image(digest) => Some(digest),
            Self::Nothing => Some(digest(&[])),
            Self::Stored | Self::Earlier => None,
        }
    }
}

/// The number of the wanted configuration on a router that was reached again.
#[derive(Clone, Copy)]
enum Kept {
    /// The change was confirmed under this number.
    Confirmed(u32),
    /// The router's reply was lost; the router runs the wanted configuration, and has stored it under this number.
    Runs(u32),
    /// The router's reply was lost; the removal is stored under this number, and the link of that name is another
    /// program's.
    LeftAlone(u32),
}

/// Whether the kernel has the wanted configuration.
enum Runs {
    Yes,
    /// The wanted configuration is none, and another program has a link of that name.
    LeftAlone,
    /// No, or it is not known: the relation to what is stored, as text.
    No(String),
}

/// The state of a router that was reached again.
enum Found {
    /// The wanted one.
    Kept(Kept),
    /// The change is gone; the stored configuration as text.
    Other(String),
    /// The change is stored, and the kernel has another configuration, or cannot be asked; both as text.
    Differs(String),
    /// Another client's change is pending.
    Theirs(Pending),
}

/// Under which number a change is stored, as the end of a sentence. A removal of what was never stored has no number.
fn stored_as(number: u32) -> String {
    match number {
        0 => String::new(),
        number => format!(": stored as number {number}"),
    }
}

/// Requests a change of an interface in a session that begins the push of an image, if there is one, and follows the
/// change to its end.
pub(super) async fn make(
    target: &Target,
    confirming: Confirming,
    (interface, image, wanted): (&Name, Option<&Image>, Wanted),
    observer: &mut dyn Observer,
    request: impl AsyncFnOnce(&mut Session<'_>) -> Result<Applied, Cause>,
) -> Result<Changed, Error> {
    let opened = target.open_to_push(image, observer).await;
    let mut session = opened.map_err(|error| Error::of_change(error.into(), false))?;
    let outcome = request(&mut session).await;
    let (router, requested) = (Router::of(&session), session.commit_sent());
    drop(session);
    let name = router.name();
    let change = Change { target, confirming, interface, router: &router, name, wanted, requested };
    match change.settle(outcome, observer).await {
        Ok(settled) => Ok(Changed { router, settled }),
        Err(mut error) => {
            error.router = Some(Box::new(router));
            Err(error.on(interface))
        }
    }
}

impl Change<'_> {
    /// Follows the change until nothing is open, or only the operator's own confirmation.
    async fn settle(
        &self,
        outcome: Result<Applied, Cause>,
        observer: &mut dyn Observer,
    ) -> Result<Settled, Error> {
        match outcome {
            Ok(applied) if applied.confirm_within == 0 => {
                Ok(Settled::at_once(applied, self.wanted))
            }
            Ok(applied) if self.confirming.by_hand => Ok(self.by_hand(applied)),
            Ok(applied) => {
                let left = Duration::from_secs(applied.confirm_within.into());
                let kept = self.confirm(Some(applied.number), left, observer).await?;
                Ok(self.kept(Some(applied), kept))
            }
            Err(Cause::Session(error)) if self.is_lost(&error) => {
                // The request may have arrived as late as now.
                let left = Duration::from_secs(self.confirming.seconds.into());
                if self.confirming.by_hand {
                    return Err(self.lost_by_hand(&error, left));
                }
                let kept = self.confirm(None, left, observer).await?;
                Ok(self.kept(None, kept))
            }
            Err(cause) => Err(self.failed(cause)),
        }
    }

    fn failed(&self, cause: Cause) -> Error {
        Error::of_change(cause, self.requested)
    }

    /// Whether the change may have been made and, if so, will be reverted.
    fn is_lost(&self, error: &SessionError) -> bool {
        self.confirming.seconds > 0 && self.requested && error.is_silence()
    }

    fn kept(&self, applied: Option<Applied>, kept: Kept) -> Settled {
        let reached = format!("{} was reached again through a new session", self.name);
        match kept {
            Kept::Confirmed(number) => {
                let text = format!("{reached}, and the change is confirmed{}", stored_as(number));
                Settled { applied, number, confirmed: true, left_alone: false, text }
            }
            Kept::Runs(number) => {
                let interface = self.interface;
                let what = match self.wanted {
                    Wanted::Nothing => format!("{interface} is gone"),
                    _ => "runs this configuration".into(),
                };
                let text = format!("{reached}, and {what}{}", stored_as(number));
                Settled { applied, number, confirmed: false, left_alone: false, text }
            }
            Kept::LeftAlone(number) => {
                let text = format!("{reached}; the removal is stored as number {number}");
                Settled { applied, number, confirmed: false, left_alone: true, text }
            }
        }
    }

    fn by_hand(&self, applied: Applied) -> Settled {
        let seconds = applied.confirm_within;
        let text = format!(
            "not confirmed yet: {} reverts the change at {}, in {seconds} s, unless you run\n  \
             postwire confirm {}",
            self.name,
            clock::time_in(Duration::from_secs(seconds.into())),
            self.target.typed,
        );
        let number = applied.number;
        Settled { number, applied: Some(applied), confirmed: false, left_alone: false, text }
    }

    fn lost_by_hand(&self, error: &SessionError, left: Duration) -> Error {
        let message = format!(
            "{error}. If the router made the change, it reverts the change by {} unless you run\n  \
             postwire confirm {}",
            clock::time_in(left),
            self.target.typed,
        );
        self.failed(Cause::Unconfirmed(message))
    }

    /// Reaches the router again and confirms the change. `left` is the longest time that the
    /// router waits for the confirmation.
    async fn confirm(
        &self,
        number: Option<u32>,
        left: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Kept, Error> {
        observer.event(Event::Confirming);
        let (started, timeout) = (Instant::now(), self.target.timeout);
        let (over, give_up) = (started + left, started + left + timeout);
        let at = clock::time_in(left);
        let answered = number.is_some();
        let mut number = number;
        let mut told = false;
        loop {
            let tried = Instant::now();
            match self.look(&mut number, timeout.min(TRY), observer).await {
                Ok(Found::Kept(kept)) => return Ok(kept),
                Ok(Found::Other(what)) => {
                    return Err(self.reverted(&what, answered, Instant::now() >= over));
                }
                Ok(Found::Differs(what)) => return Err(self.differs(&what)),
                Ok(Found::Theirs(pending)) => return Err(self.overtaken(&pending)),
                Err(error) if error.is_interrupt() => {
                    return Err(self.failed(Cause::Unconfirmed(format!(
                        "interrupted before the change was confirmed: {} reverts the change by {at} unless \
                         you run\n  postwire confirm {}",
                        self.name, self.target.typed
                    ))));
                }
                Err(error) if error.is_silence() => observer.detail(&error.to_string()),
                Err(error) => return Err(self.failed(error.into())),
            }
            let now = Instant::now();
            if now >= give_up {
                let message = format!(
                    "{} was not reached again after the change. If the router is on, it should have reverted the \
                     change by {at}; if it is off, it starts with the configuration from before the change",
                    self.name
                );
                return Err(self.failed(Cause::Unconfirmed(message)).cut_off());
            }
            if !told {
                told = true;
                observer.note(&format!(
                    "{} has not answered since the change. Unless it is reached, it reverts the change at {at}",
                    self.name
                ));
            }
            let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
            observer.event(Event::Waiting {
                done: seconds(now.duration_since(started).min(left)),
                total: seconds(left),
            });
            drive::pause(PAUSE.saturating_sub(tried.elapsed())).await;
        }
    }

    /// Makes one attempt to reach the router and confirm the change.
    async fn look(
        &self,
        number: &mut Option<u32>,
        timeout: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Found, SessionError> {
        let mut session = self.target.open_again(self.router.key(), timeout, observer).await?;
        if let Some(pending) = session.status().pending.clone() {
            if !self.is_ours(&mut session, &pending, *number).await? {
                return Ok(Found::Theirs(pending));
            }
            // From here on, a lost reply is no worse than the history: both tell the outcome.
            *number = Some(pending.number);
            match session.confirm().await {
                Ok((_, number)) => return Ok(Found::Kept(Kept::Confirmed(number))),
                // The time expired just now.
                Err(SessionError::Failed(failure)) if failure.code == Code::NotPending => {}
                Err(error) => return Err(error),
            }
        }
        let newest = match session.history(Some(self.interface)).await {
            Ok(history) => history.into_iter().find(|stored| !stored.damaged),
            Err(SessionError::Failed(failure)) if failure.code == Code::NotStored => None,
            Err(error) => return Err(error),
        };
        let own = session.own_key();
        let is_wanted = self.is_wanted(newest.as_ref(), *number, own);
        // A number that is stored proves nothing: what was stored before the change keeps its number through a revert,
        // and another client's change may have got the number of a reverted one.
        let stored = newest.as_ref().map_or(0, |newest| newest.number);
        let interface = self.interface;
        let none = || format!("no configuration of {interface} is stored");
        if !is_wanted {
            return Ok(Found::Other(match newest {
                Some(newest) => {
                    let now = if Some(stored) == *number { "now" } else { "again" };
                    format!("{interface} is number {stored} {now}, {}", stored::words(&newest))
                }
                None => none(),
            }));
        }
        // The router ends a removal beside another program's link at once: it stores the absence, and reverts nothing.
        let ends_at_once =
            number.is_none() && newest.as_ref().is_some_and(|newest| newest.key == own);
        Ok(match self.runs(&mut session, ends_at_once).await? {
            Runs::Yes => Found::Kept(match number {
                Some(_) => Kept::Confirmed(stored),
                // Without a reply, the change was not needed, or another client confirmed it.
                None => Kept::Runs(stored),
            }),
            Runs::LeftAlone => Found::Kept(Kept::LeftAlone(stored)),
            Runs::No(relation) => Found::Differs(match newest {
                Some(newest) => {
                    let words = stored::words(&newest);
                    format!("{interface} {relation} number {stored}, which is stored, {words}")
                }
                None => none(),
            }),
        })
    }

    /// Whether the stored configuration, the newest one, is the wanted one. `number` is that of the change, if the reply
    /// to it arrived.
    fn is_wanted(&self, newest: Option<&Stored>, number: Option<u32>, own: PublicKey) -> bool {
        match (self.wanted, newest) {
            (Wanted::Image(digest), Some(newest)) => {
                newest.digest == digest && number.is_none_or(|number| number == newest.number)
            }
            (Wanted::Stored, newest) => newest.is_some(),
            (Wanted::Earlier, Some(newest)) => number == Some(newest.number) && newest.key == own,
            (Wanted::Nothing, Some(newest)) => self.wanted.digest() == Some(newest.digest),
            // Another program's interface leaves nothing behind that was stored.
            (Wanted::Nothing, None) => true,
            (Wanted::Image(_) | Wanted::Earlier, None) => false,
        }
    }

    /// Whether the router's kernel has what is stored of the interface. `ends_at_once` says that a link which is there
    /// although nothing is stored of it can only be another program's.
    async fn runs(
        &self,
        session: &mut Session<'_>,
        ends_at_once: bool,
    ) -> Result<Runs, SessionError> {
        let differs = || Runs::No("differs again from".into());
        let unknown = |failure: &Failure| {
            let why = failure::message(failure, None);
            Runs::No(format!("cannot be compared ({why}) with"))
        };
        if self.wanted == Wanted::Nothing {
            return match session.show(self.interface).await {
                Err(SessionError::Failed(failure)) => Ok(match failure.code {
                    Code::NoInterface => Runs::Yes,
                    Code::WrongKind if ends_at_once => Runs::LeftAlone,
                    Code::WrongKind => differs(),
                    _ => unknown(&failure),
                }),
                Err(error) => Err(error),
                Ok(_) if ends_at_once => Ok(Runs::LeftAlone),
                Ok(_) => Ok(differs()),
            };
        }
        match session.drift(self.interface).await {
            Ok(drift) if drift.summary.is_quiet() => Ok(Runs::Yes),
            Ok(_) => Ok(differs()),
            Err(SessionError::Failed(failure)) => Ok(unknown(&failure)),
            Err(error) => Err(error),
        }
    }

    /// Whether the pending change is the requested one. If the router's reply was lost, the change is recognized
    /// by its author, and by its content where that is known: two owners may have one name.
    async fn is_ours(
        &self,
        session: &mut Session<'_>,
        pending: &Pending,
        number: Option<u32>,
    ) -> Result<bool, SessionError> {
        if pending.interface != *self.interface {
            return Ok(false);
        }
        match number {
            Some(number) => Ok(pending.number == number),
            None if self.wanted.digest().is_some_and(|digest| digest != pending.digest) => {
                Ok(false)
            }
            None => {
                let own = session.own_key();
                let owners = session.owners().await?;
                Ok(owners.iter().any(|owner| owner.key == own && owner.name == pending.by))
            }
        }
    }

    fn overtaken(&self, pending: &Pending) -> Error {
        let (name, interface) = (self.name, self.interface);
        self.failed(Cause::Overtaken(format!(
            "{name} no longer has the change of {interface}, if the change ever arrived: a change of {} by {} \
             is pending there",
            printable(&pending.interface),
            printable(&pending.by),
        )))
    }

    /// Describes a change that is stored, and that the kernel does not have. What was stored before the change keeps its
    /// number through a revert, and another program may change the interface after the confirmation.
    fn differs(&self, what: &str) -> Error {
        let (name, interface) = (self.name, self.interface);
        let message =
            format!("{name} has reverted the change, or {interface} was changed since: {what}");
        self.failed(Cause::Reverted(message)).cut_off()
    }

    /// Describes a reverted change. The usual reason is that the time expired before the router was reached.
    /// `answered` says whether the reply to the change arrived, and `late` whether the time had expired by this
    /// clock. The clock alone proves little, because the reply may have arrived long after the change.
    fn reverted(&self, what: &str, answered: bool, late: bool) -> Error {
        let (name, interface) = (self.name, self.interface);
        let why = match (answered, late) {
            (true, true) => format!("the change of {interface} was not confirmed in time"),
            (true, false) => format!(
                "the time to confirm the change of {interface} expired, or another client reverted it"
            ),
            (false, _) => {
                format!("the change of {interface} was not confirmed in time, if it arrived at all")
            }
        };
        let message = format!("{name} has reverted to its previous configuration: {what}; {why}");
        self.failed(Cause::Reverted(message)).cut_off()
    }
}
