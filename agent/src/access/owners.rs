//! The owners of the router: their list in its file, and the changes to it.
//!
//! The file is read again after it was replaced, because `postwired reset-owner` changes it while the agent runs. The
//! last stamp of each owner is in another file, in a folder that need not survive a reboot.

use core::fmt;

use heapless::Vec;
use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::message::{Code, MAX_OWNERS, Owner, OwnerName, Role, Subject, copy};
use proto_core::protocol::session::{LabelKey, Wire, follows};

use crate::bytes::{put, take};
use crate::fault::{Fault, Slot};
use crate::store::keep::{KeepError, Kind, Wrong, file_len, locked, payload};
use crate::system::Folder;

const OWNERS: Kind = Kind { name: c"owners", magic: *b"PWOW", what: "list of owners" };
const STAMPS: Kind = Kind { name: c"stamps", magic: *b"PWST", what: "owners' last handshakes" };

/// Identifies a label secret that was used, without revealing it: the first bytes of its proof for a session that
/// cannot exist.
type LabelId = [u8; 16];

fn label_id(label: &LabelKey) -> LabelId {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = label.proof(&[0; 32]);
    id
}

/// Bytes of an owner in the file, without the name: key, role, length of the name.
const OWNER: usize = 32 + 1 + 1;
const OWNERS_FILE: usize =
    file_len(size_of::<LabelId>() + 1 + MAX_OWNERS * (OWNER + size_of::<OwnerName>()));
/// Key and stamp.
const STAMP: usize = 32 + 8;
const STAMPS_FILE: usize = file_len(MAX_OWNERS * STAMP);

/// What a key is to this router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// An owner.
    Owner(Role),
    /// Any key, while the router is unowned.
    Candidate,
    /// Not a key: root on the router, or a person at the cable of an unowned router.
    Local,
    /// Not an owner.
    Stranger,
}

/// The contents of the file.
#[derive(Clone, Debug, Default)]
struct List {
    /// The label secret that was used, or zeros.
    spent: LabelId,
    owners: Vec<Owner, MAX_OWNERS>,
}

/// The owners of the router.
pub struct Ownership<'f> {
    folder: &'f mut dyn Folder,
    state: &'f mut dyn Folder,
    list: List,
    /// The file that `list` was read from.
    version: u64,
    /// Why the file could not be read at the last attempt; `None` if it was read.
    trouble: Option<KeepError>,
    /// The greatest stamp of each owner.
    stamps: Vec<(PublicKey, u64), MAX_OWNERS>,
    label: Option<LabelKey>,
}

/// A client that claims the router.
#[derive(Debug)]
pub struct Claimant<'c> {
    /// The static key of its session.
    pub key: PublicKey,
    /// The name for the list of owners.
    pub name: &'c OwnerName,
    /// The wire of its session.
    pub wire: Wire,
    /// Proof of knowledge of the label's secret.
    pub proof: Option<[u8; 32]>,
    /// The handshake hash that the proof is bound to.
    pub handshake_hash: &'c [u8; 32],
}

impl List {
    fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let spent = *take(&mut rest)?;
        let [count] = *take(&mut rest)?;
        let mut owners = Vec::new();
        for _ in 0..count {
            let key = PublicKey(*take(&mut rest)?);
            let [role, len] = *take(&mut rest)?;
            let role = match role {
                0 => Role::Admin,
                1 => Role::ReadOnly,
                _ => return None,
            };
            let (name, left) = rest.split_at_checked(len.into())?;
            rest = left;
            let name = OwnerName::try_from(core::str::from_utf8(name).ok()?).ok()?;
            owners.push(Owner { key, role, name }).ok()?;
        }
        rest.is_empty().then_some(Self { spent, owners })
    }

    fn write(&self, buf: &mut [u8]) -> usize {
        let mut at = 0;
        put(buf, &mut at, &self.spent);
        // At most `MAX_OWNERS`, and a name is at most 31 bytes.
        put(buf, &mut at, &[u8::try_from(self.owners.len()).unwrap_or(u8::MAX)]);
        for owner in &self.owners {
            put(buf, &mut at, &owner.key.0);
            put(
                buf,
                &mut at,
                &[owner.role.number(), u8::try_from(owner.name.len()).unwrap_or(u8::MAX)],
            );
            put(buf, &mut at, owner.name.as_bytes());
        }
        at
    }

    fn read(folder: &mut dyn Folder) -> Result<Self, KeepError> {
        let mut buf = [0; OWNERS_FILE];
        match OWNERS.read(folder, &mut buf)? {
            Some(payload) => Self::parse(payload).ok_or(OWNERS.damaged()),
            None => Ok(Self::default()),
        }
    }

    fn replace(&self, folder: &mut dyn Folder) -> Result<(), KeepError> {
        let mut buf = [0; OWNERS_FILE];
        let len = self.write(payload(&mut buf));
        OWNERS.replace(folder, &mut buf, len)
    }

    fn has_admin(&self) -> bool {
        self.owners.iter().any(|owner| owner.role == Role::Admin)
    }
}

