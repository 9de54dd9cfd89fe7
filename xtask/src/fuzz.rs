//! `cargo xtask fuzz`: fuzzes `proto-core` and the agent with libFuzzer, on stable Rust and without cargo-fuzz.
//!
//! The targets are in `proto-core/fuzz` and `agent/fuzz`, laid out as cargo-fuzz expects. Coverage
//! is counted by the same LLVM pass that cargo-fuzz enables; the address sanitizer, which needs
//! nightly, is omitted: the fuzzed code contains no `unsafe`. Debug assertions and overflow checks
//! are on.
//!
//! Inputs that reach new code are kept in `target/fuzz/corpus`; the committed inputs in `corpus`
//! beside the targets are only read, except by `--seed-corpus`. The tests fuzz with a fixed seed, and from the committed
//! inputs alone: a run that fails, fails again.

use crate::build::{cargo, quietly, workspace};
use crate::packages::ensure_packages;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// Fuzz the byte formats and the whole agent: all targets for some seconds each, or one target
#[derive(clap::Args)]
pub struct Args {
    /// The target; all targets if none is named
    target: Option<String>,
    /// Duration of each target in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Seed of the random inputs, for the same run again from the committed inputs [default: another seed each time]
    #[arg(long)]
    seed: Option<u32>,
    /// Write the committed inputs again, from real encoders, and fuzz nothing
    #[arg(long, conflicts_with = "target")]
    seed_corpus: bool,
    /// Run one input instead, such as one that crashed
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

/// The result of one target.
pub struct Outcome {
    /// The name of the target.
    pub target: String,
    /// Number of inputs.
    pub runs: u64,
    /// Number of inputs that reached new code.
    pub new_units: u64,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, runs, new_units } = self;
        write!(f, "{target:18} {runs:>9} runs, {new_units:>5} new units")
    }
}

/// The flags of cargo-fuzz, without a sanitizer.
const RUSTFLAGS: &str = "--cfg fuzzing -Clink-dead-code -Ccodegen-units=1 \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Settings for a few seconds of each target: a build for speed, with line numbers, would take longer than it saves.
const QUICKLY: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_DEBUG", "0")];

