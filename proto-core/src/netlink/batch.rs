//! Batches: many requests in one datagram, each with its own sequence number and acknowledgement.
//!
//! The kernel executes the requests in order, and a failed request does not stop the later ones. So
//! a batch needs one system call to send and one wait, for any number of requests; but it is not
//! atomic.
//!
//! Not here: the socket ([`Client::batch`](super::socket::Client::batch)).

use super::control::{Ack, Control};
use super::read::{Malformed, Message, Messages};
use super::{ExchangeError, Full, KernelError};

/// The maximum number of requests in a batch. The acknowledgements of this many fit into a socket's
/// default receive buffer.
pub const MAX_BATCH: u32 = 128;

/// Consecutive requests in a buffer.
#[derive(Debug)]
pub struct Batch<'b> {
    buf: &'b mut [u8],
    len: usize,
    first_seq: u32,
    count: u32,
}

impl<'b> Batch<'b> {
    /// An empty batch whose requests are numbered from `first_seq`. Numbers wrap, so keep
    /// `first_seq` at most `u32::MAX - MAX_BATCH`.
    #[must_use]
    pub const fn new(buf: &'b mut [u8], first_seq: u32) -> Self {
        Self { buf, len: 0, first_seq, count: 0 }
    }

    /// Adds the request that `write` writes into the rest of the buffer, with the given sequence
    /// number. Returns its place in the batch, from 0. The request must ask for an acknowledgement
    /// (`NLM_F_ACK`), as all requests of this crate do.
    ///
    /// # Errors
    /// [`Full`] if the request does not fit, or if the batch has [`MAX_BATCH`] requests: send the
    /// batch, then add the request again.
    pub fn push(
        &mut self,
        write: impl FnOnce(&mut [u8], u32) -> Result<&[u8], Full>,
    ) -> Result<u32, Full> {
        if self.count >= MAX_BATCH {
            return Err(Full);
        }
        let room = self.buf.get_mut(self.len..).unwrap_or_default();
        let written = write(room, self.first_seq.wrapping_add(self.count))?.len();
        self.len = self.len.saturating_add(super::padded(written));
        let nth = self.count;
        self.count = self.count.saturating_add(1);
        Ok(nth)
    }

    /// The datagram.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }

    /// Number of requests.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// A tracker of the acknowledgements, for a socket whose own port ID is `port` (0 if unknown).
    #[must_use]
    pub const fn acks(&self, port: u32) -> Acks {
        Acks {
            first_seq: self.first_seq,
            count: self.count,
            port,
            open: ones(self.count),
            strays: 0,
        }
    }
}

/// The lowest `count` bits.
const fn ones(count: u32) -> u128 {
    match u128::MAX.checked_shl(count) {
        Some(above) => !above,
        None => u128::MAX,
    }
}

/// The acknowledgements of a batch.
#[derive(Clone, Debug)]
pub struct Acks {
    first_seq: u32,
    count: u32,
    port: u32,
    /// The unacknowledged requests, as bits.
    open: u128,
    strays: u32,
}

impl Acks {
    /// Whether every request was acknowledged.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.open == 0
    }

    /// Takes a datagram: the received bytes, its full length (`MSG_TRUNC`), and the port ID of its sender. Passes each
    /// acknowledgement to `take`, with the request's place in the batch.
    ///
    /// # Errors
    /// The datagram cannot be parsed, or data was lost. Then it is unknown which of the open
    /// requests were executed.
    pub fn datagram(
        &mut self,
        bytes: &[u8],
        full_len: usize,
        sender: u32,
        take: &mut dyn FnMut(u32, Result<(), KernelError>),
    ) -> Result<(), ExchangeError> {
        if sender != 0 {
            return self.stray();
        }
        if full_len > bytes.len() {
            return Err(ExchangeError::Truncated { needed: full_len });
        }
        for message in Messages::new(bytes) {
            let message = message.map_err(|Malformed| ExchangeError::Malformed)?;
            self.message(&message, take)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: &Message<'_>,
        take: &mut dyn FnMut(u32, Result<(), KernelError>),
    ) -> Result<(), ExchangeError> {
        let nth = message.seq.wrapping_sub(self.first_seq);
        let bit = 1_u128.checked_shl(nth).unwrap_or(0);
        let ours = nth < self.count && (self.port == 0 || message.port == self.port);
        match Control::parse(message) {
            Ok(Control::Overrun) => return Err(ExchangeError::Overrun),
            Ok(Control::Ack(ack)) if ours && self.open & bit != 0 => {
                self.open &= !bit;
                take(nth, outcome(&ack));
            }
            // A request with an answer, such as an echo, is acknowledged after the answer.
            Ok(Control::Data | Control::Noop) if ours => {}
            Err(Malformed) if ours => return Err(ExchangeError::Malformed),
            _ => return self.stray(),
        }
        Ok(())
    }

    fn stray(&mut self) -> Result<(), ExchangeError> {
        self.strays = self.strays.saturating_add(1);
        if self.strays > super::exchange::STRAYS_MAX { Err(ExchangeError::Strays) } else { Ok(()) }
    }
}

