//! The commands for root on the router, who has all permissions.

use core::fmt::Write;

use postwired::access::{identity, owners};
use postwired::store::keep::{KeepError, Wrong};
use proto_core::key::PublicKey;
use proto_core::protocol::session::fingerprint;

use crate::linux::log::Stream;
use crate::linux::machine::{Dir, Linux};
use crate::linux::sys;

fn open(keep: &str) -> Result<Dir, KeepError> {
    Dir::open(keep).map_err(|errno| KeepError { what: "folder", wrong: Wrong::System(errno) })
}

/// Prints the router's public key and its fingerprint, a line each. Generates the key if there is
/// none.
pub(crate) fn identity(keep: &str) -> Result<(), KeepError> {
    let key = identity::load(&mut open(keep)?, &Linux)?.public();
    // If the output cannot be written, there is no reader for an error either.
    let _ = writeln!(Stream(sys::stdout()), "{key}\n{}", fingerprint(&key));
    Ok(())
}

/// Removes all owners, and makes `key` the only owner, if given.
pub(crate) fn reset_owner(keep: &str, key: Option<PublicKey>) -> Result<(), KeepError> {
    owners::reset(&mut open(keep)?, key)?;
    let mut out = Stream(sys::stdout());
    // If the output cannot be written, there is no reader for an error either.
    let _ = match key {
        Some(key) => writeln!(out, "the only owner of this router is now {key}"),
        None => out.write_str(
            "this router has no owner now; claim it over its serial line: postwire claim --serial DEVICE\n",
        ),
    };
    Ok(())
}