/// With an explicit target the flags apply to it alone: build scripts and macros are built without
/// them.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Seconds after which an input counts as an endless loop.
const TIMEOUT: u32 = 20;

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        let fuzz = Fuzz::new()?;
        if self.seed_corpus {
            fuzz.seed_corpus()?;
            return Ok(ExitCode::SUCCESS);
        }
        fuzz.build(&[])?;
        match (&self.target, &self.input) {
            (Some(target), Some(input)) => fuzz.input(fuzz.named(target)?, input)?,
            (Some(target), None) => {
                println!("{}", fuzz.run(fuzz.named(target)?, self.seconds, self.seed)?);
            }
            (None, _) => {
                fuzz.all(self.seconds, self.seed)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Fuzzes all targets for `seconds` each with this seed, with a line per target on standard output. An error names
/// the input that broke a promise.
pub fn run_all(seconds: u32, seed: u32) -> Result<Vec<Outcome>> {
    let fuzz = Fuzz::new()?;
    fuzz.build(&QUICKLY)?;
    fuzz.all(seconds, Some(seed))
}

/// The folders with targets.
const CRATES: [&str; 2] = ["proto-core/fuzz", "agent/fuzz"];

/// A fuzz target.
struct Target {
    name: String,
    /// The folder of its crate.
    dir: PathBuf,
}

struct Fuzz {
    /// The folders with targets.
    dirs: Vec<PathBuf>,
    /// The folder for all output.
    out: PathBuf,
    targets: Vec<Target>,
}

impl Fuzz {
    fn new() -> Result<Self> {
        let root = workspace();
        let dirs: Vec<_> = CRATES.iter().map(|dir| root.join(dir)).collect();
        let mut targets = Vec::new();
        for dir in &dirs {
            for entry in fs::read_dir(dir.join("fuzz_targets"))? {
                let path = entry?.path();
                if let (Some(name), Some("rs")) =
                    (path.file_stem(), path.extension().and_then(|e| e.to_str()))
                {
                    let name = name.to_string_lossy().into_owned();
                    targets.push(Target { name, dir: dir.clone() });
                }
            }
        }
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { dirs, out: root.join("target/fuzz"), targets })
    }

    fn named(&self, name: &str) -> Result<&Target> {
        self.targets.iter().find(|target| target.name == name).with_context(|| {
            let names: Vec<_> = self.targets.iter().map(|target| &*target.name).collect();
            format!("unknown target {name}; the targets are: {}", names.join(", "))
        })
    }

    fn cargo(&self, dir: &Path) -> Command {
        let mut cargo = cargo();
        cargo.current_dir(dir).arg("--quiet");
        // The caller's flags are for another build.
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
        cargo.env("CARGO_TARGET_DIR", &self.out);
        cargo
    }

    /// Builds all targets, with these settings in the environment.
    fn build(&self, settings: &[(&str, &str)]) -> Result<()> {
        // libFuzzer is C++ and comes as source with libfuzzer-sys.
        ensure_packages(&["g++"])?;
        for dir in &self.dirs {
            let status = self
                .cargo(dir)
                .args(["build", "--release", "--bins", "--target", TRIPLE])
                .env("RUSTFLAGS", RUSTFLAGS)
                .envs(settings.iter().copied())
                .status()?;
            ensure!(status.success(), "the fuzz targets do not build");
        }
        Ok(())
    }

    fn program(&self, target: &Target) -> Command {
        Command::new(self.out.join(TRIPLE).join("release").join(&target.name))
    }

    fn all(&self, seconds: u32, seed: Option<u32>) -> Result<Vec<Outcome>> {
        self.targets
            .iter()
            .map(|target| {
                let outcome = self.run(target, seconds, seed)?;
                println!("{outcome}");
                Ok(outcome)
            })
            .collect()
    }

    fn run(&self, target: &Target, seconds: u32, seed: Option<u32>) -> Result<Outcome> {
        let name = &target.name;
        // What other runs found would make another run of the same seed.
        let found = self.out.join(if seed.is_some() { "seeded" } else { "corpus" }).join(name);
        if seed.is_some() && found.exists() {
            fs::remove_dir_all(&found)?;
        }
        let artifacts = self.out.join("artifacts").join(name);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&artifacts)?;
        let output = self
            .program(target)
            .arg(format!("-max_total_time={seconds}"))
            .args(seed.map(|seed| format!("-seed={seed}")))
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-rss_limit_mb=1024", "-max_len=4096"])
            .arg(&found)
            .arg(target.dir.join("corpus").join(name))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{name} does not start"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let crash = said.lines().find_map(|line| line.split_once("Test unit written to "));
            // The panic message and the end of libFuzzer's output, without its counters and its
            // stack.
            let told = |line: &&str| !line.starts_with("stat::") && !line.starts_with("    #");
            let told: Vec<&str> = said.lines().filter(told).collect();
            let tail = &told[told.len().saturating_sub(30)..];
            match crash {
                Some((_, input)) => bail!(
                    "{}\n{name} broke a promise on {input}\n\
                     once more: cargo xtask fuzz {name} --input {input}",
                    tail.join("\n")
                ),
                None => bail!("{}\n{name} ended: {}", tail.join("\n"), output.status),
            }
        }
        let stat = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        Ok(Outcome {
            target: name.clone(),
            runs: stat("stat::number_of_executed_units:"),
            new_units: stat("stat::new_units_added:"),
        })
    }

    fn input(&self, target: &Target, input: &Path) -> Result<()> {
        let status = self.program(target).arg(format!("-timeout={TIMEOUT}")).arg(input).status()?;
        ensure!(status.success(), "{} breaks a promise on {}", target.name, input.display());
        Ok(())
    }

    /// Writes the inputs of all targets, and keeps those that reach code of their own.
    fn seed_corpus(&self) -> Result<()> {
        let seeds = self.out.join("seeds");
        let _ = fs::remove_dir_all(&seeds);
        // Without the flags: an example has no libFuzzer to report to.
        for dir in &self.dirs {
            let example = ["run", "--release", "--example", "seed-corpus", "--"];
            quietly(self.cargo(dir).args(example).arg(&seeds))?;
        }
        self.build(&[])?;
        for target in &self.targets {
            let name = &target.name;
            let corpus = target.dir.join("corpus").join(name);
            let before = fs::read_dir(seeds.join(name))?.count();
            let kept = self.out.join("minimal").join(name);
            let _ = fs::remove_dir_all(&kept);
            fs::create_dir_all(&kept)?;
            quietly(self.program(target).arg("-merge=1").arg(&kept).arg(seeds.join(name)))?;
            // libFuzzer names the inputs that it keeps by SHA-1; the seed with the same bytes has a
            // readable name.
            let _ = fs::remove_dir_all(&corpus);
            fs::create_dir_all(&corpus)?;
            let mut kept: Vec<Vec<u8>> = fs::read_dir(&kept)?
                .map(|entry| Ok(fs::read(entry?.path())?))
                .collect::<Result<_>>()?;
            println!("{name:18} {} of {before} seeds kept", kept.len());
            let mut names: Vec<_> =
                fs::read_dir(seeds.join(name))?.collect::<std::io::Result<_>>()?;
            names.sort_by_key(fs::DirEntry::file_name);
            for seed in names {
                let bytes = fs::read(seed.path())?;
                if let Some(place) = kept.iter().position(|kept| *kept == bytes) {
                    kept.swap_remove(place);
                    fs::write(corpus.join(seed.file_name()), &bytes)?;
                }
            }
        }
        Ok(())
    }
}
