//! The result of a command: text for the user, or one JSON object on stdout.
//!
//! # `--json`
//!
//! Always present: `command`, `ok`, `exit_code`, `warnings` (a list of problems, which are objects
//! of `severity`, `file`, `line`, `column`, `message`, `related_lines`, `help`). `ok` is true with the exit codes 0 and 4.
//!
//! Unless there is an `error`, also `result`, an object:
//!
//! | command | fields of `result` |
//! |---|---|
//! | `push` | `interface`, `router`, `changed`, `summary` (null if the answer was lost), `public_key`, `listen_port`, `number`, `stored`, `confirmed`, `confirm_within` |
//! | `diff` | `interface`, `router`, `changed`, `summary`, `public_key`, `listen_port`, `changes`, `drift` (what another program changed, or null), `needs_adopt` |
//! | `show` | `router`, `interfaces`, `left_out` (how many are not shown: a router lists eight names) |
//! | `rollback`, `repair`, `remove` | the fields of `push` |
//! | `confirm` | `router`, `interface`, `number` |
//! | `revert` | `router`, `interface` |
//! | `history` | `router`, `configurations`: a list of the objects below |
//! | `status` | `router`, fields of `proto_core::protocol::message::Status`: `hostname`, `board`, `kernel`, `machine`, `uptime`, `wireguard`, `peak_memory`, `applied`, `failed`, `garbage`, `text`, `interfaces`, `links`, `longest_turn`, `pending`, `unresolved`, `trouble`, `drift`, `drifting`; and `stored`: a list of the objects below with `agrees` (null if the router could not tell), `drift` (a summary), `changes` (with `--changes`) and `failure` |
//! | `check` (an object for each file) | `file`, `interface`, `public_key`, `counts`, `image_bytes` |
//! | `keygen` | `file`, `public_key`, `fingerprint`, `replaced` (the fingerprint of the old key), `old_file` (where the old key is now) |
//! | `key` | `file`, `public_key`, `fingerprint` |
//! | `claim` | `router`, `owner` |
//! | `labels make` | `folder`, `list` (the file with the secrets), `numbers` |
//! | `owner list` | `router`, `owners`: a list of `public_key`, `fingerprint`, `role` (`admin`, `read-only`, or `role_N` for a number that has no name here), `name`, `you` |
//! | `owner add`, `owner remove` | `router`, `public_key`, `owners` (number of owners after the change) |
//! | `hand-over` | the record: `version`, `operation`, `router_key`, `fingerprint`, `hostname`, `board`, `agent`, `tool`, `operator` and `customer` (public keys), `customer_name`, `removed`, `configurations`, `outcome`, `ended`, `mac` |
//! | `take-over` | `record`, `name`, `verified` |
//! | `console` | `router`, `lines`: a list of `line`, `output` (which is what the router printed) and `failed` |
//! | `unlock` | `code`, `challenge`, `role`, `router` (`name`, `public_key`, `fingerprint`), `owner` (`public_key`, `fingerprint`) |
//! | `routers` | `routers`: a list of `name`, `public_key`, `fingerprint`, `udp`, `serial` (addresses that were given), `last_seen` (options, the latest first) |
//! | `fleet check` | `manifest`, `units` (a number), `unreached`: a list of `unit`, `message`; `warnings` |
//! | `fleet push`, `fleet diff`, `fleet status`, `fleet repair` | `run`, `operation`, `records` (the file), `resumed`, `outcomes` (how many units have each), `left` (not begun), `stopped` (`max_fail`, `interrupted`, `records`, `own` or null), `reason`, `units`: those that are not done or that differ, objects of `unit`, `outcome`, `code`, `message`, at most a thousand, and all whose outcome is `unknown`; `warnings` (sentences) |
//! | `line` | `run`, `records` (the file), `done`, `left` (numbers of units), `outcomes` (how many units of this run have each), `failed` (their names), `stopped` (`interrupted` by a second Ctrl-C, `records`, `own` or null), `reason`, `warnings` |
//! | `records` | `yield`, `records`: objects as `provision/schema/record.schema.json` describes; `warnings` |
//! | `routers add`, `routers forget` | `name`, `public_key`, `fingerprint`, `udp`, `serial`, `last_seen` |
//!
//! `router` is an object of `hostname`, `board`, `serial_number`, `macs`, `agent`, and of `name`, `public_key`,
//! `fingerprint` as in `routers`; `summary` is an object of `created`, `device` (a list of
//! `private_key`, `listen_port`, `fwmark`, `mtu`, `up`, `foreign`) and, with the numbers `added`, `changed`,
//! `removed`, `same` in each, `addresses`, `routes`, `rules`, `peers`.
//!
//! A stored configuration is an object of `interface`, `number`, `time` (Unix time by the router's
//! clock), `public_key` and `by` (the key and name of the owner), `act` (`pushed`, `rolled_back`,
//! `removed`, or `act_N` for a number that has no name here), `rolled_back_to`, `length`, `damaged`, `digest` (of the image as it was pushed, in
//! hexadecimal).
//!
//! `number` is the number in the history, `stored` whether anything was written, `confirmed`
//! whether this command confirmed the change, `confirm_within` the seconds that are left to confirm
//! it by hand, 0 if no confirmation is needed.
//!
//! A command that could not do its work has `error` in place of `result`:
//!
//! | field | meaning |
//! |---|---|
//! | `kind` | `usage`, `file`, `own` (a file of the operator), `connection`, `router` or `interrupted` |
//! | `message` | the message for the user |
//! | `hint` | the suggested next step, or null |
//! | `file`, `line` | where in the file, or null |
//! | `code` | the name of the cause, or null: see [`crate::ops::Error`] |
//! | `subject`, `text`, `errno`, `errno_name` | for `router`: what it was about, in whose words |
//! | `state` | of the running configuration, for what changes it: `unchanged`, `undone`, `partly`, `taken_back`, `unconfirmed` or `unknown` |
//! | `problems` | for `file`: the list of problems |
//! | `mistakes` | for `file`: the mistakes of a manifest, objects of `file`, `line`, `column`, `message`, `help` |
//!
//! Fields may be added; the meaning of a field never changes.

