//! Codes that open the console of an owned router without a password.
//!
//! ```text
//! console            the person there          the office
//!   challenge  ----------- phone ----------->   code = keyed hash under the secret that the
//!   code typed <---------- phone ------------   owner's key and the router's key share
//! ```
//!
//! The router shows a challenge of 45 random bits. The owner computes the code of 60 bits from the
//! owner's private key and the router's public key, without a connection; the router computes the
//! same code from its private key and the owner's public key. The code is bound to challenge, role,
//! router and owner. `docs/protocol.md` has the bytes, `SECURITY.md` the numbers.
//!
//! Not here: the lifetime of a challenge, the cost of a wrong code, and who may try, which the
//! agent decides.

use core::fmt;
use core::str::FromStr;

use heapless::String;
use subtle::ConstantTimeEq as _;

use super::message::Role;
use super::session::{Shared, StaticKey};
use super::spoken::{Group, Kind, read, show, symbols};
use crate::key::PublicKey;

pub use super::spoken::{GROUP, SpokenError};

/// Number of random bytes that [`Challenge::new`] takes.
pub const CHALLENGE_BYTES: usize = 9;

/// Number of symbols in a challenge, including check symbols.
const CHALLENGE: usize = 3 * GROUP;

/// The challenge of a router, displayed as `K7Q2-9XDM-4TBR`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge([Group; 3]);

impl Challenge {
    /// A challenge from new random bytes, five bits of each.
    #[must_use]
    pub fn new(random: [u8; CHALLENGE_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i] = random.map(|byte| byte & 31);
        Self([[a, b, c], [d, e, f], [g, h, i]])
    }

    /// The challenge in the form that is hashed: its symbols in ASCII, without dashes.
    #[must_use]
    pub fn plain(&self) -> String<CHALLENGE> {
        let mut text = String::new();
        symbols(Kind::Challenge, &self.0, &mut |symbol| {
            // The string has room for all symbols.
            let _ = text.push(char::from(symbol));
        });
        text
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(Kind::Challenge, &self.0, f)
    }
}

impl FromStr for Challenge {
    type Err = SpokenError;

    fn from_str(text: &str) -> Result<Self, SpokenError> {
        let mut groups = [Group::default(); 3];
        read(text, Kind::Challenge, &mut groups).map(|()| Self(groups))
    }
}

/// The code for a challenge, displayed as `7C1Q-0ZK2-M8TD-4XWA`. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Code([Group; 4]);

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_flattened().ct_eq(other.0.as_flattened()).into()
    }
}

impl Eq for Code {}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(Kind::Code, &self.0, f)
    }
}

impl FromStr for Code {
    type Err = SpokenError;

    fn from_str(text: &str) -> Result<Self, SpokenError> {
        let mut groups = [Group::default(); 4];
        read(text, Kind::Code, &mut groups).map(|()| Self(groups))
    }
}

/// A router and an owner, with their shared secret, which is wiped when it is dropped.
#[derive(Debug)]
pub struct Pairing {
    shared: Shared,
    router: PublicKey,
    owner: PublicKey,
}

impl Pairing {
    /// The owner's side. `None` if the router's key has small order. This is curve arithmetic.
    #[must_use]
    pub fn at_office(owner: &StaticKey, router: &PublicKey) -> Option<Self> {
        let (router, shared) = (*router, owner.shared(router)?);
        Some(Self { shared, router, owner: owner.public() })
    }

    /// The router's side. `None` if the owner's key is of small order. This is curve arithmetic.
    #[must_use]
    pub fn on_router(router: &StaticKey, owner: &PublicKey) -> Option<Self> {
        let (owner, shared) = (*owner, router.shared(owner)?);
        Some(Self { shared, router: router.public(), owner })
    }

    /// The code for `challenge` that opens the console with `role`.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn code(&self, challenge: &Challenge, role: Role) -> Code {
        let challenge = challenge.plain();
        let hash = self.shared.keyed(&[
            b"Postwire unlock",
            &[role.number()],
            challenge.as_bytes(),
            &self.router.0,
            &self.owner.0,
        ]);
        let mut code = Code([Group::default(); 4]);
        // Five bits for each symbol, highest first.
        let [a, b, c, d, e, f, g, h, ..] = hash;
        let mut bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        for symbol in code.0.as_flattened_mut() {
            *symbol = (bits >> 59) as u8;
            bits <<= 5;
        }
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;
    use proptest::prelude::*;

    fn key(byte: u8) -> StaticKey {
        StaticKey::new(SecretKey::new([byte; 32]))
    }

    fn code(owner: u8, router: u8, challenge: u8, role: Role) -> Code {
        let pairing = Pairing::at_office(&key(owner), &key(router).public()).unwrap();
        pairing.code(&Challenge::new([challenge; 9]), role)
    }

    #[test]
    fn office_and_router_make_the_same_code_and_everything_is_in_it() {
        let right = code(1, 2, 3, Role::Admin);
        let pairing = Pairing::on_router(&key(2), &key(1).public()).unwrap();
        assert_eq!(pairing.code(&Challenge::new([3; 9]), Role::Admin), right);
        let others = [
            code(1, 2, 3, Role::ReadOnly),
            code(1, 2, 4, Role::Admin),
            code(1, 5, 3, Role::Admin),
            code(5, 2, 3, Role::Admin),
            // The same two keys, swapped.
            code(2, 1, 3, Role::Admin),
        ];
        for other in others {
            assert!(other != right, "{other}");
        }
        assert_eq!(format!("{right:?}"), "(hidden)");
        assert!(Pairing::on_router(&key(2), &PublicKey([0; 32])).is_none());
        assert!(Pairing::at_office(&key(1), &PublicKey([0; 32])).is_none());
    }

    #[test]
    fn all_bits_of_a_challenge_and_a_code_are_used() {
        let mut seen = [0_u64; 2];
        for n in 0..200_u8 {
            let challenge =
                Challenge::new(core::array::from_fn(|at| n.wrapping_mul(2 * at as u8 + 1)));
            let pairing = Pairing::at_office(&key(1), &key(2).public()).unwrap();
            let code = pairing.code(&challenge, Role::Admin);
            let bits = |symbols: &[u8]| {
                symbols.iter().fold(0, |bits, symbol| bits << 5 | u64::from(*symbol))
            };
            seen[0] |= bits(challenge.0.as_flattened());
            seen[1] |= bits(code.0.as_flattened());
        }
        assert_eq!(seen, [(1 << 45) - 1, (1 << 60) - 1]);
    }

    proptest! {
        #[test]
        fn texts_go_both_ways(random: [u8; 9], owner: u8, router: u8) {
            let challenge = Challenge::new(random);
            prop_assert_eq!(challenge.to_string().parse(), Ok(challenge));
            prop_assert_eq!(challenge.plain().parse(), Ok(challenge));
            let pairing = Pairing::at_office(&key(owner.max(1)), &key(router.max(1)).public());
            let code = pairing.unwrap().code(&challenge, Role::Admin);
            prop_assert_eq!(code.to_string().parse(), Ok(code));
            // A text of one kind is not valid as the other, whatever is added or left out.
            prop_assert!(code.to_string()[..14].parse::<Challenge>().is_err());
            prop_assert!(challenge.to_string().parse::<Code>().is_err());
        }
    }
}
