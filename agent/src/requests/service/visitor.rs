//! Who asks, and what they may ask for.
//!
//! | | admin | read-only | nobody, on a router that nobody owns | nobody |
//! |---|---|---|---|---|
//! | `Hello`, `Status` | yes | yes | yes | silence |
//! | `Show`, `Read`, `Owners` | yes | yes | no | silence |
//! | `Claim` | somebody owns it | no | yes | silence |
//! | all the rest | yes | no | no | silence |

use core::fmt;

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Ask, Code, Owner, Role, Subject, copy};
use proto_core::protocol::session::{Wire, fingerprint, is_usable};

use crate::access::owners::{Claimant, Ownership, Standing};
use crate::fault::{Fault, Slot};

/// The other end of a session.
#[derive(Debug)]
pub struct Visitor<'v, 'f> {
    /// Its public key.
    pub key: PublicKey,
    /// What the holder of that key is to this router.
    pub standing: Standing,
    /// How it came in.
    pub wire: Wire,
    /// The number of its session, and that of the newest one: sessions are counted.
    pub nth: u32,
    /// As above.
    pub newest: u32,
    /// What its handshake came to: no other session has the same.
    pub handshake_hash: [u8; 32],
    /// The router's own key.
    pub router: PublicKey,
    /// Whether its claim of the router over UDP was refused.
    pub rejected: bool,
    /// Whose the router is.
    pub ownership: &'v mut Ownership<'f>,
}

/// A change of the list of owners, for the log.
pub(super) struct OwnerChange<'c>(pub(super) &'c Ask<'c>, pub(super) PublicKey);

impl fmt::Display for OwnerChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ask, own) = self;
        let own = fingerprint(own);
        match ask {
            Ask::Claim { name, .. } => write!(f, "claimed by {name}, key {own}"),
            Ask::AddOwner { key, role, name } => {
                let role = if *role == Role::Admin { "admin" } else { "read-only" };
                write!(f, "{own} made {name}, key {}, an owner ({role})", fingerprint(key))
            }
            Ask::RemoveOwner { key } => {
                write!(f, "{own} removed the owner with key {}", fingerprint(key))
            }
            _ => Ok(()),
        }
    }
}

impl Visitor<'_, '_> {
    /// Whether it was an owner once, and is none now: it gets the replies that were kept for it, so that it
    /// hears that it has removed itself, and nothing else.
    pub(super) fn is_stranger(&self) -> bool {
        self.standing == Standing::Stranger
    }

    /// Whether this is the key of an owner.
    pub(super) fn owns(&self, key: &PublicKey) -> bool {
        self.ownership.owners().iter().any(|owner| owner.key == *key)
    }

    /// Whether it may ask for this.
    ///
    /// # Errors
    /// [`Code::Forbidden`], [`Code::Unclaimed`].
    pub(super) fn may(&self, slot: &Slot, ask: &Ask<'_>) -> Result<(), Fault> {
        let always = matches!(ask, Ask::Hello { .. } | Ask::Status);
        let looking = always
            || matches!(
                ask,
                Ask::Show { .. }
                    | Ask::Read { .. }
                    | Ask::Owners
                    | Ask::History { .. }
                    | Ask::Drift { .. }
                    | Ask::Changes { .. }
            );
        let (may, code, text) = match self.standing {
            Standing::Owner(Role::Admin) => return Ok(()),
            Standing::Owner(Role::ReadOnly | Role::Unknown(_)) => {
                (looking, Code::Forbidden, "your key may look at this router but not change it")
            }
            Standing::Candidate | Standing::Stranger => {
                let may = always || matches!(ask, Ask::Claim { .. });
                (may, Code::Unclaimed, "nobody owns this router yet: claim it first")
            }
        };
        if may { Ok(()) } else { Err(slot.fail(code, Subject::None, text)) }
    }

    /// Does one of the requests that change who owns the router.
    ///
    /// # Errors
    /// As for the methods of [`Ownership`].
    pub(super) fn change_owners(&mut self, slot: &Slot, ask: &Ask<'_>) -> Result<(), Fault> {
        match ask {
            Ask::Claim { name, proof } => {
                let Self { key, wire, .. } = *self;
                let handshake_hash = &self.handshake_hash;
                let claimant = Claimant { key, name, wire, proof: *proof, handshake_hash };
                let claimed = self.ownership.claim(slot, &claimant);
                let candidate = self.standing == Standing::Candidate && wire == Wire::Udp;
                self.rejected = candidate && claimed.is_err();
                claimed
            }
            Ask::AddOwner { key, role, name } => {
                if *key == self.router || !is_usable(key) {
                    let text =
                        "no client can have this key: it is the router's own, or of small order";
                    return Err(slot.fail(Code::Config, Subject::None, text));
                }
                let owner = Owner { key: *key, role: *role, name: copy(name) };
                self.ownership.add(slot, &owner)
            }
            Ask::RemoveOwner { key } => self.ownership.remove(slot, key),
            _ => Ok(()),
        }
    }
}
