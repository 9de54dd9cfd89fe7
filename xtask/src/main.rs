//! `cargo xtask`: every chore of the repository, one module per verb.
//!
//! A verb is a clap `Args` struct whose doc comment is its help and whose `run` does the work.
//! To add one: write the module, add a line to [`Verb`] and one to the `match` below it.

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use std::process::ExitCode;
use xtask::{build, check, cross, fuzz, lab, openwrt, release, size, test};

/// The chores of the Postwire repository
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure encoding and decoding of 1,000 peers, `wg` beside Debian's, and pushes on simulated
    /// lines
    #[command(disable_help_flag = true)]
    Bench(lab::Args),
    Build(build::Args),
    Check(check::Args),
    Cross(cross::Args),
    /// Boot two routers, push a configuration to each, and ping through their tunnel
    #[command(disable_help_flag = true)]
    Demo(lab::Args),
    /// Flood a router with junk and with handshakes of unknown keys while its owner pushes to it
    #[command(disable_help_flag = true)]
    Flood(lab::Args),
    Feed(openwrt::feed::Args),
    Package(openwrt::Args),
    Release(release::Args),
    Size(size::Args),
    Test(test::Args),
    Fuzz(fuzz::Args),
    /// Capture the messages between Debian's wg and the kernel
    #[command(disable_help_flag = true)]
    Golden(lab::Args),
    /// Boot two lab machines and check every facility of the lab
    #[command(disable_help_flag = true)]
    LabCheck(lab::Args),
    /// Compare our `wg` with Debian's: run the same commands and compare all their effects
    #[command(disable_help_flag = true)]
    WgDiff(lab::Args),
    /// Cut a router's power at many moments: while it starts, is claimed, and receives
    /// configurations
    #[command(disable_help_flag = true)]
    Powercut(lab::Args),
    /// Record a claim, a push, and a push that cuts the operator off, as `docs/recording.cast` and `.svg`
    #[command(disable_help_flag = true)]
    Record(lab::Args),
}

fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => {
            // clap names only the unknown verb; the list of verbs is more useful.
            if error.kind() == ErrorKind::InvalidSubcommand {
                eprintln!("{}\n{}", error.render(), Cli::command().render_help());
                return ExitCode::from(2);
            }
            error.exit();
        }
    };
    let outcome = match verb {
        Verb::Bench(args) => args.run("bench"),
        Verb::Build(args) => args.run(),
        Verb::Check(args) => args.run(),
        Verb::Cross(args) => args.run(),
        Verb::Demo(args) => args.run("demo"),
        Verb::Flood(args) => args.run("flood"),
        Verb::Feed(args) => args.run(),
        Verb::Package(args) => args.run(),
        Verb::Release(args) => args.run(),
        Verb::Size(args) => args.run(),
        Verb::Test(args) => args.run(),
        Verb::Fuzz(args) => args.run(),
        Verb::Golden(args) => args.run("golden"),
        Verb::LabCheck(args) => args.run("lab-check"),
        Verb::WgDiff(args) => args.run("wg-diff"),
        Verb::Powercut(args) => args.run("powercut"),
        Verb::Record(args) => args.run("record"),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
