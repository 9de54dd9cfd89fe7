//! Names of interfaces and owners.

use std::path::Path;

use proto_core::netlink::{IfName, IfNameError};
use proto_core::protocol::message::{Name, OwnerName};
use proto_core::text::misleads;

use crate::home::{self, HomeError};

/// An invalid name of an interface or an owner.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Not an interface name: wrong characters or length.
    #[error("`{0}` is {words}", words = IfNameError::WORDS)]
    Invalid(String),
    /// The file's name does not contain an interface name.
    #[error(
        "the file name `{0}` has no interface name in it, unlike wg0.conf: name the interface with --interface"
    )]
    File(String),
    /// Not an owner's name: wrong characters or length.
    #[error(
        "`{0}` is not a valid owner's name: 1 to 31 bytes without control characters or invisible ones"
    )]
    Owner(String),
    /// Not the name of a run: wrong characters or length.
    #[error(
        "`{0}` is not a name for a run: 1 to 64 characters without control characters or invisible ones"
    )]
    Run(String),
}

/// Checks the name of an interface against wg-quick's pattern, which is stricter than Linux.
///
/// # Errors
/// [`NameError::Invalid`].
pub fn interface(text: &str) -> Result<Name, NameError> {
    let invalid = || NameError::Invalid(text.escape_debug().collect());
    let name = IfName::plain(text).map_err(|_| invalid())?;
    Name::try_from(name.as_str()).map_err(|_| invalid())
}

/// The interface that a file's name gives: `wg0` for `wg0.conf`.
///
/// # Errors
/// [`NameError::File`].
pub fn of_file(path: &Path) -> Result<Name, NameError> {
    let shown = || NameError::File(path.display().to_string());
    if path.extension().is_none_or(|extension| extension != "conf") {
        return Err(shown());
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(shown)?;
    interface(stem).map_err(|_| shown())
}

/// Checks the name of a router in the operator's list.
///
/// # Errors
/// [`HomeError::BadName`].
pub fn router(text: &str) -> Result<String, HomeError> {
    match home::is_name(text) {
        true => Ok(text.into()),
        false => Err(HomeError::BadName(text.escape_debug().collect())),
    }
}

/// Checks the name of an owner.
///
/// # Errors
/// [`NameError::Owner`].
pub fn owner(text: &str) -> Result<OwnerName, NameError> {
    let invalid = || NameError::Owner(text.escape_debug().collect());
    if text.trim().is_empty() || text.chars().any(misleads) {
        return Err(invalid());
    }
    OwnerName::try_from(text).map_err(|_| invalid())
}

/// Checks the name of a run in records.
///
/// # Errors
/// [`NameError::Run`].
pub fn run(text: &str) -> Result<String, NameError> {
    let fits = (1..=64).contains(&text.chars().count()) && !text.trim().is_empty();
    match fits && !text.chars().any(misleads) {
        true => Ok(text.into()),
        false => Err(NameError::Run(text.escape_debug().collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_wg_quick() {
        for good in ["wg0", "a", "_=+.-", "fifteen-letters"] {
            assert_eq!(interface(good).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "a b", "a/b", "a:b", "sixteen-letters-", "w\u{e9}"] {
            assert!(interface(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn owners_have_names_that_fit() {
        for good in ["alice@bench", "Ren\u{e9} B.", "thirty-one-bytes-and-no-more-ye"] {
            assert_eq!(owner(good).as_deref(), Ok(good));
        }
        for bad in ["", " ", "a\nb", "\u{1b}[2J", "a\u{202e}b", "thirty-two-bytes-and-not-one-more"]
        {
            assert!(owner(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn runs_have_names_that_can_be_filtered_by() {
        assert_eq!(run("night 2").as_deref(), Ok("night 2"));
        for bad in ["", " ", "a\nb", "\u{1b}[2J", "a\u{200b}", &"a".repeat(65)] {
            assert!(run(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_names_its_interface() {
        assert_eq!(of_file(Path::new("/etc/wireguard/wg0.conf")).as_deref(), Ok("wg0"));
        for bad in ["wg0", "wg0.txt", "a b.conf", ".conf", "-", "/dev/fd/63"] {
            assert!(of_file(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
