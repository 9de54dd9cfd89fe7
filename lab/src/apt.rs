//! Debian packages, downloaded and unpacked beside the machine's own: kernels and programs for lab
//! machines, and sources ([`source()`]). The host's own apt state is never touched.

mod source;
mod state;

pub use source::{of_binary, source};
pub use xtask::packages::{ensure_packages, run};

use anyhow::{Context, Result, ensure};
use state::State;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use xtask::packages::has_apt;

/// A kernel package: the version that the tests were last run with, and the names under which the
/// archive offers newer ones.
pub struct Kernel {
    /// The package that depends on the newest kernel of its kind.
    pub meta: &'static str,
    /// The kernel package itself, whose name contains the number of its ABI ...
    pub package: &'static str,
    /// ... its version ...
    pub version: &'static str,
    /// ... and the SHA-256 of its file.
    pub sha256: &'static str,
}

/// Packages of one architecture, unpacked under one directory and kept there.
///
/// Each package is unpacked into `pkg/NAME_VERSION_ARCH`, which is renamed into place once it is
/// complete. `resolved` lists the directories that belong together and is written last: an
/// interrupted run is repeated, and a complete one needs no network. To get newer packages, remove
/// the directory.
pub struct Unpacked {
    debian_arch: &'static str,
    dir: PathBuf,
    state: State,
    trees: Vec<PathBuf>,
}

impl Unpacked {
    /// Unpacks `packages` with all their dependencies, and the kernel without dependencies, under
    /// `dir`, unless that was done before.
    pub fn get(
        dir: &Path,
        debian_arch: &'static str,
        kernel: Option<&Kernel>,
        packages: &[&str],
    ) -> Result<Self> {
        fs::create_dir_all(dir.join("pkg"))?;
        // Two chores may start at the same time; the second waits and finds the work done.
        let lock = fs::File::create(dir.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;

        let state = State::new(dir.join("apt"));
        let mut this = Self { debian_arch, dir: dir.to_owned(), state, trees: Vec::new() };
        let pin = kernel.map(|kernel| format!("{}={} ", kernel.package, kernel.version));
        let request = format!("{}{}", pin.unwrap_or_default(), packages.join(" "));
        if let Some(trees) = this.remembered(&request) {
            this.trees = trees;
            return Ok(this);
        }
        ensure!(
            has_apt(),
            "the lab's kernels come from Debian packages, and this machine has no apt-get"
        );
        eprintln!("lab: reading the package lists of {debian_arch}");
        this.update()?;
        let mut names = this.closure(packages)?;
        if let Some(kernel) = kernel {
            names.push(this.kernel(kernel)?);
        }
        let stems = this.download(&names)?;
        let partial = dir.join("resolved.partial");
        fs::write(&partial, format!("{request}\n{}\n", stems.join("\n")))?;
        fs::rename(&partial, dir.join("resolved"))?;
        this.trees = stems.iter().map(|stem| this.tree(stem)).collect();
        Ok(this)
    }

    /// Adds the packages of another directory.
    pub fn join(&mut self, other: Self) {
        self.trees.extend(other.trees);
    }

    /// The roots of the unpacked packages.
    pub fn trees(&self) -> &[PathBuf] {
        &self.trees
    }

    /// The unpacked file at `path` (relative to `/`), from the package that has it.
    pub fn file(&self, path: &str) -> Result<PathBuf> {
        let path = path.trim_start_matches('/');
        self.trees
            .iter()
            .map(|tree| tree.join(path))
            .find(|file| file.exists())
            .with_context(|| format!("no unpacked {} package has /{path}", self.debian_arch))
    }

    /// The version of an unpacked package.
    pub fn version(&self, package: &str) -> Result<String> {
        let mut stems = self.trees.iter().filter_map(|tree| tree.file_name()?.to_str());
        stems
            .find_map(|stem| {
                Some(stem.strip_prefix(package)?.strip_prefix('_')?.split_once('_')?.0)
            })
            // File names do not allow a colon everywhere.
            .map(|version| version.replace("%3a", ":"))
            .with_context(|| format!("no package {package} was unpacked"))
    }

    fn tree(&self, stem: &str) -> PathBuf {
        self.dir.join("pkg").join(stem)
    }

    fn remembered(&self, request: &str) -> Option<Vec<PathBuf>> {
        let resolved = fs::read_to_string(self.dir.join("resolved")).ok()?;
        let mut lines = resolved.lines();
        if lines.next()? != request {
            return None;
        }
        let trees: Vec<PathBuf> = lines.map(|stem| self.tree(stem)).collect();
        trees.iter().all(|tree| tree.is_dir()).then_some(trees)
    }

    fn update(&self) -> Result<()> {
        self.state.update(&format!(
            "#clear APT::Architectures;\n\
             APT::Architecture \"{arch}\";\n\
             APT::Architectures {{ \"{arch}\"; }};\n",
            arch = self.debian_arch,
        ))
    }

    /// The pinned kernel in apt's notation, or the newest one if the archive no longer has the
    /// pinned one.
    fn kernel(&self, kernel: &Kernel) -> Result<String> {
        let Kernel { meta, package, version, sha256 } = kernel;
        let wanted = format!("{package}={version}");
        let uris =
            self.state.command("apt-get").args(["--print-uris", "download", &wanted]).output()?;
        let uris = String::from_utf8_lossy(&uris.stdout);
        let Some(hash) = uris.split_whitespace().find_map(|word| word.strip_prefix("SHA256:"))
        else {
            let newest = self.behind_meta(meta)?;
            eprintln!("lab: the archive no longer has {package} {version}, using {newest}");
            return Ok(newest);
        };
        ensure!(
            hash == *sha256,
            "{package} {version} has the hash {hash} in the archive, and {sha256} in lab/src/arch.rs"
        );
        Ok(wanted)
    }

    /// `linux-image-cloud-amd64` -> the kernel package that it currently depends on.
    fn behind_meta(&self, meta: &str) -> Result<String> {
        let out = self.depends(&[meta], &[])?;
        out.lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with("linux-image-"))
            .map(str::to_owned)
            .with_context(|| format!("{meta} ({}) does not name a kernel", self.debian_arch))
    }

