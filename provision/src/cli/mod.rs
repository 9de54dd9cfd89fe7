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
    AddOwner, Claim, Key, Keygen, Own, Owner, OwnerCommand, RemoveOwner, Role, Routers,
    RoutersCommand,
};
pub use stored::{Confirming, History, Repair, Rollback};

/// Puts WireGuard configuration onto routers over a serial line or UDP
#[derive(Parser, Debug)]
#[command(name = "postwire", version, after_help = exit::HELP)]
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
    /// Make your key, by which routers will know you
    #[command(after_help = "Example:\n  postwire keygen")]
    Keygen(Keygen),
    /// Show your public key and its fingerprint
    #[command(after_help = "Example:\n  postwire key")]
    Key(Key),
    /// Make a router that nobody owns yours
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
    /// Keep the change that waits for it
    #[command(after_help = "Example:\n  postwire confirm --udp 192.168.1.1")]
    Confirm(Link),
    /// Take back the change that waits to be confirmed, at once
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
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
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
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// How long to wait for a sign of life
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub timeout: Duration,
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
