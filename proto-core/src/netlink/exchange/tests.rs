use super::*;
use crate::netlink::control::NLMSGERR_ATTR_MSG;
use crate::netlink::fixture::datagram;
use crate::netlink::write::{Full, Writer};
use crate::netlink::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
};

const SEQ: u32 = 77;
const PORT: u32 = 4321;

type Put = Result<(), Full>;

fn data(w: &mut Writer<'_>, seq: u32, port: u32, flags: u16) -> Put {
    w.message(20, flags, seq, port)
}

fn ack(w: &mut Writer<'_>, seq: u32, errno: i32, words: &str) -> Put {
    w.message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, seq, PORT)?;
    w.header(&(-errno).to_ne_bytes())?;
    w.header(&[0; 16])?;
    if words.is_empty() { Ok(()) } else { w.string(NLMSGERR_ATTR_MSG, words) }
}

fn done(w: &mut Writer<'_>, seq: u32, errno: i32) -> Put {
    w.message(NLMSG_DONE, NLM_F_MULTI, seq, PORT)?;
    w.header(&(-errno).to_ne_bytes())
}

/// Feeds a datagram from the kernel, and counts its answers.
fn feed(
    exchange: &mut Exchange,
    put: impl FnOnce(&mut Writer<'_>) -> Put,
) -> Result<usize, ExchangeError> {
    let bytes = datagram(put);
    let mut count = 0;
    for answer in exchange.datagram(&bytes, bytes.len(), 0)? {
        answer?;
        count += 1;
    }
    Ok(count)
}

fn new(expect: Expect) -> Exchange {
    Exchange::new(SEQ, PORT, expect)
}

#[test]
fn acknowledgement() {
    let mut exchange = new(Expect::Ack);
    assert_eq!(feed(&mut exchange, |w| w.message(NLMSG_NOOP, 0, SEQ, PORT)), Ok(0));
    assert_eq!(exchange.state(), State::Pending);
    assert_eq!(feed(&mut exchange, |w| ack(w, SEQ, 0, "")), Ok(0));
    assert_eq!(exchange.state(), State::Done);
}

#[test]
fn reply_and_acknowledgement_in_one_datagram_or_two() {
    let mut exchange = new(Expect::Reply);
    assert_eq!(feed(&mut exchange, |w| data(w, SEQ, PORT, 0)), Ok(1));
    assert_eq!(exchange.state(), State::Pending);
    assert_eq!(feed(&mut exchange, |w| ack(w, SEQ, 0, "")), Ok(0));
    assert_eq!(exchange.state(), State::Done);

    let mut exchange = new(Expect::Reply);
    let both = |w: &mut Writer<'_>| data(w, SEQ, PORT, 0).and_then(|()| ack(w, SEQ, 0, ""));
    assert_eq!(feed(&mut exchange, both), Ok(1));
    assert_eq!(exchange.state(), State::Done);

    let mut exchange = new(Expect::Reply);
    assert_eq!(feed(&mut exchange, |w| ack(w, SEQ, 0, "")), Err(ExchangeError::NoReply));
}

#[test]
fn dump_over_several_datagrams() {
    let mut exchange = new(Expect::Dump);
    for _ in 0..3 {
        let part = |w: &mut Writer<'_>| {
            data(w, SEQ, PORT, NLM_F_MULTI)?;
            data(w, SEQ, PORT, NLM_F_MULTI)
        };
        assert_eq!(feed(&mut exchange, part), Ok(2));
        assert_eq!(exchange.state(), State::Pending);
    }
    assert_eq!(feed(&mut exchange, |w| done(w, SEQ, 0)), Ok(0));
    assert_eq!(exchange.state(), State::Done);
    // Messages after the end are not answers any more.
    assert_eq!(feed(&mut exchange, |w| data(w, SEQ, PORT, NLM_F_MULTI)), Ok(0));
    assert_eq!(exchange.state(), State::Done);
}

/// wgctrl-go told users "no ack received" when the interface did not exist.
#[test]
fn enodev_was_reported_as_no_ack() {
    let enodev = Errno::ENODEV.0;
    for expect in [Expect::Ack, Expect::Reply, Expect::Dump] {
        for as_done in [false, true] {
            let mut exchange = new(expect);
            let error = feed(&mut exchange, |w| {
                if as_done { done(w, SEQ, enodev) } else { ack(w, SEQ, enodev, "No such peer") }
            })
            .unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ENODEV));
            assert_eq!(exchange.state(), State::Failed);
            assert_eq!(exchange.failure(), Some(&error));
        }
    }
}

/// A caller that stops reading early still learns that the kernel refused.
#[test]
fn an_error_that_nobody_looked_at_is_kept() {
    let mut exchange = new(Expect::Dump);
    let bytes = datagram(|w| {
        data(w, SEQ, PORT, NLM_F_MULTI)?;
        done(w, SEQ, Errno::EINVAL.0)
    });
    assert!(exchange.datagram(&bytes, bytes.len(), 0).unwrap().next().unwrap().is_ok());
    assert_eq!(exchange.failure().and_then(ExchangeError::errno), Some(Errno::EINVAL));
}

