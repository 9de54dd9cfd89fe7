//! What people install, looked at as they do: the Debian package and the archive of the host tool.
//!
//! The program in them is the one of the other tests: `cargo xtask release` builds the static one, and checks by itself
//! that the file is static.

use super::lanes::Part;
use anyhow::{Result, ensure};
use std::{fs, path::Path, process::Command};
use xtask::{
    build::{postwire_of_tests, quietly, target_folder, workspace},
    packages::ensure_packages,
    release::host_packages,
};

const DEB: &str = "dpkg accepts the host tool's package: program, man pages and completions";
const ARCHIVE: &str = "the host tool's archive is the same bytes each time, and has the program";

pub(super) fn part() -> Part {
    Part::new("the host tool's packages", [DEB, ARCHIVE].map(str::to_owned), |tally| {
        let program = fs::read(workspace().join(postwire_of_tests()?))?;
        let folder = workspace().join(target_folder()).join("lab/release");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let [archive, deb] = host_packages("x86_64", &program)?;
        tally.test(DEB, || accepted(&folder, &deb, &program));
        tally.test(ARCHIVE, || {
            let again = host_packages("x86_64", &program)?;
            ensure!(again == [archive.clone(), deb.clone()], "a second run has other bytes");
            let path = folder.join(&archive.0);
            fs::write(&path, &archive.1)?;
            quietly(Command::new("tar").arg("-xzf").arg(&path).current_dir(&folder))?;
            let root = folder.join(archive.0.trim_end_matches(".tar.gz"));
            ensure!(fs::read(root.join("postwire"))? == program, "another program");
            for file in ["LICENSE-MIT", "README.md", "man/postwire-push.1", "completions/_postwire"]
            {
                ensure!(root.join(file).is_file(), "no file {file}");
            }
            let crates = fs::read_to_string(root.join("THIRD-PARTY.txt"))?;
            ensure!(crates.contains("clap v") && !crates.contains("(/"), "{crates}");
            Ok(format!("{} bytes", archive.1.len()))
        });
        Ok(())
    })
    .ignored()
}

fn accepted(folder: &Path, (name, bytes): &(String, Vec<u8>), program: &[u8]) -> Result<String> {
    ensure_packages(&["dpkg", "man-db", "zsh", "fish"])?;
    let (package, root) = (folder.join(name), folder.join("root"));
    fs::write(&package, bytes)?;
    quietly(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
    let field =
        |name: &str| quietly(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name));
    ensure!(field("Package")?.trim() == "postwire", "the package has another name");
    ensure!(field("Depends")?.trim().is_empty(), "the package depends on others");
    let used = quietly(
        Command::new("du").args(["--summarize", "--apparent-size", "--block-size=1K"]).arg(&root),
    )?;
    let used: usize = used.split_whitespace().next().unwrap_or_default().parse()?;
    let said: usize = field("Installed-Size")?.trim().parse()?;
    ensure!(said.abs_diff(used) < 100, "Installed-Size is {said}, and the files have {used} KiB");
    // What `dpkg --verify` compares after an installation.
    let control = folder.join("control");
    quietly(Command::new("dpkg-deb").arg("--control").arg(&package).arg(&control))?;
    let sums = control.join("md5sums");
    quietly(Command::new("md5sum").args(["--check", "--strict"]).arg(&sums).current_dir(&root))?;

    let tool = root.join("usr/bin/postwire");
    ensure!(fs::read(&tool)? == program, "another program");
    let version = quietly(Command::new(&tool).arg("--version"))?;
    ensure!(version.trim() == format!("postwire {}", field("Version")?.trim()), "{version}");
    let page = root.join("usr/share/man/man1/postwire-push.1.gz");
    let shown = quietly(Command::new("man").args(["--warnings", "--local-file"]).arg(&page))?;
    ensure!(shown.contains("--confirm-within"), "the page of push: {shown}");
    for (shell, check, file) in [
        ("bash", "-n", "bash-completion/completions/postwire"),
        ("zsh", "-n", "zsh/vendor-completions/_postwire"),
        ("fish", "--no-execute", "fish/vendor_completions.d/postwire.fish"),
    ] {
        let file = root.join("usr/share").join(file);
        quietly(Command::new(shell).arg(check).arg(&file))?;
        let script = fs::read_to_string(&file)?;
        ensure!(script.contains("rollback"), "the completions of {shell} lack commands");
    }
    Ok(format!("{} bytes, {said} KiB installed", bytes.len()))
}
