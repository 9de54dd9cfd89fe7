//! Ctrl-C. A command with one router stops at the first one, and says what has become of the change; the second one
//! ends the program at once.
//!
//! A run over many routers finishes at the first one what is under way, stops at the second one, and ends at the third:
//! see [`finish_first`].
//!
//! A signal does not end a read or a look-up that blocks. These run in threads of their own: see [`unless_requested`] and
//! [`wait`].

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::exit;

/// The longest wait between two checks for Ctrl-C.
pub const SLICE: Duration = Duration::from_millis(100);

/// The longest wait for [`restore`] when a signal ends the program: a terminal may accept no output.
const RESTORE_WAIT: Duration = Duration::from_secs(1);

static COUNT: AtomicU8 = AtomicU8::new(0);
static FINISH_FIRST: AtomicBool = AtomicBool::new(false);

/// Restores what the program has changed on its terminal.
type Restore = Box<dyn FnOnce() + Send>;
static RESTORE: Mutex<Option<Restore>> = Mutex::new(None);

/// The number of signals at which operations stop.
fn limit() -> u8 {
    1 + u8::from(FINISH_FIRST.load(Ordering::SeqCst))
}

/// Installs the handler for Ctrl-C, SIGTERM and SIGHUP.
pub fn install() {
    // If the handler cannot be installed, a signal ends the program at once.
    let _ = ctrlc::set_handler(|| {
        if COUNT.fetch_add(1, Ordering::SeqCst) >= limit() {
            let (done, restored) = mpsc::channel();
            std::thread::spawn(move || {
                restore();
                done.send(())
            });
            let _ = restored.recv_timeout(RESTORE_WAIT);
            std::process::exit(exit::INTERRUPTED.into());
        }
    });
}

/// Sets what [`restore`] does, which a signal that ends the program at once does too.
pub(crate) fn restore_with(action: impl FnOnce() + Send + 'static) {
    *RESTORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(action));
}

/// Restores the terminal, if that is still to be done.
pub(crate) fn restore() {
    let action = RESTORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(action) = action {
        action();
    }
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

/// Why there is no result of another thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    /// The time is over.
    Late,
    /// Operations are to stop.
    Interrupted,
}

/// Waits for the next result of another thread, at most `timeout` and until operations are to stop.
pub(crate) fn wait<T>(results: &Receiver<T>, timeout: Duration) -> Result<T, Waited> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match results.recv_timeout(left.min(SLICE)) {
            Ok(result) => return Ok(result),
            Err(_) if requested() => return Err(Waited::Interrupted),
            Err(RecvTimeoutError::Disconnected) => return Err(Waited::Late),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Waited::Late),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Runs what may block for ever, such as a read from a terminal, in a thread. `None` once operations are to stop: the thread
/// then ends with the program.
pub(crate) fn unless_requested<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, result) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    loop {
        match result.recv_timeout(SLICE) {
            Ok(result) => return Some(result),
            Err(_) if requested() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            // The work has panicked.
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
