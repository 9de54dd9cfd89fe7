//! The initramfs of a machine: busybox, the kernel modules, `init`, and the files of the test.

use super::{
    archive::Archive,
    modules::{Module, Modules},
    programs::{self, Program},
};
use crate::apt::Unpacked;
use anyhow::Result;
use std::{collections::BTreeSet, fs};

const INIT: &str = include_str!("init.sh");

/// A file of the machine.
#[derive(Clone)]
pub(crate) struct File {
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

/// The parts of an initramfs that differ between machines.
pub(crate) struct Contents<'a> {
    pub modules: &'a [&'a str],
    pub programs: &'a [Program],
    pub files: &'a [File],
}

/// Builds the archive that QEMU passes to the kernel.
pub(crate) fn build(
    packages: &Unpacked,
    kernel: &Modules,
    contents: &Contents<'_>,
) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file("/init", 0o755, INIT.as_bytes())?;
    let busybox = packages.file("/bin/busybox").or_else(|_| packages.file("/usr/bin/busybox"))?;
    archive.file("/bin/busybox", 0o755, &fs::read(busybox)?)?;
    archive.symlink("/bin/sh", "busybox")?;

    let mut order = String::new();
    for Module { name, bytes } in kernel.load_order(contents.modules)? {
        archive.file(&format!("/lib/modules/{name}.ko"), 0o644, &bytes)?;
        order.push_str(&name);
        order.push('\n');
    }
    archive.file("/etc/lab/modules", 0o644, order.as_bytes())?;
    archive.file("/etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    archive.file("/etc/hosts", 0o644, b"127.0.0.1 localhost\n")?;

    let mut libraries = BTreeSet::new();
    for program in contents.programs {
        programs::add(&mut archive, packages, *program, &mut libraries)?;
    }
    for File { path, mode, bytes } in contents.files {
        archive.file(path, *mode, bytes)?;
    }
    archive.finish()
}
