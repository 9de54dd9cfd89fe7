//! Datagrams of random bytes through every reader of the kernel's messages except the decoder of
//! WireGuard's dumps (`wireguard_decoder`).
//!
//! Promised: no panic, no endless loop, and an address, a route or a rule that was read is read
//! again, unchanged, from the request that would add it.

use proto_core::ip::IpNet;
use proto_core::netlink::control::{
    Control, NLMSGERR_ATTR_MISS_NEST, NLMSGERR_ATTR_MISS_TYPE, NLMSGERR_ATTR_MSG,
    NLMSGERR_ATTR_OFFS,
};
use proto_core::netlink::genl::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_NEWFAMILY, Family, FamilyError,
    GENL_ID_CTRL, GenlHeader,
};
use proto_core::netlink::route::{Addr, IfExists, Link, Notifications, Route, Rule};
use proto_core::netlink::{
    Attribute, Attributes, Batch, Exchange, Expect, Full, Message, Messages, NLM_F_ACK_TLVS,
    NLM_F_CAPPED, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN, NLMSG_OVERRUN, State,
    Writer,
};

use super::Seeds;
use super::input::{Input, chunk};

const SEQ: u32 = 1;
const PORT: u32 = 0x3fa8;

fn attributes(attributes: Attributes<'_>, depth: u8) {
    for attribute in attributes.flatten() {
        values(&attribute);
        if depth > 0 {
            self::attributes(attribute.nested(), depth - 1);
            self::attributes(attribute.entries(), depth - 1);
        }
    }
}

fn values(a: &Attribute<'_>) {
    let read = [
        a.u8().map(u64::from),
        a.u16().map(u64::from),
        a.u32().map(u64::from),
        a.u64(),
        a.be16().map(u64::from),
        a.be32().map(u64::from),
    ];
    assert!(read.iter().filter(|value| value.is_ok()).count() <= 2);
    assert!(a.str().is_err() || a.str().is_ok_and(|text| text.len() <= a.payload.len()));
    let _ = (a.ip(), a.ty, a.nested);
    read.iter().flat_map(|value| value.as_ref().err()).for_each(say);
}

fn say(error: &impl core::fmt::Display) {
    assert!(!error.to_string().is_empty());
}

fn again<'b>(request: &'b [u8]) -> Message<'b> {
    Messages::new(request).next().expect("a message").expect("a complete message")
}

fn parse(message: &Message<'_>) {
    let mut buf = [0; 256];
    match Addr::parse(message) {
        Ok(addr) => {
            let request = addr.add(&mut buf, 1, IfExists::Fail).expect("room");
            assert_eq!(Addr::parse(&again(request)), Ok(addr));
        }
        Err(error) => say(&error),
    }
    match Route::parse(message) {
        Ok(route) => {
            // Fields that only the kernel sets cannot be requested.
            let clean = Route { dst: route.dst.masked(), other: false, ..route };
            let request = route.add(&mut buf, 1, IfExists::Replace).expect("room");
            assert_eq!(Route::parse(&again(request)), Ok(clean));
        }
        Err(error) => say(&error),
    }
    match Rule::parse(message) {
        Ok(rule) => {
            let request = rule.add(&mut buf, 1).expect("room");
            assert_eq!(Rule::parse(&again(request)), Ok(Rule { other: false, ..rule }));
        }
        Err(error) => say(&error),
    }
    match Link::parse(message) {
        Ok(link) => assert!(!link.name.as_str().is_empty()),
        Err(error) => say(&error),
    }
    match Family::parse(message) {
        Ok(family) => assert!(family.id >= 16),
        Err(error) => say(&error),
    }
    let _ = GenlHeader::parse(message);
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let how = input.byte();
    let expect = [Expect::Ack, Expect::Reply, Expect::Dump][usize::from(how % 3)];
    let mut exchange = Exchange::new(SEQ, if how & 0x80 == 0 { 0 } else { PORT }, expect);
    while !input.is_empty() {
        let sender = u32::from(input.byte() == 1);
        let bytes = input.chunk();
        let cut = usize::from(how & 0x40 != 0);

        let count = Messages::new(bytes).count();
        assert!(count <= bytes.len() / NLMSG_HDRLEN + 1);
        for message in Messages::new(bytes).flatten() {
            assert!(message.payload.len() + NLMSG_HDRLEN <= bytes.len());
            let _ = Control::parse(&message);
            parse(&message);
            attributes(Attributes::new(message.payload), 3);
        }

        announced(bytes);
        let before = exchange.state();
        let mut told = 0;
        let refused = exchange.datagram(bytes, bytes.len() + cut, sender).map(|answers| {
            for answer in answers {
                told += 1;
                match answer {
                    Ok(message) => assert!(message.ty >= 16 && message.seq == SEQ),
                    Err(error) => say(&error),
                }
            }
        });
        assert!(told <= if before == State::Pending { count } else { 0 });
        if let Err(error) = refused {
            assert_eq!(exchange.failure(), Some(&error));
            say(&FamilyError::from(error));
        }
        assert!(before == State::Pending || exchange.state() == before);
        assert_eq!(exchange.state() == State::Failed, exchange.failure().is_some());
    }
}