fn outcome(ack: &Ack<'_>) -> Result<(), KernelError> {
    ack.errno.map_or(Ok(()), |errno| Err(KernelError::new(errno, ack)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::fixture::{datagram, messages};
    use crate::netlink::route::{IfExists, Route};
    use crate::netlink::{Errno, NLMSG_ERROR, NLMSG_OVERRUN, Writer};

    fn route(nth: u8) -> Route {
        Route::device(format!("10.{nth}.0.0/16").parse().unwrap(), 3, 254, 87)
    }

    fn ack(w: &mut Writer<'_>, seq: u32, port: u32, errno: i32) -> Result<(), Full> {
        w.message(NLMSG_ERROR, 0x100, seq, port)?;
        let mut payload = [0; 20];
        payload[..4].copy_from_slice(&(-errno).to_ne_bytes());
        w.header(&payload)
    }

    fn three(buf: &mut [u8]) -> Batch<'_> {
        let mut batch = Batch::new(buf, 7);
        for nth in 0..3 {
            let added = batch.push(|buf, seq| route(nth).add(buf, seq, IfExists::Fail));
            assert_eq!(added, Ok(nth.into()));
        }
        batch
    }

    #[test]
    fn requests_stand_behind_one_another() {
        let mut buf = [0xaa; 1024];
        let batch = three(&mut buf);
        let found = messages(batch.as_bytes());
        assert_eq!(found.iter().map(|message| message.seq).collect::<Vec<_>>(), [7, 8, 9]);
        for (nth, message) in (0..).zip(&found) {
            assert_eq!(Route::parse(message), Ok(route(nth)));
        }
    }

    #[test]
    fn a_full_batch_keeps_what_it_has() {
        let mut buf = [0; 80];
        let mut batch = Batch::new(&mut buf, 1);
        batch.push(|buf, seq| route(0).add(buf, seq, IfExists::Fail)).unwrap();
        let before = batch.as_bytes().to_vec();
        assert_eq!(batch.push(|buf, seq| route(1).add(buf, seq, IfExists::Fail)), Err(Full));
        assert_eq!((batch.as_bytes(), batch.count()), (&*before, 1));
        let mut buf = vec![0; 1 << 16];
        let mut batch = Batch::new(&mut buf, 1);
        let added = (0..200)
            .map_while(|_| batch.push(|buf, seq| route(0).add(buf, seq, IfExists::Fail)).ok());
        assert_eq!(added.count(), 128);
        assert!(!batch.acks(0).is_complete());
    }

    #[test]
    fn every_request_has_its_own_outcome() {
        let mut buf = [0; 1024];
        let mut acks = three(&mut buf).acks(5);
        let mut told = Vec::new();
        let mut take = |nth, result: Result<(), KernelError>| {
            told.push((nth, result.map_err(|error| error.errno)));
        };
        // An answer to another program's request or to an earlier one of ours, or a duplicate.
        let first = datagram(|w| {
            ack(w, 7, 6, 0)?;
            ack(w, 6, 5, 1)?;
            ack(w, 7, 5, 0)?;
            ack(w, 7, 5, 1)
        });
        acks.datagram(&first, first.len(), 0, &mut take).unwrap();
        assert!(!acks.is_complete());
        let rest = datagram(|w| {
            ack(w, 8, 5, 17)?;
            ack(w, 9, 5, 0)
        });
        // Not the kernel.
        acks.datagram(&rest, rest.len(), 44, &mut take).unwrap();
        assert!(!acks.is_complete());
        acks.datagram(&rest, rest.len(), 0, &mut take).unwrap();
        assert!(acks.is_complete());
        assert_eq!(told, [(0, Ok(())), (1, Err(Errno::EEXIST)), (2, Ok(()))]);
    }

    #[test]
    fn what_is_lost_is_an_error() {
        let mut buf = [0; 1024];
        let acks = three(&mut buf).acks(0);
        let good = datagram(|w| ack(w, 7, 5, 0));
        let overrun = datagram(|w| w.message(NLMSG_OVERRUN, 0, 0, 0));
        let short = datagram(|w| w.message(NLMSG_ERROR, 0, 8, 5));
        for (bytes, len, error) in [
            (&good[..], good.len() + 1, ExchangeError::Truncated { needed: good.len() + 1 }),
            (&good[..20], 20, ExchangeError::Malformed),
            (&overrun, overrun.len(), ExchangeError::Overrun),
            (&short, short.len(), ExchangeError::Malformed),
        ] {
            assert_eq!(acks.clone().datagram(bytes, len, 0, &mut |_, _| {}), Err(error));
        }
    }

    #[test]
    fn all_128_bits_are_used() {
        assert_eq!([0, 1, 127, 128].map(ones), [0, 1, u128::MAX >> 1, u128::MAX]);
    }
}
