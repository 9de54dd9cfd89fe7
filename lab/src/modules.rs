//! The kernel modules to load, and their order.
//!
//! Debian's kernel packages contain no `modules.dep` (depmod runs when they are installed, and
//! these are only unpacked), so the order is derived from the `depends=` entry in each module's
//! `.modinfo` section.

use crate::apt;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The modules of one unpacked kernel.
pub(crate) struct Modules {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// A module as it goes into the machine.
pub(crate) struct Module {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Modules {
    /// Reads the tree `lib/modules/VERSION`.
    pub(crate) fn scan(tree: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![tree.join("kernel")];
        while let Some(folder) = folders.pop() {
            let entries =
                fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = module_name(&path) {
                    files.insert(name, path);
                }
            }
        }
        let list = tree.join("modules.builtin");
        let builtin =
            fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
        let builtin = builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
        Ok(Self { files, builtin })
    }

    /// Whether the kernel has the module, built in or as a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.builtin.contains(name) || self.files.contains_key(name)
    }

    /// The named modules and all their dependencies, each after its dependencies.
    pub(crate) fn load_order(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.visit(name, &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<()> {
        if self.builtin.contains(name) || !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self
            .files
            .get(name)
            .with_context(|| format!("this kernel has no module named {name}"))?;
        let bytes = read_module(path)?;
        let needed = dependencies(&bytes).with_context(|| format!("{}", path.display()))?;
        for name in needed {
            self.visit(&name, seen, order)?;
        }
        order.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

/// `kernel/crypto/chacha-x86_64.ko.xz` -> `chacha_x86_64`, the spelling in `depends=`.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (stem, suffix) = file.split_once(".ko")?;
    matches!(suffix, "" | ".xz" | ".zst").then(|| stem.replace('-', "_"))
}

/// The ELF bytes of a module file, decompressed if the distribution compresses them.
fn read_module(path: &Path) -> Result<Vec<u8>> {
    let (package, program) = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => ("xz-utils", "xz"),
        Some("zst") => ("zstd", "zstd"),
        _ => return fs::read(path).with_context(|| format!("reading {}", path.display())),
    };
    apt::ensure_packages(&[package])?;
    let out = Command::new(program).arg("-dcq").arg(path).output()?;
    ensure!(out.status.success(), "{program} cannot read {}", path.display());
    Ok(out.stdout)
}

/// The names in `depends=` of a module's `.modinfo`.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let elf = object::File::parse(module).context("not an ELF file")?;
    let section = elf.section_by_name(".modinfo").context("no .modinfo section")?;
    Ok(parse_depends(section.data()?))
}

fn parse_depends(modinfo: &[u8]) -> Vec<String> {
    modinfo
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("depends="))
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_is_found_among_the_other_entries() {
        let modinfo = b"license=GPL v2\0depends=udp_tunnel,libchacha,curve25519-x86_64\0name=w\0";
        assert_eq!(parse_depends(modinfo), ["udp_tunnel", "libchacha", "curve25519_x86_64"]);
        assert!(parse_depends(b"depends=\0name=libchacha\0").is_empty());
        assert!(parse_depends(b"softdepends=a\0\xff\xfe\0").is_empty());
    }

    #[test]
    fn names_lose_folder_suffix_and_dashes() {
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(name("kernel/crypto/chacha-x86_64.ko").as_deref(), Some("chacha_x86_64"));
        assert_eq!(name("a/virtio_net.ko.xz").as_deref(), Some("virtio_net"));
        assert_eq!(name("a/modules.order"), None);
        assert_eq!(name("a/x.ko.sig"), None);
    }
}
