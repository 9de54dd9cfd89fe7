//! Feeds: a folder of packages for each architecture, with the signed index that opkg or apk reads.
//!
//! Not here: reading the key files, and writing the feed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::{Error, apk, opkg, usign};

/// The keys that sign a feed. A format without a key has no index.
#[derive(Default)]
pub struct Keys {
    /// For opkg.
    pub usign: Option<usign::Key>,
    /// For apk.
    pub apk: Option<apk::Key>,
}

/// A finished package. The end of the name, `.ipk` or `.apk`, is the format.
pub struct Built {
    /// OpenWrt's package architecture.
    pub arch: String,
    /// The file name.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The packages, their indexes and the public keys, by their paths in the feed.
///
/// # Errors
/// A package that cannot be indexed.
pub fn files(packages: &[Built], keys: &Keys) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut arches = BTreeMap::<&str, Vec<&Built>>::new();
    for built in packages {
        arches.entry(&built.arch).or_default().push(built);
    }
    let mut all = Vec::new();
    if let Some(key) = &keys.usign {
        all.push((USIGN_KEY.to_owned(), key.public().into_bytes()));
    }
    if let Some(key) = &keys.apk {
        all.push((APK_KEY.to_owned(), key.public()?.into_bytes()));
    }
    for (arch, packages) in arches {
        let mut put = |name: &str, bytes| all.push((format!("{arch}/{name}"), bytes));
        let of = |end| packages.iter().filter(move |built| built.name.ends_with(end));
        for built in &packages {
            put(&built.name, built.bytes.clone());
        }
        if let Some(key) = &keys.usign {
            let files: Vec<_> =
                of(".ipk").map(|built| (built.name.clone(), built.bytes.clone())).collect();
            let index = opkg::index(&files)?;
            let signature = key.sign(&index.packages);
            put("Packages", index.packages);
            put("Packages.gz", index.compressed);
            put("Packages.sig", signature.into_bytes());
        }
        if let Some(key) = &keys.apk {
            let files: Vec<_> = of(".apk").map(|built| built.bytes.clone()).collect();
            put("packages.adb", apk::index(&files, "Postwire", Some(key))?);
        }
    }
    Ok(all)
}

/// The files of the public keys in a feed.
const USIGN_KEY: &str = "usign.pub";
const APK_KEY: &str = "apk.pem";

/// An index in the folder `out` that another key signed, and that `files` do not replace. Routers with the public key
/// of `files` would refuse it.
///
/// # Errors
/// A folder that cannot be read.
pub fn of_another_key(out: &Path, files: &[(String, Vec<u8>)]) -> io::Result<Option<PathBuf>> {
    for (public, index) in [(USIGN_KEY, "Packages.sig"), (APK_KEY, "packages.adb")] {
        let Some((_, new)) = files.iter().find(|(name, _)| name == public) else { continue };
        let old = fs::read(out.join(public)).unwrap_or_default();
        if old.is_empty() || old == *new {
            continue;
        }
        for folder in folders(out)? {
            let stale = folder.join(index);
            if stale.exists() && !files.iter().any(|(name, _)| out.join(name) == stale) {
                return Ok(Some(stale));
            }
        }
    }
    Ok(None)
}

/// Packages and indexes that this run did not write, in the folders that it wrote to: of another version, of a variant
/// or a format that was left out.
///
/// # Errors
/// A folder that cannot be read.
pub fn others(out: &Path, written: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders(out)? {
        if !written.iter().any(|path| path.starts_with(&folder)) {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_ours = |name: &str| {
                let ends = [".ipk", ".apk", ".adb"].iter().any(|end| name.ends_with(end));
                ends || matches!(name, "Packages" | "Packages.gz" | "Packages.sig")
            };
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(is_ours) && !written.contains(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The folders of the architectures in a feed; none if there is no feed yet.
fn folders(out: &Path) -> io::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(out) else { return Ok(Vec::new()) };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}
