//! The commands, one module each.

mod check;
mod diff;
mod failure;
mod load;
mod push;
mod remove;
mod show;
mod status;
mod summary;

use serde::Serialize;

use crate::cli::{Command, Link};
use crate::report::{Context, Done, Failed};
use crate::session::{Session, SessionError, printable};
use crate::transport::{SerialLine, Transport, TransportError, Udp};
use crate::ui::Ui;

/// Runs a command and returns the exit code.
pub fn run(command: Command) -> u8 {
    match command {
        Command::Push(args) => {
            let mut context = Context::new("push", args.link.json);
            let outcome = push::run(&args, &mut context);
            finish(outcome, &context)
        }
        Command::Diff(args) => {
            let mut context = Context::new("diff", args.link.json);
            let outcome = diff::run(&args, &mut context);
            finish(outcome, &context)
        }
        Command::Show(args) => finish(show::run(&args), &Context::new("show", args.link.json)),
        Command::Remove(args) => {
            finish(remove::run(&args), &Context::new("remove", args.link.json))
        }
        Command::Status(args) => {
            finish(status::run(&args), &Context::new("status", args.link.json))
        }
        Command::Check(args) => {
            let mut context = Context::new("check", args.json);
            let outcome = check::run(&args, &mut context);
            finish(outcome, &context)
        }
    }
}

fn finish<R: Serialize>(outcome: Result<Done<R>, Failed>, context: &Context) -> u8 {
    match outcome {
        Ok(done) => done.finish(context),
        Err(failed) => failed.finish(context),
    }
}

fn ui(link: &Link) -> Ui {
    Ui::new(link.json, link.verbose)
}

fn connect<'u>(link: &Link, ui: &'u mut Ui) -> Result<Session<'u>, SessionError> {
    let transport: Box<dyn Transport> = match (&link.to.serial, &link.to.udp) {
        (Some(serial), _) => Box::new(SerialLine::open(serial)?),
        (None, Some(udp)) => Box::new(Udp::open(udp)?),
        (None, None) => {
            // clap asks for one of them.
            let message = "neither --serial nor --udp".into();
            return Err(TransportError::Open { message, hint: None }.into());
        }
    };
    Session::open(transport, link.timeout, ui)
}

/// A router as `--json` names it.
#[derive(Debug, Serialize)]
struct Router {
    hostname: String,
    board: String,
    agent: String,
}

impl Router {
    fn of(session: &Session<'_>) -> Self {
        let status = session.status();
        Self {
            hostname: printable(&status.hostname),
            board: printable(&status.board),
            agent: printable(&session.hello().agent),
        }
    }

    /// What to call it.
    fn name(&self) -> &str {
        if self.hostname.is_empty() { "the router" } else { &self.hostname }
    }
}
