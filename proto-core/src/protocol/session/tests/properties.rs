//! Any keys, any packets, any bytes.

use proptest::prelude::*;

use super::super::*;
use super::{keys, opened, sealed};
use crate::protocol::MAX_PACKET;

fn secret() -> impl Strategy<Value = SecretKey> {
    any::<[u8; 32]>().prop_filter("drawn", |key| *key != [0; 32]).prop_map(SecretKey::new)
}

proptest! {
    #[test]
    fn any_keys_make_a_session(
        secrets in [secret(), secret(), secret(), secret()],
        index: u32,
        stamp: u64,
        udp: bool,
        cookie in any::<Option<[u8; 32]>>(),
        plain in prop::collection::vec(any::<u8>(), 0..=MAX_PACKET),
    ) {
        let [client, router, ephemeral, answering] = secrets;
        let (client, router) = (StaticKey::new(client), StaticKey::new(router));
        let gate = Gatekeys::of(&router.public());
        let wire = if udp { Wire::Udp } else { Wire::Serial };
        let cookie = cookie.filter(|_| udp).map(|secret| Cookie::of(&secret, b"here", *b"tokn"));
        let mut packet = [0; INITIATION_LEN];
        let (_, mut initiator) = Initiator::begin(
            &client, &router.public(), wire, index, stamp, &ephemeral, cookie.as_ref(), &mut packet,
        ).unwrap();
        let parsed = Initiation::parse(&packet, &gate).unwrap();
        prop_assert_eq!((parsed.sender(), parsed.stamp()), (index, stamp));
        prop_assert_eq!(parsed.is_bare(), cookie.is_none());
        prop_assert!(cookie.is_none_or(|cookie| parsed.has_cookie(&cookie)));
        let opened = parsed.open(&router, wire, &answering).unwrap();
        prop_assert_eq!((opened.client, opened.stamp), (client.public(), stamp));
        let mut response = [0; RESPONSE_LEN];
        let (_, mut there) = opened.respond(&mut response).unwrap();
        let mut here = initiator.response(&response).unwrap();
        prop_assert_eq!(here.handshake_hash(), there.handshake_hash());
        prop_assert_eq!(super::opened(&mut there, &sealed(&mut here, &plain)), Some(plain.clone()));
        prop_assert_eq!(super::opened(&mut here, &sealed(&mut there, &plain)), Some(plain));
    }

    #[test]
    fn any_bytes_are_nothing(
        kind in 0..12_u8,
        version in 0..3_u8,
        len in prop::sample::select(vec![
            0, 1, 2, 3, 13, 29, 30, 31, 38, 57, 58, 59, 82, 141, 142, 143, 1214, 1300,
        ]),
        seed: u64,
    ) {
        let mut packet: Vec<u8> =
            (0..len as u64).map(|n| (seed.rotate_left(n as u32 % 64) ^ n) as u8).collect();
        for (to, from) in packet.iter_mut().zip([kind, version]) {
            *to = from;
        }
        let keys = keys();
        let (_, mut initiator) = keys.initiation(Wire::Udp, None);
        let (mut client, mut router) = keys.session();
        prop_assert!(Initiation::parse(&packet, &keys.gate).is_none());
        prop_assert!(initiator.response(&packet).is_none());
        prop_assert!(initiator.cookie(&packet).is_none());
        let label = LabelKey::of("0123456789abcdef").unwrap();
        prop_assert!(Seek::parse(&packet).is_none_or(|seek| !seek.knows(&label)));
        prop_assert_eq!(found(&packet, &[0; 16], Some(&label)), None);
        prop_assert_eq!(opened(&mut client, &packet), None);
        prop_assert_eq!(opened(&mut router, &packet), None);
        prop_assert!(receiver(&packet).is_none() || (version == 1 && (5..=6).contains(&kind)));
    }

    #[test]
    fn any_label_is_itself_and_no_other(text in "[ A-Za-z0-9-]{0,40}", other in "[A-Z0-9]{16}") {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_ascii_uppercase();
        let key = LabelKey::of(&text);
        prop_assert_eq!(key.is_some(), plain.len() >= MIN_LABEL);
        if let Some(key) = key {
            let proof = key.proof(&[1; 32]);
            prop_assert!(LabelKey::of(&plain).unwrap().proves(&[1; 32], &proof));
            prop_assert_eq!(LabelKey::of(&other).unwrap().proves(&[1; 32], &proof), other == plain);
        }
    }
}
