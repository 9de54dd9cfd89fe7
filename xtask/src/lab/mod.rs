//! The lab: virtual machines with a real WireGuard kernel, real serial ports and real UDP.
//!
//! [`Lab::prepare`] gets what the machines of one architecture need (QEMU by installing it,
//! kernel and programs as unpacked packages under `target/lab/cache`), [`Lab::machine`]
//! describes one, [`Machine::boot`] starts it, and [`Vm`] is what runs. Dropping a [`Vm`] cuts
//! its power. What a run leaves behind (console, QEMU's own words, the command) is under
//! `target/lab/run` until the next.

mod arch;
mod control;
mod cpio;
mod disk;
mod evidence;
mod faults;
mod frames;
mod initramfs;
mod machine;
mod modules;
mod process;
pub(crate) mod programs;
mod pump;
mod serial;
mod udp;
mod vm;
mod wire;

pub(crate) use arch::Arch;
pub(crate) use disk::Disk;
pub(crate) use faults::{Direction, Faults, Noise};
pub(crate) use frames::{Datagram, Frames};
pub(crate) use machine::{AGENT_PORT, Machine, NANOSECONDS_PER_INSTRUCTION};
pub(crate) use udp::{Loss, LossyUdp};
pub(crate) use vm::Vm;
pub(crate) use wire::Wire;

use crate::{
    apt::{self, Unpacked},
    build,
};
use anyhow::{Context, Result};
use modules::Modules;
use programs::Program;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// All that the machines of one architecture are made from.
pub(crate) struct Lab {
    arch: Arch,
    packages: Unpacked,
    kernel: PathBuf,
    modules: Modules,
    run: PathBuf,
}

impl Lab {
    /// Installs, downloads and unpacks what is missing, and says so.
    pub(crate) fn prepare(arch: Arch) -> Result<Self> {
        let profile = arch.profile();
        apt::ensure_packages(&[profile.qemu_package])?;
        let folder = build::target_folder().join("lab");
        let mut wanted = vec!["busybox-static"];
        wanted.extend(programs::ALL.map(|program| program.package));
        let cache = folder.join("cache").join(profile.name);
        let packages = Unpacked::get(&cache, profile.debian, &[profile.kernel], &wanted)
            .with_context(|| format!("the lab's packages for {}", profile.name))?;

        let versions =
            packages.file("/lib/modules").or_else(|_| packages.file("/usr/lib/modules"))?;
        let modules = fs::read_dir(&versions)?.next().context("a kernel without modules")??;
        let version = modules.file_name();
        let kernel = packages.file(&format!("/boot/vmlinuz-{}", version.display()))?;
        let modules = Modules::scan(&modules.path())?;
        let run = machine::run_folder(&folder);
        remove_old_runs(&folder.join("run"))?;
        Ok(Self { arch, packages, kernel, modules, run })
    }

    /// Downloads and unpacks what only some machines have.
    pub(crate) fn and_programs(mut self, programs: &[Program]) -> Result<Self> {
        let profile = self.arch.profile();
        let mut wanted: Vec<&str> = programs.iter().map(|program| program.package).collect();
        wanted.dedup();
        let cache = build::target_folder().join("lab/cache");
        let cache = cache.join(format!("{}-{}", profile.name, wanted.join("-")));
        let packages = Unpacked::get(&cache, profile.debian, &[], &wanted)
            .with_context(|| format!("packages for {}", profile.name))?;
        self.packages.join(packages);
        Ok(self)
    }

    /// A machine to be described further and booted.
    pub(crate) fn machine(&self, name: &str) -> Machine<'_> {
        Machine::new(self, name)
    }

    /// A new disk with nothing on it. It lasts as long as what else this run leaves behind.
    pub(crate) fn disk(&self, name: &str) -> Result<Disk> {
        fs::create_dir_all(&self.run)?;
        Disk::create(&self.run.join(format!("{name}.ext4")))
    }

    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    pub(crate) fn packages(&self) -> &Unpacked {
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

/// Removes what runs left behind whose process is gone.
fn remove_old_runs(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        let running = Path::new("/proc").join(entry.file_name()).exists();
        if !running {
            // Another process may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
