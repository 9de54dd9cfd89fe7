//! Builds the static agent
//!
//! The result is one static file for each target of `board` and each variant. Missing tools are
//! installed: the source of `core`, which is built for size, and the Rust target with rustup; for targets
//! without libraries from rustup, the linker and musl of `ziglang` (PyPI, in a virtual environment in
//! `target/`); and for s390x, which is not a router but the lab's big-endian machine, Debian's
//! cross compiler.

mod smoke;
mod zig;

pub use smoke::smoke;

use crate::{Arch, packages};
use anyhow::{Context, Result, ensure};
use board::{Linker, OTHER_SETS, TARGETS, Target, VARIANTS, Variant};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Build the static agent `postwired`
#[derive(clap::Args)]
pub struct Args {
    /// The target: a name in `board`, or `all`
    #[arg(long, default_value = "x86_64")]
    arch: String,
    /// The features: a variant or another set of `board`, or `all` for each variant
    #[arg(long, default_value = "full")]
    variant: String,
}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<std::process::ExitCode> {
        let other = OTHER_SETS.iter().map(|(set, _)| set).find(|set| set.name == self.variant);
        let sets = other.map_or_else(|| variants(&self.variant), |set| Ok(vec![set]))?;
        for target in targets(&self.arch)? {
            for variant in &sets {
                let path = built(target, variant)?;
                println!("{} ({} bytes)", path.display(), fs::metadata(&path)?.len());
            }
        }
        Ok(std::process::ExitCode::SUCCESS)
    }
}

/// The target with this name, or for `all` every target for routers.
pub fn targets(name: &str) -> Result<Vec<&'static Target>> {
    if name == "all" {
        return Ok(routers().collect());
    }
    let target = board::target_by_name(name).with_context(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        format!("unknown target `{name}`: the targets are {} and all", names.join(", "))
    })?;
    Ok(vec![target])
}

/// The variant with this name, or every variant for `all`.
pub fn variants(name: &str) -> Result<Vec<&'static Variant>> {
    if name == "all" {
        return Ok(VARIANTS.iter().collect());
    }
    let variant = board::variant(name).with_context(|| {
        let names: Vec<&str> = VARIANTS.iter().map(|variant| variant.name).collect();
        format!("unknown variant `{name}`: the variants are {} and all", names.join(", "))
    })?;
    Ok(vec![variant])
}

/// The targets for routers.
pub fn routers() -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().filter(|target| !target.packages.is_empty())
}

