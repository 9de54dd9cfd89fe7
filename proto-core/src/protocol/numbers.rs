//! Numbers on the wire that a reader may not know: the kinds of failure, what became of a configuration,
//! what an agent is doing, and what an owner may do.
//!
//! Each is one byte. The tables below give every number its name; a number that is not in them is kept and
//! shown, so that a message with a number of tomorrow is understood but for that. New numbers may be added
//! within a version of the protocol; a number never changes its meaning.

use core::fmt;

/// An enum of numbers, each with a name, and one variant for all others.
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
            /// All that have a name, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Unknown(number) => number,
                }
            }

            /// What a number on the wire means.
            #[must_use]
            pub const fn from_number(number: u8) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Unknown(other),
                }
            }

            /// The name, if this version has one for the number.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some(stringify!($variant)),)+
                    Self::Unknown(_) => None,
                }
            }
        }

        impl fmt::Display for $name {
            /// The name, or the number.
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
                    // The same byte to postcard, and a name to whatever has names.
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
        /// No version in common. `text` says which ones the router speaks.
        Version = 0,
        /// A field of the message is malformed: `text` names the field.
        Malformed = 1,
        /// Another client's push is in progress, or a change is pending.
        Busy = 2,
        /// The stage, file or request does not exist (any more): start again.
        Gone = 3,
        /// Pieces are missing.
        Incomplete = 4,
        /// The pieces together do not have the digest that was announced.
        Digest = 5,
        /// The image is not a valid configuration.
        Config = 6,
        /// The agent may not touch this interface.
        NotAllowed = 7,
        /// This kernel has no WireGuard.
        NoWireGuard = 8,
        /// There is an interface of that name, and it is not a WireGuard interface.
        WrongKind = 9,
        /// There is no interface of that name.
        NoInterface = 10,
        /// The agent lacks the rights (`CAP_NET_ADMIN`).
        Permission = 11,
        /// The kernel refused.
        Kernel = 12,
        /// The kernel's state does not match what was applied.
        Verify = 13,
        /// The router could not keep the stage.
        Storage = 14,
        /// The kernel's tables kept changing while they were read.
        Unsteady = 15,
        /// The role of the session's owner does not allow it.
        Forbidden = 16,
        /// The router has no owner yet: claim it first.
        Unclaimed = 17,
        /// The router has an owner already.
        Claimed = 18,
        /// The last admin cannot be removed.
        LastAdmin = 19,
        /// There is no room for another owner.
        Full = 20,
        /// There is no such owner.
        NoOwner = 21,
        /// The secret of the label is wrong, spent, or there is none.
        Proof = 22,
        /// No change is pending.
        NotPending = 23,
        /// The session is older than the change: only a new session proves that the router can still be reached.
        NotFresh = 24,
        /// Nothing of that interface or number is stored.
        NotStored = 25,
        /// What is stored is damaged.
        Damaged = 26,
        /// The router does not know this request: it is older than the client.
        Unsupported = 27,
        /// The agent did not make this interface, and may not adopt it. `text` says who is likely to have made it.
        Foreign = 28,
    }

    /// What became of the running configuration when a push failed.
    State {
        /// The configuration is unchanged.
        Unchanged = 0,
        /// Some changes were made and could not be reverted.
        Partly = 1,
        /// Some changes were made and reverted: the kernel has its former state.
        Undone = 2,
    }

    /// What a commit takes its time with.
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

    /// What an owner may do.
    Role {
        /// Everything.
        Admin = 0,
        /// Look, and change nothing: `Hello`, `Status`, `Show`, `History`, `Drift`, `Changes`, `Read`, `Owners`
        /// and `Console`, which refuses commands that change something.
        ReadOnly = 1,
    }

    /// What the next line of a console is.
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
