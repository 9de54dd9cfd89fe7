//! The router's own key pair. It is generated at the first start, synced to disk before its public key is shown, and
//! never changes.

use proto_core::key::SecretKey;
use proto_core::protocol::session::StaticKey;

use crate::bytes::put;
use crate::store::keep::{KeepError, Kind, file_len, locked, payload};
use crate::system::{Folder, Machine};

const IDENTITY: Kind = Kind { name: c"identity", magic: *b"PWID", what: "router's own key" };

/// Reads the identity, or generates it if there is none.
///
/// # Errors
/// [`KeepError`]. A damaged identity is not replaced: to its owners, the router would be a different one.
pub fn load(folder: &mut dyn Folder, machine: &dyn Machine) -> Result<StaticKey, KeepError> {
    locked(folder, |folder| load_locked(folder, machine)).map_err(|errno| IDENTITY.system(errno))?
}

fn load_locked(folder: &mut dyn Folder, machine: &dyn Machine) -> Result<StaticKey, KeepError> {
    let mut buf = [0; file_len(32)];
    let mut key = SecretKey::ZERO;
    if let Some(payload) = IDENTITY.read(folder, &mut buf)? {
        *key.as_mut_bytes() = payload.try_into().map_err(|_| IDENTITY.damaged())?;
    } else {
        machine.random(key.as_mut_bytes()).map_err(|errno| IDENTITY.system(errno))?;
        let mut len = 0;
        put(payload(&mut buf), &mut len, key.as_bytes());
        IDENTITY.replace(folder, &mut buf, len)?;
    }
    Ok(StaticKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keep::Wrong;
    use crate::testing::{Bench, Drawer};

    #[test]
    fn it_is_made_once_and_stays() {
        let (mut folder, bench) = (Drawer::default(), Bench::default());
        let first = load(&mut folder, &bench).unwrap();
        let second = load(&mut folder, &bench).unwrap();
        assert_eq!(first.public(), second.public());
    }

    #[test]
    fn a_damaged_one_is_not_replaced() {
        let (mut folder, bench) = (Drawer::default(), Bench::default());
        load(&mut folder, &bench).unwrap();
        let whole = folder.bytes(c"identity");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            folder.put(c"identity", &damaged);
            assert_eq!(load(&mut folder, &bench).unwrap_err().wrong, Wrong::Damaged, "{at}");
            folder.put(c"identity", &whole[..at]);
            assert_eq!(load(&mut folder, &bench).unwrap_err().wrong, Wrong::Damaged, "{at}");
        }
    }

    #[test]
    fn one_that_cannot_be_kept_is_not_used() {
        let mut folder = Drawer::default();
        folder.full.set(true);
        let bench = Bench::default();
        assert_eq!(
            load(&mut folder, &bench).unwrap_err().wrong,
            Wrong::System(proto_core::netlink::Errno::ENOSPC)
        );
    }
}
