//! Requests and replies.
//!
//! Every message has the id of its client (eight random bytes, chosen by the client) and the number
//! of its request. A client resends a request, unchanged, until a reply arrives; the agent executes
//! a repeated request once and repeats the stored reply.
//!
//! The layout is postcard (<https://postcard.jamesmunns.com/wire-format>): integers are varints,
//! enums start with the number of their variant, byte arrays have no length prefix. A reply may
//! have bytes after the fields that its reader knows; a request may not. Append only.

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

/// The name of an interface. A message with any other text in its place is not read.
pub type Name = IfName;

/// The name of an owner, for people: at most 31 bytes.
pub type OwnerName = String<31>;

/// Longest line of the console in bytes.
pub const MAX_LINE: usize = 512;

/// Largest number of owners of a router.
pub const MAX_OWNERS: usize = 16;

wire! {
    /// A request, its number and its client.
    #[derive(Clone, PartialEq, Debug)]
    pub struct Request<'a> {
        /// The client.
        pub client: ClientId,
        /// Number of the request, from 1. A repeated number means a resent request.
        pub id: u32,
        /// The request itself.
        #[cfg_attr(feature = "serde", serde(borrow))]
        pub ask: Ask<'a>,
    }
}

wire! {
    /// The requests of a client.
    #[derive(Clone, PartialEq, Debug)]
    pub enum Ask<'a> as "ask" {
        /// Announces the versions that the client supports. The only request with the version
        /// [`super::envelope::HELLO_VERSION`]. Answered with [`Answer::Hello`].
        Hello {
            /// The lowest version that the client supports.
            min: u8,
            /// The highest version that the client supports.
            max: u8,
            /// Optional features of the client, as bits; none is defined yet.
            features: u32,
        } = 0,
        /// Requests the router's status. Answered with [`Answer::Status`].
        Status = 1,
        /// Starts the upload of a configuration. Answered with [`Answer::Received`]. The same
        /// request with the same digest resumes an upload that was interrupted.
        Begin {
            /// The interface to configure.
            interface: Name,
            /// Length of the image in bytes.
            length: u32,
            /// The digest of the image.
            digest: Digest,
            /// Size of every piece except the last, 1 to `max_data` of the hello.
            piece_size: u16,
            /// Set if a patch is sent in place of the image: its base and its length.
            patch: Option<Patch>,
            /// All bytes of the upload, if they fit; otherwise empty, and pieces follow.
            data: &'a [u8],
        } = 2,
        /// One piece of the image. Answered with [`Answer::Received`].
        Piece {
            /// The stage, from [`Answer::Received`].
            stage: u32,
            /// Index of the piece, from 0.
            index: u32,
            /// The bytes of the piece.
            data: &'a [u8],
        } = 3,
        /// Requests the changes that a commit would make. Answered with [`Answer::Planned`].
        Plan {
            /// The stage.
            stage: u32,
        } = 4,
        /// Applies the configuration. Answered with [`Answer::Applied`] after the kernel's state
        /// was read back and the configuration was stored.
        Commit {
            /// The stage.
            stage: u32,
            /// Seconds within which [`Ask::Confirm`] must arrive; otherwise the router reverts the
            /// change. 0 if no confirmation is needed.
            confirm_within: u16,
            /// Whether to adopt an interface that the agent did not create. With `false` the commit
            /// is refused with [`Code::Foreign`].
            adopt: bool,
        } = 5,
        /// Drops the stage. Answered with [`Answer::Aborted`].
        Abort {
            /// The stage.
            stage: u32,
        } = 6,
        /// Requests the running state of an interface, as a file of [`super::report::Running`]
        /// records. Answered with [`Answer::Ready`].
        Show {
            /// The interface.
            interface: Name,
        } = 7,
        /// Requests the changes of the last plan, as a file of [`super::report::Change`] records.
        /// Answered with [`Answer::Ready`].
        Changes {
            /// The stage.
            stage: u32,
        } = 8,
        /// Reads bytes of a file. Answered with [`Answer::Data`].
        Read {
            /// The file, from [`Answer::Ready`].
            file: u32,
            /// Offset of the first byte.
            offset: u32,
            /// Number of bytes, at most `max_data` of the hello.
            length: u16,
        } = 9,
        /// Removes the interface: its peers, rules, addresses, routes and link, and its stored
        /// configuration but not its history. Answered with [`Answer::Applied`].
        Remove {
            /// The interface.
            interface: Name,
            /// As in [`Ask::Commit`].
            confirm_within: u16,
        } = 10,
        /// Claims an unowned router: the key of the session becomes its first owner, an admin. Answered with
        /// [`Answer::Owned`].
        Claim {
            /// The owner's name.
            name: OwnerName,
            /// [`super::session::LabelKey::proof`] for this session; required over UDP.
            proof: Option<[u8; 32]>,
        } = 11,
        /// Lists the owners. Answered with [`Answer::Owners`].
        Owners = 12,
        /// Adds an owner, or changes an owner's role or name. Answered with [`Answer::Owned`].
        AddOwner {
            /// The owner's key.
            key: PublicKey,
            /// The owner's role.
            role: Role as known,
            /// The owner's name.
            name: OwnerName,
        } = 13,
        /// Removes an owner. Answered with [`Answer::Owned`].
        RemoveOwner {
            /// The owner's key.
            key: PublicKey,
        } = 14,
        /// Confirms the pending change, which becomes the stored configuration. Allowed only in a
        /// session that was opened after the change. Answered with [`Answer::Confirmed`].
        Confirm = 15,
        /// Reverts the pending change immediately. Answered with [`Answer::Reverted`].
        Revert = 16,
        /// Requests the stored configurations, as a file of [`super::report::Stored`] records: all
        /// of one interface, newest first, or the newest of every interface. Answered with
        /// [`Answer::Ready`].
        History {
            /// The interface; `None` for all interfaces.
            interface: Option<Name>,
        } = 17,
        /// Compares the kernel with the stored configuration. Answered with [`Answer::Planned`]:
        /// the changes that a repair would make.
        Drift {
            /// The interface.
            interface: Name,
        } = 18,
        /// Applies the stored configuration. Answered with [`Answer::Applied`].
        Repair {
            /// The interface.
            interface: Name,
            /// As in [`Ask::Commit`].
            confirm_within: u16,
        } = 19,
        /// Applies and stores an earlier configuration. Answered with [`Answer::Applied`].
        Rollback {
            /// The interface.
            interface: Name,
            /// Number of the configuration in the history, from 1.
            number: u32,
            /// As in [`Ask::Commit`].
            confirm_within: u16,
        } = 20,
        /// Requests short digests of ranges of the newest stored image of an interface, without its
        /// first record. Answered with [`Answer::Ranges`].
        Ranges {
            /// The interface.
            interface: Name,
            /// The bounds between the ranges, in order, at most [`super::patch::MAX_BOUNDS`]: each
            /// is a length of one byte and the front of an [`super::config::ItemKey`]. A range
            /// contains the items from its bound up to the next bound, without that one.
            bounds: &'a [u8],
        } = 21,
        /// One line for the router's console, as typed. Answered with [`Answer::Console`].
        Console {
            /// The line without its line end, at most [`MAX_LINE`] bytes; or one byte: 3 (Ctrl-C)
            /// or 4 (Ctrl-D).
            line: &'a [u8],
        } = 22,
    }
}

