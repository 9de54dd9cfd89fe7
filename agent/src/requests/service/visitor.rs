//! The client of a request, and its permissions.
//!
//! | | admin | read-only | any key, on an unowned router | no owner |
//! |---|---|---|---|---|
//! | `Hello`, `Status` | yes | yes | yes; over UDP without serial number and MAC addresses | silence |
//! | `Show`, `Read`, `Owners`, `History`, `Drift`, `Changes`, `Console` | yes | yes | no | silence |
//! | `Claim` | refused: owned | no | yes | silence |
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
    /// The role of that key on this router.
    pub standing: Standing,
    /// The wire of its session.
    pub wire: Wire,
    /// The number of its session. Sessions are counted.
    pub nth: u32,
    /// The number of the newest session.
    pub newest: u32,
    /// The handshake hash, which differs for each session.
    pub handshake_hash: [u8; 32],
    /// The router's own key.
    pub router: PublicKey,
    /// Whether its claim of the router over UDP was refused.
    pub rejected: bool,
    /// The router's owners.
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
    /// Whether the client is a removed owner: it gets the replies that were kept for it, so that it learns of its own
    /// removal, and nothing else.
    pub(super) fn is_stranger(&self) -> bool {
        self.standing == Standing::Stranger
    }

    /// Whether the client may see the serial number and the MAC addresses. Over UDP, the sender is not authenticated
    /// until the router has an owner; at a cable, the same is printed on the device.
    pub(super) fn may_identify(&self) -> bool {
        self.wire == Wire::Serial || self.standing != Standing::Candidate
    }

    /// Whether this key is an owner.
    pub(super) fn owns(&self, key: &PublicKey) -> bool {
        self.ownership.owners().iter().any(|owner| owner.key == *key)
    }

    /// Fails unless the client may make this request.
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
                    | Ask::Console { .. }
            );
        let (may, code, text) = match self.standing {
            Standing::Owner(Role::Admin) | Standing::Local => return Ok(()),
            Standing::Owner(Role::ReadOnly | Role::Unknown(_)) => {
                (looking, Code::Forbidden, "your key may look at this router but not change it")
            }
            Standing::Candidate | Standing::Stranger => {
                let may = always || matches!(ask, Ask::Claim { .. });
                (may, Code::Unclaimed, "this router has no owner yet: claim it first")
            }
        };
        if may { Ok(()) } else { Err(slot.fail(code, Subject::None, text)) }
    }

    /// Handles a request that changes the owners.
    ///
    /// # Errors
    /// As for the methods of [`Ownership`].
    pub(super) fn change_owners(&mut self, slot: &Slot, ask: &Ask<'_>) -> Result<(), Fault> {
        match ask {
            Ask::Claim { name, proof } => {
                let Self { key, wire, .. } = *self;
                let handshake_hash = &self.handshake_hash;
                let claimant = Claimant { key, name, wire, proof: *proof, handshake_hash };
                let claimed =
                    check_name(slot, name).and_then(|()| self.ownership.claim(slot, &claimant));
                let candidate = self.standing == Standing::Candidate && wire == Wire::Udp;
                self.rejected = candidate && claimed.is_err();
                claimed
            }
            Ask::AddOwner { key, role, name } => {
                if *key == self.router || !is_usable(key) {
                    let text =
                        "no client can have this key: it is the router's own, or no X25519 key";
                    return Err(slot.fail(Code::Config, Subject::None, text));
                }
                check_name(slot, name)?;
                let owner = Owner { key: *key, role: *role, name: copy(name) };
                self.ownership.add(slot, &owner)
            }
            Ask::RemoveOwner { key } => self.ownership.remove(slot, key),
            _ => Ok(()),
        }
    }
}

/// Fails for a name that would break a line of the log, or act on the terminal of a person who reads the name.
fn check_name(slot: &Slot, name: &str) -> Result<(), Fault> {
    if !name.contains(char::is_control) {
        return Ok(());
    }
    let text = "`name` of the request has a control character";
    Err(slot.fail(Code::Malformed, Subject::None, text))
}
