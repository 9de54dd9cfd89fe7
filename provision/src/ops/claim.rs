//! Claiming a router that has no owner.

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Code, OwnerName};
use proto_core::protocol::session::LabelKey;

use super::{Error, Router, Stop, Target, remember, stranger, unclaimed_hint};
use crate::observe::Observer;
use crate::session::{Session, SessionError};
use crate::transport::{Secure, seek};

/// How to claim a router.
pub struct Claiming<'a> {
    /// The proof of access, where the cable is none: the secret on the router's label.
    pub label: Option<LabelKey>,
    /// The operator's name in the router's list of owners.
    pub owner: OwnerName,
    /// The router's name in the operator's list; `None` takes the router's host name.
    pub name: Option<String>,
    /// Asked before the claim, with the key of the router that was found.
    pub approve: &'a mut (dyn FnMut(&PublicKey) -> Result<(), Stop> + Send),
}

impl std::fmt::Debug for Claiming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claiming").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Finds an unclaimed router and makes it the operator's. The keys of the target are not used.
///
/// # Errors
/// [`Error`]. After a lost reply the router may be claimed; it is in the list of routers all the same, because without
/// its key it cannot be asked again.
pub async fn claim(
    target: &Target,
    claiming: Claiming<'_>,
    observer: &mut dyn Observer,
) -> Result<Router, Error> {
    let Claiming { label, owner, name, approve } = claiming;
    let (operator, timeout) = (&target.operator, target.timeout);
    let mut line = target.way.open(timeout)?;
    let found = seek(line.as_mut(), label.as_ref(), timeout, observer).await?;
    let key = match found {
        Ok(key) => key,
        Err(reason) => {
            return Err(SessionError::NoSession {
                who: "an unclaimed router".into(),
                name: line.name().into(),
                waited: timeout,
                hint: unclaimed_hint(line.as_ref(), &reason, operator, label.is_some()),
                reason,
            }
            .into());
        }
    };
    approve(&key).map_err(|stop| Error::of_change(stop.into(), false))?;
    if let (Some((home, _)), Some(name)) = (&target.note, &name) {
        home.routers()?.check_name(name, &key)?;
    }
    let secure = Secure::find(line, operator, &[key], timeout, observer)
        .await
        .map_err(|error| stranger(error, operator, "the router", 1, timeout))?;
    let mut session = Session::open(secure, timeout, observer).await?;
    // A claim whose program is killed, or whose list cannot be written, would leave a router that answers to no key
    // that is known here.
    let mut is_new = false;
    if let Some((home, place)) = &target.note {
        is_new = home.routers()?.of_key(&key).is_none();
        remember(home, &mut session, place, name.as_deref().filter(|_| is_new)).map_err(
            |error| {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                Error::from(error)
                    .with_hint(format!("nothing was changed: the router was not claimed{hint}"))
            },
        )?;
    }
    let mut outcome = session.claim(&owner, label.as_ref()).await;
    // The router may have restarted behind a claim whose reply was lost.
    if matches!(&outcome, Err(SessionError::Failed(failure)) if failure.code == Code::Claimed) {
        let own = session.own_key();
        if session.owners().await.is_ok_and(|all| all.iter().any(|owner| owner.key == own)) {
            outcome = Ok(());
        }
    }
    if let Some((home, place)) = &target.note {
        match &outcome {
            Ok(()) | Err(SessionError::Silence { .. }) if !is_new => {
                remember(home, &mut session, place, name.as_deref())?;
            }
            Err(SessionError::Failed(_)) if is_new => {
                home.change_routers(|routers| routers.forget(&key.to_string()).map(|_| ()))?;
            }
            _ => {}
        }
    }
    let router = Router::of(&session);
    match outcome {
        Ok(()) => Ok(router),
        Err(error @ SessionError::Silence { .. }) => {
            let hint = format!(
                "the claim was sent and may have succeeded; the router is in your list as {}. Run `postwire \
                 owners` to see whether the router is yours; if not, claim it again",
                router.known_as()
            );
            Err(Error::from(error).with_hint(hint))
        }
        Err(SessionError::Failed(failure)) if failure.code == Code::Claimed => {
            let hint = format!(
                "ask an admin of the router to run `{}`, or run `postwired reset-owner` on the router itself",
                super::let_in(operator)
            );
            Err(Error::from(SessionError::Failed(failure)).with_hint(hint))
        }
        Err(error) => Err(error.into()),
    }
}
