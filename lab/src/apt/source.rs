//! The sources of a Debian package, with Debian's patches, unpacked and kept like a package.
//!
//! Most machines have no lists of sources. The lab reads them from the archives of the machine's
//! packages, with the keys that the machine trusts for them.

use super::{ensure_packages, run, state::State};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of apt's own list of archives.
const PLACES: &str = "/etc/apt";

/// The sources of the binary package `package`, unpacked under `dir`. They need no network once
/// they are there.
pub fn source(dir: &Path, package: &str, version: &str) -> Result<PathBuf> {
    let place = dir.join(format!("{package}-{version}"));
    if place.is_dir() {
        return Ok(place);
    }
    ensure_packages(&["dpkg-dev"])?;
    eprintln!("lab: downloading the sources of {package} {version}");
    let folder = dir.join("apt");
    // Downloads again: the folder may date from a time when the machine had other archives.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let state = State::new(folder.clone());
    let parts = folder.join("parts");
    fs::create_dir_all(&parts)?;
    let machine = Path::new(PLACES);
    translate(&machine.join("sources.list"), &folder)?;
    for entry in fs::read_dir(machine.join("sources.list.d")).into_iter().flatten() {
        translate(&entry?.path(), &parts)?;
    }
    state.update(&format!(
        "Dir::Etc::sourcelist \"{folder}/sources.list\";\n\
         Dir::Etc::sourceparts \"{folder}/parts\";\n",
        folder = folder.display()
    ))?;

    let partial = dir.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let wanted = format!("{package}={version}");
    run(state.command("apt-get").args(["source", &wanted]).current_dir(&partial))?;
    // Beside the downloaded files there is only one folder: the sources.
    let unpacked = fs::read_dir(&partial)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.is_dir())
        .context("apt-get unpacked nothing")?;
    fs::rename(unpacked, &place)?;
    fs::remove_dir_all(&partial)?;
    Ok(place)
}

/// The version of the sources of a binary package: Debian appends `+b1` to rebuilt ones.
pub fn of_binary(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, times)) if times.bytes().all(|byte| byte.is_ascii_digit()) => source,
        _ => version,
    }
}

/// Copies a file of the host into `folder`, with sources in place of packages.
fn translate(file: &Path, folder: &Path) -> Result<()> {
    let (Ok(text), Some(name)) = (fs::read_to_string(file), file.file_name()) else {
        return Ok(());
    };
    let text = match file.extension().and_then(|extension| extension.to_str()) {
        Some("list") => lines(&text),
        Some("sources") => stanzas(&text),
        // Other files are not lists of archives.
        _ => return Ok(()),
    };
    fs::write(folder.join(name), text)?;
    Ok(())
}

/// Lines of the form `deb URI SUITE ...`.
fn lines(text: &str) -> String {
    let packages = text.lines().filter_map(|line| line.trim_start().strip_prefix("deb"));
    let packages = packages.filter(|rest| rest.starts_with([' ', '\t']));
    packages.map(|rest| format!("deb-src{rest}\n")).collect()
}

/// Paragraphs of fields, with the type in `Types`.
fn stanzas(text: &str) -> String {
    let is_types = |line: &str| {
        line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("types"))
    };
    text.lines()
        .map(|line| if is_types(line) { "Types: deb-src\n".into() } else { format!("{line}\n") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_packages_become_places_of_sources() {
        let list = "# deb http://a/ b main\ndeb [signed-by=/k] http://c/ d main\ndeb-src http://c/ d main\n";
        assert_eq!(lines(list), "deb-src [signed-by=/k] http://c/ d main\n");
        let sources = "# Types: x\nTypes: deb\nURIs: http://c/\n\ntypes: deb deb-src\nSuites: d\n";
        assert_eq!(
            stanzas(sources),
            "# Types: x\nTypes: deb-src\nURIs: http://c/\n\nTypes: deb-src\nSuites: d\n"
        );
    }

    #[test]
    fn a_package_that_was_built_again_has_the_sources_of_the_first_time() {
        for (binary, source) in [
            ("1.0.20210914-1+b1", "1.0.20210914-1"),
            ("5.2.15-2+b10", "5.2.15-2"),
            ("1.0.20210914-1", "1.0.20210914-1"),
            ("2:1.0+beta-1", "2:1.0+beta-1"),
        ] {
            assert_eq!(of_binary(binary), source);
        }
    }
}
