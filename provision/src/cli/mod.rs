//! The command line. What is about keys and owners is in `own`, what is about the history in `stored`.

mod own;
mod stored;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::units::{self, SerialAddress, UdpAddress};
use crate::{exit, name};
use proto_core::protocol::message::Name;

pub use own::{
    AddOwner, Claim, Keygen, Own, Owner, OwnerCommand, RemoveOwner, Role, Routers, RoutersCommand,
};
pub use stored::{Confirming, History, Repair, Rollback};

/// Puts WireGuard configuration onto routers over a serial line or UDP
#[derive(Parser, Debug)]
#[command(name = "postwire", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    /// Who asks.
    #[command(flatten)]
    pub own: Own,
    /// What to do.
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
    /// Over a serial line whoever holds the cable may do it. Over UDP it takes the secret on the
    /// router's label, which can be used once. Afterwards the router answers its owners only.
    #[command(after_help = "Examples:\n  postwire claim --serial /dev/ttyUSB0\n  \
                            postwire claim --udp 192.168.1.1 --secret-file label.txt")]
    Claim(Claim),
    /// Show or change who owns a router
    Owner(Owner),
    /// The same as `owner list`
    Owners(Link),
    /// Show or change the list of the routers you know
    #[command(args_conflicts_with_subcommands = true)]
    Routers(Routers),
    /// Make a router run FILE
    ///
    /// The router changes only what differs, reads its kernel back, and says what it did. Sessions
    /// of peers that stay as they are go on. When it is done, the configuration is stored: the router
    /// starts with it.
    ///
    /// With --confirm-within the router goes back by itself unless it can be reached again afterwards.
    #[command(after_help = "Examples:\n  postwire push wg0.conf --serial /dev/ttyUSB0@115200\n  \
                            postwire push wg0.conf --udp 192.168.1.1 --confirm-within 60s")]
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
    /// Show what is stored on a router: who made it, when, and how
    #[command(after_help = "Example:\n  postwire history wg0 --udp 192.168.1.1")]
    History(History),
    /// Make a router run an earlier configuration again
    ///
    /// It is stored under a new number, so that this can be rolled back as well.
    #[command(after_help = "Examples:\n  postwire rollback wg0 --udp 192.168.1.1\n  \
                            postwire rollback wg0 3 --udp 192.168.1.1 --confirm-within 60s")]
    Rollback(Rollback),
    /// Put back what somebody changed by hand: make a router run what is stored
    ///
    /// `postwire status` says whether the two agree.
    #[command(after_help = "Example:\n  postwire repair wg0 --udp 192.168.1.1")]
    Repair(Repair),
    /// Show what a router runs, as `wg show` does
    ///
    /// With addresses, routes and rules, and without any secret.
    #[command(after_help = "Example:\n  postwire show wg0 --udp 192.168.1.1")]
    Show(Show),
    /// Show how a router is, and whether it runs what is stored
    #[command(after_help = "Example:\n  postwire status --serial /dev/ttyUSB0 --changes")]
    Status(Status),
    /// Take an interface away from a router: its peers, rules, addresses, routes and link
    ///
    /// The router does not start with it any more; `postwire rollback` brings it back.
    #[command(after_help = "Example:\n  postwire remove wg0 --udp 192.168.1.1")]
    Remove(Remove),
    /// Check FILE without a router, and show what a push would carry
    #[command(after_help = "Example:\n  postwire check wg0.conf")]
    Check(Check),
    /// Print FILE as the sections that netifd would need in `/etc/config/network`
    ///
    /// For a router that Postwire no longer configures. The output has the private key.
    #[command(after_help = "Example:\n  postwire export --uci wg0.conf")]
    Export(Export),
    /// Print the completion script of a shell
    #[command(after_help = "Examples:\n  \
                            postwire completions bash > /etc/bash_completion.d/postwire\n  \
                            postwire completions zsh > ~/.zfunc/_postwire")]
    Completions(Completions),
    /// Write the man pages into a folder
    #[command(after_help = "Example:\n  postwire man /usr/local/share/man/man1")]
    Man(Man),
}