/// A datagram as a kernel would send it, received from port `sender`.
fn datagram(sender: u8, put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut buf = vec![0; 4096];
    let mut writer = Writer::new(&mut buf);
    put(&mut writer).expect("room");
    [&[sender][..], &chunk(writer.finish())].concat()
}

/// The same bytes as notifications, and as acknowledgements of a batch: neither loops for ever, and
/// a request has at most one outcome.
fn announced(data: &[u8]) {
    let most = data.len() / 16 + 2;
    assert!(Notifications::new(data, data.len(), 0).count() <= most);
    assert!(Notifications::new(data, data.len(), 1).next().is_none());
    let mut buf = [0; 4096];
    let mut batch = Batch::new(&mut buf, SEQ);
    let route = Route::device(IpNet { addr: [10, 0, 0, 0].into(), prefix: 8 }, 3, 254, 4);
    for _ in 0..3 {
        batch.push(|buf, seq| route.add(buf, seq, IfExists::Fail)).expect("room");
    }
    let mut acks = batch.acks(0);
    let mut outcomes = [0; 3];
    let _ = acks.datagram(data, data.len(), 0, &mut |nth, _| outcomes[nth as usize] += 1);
    assert!(outcomes.iter().all(|count| *count <= 1));
    assert_eq!(acks.is_complete(), outcomes == [1; 3]);
}

pub fn seeds() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    let mut seed = |name: &str, how: u8, datagrams: &[Vec<u8>]| {
        seeds.push((name.into(), [&[how][..], &datagrams.concat()].concat()));
    };
    let ok = datagram(0, |w| {
        w.message(NLMSG_ERROR, NLM_F_CAPPED, SEQ, PORT)?;
        w.header(&[0; 20])
    });
    let done = datagram(0, |w| {
        w.message(NLMSG_DONE, 2, SEQ, PORT)?;
        w.header(&[0; 4])
    });
    let error = |flags: u16, echo: &'static [u8]| {
        datagram(0, move |w| {
            w.message(NLMSG_ERROR, flags | NLM_F_ACK_TLVS, SEQ, PORT)?;
            w.header(&(-22_i32).to_ne_bytes())?;
            w.header(echo)?;
            w.string(NLMSGERR_ATTR_MSG, "words")?;
            w.u32(NLMSGERR_ATTR_OFFS, 24)?;
            w.u32(NLMSGERR_ATTR_MISS_TYPE, 3)?;
            w.u32(NLMSGERR_ATTR_MISS_NEST, 20)
        })
    };
    seed("empty", 0, &[]);
    seed("ack", 0, std::slice::from_ref(&ok));
    seed("ack-to-our-port", 0x80, std::slice::from_ref(&ok));
    seed("ack-without-reply", 1, std::slice::from_ref(&ok));
    seed("error-capped", 0, &[error(NLM_F_CAPPED, &[0; 16])]);
    seed("error-with-echo", 0, &[error(0, &[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);
    seed("truncated", 0x42, &[error(0, &[0; 16])]);
    seed("overrun", 2, &[datagram(0, |w| w.message(NLMSG_OVERRUN, 0, SEQ, PORT))]);
    seed("stray", 2, &[datagram(1, |w| w.message(16, 0, SEQ, PORT)), done.clone()]);
    seed(
        "family",
        1,
        &[
            datagram(0, |w| {
                w.message(GENL_ID_CTRL, 0, SEQ, PORT)?;
                GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(w)?;
                w.string(CTRL_ATTR_FAMILY_NAME, "wireguard")?;
                w.u16(CTRL_ATTR_FAMILY_ID, 28)
            }),
            ok,
        ],
    );
    seed(
        "links",
        2,
        &[
            datagram(0, |w| {
                w.message(16, 2, SEQ, PORT)?;
                w.header(&[0, 0, 0xfe, 0xff, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])?;
                w.string(3, "wg0")?;
                w.u32(4, 1420)?;
                w.nest(18, |w| w.string(1, "wireguard"))
            }),
            done.clone(),
        ],
    );
    let net = |text: &str| text.parse().expect("a network");
    let dump = |ty: u16, request: &[u8]| {
        datagram(0, |w| {
            w.message(ty, 2 | NLM_F_DUMP_INTR, SEQ, PORT)?;
            w.header(again(request).payload)
        })
    };
    let mut buf = [0; 256];
    for (name, text) in [("address-4", "10.0.0.1/24"), ("address-6", "fd00::1/64")] {
        let addr = Addr::new(7, net(text)).add(&mut buf, 1, IfExists::Fail).expect("room");
        seed(name, 2, &[dump(20, addr), done.clone()]);
    }
    for (name, text, table) in
        [("route-4", "10.0.0.0/8", 254), ("route-6", "fd00::/8", 51820), ("default", "::/0", 300)]
    {
        let route = Route { metric: 5, ..Route::device(net(text), 7, table, 4) };
        let route = route.add(&mut buf, 1, IfExists::Fail).expect("room");
        seed(name, 2, &[dump(24, route), done.clone()]);
    }
    let rule = Rule {
        priority: Some(97),
        fwmark: Some(51820),
        fwmask: Some(255),
        invert: true,
        suppress_prefixlen: Some(0),
        protocol: 4,
        ..Rule::new(2, 51820)
    };
    seed("rule", 2, &[dump(32, rule.add(&mut buf, 1).expect("room")), done]);
    seeds
}
