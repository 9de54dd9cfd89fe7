//! Drives operations. An operation (see [`crate::ops`]) is a future that waits for two things only: a packet, or a
//! point in time. So it needs no runtime: whoever drives it polls it again when one of the two is there.
//!
//! - [`one`] drives a single operation, as every command does. Its transports block until a packet is there.
//! - [`crate::fleet::hub`] drives thousands in one thread. Their transports answer `Pending`, and a packet for a
//!   router wakes the operation of that router.
//!
//! Either way a future that returns `Pending` has called [`due`] first, which tells the driver the time at which to
//! poll again at the latest.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::interrupt;
use crate::transport::{Transport, TransportError};

thread_local! {
    /// The earliest time that the operation being polled has asked for.
    static DUE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Tells the driver to poll the running operation again at `until` at the latest.
pub(crate) fn due(until: Instant) {
    DUE.set(Some(DUE.get().map_or(until, |other| other.min(until))));
}

/// Polls an operation, and returns its outcome, or the time at which to poll again at the latest.
pub(crate) fn poll<T>(
    operation: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>,
) -> Result<T, Instant> {
    DUE.set(None);
    match operation.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Ok(outcome),
        // A future that waits without a time is polled again soon.
        Poll::Pending => Err(DUE.take().unwrap_or_else(|| Instant::now() + interrupt::SLICE)),
    }
}

/// Runs one operation to its end in this thread.
pub fn one<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    loop {
        match poll(operation.as_mut()) {
            Ok(outcome) => return outcome,
            Err(until) => std::thread::sleep(until.saturating_duration_since(Instant::now())),
        }
    }
}

/// Waits for some time.
pub(crate) async fn pause(time: Duration) {
    let until = Instant::now() + time;
    poll_fn(|_| {
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        due(until);
        Poll::Pending
    })
    .await;
}

/// Waits for a packet, no longer than `timeout`; with a timeout of zero only looks whether there is one.
pub(crate) async fn receive(
    line: &mut dyn Transport,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, TransportError> {
    let until = line.now() + timeout;
    poll_fn(|_| line.poll_recv(until)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_counts() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let waits = poll_fn(|_| {
            due(now + 2 * second);
            due(now + second);
            due(now + 3 * second);
            Poll::<()>::Pending
        });
        assert_eq!(poll(pin!(waits)), Err(now + second));
    }

    #[test]
    fn one_operation_runs_to_its_end() {
        let before = Instant::now();
        let answer = one(async {
            pause(Duration::from_millis(5)).await;
            pause(Duration::from_millis(5)).await;
            42
        });
        assert_eq!(answer, 42);
        assert!(before.elapsed() >= Duration::from_millis(10));
    }
}
