//! An operation on one unit of a fleet, and its outcome in the terms of a record.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proto_core::protocol::Digest;
use proto_core::protocol::message::Summary;
use proto_core::protocol::report::Act;

use super::Planned;
use super::hub::{HubWay, Mailbox};
use crate::home::Operator;
use crate::image::Image;
use crate::manifest::{Manifest, Unit};
use crate::observe::{self, Observer};
use crate::ops::{
    self, Agreement, Cause, Confirming, Emptied, Health, Kind, Pushing, Router, Stop, Target,
};
use crate::problem::Source;
use crate::records::Outcome;
use crate::session::SessionError;

/// What a run does with each unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Pushes the unit's file.
    Push,
    /// Compares the router with the unit's file.
    Diff,
    /// Compares the router with what is stored there, and that with the unit's file.
    Status,
    /// Applies the stored configuration again.
    Repair,
    /// Claims a router, then pushes the unit's file; only on a line.
    Claim,
    /// Runs the user's program for a router that was done; only on a line.
    Program,
}

impl Operation {
    /// The name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Diff => "diff",
            Self::Status => "status",
            Self::Repair => "repair",
            Self::Claim => "claim",
            Self::Program => "program",
        }
    }

    /// Whether the outcome depends on the unit's file.
    #[must_use]
    pub const fn has_image(self) -> bool {
        !matches!(self, Self::Repair)
    }

    /// Whether routers are changed.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Self::Push | Self::Repair | Self::Claim)
    }
}

/// How to change units.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Whether each change must be confirmed.
    pub confirming: Confirming,
    /// Take over interfaces that the agent did not make.
    pub adopt: bool,
    /// Push files that leave an interface without peers or addresses.
    pub empties: bool,
    /// How long to wait for a reply.
    pub timeout: Duration,
}

/// The outcome of an operation on a unit.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) code: Option<String>,
    pub(crate) state: Option<ops::Outcome>,
    pub(crate) message: String,
    /// The router; `None` if it did not answer.
    pub(crate) router: Option<Router>,
    pub(crate) number: Option<u32>,
    pub(crate) public_key: Option<String>,
    /// An error of the operator's own files, which no other unit can avoid.
    pub(crate) own: bool,
}

impl Finished {
    pub(crate) fn new(outcome: Outcome, message: String) -> Self {
        Self {
            outcome,
            code: None,
            state: None,
            message,
            router: None,
            number: None,
            public_key: None,
            own: false,
        }
    }

    /// The outcome of a unit whose operation was dropped when the run ended.
    pub(crate) fn abandoned(committed: bool) -> Self {
        let finished = match committed {
            true => Self::new(
                Outcome::Unknown,
                "interrupted after the change was requested: its result is unknown".into(),
            ),
            false => Self::new(
                Outcome::Interrupted,
                "interrupted before the change was requested: nothing was changed".into(),
            ),
        };
        Self { code: Some("interrupted".into()), ..finished }
    }

    /// The outcome of a router that could not be asked.
    pub(crate) fn unreachable(code: &str, message: String) -> Self {
        Self { code: Some(code.into()), ..Self::new(Outcome::Unreachable, message) }
    }

    /// The outcome of a unit whose file cannot be made into an image. The manifest was checked before: only memory that
    /// ran out could be the reason.
    pub(crate) fn no_image(why: String) -> Self {
        Self { code: Some("image".into()), ..Self::new(Outcome::Failed, why) }
    }

    /// The outcome of a change that is not what the router says afterwards.
    pub(crate) fn read_back(message: &str, router: Option<Router>) -> Self {
        let code = Some("read_back".into());
        Self { code, router, ..Self::new(Outcome::Failed, message.into()) }
    }

    fn with(self, router: Router, number: Option<u32>, summary: Option<&Summary>) -> Self {
        let public_key = summary.and_then(|summary| summary.public_key);
        let public_key = public_key.map(|key| key.to_string());
        Self { router: Some(router), number, public_key, ..self }
    }