    /// The names of the packages and all their dependencies.
    fn closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        let out = self.depends(packages, &["--recurse"])?;
        let mut names: Vec<String> = out
            .lines()
            // Indented lines are the edges, `<name>` is a virtual package.
            .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()))
            .map(|line| line.trim().to_owned())
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn depends(&self, packages: &[&str], options: &[&str]) -> Result<String> {
        let no = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
        run(self
            .state
            .command("apt-cache")
            .arg("depends")
            .args(no.map(|kind| format!("--no-{kind}")))
            .args(options)
            .args(packages))
    }

    /// Downloads and unpacks packages that are missing, each `NAME` or `NAME=VERSION`; returns the
    /// `NAME_VERSION_ARCH` of each.
    fn download(&self, names: &[String]) -> Result<Vec<String>> {
        let uris =
            run(self.state.command("apt-get").args(["--print-uris", "download"]).args(names))?;
        let (mut stems, mut missing) = (Vec::new(), Vec::new());
        for line in uris.lines() {
            // 'uri' file size hash
            let mut fields = line.split_whitespace();
            let (Some(_), Some(file), Some(size)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let stem = file.trim_end_matches(".deb").to_owned();
            if !self.tree(&stem).is_dir() {
                let size = size.parse::<u64>().unwrap_or(0).div_ceil(1024);
                eprintln!("lab: downloading {stem} ({size} KiB)");
                missing.push(stem.clone());
            }
            stems.push(stem);
        }
        ensure!(
            stems.len() == names.len(),
            "apt offers {} of the {} packages asked for: {}",
            stems.len(),
            names.len(),
            names.join(" ")
        );
        self.unpack(&missing, names)?;
        Ok(stems)
    }

    /// Downloads packages, all at once because apt takes longer to start than to download one, and
    /// unpacks them.
    fn unpack(&self, stems: &[String], wanted: &[String]) -> Result<()> {
        let partial = self.dir.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        if stems.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&partial)?;
        let names = wanted.iter().filter(|wanted| {
            let name = wanted.split('=').next();
            stems.iter().any(|stem| stem.split('_').next() == name)
        });
        let mut apt = self.state.command("apt-get");
        run(apt.arg("download").args(names).current_dir(&partial))?;
        for stem in stems {
            let (deb, tree) = (partial.join(format!("{stem}.deb")), partial.join("tree"));
            run(Command::new("dpkg").arg("-x").arg(deb).arg(&tree))?;
            fs::rename(tree, self.tree(stem))?;
        }
        fs::remove_dir_all(&partial)?;
        Ok(())
    }
}
