//! `cargo xtask release`: all files that people install, with checksums and notes.
//!
//! | module | holds |
//! |---|---|
//! | `host` | the host tool: static builds, the archive, the Debian package |
//! | `notes` | the release notes, from the changelog |
//!
//! One source gives the same bytes on every machine: one version of Rust, no folder of the machine in a file, one time
//! in archives.

mod host;
mod notes;

use crate::{
    build::{self, cargo, ensure_toolchain, quietly},
    openwrt::{self, Format, Which, feed},
};
use anyhow::{Context, Result, ensure};
use board::VARIANTS;
use pack::feed::Keys;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// The version of Rust that builds what is released. Another one gives other bytes, and other sizes.
const RUST: &str = "1.95.0";
/// The list of checksums, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

/// Write all files of a release: host tool, agents, packages, notes, checksums
#[derive(clap::Args)]
pub struct Args {
    /// For which target of `board`, or `all`. The host tool is for x86_64 and aarch64
    #[arg(long, default_value = "all")]
    arch: String,
    /// The private key that signs the feeds for opkg; without it they have no index
    #[arg(long, value_name = "FILE")]
    key_usign: Option<PathBuf>,
    /// The private key that signs the feeds for apk; without it they have no index
    #[arg(long, value_name = "FILE")]
    key_apk: Option<PathBuf>,
    /// The folder to write to; the files of an earlier release in it are replaced
    #[arg(long, value_name = "FOLDER", default_value = "target/dist")]
    out: PathBuf,
}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        // Names and keys first: builds take minutes.
        build::targets(&self.arch)?;
        let keys = feed::keys(self.key_usign.as_deref(), self.key_apk.as_deref())?;
        if !is_release_rust()? {
            println!("releases are built with Rust {RUST}");
            ensure_toolchain(RUST)?;
            let mut again = cargo();
            again.env("RUSTUP_TOOLCHAIN", RUST).arg("xtask").args(std::env::args_os().skip(1));
            let status = again.status().context("starting cargo")?;
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        println!("checking the host tool for {}", build::elsewhere()?);
        for (name, size) in write(&self.arch, &keys, &self.out)? {
            println!("{} ({size} bytes)", self.out.join(name).display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_release_rust() -> Result<bool> {
    let version = quietly(Command::new("rustc").arg("--version"))?;
    Ok(version.split(' ').nth(1) == Some(RUST))
}

/// Files by their names in the folder of the release.
#[derive(Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn add(&mut self, name: String, bytes: Vec<u8>) -> Result<()> {
        ensure!(!self.0.contains_key(&name), "two files of the release are called {name}");
        self.0.insert(name, bytes);
        Ok(())
    }

    /// A line of `sha256sum` for each file.
    fn sums(&self) -> String {
        let hex = |bytes: &[u8]| -> String {
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        self.0.iter().map(|(name, bytes)| format!("{}  {name}\n", hex(bytes))).collect()
    }
}

/// Builds and writes a release. Returns the name and size of each file.
///
/// # Errors
/// A build that fails, and a folder with files that are not a release's.
pub fn write(arch: &str, keys: &Keys, out: &Path) -> Result<Vec<(String, usize)>> {
    empty(out)?;
    openwrt::writable(out)?;
    let targets = build::targets(arch)?;
    let version = env!("CARGO_PKG_VERSION");
    let mut files = Files::default();
    for host in host::HOSTS.iter().filter(|host| targets.iter().any(|it| it.triple == host.triple))
    {
        host.files(&mut files)?;
    }
    for target in &targets {
        for variant in VARIANTS {
            let suffix = if variant == build::full() { "" } else { variant.name };
            let dash = if suffix.is_empty() { "" } else { "-" };
            let name = format!("agents/postwired-{version}-{}{dash}{suffix}", target.name);
            files.add(name, fs::read(build::built(target, variant)?)?)?;
        }
    }
    let mut packages = Vec::new();
    for target in targets.iter().filter(|target| !target.packages.is_empty()) {
        let (arch, variant) = (target.name.to_owned(), "all".to_owned());
        packages.extend(openwrt::make(&Which { arch, format: Format::All, variant })?);
    }
    for (name, bytes) in pack::feed::files(&packages, keys)? {
        files.add(format!("openwrt/{name}"), bytes)?;
    }
    let notes = notes::notes(version, RUST, &files.sums())?;
    files.add("NOTES.md".to_owned(), notes.into_bytes())?;
    let sums = files.sums();
    let mut written = Vec::new();
    for (name, bytes) in files.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())) {
        put(out, name, bytes)?;
        written.push((name.to_owned(), bytes.len()));
    }
    // Last: a folder without it is not a whole release.
    put(out, SUMS, sums.as_bytes())?;
    written.push((SUMS.to_owned(), sums.len()));
    Ok(written)
}

/// The archive and the Debian package of a host tool that is built already, by their names.
///
/// # Errors
/// An architecture that the host tool is not released for.
pub fn host_packages(arch: &str, program: &[u8]) -> Result<[(String, Vec<u8>); 2]> {
    let host = host::HOSTS.iter().find(|host| host.name == arch);
    host.with_context(|| format!("the host tool is not released for {arch}"))?.packages(program)
}

fn put(out: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = out.join(name);
    fs::create_dir_all(path.parent().unwrap_or(out))?;
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    if name.starts_with("agents/") {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Removes the files of an earlier release, and nothing else.
fn empty(out: &Path) -> Result<()> {
    let mut found = fs::read_dir(out).into_iter().flatten().peekable();
    if found.peek().is_none() {
        return Ok(());
    }
    let shown = out.display();
    ensure!(
        out.join(SUMS).exists(),
        "{shown} is not empty and has no {SUMS} of an earlier release: choose another folder with --out, or empty it"
    );
    fs::remove_dir_all(out).with_context(|| format!("removing {shown}"))
}
