//! The deliberate differences from Debian's `wg`. `docs/wg.md` has the same table for readers. A
//! run fails if no case shows one of them, so that a difference that is gone does not stay in the
//! table.

use super::compare::{Pair, State};

/// A deliberate difference.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    /// Whether the difference may occur in any case; otherwise only in the case called `kept: ` and
    /// its name.
    anywhere: bool,
    /// Whether the difference explains everything in which the two sides differ after a command.
    explains: fn(&Pair<'_>) -> bool,
}

impl Known {
    /// Whether a case shows this difference.
    pub(super) fn is(&self, case: &str, pair: &Pair<'_>) -> bool {
        let here = case.strip_prefix("kept: ") == Some(self.name);
        (self.anywhere || here) && (self.explains)(pair)
    }
}

/// A difference that only the case of its name may show.
const fn kept(name: &'static str, reason: &'static str, explains: fn(&Pair<'_>) -> bool) -> Known {
    Known { name, reason, anywhere: false, explains }
}

pub(super) const TABLE: &[Known] = &[
    Known {
        name: "syncconf keeps the order",
        reason: "a peer whose allowed IPs are those of the file is not touched, so they stay in the \
                 order they had",
        anywhere: true,
        explains: |pair| pair.has("syncconf") && pair.only_state() && pair.state() == State::Order,
    },
    Known {
        name: "syncconf clears",
        reason: "a preshared key or keepalive that the file leaves out is cleared, as newer versions \
                 of wireguard-tools do; Debian's, of 2021, leaves them",
        anywhere: true,
        explains: |pair| pair.has("syncconf") && pair.only_state() && pair.only_cleared(),
    },
    kept(
        "endpoints of all interfaces",
        "`show all endpoints` begins each line with the interface, as the other fields do; Debian's \
         does so once for each interface, and also for one without peers",
        |pair| {
            pair.has("endpoints")
                && pair.same_status()
                && pair.same_stderr()
                && pair.state() == State::Same
                && pair.debian.stdout.replace("wg0\t", "") == pair.ours.stdout.replace("wg0\t", "")
        },
    ),
    kept(
        "the version",
        "`--version` says which program it is, and which version of wireguard-tools it stands for",
        |pair| {
            let first = |text: &str| text.split_once(" v").is_some();
            pair.differs() == ["standard output"]
                && pair.ours.stdout.contains("wireguard-tools v1.0.20210914")
                && first(&pair.debian.stdout)
        },
    ),
    kept(
        "output that cannot be written",
        "is an error (a full disk); Debian's says nothing and ends with 0",
        |pair| pair.refused() && pair.state() == State::Same,
    ),
    kept("ports", "a port of 65536 or more is refused; Debian's takes 65536 for 0", |pair| {
        pair.refused()
    }),
    kept(
        "a folder as a file",
        "is an error for setconf, addconf and syncconf; Debian's takes it for an empty file, and \
         setconf removes every peer",
        |pair| pair.refused(),
    ),
    kept(
        "long words",
        "a number or an address with hundreds of zeros in front is refused: no word is that long, and \
         memory is fixed",
        |pair| pair.refused(),
    ),
    kept(
        "lists with plus and minus",
        "`allowed-ips +IP` and `-IP` change the list in place, as in newer versions of \
         wireguard-tools; Debian's, of 2021, does not know them",
        |pair| {
            let plus = pair.has("+10.1.0.0/16") && pair.ours_has("10.1.0.0/16");
            let minus = pair.has("-10.2.0.0/16") && !pair.ours_has("10.2.0.0/16");
            let done = pair.debian.status == 1 && pair.ours.status == 0;
            done && pair.ours.stderr.is_empty() && pair.ours_has("10.0.0.0/8") && (plus || minus)
        },
    ),
    kept(
        "long names of interfaces",
        "a name of more than 15 bytes is an error; Debian's takes the interface whose name is the \
         beginning of it",
        |pair| pair.refused(),
    ),
    kept(
        "endpoints that do not resolve may be left out",
        "with WG_ENDPOINT_RESOLUTION_SKIP=1 all other peers are set, and the exit status is 2",
        |pair| {
            let set = ["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"].iter();
            (pair.debian.status, pair.ours.status) == (1, 2)
                && pair.same_stderr()
                && set.copied().all(|ip| pair.ours_has(ip))
        },
    ),
];

impl Pair<'_> {
    /// Whether the word is among the words of the command.
    fn has(&self, name: &str) -> bool {
        self.ours.words.iter().any(|word| word.split(' ').any(|word| word == name))
    }

    fn only_state(&self) -> bool {
        self.same_status() && self.same_stdout() && self.same_stderr()
    }

    /// Whether ours reports an error and changes nothing where Debian's ignores a word.
    fn refused(&self) -> bool {
        let (debian, ours) = (self.debian, self.ours);
        let changed = self.before.is_some_and(|before| ours.state.as_deref() != Some(before));
        debian.status == 0 && ours.status == 1 && !ours.stderr.is_empty() && !changed
    }

    /// Whether the kernel of our side has this line now.
    fn ours_has(&self, text: &str) -> bool {
        self.ours.state.as_ref().is_some_and(|state| state.contains(text))
    }

    /// Whether the kernels differ only in preshared keys and keepalives that ours has cleared.
    fn only_cleared(&self) -> bool {
        let (Some(debian), Some(ours)) = (&self.debian.state, &self.ours.state) else {
            return false;
        };
        let same = |debian: &str, ours: &str| {
            let (debian, ours): (Vec<_>, Vec<_>) =
                (debian.split('\t').collect(), ours.split('\t').collect());
            let cleared = |at: usize| match at {
                2 => ours[at] == "(none)",
                8 => ours[at] == "off",
                4 => sorted_list(debian[at]) == sorted_list(ours[at]),
                _ => false,
            };
            debian.len() == ours.len()
                && (0..ours.len()).all(|at| debian[at] == ours[at] || cleared(at))
        };
        let count = |text: &str| text.lines().count();
        count(debian) == count(ours)
            && debian.lines().zip(ours.lines()).all(|(debian, ours)| same(debian, ours))
    }
}

