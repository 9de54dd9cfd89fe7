//! Wipes the part of the stack that finished calls have used. A move leaves a copy behind, and a
//! key that wipes itself wipes only its last place.

use zeroize::Zeroize;

/// Wipes `WORDS` times 8 bytes of the stack below the caller's frame.
#[inline(never)]
pub(crate) fn stack<const WORDS: usize>() {
    let mut dead = [0_u64; WORDS];
    dead.as_mut_slice().zeroize();
}

/// Words of the stack that `wg` and `wg-quick` use at most, including parts of files. A test
/// searches all of their memory for keys.
pub(crate) const PROGRAM: usize = 32 * 1024;
