//! Progress on stderr: a bar on a terminal, a line for each step elsewhere, nothing with `--json`.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};

use clap::builder::Styles;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto_core::protocol::message::Phase;

use crate::interrupt;
use crate::observe::{Event, Observer};

/// Prints a line to stderr, best effort.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A word of a command that a message tells the person to type: in quotes if a shell would change it.
#[must_use]
pub fn word(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "_-+=@%:,./[]".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Prints an error to stderr as the parser of the command line prints its own, in colour on a terminal that has colours.
pub fn say_error(message: &str) {
    const STYLE: clap::builder::styling::Style = *Styles::styled().get_error();
    let _ = writeln!(anstream::stderr().lock(), "{STYLE}error:{STYLE:#} {message}");
}

/// Rings the bell of the terminal, best effort.
pub fn ring() {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(b"\x07").and_then(|()| stderr.flush());
}

/// Whether a question can be asked: stdin and stderr are terminals, and the output is not JSON.
#[must_use]
pub fn can_ask(json: bool) -> bool {
    !json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a yes-or-no question. Returns `false` for every answer but yes, and for Ctrl-C.
#[must_use]
pub fn ask(question: &str) -> bool {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let read = || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default()
    };
    let Some(line) = interrupt::unless_requested(read) else {
        // The cursor is behind the question.
        let _ = writeln!(stderr);
        return false;
    };
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The form in which progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Silent,
    Lines,
    Bar,
}

/// Shows progress.
#[derive(Debug)]
pub struct Ui {
    mode: Mode,
    verbose: bool,
    bar: Option<ProgressBar>,
    step: Option<Step>,
}

/// The step in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Uploading,
    Reading,
    Waiting,
    Phase(Phase),
}

/// What a router does in a phase of a commit.
#[must_use]
pub fn phase(phase: Phase) -> Cow<'static, str> {
    match phase {
        Phase::Checking => "checking".into(),
        Phase::Comparing => "comparing".into(),
        Phase::Applying => "applying".into(),
        Phase::Verifying => "verifying".into(),
        Phase::Unknown(number) => format!("working (phase {number})").into(),
    }
}

impl Step {
    fn word(self) -> Cow<'static, str> {
        match self {
            Self::Uploading => "uploading".into(),
            Self::Reading => "reading".into(),
            Self::Waiting => "waiting".into(),
            Self::Phase(at) => phase(at),
        }
    }

    const fn is_bytes(self) -> bool {
        matches!(self, Self::Uploading | Self::Reading)
    }
}

const BYTES: &str = "{msg:>10} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const SECONDS: &str = "{msg:>10} [{wide_bar}] {pos}/{len} s";
const ITEMS: &str = "{msg:>10} [{wide_bar}] {pos}/{len}";
const OPEN_END: &str = "{msg:>10} {spinner} {pos}";

impl Ui {
    /// Chooses the form: silent for `--json`, a bar on a terminal, lines elsewhere.
    #[must_use]
    pub fn new(json: bool, verbose: bool) -> Self {
        // A terminal that cannot move its cursor cannot show a bar.
        let moves = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mode = match (json, std::io::stderr().is_terminal() && moves) {
            (true, _) => Mode::Silent,
            (false, true) => Mode::Bar,
            (false, false) => Mode::Lines,
        };
        Self { mode, verbose, bar: None, step: None }
    }

    fn progress(&mut self, step: Step, done: u32, total: u32) {
        let fresh = self.step.replace(step) != Some(step);
        match self.mode {
            Mode::Silent => {}
            Mode::Lines => {
                // Reports are short, so reading one gets no line.
                if fresh && step != Step::Reading {
                    match (step.is_bytes(), total) {
                        _ if step == Step::Waiting => say(&format!("waiting {total} s")),
                        (true, _) => say(&format!("{} {total} bytes", step.word())),
                        (false, 0) => say(&step.word()),
                        (false, _) => say(&format!("{} {total} items", step.word())),
                    }
                }
            }
            Mode::Bar => {
                if fresh {
                    self.clear();
                    self.step = Some(step);
                }
                let bar = self.bar.get_or_insert_with(|| bar(step, total));
                bar.set_length(total.into());
                bar.set_position(done.into());
            }
        }
    }

    /// Removes the bar before a result is printed.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.step = None;
    }

    /// Prints a line before the command ends, unless `--json` is set.
    pub fn tell(&self, line: &str) {
        if self.mode != Mode::Silent {
            self.line(line);
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }
}

impl Observer for Ui {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Uploading { done, total } => self.progress(Step::Uploading, done, total),
            Event::Reading { done, total } => self.progress(Step::Reading, done, total),
            Event::Waiting { done, total } => self.progress(Step::Waiting, done, total),
            Event::Working { phase, done, total } => {
                self.progress(Step::Phase(phase), done, total);
            }
            Event::Idle => self.clear(),
            Event::Note(line) => self.tell(line),
            Event::Detail(line) if self.verbose => self.line(line),
            Event::Line(line) if self.verbose => self.line(&format!("line: {line}")),
            Event::Detail(_) | Event::Line(_) | Event::Committing | Event::Confirming => {}
        }
    }

    fn wants_details(&self) -> bool {
        self.verbose
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(step: Step, total: u32) -> ProgressBar {
    let template = match (step.is_bytes(), total) {
        _ if step == Step::Waiting => SECONDS,
        (true, _) => BYTES,
        (false, 0) => OPEN_END,
        (false, _) => ITEMS,
    };
    let bar = ProgressBar::with_draw_target(Some(total.into()), ProgressDrawTarget::stderr());
    // The templates are constants, checked by the test `templates_are_valid`.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(step.word());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_shell_reads_the_words_that_were_meant() {
        for text in [
            "shed",
            "/dev/ttyUSB0@115200",
            "[fe80::1%eth0]:5182",
            "",
            "my home/it's",
            "$(reboot)",
            "a;b&c",
            "~",
            "*",
            "!x",
            "#",
            "\u{e4}",
        ] {
            let line = format!("printf %s {}", word(text));
            let said = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
        }
        assert_eq!(word("[fd00::1]:5182"), "[fd00::1]:5182");
    }

    #[test]
    fn templates_are_valid() {
        for template in [BYTES, SECONDS, ITEMS, OPEN_END] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
