//! Installs the Debian packages that a chore needs.
//!
//! As root on Debian, missing packages are installed and reported. Otherwise the error names the
//! packages and the command that installs them. docs/developing.md lists the packages for each
//! chore.

use anyhow::{Context, Result, bail, ensure};
use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Installs the missing ones of `packages`, and reports them.
pub fn ensure_packages(packages: &[&str]) -> Result<()> {
    // Whether the lists are up to date; once is enough for a chore. The lock also allows only one
    // apt at a time, because apt does not wait for itself.
    static UPDATED: Mutex<bool> = Mutex::new(false);
    let mut updated = UPDATED.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<&str> = packages.iter().copied().filter(|p| !installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    ensure!(
        rustix::process::geteuid().is_root(),
        "missing packages: {names}. Install them as root (apt-get install {names}) and try again"
    );
    ensure!(
        has_apt(),
        "missing packages: {names}, and this machine has no apt-get to install them with. \
         Install what provides them by hand"
    );
    eprintln!("lab: installing {names}");
    if !*updated {
        run(Command::new("apt-get").args(["-qq", "update"]))?;
        *updated = true;
    }
    run(Command::new("apt-get")
        .args(["-qq", "install", "-y", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(())
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package])
        .output()
        .is_ok_and(|out| out.status.success() && out.stdout == b"installed")
}

/// Whether this machine has apt.
pub fn has_apt() -> bool {
    Command::new("apt-get").arg("--version").output().is_ok()
}

/// Runs a command to its end. Returns its standard output, or an error with all its output.
pub fn run(command: &mut Command) -> Result<String> {
    let out = command
        .output()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    if !out.status.success() {
        bail!(
            "{} failed ({}):\n{}{}",
            command.get_program().display(),
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