    /// The outcome of a change.
    pub(crate) fn changed(changed: ops::Changed) -> Self {
        let ops::Changed { router, settled } = changed;
        let outcome = match settled.changed() || settled.stored() {
            true => Outcome::Applied,
            false => Outcome::Unchanged,
        };
        let message = match outcome {
            Outcome::Applied => settled.text.clone(),
            _ => format!("nothing to change, {}", settled.text),
        };
        let summary = settled.applied.as_ref().map(|applied| &applied.summary);
        Self::new(outcome, message).with(router, Some(settled.number), summary)
    }

    /// The outcome of an operation that failed. `file` is the file that was pushed or compared.
    pub(crate) fn failed(error: &ops::Error, file: Option<(&Source, &Image)>) -> Self {
        let outcome = match (error.state, error.kind()) {
            (Some(ops::Outcome::TakenBack), _) => Outcome::Reverted,
            (Some(ops::Outcome::Unconfirmed), _) => Outcome::Unconfirmed,
            (Some(ops::Outcome::Unknown), _) => Outcome::Unknown,
            (_, Kind::Interrupted) => Outcome::Interrupted,
            (_, Kind::Connection) => Outcome::Unreachable,
            _ => Outcome::Failed,
        };
        let mut message = error.to_string();
        if let (Cause::Session(SessionError::Failed(failure)), Some((source, image))) =
            (&error.cause, file)
        {
            message = ops::failure::message(failure, Some(&image.interface));
            // The record has the router; the file is named if one of its lines is the cause.
            if let Some(place) = image.place(&failure.subject) {
                message = format!("{}:{}: {message}", source.name, place.line);
            }
        }
        if outcome == Outcome::Interrupted {
            return Self { router: error.router.as_deref().cloned(), ..Self::abandoned(false) };
        }
        let own = error.kind() == Kind::Own;
        let code = error.code().map(String::from).or(match error.kind() {
            Kind::Own => Some("own_files".into()),
            Kind::Usage => Some("needs_yes".into()),
            _ => None,
        });
        let router = error.router.as_deref().cloned();
        Self { code, state: error.state, router, own, ..Self::new(outcome, message) }
    }

    fn same(is_same: bool, text: &str) -> Self {
        Self::new(if is_same { Outcome::Same } else { Outcome::Differs }, text.into())
    }
}

/// Notes when a router is told to make a change.
struct Watcher(Arc<Mailbox>);

impl Observer for Watcher {
    fn event(&mut self, event: observe::Event<'_>) {
        if event == observe::Event::Committing {
            self.0.committed.store(true, Ordering::SeqCst);
        }
    }
}

/// Does the operation on a unit.
pub(super) async fn operate(
    operation: Operation,
    manifest: &Manifest,
    planned: &Planned<'_>,
    operator: Operator,
    how: How,
    way: HubWay,
    mailbox: Arc<Mailbox>,
) -> Finished {
    let target = Target {
        operator,
        way: Box::new(way),
        who: planned.unit.name.clone(),
        keys: vec![planned.key],
        timeout: how.timeout,
        typed: format!("--udp {} --router {}", planned.udp, planned.key),
        note: None,
    };
    let mut watcher = Watcher(mailbox);
    let unit = planned.unit;
    if operation == Operation::Repair {
        return match ops::repair(&target, &unit.interface, how.confirming, &mut watcher).await {
            Ok(changed) => Finished::changed(changed),
            Err(error) => Finished::failed(&error, None),
        };
    }
    let (source, image) = match manifest.image(unit) {
        Ok(made) => made,
        Err(why) => return Finished::no_image(why),
    };
    let finished = match operation {
        Operation::Diff => {
            ops::diff(&target, &image, &mut watcher).await.map(|(router, diff, _)| {
                let same = diff.summary.is_quiet();
                let text = match diff.changes.len() {
                    _ if same => "a push would change nothing".into(),
                    1 => "a push would make 1 change".into(),
                    count => format!("a push would make {count} changes"),
                };
                Finished::same(same, &text).with(router, None, Some(&diff.summary))
            })
        }
        Operation::Status => {
            ops::status(&target, &mut watcher).await.map(|health| judge(unit, health))
        }
        _ => push(&target, &image, how, &mut watcher).await.map(Finished::changed),
    };
    finished.unwrap_or_else(|error| Finished::failed(&error, Some((&source, &image))))
}

