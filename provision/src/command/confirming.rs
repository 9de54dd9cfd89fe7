//! Confirming a change that the router otherwise reverts: postwire reaches the router through a new session over
//! a new transport, and confirms. If the router cannot be reached, postwire waits until the revert is due, and
//! reports the configuration that the router reverted to.

use std::thread::sleep;
use std::time::{Duration, Instant};

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Applied, Code, Name, Pending};

use super::change::Settled;
use super::connect::{Router, connect, connect_again, typed};
use super::failure::{About, describe};
use super::record;
use crate::cli::{Confirming, Link, Own};
use crate::clock;
use crate::report::{Failed, Kind, Outcome};
use crate::session::{Session, SessionError, printable};
use crate::ui::Ui;

/// The longest time for one attempt to reach the router, so that the next attempt can take another route.
const TRY: Duration = Duration::from_secs(3);
/// Pause between two attempts when one fails at once.
const PAUSE: Duration = Duration::from_millis(500);

/// A requested change.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) own: &'a Own,
    pub(super) link: &'a Link,
    /// Whether the change must be confirmed.
    pub(super) confirming: &'a Confirming,
    /// The interface of the change.
    pub(super) interface: &'a Name,
    /// The router.
    pub(super) key: PublicKey,
    /// The router's name, for messages.
    pub(super) name: &'a str,
    /// The context for describing a failure.
    pub(super) about: About<'a>,
}

/// The state of a router that was reached again.
enum Found {
    /// The change was confirmed under this number.
    Kept(u32),
    /// The change is gone; the stored configuration as text.
    Other(String),
    /// Another client's change is pending.
    Theirs(Pending),
}

