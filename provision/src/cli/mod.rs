//! The command line. Options for keys and owners are in `own`, those for many routers in `fleet`, those for stored
//! configurations in `stored`, and those for labels in `label`.

mod fleet;
mod label;
mod own;
mod stored;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::units::{self, SerialAddress, UdpAddress};
use crate::{exit, name};
use proto_core::protocol::message::Name;

pub use fleet::{
    AskFleet, CheckFleet, Fleet, FleetCommand, Line, Pace, PushFleet, Records, RepairFleet, Run,
    Which,
};
pub use label::{Format, Labels, LabelsCommand, MAX_LAST, MakeLabels};
pub use own::{
    AddOwner, Claim, HandOver, Keygen, Own, Owner, OwnerCommand, RemoveOwner, Role, Routers,
    RoutersCommand, TakeOver, Unlock,
};
pub use stored::{Confirming, History, Repair, Rollback};

/// Pushes WireGuard configurations to routers over a serial line or UDP
#[derive(Parser, Debug)]
#[command(name = "postwire", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    /// The operator's files, and the output format.
    #[command(flatten)]
    pub own: Own,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Generate your operator key
    #[command(after_help = "Example:\n  postwire keygen")]
    Keygen(Keygen),
    /// Show your public key and its fingerprint
    #[command(after_help = "Example:\n  postwire key")]
    Key,
    /// Claim a router that has no owner
    ///
    /// Over a serial line, access to the cable is enough. Over UDP, the secret printed on the router's
    /// label is required; it works once. A claimed router answers only its owners.
    #[command(after_help = "Examples:\n  postwire claim --serial /dev/ttyUSB0\n  \
                            postwire claim --udp 192.168.1.1 --secret-file label.txt\n  \
                            postwire claim --udp 192.168.1.1 --label -")]
    Claim(Claim),
    /// Make labels for routers, with the secrets that allow a claim over UDP
    Labels(Labels),
    /// Show or change the owners of a router
    Owner(Owner),
    /// Show the owners of a router; the same as `owner list`
    Owners(Link),
    /// Make another person the only owner of a router, and write a record of it
    ///
    /// Adds the new owner, and removes all others, you last. The router keeps its configurations. The new owner checks the
    /// record with `postwire take-over`, and so can you.
    #[command(after_help = "Example:\n  postwire hand-over --router shed --to \
                            xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= --as carol --record shed.json")]
    HandOver(HandOver),
    /// Check the record of a hand-over, and add its router to your list
    #[command(after_help = "Examples:\n  postwire take-over shed.json\n  \
                            postwire take-over shed.json --udp 192.168.1.1")]
    TakeOver(TakeOver),
    /// Show or change the list of known routers
    #[command(args_conflicts_with_subcommands = true)]
    Routers(Routers),
    /// Make the code that opens a router's serial console; needs no connection
    ///
    /// The person at the console types `unlock`, and reads the challenge and the router's fingerprint to you. You read the
    /// code back. It opens the console of this router for ten minutes, once.
    #[command(after_help = "Examples:\n  postwire unlock K7QB-29XB-M4T5 --router attic\n  \
                            postwire unlock k7qb 29xb m4t5 --router attic --role read-only")]
    Unlock(Unlock),
    /// Apply FILE to a router, and store it there
    ///
    /// The router changes only what differs, reads the kernel's state back, and reports the changes.
    /// Unchanged peers keep their sessions. The router then stores the configuration and applies it
    /// again after each restart.
    ///
    /// With --confirm-within the router reverts the change unless postwire can reach the router again.
    #[command(after_help = "Examples:\n  postwire push wg0.conf --serial /dev/ttyUSB0@115200\n  \
                            postwire push wg0.conf --udp 192.168.1.1 --confirm-within 60s\n  \
                            postwire push wg0.conf shed")]
    Push(Push),
    /// Show what a push of FILE would change, without changing it
    #[command(after_help = "Example:\n  postwire diff wg0.conf --udp 192.168.1.1")]
    Diff(Diff),
    /// Confirm the pending change
    #[command(after_help = "Example:\n  postwire confirm --udp 192.168.1.1")]
    Confirm(Link),
    /// Revert the pending change at once
    #[command(after_help = "Example:\n  postwire revert --udp 192.168.1.1")]
    Revert(Link),
    /// Show the configurations stored on a router: by whom, when, and how each was made
    #[command(after_help = "Example:\n  postwire history wg0 --udp 192.168.1.1")]
    History(History),
    /// Apply an earlier configuration again
    ///
    /// The router stores the configuration under a new number, so a rollback can be rolled back too.
    #[command(after_help = "Examples:\n  postwire rollback wg0 --udp 192.168.1.1\n  \
                            postwire rollback wg0 3 --udp 192.168.1.1 --confirm-within 60s")]
    Rollback(Rollback),
    /// Undo manual changes: apply the stored configuration again
    ///
    /// `postwire status` shows whether the kernel's state matches the stored configuration.
    #[command(after_help = "Example:\n  postwire repair wg0 --udp 192.168.1.1")]
    Repair(Repair),
    /// Show the running configuration of a router, as `wg show` does
    ///
    /// The output includes addresses, routes and rules. It contains no secrets.
    #[command(after_help = "Example:\n  postwire show wg0 --udp 192.168.1.1")]
    Show(Show),
    /// Show the state of a router, and whether it matches the stored configurations
    #[command(after_help = "Example:\n  postwire status --serial /dev/ttyUSB0 --changes")]
    Status(Status),
    /// Type commands on a router's console, through a session
    ///
    /// The commands are those of the console on the router's serial port, with your role as an owner: `help` lists them.
    /// Without COMMAND and with a terminal there is a prompt with history and completion (Tab); Ctrl-D ends the session.
    /// Otherwise the commands are read from standard input, one on each line, up to the first that fails: the exit code is
    /// 1 then.
    #[command(after_help = "Examples:\n  postwire console --serial /dev/ttyUSB0\n  \
                            postwire console --udp 192.168.1.1 -- show wg0\n  \
                            postwire console --router attic --udp 192.168.1.1 < commands.txt")]
    Console(Console),
    /// Remove an interface from a router: its peers, rules, addresses, routes and link
    ///
    /// The interface stays removed after a restart. `postwire rollback` restores it.
    #[command(after_help = "Example:\n  postwire remove wg0 --udp 192.168.1.1")]
    Remove(Remove),
    /// Check files without a router, and summarize their contents
    #[command(after_help = "Example:\n  postwire check wg0.conf")]
    Check(Check),
    /// Convert FILE to sections for netifd, OpenWrt's network service
    ///
    /// Use this to move a router from Postwire to `/etc/config/network`. The output contains the
    /// private key.
    #[command(after_help = "Example:\n  postwire export --uci wg0.conf")]
    Export(Export),
    /// Push to many routers, or ask them, by a manifest
    Fleet(Fleet),
    /// Claim and configure routers as they are plugged in, at many serial ports
    ///
    /// A router that appears at a port becomes a unit of the manifest: it is claimed, its file is pushed and read back,
    /// and the outcome is recorded. Then the port waits for the next one. A router that was done before is verified.
    /// Ctrl-C finishes what is under way.
    #[command(after_help = "Examples:\n  postwire line batch7.toml --ports '*usb-0:3.*'\n  \
                            postwire line batch7.toml --ports '/dev/ttyUSB*@57600' --on-done ./print-label\n  \
                            postwire line batch7.toml --ports '*' --assign scan")]
    Line(Line),
    /// Show the records of `fleet` and `line`: what became of each unit
    #[command(after_help = "Examples:\n  postwire records fleet.records.jsonl --last\n  \
                            postwire records fleet.records.jsonl --outcome failed --csv\n  \
                            postwire records a.jsonl b.jsonl --summary")]
    Records(Records),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  \
                            postwire completions bash > /etc/bash_completion.d/postwire\n  \
                            postwire completions zsh > ~/.zfunc/_postwire")]
    Completions(Completions),
    /// Write the man pages to a folder
    #[command(after_help = "Example:\n  postwire man /usr/local/share/man/man1")]
    Man(Man),
}