/// Pushes an image, unless that would empty the interface without leave.
pub(crate) async fn push(
    target: &Target,
    image: &Image,
    how: How,
    observer: &mut dyn Observer,
) -> Result<ops::Changed, ops::Error> {
    let mut refuse = |emptied: &Emptied| {
        let what = if emptied.peers > 0 { "peers" } else { "addresses" };
        Err(Stop {
            kind: Kind::Usage,
            message: format!(
                "the file has no {what}, and the push would remove those of {}; --yes pushes it",
                emptied.interface
            ),
            hint: None,
        })
    };
    let pushing = Pushing {
        confirming: how.confirming,
        adopt: how.adopt,
        approve: if how.empties { None } else { Some(&mut refuse) },
    };
    ops::push(target, image, pushing, observer).await
}

/// Whether a router runs and stores what the manifest says of a unit. Other interfaces of the router do not count.
pub(crate) fn judge(unit: &Unit, health: Health) -> Finished {
    let stored = health.stored.iter().find(|stored| stored.stored.interface == unit.interface);
    let number = stored.map(|stored| stored.stored.number);
    let pending = health.status.pending.as_ref();
    let pending = pending.is_some_and(|pending| pending.interface == unit.interface);
    let difference = difference(stored, &unit.digest, pending);
    let text = difference.as_deref().unwrap_or("runs and stores the manifest's configuration");
    Finished::same(difference.is_none(), text).with(health.router, number, None)
}

/// How the stored configuration of an interface, or what runs of it, differs from an image with this digest.
fn difference(stored: Option<&Agreement>, digest: &Digest, pending: bool) -> Option<String> {
    let Some(agreement) = stored else { return Some("no configuration is stored".into()) };
    let Agreement { stored, failure, expected, .. } = agreement;
    let text = match agreement.agrees() {
        Some(false) if !expected => "the kernel differs from the stored configuration",
        _ if stored.digest != *digest || stored.act == Act::Removed => {
            "another configuration is stored than the manifest's"
        }
        _ if pending => "a change is pending",
        Some(_) => return None,
        None => {
            let why = failure
                .as_ref()
                .map(|failure| ops::failure::message(failure, Some(&stored.interface)));
            let why = why.unwrap_or_else(|| "the stored configuration is damaged".into());
            return Some(format!("the router could not compare its kernel: {why}"));
        }
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use proto_core::key::PublicKey;
    use proto_core::protocol::message::{Code, Count, Failure};
    use proto_core::protocol::report::Stored;

    use super::*;
    use crate::session::Diff;

    fn agreement(changed: u32, failure: Option<Failure>) -> Agreement {
        let stored = Stored {
            interface: "wg0".parse().unwrap(),
            number: 3,
            time: 0,
            key: PublicKey([1; 32]),
            by: "us".try_into().unwrap(),
            length: 9,
            damaged: false,
            act: Act::Pushed,
            digest: Digest::from([7; 32]),
        };
        let peers = Count { changed, ..Count::default() };
        let diff = Diff { summary: Summary { peers, ..Summary::default() }, changes: Vec::new() };
        Agreement { stored, drift: failure.is_none().then_some(diff), failure, expected: false }
    }

    #[test]
    fn only_what_was_compared_is_the_same() {
        let (ours, other) = (Digest::from([7; 32]), Digest::from([8; 32]));
        let says = |agreement: &Agreement, digest: &Digest, pending, words: Option<&str>| {
            let difference = difference(Some(agreement), digest, pending);
            assert_eq!(difference.is_some(), words.is_some(), "{difference:?}");
            assert!(
                difference.unwrap_or_default().contains(words.unwrap_or_default()),
                "{words:?}"
            );
        };
        says(&agreement(0, None), &ours, false, None);
        says(&agreement(0, None), &other, false, Some("another configuration"));
        says(&agreement(0, None), &ours, true, Some("pending"));
        says(&agreement(2, None), &ours, false, Some("the kernel differs"));
        let expected = Agreement { expected: true, ..agreement(2, None) };
        says(&expected, &ours, true, Some("pending"));
        let failed = agreement(0, Some(Failure::new(Code::Kernel, "no memory")));
        says(&failed, &ours, false, Some("could not compare its kernel: no memory"));
        assert!(difference(None, &ours, false).is_some());
    }
}
