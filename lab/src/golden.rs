//! Golden vectors: the messages between Debian's `wg` and a real kernel, byte for byte.
//!
//! To refresh them, on both byte orders:
//!
//! ```text
//! cargo xtask golden && cargo xtask golden --arch s390x
//! ```
//!
//! Each `proto-core/tests/golden/cases/NAME.sh` is run in a virtual machine with every `wg` under
//! strace; the traffic of its generic netlink socket becomes `le/NAME.hex` or `be/NAME.hex`, and
//! `proto-core/tests/golden.rs` compares our encoder and decoder with it. To add a case, write its
//! script, run the two commands, and describe it in `proto-core/tests/golden/wanted.rs`.
//!
//! Keys and configurations are fixed, and values that differ in every run are replaced
//! ([`normal`]), so a second run gives the same files as long as Debian's packages are the same.

mod normal;
mod strace;

use crate::{Arch, Lab, Vm};
use anyhow::{Context, Result, bail, ensure};
use normal::{Normal, Order};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use xtask::build;

const PRELUDE: &str = include_str!("golden/prelude.sh");
/// The longest case takes a few seconds; the rest is for a busy bench.
const CASE_LIMIT: Duration = Duration::from_secs(180);
/// Number of bytes in a line of a file.
const LINE: usize = 48;

/// Capture the messages between Debian's wg and the kernel
#[derive(clap::Args)]
pub struct Args {
    /// The kind of machine: x86_64 and aarch64 are little-endian, s390x is big-endian
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Only these cases, by the names of their scripts
    cases: Vec<String>,
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let folder = build::workspace().join("proto-core").join("tests").join("golden");
        let (order, name) = match self.arch {
            Arch::X86_64 | Arch::Aarch64 | Arch::Armv7 | Arch::Mipsel => (Order::Little, "le"),
            Arch::S390x => (Order::Big, "be"),
        };
        let scripts = scripts(&folder.join("cases"), &self.cases)?;
        let lab = Lab::prepare(self.arch)?;
        let vm = lab.machine("golden").with_wireguard_tools().with_strace().boot()?;
        vm.put("/golden/prelude.sh", 0o644, PRELUDE.as_bytes())?;
        let machine = vm
            .sh("echo \"$(wg --version | cut -d ' ' -f 1,2), Linux $(uname -r) $(uname -m)\"")?
            .ok()?
            .text();

        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let mut total = 0;
        for script in &scripts {
            let case = script.file_stem().unwrap_or_default().display().to_string();
            let text = capture(&vm, script, &case, order, &machine)
                .with_context(|| format!("the case {case}"))?;
            total += text.len();
            fs::write(folder.join(format!("{case}.hex")), text)?;
        }
        if self.cases.is_empty() {
            remove_others(&folder, &scripts)?;
        }
        println!("{}: {} cases, {} KB ({machine})", folder.display(), scripts.len(), total / 1000);
        Ok(ExitCode::SUCCESS)
    }
}

/// The scripts with these names, or all of them.
fn scripts(folder: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    let mut scripts: Vec<_> = names.iter().map(|name| folder.join(format!("{name}.sh"))).collect();
    if let Some(script) = scripts.iter().find(|script| !script.exists()) {
        bail!("there is no case {}", script.display());
    }
    if !scripts.is_empty() {
        return Ok(scripts);
    }
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        scripts.push(entry?.path());
    }
    scripts.sort();
    Ok(scripts)
}

/// Removes the files of cases that are gone.
fn remove_others(folder: &Path, scripts: &[PathBuf]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !scripts.iter().any(|script| script.file_stem() == path.file_stem()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Runs a case, and returns the text of its file.
fn capture(vm: &Vm, script: &Path, case: &str, order: Order, machine: &str) -> Result<String> {
    let script = fs::read(script).with_context(|| script.display().to_string())?;
    vm.put("/golden/case.sh", 0o644, &script)?;
    // In a namespace of its own the first device has the same index in every case.
    let run = "cd /golden && cat prelude.sh case.sh >all.sh && unshare -n sh ./all.sh";
    let output = vm.sh_with(run, b"", CASE_LIMIT)?.ok()?;
    let output = String::from_utf8(output.stdout)?;

    let mut text = format!(
        "# {machine}\n# cargo xtask golden: cases/{case}.sh, which says what this is.\n\
         # $ a command, > what it sent, < what it received, | what it printed, = its status\n"
    );
    let mut trace = Vec::new();
    let mut printed = String::new();
    for line in output.lines() {
        match line.split_at_checked(1) {
            Some(("$", _)) => write!(text, "\n{line}\n")?,
            Some(("!", line)) => trace.push(line),
            Some(("|", line)) => writeln!(printed, "|{}", normal::printed(line))?,
            Some(("=", _)) => {
                put_datagrams(&mut text, &trace, order)?;
                write!(text, "\n{printed}{line}\n")?;
                trace.clear();
                printed.clear();
            }
            _ => bail!("the script printed {line:?}"),
        }
    }
    ensure!(text.contains("\n$ wg"), "no `wg` was run");
    Ok(text)
}

/// Writes each datagram as a paragraph.
fn put_datagrams(text: &mut String, trace: &[&str], order: Order) -> Result<()> {
    let mut normal = Normal::new(order);
    for mut datagram in strace::datagrams(trace)? {
        normal.datagram(&mut datagram.bytes)?;
        text.push('\n');
        for line in datagram.bytes.chunks(LINE) {
            text.push(if datagram.sent { '>' } else { '<' });
            for (at, byte) in line.iter().enumerate() {
                let gap = if at % 4 == 0 { " " } else { "" };
                write!(text, "{gap}{byte:02x}")?;
            }
            text.push('\n');
        }
    }
    Ok(())
}
