//! The secrets behind the cookies that prove a UDP client's address.
//!
//! Not here: when a cookie is asked for (`limits`).

use proto_core::protocol::session::{Cookie, Initiation};

use super::Source;
use crate::access::filter::TokenKey;
use crate::system::Machine;

/// Lifetime of a cookie secret, in milliseconds. The previous secret stays valid for the same time.
const COOKIE_LIFE: u64 = 120_000;

/// The cookie secrets: the newest, and the one before it.
#[derive(Debug, Default)]
pub(super) struct CookieSecrets {
    secrets: [[u8; 32]; 2],
    pub(super) tokens: [TokenKey; 2],
    pub(super) newest: bool,
    since: Option<u64>,
}

impl CookieSecrets {
    /// Replaces the older secret when the newest has expired; without random numbers, both stay. Returns whether a
    /// secret changed.
    pub(super) fn freshen(&mut self, machine: &dyn Machine) -> bool {
        let now = machine.now();
        if self.since.is_some_and(|since| now.saturating_sub(since) < COOKIE_LIFE) {
            return false;
        }
        let mut drawn = [0; 40];
        if machine.random(&mut drawn).is_err() {
            return false;
        }
        let first = self.since.replace(now).is_none();
        self.newest = !self.newest;
        let [secret @ .., a, b, c, d, e, f, g, h] = drawn;
        let token = TokenKey([[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes));
        for (at, (old_secret, old_token)) in
            self.secrets.iter_mut().zip(&mut self.tokens).enumerate()
        {
            if first || at == usize::from(self.newest) {
                (*old_secret, *old_token) = (secret, token);
            }
        }
        true
    }

    /// The cookie of an address, made with the secret of the given parity.
    pub(super) fn cookie(&self, source: &Source, parity: bool) -> Cookie {
        let [even, odd] = &self.secrets;
        let secret = if parity { odd } else { even };
        Cookie::of(secret, &source.address, self.token(source, parity).to_be_bytes())
    }

    fn token(&self, source: &Source, parity: bool) -> u32 {
        let [even, odd] = self.tokens;
        let (words, len) = source.words();
        let words = words.get(..=len).unwrap_or_default();
        if parity { odd } else { even }.token(words, parity)
    }

    /// Whether an initiation carries a cookie that this address was given. The token tells an initiation without a
    /// cookie apart before anything is hashed.
    pub(super) fn gave(&self, initiation: &Initiation<'_>, source: &Source) -> bool {
        let token = u32::from_be_bytes(initiation.token());
        let parity = token & 1 == 1;
        token == self.token(source, parity) && initiation.has_cookie(&self.cookie(source, parity))
    }
}
