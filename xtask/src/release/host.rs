//! The host tool as it is released: one static file for Linux, in an archive and in a Debian package.

use super::Files;
use crate::{
    build::{cargo, ensure_target, postwire, quietly, remaps, target_folder, workspace},
    openwrt::{MAINTAINER, mtime},
};
use anyhow::{Context, Result, bail, ensure};
use object::{
    Endianness,
    elf::{FileHeader64, PT_INTERP},
    read::elf::{FileHeader, ProgramHeader},
};
use pack::{deb, ipk::tar_gz, tree::Tree};
use std::{fs, path::PathBuf, process::Command};

/// A machine that the host tool is built for.
pub(super) struct Host {
    pub(super) name: &'static str,
    pub(super) triple: &'static str,
    /// Debian's name of the architecture.
    debian: &'static str,
}

/// Both are linked by the linker that comes with Rust, so that neither needs a C compiler.
pub(super) const HOSTS: &[Host] = &[
    Host { name: "x86_64", triple: "x86_64-unknown-linux-musl", debian: "amd64" },
    Host { name: "aarch64", triple: "aarch64-unknown-linux-musl", debian: "arm64" },
];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Each shell, its file in the archive, and its place in Debian.
const SHELLS: &[(&str, &str, &str)] = &[
    ("bash", "postwire.bash", "usr/share/bash-completion/completions/postwire"),
    ("fish", "postwire.fish", "usr/share/fish/vendor_completions.d/postwire.fish"),
    ("zsh", "_postwire", "usr/share/zsh/vendor-completions/_postwire"),
];

impl Host {
    /// Builds the program, and adds its archive and its Debian package.
    pub(super) fn files(&self, files: &mut Files) -> Result<()> {
        let path = self.build()?;
        let program = fs::read(&path)?;
        for_everybody(&program).with_context(|| path.display().to_string())?;
        for (name, bytes) in self.packages(&program)? {
            files.add(name, bytes)?;
        }
        Ok(())
    }

    /// The names and bytes of the archive and the Debian package of a program.
    pub(super) fn packages(&self, program: &[u8]) -> Result<[(String, Vec<u8>); 2]> {
        let extras = Extras::make(self)?;
        Ok([
            (
                format!("postwire-{VERSION}-{}-linux.tar.gz", self.name),
                self.archive(program, &extras)?,
            ),
            (format!("postwire_{VERSION}_{}.deb", self.debian), self.deb(program, &extras)?),
        ])
    }

    /// Builds the static program.
    fn build(&self) -> Result<PathBuf> {
        ensure_target(self.triple)?;
        println!("building postwire for {}", self.triple);
        // In place of the flags in `.cargo/config.toml`, which are the agent's: this program unwinds.
        let mut flags = remaps()?;
        flags.push("-Ctarget-feature=+crt-static".to_owned());
        let mut command = cargo();
        command.args(["build", "--locked", "--release", "--package", "postwire"]);
        command.args(["--config", "profile.release.strip=true", "--target", self.triple]);
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        quietly(&mut command)?;
        Ok(target_folder().join(self.triple).join("release").join("postwire"))
    }

    fn archive(&self, program: &[u8], extras: &Extras) -> Result<Vec<u8>> {
        let root = format!("postwire-{VERSION}-{}-linux", self.name);
        let mut tree = Tree::default();
        tree.file(&format!("{root}/postwire"), 0o755, program)?;
        for (name, text) in &extras.man {
            tree.file(&format!("{root}/man/{name}"), 0o644, text.as_bytes())?;
        }
        for ((_, name, _), script) in SHELLS.iter().zip(&extras.completions) {
            tree.file(&format!("{root}/completions/{name}"), 0o644, script.as_bytes())?;
        }
        for name in ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            tree.file(&format!("{root}/{name}"), 0o644, fs::read(workspace().join(name))?)?;
        }
        tree.file(&format!("{root}/THIRD-PARTY.txt"), 0o644, extras.crates.as_bytes())?;
        Ok(tar_gz(&tree, mtime()?)?)
    }

    fn deb(&self, program: &[u8], extras: &Extras) -> Result<Vec<u8>> {
        let mut tree = Tree::default();
        tree.file("usr/bin/postwire", 0o755, program)?;
        for (name, text) in &extras.man {
            let path = format!("usr/share/man/man1/{name}.gz");
            tree.file(&path, 0o644, pack::ipk::gzip(text.as_bytes())?)?;
        }
        for ((_, _, path), script) in SHELLS.iter().zip(&extras.completions) {
            tree.file(path, 0o644, script.as_bytes())?;
        }
        let doc = "usr/share/doc/postwire";
        let changelog = pack::ipk::gzip(extras.changelog.as_bytes())?;
        tree.file(&format!("{doc}/changelog.gz"), 0o644, changelog)?;
        tree.file(&format!("{doc}/copyright"), 0o644, copyright()?)?;
        tree.file(&format!("{doc}/THIRD-PARTY.txt"), 0o644, extras.crates.as_bytes())?;
        // The program is static, so that the package needs nothing and serves every release of Debian.
        let overrides = "usr/share/lintian/overrides/postwire";
        tree.file(overrides, 0o644, "postwire: statically-linked-binary\n")?;
        let control = format!(
            "Package: postwire\nVersion: {VERSION}\nArchitecture: {}\nMaintainer: {MAINTAINER} <postwire@localhost>\n\
             Installed-Size: 0\nSection: net\nPriority: optional\n\
             Description: push WireGuard configuration onto routers\n \
             Takes the wg-quick files you have and applies them to routers over a serial\n \
             cable or one UDP port. The router verifies its kernel's state before it\n \
             reports success, and takes a change back that cuts off its owner.\n",
            self.debian
        );
        Ok(deb::Package { control, tree, mtime: mtime()? }.write()?)
    }
}

