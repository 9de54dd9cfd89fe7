//! The chore that writes a feed. `pack::feed` has its contents.

use super::{Format, Which, make, put, writable};
use anyhow::{Context, Result, bail, ensure};
use pack::{
    apk,
    feed::{self, Built, Keys},
    usign,
};
use std::{
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

/// Reads the key files that are given.
///
/// # Errors
/// A file that cannot be read or is no key.
pub fn keys(usign: Option<&Path>, apk: Option<&Path>) -> Result<Keys> {
    Ok(Keys {
        usign: key("--key-usign", usign, usign::Key::from_text)?,
        apk: key("--key-apk", apk, apk::Key::from_pem)?,
    })
}

fn key<K>(
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
        let keys = keys(self.key_usign.as_deref(), self.key_apk.as_deref())?;
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
        for path in feed::others(&self.out, &paths)? {
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
    let files = feed::files(packages, keys)?;
    if let Some(stale) = feed::of_another_key(out, &files)? {
        bail!(
            "{} is signed by another key than --key-usign or --key-apk: use the old key, another --out, or write all \
             architectures of this folder again (--arch all)",
            stale.display()
        );
    }
    let mut paths = Vec::new();
    for (name, bytes) in &files {
        let path = out.join(name);
        put(&path, bytes)?;
        paths.push(path);
    }
    Ok(paths)
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
                let Err(error) = keys(usign, apk) else { panic!("{}", path.display()) };
                let begin = format!("{option} {}: ", path.display());
                let error = format!("{error:#}");
                assert!(error.starts_with(&begin), "{error}");
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
