//! Packages: writers and readers of ipk (OpenWrt 24.10) and apk v3 (25.12), their signed indexes, and a writer of deb.
//!
//! | module | holds |
//! |---|---|
//! | `tree` | the files of a package, in memory |
//! | `ipk` | the ipk file |
//! | `deb` | the Debian package |
//! | `adb` | values and blocks of the apk v3 container |
//! | `apk` | the apk v3 package, its index and its signature |
//! | `opkg` | the index of ipk files, `Packages` |
//! | `usign` | the signature of `Packages`, and its keys |
//!
//! Not here: building the agent and reading command lines, which are `xtask`'s.
#![forbid(unsafe_code)]

pub mod adb;
pub mod apk;
pub mod deb;
pub mod ipk;
pub mod opkg;
pub mod tree;
pub mod usign;

/// Why a package, an index or a key cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is not what its reader expects: the format, and what is wrong.
    #[error("{0}: {1}")]
    Malformed(&'static str, &'static str),
    /// An input that cannot be packed, in words.
    #[error("{0}")]
    Invalid(String),
    /// A part of a file that cannot be read or decompressed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The most bytes that a reader unpacks: packages here are a hundredth of that.
pub const MAX_UNPACKED: u64 = 64 << 20;
