//! The lab: virtual machines with a real WireGuard kernel, real serial ports and real UDP.
//!
//! [`Lab::prepare`] provides what the machines of one architecture need (installs QEMU, and unpacks
//! kernel and programs from packages under `target/lab/cache`), [`Lab::machine`] describes a
//! machine, [`Machine::boot`] starts it, and [`Vm`] is a running machine. Dropping a [`Vm`] cuts
//! its power. The files of a run (console, QEMU's output, the command line) stay under
//! `target/lab/run` until the next run.

#![allow(missing_docs, reason = "an internal crate: names of plain fields say what they are")]

pub mod apt;
mod arch;
mod archive;
pub mod bench;
pub mod check;
mod control;
pub mod demo;
mod disk;
mod evidence;
mod faults;
pub mod flash;
pub mod flood;
mod frames;
pub mod golden;
mod initramfs;
mod machine;
mod modules;
pub mod powercut;
mod process;
pub mod programs;
mod pump;
pub mod record;
pub mod reference;
pub mod routers;
mod serial;
pub mod told;
mod udp;
mod vm;
pub mod wg_diff;
mod wire;

pub use arch::{Profile, profile};
pub use control::Output;
pub use disk::Disk;
pub use faults::{Direction, FaultCounts, Faults, Noise};
pub use frames::{Datagram, Frames};
pub use machine::{AGENT_PORT, Machine, NANOSECONDS_PER_INSTRUCTION};
pub use serial::SerialLine;
pub use udp::{Loss, LossyUdp};
pub use vm::Vm;
pub use wire::{Wire, WireEnd};
pub use xtask::Arch;

use anyhow::{Context, Result};
use apt::Unpacked;
use modules::Modules;
use programs::Program;
use std::{
    fs,
    path::{Path, PathBuf},
};
use xtask::build;

/// The files that the machines of one architecture are made from.
pub struct Lab {
    arch: Arch,
    packages: Unpacked,
    kernel: PathBuf,
    modules: Modules,
    run: PathBuf,
}

impl Lab {
    /// Installs, downloads and unpacks whatever is missing, and reports it.
    pub fn prepare(arch: Arch) -> Result<Self> {
        let profile = profile(arch);
        apt::ensure_packages(&[profile.qemu_package])?;
        let folder = build::target_folder().join("lab");
        let mut wanted = vec!["busybox-static"];
        wanted.extend(programs::ALL.map(|program| program.package));
        let cache = folder.join("cache").join(profile.name);
        let packages = Unpacked::get(&cache, profile.debian, Some(&profile.kernel), &wanted)
            .with_context(|| format!("the lab's packages for {}", profile.name))?;

        let versions =
            packages.file("/lib/modules").or_else(|_| packages.file("/usr/lib/modules"))?;
        let modules = fs::read_dir(&versions)?.next().context("a kernel without modules")??;
        let version = modules.file_name();
        // MIPS boots the ELF file itself.
        let kernel = |name| packages.file(&format!("/boot/{name}-{}", version.display()));
        let kernel = kernel("vmlinuz").or_else(|_| kernel("vmlinux"))?;
        let modules = Modules::scan(&modules.path())?;
        let run = machine::run_folder(&folder);
        remove_old_runs(&folder.join("run"))?;
        Ok(Self { arch, packages, kernel, modules, run })
    }

    /// Downloads and unpacks programs that only some machines have.
    pub fn and_programs(mut self, programs: &[Program]) -> Result<Self> {
        if programs.is_empty() {
            return Ok(self);
        }
        let profile = profile(self.arch);
        let mut wanted: Vec<&str> = programs.iter().map(|program| program.package).collect();
        wanted.dedup();
        let cache = build::target_folder().join("lab/cache");
        let cache = cache.join(format!("{}-{}", profile.name, wanted.join("-")));
        let packages = Unpacked::get(&cache, profile.debian, None, &wanted)
            .with_context(|| format!("packages for {}", profile.name))?;
        self.packages.join(packages);
        Ok(self)
    }

    /// A machine, to be described further and booted.
    pub fn machine(&self, name: &str) -> Machine<'_> {
        Machine::new(self, name)
    }

    /// A new, empty disk. It lasts as long as the other files of this run.
    pub fn disk(&self, name: &str) -> Result<Disk> {
        fs::create_dir_all(&self.run)?;
        Disk::create(&self.run.join(format!("{name}.ext4")))
    }

    pub fn arch(&self) -> Arch {
        self.arch
    }

    pub fn packages(&self) -> &Unpacked {
        &self.packages
    }

    fn kernel(&self) -> &Path {
        &self.kernel
    }

    fn modules(&self) -> &Modules {
        &self.modules
    }

    fn run_folder(&self) -> &Path {
        &self.run
    }
}

/// Removes the files of runs whose process has ended.
fn remove_old_runs(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        let running = Path::new("/proc").join(entry.file_name()).exists();
        if !running {
            // Another process may be removing the folder too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
