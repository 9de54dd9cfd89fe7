//! Requests and replies.
//!
//! Every message names the client that asks (eight random bytes of its own choosing) and the
//! request it belongs to. A client sends a request again, unchanged, until it is answered; the agent
//! does a repeated request once and answers it from memory.
//!
//! The layout is postcard (<https://postcard.jamesmunns.com/wire-format>): integers are varints,
//! enums start with the number of their variant, byte arrays stand as they are. A reply may have bytes behind
//! what its reader knows; a request may not. Append only.

use super::codec::wire;
use heapless::String;
use heapless::string::StringView;

use super::Digest;
use super::window::Arrived;
use crate::ifname::IfName;
use crate::key::PublicKey;
use crate::text::prefix;

pub use super::failure::{Failure, MAX_TEXT, Subject};
pub use super::numbers::{Code, ConsoleMode, Phase, Role, State};

/// Identity of a client: eight random bytes, chosen when it starts.
pub type ClientId = [u8; 8];

/// The name of an interface. A message with anything else in its place is not read.
pub type Name = IfName;

/// What an owner is called, for people: at most 31 bytes.
pub type OwnerName = String<31>;

/// The most bytes of one line of the console.
pub const MAX_LINE: usize = 512;

/// The most owners a router has.
pub const MAX_OWNERS: usize = 16;

wire! {
    /// A request with its sender.
    #[derive(Clone, PartialEq, Debug)]
    pub struct Request<'a> {
        /// The client.
        pub client: ClientId,
        /// Number of the request, from 1. A repeated number is a repeated request.
        pub id: u32,
        /// The request itself.
        #[cfg_attr(feature = "serde", serde(borrow))]
        pub ask: Ask<'a>,
    }
}

