//! Wiping the part of the stack that calls which have returned used: a move leaves a copy of what it moves, and a
//! key that wipes itself does so only where it was last.

use zeroize::Zeroize;

/// Wipes `WORDS` times 8 bytes of the stack below the caller's frame.
#[inline(never)]
pub(crate) fn stack<const WORDS: usize>() {
    let mut dead = [0_u64; WORDS];
    dead.as_mut_slice().zeroize();
}

/// Words of the stack that `wg` and `wg-quick` use at most, with their pieces of files: a test looks at all of
/// their memory.
pub(crate) const PROGRAM: usize = 32 * 1024;
