//! The smoke run of a built agent under qemu-user, with commands that need no kernel of its own. A
//! file for another byte order, word size or page size that does not start fails here.

use super::target_folder;
use crate::packages;
use anyhow::{Context, Result, ensure};
use board::Target;
use object::{Object, ObjectSegment};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// The first private key of RFC 7748 (6.1), and its public key, both in base64.
const PRIVATE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

/// Runs a built agent. `commands` is `true` if the variant has `wg`.
pub fn smoke(target: &Target, agent: &Path, commands: bool) -> Result<()> {
    loads_in_pages(&fs::read(agent)?, target.page_size.into())
        .with_context(|| format!("{} {}", target.name, agent.display()))?;
    packages::ensure_packages(&["qemu-user-static"])?;
    let says = |words: &[&str], input: &str, code: i32| {
        let said = run(target, agent, words, input, code);
        said.with_context(|| format!("{} {}", target.name, words.join(" ")))
    };
    let version = says(&["--version"], "", 0)?;
    ensure!(version.starts_with("postwired "), "--version printed {version:?}");
    let help = says(&["--help"], "", 0)?;
    ensure!(help.contains("--keep"), "--help printed {help:?}");
    let keep = target_folder().join("smoke").join(target.name);
    let keep = super::workspace().join(keep);
    if keep.exists() {
        fs::remove_dir_all(&keep)?;
    }
    fs::create_dir_all(&keep)?;
    let path = keep.to_str().context("the path is not text")?;
    let first = says(&["identity", "--keep", path], "", 0)?;
    ensure!(first.trim().len() >= 44, "identity printed {first:?}");
    let again = says(&["identity", "--keep", path], "", 0)?;
    ensure!(first == again, "identity printed {first:?}, then {again:?}");
    if commands {
        let public = says(&["wg", "pubkey"], PRIVATE, 0)?;
        ensure!(public.trim() == PUBLIC, "wg pubkey printed {public:?}");
        let key = says(&["wg", "genkey"], "", 0)?;
        ensure!(key.trim().len() == 44, "wg genkey printed {key:?}");
        says(&["wg", "pubkey"], &key, 0)?;
    } else {
        says(&["wg", "pubkey"], PRIVATE, 127)?;
        says(&["wg-quick", "up", "wg0"], "", 127)?;
    }
    Ok(())
}

/// Fails for a file that a kernel with pages of this size cannot load: each segment begins at the same place in its page
/// of memory as in that of the file, and no page has two segments.
fn loads_in_pages(file: &[u8], page: u64) -> Result<()> {
    let file = object::File::parse(file)?;
    let mut last = None;
    for segment in file.segments() {
        let (begin, end) = (segment.address(), segment.address() + segment.size());
        let (offset, _) = segment.file_range();
        ensure!(
            begin % page == offset % page && last.is_none_or(|last| last < begin / page),
            "the segment at {begin:#x} does not fit pages of {page} bytes"
        );
        last = Some(end.saturating_sub(1) / page);
    }
    ensure!(last.is_some(), "the file has no segments");
    Ok(())
}

fn run(target: &Target, agent: &Path, words: &[&str], input: &str, code: i32) -> Result<String> {
    let mut command = Command::new(target.emulator);
    command.arg(agent).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {}", target.emulator))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads no input may have closed the pipe already.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "ended with {} instead of {code}: {errors}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}