wire! {
    /// What a client can ask for.
    #[derive(Clone, PartialEq, Debug)]
    pub enum Ask<'a> as "ask" {
        /// Announces the versions that the client speaks. The only request that travels under
        /// [`super::envelope::HELLO_VERSION`]. Answered with [`Answer::Hello`].
        Hello {
            /// The lowest version the client speaks.
            min: u8,
            /// The highest version the client speaks.
            max: u8,
            /// What the client can do besides, as bits; none has a meaning yet.
            features: u32,
        } = 0,
        /// Asks for the router's status. Answered with [`Answer::Status`].
        Status = 1,
        /// Begins an upload of a configuration. Answered with [`Answer::Received`]. The same request with the same
        /// digest resumes where the first one stopped.
        Begin {
            /// The interface it is for.
            interface: Name,
            /// The length of the image in bytes.
            length: u32,
            /// The digest of the image.
            digest: Digest,
            /// The size of every piece but the last, 1 to `max_data` of the hello.
            piece_size: u16,
            /// Set when a patch is sent in place of the image: what it is of, and how long.
            patch: Option<Patch>,
            /// All of what is sent, when it fits; or nothing, and pieces follow.
            data: &'a [u8],
        } = 2,
        /// One piece of the image. Answered with [`Answer::Received`].
        Piece {
            /// Which stage, from [`Answer::Received`].
            stage: u32,
            /// Which piece, from 0.
            index: u32,
            /// Its bytes.
            data: &'a [u8],
        } = 3,
        /// Asks what a commit would change. Answered with [`Answer::Planned`].
        Plan {
            /// Which stage.
            stage: u32,
        } = 4,
        /// Applies the configuration. Answered with [`Answer::Applied`], after the kernel was read back and the
        /// configuration is stored.
        Commit {
            /// Which stage.
            stage: u32,
            /// Seconds within which [`Ask::Confirm`] has to come, or else the router goes back to what it had;
            /// 0 when it need not.
            confirm_within: u16,
            /// Adopt an interface that the agent did not make. Otherwise it is refused with
            /// [`Code::Foreign`].
            adopt: bool,
        } = 5,
        /// Drops the stage. Answered with [`Answer::Aborted`].
        Abort {
            /// Which stage.
            stage: u32,
        } = 6,
        /// The running state of an interface, as a file of [`super::report::Running`] records. Answered
        /// with [`Answer::Ready`].
        Show {
            /// Which interface.
            interface: Name,
        } = 7,
        /// The changes of the last plan, as a file of [`super::report::Change`] records. Answered with
        /// [`Answer::Ready`].
        Changes {
            /// Which stage.
            stage: u32,
        } = 8,
        /// Bytes of a file. Answered with [`Answer::Data`].
        Read {
            /// Which file, from [`Answer::Ready`].
            file: u32,
            /// From which byte.
            offset: u32,
            /// How many bytes, at most `max_data` of the hello.
            length: u16,
        } = 9,
        /// Removes the interface: its peers, rules, addresses, routes and link, and its stored configuration but not its
        /// history. Answered with [`Answer::Applied`].
        Remove {
            /// Which interface.
            interface: Name,
            /// As in [`Ask::Commit`].
            confirm_within: u16,
        } = 10,
        /// Claims an unowned router: the key of the session becomes its first owner, an admin. Answered with
        /// [`Answer::Owned`].
        Claim {
            /// What the owner is called.
            name: OwnerName,
            /// [`super::session::LabelKey::proof`] of this session: needed over UDP.
            proof: Option<[u8; 32]>,
        } = 11,
        /// Lists the owners. Answered with [`Answer::Owners`].
        Owners = 12,
        /// Adds an owner, or changes the role or name of one. Answered with [`Answer::Owned`].
        AddOwner {
            /// The owner's key.
            key: PublicKey,
            /// What the owner may do.
            role: Role as known,
            /// What the owner is called.
            name: OwnerName,
        } = 13,
        /// Removes an owner. Answered with [`Answer::Owned`].
        RemoveOwner {
            /// The owner's key.
            key: PublicKey,
        } = 14,
        /// Confirms the pending change, which becomes the stored configuration. Only in a session that was opened after
        /// the change. Answered with [`Answer::Confirmed`].
        Confirm = 15,
        /// Reverts the pending change at once. Answered with [`Answer::Reverted`].
        Revert = 16,
        /// What is stored, as a file of [`super::report::Stored`] records: the configurations of one interface,
        /// newest first, or the newest of every interface. Answered with [`Answer::Ready`].
        History {
            /// Which interface; none for all of them.
            interface: Option<Name>,
        } = 17,
        /// Compares the kernel with the stored configuration. Answered with [`Answer::Planned`]: what a repair would
        /// change.
        Drift {
            /// Which interface.
            interface: Name,
        } = 18,
        /// Applies the stored configuration. Answered with [`Answer::Applied`].
        Repair {
            /// Which interface.
            interface: Name,
            /// As in [`Ask::Commit`].
            confirm_within: u16,
        } = 19,
        /// Applies and stores an earlier configuration. Answered with [`Answer::Applied`].
        Rollback {
            /// Which interface.
            interface: Name,
            /// Its number in the history, from 1.
            number: u32,
            /// As in [`Ask::Commit`].
            confirm_within: u16,
        } = 20,
        /// Short digests of ranges of the newest stored image of an interface, without its first record. Answered with
        /// [`Answer::Ranges`].
        Ranges {
            /// Which interface.
            interface: Name,
            /// The bounds between the ranges, in order, at most [`super::patch::MAX_BOUNDS`]: each a length of one byte
            /// and the front of an [`super::config::ItemKey`]. A range has the items from one bound on and below the next.
            bounds: &'a [u8],
        } = 21,
        /// One line for the router's console, as typed. Answered with [`Answer::Console`].
        Console {
            /// The line without its end, at most [`MAX_LINE`] bytes; or one byte: 3 (Ctrl-C) or 4 (Ctrl-D).
            line: &'a [u8],
        } = 22,
    }
}

wire! {
    /// A patch that makes an image out of a stored one.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Patch {
        /// The number of the stored configuration.
        pub base: u32,
        /// The length of the patch in bytes.
        pub length: u32,
    }
}

wire! {
    /// A reply with the request it belongs to.
    #[derive(Clone, PartialEq, Debug)]
    pub struct Reply<'a> {
        /// The client.
        pub client: ClientId,
        /// The request's number.
        pub id: u32,
        /// The answer.
        #[cfg_attr(feature = "serde", serde(borrow))]
        pub answer: Answer<'a>,
    }
}

