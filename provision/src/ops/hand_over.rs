//! Handing a router over: another person becomes its only owner.

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Owner, OwnerName, Role};
use proto_core::protocol::report::Stored;

use super::{Cause, Stop};
use crate::session::{Session, SessionError};

/// A router that was handed over.
#[derive(Debug)]
pub struct HandedOver {
    /// The newest configuration of each interface.
    pub stored: Vec<Stored>,
    /// The owners that are removed before the operator.
    pub removed: Vec<Owner>,
    /// Whether the router confirmed that the operator is no longer an owner. If not, the reply was lost.
    pub left: bool,
    /// Whether another owner was added meanwhile.
    pub others: bool,
}

/// Makes `to` the router's only owner: adds the new owner, and removes all others, the operator last. If a step fails, the
/// operator is still an owner, and can hand over again.
///
/// `leaving` is called before the first owner is removed: the router cannot tell later which owners were removed, and
/// after the last step it does not answer the operator. An error of `leaving` ends the operation, and all owners are still
/// owners.
///
/// # Errors
/// [`Cause`].
pub async fn hand_over(
    session: &mut Session<'_>,
    to: PublicKey,
    name: &OwnerName,
    leaving: &mut dyn FnMut(&HandedOver) -> Result<(), Stop>,
) -> Result<HandedOver, Cause> {
    let stored = session.history(None).await?;
    session.add_owner(to, Role::Admin, name).await?;
    let own = session.own_key();
    let mut removed = session.owners().await?;
    removed.retain(|owner| owner.key != own && owner.key != to);
    let mut over = HandedOver { stored, removed, left: false, others: false };
    leaving(&over)?;
    for owner in &over.removed {
        session.remove_owner(owner.key).await?;
    }
    match session.remove_owner(own).await {
        Ok(owners) => (over.left, over.others) = (true, owners > 1),
        Err(error @ SessionError::Failed(_)) => return Err(error.into()),
        // The router does not answer strangers: a reply that was lost is not sent again.
        Err(_) => {}
    }
    Ok(over)
}