#[test]
fn done_after_an_error_does_not_end_the_next_exchange() {
    let mut exchange = new(Expect::Dump);
    assert!(feed(&mut exchange, |w| ack(w, SEQ, Errno::EBUSY.0, "")).is_err());
    let mut next = Exchange::new(SEQ + 1, PORT, Expect::Ack);
    assert_eq!(feed(&mut next, |w| done(w, SEQ, 0)), Ok(0));
    assert_eq!(next.state(), State::Pending);
    assert_eq!(feed(&mut next, |w| ack(w, SEQ + 1, 0, "")), Ok(0));
    assert_eq!(next.state(), State::Done);
}

#[test]
fn messages_for_others_are_passed_over() {
    let mut exchange = new(Expect::Reply);
    let others = |w: &mut Writer<'_>| {
        data(w, SEQ - 1, PORT, 0)?;
        data(w, SEQ, PORT + 1, 0)?;
        data(w, 0, 0, 0)?;
        data(w, SEQ, PORT, 0)
    };
    assert_eq!(feed(&mut exchange, others), Ok(1));

    // Another process may send anything.
    let bytes = datagram(|w| ack(w, SEQ, Errno::EPERM.0, ""));
    assert_eq!(exchange.datagram(&bytes, 1 << 20, 1234).unwrap().count(), 0);
    assert_eq!(exchange.state(), State::Pending);
}

#[test]
fn strays_without_end_are_an_error() {
    let mut exchange = new(Expect::Ack);
    let fed = (0..=STRAYS_MAX).try_for_each(|_| exchange.datagram(&[], 0, 5).map(drop));
    assert_eq!(fed, Err(ExchangeError::Strays));
    assert_eq!(exchange.state(), State::Failed);
}

#[test]
fn truncation_says_how_long_it_was() {
    let mut exchange = new(Expect::Dump);
    let error = exchange.datagram(&[0; 100], 13_724, 0).unwrap_err();
    assert_eq!(error, ExchangeError::Truncated { needed: 13_724 });
    assert_eq!(exchange.state(), State::Failed);
}

#[test]
fn malformed_and_overrun_fail() {
    let mut exchange = new(Expect::Dump);
    let bytes = [datagram(|w| data(w, SEQ, PORT, NLM_F_MULTI)), vec![0; 16]].concat();
    let read: Vec<_> =
        exchange.datagram(&bytes, bytes.len(), 0).unwrap().map(|a| a.map(drop)).collect();
    assert_eq!(read, [Ok(()), Err(ExchangeError::Malformed)]);
    assert_eq!(exchange.state(), State::Failed);

    let mut exchange = new(Expect::Dump);
    let overrun = feed(&mut exchange, |w| w.message(NLMSG_OVERRUN, 0, SEQ, PORT));
    assert_eq!(overrun, Err(ExchangeError::Overrun));
}

#[test]
fn interruption_shows_at_the_end_and_is_not_retried_for_ever() {
    let mut attempts = Attempts::new(3);
    for left in [true, true, false] {
        let mut exchange = new(Expect::Dump);
        assert_eq!(feed(&mut exchange, |w| data(w, SEQ, PORT, NLM_F_DUMP_INTR)), Ok(1));
        assert_eq!(exchange.state(), State::Pending);
        assert_eq!(feed(&mut exchange, |w| done(w, SEQ, 0)), Ok(0));
        assert_eq!(exchange.state(), State::Interrupted);
        assert_eq!(attempts.again().is_ok(), left);
    }
    assert_eq!(attempts.again(), Err(ExchangeError::Unsteady { attempts: 3 }));
}

/// mdlayher/netlink returned text that the next message overwrote.
#[test]
fn words_were_overwritten_when_the_buffer_was_reused() {
    let mut exchange = new(Expect::Ack);
    let long = "\u{e9}".repeat(60);
    let mut bytes = datagram(|w| ack(w, SEQ, Errno::EINVAL.0, &long));
    let error = exchange.datagram(&bytes, bytes.len(), 0).unwrap().next().unwrap().unwrap_err();
    bytes.fill(0xff);
    let ExchangeError::Kernel(kernel) = error else { panic!("{error}") };
    assert_eq!(kernel.message.as_str(), "\u{e9}".repeat(40));
    assert!(size_of::<ExchangeError>() <= 120);
}

#[test]
fn errors_read_as_sentences() {
    let error = KernelError {
        errno: Errno::EINVAL,
        message: Text::cut("Attribute failed policy validation"),
        offset: Some(40),
        missing_type: Some(1),
        missing_nest: Some(36),
    };
    assert_eq!(
        error.to_string(),
        "Invalid argument (EINVAL): Attribute failed policy validation, at byte 40 of the request, \
         attribute 1 is missing from the nest at byte 36"
    );
}
