//! Compares our `wg` with Debian's in a case.

use super::{
    case::Case,
    known::TABLE,
    run::{Ran, Step},
};
use std::fmt::Write;

/// One command on both sides.
pub(super) struct Pair<'a> {
    pub(super) debian: &'a Step,
    pub(super) ours: &'a Step,
    /// The last known state of the kernel on our side.
    pub(super) before: Option<&'a str>,
    /// Whether the order of peers and allowed IPs is ignored, because it differed before (a known
    /// difference).
    pub(super) unordered: bool,
}

/// The difference between the kernels of the two sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Same,
    /// The same state in another order.
    Order,
    Different,
}

impl Pair<'_> {
    pub(super) fn state(&self) -> State {
        let (Some(debian), Some(ours)) = (&self.debian.state, &self.ours.state) else {
            return State::Same;
        };
        match (debian == ours, sorted(debian) == sorted(ours)) {
            (true, _) => State::Same,
            (_, true) => State::Order,
            _ => State::Different,
        }
    }

    pub(super) fn same_stdout(&self) -> bool {
        let (debian, ours) = (&self.debian.stdout, &self.ours.stdout);
        debian == ours || self.unordered && sorted(debian) == sorted(ours)
    }

    /// Whether both have, or both lack, output on standard error. The wording may differ.
    pub(super) fn same_stderr(&self) -> bool {
        self.debian.stderr.is_empty() == self.ours.stderr.is_empty()
    }

    pub(super) fn same_status(&self) -> bool {
        self.debian.status == self.ours.status
    }

    /// The parts in which the two sides differ; empty if there is no difference.
    pub(super) fn differs(&self) -> Vec<&'static str> {
        let state = match self.state() {
            State::Same => true,
            State::Order => self.unordered,
            State::Different => false,
        };
        let all = [
            (self.same_status(), "exit status"),
            (self.same_stdout(), "standard output"),
            (self.same_stderr(), "whether something is on standard error"),
            (state, "what the kernel has"),
        ];
        all.into_iter().filter(|(same, _)| !same).map(|(_, what)| what).collect()
    }
}

/// The words of each line, in sorted order, for comparison without regard to order.
fn sorted(text: &str) -> Vec<Vec<&str>> {
    let mut lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            let mut words: Vec<&str> = line.split([' ', '\t', ',']).collect();
            words.sort_unstable();
            words
        })
        .collect();
    lines.sort_unstable();
    lines
}

/// The result of a case.
#[derive(Default)]
pub(super) struct Verdict {
    /// The known differences that occurred, by their index in the table.
    pub(super) known: Vec<usize>,
    pub(super) commands: usize,
    /// The reason of a failure, with all outputs.
    pub(super) failure: Option<String>,
}

/// Compares a case. `secrets` must never appear on standard error.
pub(super) fn case(case: &Case, debian: &Ran, ours: &Ran, secrets: &[String]) -> Verdict {
    let mut verdict = Verdict::default();
    let (debian, ours) = match (debian, ours) {
        (Ok(debian), Ok(ours)) => (debian, ours),
        (debian, ours) => {
            for (side, ran) in [("Debian's wg", debian), ("ours", ours)] {
                if let Err(error) = ran {
                    verdict.failure = Some(format!("with {side} {error:#}\n{}", script(case)));
                }
            }
            return verdict;
        }
    };
    let mut unordered = false;
    // From the first difference between the kernels until they agree again, further differences are
    // mostly consequences.
    let mut apart = false;
    let mut before = None;
    let mut failures = Vec::new();
    for (debian, ours) in debian.iter().zip(ours) {
        let pair = Pair { debian, ours, before, unordered };
        before = ours.state.as_deref().or(before);
        if debian.words != ours.words {
            failures.push(report(&pair, "the two sides ran different commands"));
            break;
        }
        verdict.commands += 1;
        if secrets.iter().any(|secret| ours.stderr.contains(secret.as_str())) {
            failures.push(report(&pair, "ours shows a secret on standard error"));
        }
        let looked = ours.state.is_some();
        if apart && !(looked && pair.state() != State::Different) {
            continue;
        }
        apart = pair.state() == State::Different;
        let differs = pair.differs();
        if differs.is_empty() {
            continue;
        }
        match TABLE.iter().position(|known| known.is(&case.name, &pair)) {
            Some(known) => verdict.known.push(known),
            None => failures
                .push(report(&pair, &format!("the two differ in {}", differs.join(" and ")))),
        }
        unordered |= pair.state() == State::Order;
    }
    if debian.len() != ours.len() {
        let (debian, ours) = (debian.len(), ours.len());
        failures.push(format!("{debian} commands ran with Debian's wg and {ours} with ours"));
    }
    if let Some((first, others)) = failures.split_first() {
        let others = match others.len() {
            0 => String::new(),
            count => format!("--- and {count} differences more in this case\n"),
        };
        verdict.failure = Some(format!("{first}{others}{}", script(case)));
    }
    verdict
}

