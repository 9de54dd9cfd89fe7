//! Reads the files that `cargo xtask golden` has written.

use std::{fs, path::PathBuf};

/// A `wg` command and its result.
#[derive(Default)]
pub(crate) struct Step {
    /// The command as typed, without quotes.
    pub(crate) command: String,
    /// The datagrams in the order in which they were sent and received.
    pub(crate) datagrams: Vec<Datagram>,
    /// The output of the command.
    pub(crate) printed: String,
    /// The exit status of the command; 0 is success.
    pub(crate) status: i32,
}

#[derive(Clone)]
pub(crate) struct Datagram {
    /// Whether `wg` sent the datagram; otherwise the kernel did.
    pub(crate) sent: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Step {
    pub(crate) fn words(&self) -> Vec<&str> {
        self.command.split(' ').collect()
    }

    /// The interface: `wg set wg0 ...`.
    pub(crate) fn interface(&self) -> &str {
        self.words()[2]
    }

    /// Whether the command changes a setting; the others are `wg show ... dump`.
    pub(crate) fn sets(&self) -> bool {
        self.words()[1] != "show"
    }
}

/// The folder for this machine's byte order.
const ORDER: &str = if cfg!(target_endian = "little") { "le" } else { "be" };

fn names(folder: &str, extension: &str) -> Vec<String> {
    let folder = path(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

/// The names of all cases with a script ...
pub(crate) fn scripts() -> Vec<String> {
    names("cases", "sh")
}

/// ... and of all captured cases.
pub(crate) fn cases() -> Vec<String> {
    names(ORDER, "hex")
}

pub(crate) fn read(case: &str) -> Vec<Step> {
    let path = path(ORDER).join(format!("{case}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut steps: Vec<Step> = Vec::new();
    // A datagram continues in the next line, up to an empty line.
    let mut open = false;
    for line in text.lines() {
        let Some(mark) = line.chars().next() else {
            open = false;
            continue;
        };
        let rest = &line[1..];
        if mark == '$' {
            steps.push(Step { command: rest.trim().to_owned(), ..Step::default() });
        }
        let Some(step) = steps.last_mut() else {
            assert_eq!(mark, '#', "{case}: {line}");
            continue;
        };
        match mark {
            '$' => {}
            '>' | '<' => {
                if !open {
                    step.datagrams.push(Datagram { sent: mark == '>', bytes: Vec::new() });
                }
                step.datagrams.last_mut().unwrap().bytes.extend(hex(rest));
                open = true;
            }
            '|' => step.printed.extend([rest, "\n"]),
            '=' => step.status = rest.parse().unwrap(),
            _ => panic!("{case}: {line}"),
        }
    }
    steps
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| *c != ' ').collect();
    let byte = |pair: &[char]| {
        u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("two digits")
    };
    digits.chunks(2).map(byte).collect()
}
