//! The commands, one module each, and what they share: `connect`, `load`, `failure`, `summary`, `changes`,
//! and `confirming`, which follows a change that the router reverts unless the change is confirmed.

mod change;
mod changes;
mod check;
mod claim;
mod confirm;
mod connect;
mod console;
mod diff;
mod drift;
mod export;
mod failure;
mod fleet;
mod hand_over;
mod history;
mod install;
mod keygen;
mod labels;
mod line;
mod load;
mod owner;
mod push;
mod records;
mod remove;
mod repair;
mod rollback;
mod routers;
mod show;
mod status;
mod summary;
mod unlock;

use serde::Serialize;

use crate::cli::{Cli, Command, FleetCommand, Own, Talk};
use crate::report::{Context, Done, Failed};
use crate::ui::Ui;

/// Runs a command and returns the exit code.
pub fn run(cli: &Cli) -> u8 {
    let own = &cli.own;
    let mut context = Context::new(cli.command.name(), own.json);
    match &cli.command {
        Command::Keygen(args) => finish(keygen::make(own, args.force), &context),
        Command::Key => finish(keygen::show(own), &context),
        Command::Claim(args) => finish(claim::run(own, args), &context),
        Command::Labels(args) => finish(labels::run(&args.what), &context),
        Command::Owner(args) => finish(owner::run(own, &args.what), &context),
        Command::Owners(link) => finish(owner::list(own, link), &context),
        Command::HandOver(args) => finish(hand_over::run(own, args), &context),
        Command::TakeOver(args) => finish(hand_over::take(own, args), &context),
        Command::Routers(args) => finish(routers::run(own, args.what.as_ref()), &context),
        Command::Unlock(args) => finish(unlock::run(own, args), &context),
        Command::Push(args) => {
            let outcome = push::run(own, args, &mut context);
            let code = finish(outcome, &context);
            if args.bell {
                crate::ui::ring();
            }
            code
        }
        Command::Diff(args) => {
            let outcome = diff::run(own, args, &mut context);
            finish(outcome, &context)
        }
        Command::Confirm(link) => finish(confirm::confirm(own, link), &context),
        Command::Revert(link) => finish(confirm::revert(own, link), &context),
        Command::History(args) => finish(history::run(own, args), &context),
        Command::Rollback(args) => finish(rollback::run(own, args), &context),
        Command::Repair(args) => finish(repair::run(own, args), &context),
        Command::Show(args) => finish(show::run(own, args), &context),
        Command::Remove(args) => finish(remove::run(own, args), &context),
        Command::Console(args) => console::run(own, args, &context),
        Command::Status(args) => finish(status::run(own, args), &context),
        Command::Check(args) => check::run(own, args),
        Command::Export(args) => {
            let outcome = export::run(args, &mut context);
            finish(outcome, &context)
        }
        Command::Fleet(args) => match &args.what {
            FleetCommand::Check(args) => finish(fleet::check(own, args), &context),
            what => finish(fleet::run(own, what), &context),
        },
        Command::Line(args) => finish(line::run(own, args), &context),
        Command::Records(args) => finish(records::run(own, args), &context),
        Command::Completions(args) => finish(install::completions(args.shell), &context),
        Command::Man(args) => finish(install::man(&args.folder), &context),
    }
}

fn finish<R: Serialize>(outcome: Result<Done<R>, Failed>, context: &Context) -> u8 {
    match outcome {
        Ok(done) => done.finish(context),
        Err(failed) => failed.finish(context),
    }
}

fn ui(own: &Own, talk: &Talk) -> Ui {
    Ui::new(own.json, talk.verbose)
}