/// Number of lines to show.
const LINES: usize = 12;
const COLUMNS: usize = 400;

fn script(case: &Case) -> String {
    format!("--- the script\n{}", excerpt(&case.script, 80))
}

/// All outputs of a command on which the two sides differ.
fn report(pair: &Pair<'_>, what: &str) -> String {
    let words = pair.ours.words.join(" ") + "\n";
    let mut text = format!("{what}\n--- at:\n{}", excerpt(&words, 1));
    for (name, step) in [("Debian's wg", pair.debian), ("ours", pair.ours)] {
        let _ = writeln!(text, "--- {name}: exit status {}", step.status);
    }
    let parts = |step: &'_ Step| {
        let state = step.state.clone().unwrap_or_default();
        [step.stdout.clone(), step.stderr.clone(), state]
    };
    let names = ["standard output", "standard error", "the kernel (`wg show all dump`)"];
    let both = parts(pair.debian).into_iter().zip(parts(pair.ours));
    for (part, (debian, ours)) in names.iter().zip(both) {
        if debian == ours {
            let _ = write!(text, "--- {part}, the same:\n{}", excerpt(&ours, 4));
            continue;
        }
        let start = debian.lines().zip(ours.lines()).take_while(|(a, b)| a == b).count();
        let _ = writeln!(text, "--- {part}, from line {}:", start + 1);
        for (name, side) in [("Debian's wg", &debian), ("ours", &ours)] {
            let rest: Vec<&str> = side.split_inclusive('\n').skip(start).collect();
            let _ = write!(text, "  {name}:\n{}", excerpt(&rest.concat(), LINES));
        }
    }
    text
}

/// The start of a text, with invisible characters escaped.
pub(super) fn excerpt(text: &str, lines: usize) -> String {
    let mut shown = String::new();
    let mut all = text.split_inclusive('\n');
    for line in all.by_ref().take(lines) {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, ""),
            None => (line, " (no newline)"),
        };
        let visible: String = line.chars().take(COLUMNS).flat_map(char::escape_default).collect();
        let more = if line.len() > COLUMNS { " ..." } else { "" };
        let _ =
            writeln!(shown, "    {}{more}{end}", visible.replace("\\\"", "\"").replace("\\'", "'"));
    }
    let left = all.count();
    if left > 0 {
        let _ = writeln!(shown, "    ({left} lines more)");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(stdout: &str, state: &str) -> Step {
        Step {
            words: vec!["wg".into(), "show".into()],
            status: 0,
            stdout: stdout.to_owned(),
            stderr: String::new(),
            state: Some(state.to_owned()),
        }
    }

    fn verdict(debian: Step, ours: Step) -> Verdict {
        let name = Case { name: "a case".to_owned(), script: "wg show".to_owned() };
        case(&name, &Ok(vec![debian]), &Ok(vec![ours]), &["c2VjcmV0".to_owned()])
    }

    #[test]
    fn the_same_passes_and_each_difference_fails() {
        let base = step("a\n", "wg0\tx\n");
        assert!(verdict(base.clone(), base.clone()).failure.is_none());
        let others = [
            Step { status: 1, ..base.clone() },
            Step { stdout: "a".into(), ..base.clone() },
            Step { stderr: "warning".into(), ..base.clone() },
            Step { state: Some("wg0\ty\n".into()), ..base.clone() },
            Step { words: vec!["wg".into()], ..base.clone() },
        ];
        for other in others {
            let failure = verdict(base.clone(), other.clone()).failure;
            assert!(failure.is_some(), "{other:?}");
        }
    }

    #[test]
    fn wording_may_differ_but_not_tell_a_secret() {
        let base = Step { stderr: "no\n".into(), ..step("", "") };
        let other = Step { stderr: "better\n".into(), ..base.clone() };
        assert!(verdict(base.clone(), other).failure.is_none());
        let secret = Step { stderr: "key c2VjcmV0 is bad\n".into(), ..base.clone() };
        let failure = verdict(base, secret).failure.unwrap();
        assert!(failure.starts_with("ours shows a secret"), "{failure}");
    }

    #[test]
    fn another_order_is_told_from_another_state() {
        let state = |debian: &str, ours: &str| {
            let (debian, ours) = (step("", debian), step("", ours));
            Pair { debian: &debian, ours: &ours, before: None, unordered: false }.state()
        };
        assert_eq!(state("a\tb,c\nd\n", "d\na\tc,b\n"), State::Order);
        assert_eq!(state("a\tb,c\n", "a\tb,c\n"), State::Same);
        assert_eq!(state("a\tb,c\n", "a\tb\n"), State::Different);
    }
}
