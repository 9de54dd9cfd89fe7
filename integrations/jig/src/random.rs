//! Random bytes on a machine without a source of them.
//!
//! The pool starts with the jig's private key, which no other jig has and which stays in flash, and with the router's
//! key. The moment at which each byte arrives is mixed in, in cycles of the processor: the router's oscillator and the
//! jig's drift against each other. README.md says what an attacker could do with bytes that repeat.

use blake2::{Blake2s256, Digest};

/// A pool of randomness.
pub struct Pool {
    state: [u8; 32],
}

impl Pool {
    /// A pool that starts with a secret.
    pub fn new(secret: &[u8]) -> Self {
        Self { state: hash(b"jig pool", &[0; 32], secret) }
    }

    /// Mixes bytes in. Bytes that an attacker knows do no harm.
    pub fn mix(&mut self, bytes: &[u8]) {
        self.state = hash(b"mix", &self.state, bytes);
    }

    /// Fills `out`. The pool moves on, so that what it has given out cannot be computed from its state afterwards.
    pub fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(32) {
            let block = hash(b"out", &self.state, &[]);
            part.copy_from_slice(&block[..part.len()]);
            self.state = hash(b"next", &self.state, &[]);
        }
    }
}

fn hash(label: &[u8], state: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    Blake2s256::new().chain_update(label).chain_update(state).chain_update(bytes).finalize().into()
}