wire! {
    /// A patch that turns a stored image into another one.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Patch {
        /// Number of the stored configuration.
        pub base: u32,
        /// Length of the patch in bytes.
        pub length: u32,
    }
}

wire! {
    /// An answer, with the client and the number of its request.
    #[derive(Clone, PartialEq, Debug)]
    pub struct Reply<'a> {
        /// The client.
        pub client: ClientId,
        /// Number of the request.
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
            /// Number of the stage.
            stage: u32,
            /// The pieces that have arrived.
            arrived: Arrived,
        } = 2,
        /// The answer to [`Ask::Plan`]: the changes that a commit would make.
        Planned(summary: Summary) = 3,
        /// The answer to [`Ask::Commit`], [`Ask::Remove`], [`Ask::Repair`] and [`Ask::Rollback`]:
        /// the changes that were made. The kernel's state matches the configuration.
        Applied(applied: Applied) = 4,
        /// The answer to [`Ask::Abort`].
        Aborted = 5,
        /// The answer to [`Ask::Show`] and [`Ask::Changes`]: a file for [`Ask::Read`].
        Ready {
            /// Number of the file. The next file that the client requests replaces it.
            file: u32,
            /// Length of the file in bytes.
            length: u32,
            /// The digest of the file.
            digest: Digest,
        } = 6,
        /// The answer to [`Ask::Read`].
        Data {
            /// Offset of the first byte.
            offset: u32,
            /// The bytes; fewer than requested only at the end of the file.
            data: &'a [u8],
        } = 7,
        /// Progress of a long request, sent from time to time before the answer.
        Working {
            /// The current phase.
            phase: Phase,
            /// Number of steps that are done.
            done: u32,
            /// Number of steps in all; 0 if unknown.
            total: u32,
        } = 8,
        /// The request failed.
        Failed(failure: Failure) = 9,
        /// The answer to [`Ask::Claim`], [`Ask::AddOwner`] and [`Ask::RemoveOwner`].
        Owned {
            /// Current number of owners.
            owners: u8,
        } = 10,
        /// The answer to [`Ask::Owners`].
        Owners(owners: heapless::Vec<Owner, MAX_OWNERS>) = 11,
        /// The answer to [`Ask::Confirm`]: the change is stored.
        Confirmed {
            /// The interface.
            interface: Name,
            /// Number of the configuration in the history.
            number: u32,
        } = 12,
        /// The answer to [`Ask::Revert`]: the kernel has its state from before the change.
        Reverted {
            /// The interface.
            interface: Name,
        } = 13,
        /// The answer to [`Ask::Ranges`].
        Ranges {
            /// Number of the stored configuration.
            number: u32,
            /// The [`super::patch::range`]s before, between and after the bounds.
            ranges: &'a [u8],
        } = 14,
        /// The answer to [`Ask::Console`]: the line was executed, and its output is a file for
        /// [`Ask::Read`].
        Console {
            /// The kind of the next line.
            mode: ConsoleMode,
            /// The text to print before the next line.
            prompt: String<64>,
            /// Number of the file. The next file that the client requests replaces it.
            file: u32,
            /// Length of the output in bytes; 0 if there is no output.
            length: u32,
            /// The digest of the output.
            digest: Digest,
            /// Whether the command failed, or the line was not a command.
            failed: bool,
        } = 15,
        _ => Unknown(u8),
    }
}