impl Command {
    /// The command as typed, including its subcommand.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Keygen(_) => "keygen",
            Self::Key => "key",
            Self::Claim(_) => "claim",
            Self::Labels(Labels { what: LabelsCommand::Make(_) }) => "labels make",
            Self::Owner(Owner { what: OwnerCommand::List(_) }) | Self::Owners(_) => "owner list",
            Self::Owner(Owner { what: OwnerCommand::Add(_) }) => "owner add",
            Self::Owner(Owner { what: OwnerCommand::Remove(_) }) => "owner remove",
            Self::HandOver(_) => "hand-over",
            Self::TakeOver(_) => "take-over",
            Self::Routers(Routers { what: None | Some(RoutersCommand::List) }) => "routers",
            Self::Routers(Routers { what: Some(RoutersCommand::Add { .. }) }) => "routers add",
            Self::Routers(Routers { what: Some(RoutersCommand::Forget { .. }) }) => {
                "routers forget"
            }
            Self::Unlock(_) => "unlock",
            Self::Push(_) => "push",
            Self::Diff(_) => "diff",
            Self::Confirm(_) => "confirm",
            Self::Revert(_) => "revert",
            Self::History(_) => "history",
            Self::Rollback(_) => "rollback",
            Self::Repair(_) => "repair",
            Self::Show(_) => "show",
            Self::Status(_) => "status",
            Self::Console(_) => "console",
            Self::Remove(_) => "remove",
            Self::Check(_) => "check",
            Self::Export(_) => "export",
            Self::Fleet(Fleet { what: FleetCommand::Check(_) }) => "fleet check",
            Self::Fleet(Fleet { what: FleetCommand::Push(_) }) => "fleet push",
            Self::Fleet(Fleet { what: FleetCommand::Diff(_) }) => "fleet diff",
            Self::Fleet(Fleet { what: FleetCommand::Status(_) }) => "fleet status",
            Self::Fleet(Fleet { what: FleetCommand::Repair(_) }) => "fleet repair",
            Self::Line(_) => "line",
            Self::Records(_) => "records",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

/// The most likely command in arguments that do not parse: `push` for `push --nonsense`.
#[must_use]
pub fn meant(args: &[std::ffi::OsString]) -> &'static str {
    use clap::CommandFactory as _;
    let mut root = Cli::command();
    // This puts the global options into the commands.
    root.build();
    let (mut command, mut path) = (&root, Vec::new());
    let mut args = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    while let Some(arg) = args.next() {
        if arg.starts_with('-') {
            let is = |option: &&clap::Arg| {
                option.get_long().is_some_and(|long| arg.strip_prefix("--") == Some(long))
                    || option.get_short().is_some_and(|short| *arg == format!("-{short}"))
            };
            let takes = |option: &clap::Arg| option.get_action().takes_values();
            if command.get_arguments().find(is).is_some_and(takes) {
                args.next();
            }
        } else if let Some(next) = command.find_subcommand(&*arg) {
            path.push(next.get_name());
            command = next;
        } else {
            break;
        }
    }
    match path.join(" ").as_str() {
        "" => "postwire",
        // Two commands have two names.
        "owners" => "owner list",
        "routers list" => "routers",
        // Leaking one name is fine: the program is about to exit.
        name => Box::leak(name.to_owned().into_boxed_str()),
    }
}

