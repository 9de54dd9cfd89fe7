//! The commands of the lab. `cargo xtask` has a verb for each, which calls this program.

use clap::{Parser, Subcommand};
use lab::{bench, check, demo, flash, flood, golden, powercut, record, wg_diff};
use std::process::ExitCode;

/// Virtual machines with real WireGuard kernels
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Bench(bench::Args),
    Demo(demo::Args),
    Flash(flash::Args),
    Flood(flood::Args),
    Golden(golden::Args),
    LabCheck(check::Args),
    Powercut(powercut::Args),
    Record(record::Args),
    WgDiff(wg_diff::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Bench(args) => args.run(),
        Verb::Demo(args) => args.run(),
        Verb::Flash(args) => args.run(),
        Verb::Flood(args) => args.run(),
        Verb::Golden(args) => args.run(),
        Verb::LabCheck(args) => args.run(),
        Verb::Powercut(args) => args.run(),
        Verb::Record(args) => args.run(),
        Verb::WgDiff(args) => args.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
