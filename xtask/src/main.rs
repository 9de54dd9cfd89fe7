//! `cargo xtask`: every chore of the repository, one module per verb.
//!
//! A verb is a clap `Args` struct whose doc comment is its help and whose `run` does the work.
//! To add one: write the module, add a line to [`Verb`] and one to the `match` below it.

mod apt;
mod bench;
mod build;
mod cross;
mod demo;
mod flood;
mod fuzz;
mod golden;
mod lab;
mod lab_check;
mod powercut;
mod reference;
mod rng;
mod size;
mod test;
mod wg_diff;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use std::process::ExitCode;

/// The chores of the Postwire repository
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Bench(bench::Args),
    Build(build::Args),
    Cross(cross::Args),
    Demo(demo::Args),
    Flood(flood::Args),
    Size(size::Args),
    Test(test::Args),
    Fuzz(fuzz::Args),
    Golden(golden::Args),
    LabCheck(lab_check::Args),
    WgDiff(wg_diff::Args),
    Powercut(powercut::Args),
}

fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => {
            // clap names only the verb it does not know; the list is what the person needs next.
            if error.kind() == ErrorKind::InvalidSubcommand {
                eprintln!("{}\n{}", error.render(), Cli::command().render_help());
                return ExitCode::from(2);
            }
            error.exit();
        }
    };
    let outcome = match verb {
        Verb::Bench(args) => args.run(),
        Verb::Build(args) => args.run(),
        Verb::Cross(args) => args.run(),
        Verb::Demo(args) => args.run(),
        Verb::Flood(args) => args.run(),
        Verb::Size(args) => args.run(),
        Verb::Test(args) => args.run(),
        Verb::Fuzz(args) => args.run(),
        Verb::Golden(args) => args.run(),
        Verb::LabCheck(args) => args.run(),
        Verb::WgDiff(args) => args.run(),
        Verb::Powercut(args) => args.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
