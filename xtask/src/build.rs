//! Builds the static agent
//!
//! One static file for each architecture, linked against musl by the linker that comes with Rust.
//! What is missing is installed by name: the Rust target with rustup, and for s390x, which is no
//! router but the lab's big-endian machine and has no musl in rustup, Debian's cross compiler.

use crate::{apt, lab::Arch};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Build the static agent `postwired`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For which architecture
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

impl Args {
    pub(crate) fn run(self) -> Result<std::process::ExitCode> {
        let path = agent(self.arch)?;
        println!("{} ({} bytes)", path.display(), fs::metadata(&path)?.len());
        Ok(std::process::ExitCode::SUCCESS)
    }
}

/// The top of the repository.
pub(crate) fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A cargo command in the repository, free of what the cargo that runs us has set.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command, and shows what it said only when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {shown}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{shown} failed ({})\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}

/// Held while rustup installs something: it does not wait for itself.
pub(crate) fn rustup_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sure that Rust can build for `triple`.
pub(crate) fn ensure_target(triple: &str) -> Result<()> {
    let _turn = rustup_turn();
    let installed = quietly(Command::new("rustup").args(["target", "list", "--installed"]))
        .context("rustup is needed to install the Rust targets: install it (Debian: rustup)")?;
    if !installed.lines().any(|line| line == triple) {
        println!("installing the Rust target {triple}");
        quietly(Command::new("rustup").args(["target", "add", triple]))?;
    }
    Ok(())
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    workspace().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Builds the agent and returns where it is.
pub(crate) fn agent(arch: Arch) -> Result<PathBuf> {
    let built = agent_with(arch, "agent")?;
    // Where everybody looks for what is released, whatever its profile is called.
    let path = target_folder().join(triple(arch)).join("release").join("postwired");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::copy(&built, &path).with_context(|| format!("copying {}", built.display()))?;
    Ok(path)
}

/// Builds the agent with its symbols, for looking into it.
pub(crate) fn agent_with_symbols(arch: Arch) -> Result<PathBuf> {
    agent_with(arch, "symbols")
}

fn agent_with(arch: Arch, profile: &str) -> Result<PathBuf> {
    let triple = triple(arch);
    println!("building postwired for {triple}");
    let mut command = cargo();
    command.args(["build", "--package", "postwired", "--profile", profile, "--target", triple]);
    ensure_target(triple)?;
    if arch == Arch::S390x {
        apt::ensure_packages(&["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"])?;
    }
    command.arg("--config").arg(short_paths(triple)?);
    quietly(&mut command)?;
    Ok(target_folder().join(triple).join(profile).join("postwired"))
}

/// A setting of cargo's that takes the folders of this machine out of the places that panics name: the file
/// is the same on every machine, and smaller.
fn short_paths(triple: &str) -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let sources = home.context("no home folder")?.join("registry").join("src");
    let sysroot = quietly(Command::new("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    // Each registry has a folder of its own in there.
    let mut folders = vec![library];
    for entry in fs::read_dir(&sources).into_iter().flatten() {
        folders.push(entry?.path());
    }
    let flags: Vec<String> = folders
        .iter()
        .map(|folder| format!("\"--remap-path-prefix={}/=\"", folder.display()))
        .collect();
    Ok(format!("target.{triple}.rustflags=[{}]", flags.join(",")))
}

/// The Rust target of an architecture of the lab.
pub(crate) const fn triple(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-unknown-linux-musl",
        Arch::Aarch64 => "aarch64-unknown-linux-musl",
        Arch::S390x => "s390x-unknown-linux-gnu",
    }
}

/// Builds the host tool and returns where it is.
pub(crate) fn postwire() -> Result<PathBuf> {
    postwire_with(&["build", "--package", "postwire"])
}

/// All crates of the bench: what cargo is told to build them, or one of them, with the same features.
pub(crate) const BENCH: [&str; 3] = ["--workspace", "--exclude", "postwired"];

/// The same with the features of the crates' tests, which come next: half of what it is made of would be
/// built twice otherwise.
pub(crate) fn postwire_of_tests() -> Result<PathBuf> {
    postwire_with(&[&["test"], &BENCH[..], &["--test", "golden", "--no-run"]].concat())
}

/// Once only: whoever asks again does not wait for the folder that cargo keeps locked while it builds other
/// things there.
fn postwire_with(words: &[&str]) -> Result<PathBuf> {
    static BUILT: Mutex<bool> = Mutex::new(false);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !*built {
        println!("building postwire");
        quietly(cargo().args(words))?;
        *built = true;
    }
    Ok(target_folder().join("debug").join("postwire"))
}
