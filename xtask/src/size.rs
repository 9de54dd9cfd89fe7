//! The size of the agent, in total and by crate, and its budgets.
//!
//! The budgets are data (`board::TARGETS`, `board::OTHER_SETS`). The bytes by crate are those of the functions and
//! constants with a name in a build with symbols; the budget is for the file without symbols.
//!
//! The size of sessions is counted by name too, so code that was inlined into a caller counts for
//! the caller.

use crate::{Arch, build, packages};
use anyhow::{Context, Result, ensure};
use board::{Budget, OTHER_SETS, OTHER_SETS_TARGET, Target, VARIANTS, Variant};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pty::OpenptFlags;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// Print the size of the static agent by crate, and fail over its budgets
#[derive(clap::Args)]
pub struct Args {
    /// The architecture
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Print only the size and the budget of each target and variant, and the budget of its memory
    #[arg(long)]
    budgets: bool,
    /// Number of functions to list
    #[arg(long, default_value_t = 15)]
    functions: usize,
    /// Print the space in a router's flash too, compared with Debian's wg and wg-quick (x86_64)
    #[arg(long)]
    flash: bool,
}

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        if self.budgets {
            for target in build::routers() {
                for variant in VARIANTS {
                    println!("{}", within(target, variant)?);
                }
                println!("{}", memory_budget(target));
            }
            for (target, set) in other_sets() {
                println!("{}", within(target, set)?);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let file = fs::read(build::agent_with_symbols(self.arch)?)?;
        let object = object::File::parse(&*file)?;
        println!("sections");
        for section in object.sections().filter(|section| section.address() > 0) {
            println!("{:>8}  {}", section.size(), section.name()?);
        }
        let mut symbols = symbols(&object)?;
        println!("code by crate");
        let code = symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Text);
        for (name, size) in sums(code.map(|symbol| (crate_of(&symbol.name), symbol.size))) {
            println!("{size:>8}  {name}");
        }
        println!("largest functions");
        symbols.sort_by_key(|symbol| Reverse(symbol.size));
        let functions = symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Text);
        for Symbol { size, name, .. } in functions.take(self.functions) {
            println!("{size:>8}  {name}");
        }
        println!("of sessions");
        for (name, size) in session_parts(&symbols) {
            println!("{size:>8}  {name}");
        }
        if self.flash {
            ensure!(self.arch == Arch::X86_64, "--flash is for x86_64");
            let agent = build::agent(self.arch)?;
            let words = ["run", "--quiet", "--package", "lab", "--", "flash"];
            let status = build::cargo().args(words).arg(agent).status()?;
            ensure!(status.success(), "the size in flash is unknown");
        }
        println!("{}", console(self.arch)?);
        println!("{}", session_within_budget(self.arch)?);
        println!("{}", within_budget(self.arch)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// A function or a constant of the agent.
struct Symbol {
    kind: SymbolKind,
    name: String,
    size: u64,
}

fn symbols(object: &object::File<'_>) -> Result<Vec<Symbol>> {
    let kept = object.symbols().filter(|s| matches!(s.kind(), SymbolKind::Text | SymbolKind::Data));
    kept.map(|symbol| {
        let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
        Ok(Symbol { kind: symbol.kind(), name, size: symbol.size() })
    })
    .collect()
}

/// The sum for each name, largest first.
fn sums<N: Ord>(sizes: impl Iterator<Item = (N, u64)>) -> Vec<(N, u64)> {
    let mut sums = BTreeMap::new();
    for (name, size) in sizes {
        *sums.entry(name).or_default() += size;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, size)| Reverse(*size));
    sums
}

/// Code that exists only for sessions: crates, and modules of our own.
const SESSION: &[&str] = &[
    "aead",
    "chacha20",
    "chacha20poly1305",
    "cipher",
    "cmov",
    "crypto_common",
    "ctutils",
    "curve25519_dalek",
    "inout",
    "poly1305",
    "subtle",
    "universal_hash",
    "x25519_dalek",
    "zeroize",
    "proto_core::protocol::session",
    "postwired::access::door",
    "postwired::access::filter",
    "postwired::access::identity",
    "postwired::store::keep",
    "postwired::access::limits",
    "postwired::serve::local",
    "postwired::access::owners",
    "postwired::access::pktinfo",
    "postwired::access::sieve",
];

/// The size of the parts of sessions, by the entries of [`SESSION`].
fn session_parts(symbols: &[Symbol]) -> Vec<(&'static str, u64)> {
    sums(symbols.iter().filter_map(|symbol| Some((session_part(&symbol.name)?, symbol.size))))
}

