//! The space that files take in a router's flash: in squashfs, packed as OpenWrt packs its
//! firmware. Compares the agent with the programs that it replaces: Debian's `wg` built like it,
//! `wg-quick`, and the bash that `wg-quick` needs; of the last two only the files themselves,
//! without their libraries and programs.

use crate::{
    Arch,
    apt::{self, Unpacked, run},
    programs,
    reference::Reference,
};
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};
use xtask::build;

/// The largest block that OpenWrt uses, and its choice of filter for this processor.
const PACKING: &[&str] = &["-comp", "xz", "-b", "256K", "-Xbcj", "x86"];

/// Print the space that the agent takes in a router's flash, compared with Debian's wg and wg-quick
/// (x86_64)
#[derive(clap::Args)]
pub struct Args {
    /// The agent's file
    agent: PathBuf,
}

impl Args {
    /// Prints the sizes, in bytes.
    pub fn run(self) -> Result<ExitCode> {
        print(&self.agent)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(agent: &Path) -> Result<()> {
    apt::ensure_packages(&["squashfs-tools"])?;
    let cache = build::target_folder().join("lab/cache/x86_64-flash");
    let wanted = [programs::WG_QUICK.package, programs::BASH.package];
    let packages = Unpacked::get(&cache, crate::profile(Arch::X86_64).debian, None, &wanted)?;
    println!("in flash (squashfs, xz, blocks of 256 KiB)");
    println!("{:>8}  postwired, including wg and wg-quick", squashed(&[agent])?);
    let wg = match Reference::get(&packages.version(programs::WG.package)?, None) {
        Ok(reference) => reference,
        Err(error) => {
            println!("       -  Debian's wg built like it is not there: {error:#}");
            return Ok(());
        }
    };
    let (quick, bash) =
        (packages.file(programs::WG_QUICK.path)?, packages.file(programs::BASH.path)?);
    let (path, quick, bash) = (wg.path.as_path(), quick.as_path(), bash.as_path());
    println!("{:>8}  wg, static, for size: {}", squashed(&[path])?, wg.from);
    println!("{:>8}  wg and wg-quick", squashed(&[path, quick])?);
    println!("{:>8}  wg, wg-quick and bash", squashed(&[path, quick, bash])?);
    Ok(())
}

/// The size in bytes of a file system with these files.
fn squashed(files: &[&Path]) -> Result<u64> {
    let image = build::target_folder().join(format!("flash-{}.squashfs", std::process::id()));
    run(Command::new("mksquashfs").args(files).arg(&image).args(PACKING).args([
        "-all-root",
        "-no-xattrs",
        "-nopad",
        "-noappend",
        "-quiet",
        "-no-progress",
    ]))?;
    let size = fs::metadata(&image)?.len();
    fs::remove_file(&image)?;
    Ok(size)
}