/// Fails when a program runs only on machines like this one: it asks for a dynamic linker, or names a folder of this
/// machine.
fn for_everybody(program: &[u8]) -> Result<()> {
    let file = FileHeader64::<Endianness>::parse(program)?;
    let endian = file.endian()?;
    let headers = file.program_headers(endian, program)?;
    ensure!(
        headers.iter().all(|header| header.p_type(endian) != PT_INTERP),
        "the program is not static: it asks for a dynamic linker"
    );
    let home = std::env::home_dir();
    for place in [Some(workspace()), home.as_deref()].into_iter().flatten() {
        let place = place.to_string_lossy();
        // `/` is in every program.
        if place.len() > 1 && memmem(program, place.as_bytes()) {
            bail!("the program names a folder of this machine, {place}");
        }
    }
    Ok(())
}

fn memmem(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// What is beside the program. Command lines are the same on every machine, so that the host tool of this machine
/// writes them.
struct Extras {
    man: Vec<(String, String)>,
    /// One for each of [`SHELLS`].
    completions: Vec<String>,
    changelog: String,
    crates: String,
}

impl Extras {
    fn make(host: &Host) -> Result<Self> {
        let tool = workspace().join(postwire()?);
        let folder = workspace().join(target_folder()).join("release-man");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        quietly(Command::new(&tool).arg("man").arg(&folder))?;
        let mut man = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            man.push((name, fs::read_to_string(entry.path())?));
        }
        man.sort();
        let script = |(shell, _, _): &(&str, _, _)| {
            quietly(Command::new(&tool).args(["completions", shell]))
        };
        let completions = SHELLS.iter().map(script).collect::<Result<_>>()?;
        let time = format!("--date=@{}", mtime()?);
        let time = quietly(Command::new("date").args(["--utc", "--rfc-email", &time]))?;
        let changelog = format!(
            "postwire ({VERSION}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n \
             -- {MAINTAINER} <postwire@localhost>  {time}"
        );
        Ok(Self { man, completions, changelog, crates: crates(host)? })
    }
}

/// The crates in the program, with their licences.
fn crates(host: &Host) -> Result<String> {
    let mut command = cargo();
    command.args(["tree", "--package", "postwire", "--target", host.triple]);
    command.args(["--edges", "normal,no-proc-macro", "--no-dedupe", "--prefix", "none"]);
    let listed = quietly(command.args(["--format", "{p}: {l}"]))?;
    // Crates of this repository have their folder behind the version.
    let mut lines: Vec<&str> = listed.lines().filter(|line| !line.contains(" (/")).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(format!(
        "Crates that are part of the program, with their licences:\n\n{}\n",
        lines.join("\n")
    ))
}

/// The file `copyright` of the Debian package.
fn copyright() -> Result<String> {
    let mit = fs::read_to_string(workspace().join("LICENSE-MIT"))?;
    let holder = mit.lines().find_map(|line| line.strip_prefix("Copyright "));
    let holder = holder.unwrap_or("the Postwire developers");
    let permission = mit.split_once("Permission is").map_or("", |(_, rest)| rest);
    let text = format!("Permission is{permission}");
    let lines = text.trim_end().lines().map(|line| match line {
        "" => " .\n".to_owned(),
        line => format!(" {line}\n"),
    });
    let permission: String = lines.collect();
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: postwire\n\n\
         Files: *\nCopyright: {holder}\nLicense: Expat or Apache-2.0\n\n\
         License: Expat\n{permission}\n\
         License: Apache-2.0\n On Debian systems the text of this license is in\n \
         /usr/share/common-licenses/Apache-2.0.\n"
    ))
}