fn session_part(name: &str) -> Option<&'static str> {
    // The drop code of a value belongs to the value.
    let name = name.strip_prefix("core::ptr::drop_in_place").unwrap_or(name);
    let path = path_of(name);
    SESSION.iter().copied().find(|part| {
        path.strip_prefix(part).is_some_and(|rest| rest.starts_with("::") || rest.is_empty())
    })
}

/// A name without the signs before its first word.
fn path_of(name: &str) -> &str {
    let word = name.trim_start_matches(['<', '&', '*', '[', '(']);
    word.trim_start_matches("mut ").trim_start_matches("dyn ")
}

/// The crate of a function: that of the type of a method, or of the trait.
fn crate_of(name: &str) -> String {
    match path_of(name).split_once("::") {
        Some((first, _)) if first.chars().all(|c| c.is_alphanumeric() || c == '_') => first.into(),
        Some(_) => "core".into(),
        None => "main and the C library".into(),
    }
}

/// Fails if the agent's file is over its budget.
pub fn within_budget(arch: Arch) -> Result<String> {
    within(build::target_of(arch)?, build::full())
}

/// Fails if the file of a variant, or its compressed form, is over its budget.
pub fn within(target: &Target, variant: &Variant) -> Result<String> {
    packages::ensure_packages(&["xz-utils"])?;
    let path = build::built(target, variant)?;
    let packed = Command::new("xz").args(["--stdout", "--check=crc32"]).arg(&path).output()?;
    ensure!(packed.status.success(), "xz failed on {}", path.display());
    let what = format!("{} {}", target.name, variant.name);
    let (file, flash) = (fs::metadata(&path)?.len(), packed.stdout.len() as u64);
    let Some(budget) = budget(target, variant) else {
        return Ok(format!("{what}: {file} bytes, {flash} packed; no budget"));
    };
    for (kind, size, most) in [("", file, budget.file), (" packed by xz", flash, budget.flash)] {
        ensure!(size <= u64::from(most), "{what}: {size} bytes{kind}, over the budget of {most}");
    }
    Ok(format!("{what}: {file} bytes of {}, {flash} of {} packed", budget.file, budget.flash))
}

/// The budget of a set of features on a target; `None` if it has none.
fn budget(target: &Target, set: &Variant) -> Option<&'static Budget> {
    if let Some(nth) = VARIANTS.iter().position(|variant| variant == set) {
        return board::target_by_name(target.name)?.budgets.get(nth);
    }
    let (_, budget) = OTHER_SETS.iter().find(|(other, _)| other == set)?;
    (target.name == OTHER_SETS_TARGET).then_some(budget)
}

/// The sets of features that are no variant, and the target of their budgets.
pub fn other_sets() -> impl Iterator<Item = (&'static Target, &'static Variant)> {
    let target = board::target_by_name(OTHER_SETS_TARGET);
    target.into_iter().flat_map(|target| OTHER_SETS.iter().map(move |(set, _)| (target, set)))
}

/// A target's memory, measured on a machine of the lab, and its budget.
fn memory_budget(target: &Target) -> String {
    let Target { name, memory, measured, .. } = target;
    let variant = build::full().name;
    match measured {
        Some(measured) => format!(
            "{name} {variant}: {measured} KiB of {memory} resident after long pushes, on the lab's machine (`cargo xtask test --arch {name}` measures \
             it again)"
        ),
        None => format!(
            "{name} {variant}: at most {memory} KiB resident, not measured: the lab has no machine for this target"
        ),
    }
}

/// Prints what the console adds to the file, and to the memory of an agent that serves a serial port where a person
/// uses it.
fn console(arch: Arch) -> Result<String> {
    let target = build::target_of(arch)?;
    let is_without = |set: &&Variant| set.features == ["wg", "wg-quick"];
    let without = OTHER_SETS.iter().map(|(set, _)| set).find(is_without);
    let without = build::built(target, without.context("no set without the console")?)?;
    let full = build::built(target, build::full())?;
    let len = |path: &Path| -> Result<u64> { Ok(fs::metadata(path)?.len()) };
    let file = len(&full)?.saturating_sub(len(&without)?);
    if arch.name() != std::env::consts::ARCH {
        return Ok(format!("console: {file} bytes of the file"));
    }
    let (full, without) = (resident(&full)?, resident(&without)?);
    let more = |of: fn(&Resident) -> u64| of(&full).saturating_sub(of(&without));
    Ok(format!(
        "console: {file} bytes of the file; after `help` and `status` {} KiB of memory of its own, and {} KiB of the file's pages, which \
         the kernel maps in pieces of 64 KiB and can drop",
        more(|memory| memory.own),
        more(|memory| memory.file)
    ))
}

