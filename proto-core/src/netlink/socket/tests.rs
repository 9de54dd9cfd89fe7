use std::collections::VecDeque;

use super::*;
use crate::netlink::fixture::datagram;
use crate::netlink::route::{IfExists, Route};
use crate::netlink::{NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, Writer};

/// A socket with prepared datagrams.
#[derive(Default, Debug)]
struct Script {
    comes: VecDeque<Result<(Vec<u8>, usize), Errno>>,
    sent: Vec<Vec<u8>>,
    reopened: usize,
    paused: usize,
}

impl NetlinkSocket for &mut Script {
    fn port(&self) -> u32 {
        5
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        self.sent.push(datagram.to_vec());
        Ok(())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        let (bytes, full_len) = self.comes.pop_front().unwrap_or(Err(Errno::EAGAIN))?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        Ok(Datagram { len, full_len, sender: 0 })
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        self.reopened += 1;
        Ok(())
    }

    fn pause(&self, _: u32) {}
}

fn comes(script: &mut Script, put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) {
    let bytes = datagram(put);
    let len = bytes.len();
    script.comes.push_back(Ok((bytes, len)));
}

fn item(w: &mut Writer<'_>, seq: u32, flags: u16) -> Result<(), Full> {
    w.message(99, NLM_F_MULTI | flags, seq, 5)
}

fn done(w: &mut Writer<'_>, seq: u32) -> Result<(), Full> {
    w.message(NLMSG_DONE, NLM_F_MULTI, seq, 5)?;
    w.header(&[0; 4])
}

fn ack(w: &mut Writer<'_>, seq: u32, errno: i32) -> Result<(), Full> {
    w.message(NLMSG_ERROR, 0x100, seq, 5)?;
    let mut payload = [0; 20];
    payload[..4].copy_from_slice(&(-errno).to_ne_bytes());
    w.header(&payload)
}

fn request(buf: &mut [u8], seq: u32) -> Result<&[u8], Full> {
    Route::device("10.0.0.0/8".parse().unwrap(), 3, 254, 87).add(buf, seq, IfExists::Fail)
}

/// Counts the items of a dump.
fn dump(script: &mut Script, attempts: u8) -> Result<u32, RequestError<&'static str>> {
    let (mut buf, mut answer) = ([0; 512], [0; 4096]);
    let mut client = Client::new(script, &mut buf, &mut answer);
    let mut found = 0;
    client
        .dump(
            Attempts::new(attempts),
            &mut found,
            request,
            |found| *found = 0,
            |found, message| {
                *found += 1;
                if message.flags & 0x8000 == 0 { Ok(()) } else { Err("bad item") }
            },
        )
        .map(|()| found)
}

#[test]
fn a_dump_that_changed_is_read_again_from_its_beginning() {
    let mut script = Script::default();
    comes(&mut script, |w| {
        item(w, 1, NLM_F_DUMP_INTR)?;
        item(w, 1, 0)?;
        done(w, 1)
    });
    comes(&mut script, |w| item(w, 2, 0));
    comes(&mut script, |w| done(w, 2));
    assert_eq!(dump(&mut script, 2), Ok(1));
    assert_eq!((script.sent.len(), script.reopened), (2, 0));
    comes(&mut script, |w| {
        item(w, 1, NLM_F_DUMP_INTR)?;
        done(w, 1)
    });
    let unsteady = RequestError::Exchange(ExchangeError::Unsteady { attempts: 1 });
    assert_eq!(dump(&mut script, 1), Err(unsteady));
}

#[test]
fn after_the_callers_error_the_rest_of_the_dump_is_read() {
    let mut script = Script::default();
    comes(&mut script, |w| item(w, 1, 0x8000));
    comes(&mut script, |w| item(w, 1, 0));
    comes(&mut script, |w| done(w, 1));
    assert_eq!(dump(&mut script, 1), Err(RequestError::Caller("bad item")));
    assert!(script.comes.is_empty());
    assert_eq!(script.reopened, 0);
}

#[test]
fn a_socket_with_answers_on_their_way_is_replaced() {
    let mut script = Script::default();
    // No datagram arrives.
    assert_eq!(dump(&mut script, 1), Err(RequestError::Socket(Errno::EAGAIN)));
    assert_eq!(script.reopened, 1);
    // Longer than the buffer.
    script.comes.push_back(Ok((vec![0; 4096], 5000)));
    let truncated = RequestError::Exchange(ExchangeError::Truncated { needed: 5000 });
    assert_eq!(dump(&mut script, 1), Err(truncated));
    assert_eq!(script.reopened, 2);
    // A refusal is a complete answer.
    comes(&mut script, |w| ack(w, 1, 1));
    assert!(matches!(dump(&mut script, 1), Err(RequestError::Exchange(ExchangeError::Kernel(_)))));
    assert_eq!(script.reopened, 2);
}

#[test]
fn a_batch_goes_out_at_once_and_each_request_has_an_outcome() {
    let mut script = Script::default();
    comes(&mut script, |w| ack(w, 1, 0));
    comes(&mut script, |w| {
        ack(w, 2, 17)?;
        ack(w, 3, 0)
    });
    comes(&mut script, |w| ack(w, 4, 0));
    let (mut buf, mut answer) = ([0; 512], [0; 4096]);
    let mut told = Vec::new();
    let mut client = Client::new(&mut script, &mut buf, &mut answer);
    let mut batch = client.batch();
    (0..3).for_each(|nth| assert_eq!(batch.push(request), Ok(nth)));
    let sent = batch.send(&mut |nth, result| told.push((nth, result.is_ok())));
    assert_eq!(sent, Ok(()));
    assert_eq!(told, [(0, true), (1, false), (2, true)]);
    // The next request has a number of its own.
    assert_eq!(client.change(request), Ok(()));
    // A batch without requests sends nothing.
    assert_eq!(client.batch().send(&mut |_, _| {}), Ok(()));
    assert_eq!(script.sent.len(), 2);
    assert_eq!(script.paused, 0);
}

#[test]
fn an_acknowledgement_that_does_not_come_is_an_error() {
    let mut script = Script::default();
    comes(&mut script, |w| ack(w, 1, 0));
    let (mut buf, mut answer) = ([0; 512], [0; 4096]);
    let mut client = Client::new(&mut script, &mut buf, &mut answer);
    let mut batch = client.batch();
    (0..2).for_each(|nth| assert_eq!(batch.push(request), Ok(nth)));
    assert_eq!(batch.send(&mut |_, _| {}), Err(RequestError::Socket(Errno::EAGAIN)));
    assert_eq!(script.reopened, 1);
}
