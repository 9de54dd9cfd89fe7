//! Feeds: a folder of packages for each architecture, with the signed index that opkg or apk reads.

use super::{Built, Format, Which, make, put, writable};
use anyhow::{Context, Result, bail, ensure};
use pack::{apk, opkg, usign};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Write a feed: packages and their signed indexes, for any web server
///
/// The private keys are your own files. A format without a key is left out.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The private key that signs `Packages` for opkg, from `usign -G -s NAME.sec -p NAME.pub` or
    /// `signify-openbsd -G -n -s NAME.sec -p NAME.pub`
    #[arg(long, value_name = "FILE")]
    key_usign: Option<PathBuf>,
    /// The private key that signs `packages.adb` for apk, from
    /// `openssl ecparam -name prime256v1 -genkey -noout -out FILE`
    #[arg(long, value_name = "FILE")]
    key_apk: Option<PathBuf>,
    /// The output folder, with one folder for each architecture
    #[arg(long, value_name = "FOLDER", default_value = "target/feed")]
    out: PathBuf,
}

/// The keys that sign a feed.
#[derive(Default)]
pub struct Keys {
    /// For opkg.
    pub usign: Option<usign::Key>,
    /// For apk.
    pub apk: Option<apk::Key>,
}

impl Keys {
    /// Reads the key files that are given.
    ///
    /// # Errors
    /// A file that cannot be read or is no key.
    pub fn read(usign: Option<&Path>, apk: Option<&Path>) -> Result<Self> {
        Ok(Self {
            usign: read("--key-usign", usign, usign::Key::from_text)?,
            apk: read("--key-apk", apk, apk::Key::from_pem)?,
        })
    }
}

fn read<K>(
    option: &str,
    path: Option<&Path>,
    parse: impl Fn(&str) -> Result<K, pack::Error>,
) -> Result<Option<K>> {
    let Some(path) = path else { return Ok(None) };
    let given = || format!("{option} {}", path.display());
    let text = fs::read_to_string(path).with_context(given)?;
    parse(&text).map(Some).with_context(given)
}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        // Keys first: a build takes minutes.
        let keys = Keys::read(self.key_usign.as_deref(), self.key_apk.as_deref())?;
        let mut which = self.which;
        which.format = match (which.format, &keys.usign, &keys.apk) {
            (Format::Ipk, None, _) => bail!("a feed for opkg needs --key-usign FILE"),
            (Format::Apk, _, None) => bail!("a feed for apk needs --key-apk FILE"),
            (_, None, None) => {
                bail!(
                    "a feed is signed: give --key-usign FILE (opkg), --key-apk FILE (apk) or both"
                )
            }
            (Format::All, Some(_), None) => Format::Ipk,
            (Format::All, None, Some(_)) => Format::Apk,
            (format, _, _) => format,
        };
        which.known()?;
        writable(&self.out)?;
        let paths = write(&make(&which)?, &keys, &self.out)?;
        for path in &paths {
            println!("{}", path.display());
        }
        for path in others(&self.out, &paths)? {
            println!(
                "note: {} is from an earlier run, and this one did not write it: remove it if no router needs it",
                path.display()
            );
        }
        if let Some(key) = &keys.usign {
            println!("opkg: the routers need usign.pub as /etc/opkg/keys/{}", key.fingerprint());
        }
        if keys.apk.is_some() {
            println!("apk: the routers need apk.pem as /etc/apk/keys/postwire.pem");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes packages and their indexes. Returns the paths of all files.
///
/// # Errors
/// A file that cannot be written; indexes of an earlier run with another key, which routers would refuse.
pub fn write(packages: &[Built], keys: &Keys, out: &Path) -> Result<Vec<PathBuf>> {
    ensure!(!packages.is_empty(), "no package");
    let files = files(packages, keys)?;
    let written = |path: &Path| files.iter().any(|(name, _)| out.join(name) == path);
    for (public, index, option) in
        [("usign.pub", "Packages.sig", "--key-usign"), ("apk.pem", "packages.adb", "--key-apk")]
    {
        let Some((_, new)) = files.iter().find(|(name, _)| name == public) else { continue };
        let old = fs::read(out.join(public)).unwrap_or_default();
        if old.is_empty() || old == *new {
            continue;
        }
        for folder in folders(out)? {
            let stale = folder.join(index);
            ensure!(
                written(&stale) || !stale.exists(),
                "{} is signed by another key than that of {option}: use the old key, another --out, or write all \
                 architectures of this folder again (--arch all)",
                stale.display()
            );
        }
    }
    let mut paths = Vec::new();
    for (name, bytes) in &files {
        let path = out.join(name);
        put(&path, bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// The folders of the architectures in a feed.
fn folders(out: &Path) -> Result<Vec<PathBuf>> {
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

/// Packages and indexes that this run did not write, in the folders that it wrote to: of another version, of a variant
/// or a format that was left out.
///
/// # Errors
/// A folder that cannot be read.
pub fn others(out: &Path, written: &[PathBuf]) -> Result<Vec<PathBuf>> {
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

/// The packages and their indexes, by their paths in the feed. A format without a key has no index.
///
/// # Errors
/// A package that cannot be indexed.
pub fn files(packages: &[Built], keys: &Keys) -> Result<Vec<(String, Vec<u8>)>> {
    let mut arches = BTreeMap::<&str, Vec<&Built>>::new();
    for built in packages {
        arches.entry(&built.arch).or_default().push(built);
    }
    let mut all = Vec::new();
    if let Some(key) = &keys.usign {
        all.push(("usign.pub".to_owned(), key.public().into_bytes()));
    }
    if let Some(key) = &keys.apk {
        all.push(("apk.pem".to_owned(), key.public()?.into_bytes()));
    }
    for (arch, packages) in arches {
        let mut put = |name: &str, bytes| all.push((format!("{arch}/{name}"), bytes));
        let of = |format| packages.iter().filter(move |built| built.format == format);
        for built in &packages {
            put(&built.name, built.bytes.clone());
        }
        if let Some(key) = &keys.usign {
            let files: Vec<_> =
                of(Format::Ipk).map(|built| (built.name.clone(), built.bytes.clone())).collect();
            let index = opkg::index(&files)?;
            let signature = key.sign(&index.packages);
            put("Packages", index.packages);
            put("Packages.gz", index.compressed);
            put("Packages.sig", signature.into_bytes());
        }
        if let Some(key) = &keys.apk {
            let files: Vec<_> = of(Format::Apk).map(|built| built.bytes.clone()).collect();
            put("packages.adb", apk::index(&files, "Postwire", Some(key))?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_be_read_is_told_with_its_option() {
        let dir = std::env::temp_dir().join(format!("postwire-keys-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.join(name), text).unwrap();
            dir.join(name)
        };
        let wrong =
            [dir.join("none"), file("empty", ""), file("binary", "\u{1}\u{0}"), dir.clone()];
        for path in &wrong {
            let pairs = [("--key-usign", Some(&**path), None), ("--key-apk", None, Some(&**path))];
            for (option, usign, apk) in pairs {
                let Err(error) = Keys::read(usign, apk) else { panic!("{}", path.display()) };
                let begin = format!("{option} {}: ", path.display());
                let error = format!("{error:#}");
                assert!(error.starts_with(&begin), "{error}");
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
