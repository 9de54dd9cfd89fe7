//! Numbers on the wire that a reader may not know: kinds of failure, states of a configuration,
//! phases of a commit, and roles of owners.
//!
//! Each number is one byte. The tables below name the known numbers. An unknown number is stored
//! and displayed as a number, so that the rest of a newer message can still be read. New numbers
//! may be added within a version of the protocol; the meaning of a number never changes.

use core::fmt;

/// An enum of numbers with names, and one variant for all other numbers.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $number:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$about])* $variant,)+
            /// A number that this version has no name for.
            Unknown(u8),
        }

        impl $name {
            /// All variants with a name, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Unknown(number) => number,
                }
            }

            /// Converts a number on the wire.
            #[must_use]
            pub const fn from_number(number: u8) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Unknown(other),
                }
            }

            /// The name; `None` if this version has no name for the number.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some(stringify!($variant)),)+
                    Self::Unknown(_) => None,
                }
            }
        }

        impl fmt::Display for $name {
            /// Writes the name, or the number.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "number {}", self.number()),
                }
            }
        }

        impl super::codec::Put for $name {
            fn put(&self, to: &mut super::codec::Output<'_>) {
                to.byte(self.number());
            }
        }

        impl super::codec::Take<'_> for $name {
            fn take(input: &mut super::codec::Input<'_>) -> Self {
                Self::from_number(u8::take(input))
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.name() {
                    // Postcard writes the same byte; formats with names write the name.
                    Some(name) => serializer.serialize_unit_variant(
                        stringify!($name),
                        self.number().into(),
                        name,
                    ),
                    None => serializer.serialize_u8(self.number()),
                }
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u8::deserialize(deserializer).map(Self::from_number)
            }
        }
    )+};
}

numbers! {
    /// The kinds of failure.
    Code {
        /// No common version. `text` lists the versions that the router supports.
        Version = 0,
        /// A field of the message is malformed: `text` names the field.
        Malformed = 1,
        /// Another client's push is in progress, or a change is pending.
        Busy = 2,
        /// The stage, file or request does not exist, or no longer exists: start again.
        Gone = 3,
        /// Pieces are missing.
        Incomplete = 4,
        /// The digest of the pieces is not the announced digest.
        Digest = 5,
        /// The image is not a valid configuration.
        Config = 6,
        /// The agent may not touch this interface.
        NotAllowed = 7,
        /// This kernel has no WireGuard.
        NoWireGuard = 8,
        /// An interface of that name exists and is not a WireGuard interface.
        WrongKind = 9,
        /// No interface of that name exists.
        NoInterface = 10,
        /// The agent lacks permission (`CAP_NET_ADMIN`).
        Permission = 11,
        /// The kernel refused the change.
        Kernel = 12,
        /// The kernel's state does not match what was applied.
        Verify = 13,
        /// The router could not store the stage.
        Storage = 14,
        /// The kernel's tables kept changing while they were read.
        Unsteady = 15,
        /// The role of the session's owner does not permit the request.
        Forbidden = 16,
        /// The router has no owner yet: claim it first.
        Unclaimed = 17,
        /// The router already has an owner.
        Claimed = 18,
        /// The last admin cannot be removed.
        LastAdmin = 19,
        /// The list of owners is full.
        Full = 20,
        /// No owner has this key.
        NoOwner = 21,
        /// The label secret is wrong or already used, or the router has none.
        Proof = 22,
        /// No change is pending.
        NotPending = 23,
        /// The session is older than the change: only a new session proves that the router can still be reached.
        NotFresh = 24,
        /// No configuration of that interface or number is stored.
        NotStored = 25,
        /// The stored configuration is damaged.
        Damaged = 26,
        /// The router does not know this request: it is older than the client.
        Unsupported = 27,
        /// The agent did not create this interface and may not adopt it. `text` names the program
        /// that probably created it.
        Foreign = 28,
    }

    /// The state of the running configuration after a failed push.
    State {
        /// The configuration is unchanged.
        Unchanged = 0,
        /// Some changes were made and could not be reverted.
        Partly = 1,
        /// Some changes were made and reverted: the kernel has its former state.
        Undone = 2,
    }

    /// The phases of a commit, with the unit of its progress.
    Phase {
        /// Reading the image: records.
        Checking = 0,
        /// Reading the kernel: peers.
        Comparing = 1,
        /// Changing the kernel: items.
        Applying = 2,
        /// Reading the kernel back: peers.
        Verifying = 3,
    }

    /// The permissions of an owner.
    Role {
        /// Everything.
        Admin = 0,
        /// Read access: `Hello`, `Status`, `Show`, `History`, `Drift`, `Changes`, `Read`, `Owners`
        /// and `Console`, which refuses commands that change the router.
        ReadOnly = 1,
    }

    /// The kind of the next line of a console.
    ConsoleMode {
        /// A command.
        Command = 0,
        /// A line of a configuration that is being pasted. A line with one `.`, or Ctrl-D, ends the configuration.
        Paste = 1,
        /// The answer to a question: `yes`, or anything else for no.
        Question = 2,
        /// No line: the console is closed.
        Exit = 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_and_is_its_place_in_the_table() {
        for number in 0..=255 {
            let code = Code::from_number(number);
            assert_eq!(code.number(), number);
            let mut buf = [0; 2];
            assert_eq!(*postcard::to_slice(&code, &mut buf).unwrap(), [number]);
            assert_eq!(postcard::from_bytes::<Code>(&[number]), Ok(code));
            assert_eq!(Code::ALL.get(usize::from(number)).is_some(), code.name().is_some());
        }
        assert!((0..).zip(Code::ALL).all(|(number, code)| code.number() == number));
        assert_eq!(Code::from_number(200).to_string(), "number 200");
        assert_eq!(Code::Busy.to_string(), "Busy");
    }
}
