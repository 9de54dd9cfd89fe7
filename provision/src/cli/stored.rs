//! What is stored on a router, and what waits to be.

use clap::Args;
use proto_core::protocol::message::Name;

use super::Link;
use crate::{name, units};

/// A change that the router takes back by itself unless it is confirmed.
#[derive(Args, Debug)]
pub struct Confirming {
    /// Have the router go back by itself unless it is reached again and told to stay, within 1s to 1h
    #[arg(long, value_name = "TIME", value_parser = units::confirm_within)]
    pub confirm_within: Option<u16>,
    /// Leave it to you to confirm, with `postwire confirm`
    #[arg(long, requires = "confirm_within")]
    pub confirm_by_hand: bool,
}

impl Confirming {
    /// The seconds there are to confirm it, 0 when it need not be.
    #[must_use]
    pub fn seconds(&self) -> u16 {
        self.confirm_within.unwrap_or(0)
    }
}

/// `history`.
#[derive(Args, Debug)]
pub struct History {
    /// The interface whose history to show; the newest of all interfaces when none is named
    #[arg(value_parser = name::interface)]
    pub interface: Option<Name>,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The interface to roll back
    #[arg(value_parser = name::interface)]
    pub interface: Name,
    /// The number of the configuration, as `postwire history` shows it [default: the one before the newest]
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub number: Option<u32>,
    /// Whether it has to be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}

/// `repair`.
#[derive(Args, Debug)]
pub struct Repair {
    /// The interface to repair
    #[arg(value_parser = name::interface)]
    pub interface: Name,
    /// Whether it has to be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// Which router.
    #[command(flatten)]
    pub link: Link,
}
