//! Ctrl-C. The first one sets a flag, so that the session with the router ends in an orderly way
//! and the user learns the state of the change. The second one ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::exit;

/// The longest wait between two checks for Ctrl-C.
pub const SLICE: Duration = Duration::from_millis(100);

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler for Ctrl-C, SIGTERM and SIGHUP.
pub fn install() {
    // If the handler cannot be installed, a signal ends the program at once.
    let _ = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(exit::INTERRUPTED.into());
        }
    });
}

/// Whether the user asked to stop.
#[must_use]
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
