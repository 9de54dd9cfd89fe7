//! Debian's `wg`, built the way the agent is: one static file with musl, optimised for size as a
//! whole, without unused code. The size of our file and the cost of a run are compared with it; our
//! behaviour is compared with Debian's own file.
//!
//! It is built from Debian's source package, or from a folder with the sources of wireguard-tools,
//! and kept until its sources or options change.

use crate::apt::{self, run};
use anyhow::{Context, Result, ensure};
use std::{
    env::consts::ARCH,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};
use xtask::build;

const COMPILER: &str = "-Os -flto -ffunction-sections -fdata-sections";
const LINKER: &str = "-Os -flto -static -Wl,--gc-sections -s";
/// `musl-gcc` builds for the machine it runs on.
const MACHINE: &str = "x86_64";

/// The program, and a description of its sources.
pub struct Reference {
    pub path: PathBuf,
    pub from: String,
}

impl Reference {
    /// The options of the build, for people.
    pub const HOW: &str = "static, musl, -Os, LTO, gc-sections, stripped";

    /// Builds the program from `sources`, or from Debian's source package of this version, unless
    /// that was done before.
    pub fn get(version: &str, sources: Option<&Path>) -> Result<Self> {
        let version = apt::of_binary(version);
        let dir = build::target_folder().join("lab/cache").join("x86_64-wg-for-size");
        fs::create_dir_all(&dir)?;
        let lock = fs::File::create(dir.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;

        let path = dir.join("wg");
        if sources.is_none()
            && let Some(from) = made_from(&dir, version)
        {
            return Ok(Self { path, from });
        }
        ensure!(
            ARCH == MACHINE,
            "musl-gcc of this machine ({ARCH}) makes no program for {MACHINE}"
        );
        let (sources, from) = match sources {
            Some(folder) => {
                let folder =
                    fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
                (folder, "wireguard-tools")
            }
            None => {
                let hint = "no sources (`cargo xtask bench wg --wg-source FOLDER` takes others)";
                let sources = apt::source(&dir, "wireguard-tools", version).context(hint)?;
                (sources, "Debian's sources of wireguard-tools")
            }
        };
        compile(&dir, &sources, &path)?;
        let from = format!("{from} {}", self::version(&sources)?);
        // Written last: an interrupted build is repeated.
        fs::write(dir.join("made"), made(version, &from))?;
        Ok(Self { path, from })
    }
}

/// The record of a finished build.
fn made(version: &str, from: &str) -> String {
    format!("{version}\n{COMPILER}\n{LINKER}\n{from}\n")
}

/// The description of the sources of an existing program; `None` if it must be built again.
fn made_from(dir: &Path, version: &str) -> Option<String> {
    let noted = fs::read_to_string(dir.join("made")).ok()?;
    let from = noted.lines().last()?;
    (noted == made(version, from) && dir.join("wg").is_file()).then(|| from.to_owned())
}

/// The version number in the sources.
fn version(sources: &Path) -> Result<String> {
    let text = fs::read_to_string(sources.join("src/version.h"))?;
    let version = text.split('"').nth(1);
    version.map(str::to_owned).context("src/version.h has no version")
}

fn compile(dir: &Path, sources: &Path, program: &Path) -> Result<()> {
    apt::ensure_packages(&["gcc", "linux-libc-dev", "make", "musl-tools"])?;
    eprintln!("lab: building Debian's wg like ours");
    // In a copy, because the folder may belong to the user.
    let copy = dir.join("build");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    fs::create_dir_all(&copy)?;
    run(Command::new("cp").arg("-r").arg(sources.join("src")).arg(&copy))?;
    // musl has no kernel headers, and those of this machine are among its C library's.
    let headers = copy.join("headers");
    fs::create_dir(&headers)?;
    symlink("/usr/include/linux", headers.join("linux"))?;
    symlink("/usr/include/asm-generic", headers.join("asm-generic"))?;
    symlink(format!("/usr/include/{MACHINE}-linux-gnu/asm"), headers.join("asm"))?;
    // In the environment, so that the makefile adds to them.
    run(Command::new("make")
        .arg("-C")
        .arg(copy.join("src"))
        .arg("wg")
        .env("CC", "musl-gcc")
        .env("CFLAGS", format!("{COMPILER} -isystem {}", headers.display()))
        .env("LDFLAGS", LINKER))?;
    fs::rename(copy.join("src/wg"), program)?;
    fs::remove_dir_all(&copy)?;
    Ok(())
}
