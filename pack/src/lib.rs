//! Packages: writers and readers of ipk (OpenWrt 24.10) and apk v3 (25.12), their signed indexes, and a writer of deb.
//!
//! | module | contents |
//! |---|---|
//! | `tree` | the files of a package, in memory |
//! | `ipk` | the ipk file |
//! | `deb` | the Debian package |
//! | `adb` | values and blocks of the apk v3 container |
//! | `apk` | the apk v3 package, its index and its signature |
//! | `opkg` | the index of ipk files, `Packages` |
//! | `feed` | a folder of packages and their signed indexes |
//! | `usign` | the signature of `Packages`, and its keys |
//!
//! Not here: building the agent, and command lines, which belong to `xtask`.
#![forbid(unsafe_code)]

pub mod adb;
pub mod apk;
pub mod deb;
pub mod feed;
pub mod ipk;
pub mod opkg;
pub mod tree;
pub mod usign;

/// The reason why a package, an index or a key cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file in a wrong format; contains the format and the mistake.
    #[error("{0}: {1}")]
    Malformed(&'static str, &'static str),
    /// An input that cannot be packed, in words.
    #[error("{0}")]
    Invalid(String),
    /// A part of a file that cannot be read or decompressed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Largest size in bytes that a reader unpacks; real packages have a hundredth of that.
pub const MAX_UNPACKED: u64 = 64 << 20;
