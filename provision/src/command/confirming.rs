//! What comes after a change that the router takes back by itself unless it is confirmed: the router is
//! looked for again, through a new session over a way that is opened anew, and told to stay. If it cannot be
//! reached, the time it takes is waited for, and what it went back to is reported.

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

/// The longest that one try to reach the router takes, so that the next can go another way.
const TRY: Duration = Duration::from_secs(3);
/// Between two tries when one fails at once.
const PAUSE: Duration = Duration::from_millis(500);

/// A change that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) own: &'a Own,
    pub(super) link: &'a Link,
    /// Whether it has to be confirmed.
    pub(super) confirming: &'a Confirming,
    /// What it was made to.
    pub(super) interface: &'a Name,
    /// Which router.
    pub(super) key: PublicKey,
    /// What to call it.
    pub(super) name: &'a str,
    /// What a failure is looked at with.
    pub(super) about: About<'a>,
}

/// What a router that was reached again has.
enum Found {
    /// The change, confirmed under this number.
    Kept(u32),
    /// What is stored, in words.
    Other(String),
    /// A change that somebody else made since.
    Theirs(Pending),
}

/// Opens a session, has it make a change of an interface, and sees that through.
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
    /// Sees it through to where nothing is open any more, or only the person's own confirmation.
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
                // It may have arrived as late as now.
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

    /// Whether the change may have been made, and will be taken back if so.
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
            "not confirmed yet: {} goes back by itself at {}, in {seconds} s, unless you type\n  \
             postwire confirm {}",
            self.name,
            clock::time_in(Duration::from_secs(seconds.into())),
            typed(self.own, self.link),
        );
        Settled { number: applied.number, applied: Some(applied), confirmed: false, text }
    }

    fn lost_by_hand(&self, error: &SessionError, left: Duration) -> Failed {
        let message = format!(
            "{error}. If it made the change, it goes back by itself until {} unless you type\n  \
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

    /// Reaches the router again and confirms the change: its number. `left` is how long the router waits for
    /// that, at the most.
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
                        "interrupted before the change was confirmed: {} goes back by itself by {at} unless \
                         you type\n  postwire confirm {}",
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
                    "{} was not reached again after the change. By {at} it should have gone back by \
                     itself if it is on; if it is not, it starts with what it had before",
                    self.name
                ))
                .hint(Some(CUT_OFF.into())));
            }
            if !told {
                told = true;
                ui.tell(&format!(
                    "{} does not answer since the change. Unless it does, it goes back by itself at {at}",
                    self.name
                ));
            }
            let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
            ui.waiting(seconds(now.duration_since(started).min(left)), seconds(left));
            sleep(PAUSE.saturating_sub(tried.elapsed()));
        }
    }

    /// Tries once to reach the router and to confirm the change.
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
            // From now on a lost answer says no more about it than the history does.
            *number = Some(pending.number);
            match session.confirm() {
                Ok((_, number)) => return Ok(Found::Kept(number)),
                // The time was over just now.
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
            None => Found::Other(format!("nothing is stored of {}", self.interface)),
        })
    }

    /// Whether the change that waits is the one that was asked for. If the router's answer was lost, it is
    /// told by whose it is.
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
            "the change of {interface} is not on {name} any more, if it ever was: a change of {} by {} \
             waits to be confirmed there",
            printable(&pending.interface),
            printable(&pending.by),
        );
        let mut failed = Failed::new(Kind::Router, message);
        failed.error.state = Some(Outcome::TakenBack);
        failed
    }

    /// The ordinary case comes first: the time was over before the router was reached. `answered` says whether
    /// its answer to the change came, and `late` whether its time was over by this clock. That alone proves
    /// little, because the answer may have come long after the change.
    fn taken_back(&self, what: &str, answered: bool, late: bool) -> Failed {
        let (name, interface) = (self.name, self.interface);
        let why = match (answered, late) {
            (true, true) => format!("nobody confirmed the change of {interface} in time"),
            (true, false) => format!(
                "the time to confirm the change of {interface} was over, or somebody took it back"
            ),
            (false, _) => {
                format!("nobody confirmed the change of {interface} in time, if it arrived at all")
            }
        };
        let message = format!("{name} has gone back to what it ran before: {what}; {why}");
        let mut failed = Failed::new(Kind::Router, message).hint(Some(CUT_OFF.into()));
        failed.error.state = Some(Outcome::TakenBack);
        failed
    }
}

/// What to look at when the router was gone after a change.
const CUT_OFF: &str = "does the change take away the address, route or port that you reach it by?";