/// What is missing in a command line that ends before its command does, such as `fleet` alone.
#[must_use]
pub fn missing_command(args: &[std::ffi::OsString]) -> String {
    use clap::CommandFactory as _;
    let (name, root) = (meant(args), Cli::command());
    let mut command = &root;
    for word in name.split(' ').filter(|_| name != "postwire") {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let names = command.get_subcommands().map(clap::Command::get_name);
    let names = names.filter(|name| *name != "help").collect::<Vec<_>>().join(", ");
    let of = if name == "postwire" { String::new() } else { format!(" of `{name}`") };
    format!("which command{of}? There are: {names}")
}

/// `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// Print sections of UCI, OpenWrt's configuration format
    #[arg(long, required = true)]
    pub uci: bool,
    /// A wg-quick configuration file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// The interface to configure [default: from the name of FILE, such as wg0 for wg0.conf]
    #[arg(long, value_name = "NAME", value_parser = name::interface)]
    pub interface: Option<Name>,
}

/// `completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell to print the script for
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Args, Debug)]
pub struct Man {
    /// The folder to write to; created if it does not exist
    pub folder: PathBuf,
}

/// `push`.
#[derive(Args, Debug)]
pub struct Push {
    /// The configuration file.
    #[command(flatten)]
    pub file: File,
    /// The router, by its name in your list or by its key; the same as --router
    #[arg(value_name = "ROUTER", conflicts_with = "router")]
    pub named: Option<String>,
    /// Whether the change must be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// Do not ask before a push that removes all peers or all addresses of the interface
    #[arg(short, long)]
    pub yes: bool,
    /// The router.
    #[command(flatten)]
    pub link: Link,
    /// Ring the terminal's bell when the push has ended, well or not
    #[arg(long)]
    pub bell: bool,
    /// Take over an interface that postwired did not make: it becomes Postwire's, with what FILE says
    #[arg(long)]
    pub adopt: bool,
}

