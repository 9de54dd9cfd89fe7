//! Reads the example bytes in `docs/protocol.md`.
//!
//! A block of bytes starts with three backticks and `bytes NAME`, and has a line for each field:
//! hexadecimal digits, a semicolon, and a label.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The start of a block; its name follows.
pub const FENCE: &str = "```bytes ";

/// Path of the document.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")
}

/// Text of the document.
pub fn text() -> String {
    std::fs::read_to_string(path()).expect("docs/protocol.md")
}

/// The blocks of the document by name.
pub fn blocks(document: &str) -> BTreeMap<String, Vec<u8>> {
    let mut blocks = BTreeMap::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix(FENCE) else { continue };
        let text = lines.by_ref().take_while(|line| *line != "```").map(code).collect::<String>();
        assert!(text.len().is_multiple_of(2), "{name}: half a byte");
        let bytes = (0..text.len()).step_by(2).map(|at| {
            u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_else(|_| panic!("{name}: not hex"))
        });
        assert!(blocks.insert(name.into(), bytes.collect()).is_none(), "{name} is there twice");
    }
    blocks
}

/// A line without spaces, up to the semicolon.
fn code(line: &str) -> String {
    line.split(';').next().unwrap_or_default().split_whitespace().collect()
}
