//! Options for stored configurations and pending changes.

use clap::Args;
use proto_core::protocol::message::Name;

use super::Link;
use crate::{name, ops, units};

/// Options for a change that the router reverts unless the change is confirmed in time.
#[derive(Args, Debug)]
pub struct Confirming {
    /// Revert the change unless the router can be reached again within TIME, from 1s to 1h
    #[arg(long, value_name = "TIME", value_parser = units::confirm_within)]
    pub confirm_within: Option<u16>,
    /// Do not confirm automatically; run `postwire confirm` yourself
    #[arg(long, requires = "confirm_within")]
    pub confirm_by_hand: bool,
}

impl Confirming {
    /// The options, as operations take them.
    #[must_use]
    pub fn how(&self) -> ops::Confirming {
        ops::Confirming { seconds: self.confirm_within.unwrap_or(0), by_hand: self.confirm_by_hand }
    }
}

/// `history`.
#[derive(Args, Debug)]
pub struct History {
    /// The interface whose history to show [default: the newest configuration of each interface]
    #[arg(value_parser = name::interface)]
    pub interface: Option<Name>,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The interface to roll back
    #[arg(value_parser = name::interface)]
    pub interface: Name,
    /// The number of the configuration in `postwire history` [default: the one before the newest]
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub number: Option<u32>,
    /// Whether the change must be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}

/// `repair`.
#[derive(Args, Debug)]
pub struct Repair {
    /// The interface to repair
    #[arg(value_parser = name::interface)]
    pub interface: Name,
    /// Whether the change must be confirmed.
    #[command(flatten)]
    pub confirming: Confirming,
    /// The router.
    #[command(flatten)]
    pub link: Link,
}
