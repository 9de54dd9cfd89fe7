//! Runs the cases in a machine, in a network namespace of its own: all of one side in one script,
//! because a round trip to the machine costs more than a case.

use super::{case::Case, compare::excerpt, keys};
use crate::Vm;
use anyhow::{Context, Result, ensure};
use std::{
    fmt::{self, Write},
    time::Duration,
};

const GUEST: &str = include_str!("guest.sh");
const TUNNEL: &str = include_str!("tunnel.sh");
/// Time limit for all cases of one side.
const LIMIT: Duration = Duration::from_secs(3600);

/// The effects of a command in a case, on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The program and its arguments, as the shell passed them.
    pub(super) words: Vec<String>,
    pub(super) status: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// The output of Debian's `wg show all dump` after the command; `None` if it was not run.
    pub(super) state: Option<String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = format!("{}\n", self.words.join(" "));
        writeln!(f, "$ {}\n= {}", excerpt(&words, 3).trim(), self.status)?;
        for (mark, text) in [("|", &self.stdout), ("!", &self.stderr)] {
            for line in excerpt(text, 30).lines() {
                writeln!(f, "{mark} {}", line.trim_start())?;
            }
        }
        for line in excerpt(self.state.as_deref().unwrap_or_default(), 6).lines() {
            writeln!(f, "# {}", line.trim_start())?;
        }
        Ok(())
    }
}

/// The results of a case on one side: its steps, or the reason why they are unknown.
pub(super) type Ran = Result<Vec<Step>>;

/// Creates the tunnel that cases use.
pub(super) fn make_tunnel(vm: &Vm) -> Result<()> {
    vm.sh(TUNNEL)?.ok().context("the tunnel")?;
    Ok(())
}

/// Runs the cases on one side.
pub(super) fn side(vm: &Vm, side: &str, cases: &[Case]) -> Result<Vec<Ran>> {
    let mut script = format!("{GUEST}\n{}\n", keys::prelude());
    for (number, case) in cases.iter().enumerate() {
        write!(script, "begin {number}; (\n{}\nfinish\n); end\n", case.script)?;
    }
    script.push_str("kill $watcher\n");
    vm.put("/diff/all.sh", 0o644, script.as_bytes())?;
    let run = format!("cd /diff && unshare -n sh ./all.sh {side}");
    let output = vm.sh_with(&run, b"", LIMIT)?.ok()?;
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let get = |file: &str| -> Result<Vec<String>> {
        let run = format!("cat /diff/results/{side}/{file}");
        let output = vm.sh_with(&run, b"", LIMIT)?.ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut parts: Vec<String> = text.split('\u{1d}').map(str::to_owned).collect();
        // After the end of the last case.
        parts.pop();
        ensure!(
            parts.len() == cases.len(),
            "{file} of {side} has {} cases instead of {}",
            parts.len(),
            cases.len()
        );
        Ok(parts)
    };
    let (out, err, state, words) = (get("out")?, get("err")?, get("state")?, get("words")?);
    let parts = out.iter().zip(&err).zip(state.iter().zip(&words));
    Ok(parts.map(|((out, err), (state, words))| steps(out, err, state, words)).collect())
}

/// Splits the four files of one case into steps.
fn steps(out: &str, err: &str, state: &str, words: &str) -> Ran {
    let out: Vec<&str> = out.split('\u{1e}').collect();
    let err: Vec<&str> = err.split('\u{1e}').collect();
    let aside = out.iter().step_by(3).chain(err.iter().step_by(2)).copied().collect::<String>();
    ensure!(aside.is_empty(), "the case itself printed {aside:?}");
    let mut steps = Vec::new();
    let mut states = state.split('\u{1e}');
    let mut errs = err.iter().skip(1).step_by(2);
    let mut outs = out.iter().skip(1);
    for words in words.split_terminator('\u{1e}') {
        let cut = "the case ended in the middle of a command";
        steps.push(Step {
            words: words.split_terminator('\u{1f}').map(str::to_owned).collect(),
            stdout: (*outs.next().context(cut)?).to_owned(),
            status: outs.next().context(cut)?.parse()?,
            stderr: (*errs.next().context(cut)?).to_owned(),
            state: states.next().filter(|state| *state != "?").map(str::to_owned),
        });
        outs.next();
    }
    let last = steps.last_mut().context("the case runs nothing")?;
    // The state at the end of the case.
    let at_end = states.next().context("the case did not end")?;
    last.state.get_or_insert_with(|| at_end.to_owned());
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_files_are_taken_apart() {
        let out = "\u{1e}wg0\n\u{1e}0\u{1e}\u{1e}\u{1e}1\u{1e}";
        let err = "\u{1e}\u{1e}\u{1e}no\n\u{1e}";
        let words = "wg\u{1f}show\u{1f}\u{1e}wg\u{1f}\u{1f}\u{1e}";
        let steps = steps(out, err, "?\u{1e}?\u{1e}b", words).unwrap();
        let step = |words: &[&str], status, stdout: &str, stderr: &str, state: Option<&str>| Step {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            status,
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
            state: state.map(str::to_owned),
        };
        let wanted = [
            step(&["wg", "show"], 0, "wg0\n", "", None),
            step(&["wg", ""], 1, "", "no\n", Some("b")),
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn what_a_case_prints_by_itself_is_an_error() {
        assert!(steps("oops\u{1e}\u{1e}0\u{1e}", "\u{1e}\u{1e}", "\u{1e}", "wg\u{1e}").is_err());
        assert!(steps("\u{1e}\u{1e}0\u{1e}", "\u{1e}\u{1e}oops", "\u{1e}", "wg\u{1e}").is_err());
        assert!(steps("", "", "", "").is_err());
        assert!(steps("\u{1e}half", "\u{1e}", "", "wg\u{1e}").is_err());
    }
}
