//! `postwire console`: the router's commands, typed on the bench.
//!
//! The router executes and answers whole lines. What makes typing comfortable happens here: editing, history and
//! completion, by rustyline. Lines of a paste and answers to questions are not kept in the history.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use proto_core::protocol::message::{Code, ConsoleMode};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context as Typed, Editor};
use serde::Serialize;

use super::connect::connect;
use super::failure::describe;
use super::ui;
use crate::cli::{Console, Own};
use crate::ops::Router;
use crate::report::{Context, Done, Failed, Kind, written};
use crate::session::console::{CTRL_C, CTRL_D, LONGEST, Reply};
use crate::session::{Session, SessionError};
use crate::ui::say;
use crate::{drive, exit, interrupt};

/// The most commands that are remembered.
const HISTORY: usize = 500;
/// The most bytes of a line that standard input may have: enough to say how long it is.
const MAX_INPUT: u64 = 1 << 20;

/// What lines did, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Conversation {
    router: Router,
    lines: Vec<Said>,
}

#[derive(Debug, Serialize)]
struct Said {
    line: String,
    output: String,
    failed: bool,
}

pub(super) fn run(own: &Own, args: &Console, context: &Context) -> u8 {
    match converse(own, args) {
        Ok((code, Some(conversation))) => {
            Done { code, text: String::new(), result: conversation }.finish(context)
        }
        Ok((code, None)) => code,
        Err(Ended::Failed(failed)) => failed.finish(context),
        Err(Ended::Output(error)) => written(Err(error), exit::DONE),
    }
}

/// Why a conversation ended.
enum Ended {
    Failed(Box<Failed>),
    /// The output cannot be written.
    Output(std::io::Error),
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        Self::Failed(Box::new(failed))
    }
}

/// Returns the exit code, and what was said if that is to be printed as JSON.
fn converse(own: &Own, args: &Console) -> Result<(u8, Option<Conversation>), Ended> {
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    if args.line.is_empty() && !own.json && stdin.is_terminal() && stdout.is_terminal() {
        let history = own.find().map_err(|error| Failed::own(&error))?.console_history();
        type_lines(&mut session, &history)?;
        return Ok((exit::DONE, None));
    }
    let mut lines = own.json.then(Vec::new);
    let mut conversation = Script {
        session: &mut session,
        mode: ConsoleMode::Command,
        said: lines.as_mut(),
        failed: false,
    };
    if args.line.is_empty() {
        conversation.read()?;
    } else {
        conversation.one(&args.line.join(" "))?;
    }
    let code = if conversation.failed { exit::ROUTER } else { exit::DONE };
    Ok((code, lines.map(|lines| Conversation { router: Router::of(&session), lines })))
}

/// Describes why the router did not execute a line.
fn refused(error: SessionError) -> Failed {
    let unsupported =
        matches!(&error, SessionError::Failed(failure) if failure.code == Code::Unsupported);
    let failed = describe(error, None);
    match unsupported {
        true => failed.hint(Some(
            "the router's postwired was built without a console, or is older than this postwire"
                .into(),
        )),
        false => failed,
    }
}

/// Lines without a person to edit them.
struct Script<'s, 'u> {
    session: &'s mut Session<'u>,
    mode: ConsoleMode,
    /// Where the output is collected; `None` prints it.
    said: Option<&'s mut Vec<Said>>,
    /// Whether a line failed.
    failed: bool,
}

impl Script<'_, '_> {
    /// Sends one command, which gets no more lines.
    fn one(&mut self, line: &str) -> Result<(), Ended> {
        self.line(line, 1)?;
        let wanted = match self.mode {
            ConsoleMode::Paste => "the lines of a file",
            ConsoleMode::Question => "`yes`",
            _ => return Ok(()),
        };
        self.failed = true;
        say(&format!(
            "not done: after `{line}` the console waits for {wanted}; put all lines on standard input"
        ));
        self.send(CTRL_C, "")
    }