/// The resident memory of a process in KiB.
struct Resident {
    /// Pages that it has written.
    own: u64,
    /// Pages of its file.
    file: u64,
}

/// The time that a console has for its answers.
const ANSWERS: Duration = Duration::from_secs(3);
/// What a person types to an agent whose memory is measured, and what is printed after the output.
const TYPED: (&[u8], &str) = (b"\rhelp\rstatus\r", "line ");

/// The memory of an agent that serves a serial port, after a person has used its console if it has one.
fn resident(agent: &Path) -> Result<Resident> {
    let folder = build::target_folder().join("size");
    for name in ["keep", "state"] {
        let folder = folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    let port = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::pty::grantpt(&port)?;
    rustix::pty::unlockpt(&port)?;
    let name = rustix::pty::ptsname(&port, Vec::new())?.into_string()?;
    let mut agent = Command::new(agent);
    agent.args(["serve", "--serial", &name, "--keep"]).arg(folder.join("keep"));
    agent.arg("--state").arg(folder.join("state"));
    let mut agent = agent.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let log = BufReader::new(agent.stdout.take().context("no output")?);
    let ready = log.lines().map_while(Result::ok).any(|line| line.ends_with(": ready"));
    let mut port = fs::File::from(port);
    port.write_all(TYPED.0)?;
    let begun = Instant::now();
    let mut shown = Vec::new();
    // Without a console nothing comes.
    while !String::from_utf8_lossy(&shown).contains(TYPED.1) && begun.elapsed() < ANSWERS {
        let mut poll = [PollFd::new(&port, PollFlags::IN)];
        if rustix::event::poll(&mut poll, Some(&Timespec::try_from(ANSWERS / 10)?))? > 0 {
            let mut buf = [0; 4_096];
            let len = port.read(&mut buf)?;
            shown.extend_from_slice(buf.get(..len).unwrap_or_default());
        }
    }
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.id()));
    agent.kill()?;
    agent.wait()?;
    ensure!(ready, "the agent does not start on this machine");
    let rollup = rollup?;
    let number = |key: &str| -> Result<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.with_context(|| format!("no {key}"))?.parse()?)
    };
    let own = number("Anonymous:")?;
    Ok(Resident { own, file: number("Rss:")?.saturating_sub(own) })
}

/// Fails when what sessions cost is over its budget.
pub fn session_within_budget(arch: Arch) -> Result<String> {
    let file = fs::read(build::agent_with_symbols(arch)?)?;
    let parts = session_parts(&symbols(&object::File::parse(&*file)?)?);
    let size: u64 = parts.iter().map(|(_, size)| size).sum();
    let target = build::target_of(arch)?;
    let Some(budget) = target.session_budget else {
        return Ok(format!("session: {size} bytes, which have no budget for {}", target.name));
    };
    ensure!(size <= u64::from(budget), "session: {size} bytes, over the {budget} allowed");
    Ok(format!("session: {size} bytes of {budget} allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_of_the_eight_sets_of_features_has_a_budget() {
        let target = board::target_by_name(OTHER_SETS_TARGET).unwrap();
        let full = budget(target, build::full()).unwrap();
        let mut sets = BTreeSet::new();
        for set in VARIANTS.iter().chain(other_sets().map(|(_, set)| set)) {
            let budget = budget(target, set).unwrap();
            assert!((1..=full.file).contains(&budget.file), "{}", set.name);
            assert!((1..=full.flash).contains(&budget.flash), "{}", set.name);
            sets.insert(set.features);
        }
        assert_eq!(sets.len(), 8);
    }

    #[test]
    fn a_name_tells_its_crate_and_whether_it_is_for_sessions() {
        for (name, of, part) in [
            ("chacha20::variants::f", "chacha20", Some("chacha20")),
            (
                "<chacha20poly1305::ChaChaPoly<C,N> as aead::AeadInOut>::decrypt",
                "chacha20poly1305",
                Some("chacha20poly1305"),
            ),
            (
                "<&mut x25519_dalek::X<D> as core::fmt::Debug>::fmt",
                "x25519_dalek",
                Some("x25519_dalek"),
            ),
            ("proto_core::protocol::session_of::f", "proto_core", None),
            (
                "core::ptr::drop_in_place<proto_core::protocol::session::Channel>",
                "core",
                Some("proto_core::protocol::session"),
            ),
            (
                "postwired::requests::service::Service<postwired::session::S>::packet",
                "postwired",
                None,
            ),
            ("memcpy", "main and the C library", None),
        ] {
            assert_eq!(crate_of(name), of, "{name}");
            assert_eq!(session_part(name), part, "{name}");
        }
    }
}