wire! {
    /// What a router answers.
    #[derive(Clone, PartialEq, Debug)]
    pub enum Answer<'a> {
        /// The answer to [`Ask::Hello`].
        Hello(hello: Hello) = 0,
        /// The answer to [`Ask::Status`].
        Status(status: Status) = 1,
        /// The answer to [`Ask::Begin`] and [`Ask::Piece`].
        Received {
            /// The number of the stage.
            stage: u32,
            /// Which pieces are here.
            arrived: Arrived,
        } = 2,
        /// The answer to [`Ask::Plan`]: what would change.
        Planned(summary: Summary) = 3,
        /// The answer to [`Ask::Commit`], [`Ask::Remove`], [`Ask::Repair`] and [`Ask::Rollback`]: what was
        /// changed. The kernel agrees with the configuration.
        Applied(applied: Applied) = 4,
        /// The answer to [`Ask::Abort`].
        Aborted = 5,
        /// The answer to [`Ask::Show`] and [`Ask::Changes`]: a file to [`Ask::Read`].
        Ready {
            /// The number of the file. The next one the client asks for takes its place.
            file: u32,
            /// Its length in bytes.
            length: u32,
            /// Its digest.
            digest: Digest,
        } = 6,
        /// The answer to [`Ask::Read`].
        Data {
            /// From which byte.
            offset: u32,
            /// The bytes; fewer than asked for only at the end.
            data: &'a [u8],
        } = 7,
        /// Progress of a long request. Sent from time to time before its answer.
        Working {
            /// What is being done.
            phase: Phase,
            /// How much of it is done.
            done: u32,
            /// Of how much; 0 when that is not known.
            total: u32,
        } = 8,
        /// The request failed.
        Failed(failure: Failure) = 9,
        /// The answer to [`Ask::Claim`], [`Ask::AddOwner`] and [`Ask::RemoveOwner`].
        Owned {
            /// How many owners there are now.
            owners: u8,
        } = 10,
        /// The answer to [`Ask::Owners`].
        Owners(owners: heapless::Vec<Owner, MAX_OWNERS>) = 11,
        /// The answer to [`Ask::Confirm`]: it is stored.
        Confirmed {
            /// Which interface.
            interface: Name,
            /// The number it has in the history.
            number: u32,
        } = 12,
        /// The answer to [`Ask::Revert`]: the kernel has again what it had before the change.
        Reverted {
            /// Which interface.
            interface: Name,
        } = 13,
        /// The answer to [`Ask::Ranges`].
        Ranges {
            /// The number of the stored configuration.
            number: u32,
            /// One [`super::patch::range`] before, between and behind the bounds.
            ranges: &'a [u8],
        } = 14,
        /// The answer to [`Ask::Console`]: the line was executed, and its output is a file to [`Ask::Read`].
        Console {
            /// What the next line is.
            mode: ConsoleMode,
            /// The text to print before the next line.
            prompt: String<64>,
            /// The number of the file. The next file that the client asks for replaces it.
            file: u32,
            /// Length of the output in bytes; 0 when there is nothing to read.
            length: u32,
            /// The digest of the output.
            digest: Digest,
        } = 15,
        _ => Unknown(u8),
    }
}

wire! {
    /// What a change came to.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub struct Applied {
        /// What was changed.
        pub summary: Summary,
        /// The number that the configuration has in the history of its interface, or gets when it is confirmed.
        pub number: u32,
        /// Whether something was written to the storage; not when what is stored was the same before.
        pub stored: bool,
        /// Seconds that are left to confirm it, 0 when it need not be.
        pub confirm_within: u16,
    }
}

wire! {
    /// A key that may open sessions.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Owner {
        /// The key of the sessions.
        pub key: PublicKey,
        /// The owner's role.
        pub role: Role,
        /// The owner's name.
        pub name: OwnerName,
    }
}

wire! {
    /// The router's side of a hello.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Hello {
        /// The version of the protocol for what follows.
        pub version: u8,
        /// The agent's own version, such as `0.1.0`.
        pub agent: String<24>,
        /// The most bytes in one piece on this transport.
        pub max_data: u16,
        /// The most bytes of pieces that may be under way unanswered on this transport.
        pub in_flight: u32,
        /// What the router can do besides, as bits; none has a meaning yet.
        pub features: u32,
    }
}

wire! {
    /// The router's status.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Status {
        /// The host name.
        pub hostname: String<64>,
        /// The board's name, where there is one: `/tmp/sysinfo/board_name` on OpenWrt, else the device tree's.
        pub board: String<48>,
        /// The kernel's release (`uname -r`).
        pub kernel: String<64>,
        /// The machine's architecture (`uname -m`).
        pub machine: String<16>,
        /// Seconds since the agent started.
        pub uptime: u32,
        /// Whether the kernel has WireGuard.
        pub wireguard: bool,
        /// Peak resident memory of the agent in KiB.
        pub peak_memory: u32,
        /// Pushes that ended in "applied" since the agent started.
        pub applied: u32,
        /// Pushes that ended in a failure since the agent started.
        pub failed: u32,
        /// Frames or datagrams that were dropped as garbage.
        pub garbage: u32,
        /// Bytes outside frames on the serial line.
        pub text: u32,
        /// The WireGuard interfaces there are, as many as fit.
        pub interfaces: heapless::Vec<Name, 8>,
        /// The pending change.
        pub pending: Option<Pending>,
        /// Endpoints whose host names the router could not look up yet.
        pub unresolved: u32,
        /// What is wrong with the storage or with what was stored, in words; empty when all is well.
        pub trouble: String<MAX_TEXT>,
        /// How many WireGuard interfaces there are, also those that do not fit the list.
        pub links: u32,
        /// The longest turn of the agent's loop since it started.
        pub longest_turn: Turn,
        /// Interfaces whose running state differs from the stored configuration, or from the pending change, because
        /// another program changed it; as many as fit.
        pub drift: heapless::Vec<Drift, 3>,
        /// How many such interfaces there are, also those that do not fit the list.
        pub drifting: u32,
    }
}