    /// Reads lines to the end of the input, until a line fails, or until the console is closed.
    fn read(&mut self) -> Result<(), Ended> {
        for number in 1.. {
            let read = || {
                let mut line = Vec::new();
                let mut input = std::io::stdin().lock().take(MAX_INPUT);
                input.read_until(b'\n', &mut line).map(|_| line)
            };
            let line = interrupt::unless_requested(read).ok_or_else(Failed::interrupted)?.map_err(
                |error| Failed::new(Kind::File, format!("cannot read standard input: {error}")),
            )?;
            if line.is_empty() {
                break;
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = std::str::from_utf8(line).map_err(|_| {
                Failed::usage(format!("line {number} of standard input is not UTF-8"))
            })?;
            self.line(line, number)?;
            if self.failed {
                say(&format!("line {number} failed; the lines after it were not executed"));
                return Ok(());
            }
            if self.mode == ConsoleMode::Exit {
                return Ok(());
            }
        }
        // The end of the input is the end of what is pasted.
        if self.mode == ConsoleMode::Paste {
            self.send(CTRL_D, "")?;
        }
        if self.mode == ConsoleMode::Question {
            self.failed = true;
            say("not done: standard input ended without an answer");
            self.send(CTRL_C, "")?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str, number: usize) -> Result<(), Ended> {
        if line.len() > LONGEST {
            let message = format!("line {number} has {} bytes, {LONGEST} at most", line.len());
            return Err(Failed::usage(message)
                .hint(Some("the lines before it were executed".into()))
                .into());
        }
        self.send(line.as_bytes(), line)
    }

    fn send(&mut self, bytes: &[u8], line: &str) -> Result<(), Ended> {
        let reply = drive::one(self.session.console(bytes)).map_err(refused)?;
        (self.mode, self.failed) = (reply.mode, self.failed || reply.failed);
        match &mut self.said {
            Some(said) => {
                said.push(Said { line: line.into(), output: reply.output, failed: reply.failed });
            }
            None => print(&reply.output)?,
        }
        Ok(())
    }
}

fn print(output: &str) -> Result<(), Ended> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(output.as_bytes()).and_then(|()| stdout.flush()).map_err(Ended::Output)
}

/// Lets a person type lines.
fn type_lines(session: &mut Session<'_>, history: &Path) -> Result<(), Ended> {
    let terminal = |error: ReadlineError| {
        Ended::from(Failed::new(Kind::Own, format!("cannot read from the terminal: {error}")))
    };
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(terminal)?
        .history_ignore_space(true)
        .build();
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(terminal)?;
    let interfaces = session.status().interfaces.iter().map(ToString::to_string).collect();
    editor.set_helper(Some(Words { interfaces }));
    // Best effort: there is no history at first, and commands work without one.
    let _ = editor.load_history(history);
    // An empty line only asks for the prompt.
    let mut reply = drive::one(session.console(b"")).map_err(refused)?;
    while reply.mode != ConsoleMode::Exit {
        let Reply { mode, prompt, output, .. } = &reply;
        print(output)?;
        let line = match editor.readline(prompt) {
            Ok(line) if line.len() > LONGEST => {
                print(&format!(
                    "a line has at most {LONGEST} bytes; this one has {}\n",
                    line.len()
                ))?;
                reply.output.clear();
                continue;
            }
            Ok(line) => {
                if *mode == ConsoleMode::Command && !line.trim().is_empty() {
                    // Best effort.
                    let _ = editor.add_history_entry(&line);
                    let _ = editor.append_history(history);
                }
                line.into_bytes()
            }
            // At a command, Ctrl-C drops the line; elsewhere it ends what was begun.
            Err(ReadlineError::Interrupted) => CTRL_C.into(),
            Err(ReadlineError::Eof) if *mode == ConsoleMode::Command => return Ok(()),
            Err(ReadlineError::Eof) => CTRL_D.into(),
            Err(error) => return Err(terminal(error)),
        };
        reply = drive::one(session.console(&line)).map_err(refused)?;
    }
    print(&reply.output)
}

/// The words of the console, for completion.
struct Words {
    interfaces: Vec<String>,
}

impl rustyline::Helper for Words {}
impl rustyline::highlight::Highlighter for Words {}
impl rustyline::validate::Validator for Words {}
impl rustyline::hint::Hinter for Words {
    type Hint = String;
}

/// The commands of the console, and whether an interface follows.
const COMMANDS: &[(&str, bool)] = &[
    ("commit", false),
    ("confirm", false),
    ("diff", true),
    ("drop", false),
    ("exit", false),
    ("help", false),
    ("history", true),
    ("identity", false),
    ("load", true),
    ("log", false),
    ("owners", false),
    ("remove", true),
    ("repair", true),
    ("revert", false),
    ("rollback", true),
    ("show", true),
    ("status", false),
];

/// What a word that ends a line may become: where the word begins, and the candidates.
fn complete(line: &str, interfaces: &[String]) -> (usize, Vec<String>) {
    let start = line.rfind(' ').map_or(0, |space| space + 1);
    let (before, word) = line.split_at(start);
    let candidates: Vec<&str> = match before.trim() {
        "" | "help" => COMMANDS.iter().map(|(name, _)| *name).collect(),
        command if COMMANDS.contains(&(command, true)) => {
            interfaces.iter().map(String::as_str).collect()
        }
        _ => Vec::new(),
    };
    let fit = candidates.into_iter().filter(|candidate| candidate.starts_with(word));
    (start, fit.map(|candidate| format!("{candidate} ")).collect())
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Typed<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, words) = complete(line.get(..at).unwrap_or_default(), &self.interfaces);
        let pair = |word: String| Pair { display: word.trim_end().into(), replacement: word };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The agent's table has the commands; those that a session has no use for are not completed.
    #[test]
    fn the_completed_commands_are_those_of_the_agents_table() {
        use postwired::console::words::{TABLE, Word, takes};
        const ELSEWHERE: [Word; 4] = [Word::More, Word::Unlock, Word::Claim, Word::Shell];
        let table = TABLE.iter().filter(|entry| !ELSEWHERE.contains(&entry.word));
        let interface = takes::INTERFACE | takes::ONE_INTERFACE;
        let mut table: Vec<_> =
            table.map(|entry| (entry.name, entry.takes & interface != 0)).collect();
        table.sort_unstable();
        assert_eq!(table, COMMANDS);
    }

    #[test]
    fn commands_and_interfaces_are_completed() {
        let interfaces = ["wg0".to_owned(), "wg1".to_owned()];
        let complete = |line| complete(line, &interfaces);
        assert_eq!(complete("sh"), (0, vec!["show ".into()]));
        assert_eq!(complete("re"), (0, vec!["remove ".into(), "repair ".into(), "revert ".into()]));
        assert_eq!(complete("show "), (5, vec!["wg0 ".into(), "wg1 ".into()]));
        assert_eq!(complete("help  stat"), (6, vec!["status ".into()]));
        assert_eq!(complete("rollback wg1"), (9, vec!["wg1 ".into()]));
        for nothing in ["status w", "rollback wg1 ", "x", "\u{e9} "] {
            assert_eq!(complete(nothing).1, [""; 0], "{nothing}");
        }
        assert_eq!(complete("").1.len(), COMMANDS.len());
    }
}