fn sorted_list(text: &str) -> Vec<&str> {
    let mut list: Vec<&str> = text.split(',').collect();
    list.sort_unstable();
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};
    use xtask::build::workspace;

    /// All Rust code below a folder.
    fn sources(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else if path.extension().is_some_and(|end| end == "rs") {
                all.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn each_difference_that_is_kept_has_a_test_that_is_there() {
        let mut all = String::new();
        for folder in ["agent/src", "proto-core/src", "lab/src/routers", "lab/tests/suites"] {
            sources(&workspace().join(folder), &mut all);
        }
        let mut count = 0;
        for page in ["wg.md", "wg-quick.md"] {
            let text = fs::read_to_string(workspace().join("docs").join(page)).unwrap();
            let (_, rest) = text.split_once("## Differences that are kept").unwrap();
            let table = rest.split("\n## ").next().unwrap();
            let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
            for row in rows {
                let tests = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap().trim();
                for test in tests.split(", ") {
                    let there = if let Some(name) = test.strip_prefix("`wg-diff`: ") {
                        TABLE.iter().any(|known| known.name == name)
                    } else if let Some(name) = test.strip_prefix("*lab*: ") {
                        all.contains(&format!("(\"{name}"))
                    } else {
                        let name = test.trim_matches('`').rsplit('/').next().unwrap();
                        all.contains(&format!("fn {name}("))
                    };
                    assert!(there, "{page}: {row}: {test}");
                    count += 1;
                }
            }
        }
        assert!(count > 40, "{count}");
    }

    #[test]
    fn the_documentation_has_each_of_them() {
        let text = std::fs::read_to_string(workspace().join("docs").join("wg.md")).unwrap();
        for known in TABLE {
            assert!(text.contains(&format!("`wg-diff`: {}", known.name)), "{}", known.name);
        }
    }
}