impl fmt::Debug for Ownership<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ownership")
    }
}

impl<'f> Ownership<'f> {
    /// Reads the list of owners. While the list cannot be read, no key is an owner and the router cannot be claimed:
    /// a damaged list must not open the router.
    #[must_use]
    #[inline(never)]
    pub fn load(folder: &'f mut dyn Folder, state: &'f mut dyn Folder) -> Self {
        let mut buf = [0; STAMPS_FILE];
        let mut stamps = Vec::new();
        // A damaged file of stamps is treated as a missing one.
        let mut rest = STAMPS.read(state, &mut buf).ok().flatten().unwrap_or_default();
        while let (Some(key), Some(stamp)) = (take(&mut rest), take(&mut rest)) {
            // The list holds as many stamps as there can be owners.
            let _ = stamps.push((PublicKey(*key), u64::from_le_bytes(*stamp)));
        }
        let (list, trouble) = (List::default(), Some(OWNERS.damaged()));
        let mut this = Self { folder, state, list, version: 0, trouble, stamps, label: None };
        this.refresh();
        this
    }

    /// Why the list cannot be read; `None` if it was read.
    #[must_use]
    pub const fn trouble(&self) -> Option<KeepError> {
        self.trouble
    }

    /// Whether the secret on the label would open the router.
    #[must_use]
    pub fn wants_label(&self) -> bool {
        self.label.is_none() && self.is_empty()
    }

    /// The secret on the router's label.
    pub fn set_label(&mut self, label: LabelKey) {
        self.label = Some(label);
    }

    /// Reads the list again if the file was replaced. While it cannot be read, no key is an owner.
    pub fn refresh(&mut self) {
        let version = self.folder.version(OWNERS.name);
        if self.trouble.is_none() && version == Ok(self.version) {
            return;
        }
        let read = version.map_err(|errno| OWNERS.system(errno));
        let read = read.and_then(|version| Ok((version, List::read(self.folder)?)));
        match read {
            Ok((version, list)) => {
                (self.version, self.list, self.trouble) = (version, list, None);
            }
            Err(error) => self.trouble = Some(error),
        }
    }

    /// Number of owners.
    #[must_use]
    pub fn len(&self) -> u8 {
        u8::try_from(self.list.owners.len()).unwrap_or(u8::MAX)
    }

