//! Handing a router over: another person becomes its only owner.

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Owner, OwnerName, Role};
use proto_core::protocol::report::Stored;

use crate::session::{Session, SessionError};

/// A router that was handed over.
#[derive(Debug)]
pub struct HandedOver {
    /// The newest configuration of each interface.
    pub stored: Vec<Stored>,
    /// The owners that were removed before the operator.
    pub removed: Vec<Owner>,
    /// Whether the router confirmed that the operator is no longer an owner. If not, the reply was lost.
    pub left: bool,
}

/// Makes `to` the router's only owner: adds the new owner, and removes all others, the operator last. If a step fails, the
/// operator is still an owner, and can hand over again.
///
/// # Errors
/// [`SessionError`].
pub async fn hand_over(
    session: &mut Session<'_>,
    to: PublicKey,
    name: &OwnerName,
) -> Result<HandedOver, SessionError> {
    let stored = session.history(None).await?;
    session.add_owner(to, Role::Admin, name).await?;
    let own = session.own_key();
    let mut removed = session.owners().await?;
    removed.retain(|owner| owner.key != own && owner.key != to);
    for owner in &removed {
        session.remove_owner(owner.key).await?;
    }
    let left = match session.remove_owner(own).await {
        Ok(1) => true,
        Ok(_) => return Err(SessionError::Nonsense("another owner was added meanwhile")),
        // The router does not answer strangers: a reply that was lost is not sent again.
        Err(SessionError::Silence { .. }) => false,
        Err(error) => return Err(error),
    };
    Ok(HandedOver { stored, removed, left })
}
