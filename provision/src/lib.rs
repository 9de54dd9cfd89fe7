//! `postwire`: pushes WireGuard configurations to routers over a serial line or UDP.
//!
//! ```text
//! FILE --conf--> Config --routes, image--> Image --session--> transport --> postwired
//!                  ^                                  |
//!                  +---- lines of FILE <--- failure --+
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`conf`] | reads wg-quick files; [`problem`] shows the errors in them |
//! | [`routes`], [`image`] | turn a file into the image that `proto_core::protocol::config` describes |
//! | [`home`] | the operator's own folder: the key, the stamp, the known routers |
//! | [`transport`] | packets over a serial line or UDP, and the session that encrypts them |
//! | [`session`] | the conversation with the agent, from the hello to the last reply |
//! | [`ops`] | operations on a router as a library, with progress to an [`observe::Observer`]; [`drive`] runs them |
//! | [`mod@line`] | routers that come one after the other at many serial ports |
//! | [`manifest`], [`fleet`], [`records`] | many routers: which, in which order, and what became of each |
//! | [`command`] | one module per command; [`report`] prints the result or the error |
//! | [`show`] | the running configuration of a router, as text |
//! | [`label`] | labels of routers: secrets and QR codes |
//! | [`uci`] | a file as sections of OpenWrt's configuration |
//! | [`cli`], [`units`], [`name`], [`clock`], [`exit`], [`ui`], [`interrupt`] | the command line and the terminal |
//!
//! Not here: the router's kernel and file system, which are the agent's.

pub mod cli;
pub mod clock;
pub mod command;
pub mod conf;
pub mod drive;
pub mod exit;
pub mod fleet;
pub mod home;
pub mod image;
pub mod interrupt;
pub mod label;
pub mod line;
pub mod manifest;
pub mod name;
pub mod observe;
pub mod ops;
pub mod problem;
pub mod records;
pub mod report;
pub mod routes;
pub mod session;
pub mod show;
mod stored;
pub mod transport;
pub mod uci;
pub mod ui;
pub mod units;

use std::ffi::OsString;
use std::io::Write as _;

use clap::Parser as _;

/// Runs the program with the given arguments (the first is its name) and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Keys are in memory: prevent core dumps and reads by other programs of the same user. This is
        // best effort: a kernel may lack the setting.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    let args: Vec<OsString> = args.into_iter().collect();
    match cli::Cli::try_parse_from(&args) {
        Ok(cli) => {
            interrupt::install();
            command::run(&cli)
        }
        Err(error) if error.use_stderr() && args.iter().any(|arg| arg == "--json") => {
            use clap::error::ErrorKind::{
                DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand,
            };
            let context = report::Context::new(cli::meant(&args), true);
            let kind = error.kind();
            if matches!(kind, DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand) {
                return report::Failed::usage(cli::missing_command(&args)).finish(&context);
            }
            let text = error.render().to_string();
            // The error precedes the usage.
            let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let words: Vec<&str> = what.split_whitespace().collect();
            report::Failed::usage(words.join(" ")).finish(&context)
        }
        // The error goes to stderr. If stderr is closed, the error cannot be reported anywhere.
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            exit::USAGE
        }
        // Help and version are results, so a failed write is an error.
        Err(error) => {
            let printed = error.print().and_then(|()| std::io::stdout().flush());
            report::written(printed, exit::DONE)
        }
    }
}
