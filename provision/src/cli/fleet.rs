//! Options for many routers: fleets and records.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use proto_core::protocol::message::OwnerName;

use crate::fleet::{Batch, MaxFail, Shard};
use crate::records::Outcome;
use crate::{line, name, units};

/// `fleet`.
#[derive(Args, Debug)]
pub struct Fleet {
    /// The action.
    #[command(subcommand)]
    pub what: FleetCommand,
}

/// Actions on the routers of a manifest.
#[derive(Subcommand, Debug)]
pub enum FleetCommand {
    /// Check a manifest and the files that it names, without a router
    #[command(after_help = "Example:\n  postwire fleet check fleet.toml")]
    Check(CheckFleet),
    /// Push to each router its file
    ///
    /// With --confirm-within, each router reverts the change unless postwire can reach it again. Ctrl-C begins no more
    /// routers and finishes those that were told to make a change; a second Ctrl-C stops at once, and names the routers
    /// whose state is unknown.
    #[command(after_help = "Examples:\n  \
                            postwire fleet push fleet.toml\n  \
                            postwire fleet push fleet.toml tag=north '!attic*' --confirm-within 60s\n  \
                            postwire fleet push fleet.toml --batch 1,10%,100% --max-fail 2\n  \
                            postwire fleet push fleet.toml --resume")]
    Push(PushFleet),
    /// Show which routers a push would change
    #[command(after_help = "Example:\n  postwire fleet diff fleet.toml")]
    Diff(AskFleet),
    /// Show which routers run and store what the manifest says
    #[command(after_help = "Example:\n  postwire fleet status fleet.toml tag=north")]
    Status(AskFleet),
    /// Undo manual changes on each router: apply its stored configuration again
    #[command(after_help = "Example:\n  postwire fleet repair fleet.toml --confirm-within 60s")]
    Repair(RepairFleet),
}

/// `fleet check`.
#[derive(Args, Debug)]
pub struct CheckFleet {
    /// Which routers.
    #[command(flatten)]
    pub which: Which,
}

/// `fleet push`.
#[derive(Args, Debug)]
pub struct PushFleet {
    /// How the run goes.
    #[command(flatten)]
    pub run: Run,
    /// When it stops.
    #[command(flatten)]
    pub pace: Pace,
    /// Take over interfaces that postwired did not make
    #[arg(long)]
    pub adopt: bool,
    /// Push files that leave an interface without peers or addresses
    #[arg(short, long)]
    pub yes: bool,
}

/// `fleet repair`.
#[derive(Args, Debug)]
pub struct RepairFleet {
    /// How the run goes.
    #[command(flatten)]
    pub run: Run,
    /// When it stops.
    #[command(flatten)]
    pub pace: Pace,
}

/// `fleet diff` and `fleet status`.
#[derive(Args, Debug)]
pub struct AskFleet {
    /// How the run goes.
    #[command(flatten)]
    pub run: Run,
}

/// Routers of a manifest.
#[derive(Args, Debug)]
pub struct Which {
    /// The manifest
    pub manifest: PathBuf,
    /// Units by name, with `*` and `?`, or by tag=NAME; a `!` in front leaves them out [default: all]
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
}

/// Options of every run.
#[derive(Args, Debug)]
pub struct Run {
    /// Which routers.
    #[command(flatten)]
    pub which: Which,
    /// How many routers at a time [default: `jobs` of the manifest, or 64]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// How long to wait for a reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub timeout: Duration,
    /// The file to append records to [default: for `push` and `repair`, the manifest's name with .records.jsonl]
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Leave out units that are done by the records of earlier runs
    #[arg(long)]
    pub resume: bool,
    /// Take only every Nth unit, from the Kth: a part of the run for this machine
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// The name of the run in records, for runs that are split [default: the time and a random number]
    #[arg(long = "run", value_name = "NAME", value_parser = name::run)]
    pub name: Option<String>,
}

