//! How a command ends: text for a person, or one JSON object on stdout.
//!
//! # `--json`
//!
//! Always there: `command`, `ok`, `exit_code`, `warnings` (a list of problems, which are objects of
//! `severity`, `file`, `line`, `column`, `message`, `related_lines`, `help`).
//!
//! When `ok`, one more named `result`, an object:
//!
//! | command | fields of `result` |
//! |---|---|
//! | `push` | `interface`, `router`, `changed`, `summary` (null if the answer was lost), `public_key`, `listen_port`, `number`, `stored`, `confirmed`, `confirm_within` |
//! | `diff` | `interface`, `router`, `changed`, `summary`, `public_key`, `listen_port`, `changes` |
//! | `show` | `router`, `interfaces` |
//! | `rollback`, `repair`, `remove` | the fields of `push` |
//! | `confirm` | `router`, `interface`, `number` |
//! | `revert` | `router`, `interface` |
//! | `history` | `router`, `configurations`: a list of what is below |
//! | `status` | `router`, the fields of `proto_core::protocol::message::Status`, and `stored`: a list of what is below with `agrees` (null if the router could not say), `drift` (a summary), `changes` (with `--changes`) and `failure` |
//! | `check` | `interface`, `public_key`, `counts`, `image_bytes` |
//! | `keygen` | `file`, `public_key`, `fingerprint`, `replaced` (the old one's fingerprint) |
//! | `key` | `file`, `public_key`, `fingerprint` |
//! | `claim` | `router`, `owner` |
//! | `owner list` | `router`, `owners`: a list of `public_key`, `fingerprint`, `role`, `name`, `you` |
//! | `owner add`, `owner remove` | `router`, `public_key`, `owners` (how many there are now) |
//! | `unlock` | `code`, `challenge`, `role`, `router` (`name`, `public_key`, `fingerprint`), `owner` (`public_key`, `fingerprint`) |
//! | `routers` | `routers`: a list of `name`, `public_key`, `fingerprint`, `udp`, `serial` (addresses that were given), `last_seen` (options, the latest first) |
//! | `routers add`, `routers forget` | the fields of one of these |
//!
//! `router` is an object of `hostname`, `board`, `agent`, and of `name`, `public_key`, `fingerprint` as
//! `routers` has them; `summary` one of `created`, `device` (a
//! list of `private_key`, `listen_port`, `fwmark`, `mtu`, `up`) and, with the numbers `added`,
//! `changed`, `removed`, `same` in each, `addresses`, `routes`, `rules`, `peers`.
//!
//! A stored configuration is an object of `interface`, `number`, `time` (Unix time by the router's clock),
//! `public_key` and `by` (whose key and name), `act` (`pushed`, `rolled_back` or `removed`), `rolled_back_to`,
//! `length`, `damaged`, `digest` (of the image as it was pushed, in hexadecimal).
//!
//! `number` is the one in the history, `stored` whether anything was written, `confirmed` whether this command
//! confirmed it, `confirm_within` the seconds that are left to do it by hand, 0 when it need not be.
//!
//! When not `ok`, one more named `error`:
//!
//! | field | is |
//! |---|---|
//! | `kind` | `usage`, `file`, `own` (a file of the operator), `connection`, `router` or `interrupted` |
//! | `message` | what a person would read |
//! | `hint` | what to do next, or null |
//! | `file`, `line` | where in the file, or null |
//! | `code` | the name of the cause, or null: see [`crate::ops::Error`] |
//! | `subject`, `text`, `errno`, `errno_name` | for `router`: what it was about, in whose words |
//! | `state` | of the running configuration, for what changes it: `unchanged`, `undone`, `partly`, `taken_back`, `unconfirmed` or `unknown` |
//! | `problems` | for `file`: the list of problems |
//!
//! Fields may be added; none changes its meaning.

use std::io::Write as _;

use serde::Serialize;

use crate::exit;
use crate::home::HomeError;
pub use crate::ops::{Kind, Outcome};
use crate::problem::{Problem, ProblemJson, Source};
use crate::ui::say;

/// What every end of a command needs.
#[derive(Debug)]
pub struct Context {
    command: &'static str,
    /// Whether it is JSON that is wanted.
    pub json: bool,
    warnings: Vec<ProblemJson>,
}

impl Context {
    /// The context of a command that begins.
    #[must_use]
    pub const fn new(command: &'static str, json: bool) -> Self {
        Self { command, json, warnings: Vec::new() }
    }

    /// Warns: at once on stderr, or later in the JSON object.
    pub fn warn(&mut self, source: &Source, problems: &[Problem]) {
        for problem in problems {
            if self.json {
                self.warnings.push(problem.json(source));
            } else {
                say(problem.render(source).trim_end());
            }
        }
    }
}

#[derive(Serialize)]
struct Object<'a, R> {
    command: &'static str,
    ok: bool,
    exit_code: u8,
    warnings: &'a [ProblemJson],
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Error>,
}

fn print_json(object: &impl Serialize, code: u8) -> u8 {
    match serde_json::to_string(object) {
        Ok(text) => print(&text, code),
        Err(error) => unwritten(&error, code),
    }
}

/// Prints a result to stdout, and returns the exit code: `code`, unless the result could not be written.
fn print(text: &str, code: u8) -> u8 {
    let mut stdout = std::io::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()), code)
}

