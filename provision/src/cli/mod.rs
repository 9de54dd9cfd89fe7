//! The command line. What is about keys and owners is in `own`.

mod own;

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
    /// of peers that stay as they are go on.
    #[command(after_help = "Example:\n  postwire push wg0.conf --serial /dev/ttyUSB0@115200")]
    Push(Push),
    /// Show what a push of FILE would change, without changing it
    #[command(after_help = "Example:\n  postwire diff wg0.conf --udp 192.168.1.1")]
    Diff(Push),
    /// Show what a router runs, as `wg show` does
    ///
    /// With addresses, routes and rules, and without any secret.
    #[command(after_help = "Example:\n  postwire show wg0 --udp 192.168.1.1")]
    Show(Show),
    /// Show how a router is
    #[command(after_help = "Example:\n  postwire status --serial /dev/ttyUSB0")]
    Status(Status),
    /// Take an interface away from a router: its peers, rules, addresses, routes and link
    #[command(after_help = "Example:\n  postwire remove wg0 --udp 192.168.1.1")]
    Remove(Remove),
    /// Check FILE without a router, and show what a push would carry
    #[command(after_help = "Example:\n  postwire check wg0.conf")]
    Check(Check),
}

/// `push` and `diff`.
#[derive(Args, Debug)]
pub struct Push {
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