/// `diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// The configuration file.
    #[command(flatten)]
    pub file: File,
    /// The router, by its name in your list or by its key; the same as --router
    #[arg(value_name = "ROUTER", conflicts_with = "router")]
    pub named: Option<String>,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `show`.
#[derive(Args, Debug)]
pub struct Show {
    /// The interface to show [default: all WireGuard interfaces; of more than eight, eight]
    #[arg(value_parser = name::interface)]
    pub interface: Option<Name>,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `console`.
#[derive(Args, Debug)]
pub struct Console {
    /// One command for the router, instead of a prompt
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub line: Vec<String>,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `remove`.
#[derive(Args, Debug)]
pub struct Remove {
    /// The interface to remove
    #[arg(value_parser = name::interface)]
    pub interface: Name,
    /// Whether the change must be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Also list each change that a repair would make
    #[arg(long)]
    pub changes: bool,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// wg-quick configuration files; `-` reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub paths: Vec<PathBuf>,
    /// How the files are read.
    #[command(flatten)]
    pub reading: Reading,
}

/// A configuration file.
#[derive(Args, Debug)]
pub struct File {
    /// A wg-quick configuration file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// How the file is read.
    #[command(flatten)]
    pub reading: Reading,
}

/// How a configuration file is read.
#[derive(Args, Clone, Copy, Debug)]
pub struct Reading {
    /// The interface to configure [default: from the name of FILE, such as wg0 for wg0.conf]
    #[arg(long, value_name = "NAME", value_parser = name::interface)]
    pub interface: Option<Name>,
    /// Where to look up host names of endpoints
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = Resolve::Bench)]
    pub resolve: Resolve,
}

/// Where host names of endpoints are looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Resolve {
    /// On this machine now, and later on the router
    Bench,
    /// Only on the router, whose network may know other names
    Router,
}

/// The connection to a router.
#[derive(Args, Clone, Debug)]
pub struct Link {
    /// The address of the router.
    #[command(flatten)]
    pub to: To,
    /// The router to reach. Without --udp and --serial: at the address given for it in your list, or where it was last
    /// met [default: the one last met at this address, or else any known router]
    #[arg(long, value_name = "NAME|KEY")]
    pub router: Option<String>,
    /// Options for talking to the router.
    #[command(flatten)]
    pub talk: Talk,
}

impl Link {
    /// The same, with the router that is named otherwise.
    #[must_use]
    pub fn named(&self, router: Option<&str>) -> Self {
        let router = router.map(Into::into).or_else(|| self.router.clone());
        Self { router, ..self.clone() }
    }
}

