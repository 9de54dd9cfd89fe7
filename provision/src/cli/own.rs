//! Keys, owners and the routers one knows.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use proto_core::key::PublicKey;
use proto_core::protocol::message::OwnerName;

use super::{Link, Talk, To};
use crate::home::{Home, HomeError};
use crate::{name, units};

/// What every command takes: the operator's own files, and how to answer.
#[derive(Args, Debug)]
pub struct Own {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// The folder of your key and of the routers you know [default: $POSTWIRE_HOME, $XDG_CONFIG_HOME/postwire or
    /// ~/.config/postwire]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Your own files")]
    pub home: Option<PathBuf>,
    /// Your key, if it is not `key` in that folder
    #[arg(id = "key_file", long = "key", value_name = "FILE")]
    #[arg(global = true, help_heading = "Your own files")]
    pub key: Option<PathBuf>,
}

impl Own {
    /// Where they are.
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
    /// Make a new key in the place of the one you have
    #[arg(long)]
    pub force: bool,
}

/// `claim`.
#[derive(Args, Debug)]
pub struct Claim {
    /// Where the router is.
    #[command(flatten)]
    pub to: To,
    /// The secret on the router's label; others may see it in the list of processes
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["secret_file", "serial"])]
    pub secret: Option<String>,
    /// A file with the secret on the router's label; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "serial")]
    pub secret_file: Option<PathBuf>,
    /// What to call the router [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the router is to call you [default: USER@HOST]
    #[arg(long = "as", value_name = "NAME", value_parser = name::owner)]
    pub owner: Option<OwnerName>,
    /// Claim only the router of this fingerprint
    #[arg(long, value_name = "ABCD-...", value_parser = units::fingerprint)]
    pub fingerprint: Option<String>,
    /// Claim without asking whether the fingerprint is right
    #[arg(short, long)]
    pub yes: bool,
    /// How to talk to it.
    #[command(flatten)]
    pub talk: Talk,
}

/// `owner`.
#[derive(Args, Debug)]
pub struct Owner {
    /// What to do with them.
    #[command(subcommand)]
    pub what: OwnerCommand,
}

/// What to do with the owners of a router.
#[derive(Subcommand, Debug)]
pub enum OwnerCommand {
    /// Show who owns a router
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
    /// Their public key, as their `postwire key` shows it
    pub key: PublicKey,
    /// What they may do
    #[arg(long, value_enum)]
    pub role: Role,
    /// What the router is to call them
    #[arg(long, value_name = "NAME", value_parser = name::owner)]
    pub name: OwnerName,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `owner remove`.
#[derive(Args, Debug)]
pub struct RemoveOwner {
    /// Their public key, or their name if only one owner has it
    #[arg(value_name = "KEY|NAME")]
    pub who: String,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// What an owner may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    /// Everything
    Admin,
    /// Look: `status`, `show`, `history` and `owner list`
    ReadOnly,
}

/// `routers`.
#[derive(Args, Debug)]
pub struct Routers {
    /// What to do with the list; show it when nothing is said.
    #[command(subcommand)]
    pub what: Option<RoutersCommand>,
}

/// What to do with the list of routers.
#[derive(Subcommand, Debug)]
pub enum RoutersCommand {
    /// Show the list; the same as `routers` alone
    List,
    /// Note the key of a router, as `postwired identity` prints it there
    Add {
        /// What to call it
        name: String,
        /// Its public key
        key: PublicKey,
    },
    /// Take a router out of the list
    Forget {
        /// Its name or public key
        #[arg(value_name = "NAME|KEY")]
        router: String,
    },
}