/// Opens a session, makes a change of an interface, and follows the change to its end.
pub(super) fn change(
    own: &Own,
    link: &Link,
    confirming: &Confirming,
    interface: &Name,
    ui: &mut Ui,
    make: impl FnOnce(&mut Session<'_>) -> Result<Applied, SessionError>,
) -> Result<(Settled, Router), Failed> {
    let about = About { push: true, ..About::default() };
    let (router, key, commit_sent, outcome) = {
        let mut session = connect(own, link, ui).map_err(|error| describe(error, about))?;
        let outcome = make(&mut session);
        (Router::of(&session), session.router_key(), session.commit_sent(), outcome)
    };
    let about = About { commit_sent, ..about };
    let asked = Asked { own, link, confirming, interface, key, name: router.name(), about };
    let settled = asked.settle(outcome, ui)?;
    ui.clear();
    Ok((settled, router))
}

impl Asked<'_> {
    /// Follows the change until nothing is open, or only the user's own confirmation.
    pub(super) fn settle(
        &self,
        outcome: Result<Applied, SessionError>,
        ui: &mut Ui,
    ) -> Result<Settled, Failed> {
        match outcome {
            Ok(applied) if applied.confirm_within == 0 => Ok(Settled::at_once(applied)),
            Ok(applied) if self.confirming.confirm_by_hand => Ok(self.by_hand(applied)),
            Ok(applied) => {
                let left = Duration::from_secs(applied.confirm_within.into());
                let number = self.confirm(Some(applied.number), left, ui)?;
                Ok(self.confirmed(Some(applied), number))
            }
            Err(error) if self.is_lost(&error) => {
                // The request may have arrived as late as now.
                let left = Duration::from_secs(self.confirming.seconds().into());
                if self.confirming.confirm_by_hand {
                    return Err(self.lost_by_hand(&error, left));
                }
                let number = self.confirm(None, left, ui)?;
                Ok(self.confirmed(None, number))
            }
            Err(error) => Err(describe(error, self.about)),
        }
    }

    /// Whether the change may have been made and, if so, will be reverted.
    fn is_lost(&self, error: &SessionError) -> bool {
        self.confirming.seconds() > 0 && self.about.commit_sent && error.is_silence()
    }

    fn confirmed(&self, applied: Option<Applied>, number: u32) -> Settled {
        let text = format!(
            "{} was reached again through a new session, and the change is confirmed: stored as number \
             {number}",
            self.name
        );
        Settled { applied, number, confirmed: true, text }
    }

    fn by_hand(&self, applied: Applied) -> Settled {
        let seconds = applied.confirm_within;
        let text = format!(
            "not confirmed yet: {} reverts the change at {}, in {seconds} s, unless you run\n  \
             postwire confirm {}",
            self.name,
            clock::time_in(Duration::from_secs(seconds.into())),
            typed(self.own, self.link),
        );
        Settled { number: applied.number, applied: Some(applied), confirmed: false, text }
    }

    fn lost_by_hand(&self, error: &SessionError, left: Duration) -> Failed {
        let message = format!(
            "{error}. If the router made the change, it reverts the change by {} unless you run\n  \
             postwire confirm {}",
            clock::time_in(left),
            typed(self.own, self.link),
        );
        self.unconfirmed(message)
    }

    fn unconfirmed(&self, message: String) -> Failed {
        let mut failed = Failed::new(Kind::Connection, message);
        failed.error.state = Some(Outcome::Unconfirmed);
        failed
    }

    /// Reaches the router again, confirms the change, and returns its number. `left` is the longest time that the
    /// router waits for the confirmation.
    fn confirm(&self, number: Option<u32>, left: Duration, ui: &mut Ui) -> Result<u32, Failed> {
        let (started, timeout) = (Instant::now(), self.link.talk.timeout);
        let (over, give_up) = (started + left, started + left + timeout);
        let at = clock::time_in(left);
        let answered = number.is_some();
        let mut number = number;
        let mut told = false;
        loop {
            let tried = Instant::now();
            match self.look(&mut number, timeout.min(TRY), ui) {
                Ok(Found::Kept(number)) => return Ok(number),
                Ok(Found::Other(what)) => {
                    return Err(self.taken_back(&what, answered, Instant::now() >= over));
                }
                Ok(Found::Theirs(pending)) => return Err(self.overtaken(&pending)),
                Err(error) if error.is_interrupt() => {
                    return Err(self.unconfirmed(format!(
                        "interrupted before the change was confirmed: {} reverts the change by {at} unless \
                         you run\n  postwire confirm {}",
                        self.name,
                        typed(self.own, self.link)
                    )));
                }
                Err(error) if error.is_silence() => ui.detail(&error.to_string()),
                Err(error) => return Err(describe(error, self.about)),
            }
            let now = Instant::now();
            if now >= give_up {
                return Err(self.unconfirmed(format!(
                    "{} was not reached again after the change. If the router is on, it should have reverted the \
                     change by {at}; if it is off, it starts with the configuration from before the change",
                    self.name
                ))
                .hint(Some(CUT_OFF.into())));
            }
            if !told {
                told = true;
                ui.tell(&format!(
                    "{} has not answered since the change. Unless it is reached, it reverts the change at {at}",
                    self.name
                ));
            }
            let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
            ui.waiting(seconds(now.duration_since(started).min(left)), seconds(left));
            sleep(PAUSE.saturating_sub(tried.elapsed()));
        }
    }

    /// Makes one attempt to reach the router and confirm the change.
    fn look(
        &self,
        number: &mut Option<u32>,
        timeout: Duration,
        ui: &mut Ui,
    ) -> Result<Found, SessionError> {
        let mut session = connect_again(self.own, self.link, self.key, timeout, ui)?;
        if let Some(pending) = session.status().pending.clone() {
            if !self.is_ours(&mut session, &pending, *number)? {
                return Ok(Found::Theirs(pending));
            }
            // From here on, a lost reply is no worse than the history: both tell the outcome.
            *number = Some(pending.number);
            match session.confirm() {
                Ok((_, number)) => return Ok(Found::Kept(number)),
                // The time expired just now.
                Err(SessionError::Failed(failure)) if failure.code == Code::NotPending => {}
                Err(error) => return Err(error),
            }
        }
        let newest = match session.history(Some(self.interface)) {
            Ok(history) => history.into_iter().find(|stored| !stored.damaged),
            Err(SessionError::Failed(failure)) if failure.code == Code::NotStored => None,
            Err(error) => return Err(error),
        };
        Ok(match newest {
            Some(newest) if Some(newest.number) == *number => Found::Kept(newest.number),
            Some(newest) => Found::Other(format!(
                "{} is number {} again, {}",
                self.interface,
                newest.number,
                record::words(&newest)
            )),
            None => Found::Other(format!("no configuration of {} is stored", self.interface)),
        })
    }

    /// Whether the pending change is the requested one. If the router's reply was lost, the change is recognized
    /// by its author.
    fn is_ours(
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
            None => {
                let own = session.own_key();
                let owners = session.owners()?;
                Ok(owners.iter().any(|owner| owner.key == own && owner.name == pending.by))
            }
        }
    }

    fn overtaken(&self, pending: &Pending) -> Failed {
        let (name, interface) = (self.name, self.interface);
        let message = format!(
            "{name} no longer has the change of {interface}, if the change ever arrived: a change of {} by {} \
             is pending there",
            printable(&pending.interface),
            printable(&pending.by),
        );
        let mut failed = Failed::new(Kind::Router, message);
        failed.error.state = Some(Outcome::TakenBack);
        failed
    }

    /// Describes a reverted change. The usual reason is that the time expired before the router was reached.
    /// `answered` says whether the reply to the change arrived, and `late` whether the time had expired by this
    /// clock. The clock alone proves little, because the reply may have arrived long after the change.
    fn taken_back(&self, what: &str, answered: bool, late: bool) -> Failed {
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
        let mut failed = Failed::new(Kind::Router, message).hint(Some(CUT_OFF.into()));
        failed.error.state = Some(Outcome::TakenBack);
        failed
    }
}

/// The hint for a router that could not be reached after a change.
const CUT_OFF: &str =
    "check whether the change removes the address, route or port by which you reach the router";
