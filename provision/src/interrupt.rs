//! Ctrl-C. A command with one router stops at the first one, and says what has become of the change; the second one
//! ends the program at once.
//!
//! A run over many routers finishes at the first one what is under way, stops at the second one, and ends at the third:
//! see [`finish_first`].

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use crate::exit;

/// The longest wait between two checks for Ctrl-C.
pub const SLICE: Duration = Duration::from_millis(100);

static COUNT: AtomicU8 = AtomicU8::new(0);
static FINISH_FIRST: AtomicBool = AtomicBool::new(false);

/// The number of signals at which operations stop.
fn limit() -> u8 {
    1 + u8::from(FINISH_FIRST.load(Ordering::SeqCst))
}

/// Installs the handler for Ctrl-C, SIGTERM and SIGHUP.
pub fn install() {
    // If the handler cannot be installed, a signal ends the program at once.
    let _ = ctrlc::set_handler(|| {
        if COUNT.fetch_add(1, Ordering::SeqCst) >= limit() {
            std::process::exit(exit::INTERRUPTED.into());
        }
    });
}

/// From now on the first signal lets operations finish: [`stopping`] is set, and [`requested`] only at the second.
pub fn finish_first() {
    FINISH_FIRST.store(true, Ordering::SeqCst);
}

/// Whether the user asked to begin nothing more.
#[must_use]
pub fn stopping() -> bool {
    COUNT.load(Ordering::SeqCst) > 0
}

/// Whether operations are to stop.
#[must_use]
pub fn requested() -> bool {
    COUNT.load(Ordering::SeqCst) >= limit()
}