use std::io::Write as _;

use serde::Serialize;

use crate::exit;
use crate::home::HomeError;
use crate::manifest::Mistake;
pub use crate::ops::{Kind, Outcome};
use crate::problem::{Problem, ProblemJson, Source};
use crate::ui::{say, say_error};

/// The fields of every result of a command.
#[derive(Debug)]
pub struct Context {
    command: &'static str,
    /// Whether the output is JSON.
    pub json: bool,
    warnings: Vec<ProblemJson>,
}

impl Context {
    /// The context of a new command.
    #[must_use]
    pub const fn new(command: &'static str, json: bool) -> Self {
        Self { command, json, warnings: Vec::new() }
    }

    /// Reports a warning: at once on stderr, or later in the JSON object.
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

/// The exit code of a command that ended with `code`, depending on whether its output could be
/// written.
pub(crate) fn written(outcome: std::io::Result<()>, code: u8) -> u8 {
    match outcome {
        Ok(()) => code,
        // The reader has closed the pipe, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => code,
        Err(error) => unwritten(&error, code),
    }
}

/// A lost result must not look like success: the record of a change may be missing.
fn unwritten(error: &dyn std::fmt::Display, code: u8) -> u8 {
    say_error(&format!(
        "cannot write the output: {error}; the command itself had ended with exit code {code}"
    ));
    exit::OUTPUT
}

/// The result of a successful command.
#[derive(Debug)]
pub struct Done<R> {
    /// 0, or 4 for a `diff` or `status` that found differences.
    pub code: u8,
    /// The text for the user, without a final line end.
    pub text: String,
    /// The object for `--json`.
    pub result: R,
}

impl<R: Serialize> Done<R> {
    /// Prints it and returns the exit code.
    pub fn finish(self, context: &Context) -> u8 {
        if context.json {
            let object = Object {
                command: context.command,
                ok: matches!(self.code, exit::DONE | exit::CHANGES),
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
    /// The area of the error.
    pub kind: Kind,
    /// The message for the user.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// The line of the file.
    pub line: Option<usize>,
    /// From the router: the code of the failure,
    pub code: Option<String>,
    /// its subject,
    pub subject: Option<String>,
    /// its text,
    pub text: Option<String>,
    /// the kernel's error number
    pub errno: Option<u16>,
    /// and the number's name.
    pub errno_name: Option<&'static str>,
    /// The state of the running configuration.
    pub state: Option<Outcome>,
    /// The problems of the file.
    pub problems: Vec<ProblemJson>,
    /// The mistakes of a manifest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// The result of a failed command.
#[derive(Debug)]
pub struct Failed {
    /// The error.
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
            mistakes: Vec::new(),
        };
        Self { error: Box::new(error), rendered: String::new() }
    }

    /// An error in the command line.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The user pressed Ctrl-C.
    #[must_use]
    pub(crate) fn interrupted() -> Self {
        let mut failed = Self::new(Kind::Interrupted, "interrupted");
        failed.error.code = Some("interrupted".into());
        failed
    }

    /// An error in FILE. If there are very many problems, the text shows only some of them.
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

    /// An error in one of the operator's own files, or in a request about them.
    #[must_use]
    pub fn own(error: &HomeError) -> Self {
        match error {
            HomeError::Interrupted => Self::interrupted(),
            error => Self::new(Kind::Own, error.to_string()).hint(error.hint()),
        }
    }

    /// Sets the problems as text.
    pub(crate) fn rendered(mut self, text: String) -> Self {
        self.rendered = text;
        self
    }

    /// Adds the next step.
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
            // The place comes first, as editors and people expect.
            Some(_) => say(&self.error.message),
            None => say_error(&self.error.message),
        }
        match self.error.state {
            Some(Outcome::Unchanged) => say("The router's running configuration is unchanged."),
            Some(Outcome::Partly) => {
                say(
                    "Some changes were made and could not be reverted: `postwire diff FILE` shows the \
                     differences from FILE, `postwire status --changes` those from the stored configuration.",
                );
            }
            Some(Outcome::Undone) => {
                say(
                    "The changes were reverted: the router's running configuration is the same as \
                     before.",
                );
            }
            Some(Outcome::Unknown) => {
                say("The change was sent, but its result is unknown: \
                     see `postwire diff FILE` or `postwire history`.");
            }
            // The message has the place already.
            Some(Outcome::TakenBack | Outcome::Unconfirmed) | None => {}
        }
        if let Some(hint) = &self.error.hint {
            say(&format!("hint: {hint}"));
        }
        code
    }
}
