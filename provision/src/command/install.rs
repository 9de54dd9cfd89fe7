//! Files that a package installs beside the program: `postwire completions` and `postwire man`. Both are generated
//! from the definition of the command line, so they are never out of date.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde::Serialize;

use crate::cli::Cli;
use crate::exit;
use crate::report::{Done, Failed};

/// A completion script, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Script {
    shell: String,
    script: String,
}

/// Man pages, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Pages {
    folder: String,
    pages: Vec<String>,
}

/// Generates the completion script of a shell.
pub(super) fn completions(shell: Shell) -> Result<Done<Script>, Failed> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "postwire", &mut script);
    let script = String::from_utf8_lossy(&script).trim_end().to_owned();
    let text = script.clone();
    Ok(Done { code: exit::DONE, text, result: Script { shell: shell.to_string(), script } })
}

/// Writes one page for the program and one for each command into `folder`.
pub(super) fn man(folder: &Path) -> Result<Done<Pages>, Failed> {
    let failed = |error: std::io::Error| {
        Failed::usage(format!("cannot write man pages to {}: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    let mut pages: Vec<String> = std::fs::read_dir(folder)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("postwire") && name.ends_with(".1"))
        .collect();
    pages.sort();
    let folder = folder.display().to_string();
    let text = format!("wrote {} man pages to {folder}", pages.len());
    Ok(Done { code: exit::DONE, text, result: Pages { folder, pages } })
}