/// The root folder of the repository.
pub fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A cargo command in the repository, without the environment of the cargo that runs this chore.
pub fn cargo() -> Command {
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

/// Runs a command, and shows its output only if it fails.
pub fn quietly(command: &mut Command) -> Result<String> {
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

/// Held while rustup installs something, because rustup does not lock itself.
pub fn rustup_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs the Rust target `triple` if it is missing.
pub fn ensure_target(triple: &str) -> Result<()> {
    let _turn = rustup_turn();
    let installed = quietly(Command::new("rustup").args(["target", "list", "--installed"]))
        .context("rustup is needed to install the Rust targets: install it (Debian: rustup)")?;
    if !installed.lines().any(|line| line == triple) {
        println!("installing the Rust target {triple}");
        quietly(Command::new("rustup").args(["target", "add", triple]))?;
    }
    Ok(())
}

/// Installs a toolchain with rustup if it is missing, by its full version.
pub fn ensure_toolchain(version: &str) -> Result<()> {
    let _turn = rustup_turn();
    let installed = quietly(Command::new("rustup").args(["toolchain", "list", "--quiet"]))
        .context("rustup is needed to install Rust toolchains: install it (Debian: rustup)")?;
    if !installed
        .lines()
        .any(|line| line.strip_prefix(version).is_some_and(|it| it.starts_with('-')))
    {
        println!("installing Rust {version}");
        let install = ["toolchain", "install", version, "--profile", "minimal", "--no-self-update"];
        quietly(Command::new("rustup").args(install))?;
    }
    Ok(())
}

/// Cargo's target folder.
pub fn target_folder() -> PathBuf {
    workspace().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Builds the agent and returns the path of the file.
pub fn agent(arch: Arch) -> Result<PathBuf> {
    built(target_of(arch)?, full())
}

/// The variant with all features.
pub fn full() -> &'static Variant {
    &VARIANTS[0]
}

/// The target in `board` of an architecture of the lab.
pub fn target_of(arch: Arch) -> Result<&'static Target> {
    board::target_by_name(arch.name()).with_context(|| format!("{} is not in board", arch.name()))
}

/// Builds a variant of the agent as it is released: `target/agents/TARGET/VARIANT/postwired`.
pub fn built(target: &Target, variant: &Variant) -> Result<PathBuf> {
    let path = target_folder().join("agents").join(target.name).join(variant.name);
    let path = path.join("postwired");
    build(target, variant, Symbols::Stripped, &path)?;
    Ok(path)
}

/// Builds the agent with its symbols, for analysis.
pub fn agent_with_symbols(arch: Arch) -> Result<PathBuf> {
    with_symbols(target_of(arch)?, full())
}

/// Builds a variant of the agent with its symbols.
pub fn with_symbols(target: &Target, variant: &Variant) -> Result<PathBuf> {
    let path = target_folder().join("agents").join(target.name).join(variant.name);
    let path = path.join("postwired.symbols");
    build(target, variant, Symbols::Kept, &path)?;
    Ok(path)
}

/// Flags of rustc for the size of the agent, for targets without an entry in `.cargo/config.toml`.
/// The reasons are there.
const FLAGS: &[&str] = &[
    "-Cllvm-args=-min-jump-table-entries=8",
    "-Cllvm-args=-enable-shrink-wrap=false -disable-machine-licm -max-store-memcpy=2 -max-store-memset=2",
    "--cfg=chacha20_backend=\"soft\"",
    "--cfg=poly1305_backend=\"soft\"",
    "--cfg=curve25519_dalek_backend=\"serial\"",
    "-Clink-self-contained=no",
    "-Ctarget-feature=+crt-static",
    "-Crelocation-model=static",
    "-Cforce-unwind-tables=no",
    "-Clink-arg=-Wl,--no-eh-frame-hdr",
    "-Clink-arg=-Wl,-T,agent/link.ld",
];

/// The flags that change code generation and not linking. A program with these can unwind, so tests
/// can be built with them.
pub fn code_flags() -> impl Iterator<Item = &'static str> {
    let linking = |flag: &str| flag.contains("link") || flag.contains("unwind");
    FLAGS.iter().copied().filter(move |flag| !linking(flag))
}

/// The profile of the agent.
const PROFILE: &str = "agent";

/// Whether a file keeps the names of its functions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbols {
    Stripped,
    Kept,
}

/// Builds a variant of the agent and copies the file to `path`. Builds it once, so that all files that one command makes
/// have the same agent.
fn build(target: &Target, variant: &Variant, symbols: Symbols, path: &Path) -> Result<()> {
    // Variants of one target overwrite each other's file, so only one runs from the build to the
    // copy.
    static BUILT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.contains(path) {
        return Ok(());
    }
    let triple = target.triple;
    let mut command = cargo();
    command.args(["rustc", "--package", "postwired", "--bin", "postwired"]);
    command.args(["--profile", PROFILE, "--target", triple]);
    command.args(["--no-default-features", "--features", &variant.features.join(",")]);
    let mut flags = remaps()?;
    if target.linker != Linker::Debian {
        ensure_component("rust-src")?;
        // With this variable, cargo of the stable channel accepts nightly's options to build `core` from source.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(["-Zbuild-std=core", "-Zbuild-std-features=optimize_for_size"]);
        // Without the messages of panics, which are 10 KB. The agent logs the address (`sys::report_bugs`).
        flags.extend(["-Zunstable-options", "-Cpanic=immediate-abort"].map(str::to_owned));
    }
    match target.linker {
        Linker::Rust => ensure_target(triple)?,
        Linker::Debian => {
            ensure_target(triple)?;
            packages::ensure_packages(&["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"])?;
        }
        Linker::Zig { target: zig_target, cpu } => {
            let linker = zig::linker(target.name, zig_target, cpu)?;
            command.env("ZIG_GLOBAL_CACHE_DIR", zig::cache());
            command
                .arg("--config")
                .arg(format!("target.{triple}.linker={:?}", linker.display().to_string()));
            flags.extend(FLAGS.iter().map(|flag| (*flag).to_owned()));
            flags.push(format!("-Clink-arg=-Wl,-z,max-page-size={}", target.page_size));
        }
    }
    flags.extend(target.flags.iter().map(|flag| (*flag).to_owned()));
    let flags: Vec<String> = flags.iter().map(|flag| format!("{flag:?}")).collect();
    command.arg("--config").arg(format!("target.{triple}.rustflags=[{}]", flags.join(",")));
    let with = match symbols {
        Symbols::Stripped => "",
        Symbols::Kept => {
            // For the last step alone: the libraries are those of the file without symbols.
            command.args(["--", "-Cstrip=none"]);
            ", with symbols"
        }
    };
    println!("building postwired for {}, variant {}{with}", target.name, variant.name);
    quietly(&mut command)?;
    let file = target_folder().join(triple).join(PROFILE).join("postwired");
    let mut places = vec![path.to_owned()];
    if symbols == Symbols::Stripped && variant == full() {
        // The standard place of cargo's release builds, whatever the name of the profile.
        places.push(target_folder().join(triple).join("release").join("postwired"));
    }
    for place in places {
        fs::create_dir_all(place.parent().unwrap_or(&place))?;
        // Renamed into place, so that a concurrent reader sees a whole file.
        let partial = place.with_extension("partial");
        fs::copy(&file, &partial).with_context(|| format!("copying {}", file.display()))?;
        fs::rename(&partial, &place)?;
    }
    built.insert(path.to_owned());
    Ok(())
}

