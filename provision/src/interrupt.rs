//! Ctrl-C: noted once, so that the conversation with the router ends in an orderly way and the person learns
//! what is known; the second one ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::exit;

/// The longest wait that does not look whether the person pressed Ctrl-C.
pub const SLICE: Duration = Duration::from_millis(100);

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Takes note of Ctrl-C, SIGTERM and SIGHUP from now on.
pub fn install() {
    // Without a handler the program ends at once, as before.
    let _ = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(exit::INTERRUPTED.into());
        }
    });
}

/// Whether the person asked to stop.
#[must_use]
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