    /// Whether the router is unowned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trouble.is_none() && self.list.owners.is_empty()
    }

    /// All owners.
    #[must_use]
    pub const fn owners(&self) -> &Vec<Owner, MAX_OWNERS> {
        &self.list.owners
    }

    /// The label's key, while it opens the router: the router is unowned, and the secret was never used.
    #[must_use]
    pub fn label(&self) -> Option<&LabelKey> {
        self.label.as_ref().filter(|label| self.is_empty() && label_id(label) != self.list.spent)
    }

    /// Whether the label's secret was never used, by the list in memory: it would open an unowned router.
    #[must_use]
    pub fn label_is_good(&self) -> bool {
        self.label.as_ref().is_some_and(|label| label_id(label) != self.list.spent)
    }

    /// What `key` is to this router, over `wire`.
    #[must_use]
    pub fn standing(&self, key: &PublicKey, wire: Wire) -> Standing {
        let owner = self.list.owners.iter().find(|owner| owner.key == *key);
        match owner.filter(|_| self.trouble.is_none()) {
            Some(owner) => Standing::Owner(owner.role),
            None if !self.is_empty() => Standing::Stranger,
            None if wire == Wire::Serial || self.label().is_some() => Standing::Candidate,
            None => Standing::Stranger,
        }
    }

    /// Records the stamp of a handshake of `key`. Stamps of keys that are not owners are not recorded, so the table
    /// cannot grow.
    ///
    /// # Errors
    /// The last stamp of that key, or 0, if this one does not [follow](follows) it.
    pub fn take_stamp(&mut self, key: &PublicKey, stamp: u64) -> Result<(), u64> {
        let Self { list, stamps, state, .. } = self;
        if !list.owners.iter().any(|owner| owner.key == *key) {
            return Ok(());
        }
        let known = stamps.iter_mut().find(|(known, _)| known == key);
        let last = known.as_ref().map_or(0, |(_, last)| *last);
        if !follows(stamp, last) {
            return Err(last);
        }
        match known {
            Some((_, last)) => *last = stamp,
            None => {
                // Drop the stamps of removed owners.
                let is_stranger = |(known, _): &(PublicKey, u64)| {
                    !list.owners.iter().any(|owner| owner.key == *known)
                };
                while let Some(at) = stamps.iter().position(is_stranger) {
                    stamps.swap_remove(at);
                }
                let _ = stamps.push((*key, stamp));
            }
        }
        let mut buf = [0; STAMPS_FILE];
        let mut at = 0;
        let stamped = payload(&mut buf);
        for (key, stamp) in stamps {
            put(stamped, &mut at, &key.0);
            put(stamped, &mut at, &stamp.to_le_bytes());
        }
        // Best effort: if the write fails, a replay after a restart of the agent gets an answer that its sender
        // cannot use.
        let _ = STAMPS.replace(*state, &mut buf, at);
        Ok(())
    }

    /// Makes the claimant the first owner.
    ///
    /// # Errors
    /// [`Code::Claimed`], [`Code::Proof`], [`Code::Storage`].
    pub fn claim(&mut self, slot: &Slot, claimant: &Claimant<'_>) -> Result<(), Fault> {
        let label = self.label.as_ref().map(|label| {
            let proves = |proof| label.proves(claimant.handshake_hash, proof);
            (label_id(label), claimant.proof.as_ref().is_some_and(proves))
        });
        self.change(slot, &mut |list| {
            if !list.owners.is_empty() {
                return Err(slot.fail(
                    Code::Claimed,
                    Subject::None,
                    "this router has an owner already",
                ));
            }
            let proven = label.is_some_and(|(id, proven)| proven && id != list.spent);
            if claimant.wire == Wire::Udp && !proven {
                let text = "that is not the secret on the router's label, or it was used before";
                return Err(slot.fail(Code::Proof, Subject::None, text));
            }
            if let Some((id, _)) = label {
                list.spent = id;
            }
            let name = copy(claimant.name);
            // The list is empty, so it has room.
            let _ = list.owners.push(Owner { key: claimant.key, role: Role::Admin, name });
            Ok(())
        })
    }

    /// Adds an owner, or changes the role and name of an owner.
    ///
    /// # Errors
    /// [`Code::Full`], [`Code::LastAdmin`], [`Code::Storage`].
    pub fn add(&mut self, slot: &Slot, owner: &Owner) -> Result<(), Fault> {
        self.change(slot, &mut |list| {
            match list.owners.iter_mut().find(|known| known.key == owner.key) {
                Some(known) => *known = owner.clone(),
                None => list.owners.push(owner.clone()).map_err(|_| {
                    let words = format_args!("a router has at most {MAX_OWNERS} owners");
                    slot.say(Code::Full, Subject::None, Errno(0), words)
                })?,
            }
            an_admin_stays(slot, list)
        })
    }

    /// Removes an owner.
    ///
    /// # Errors
    /// [`Code::NoOwner`], [`Code::LastAdmin`], [`Code::Storage`].
    pub fn remove(&mut self, slot: &Slot, key: &PublicKey) -> Result<(), Fault> {
        self.change(slot, &mut |list| {
            let Some(at) = list.owners.iter().position(|owner| owner.key == *key) else {
                let text = "there is no owner of that key";
                return Err(slot.fail(Code::NoOwner, Subject::None, text));
            };
            let _ = list.owners.remove(at);
            an_admin_stays(slot, list)
        })
    }

    /// Changes the list in its file and then in memory. On an error, neither has changed.
    fn change(
        &mut self,
        slot: &Slot,
        edit: &mut dyn FnMut(&mut List) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let failed = |error: KeepError| {
            let errno = match error.wrong {
                Wrong::System(errno) => errno,
                _ => Errno(0),
            };
            slot.say(Code::Storage, Subject::None, errno, format_args!("{error}"))
        };
        let changed = locked(self.folder, |folder| {
            let mut list = List::read(folder).map_err(failed)?;
            edit(&mut list)?;
            list.replace(folder).map_err(failed)
        });
        let changed = changed.map_err(|errno| failed(OWNERS.system(errno)))?;
        self.refresh();
        changed
    }
}

fn an_admin_stays(slot: &Slot, list: &List) -> Result<(), Fault> {
    if list.has_admin() {
        return Ok(());
    }
    let text = "this is the last admin: add another one first";
    Err(slot.fail(Code::LastAdmin, Subject::None, text))
}

/// Implements `postwired reset-owner`: afterwards the router is unowned, or `key` is its only owner. A used label
/// secret stays used.
///
/// # Errors
/// [`KeepError`].
pub fn reset(folder: &mut dyn Folder, key: Option<PublicKey>) -> Result<(), KeepError> {
    let replaced = locked(folder, |folder| {
        // This command also repairs a damaged list.
        let mut list = List::read(folder).unwrap_or_default();
        list.owners.clear();
        if let Some(key) = key {
            let name = OwnerName::try_from("set on the router").unwrap_or_default();
            let _ = list.owners.push(Owner { key, role: Role::Admin, name });
        }
        list.replace(folder)
    });
    replaced.map_err(|errno| OWNERS.system(errno))?
}

#[cfg(test)]
mod tests;
