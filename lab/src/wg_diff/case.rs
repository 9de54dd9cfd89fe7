//! A case: a script that calls `wg`; and the files with the written cases.

/// A case, run on both sides.
pub(super) struct Case {
    pub(super) name: String,
    /// The script for busybox's shell, run after `guest.sh`.
    pub(super) script: String,
}

impl Case {
    /// Whether the case uses the tunnel of `tunnel.sh`.
    pub(super) fn is_of_tunnel(&self) -> bool {
        self.name.starts_with("tunnel: ")
    }
}

/// The files with written cases.
const FILES: &[&str] = &[
    include_str!("cases/show.sh"),
    include_str!("cases/set.sh"),
    include_str!("cases/conf.sh"),
    include_str!("cases/parse.sh"),
    include_str!("cases/words.sh"),
    include_str!("cases/environment.sh"),
    include_str!("cases/tunnel.sh"),
    include_str!("cases/large.sh"),
    include_str!("cases/kept.sh"),
];

/// The cases that are the same in every run.
pub(super) fn fixed() -> Vec<Case> {
    FILES.iter().flat_map(|file| split(file)).collect()
}

/// Splits a file at the lines that start with `== `; the text before the first is for readers.
fn split(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in file.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.trim_end().to_owned(), script: String::new() });
        } else if let Some(case) = cases.last_mut() {
            case.script.push_str(line);
        }
    }
    for case in &mut cases {
        case.script.truncate(case.script.trim_end().len());
    }
    cases
}

/// Quotes any text as a word of a shell script.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_file_is_cut_at_its_names() {
        let cases = split("# for readers\n\n== one\nwg\n\n== two\nwg show\nwg help\n");
        let cases: Vec<_> = cases.iter().map(|case| (&*case.name, &*case.script)).collect();
        assert_eq!(cases, [("one", "wg"), ("two", "wg show\nwg help")]);
    }

    #[test]
    fn each_case_has_a_name_of_its_own_and_calls_something() {
        let mut names = BTreeSet::new();
        for case in fixed() {
            assert!(case.script.lines().any(|line| line.contains("wg")), "{}", case.name);
            assert!(names.insert(case.name.clone()), "two cases are called {}", case.name);
        }
    }
}
