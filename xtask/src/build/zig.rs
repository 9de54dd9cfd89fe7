//! `zig cc` as a linker, with its own musl: the Python package `ziglang`, in a virtual environment
//! in `target/`. The first link for a target builds musl, which takes a minute and is cached in
//! `target/zig-cache`.

use super::target_folder;
use crate::python;
use anyhow::Result;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

/// The version that the recipe was tested with.
const VERSION: &str = "0.17.1";

/// The folder in which Zig caches built libraries.
pub(super) fn cache() -> PathBuf {
    super::workspace().join(target_folder()).join("zig-cache")
}

/// Installs Zig if it is missing, and writes the script that cargo calls as the linker of a target.
pub(super) fn linker(name: &str, target: &str, cpu: &str) -> Result<PathBuf> {
    let folder = python::environment("zig", "ziglang", VERSION)?;
    let python = folder.join("bin/python");
    let script = folder.join(format!("cc-{name}"));
    let python = python.display();
    // Without an -O, Zig builds its checks for undefined behaviour of C too, which the agent has no use for.
    let text = format!(
        "#!/bin/sh\nexec '{python}' -m ziglang cc -target {target} -mcpu={cpu} -Os \"$@\"\n"
    );
    if fs::read_to_string(&script).is_ok_and(|found| found == text) {
        return Ok(script);
    }
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
