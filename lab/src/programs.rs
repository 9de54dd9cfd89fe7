//! Debian programs inside a lab machine: the program of the machine's architecture, its loader
//! and every library it needs, read from the ELF files themselves.

use super::archive::Archive;
use crate::apt::Unpacked;
use anyhow::{Context, Result};
use object::{
    Endianness, FileKind,
    elf::{DT_NEEDED, FileHeader32, FileHeader64, PT_INTERP},
    read::elf::{Dyn, FileHeader, ProgramHeader},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A program that a machine can be given, and the package it comes from.
#[derive(Clone, Copy)]
pub struct Program {
    pub package: &'static str,
    pub path: &'static str,
}

pub const WG: Program = Program { package: "wireguard-tools", path: "/usr/bin/wg" };
pub const STRACE: Program = Program { package: "strace", path: "/usr/bin/strace" };
/// Counts the instructions of a program; the second file is the tool that the first one starts.
pub const VALGRIND: [Program; 2] = [
    Program { package: "valgrind", path: "/usr/bin/valgrind.bin" },
    Program { package: "valgrind", path: "/usr/libexec/valgrind/cachegrind-amd64-linux" },
];
/// Debian's busybox `nc` has no UDP; this one echoes with `-u -l -e`.
pub const NETCAT: Program = Program { package: "netcat-traditional", path: "/bin/nc.traditional" };

pub const WG_QUICK: Program = Program { package: "wireguard-tools", path: "/usr/bin/wg-quick" };
pub const BASH: Program = Program { package: "bash", path: "/bin/bash" };
/// WireGuard in user space.
pub const WIREGUARD_GO: Program =
    Program { package: "wireguard-go", path: "/usr/bin/wireguard-go" };
/// The SSH server of most routers.
pub const DROPBEAR: Program = Program { package: "dropbear-bin", path: "/usr/sbin/dropbear" };
/// In addition to busybox's `ip`.
pub const IP: Program = Program { package: "iproute2", path: "/usr/bin/ip" };
pub const NFT: Program = Program { package: "nftables", path: "/usr/sbin/nft" };
/// One file that is all of its programs, by the names of links to it; libraries implement the
/// matches of rules.
pub const IPTABLES: [Program; 6] = [
    iptables("/usr/sbin/xtables-legacy-multi"),
    iptables("/usr/lib/x86_64-linux-gnu/xtables/libxt_CONNMARK.so"),
    iptables("/usr/lib/x86_64-linux-gnu/xtables/libxt_addrtype.so"),
    iptables("/usr/lib/x86_64-linux-gnu/xtables/libxt_comment.so"),
    iptables("/usr/lib/x86_64-linux-gnu/xtables/libxt_mark.so"),
    iptables("/usr/lib/x86_64-linux-gnu/xtables/libxt_standard.so"),
];

const fn iptables(path: &'static str) -> Program {
    Program { package: "iptables", path }
}

/// The programs that most machines have, so that one download serves all of them.
pub const ALL: [Program; 3] = [WG, STRACE, NETCAT];

/// Adds `program` with its loader and libraries to `archive`, except those that `present` lists.
pub fn add(
    archive: &mut Archive,
    packages: &Unpacked,
    program: Program,
    present: &mut BTreeSet<String>,
) -> Result<()> {
    // Where /bin is a link to /usr/bin, the package may use either path.
    let other = match program.path.strip_prefix("/usr") {
        Some(path) => path.to_owned(),
        None => format!("/usr{}", program.path),
    };
    let file = packages.file(program.path).or_else(|_| packages.file(&other))?;
    let bytes = fs::read(file)?;
    archive.file(program.path, 0o755, &bytes)?;
    if bytes.starts_with(b"#!") {
        return Ok(());
    }
    let mut needs = needs(&bytes).with_context(|| program.path.to_owned())?;
    while let Some(need) = needs.pop() {
        if !present.insert(need.clone()) {
            continue;
        }
        let name = need.rsplit('/').next().unwrap_or(&need);
        let library = library(packages, name)
            .with_context(|| format!("{} needs {name}, which no package has", program.path))?;
        let bytes = fs::read(&library).with_context(|| format!("{}", library.display()))?;
        // The loader must be at the path in the program; libraries are found in /lib everywhere.
        let place = if need.starts_with('/') { need.clone() } else { format!("/lib/{name}") };
        archive.file(&place, 0o755, &bytes)?;
        needs.extend(self::needs(&bytes).with_context(|| name.to_owned())?);
    }
    Ok(())
}

/// The path of the loader and the names of the libraries that an ELF file needs.
fn needs(elf: &[u8]) -> Result<Vec<String>> {
    match FileKind::parse(elf).context("not an ELF file")? {
        FileKind::Elf32 => needs_of::<FileHeader32<Endianness>>(elf),
        _ => needs_of::<FileHeader64<Endianness>>(elf),
    }
}

fn needs_of<Elf: FileHeader<Endian = Endianness>>(elf: &[u8]) -> Result<Vec<String>> {
    let header = Elf::parse(elf).context("not an ELF file")?;
    let endian = header.endian()?;
    let mut found = Vec::new();
    for segment in header.program_headers(endian, elf)? {
        if segment.p_type(endian) == PT_INTERP
            && let Ok(path) = segment.data(endian, elf)
        {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            found.push(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, elf)?;
    if let Some((dynamic, link)) = sections.dynamic(endian, elf)? {
        let strings = sections.strings(endian, elf, link)?;
        for entry in dynamic {
            if entry.tag32(endian) == Some(DT_NEEDED) {
                let name = entry.string(endian, strings)?;
                found.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(found)
}

/// The path of a library in the packages; symbolic links are followed inside the packages, never on
/// this machine.
fn library(packages: &Unpacked, name: &str) -> Option<PathBuf> {
    packages.trees().iter().find_map(|tree| {
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in ["lib", "lib64", "usr/lib", "usr/lib64"].map(|folder| tree.join(folder)) {
            let inner = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(inner.map(|entry| entry.path()));
            folders.push(folder);
        }
        folders.iter().find_map(|folder| follow(tree, folder.join(name)))
    })
}

fn follow(tree: &Path, mut path: PathBuf) -> Option<PathBuf> {
    for _ in 0..8 {
        match fs::read_link(&path) {
            Ok(target) if target.is_absolute() => path = tree.join(target.strip_prefix("/").ok()?),
            Ok(target) => path = path.parent()?.join(target),
            Err(_) => return path.is_file().then_some(path),
        }
    }
    None
}
