//! Packages for OpenWrt and feeds of them.
//!
//! | module | contents |
//! |---|---|
//! | `recipes` | the contents of each package, as data |
//! | `assemble` | an ipk and an apk of a recipe |
//! | `feed` | the signed indexes of a folder of packages |
//!
//! The crate `pack` implements the formats. The files of the packages are in
//! `integrations/openwrt`.

mod assemble;
pub mod feed;
pub mod recipes;

pub(crate) use assemble::MAINTAINER;
pub use assemble::{Format, apk, arches, file_name, ipk, make, mtime, unpack, version};

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Write OpenWrt packages of the agent: ipk (24.10) and apk (25.12)
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The output folder, with one folder for each architecture
    #[arg(long, value_name = "FOLDER", default_value = "target/packages")]
    out: PathBuf,
}

/// The selection of packages.
#[derive(clap::Args, Clone)]
pub struct Which {
    /// A target of `cargo xtask build`, one of OpenWrt's package architectures (`opkg print-architecture` or
    /// `apk --print-arch` on the router), or `all`
    #[arg(long)]
    pub arch: String,
    /// The format: ipk for OpenWrt 24.10, apk for 25.12
    #[arg(long, value_enum, default_value = "all")]
    pub format: Format,
    /// The variant of the agent: a variant of `board`, or `all`
    #[arg(long, default_value = "all")]
    pub variant: String,
}

impl Which {
    /// Fails for a name that nothing has.
    fn known(&self) -> Result<()> {
        arches(&self.arch)?;
        crate::build::variants(&self.variant)?;
        Ok(())
    }
}

/// Makes an output folder, and fails unless files can be made in it.
///
/// # Errors
/// The system's error, with the folder.
pub(crate) fn writable(folder: &Path) -> Result<()> {
    let probe = folder.join(".written");
    let made = fs::create_dir_all(folder).and_then(|()| fs::write(&probe, ""));
    made.and_then(|()| fs::remove_file(&probe))
        .with_context(|| format!("--out {}: no file can be written there", folder.display()))
}

/// Writes a file, and its folder if that is missing.
///
/// # Errors
/// The system's error, with the file.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let made = fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes));
    made.with_context(|| format!("writing {}", path.display()))
}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        // Names and the folder first: a build takes minutes.
        self.which.known()?;
        writable(&self.out)?;
        for built in make(&self.which)? {
            let path = self.out.join(&built.arch).join(&built.name);
            put(&path, &built.bytes)?;
            println!("{} ({} bytes)", path.display(), built.bytes.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}