impl Command {
    /// The name as it is typed, with that of a subcommand.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Keygen(_) => "keygen",
            Self::Key => "key",
            Self::Claim(_) => "claim",
            Self::Owner(Owner { what: OwnerCommand::List(_) }) | Self::Owners(_) => "owner list",
            Self::Owner(Owner { what: OwnerCommand::Add(_) }) => "owner add",
            Self::Owner(Owner { what: OwnerCommand::Remove(_) }) => "owner remove",
            Self::Routers(Routers { what: None | Some(RoutersCommand::List) }) => "routers",
            Self::Routers(Routers { what: Some(RoutersCommand::Add { .. }) }) => "routers add",
            Self::Routers(Routers { what: Some(RoutersCommand::Forget { .. }) }) => {
                "routers forget"
            }
            Self::Push(_) => "push",
            Self::Diff(_) => "diff",
            Self::Confirm(_) => "confirm",
            Self::Revert(_) => "revert",
            Self::History(_) => "history",
            Self::Rollback(_) => "rollback",
            Self::Repair(_) => "repair",
            Self::Show(_) => "show",
            Self::Status(_) => "status",
            Self::Remove(_) => "remove",
            Self::Check(_) => "check",
            Self::Export(_) => "export",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

/// The command that was meant by arguments that do not parse, as far as it can be told: `push` of
/// `push --nonsense`.
#[must_use]
pub fn meant(args: &[std::ffi::OsString]) -> &'static str {
    use clap::CommandFactory as _;
    let names: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let known = args.iter().skip(1).find_map(|arg| names.iter().find(|name| arg == name.as_str()));
    // The names are those of one program that is about to end.
    known.map_or("postwire", |name| Box::leak(name.clone().into_boxed_str()))
}

/// `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// As sections of UCI, OpenWrt's configuration
    #[arg(long, required = true)]
    pub uci: bool,
    /// A wg-quick configuration file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// The interface it is for [default: the name of FILE, as wg0 of wg0.conf]
    #[arg(long, value_name = "NAME", value_parser = name::interface)]
    pub interface: Option<Name>,
}

/// `completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Args, Debug)]
pub struct Man {
    /// The folder, which is made if it does not exist
    pub folder: PathBuf,
}

/// `push`.
#[derive(Args, Debug)]
pub struct Push {
    /// Which file.
    #[command(flatten)]
    pub file: File,
    /// Whether it has to be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// Do not ask before all peers or all addresses of the interface are taken away
    #[arg(short, long)]
    pub yes: bool,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// Which file.
    #[command(flatten)]
    pub file: File,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `show`.
#[derive(Args, Debug)]
pub struct Show {
    /// The interface to show; all WireGuard interfaces when none is named
    #[arg(value_parser = name::interface)]
    pub interface: Option<Name>,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `remove`.
#[derive(Args, Debug)]
pub struct Remove {
    /// The interface to take away
    #[arg(value_parser = name::interface)]
    pub interface: Name,
    /// Whether it has to be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Also show one by one what a repair would change
    #[arg(long)]
    pub changes: bool,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Which file.
    #[command(flatten)]
    pub file: File,
}

/// A configuration file.
#[derive(Args, Debug)]
pub struct File {
    /// A wg-quick configuration file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// The interface it is for [default: the name of FILE, as wg0 of wg0.conf]
    #[arg(long, value_name = "NAME", value_parser = name::interface)]
    pub interface: Option<Name>,
    /// Where host names of endpoints are looked up: on this machine and later on the router, or on the router alone
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = Resolve::Bench)]
    pub resolve: Resolve,
}

/// Where host names are looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Resolve {
    /// On this machine first: the router has an address at once
    Bench,
    /// On the router alone, whose network may know other names
    Router,
}

/// The way to a router.
#[derive(Args, Debug)]
pub struct Link {
    /// Where the router is.
    #[command(flatten)]
    pub to: To,
    /// Which router it is [default: the one last seen there, or else any that you know]
    #[arg(long, value_name = "NAME|KEY")]
    pub router: Option<String>,
    /// How to talk to it.
    #[command(flatten)]
    pub talk: Talk,
}

/// How to talk to a router, and of it.
#[derive(Args, Debug)]
pub struct Talk {
    /// How long to wait for a sign of life
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub timeout: Duration,
    /// Set the DTR line of a serial port; boards that reset by it may need `off` [default: as the port has it]
    #[arg(long, value_name = "on|off", value_parser = units::switch)]
    pub dtr: Option<bool>,
    /// Also show what the line says between packets
    #[arg(short, long)]
    pub verbose: bool,
}

/// Where a router is: exactly one of the two.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct To {
    /// A serial line and its speed [default speed: 115200]
    #[arg(long, value_name = "DEV[@BAUD]", value_parser = units::serial)]
    pub serial: Option<SerialAddress>,
    /// A host and its UDP port [default port: 5182]
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
}
