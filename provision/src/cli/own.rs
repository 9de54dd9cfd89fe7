//! Options for keys, owners and known routers.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use proto_core::key::PublicKey;
use proto_core::protocol::message::OwnerName;

use super::{Link, Talk, To};
use crate::home::{Home, HomeError};
use crate::{name, units};

/// Options of every command: the operator's own files and the output format.
#[derive(Args, Debug)]
pub struct Own {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// The folder with your key and your list of routers [default: $POSTWIRE_HOME, $XDG_CONFIG_HOME/postwire or
    /// ~/.config/postwire]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Your own files")]
    pub home: Option<PathBuf>,
    /// The file with your key [default: `key` in the folder above]
    #[arg(id = "key_file", long = "key", value_name = "FILE")]
    #[arg(global = true, help_heading = "Your own files")]
    pub key: Option<PathBuf>,
}

impl Own {
    /// Finds the operator's folder and key file.
    ///
    /// # Errors
    /// [`HomeError::NoFolder`].
    pub fn find(&self) -> Result<Home, HomeError> {
        Home::find(self.home.as_deref(), self.key.as_deref())
    }
}

/// `keygen`.
#[derive(Args, Debug)]
pub struct Keygen {
    /// Replace your existing key with a new one
    #[arg(long)]
    pub force: bool,
}

/// `claim`.
#[derive(Args, Debug)]
pub struct Claim {
    /// The address of the router.
    #[command(flatten)]
    pub to: To,
    /// The secret on the router's label; visible to others in the process list
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["secret_file", "serial"])]
    pub secret: Option<String>,
    /// A file with the secret on the router's label; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "serial")]
    pub secret_file: Option<PathBuf>,
    /// The text in the QR code of the router's label, from a phone or a scanner; `-` reads a line from standard input.
    /// Over a serial line only the router with this label is claimed
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["secret", "secret_file"])]
    pub label: Option<String>,
    /// A name for the router in your list [default: the number on its label with --label, or else its host name]
    #[arg(long, value_name = "NAME", value_parser = name::router)]
    pub name: Option<String>,
    /// Your name in the router's list of owners
    #[arg(long = "as", value_name = "NAME", value_parser = name::owner)]
    // rustdoc would take the brackets for a link.
    #[arg(help = "Your name in the router's list of owners [default: USER@HOST]")]
    pub owner: Option<OwnerName>,
    /// Claim only the router with this fingerprint
    #[arg(long, value_name = "ABCD-...", value_parser = units::fingerprint)]
    pub fingerprint: Option<String>,
    /// Do not ask whether the fingerprint is right
    #[arg(short, long)]
    pub yes: bool,
    /// Options for talking to the router.
    #[command(flatten)]
    pub talk: Talk,
}

/// `owner`.
#[derive(Args, Debug)]
pub struct Owner {
    /// The action.
    #[command(subcommand)]
    pub what: OwnerCommand,
}

/// Actions on the owners of a router.
#[derive(Subcommand, Debug)]
pub enum OwnerCommand {
    /// Show the owners of a router
    #[command(after_help = "Example:\n  postwire owner list --udp 192.168.1.1")]
    List(Link),
    /// Add an owner, or change an owner's role or name
    #[command(after_help = "Example:\n  postwire owner add \
                            xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= --role admin \
                            --name alice --udp 192.168.1.1")]
    Add(AddOwner),
    /// Remove an owner
    #[command(after_help = "Example:\n  postwire owner remove alice --udp 192.168.1.1")]
    Remove(RemoveOwner),
}

/// `owner add`.
#[derive(Args, Debug)]
pub struct AddOwner {
    /// The owner's public key; the owner's `postwire key` shows it
    pub key: PublicKey,
    /// What the owner may do
    #[arg(long, value_enum)]
    pub role: Role,
    /// The owner's name in the router's list
    #[arg(long, value_name = "NAME", value_parser = name::owner)]
    pub name: OwnerName,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `owner remove`.
#[derive(Args, Debug)]
pub struct RemoveOwner {
    /// The owner's public key, or a name that only one owner has
    #[arg(value_name = "KEY|NAME")]
    pub who: String,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `hand-over`.
#[derive(Args, Debug)]
pub struct HandOver {
    /// The public key of the new owner, whose `postwire key` shows it
    #[arg(long, value_name = "KEY")]
    pub to: PublicKey,
    /// The new owner's name in the router's list of owners
    #[arg(long = "as", value_name = "NAME", value_parser = name::owner)]
    pub name: OwnerName,
    /// The file to write the record to; it must not exist
    #[arg(long, value_name = "FILE")]
    pub record: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `take-over`.
#[derive(Args, Debug)]
pub struct TakeOver {
    /// The record that the previous owner's `postwire hand-over` wrote
    #[arg(value_name = "FILE")]
    pub record: PathBuf,
    /// A name for the router in your list [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = name::router)]
    pub name: Option<String>,
    /// With --udp or --serial the router itself is asked whether you are its only owner.
    #[command(flatten)]
    pub link: Link,
}

/// What an owner may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    /// Everything
    Admin,
    /// Only look: `status`, `show`, `history`, `owner list`, and the console's commands that change nothing
    ReadOnly,
}

/// `unlock`.
#[derive(Args, Debug)]
pub struct Unlock {
    /// The challenge that the router's console shows, such as K7QB-29XB-M4T5; case, dashes and spaces do not matter
    #[arg(required = true, num_args = 1..)]
    pub challenge: Vec<String>,
    /// The router that shows it, by its name in your list, its public key or its fingerprint [default: the only
    /// router you know]
    #[arg(long, value_name = "NAME|KEY")]
    pub router: Option<String>,
    /// What the person at the console may do: no more than your own role allows
    #[arg(long, value_enum, default_value_t = Role::Admin)]
    pub role: Role,
}

/// `routers`.
#[derive(Args, Debug)]
pub struct Routers {
    /// The action; `None` shows the list.
    #[command(subcommand)]
    pub what: Option<RoutersCommand>,
}

/// Actions on the list of known routers.
#[derive(Subcommand, Debug)]
pub enum RoutersCommand {
    /// Show the list; the same as `routers` alone
    List,
    /// Add a router by its public key; `postwired identity` on the router prints the key
    Add {
        /// A name for the router
        #[arg(value_parser = name::router)]
        name: String,
        /// The router's public key
        key: PublicKey,
        /// Where to reach the router, so that its name alone is enough
        #[command(flatten)]
        to: To,
    },
    /// Remove a router from the list
    Forget {
        /// The router's name or public key
        #[arg(value_name = "NAME|KEY")]
        router: String,
    },
}
