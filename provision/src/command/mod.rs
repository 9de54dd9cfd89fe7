//! The commands, one module each, and what they share: `connect`, `load`, `failure`, `summary`, `changes`,
//! and `confirming`, which follows a change that the router takes back unless it is confirmed.

mod change;
mod changes;
mod check;
mod claim;
mod confirm;
mod confirming;
mod connect;
mod diff;
mod failure;
mod history;
mod keygen;
mod load;
mod owner;
mod push;
mod record;
mod remove;
mod repair;
mod rollback;
mod routers;
mod show;
mod status;
mod summary;

use serde::Serialize;

use crate::cli::{Cli, Command, OwnerCommand, RoutersCommand, Talk};
use crate::report::{Context, Done, Failed};
use crate::ui::Ui;

/// Runs a command and returns the exit code.
pub fn run(cli: &Cli) -> u8 {
    let own = &cli.own;
    match &cli.command {
        Command::Keygen(args) => {
            finish(keygen::make(own, args.force), &Context::new("keygen", args.json))
        }
        Command::Key(args) => finish(keygen::show(own), &Context::new("key", args.json)),
        Command::Claim(args) => {
            finish(claim::run(own, args), &Context::new("claim", args.talk.json))
        }
        Command::Owner(args) => {
            let (name, link) = match &args.what {
                OwnerCommand::List(link) => ("owner list", link),
                OwnerCommand::Add(args) => ("owner add", &args.link),
                OwnerCommand::Remove(args) => ("owner remove", &args.link),
            };
            finish(owner::run(own, &args.what), &Context::new(name, link.talk.json))
        }
        Command::Owners(link) => {
            finish(owner::list(own, link), &Context::new("owner list", link.talk.json))
        }
        Command::Routers(args) => {
            let name = match args.what {
                None => "routers",
                Some(RoutersCommand::Add { .. }) => "routers add",
                Some(RoutersCommand::Forget { .. }) => "routers forget",
            };
            finish(routers::run(own, args.what.as_ref()), &Context::new(name, args.json))
        }
        Command::Push(args) => {
            let mut context = Context::new("push", args.link.talk.json);
            let outcome = push::run(own, args, &mut context);
            finish(outcome, &context)
        }
        Command::Diff(args) => {
            let mut context = Context::new("diff", args.link.talk.json);
            let outcome = diff::run(own, args, &mut context);
            finish(outcome, &context)
        }
        Command::Confirm(link) => {
            finish(confirm::confirm(own, link), &Context::new("confirm", link.talk.json))
        }
        Command::Revert(link) => {
            finish(confirm::revert(own, link), &Context::new("revert", link.talk.json))
        }
        Command::History(args) => {
            finish(history::run(own, args), &Context::new("history", args.link.talk.json))
        }
        Command::Rollback(args) => {
            finish(rollback::run(own, args), &Context::new("rollback", args.link.talk.json))
        }
        Command::Repair(args) => {
            finish(repair::run(own, args), &Context::new("repair", args.link.talk.json))
        }
        Command::Show(args) => {
            finish(show::run(own, args), &Context::new("show", args.link.talk.json))
        }
        Command::Remove(args) => {
            finish(remove::run(own, args), &Context::new("remove", args.link.talk.json))
        }
        Command::Status(args) => {
            finish(status::run(own, args), &Context::new("status", args.link.talk.json))
        }
        Command::Check(args) => {
            let mut context = Context::new("check", args.json);
            let outcome = check::run(args, &mut context);
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

fn ui(talk: &Talk) -> Ui {
    Ui::new(talk.json, talk.verbose)
}