wire! {
    /// The result of a change.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub struct Applied {
        /// The changes that were made.
        pub summary: Summary,
        /// Number of the configuration in the history of its interface; a pending change gets this
        /// number when it is confirmed.
        pub number: u32,
        /// Whether the storage was written; `false` if the stored configuration was already the
        /// same.
        pub stored: bool,
        /// Seconds left to confirm the change; 0 if no confirmation is needed.
        pub confirm_within: u16,
    }
}

wire! {
    /// A key that may open sessions.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Owner {
        /// The public key of the owner's sessions.
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
        /// The protocol version of all messages after the hello.
        pub version: u8,
        /// The agent's own version, such as `0.1.0`.
        pub agent: String<24>,
        /// Largest size of a piece in bytes on this transport.
        pub max_data: u16,
        /// Largest number of unacknowledged bytes of pieces on this transport.
        pub in_flight: u32,
        /// Optional features of the router, as bits; none is defined yet.
        pub features: u32,
    }
}

wire! {
    /// The router's status.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Status {
        /// The host name.
        pub hostname: String<64>,
        /// The board's name: `/tmp/sysinfo/board_name` on OpenWrt, otherwise from the device tree;
        /// empty if there is none.
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
        /// The names of the WireGuard interfaces, as many as fit.
        pub interfaces: heapless::Vec<Name, 8>,
        /// The pending change.
        pub pending: Option<Pending>,
        /// Endpoints whose host names the router could not look up yet.
        pub unresolved: u32,
        /// The problem with the storage or with a stored configuration, in words; empty if there is
        /// none.
        pub trouble: String<MAX_TEXT>,
        /// Number of WireGuard interfaces, including those that do not fit the list.
        pub links: u32,
        /// The longest turn of the agent's loop since the agent started.
        pub longest_turn: Turn,
        /// Interfaces whose running state differs from the stored configuration, or from the pending change, because
        /// another program changed it; as many as fit.
        pub drift: heapless::Vec<Drift, 3>,
        /// How many such interfaces there are, also those that do not fit the list.
        pub drifting: u32,
        /// The device's serial number, from the device tree or from DMI; empty if the device does not tell, or the
        /// client may not see it.
        pub serial_number: String<32>,
        /// The MAC addresses of the device's Ethernet and Wi-Fi interfaces, each once, as many as fit; none if the
        /// client may not see them.
        pub macs: heapless::Vec<Mac, 4>,
    }
}