/// Options for talking to a router.
#[derive(Args, Clone, Debug)]
pub struct Talk {
    /// How long to wait for a reply
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub timeout: Duration,
    /// Set the DTR line of a serial port; boards that reset on DTR may need `off` [default: leave unchanged]
    #[arg(long, value_name = "on|off", value_parser = units::switch)]
    pub dtr: Option<bool>,
    /// How long to listen on a serial line before the first byte: any byte would stop a boot loader
    #[arg(long, value_name = "TIME", default_value = "1100ms", value_parser = units::listen)]
    pub listen: Duration,
    /// Also show details, such as text on the line between packets
    #[arg(short, long)]
    pub verbose: bool,
}

/// The address of a router: at most one of the two options.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub struct To {
    /// The serial port and its speed; `auto` is the only port of this machine, and `@auto` finds out the speed
    /// [default speed: 115200]
    #[arg(long, value_name = "DEV[@BAUD|@auto]", value_parser = units::serial)]
    pub serial: Option<SerialAddress>,
    /// The router's address or host name, and its UDP port [default port: 5182]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = units::udp)]
    pub udp: Option<UdpAddress>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        assert_eq!(proto_core::protocol::DEFAULT_PORT, 5182, "the help of --udp says so");
        assert_eq!(units::DEFAULT_BAUD, 115_200, "the help of --serial says so");
    }
    /// The commands of the tree that have no commands of their own.
    fn leaves(command: &clap::Command, path: &str, into: &mut Vec<String>) {
        for next in command.get_subcommands().filter(|next| next.get_name() != "help") {
            let path = format!("{path} {}", next.get_name()).trim().to_owned();
            match next.has_subcommands() {
                true => leaves(next, &path, into),
                false => into.push(path),
            }
        }
    }

    #[test]
    fn an_error_in_the_arguments_names_the_command_as_its_result_would() {
        use clap::CommandFactory as _;
        const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        let mut all = Vec::new();
        leaves(&Cli::command(), "", &mut all);
        all.push("routers".into());
        for path in &all {
            let more = match path.as_str() {
                "owner add" => format!("{KEY} --role admin --name a"),
                "owner remove" | "routers forget" | "repair" | "history" | "rollback"
                | "remove" | "check" | "records" | "push" | "diff" | "take-over" | "man" => {
                    "wg0".into()
                }
                "hand-over" => format!("--to {KEY} --as a --record r"),
                "routers add" => format!("push {KEY}"),
                "unlock" => "K7QB-29XB-M4T5".into(),
                "export" => "--uci wg0.conf".into(),
                "labels make" => "--count 1 --out x".into(),
                "line" => "m.toml --ports x".into(),
                "completions" => "bash".into(),
                fleet if fleet.starts_with("fleet ") => "m.toml".into(),
                _ => String::new(),
            };
            let line = |end: &str| -> Vec<std::ffi::OsString> {
                let line = format!("postwire --home push --json --key=fleet {path} {more} {end}");
                line.split_whitespace().map(Into::into).collect()
            };
            let cli = Cli::try_parse_from(line("")).unwrap_or_else(|why| panic!("{path}: {why}"));
            let wrong = line("--no-such-option");
            assert!(Cli::try_parse_from(&wrong).is_err() || path == "console", "{path}");
            assert_eq!(meant(&wrong), cli.command.name(), "{path}");
        }
    }

    #[test]
    fn a_command_that_is_missing_is_asked_for() {
        let asked = |line: &str| {
            let line: Vec<_> = line.split_whitespace().map(Into::into).collect();
            assert!(Cli::try_parse_from(&line).is_err());
            missing_command(&line)
        };
        assert!(asked("postwire --json").starts_with("which command? There are: keygen, key, "));
        let fleet = "which command of `fleet`? There are: check, push, diff, status, repair";
        assert_eq!(asked("postwire --home fleet fleet --json"), fleet);
        assert!(asked("postwire owner").ends_with("of `owner`? There are: list, add, remove"));
    }
}