/// The most bytes of [`Drift::what`].
pub const WORDS: usize = 100;

wire! {
    /// Changes of an interface by other programs, as the agent noticed them.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Drift {
        /// The interface.
        pub interface: Name,
        /// What is gone, was added or differs, in words.
        pub what: String<WORDS>,
        /// Seconds since the agent noticed the first difference.
        pub seconds: u32,
        /// Repairs that the agent made by itself, since the interface last stayed as stored for ten minutes.
        pub repairs: u16,
        /// Seconds until the agent makes the next repair by itself; `None` if it makes none.
        pub next_repair: Option<u32>,
    }
}

wire! {
    /// One turn of the agent's loop.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub struct Turn {
        /// How long it took in milliseconds.
        pub millis: u32,
        /// What the agent did, in a word.
        pub what: String<16>,
    }
}

wire! {
    /// A change that is not confirmed yet.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Pending {
        /// The interface it was made to.
        pub interface: Name,
        /// The number it gets in the history.
        pub number: u32,
        /// The owner who made it.
        pub by: OwnerName,
        /// Seconds until the change is reverted.
        pub seconds: u16,
        /// The digest of the image as it was pushed; that of no bytes for a removal.
        pub digest: Digest,
    }
}

wire! {
    /// Numbers of items of one kind.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Count {
        /// Items to add.
        pub added: u32,
        /// Items to change.
        pub changed: u32,
        /// Items to remove.
        pub removed: u32,
        /// Unchanged items.
        pub same: u32,
    }
}

impl Count {
    /// Whether nothing of this kind changes.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.added == 0 && self.changed == 0 && self.removed == 0
    }
}

wire! {
    /// What a push changes, or changed.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub struct Summary {
        /// Whether the interface is created.
        pub created: bool,
        /// Which settings of the device change: [`device`] bits.
        pub device: u8,
        /// Addresses.
        pub addresses: Count,
        /// Routes.
        pub routes: Count,
        /// Policy rules.
        pub rules: Count,
        /// Peers.
        pub peers: Count,
        /// The device's public key after the change, if it has a private key and is there already.
        pub public_key: Option<PublicKey>,
        /// The port it listens on after the change, if it is there already.
        pub listen_port: Option<u16>,
    }
}

impl Summary {
    /// Whether nothing changes at all.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        !self.created
            && self.device == 0
            && self.addresses.is_quiet()
            && self.routes.is_quiet()
            && self.rules.is_quiet()
            && self.peers.is_quiet()
    }
}

/// Bits of [`Summary::device`].
pub mod device {
    /// The private key.
    pub const PRIVATE_KEY: u8 = 1;
    /// The port it listens on.
    pub const LISTEN_PORT: u8 = 2;
    /// The mark on outgoing packets.
    pub const FWMARK: u8 = 4;
    /// The MTU.
    pub const MTU: u8 = 8;
    /// The link goes up.
    pub const UP: u8 = 16;
    /// Another program made the link: a push needs to adopt it. Only in [`Answer::Planned`](super::Answer::Planned).
    pub const FOREIGN: u8 = 32;
}

/// Bits that say which fields of a peer differ.
pub mod peer {
    /// The endpoint.
    pub const ENDPOINT: u8 = 1;
    /// The preshared key.
    pub const PRESHARED_KEY: u8 = 2;
    /// The keepalive interval.
    pub const PERSISTENT_KEEPALIVE: u8 = 4;
    /// The allowed IPs.
    pub const ALLOWED_IPS: u8 = 8;
}

/// As much of `text` as fits a failure, cut between characters.
#[must_use]
pub fn cut<const N: usize>(text: &str) -> String<N> {
    let mut out = String::new();
    fill(&mut out, text);
    out
}

/// A copy. The `clone` of a string is a loop written out at each place that has one.
#[must_use]
pub fn copy<const N: usize>(text: &String<N>) -> String<N> {
    cut(text)
}

/// [`cut`] for a string of any length, in the program once.
#[cfg_attr(feature = "small", inline(never))]
fn fill(out: &mut StringView, text: &str) {
    // It was cut so that it fits.
    let _ = out.push_str(prefix(text, out.capacity()));
}