/// The exit code of a command that ended with `code`, and whose output was written or not.
pub(crate) fn written(outcome: std::io::Result<()>, code: u8) -> u8 {
    match outcome {
        Ok(()) => code,
        // A reader that has seen enough, such as `head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => code,
        Err(error) => unwritten(&error, code),
    }
}

/// A result that is lost must not look like success: a record of a change may be missing.
fn unwritten(error: &dyn std::fmt::Display, code: u8) -> u8 {
    say(&format!(
        "postwire: cannot write the output: {error}; the command itself had ended with exit code {code}"
    ));
    exit::OUTPUT
}

/// A command that went well.
#[derive(Debug)]
pub struct Done<R> {
    /// 0, or 4 for a `diff` or `status` that found differences.
    pub code: u8,
    /// For a person, without a last end of line.
    pub text: String,
    /// For `--json`.
    pub result: R,
}

impl<R: Serialize> Done<R> {
    /// Prints it and returns the exit code.
    pub fn finish(self, context: &Context) -> u8 {
        if context.json {
            let object = Object {
                command: context.command,
                ok: true,
                exit_code: self.code,
                warnings: &context.warnings,
                result: Some(self.result),
                error: None,
            };
            print_json(&object, self.code)
        } else {
            print(&self.text, self.code)
        }
    }
}

/// An error as `--json` gives it.
#[derive(Debug, Serialize)]
pub struct Error {
    /// Which side it is on.
    pub kind: Kind,
    /// What a person would read.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The file it is in.
    pub file: Option<String>,
    /// The line of the file.
    pub line: Option<usize>,
    /// What the router says: the kind of failure,
    pub code: Option<String>,
    /// what it is about,
    pub subject: Option<String>,
    /// in its words,
    pub text: Option<String>,
    /// with the kernel's number
    pub errno: Option<u16>,
    /// and its name.
    pub errno_name: Option<&'static str>,
    /// What became of the running configuration.
    pub state: Option<Outcome>,
    /// What is wrong with the file.
    pub problems: Vec<ProblemJson>,
}

/// A command that went wrong.
#[derive(Debug)]
pub struct Failed {
    /// The facts.
    pub error: Box<Error>,
    /// The file's problems as text, in place of the message.
    rendered: String,
}

impl Failed {
    /// A failure with a message.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let error = Error {
            kind,
            message: message.into(),
            hint: None,
            file: None,
            line: None,
            code: None,
            subject: None,
            text: None,
            errno: None,
            errno_name: None,
            state: None,
            problems: Vec::new(),
        };
        Self { error: Box::new(error), rendered: String::new() }
    }

    /// The command line is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The file is wrong. Not all of very many problems are shown as text.
    #[must_use]
    pub fn file(source: &Source, problems: &[Problem]) -> Self {
        const SHOWN: usize = 20;
        let count = problems.len();
        let errors = if count == 1 { "1 error".into() } else { format!("{count} errors") };
        let mut failed = Self::new(Kind::File, format!("{}: {errors}", source.name));
        for problem in problems.iter().take(SHOWN) {
            failed.rendered += &problem.render(source);
        }
        if count > SHOWN {
            failed.rendered += &format!("... and {} more\n", count - SHOWN);
        }
        failed.error.problems = problems.iter().map(|problem| problem.json(source)).collect();
        failed.error.file = Some(source.name.clone());
        let first = problems.first().and_then(|problem| problem.place.as_ref());
        failed.error.line = first.map(|place| place.line);
        failed
    }

    /// One of the operator's own files is wrong, or what was asked of it.
    #[must_use]
    pub fn own(error: &HomeError) -> Self {
        Self::new(Kind::Own, error.to_string()).hint(error.hint())
    }

    /// The same failure with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.error.hint = hint;
        self
    }

    /// Prints it and returns the exit code.
    pub fn finish(self, context: &Context) -> u8 {
        let code = match self.error.kind {
            Kind::Usage | Kind::File | Kind::Own => exit::USAGE,
            Kind::Connection => exit::CONNECTION,
            Kind::Router => exit::ROUTER,
            Kind::Interrupted => exit::INTERRUPTED,
        };
        if context.json {
            let object = Object::<()> {
                command: context.command,
                ok: false,
                exit_code: code,
                warnings: &context.warnings,
                result: None,
                error: Some(&self.error),
            };
            return print_json(&object, code);
        }
        if !self.rendered.is_empty() {
            say(self.rendered.trim_end());
        }
        match self.error.file {
            // A place in front is what editors and people look for.
            Some(_) => say(&self.error.message),
            None => say(&format!("postwire: {}", self.error.message)),
        }
        match self.error.state {
            Some(Outcome::Unchanged) => say("The router's running configuration is as it was."),
            Some(Outcome::Partly) => {
                say(
                    "Some changes were made and could not be taken back: `postwire diff FILE` shows what \
                     FILE is missing, `postwire status --changes` what differs from what is stored.",
                );
            }
            Some(Outcome::Undone) => {
                say(
                    "What had been changed was changed back: the router's running configuration is as \
                     it was.",
                );
            }
            Some(Outcome::Unknown) => {
                say("The router had been told to apply: whether it did is not known. \
                     `postwire diff FILE` or `postwire history` tell.");
            }
            // The message says it.
            Some(Outcome::TakenBack | Outcome::Unconfirmed) | None => {}
        }
        if let Some(hint) = &self.error.hint {
            say(&format!("hint: {hint}"));
        }
        code
    }
}
