//! The release notes: what changed, how to install, how to verify.

use crate::build::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;

/// Notes for a version, with the checksums of its files.
pub(super) fn notes(version: &str, rust: &str, sums: &str) -> Result<String> {
    let changelog = fs::read_to_string(workspace().join("CHANGELOG.md"))?;
    let (title, changes) = changes(&changelog, version)?;
    Ok(format!(
        "# Postwire {title}\n\n\
         ## Install\n\n\
         | file | for |\n|---|---|\n\
         | `postwire_{version}_amd64.deb`, `_arm64.deb` | the host tool on Debian and Ubuntu: `apt install ./FILE` |\n\
         | `postwire-{version}-x86_64-linux.tar.gz`, `-aarch64-` | the host tool on any Linux: one static file, completions, man pages |\n\
         | `openwrt/ARCHITECTURE/` | packages for routers: `.ipk` for OpenWrt 24.10, `.apk` for 25.12; see docs/openwrt.md |\n\
         | `agents/` | the agent alone, a static file for each kind of router; `-mini` has no `wg`, no `wg-quick` and no console |\n\n\
         On macOS and Windows: `cargo install --locked --path provision`.\n\n\
         Verify: `sha256sum --check SHA256SUMS`. To build the same bytes: `cargo xtask release` with Rust {rust}.\n\n\
         ## Changes\n\n{changes}\n\n\
         ## Checksums (SHA-256)\n\n```\n{sums}```\n"
    ))
}

/// The section of a version in the changelog, or the unreleased changes: the title of the notes, and the text.
fn changes<'a>(changelog: &'a str, version: &str) -> Result<(String, &'a str)> {
    let section = |heading: &str| {
        let (_, rest) = changelog.split_once(&format!("\n## {heading}"))?;
        let (_, rest) = rest.split_once('\n')?;
        Some(rest.split("\n## ").next().unwrap_or(rest).trim())
    };
    let released = section(&format!("[{version}]")).or_else(|| section(&format!("{version} ")));
    let (title, text) = match released {
        Some(text) => (version.to_owned(), text),
        None => {
            let text = section("Unreleased").with_context(|| {
                format!("CHANGELOG.md has neither a section `## [{version}]` nor `## Unreleased`")
            })?;
            (format!("{version}, not released yet"), text)
        }
    };
    ensure!(!text.is_empty(), "CHANGELOG.md has no changes for {title}");
    Ok((title, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_its_own_section_and_others_are_left_out() {
        let log = "# Changelog\n\n## Unreleased\n\n- c\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- b\n\n## [0.1.0]\n\n- a\n";
        assert_eq!(changes(log, "0.2.0").unwrap(), ("0.2.0".into(), "### Added\n\n- b"));
        assert_eq!(changes(log, "0.1.0").unwrap().1, "- a");
        assert_eq!(changes(log, "0.3.0").unwrap(), ("0.3.0, not released yet".into(), "- c"));
        assert!(changes("# Changelog\n", "0.1.0").is_err());
        assert!(changes("\n## Unreleased\n\n## [0.1.0]\n", "0.3.0").is_err());
    }
}