/// Installs a component of the Rust toolchain if it is missing.
pub fn ensure_component(name: &str) -> Result<()> {
    let _turn = rustup_turn();
    let installed = quietly(Command::new("rustup").args(["component", "list", "--installed"]))
        .context("rustup is needed to install the Rust components: install it (Debian: rustup)")?;
    let is = |line: &str| {
        line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if !installed.lines().any(is) {
        println!("installing the Rust component {name}");
        quietly(Command::new("rustup").args(["component", "add", name]))?;
    }
    Ok(())
}

/// Flags that take the folders of this machine out of the places that panics name: the file is the same on every
/// machine, and smaller.
pub(crate) fn remaps() -> Result<Vec<String>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let sources = home.context("no home folder")?.join("registry").join("src");
    let sysroot = quietly(Command::new("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    // Each registry has its own folder there.
    let mut folders = vec![library];
    for entry in fs::read_dir(&sources).into_iter().flatten() {
        folders.push(entry?.path());
    }
    Ok(folders.iter().map(|folder| format!("--remap-path-prefix={}/=", folder.display())).collect())
}

/// Systems that people have on the bench, which nothing here can run.
const ELSEWHERE: [&str; 2] = ["x86_64-apple-darwin", "x86_64-pc-windows-gnu"];

/// Checks that the host tool builds for the systems that nothing here can run. Returns their names.
pub fn elsewhere() -> Result<String> {
    let mut check = cargo();
    check.args(["check", "--quiet", "--package", "postwire"]);
    for triple in ELSEWHERE {
        ensure_target(triple)?;
        check.args(["--target", triple]);
    }
    quietly(&mut check)?;
    Ok(ELSEWHERE.join(", "))
}

/// Builds the host tool and returns where it is.
pub fn postwire() -> Result<PathBuf> {
    postwire_with(&["build", "--package", "postwire"])
}

/// Builds the host tool as people install it, and returns where it is.
pub fn postwire_released() -> Result<PathBuf> {
    println!("building postwire");
    quietly(cargo().args(["build", "--release", "--package", "postwire"]))?;
    Ok(target_folder().join("release").join("postwire"))
}

/// Builds an example of `proto-core` that needs no libraries where it runs, and returns where it is.
pub fn example(name: &str) -> Result<PathBuf> {
    let build = ["rustc", "--quiet", "--package", "proto-core", "--example", name];
    // Only for the linker, so that the dependencies are those of the tests.
    quietly(cargo().args(build).args(["--", "-Ctarget-feature=+crt-static"]))?;
    Ok(target_folder().join("debug").join("examples").join(name))
}

/// All crates of the bench: cargo's arguments that select their features, for building all of them
/// or one.
pub const BENCH: [&str; 3] = ["--workspace", "--exclude", "postwired"];

/// The same with the features of the crates' tests, which run next: otherwise half of the
/// dependencies would be built twice.
pub fn postwire_of_tests() -> Result<PathBuf> {
    postwire_with(&[&["test"], &BENCH[..], &["--test", "golden", "--no-run"]].concat())
}

/// Builds once: later calls do not wait for cargo's lock on the folder while it builds other things
/// there.
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
