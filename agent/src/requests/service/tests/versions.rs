//! Requests of later versions, and requests that no client of this version writes.

use super::*;

/// A packet of a client that writes by itself what this version cannot say: the number of an ask and its fields.
fn raw(version: u8, ask: u8, fields: &[u8]) -> Vec<u8> {
    [&[envelope::REQUEST, version][..], &[5; 8], &[9, ask], fields].concat()
}

#[test]
fn a_client_of_tomorrow_is_understood_or_told_what_is_not() {
    agent(|agent, _| {
        // A hello may have more at its end, and any bits.
        let hello = answer(agent, &raw(HELLO_VERSION, 0, &[1, 9, 0xff, 0x7f, 1, 2, 3]));
        assert!(matches!(hello, Some(Answer::Hello(Hello { version: 1, .. }))), "{hello:?}");
        // A request that is not known has a code of its own, and its number in the text.
        for ask in [90, 99, 127] {
            let told = failure(answer(agent, &raw(VERSION, ask, &[1, 2, 3])));
            assert_eq!(told.code, Code::Unsupported);
            assert!(told.text.contains(&ask.to_string()), "{}", told.text);
        }
        // More behind a request that is known could be what matters.
        let told = failure(answer(agent, &raw(VERSION, 1, &[1])));
        assert_eq!(told.code, Code::Malformed);
        // A role that is not known.
        let told =
            failure(answer(agent, &raw(VERSION, 13, &[&[7; 32][..], &[2, 1, b'A']].concat())));
        assert!(told.code == Code::Malformed && told.text.contains("`role`"), "{told:?}");
    });
}

#[test]
fn a_name_that_no_interface_can_have_reaches_no_handler() {
    let names =
        [&b""[..], b".", b"..", b"a/b", b"a b", b"wg%d", b"a\0", b"sixteen-letters-", b"\xff"];
    let asks: [(u8, &[u8], &[u8]); 8] = [
        (2, &[], &[0; 40]),
        (7, &[], &[]),
        (10, &[], &[0]),
        (17, &[1], &[]),
        (18, &[], &[]),
        (19, &[], &[0]),
        (20, &[], &[1, 0]),
        (21, &[], &[0]),
    ];
    agent(|agent, _| {
        for name in names {
            for (ask, before, behind) in asks {
                let fields = [before, &[name.len() as u8], name, behind].concat();
                let told = failure(answer(agent, &raw(VERSION, ask, &fields)));
                assert_eq!(told.code, Code::Malformed, "{ask} {name:?}");
                assert!(told.text.contains("`interface`"), "{ask} {name:?}: {}", told.text);
            }
        }
    });
    println!("{} requests", names.len() * asks.len());
}