/// How a run that changes routers goes on.
#[derive(Args, Debug)]
pub struct Pace {
    /// Sizes of batches, in units or percent; the last size repeats. A batch begins when the one before has ended
    #[arg(long, value_name = "N|P%,...", value_delimiter = ',')]
    pub batch: Vec<Batch>,
    /// Stop if more units fail: so many in all, or a share of a batch [default: 0 with --batch, else no limit]
    #[arg(long, value_name = "N|P%")]
    pub max_fail: Option<MaxFail>,
    /// Each router reverts the change unless it can be reached again within TIME, from 1s to 1h [default: that of the
    /// manifest, if any]
    #[arg(long, value_name = "TIME", value_parser = units::confirm_within)]
    pub confirm_within: Option<u16>,
}

/// `line`.
// The patterns would take the manifest behind them for another one.
#[derive(Args, Debug)]
#[command(override_usage = "postwire line [OPTIONS] <MANIFEST> --ports <PATTERN[@BAUD]>...")]
pub struct Line {
    /// The manifest; its units need no keys and no addresses
    pub manifest: PathBuf,
    /// Ports, by their names in /dev/serial/by-path or by their paths, with `*` and `?`; plugged in now or later
    #[arg(long, value_name = "PATTERN[@BAUD]", required = true, num_args = 1.., value_parser = line::Pattern::parse)]
    pub ports: Vec<line::Pattern>,
    /// Which unit of the manifest a new router becomes
    #[arg(long, value_enum, value_name = "HOW", default_value_t = line::Assign::Order)]
    pub assign: line::Assign,
    /// A unit whose router is broken or lost: another router becomes it
    #[arg(long, value_name = "UNIT")]
    pub replace: Vec<String>,
    /// The program to run for each router that was done, such as a label printer's; the record is on its standard input
    #[arg(long, value_name = "PROGRAM")]
    pub on_done: Option<String>,
    /// The file to append records to [default: the manifest's name with .records.jsonl]
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// The name of the run in records [default: the time and a random number]
    #[arg(long = "run", value_name = "NAME", value_parser = name::run)]
    pub name: Option<String>,
    /// End when every unit of the manifest is done
    #[arg(long)]
    pub until_done: bool,
    /// How long a router may take to answer, from its cable on
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = units::duration)]
    pub patience: Duration,
    /// How long to wait for a reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub timeout: Duration,
    /// Set the DTR line of the ports; boards that reset on DTR may need `off` [default: leave unchanged]
    #[arg(long, value_name = "on|off", value_parser = units::switch)]
    pub dtr: Option<bool>,
    /// Your name in the routers' lists of owners
    #[arg(long = "as", value_name = "NAME", value_parser = name::owner)]
    #[arg(help = "Your name in the routers' lists of owners [default: USER@HOST]")]
    pub owner: Option<OwnerName>,
    /// Take over interfaces that postwired did not make
    #[arg(long)]
    pub adopt: bool,
    /// Print lines, also on a terminal
    #[arg(long)]
    pub plain: bool,
    /// Do not ring the bell
    #[arg(long)]
    pub no_bell: bool,
}

/// `records`.
#[derive(Args, Debug)]
pub struct Records {
    /// Files with records; those of shards are read together
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Only units of these names, with `*` and `?`
    #[arg(long = "unit", value_name = "NAME")]
    pub units: Vec<String>,
    /// Only these outcomes
    #[arg(long = "outcome", value_name = "OUTCOME", value_enum)]
    pub outcomes: Vec<Outcome>,
    /// Only these runs
    #[arg(long = "run", value_name = "NAME")]
    pub runs: Vec<String>,
    /// Only the last record of each unit
    #[arg(long)]
    pub last: bool,
    /// Print CSV, with a header
    #[arg(long, conflicts_with_all = ["summary", "json"])]
    pub csv: bool,
    /// Print only the yield, the causes of failures, and the throughput
    #[arg(long)]
    pub summary: bool,
}