/// A MAC address.
pub type Mac = [u8; 6];

/// The most bytes of [`Drift::what`].
pub const WORDS: usize = 96;

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
        /// Duration in milliseconds.
        pub millis: u32,
        /// The agent's activity, in one word.
        pub what: String<16>,
    }
}

wire! {
    /// A change that is not confirmed yet.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Pending {
        /// The interface.
        pub interface: Name,
        /// The number that the configuration gets in the history.
        pub number: u32,
        /// The owner who made the change.
        pub by: OwnerName,
        /// Seconds until the change is reverted.
        pub seconds: u16,
        /// The digest of the image as it was pushed; for a removal, the digest of no bytes.
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
    /// The changes that a push makes or made.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub struct Summary {
        /// Whether the interface is created.
        pub created: bool,
        /// Device settings that change: [`device`] bits.
        pub device: u8,
        /// Addresses.
        pub addresses: Count,
        /// Routes.
        pub routes: Count,
        /// Policy rules.
        pub rules: Count,
        /// Peers.
        pub peers: Count,
        /// The device's public key after the change; `None` if the device has no private key or
        /// does not exist yet.
        pub public_key: Option<PublicKey>,
        /// The listen port after the change; `None` if the device does not exist yet.
        pub listen_port: Option<u16>,
    }
}

impl Summary {
    /// Whether nothing changes.
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
    /// The listen port.
    pub const LISTEN_PORT: u8 = 2;
    /// The mark on outgoing packets.
    pub const FWMARK: u8 = 4;
    /// The MTU.
    pub const MTU: u8 = 8;
    /// The link goes up.
    pub const UP: u8 = 16;
    /// Another program made the link. In [`Answer::Planned`](super::Answer::Planned), a push needs to adopt it; in
    /// [`Answer::Applied`](super::Answer::Applied), a removal left it alone.
    pub const FOREIGN: u8 = 32;
}

/// Bits for the fields of a peer that differ.
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

/// Truncates `text` to the longest prefix that fits, at a character boundary.
#[must_use]
pub fn cut<const N: usize>(text: &str) -> String<N> {
    let mut out = String::new();
    fill(&mut out, text);
    out
}

/// Copies a string. Its `clone` is a loop that the compiler repeats at every call.
#[must_use]
pub fn copy<const N: usize>(text: &String<N>) -> String<N> {
    cut(text)
}

/// [`cut`] for a string of any capacity, so that its code exists once.
#[cfg_attr(feature = "small", inline(never))]
fn fill(out: &mut StringView, text: &str) {
    // The prefix fits.
    let _ = out.push_str(prefix(text, out.capacity()));
}
