//! The other side of a session, made of `snow` and the rules of `docs/protocol.md`: it shares no
//! code with ours. This module contains only what Noise does not define: the fields around its
//! messages.

use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac256, Digest};
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::session::{Gatekeys, Initiation, Initiator, StaticKey, Wire};
use snow::params::CipherChoice;
use snow::resolvers::{CryptoResolver as _, DefaultResolver};
use snow::types::Cipher;
use snow::{Builder, HandshakeState};

use crate::document::{self, blocks};
use crate::sessions;

/// The prologue as the document describes it.
pub fn prologue(wire: Wire) -> Vec<u8> {
    let wire = match wire {
        Wire::Serial => 1,
        Wire::Udp => 2,
    };
    let sender = sessions::SENDER.to_le_bytes();
    let stamp = sessions::STAMP.to_le_bytes();
    [&b"Postwire session"[..], &[1, wire], &sender, &stamp].concat()
}

/// The start of a handshake of snow.
pub struct Start<'s> {
    pub prologue: &'s [u8],
    pub private: SecretKey,
    pub ephemeral: SecretKey,
}

impl Start<'_> {
    fn builder(&self) -> Builder<'_> {
        let name = "Noise_IK_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
        Builder::new(name)
            .prologue(self.prologue)
            .unwrap()
            .local_private_key(self.private.as_bytes())
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(self.ephemeral.as_bytes())
    }

    /// A client of this router.
    pub fn client(&self, router: &PublicKey) -> HandshakeState {
        self.builder().remote_public_key(&router.0).unwrap().build_initiator().unwrap()
    }

    /// A router.
    pub fn router(&self) -> HandshakeState {
        self.builder().build_responder().unwrap()
    }
}

/// The transport keys of the example's session, to the router and to the client.
pub fn keys(initiation: &[u8], response: &[u8]) -> ([u8; 32], [u8; 32]) {
    let prologue = prologue(Wire::Udp);
    let private = sessions::client_private();
    let start = Start { prologue: &prologue, private, ephemeral: sessions::client_ephemeral() };
    let mut snow = start.client(&sessions::router_public());
    let mut message = [0; 96];
    assert_eq!(snow.write_message(&[], &mut message).unwrap(), message.len());
    assert_eq!(message, initiation[14..110], "snow's first message");
    snow.read_message(&response[10..], &mut []).unwrap();
    snow.dangerously_get_raw_split()
}

/// snow's cipher with one of these keys: its own transport mode has no associated data.
fn cipher(key: &[u8; 32]) -> Box<dyn Cipher> {
    let mut cipher = DefaultResolver.resolve_cipher(&CipherChoice::ChaChaPoly).unwrap();
    cipher.set(key);
    cipher
}

/// A transport packet as the document describes it.
fn seal(key: &[u8; 32], kind: u8, receiver: &[u8], counter: u64, plain: &[u8]) -> Vec<u8> {
    let head = [&[kind, 1][..], receiver, &counter.to_le_bytes()].concat();
    let mut text = vec![0; plain.len() + 16];
    cipher(key).encrypt(counter, &head, plain, &mut text);
    [head, text].concat()
}

/// Decrypts a transport packet.
fn open(key: &[u8; 32], sealed: &[u8]) -> Vec<u8> {
    let (head, text) = sealed.split_at(14);
    let counter = u64::from_le_bytes(head[6..].try_into().unwrap());
    let mut plain = vec![0; text.len()];
    let len = cipher(key).decrypt(counter, head, text, &mut plain).expect("the tag");
    plain.truncate(len);
    plain
}

/// The bytes of a block of the document.
fn block(name: &str) -> Vec<u8> {
    blocks(&document::text()).remove(name).unwrap_or_else(|| panic!("no block {name}"))
}

/// One of the four keys of a block of keys.
fn key(block_name: &str, nth: usize) -> [u8; 32] {
    block(block_name)[32 * nth..][..32].try_into().unwrap()
}

/// An initiation as the document describes it, made by snow from values of the document: the
/// packet, and the state that waits for the response.
fn initiation(prologue: &[u8], router: [u8; 32], version: u8) -> (Vec<u8>, HandshakeState) {
    let private = SecretKey::new(key("session-private-keys", 0));
    let ephemeral = SecretKey::new(key("session-private-keys", 1));
    let mut snow = Start { prologue, private, ephemeral }.client(&PublicKey(router));
    let mut message = [0; 96];
    snow.write_message(&[], &mut message).unwrap();
    let mut packet = vec![3, version];
    packet.extend(&prologue[18..30]);
    packet.extend(message);
    let key = Blake2s256::digest([&b"Postwire mac1"[..], &router].concat());
    let mac = Blake2sMac256::new(&key).chain_update(&packet).finalize().into_bytes();
    packet.extend(&mac[..16]);
    packet.extend([0; 16]);
    (packet, snow)
}

#[test]
fn snow_as_client_opens_a_session_from_the_vectors_of_the_document() {
    let (prologue, router) = (block("session-prologue"), key("session-public-keys", 2));
    let (packet, mut snow) = initiation(&prologue, router, 1);
    assert_eq!(packet, block("session-initiation"));
    let (response, mut channel) = sessions::answer(&packet, Wire::Udp).expect("an answer");
    assert_eq!(response, block("session-response"));
    assert_eq!(response[6..10], packet[2..6], "the receiver is the sender");
    snow.read_message(&response[10..], &mut []).unwrap();
    assert_eq!(snow.get_handshake_hash(), block("session-hash"));
    assert_eq!(response[2..6], snow.get_handshake_hash()[..4], "the router's number");
    let (to_router, to_client) = snow.dangerously_get_raw_split();

    for (counter, plain) in [(0_u64, &block("request-hello")[..]), (1, b""), (2, &[7; 1184])] {
        let sealed = seal(&to_router, 5, &response[2..6], counter, plain);
        if counter == 0 {
            assert_eq!(sealed, block("session-to-router"));
        }
        let mut opened = [0; 1184];
        let len = channel.open(&sealed, &mut opened).expect("snow's packet");
        assert_eq!(&opened[..len], plain);
    }
    for (counter, plain) in [(0_u64, &block("reply-hello")[..]), (1, b""), (2, &[7; 1184])] {
        let sealed = sessions::written(|out| channel.seal(plain, out));
        if counter == 0 {
            assert_eq!(sealed, block("session-to-client"));
        }
        assert_eq!(sealed[..2], [6, 1]);
        assert_eq!(sealed[2..6], prologue[18..22]);
        assert_eq!(sealed[6..14], counter.to_le_bytes());
        assert_eq!(open(&to_client, &sealed), plain);
    }
}

#[test]
fn snow_as_client_is_refused_with_a_wrong_key_prologue_or_version() {
    let (prologue, router) = (block("session-prologue"), key("session-public-keys", 2));
    let answer = |prologue: &[u8], router, version, wire| {
        let (packet, _) = initiation(prologue, router, version);
        sessions::answer(&packet, wire).is_some()
    };
    assert!(answer(&prologue, router, 1, Wire::Udp));
    assert!(!answer(&prologue, key("session-public-keys", 0), 1, Wire::Udp), "another's key");
    assert!(!answer(&prologue, router, 1, Wire::Serial), "another wire");
    assert!(!answer(&prologue, router, 0, Wire::Udp), "version 0 of the packet");
    assert!(!answer(&prologue, router, 2, Wire::Udp), "version 2 of the packet");
    for at in 0..18 {
        let mut wrong = prologue.clone();
        wrong[at] ^= 1;
        assert!(!answer(&wrong, router, 1, Wire::Udp), "byte {at} of the prologue");
    }
    // The router's public key for the MACs, and another one in the handshake: an attacker without
    // any private key can do this.
    let private = SecretKey::new(key("session-private-keys", 0));
    let ephemeral = SecretKey::new(key("session-private-keys", 1));
    let other = PublicKey(key("session-public-keys", 0));
    let mut snow = Start { prologue: &prologue, private, ephemeral }.client(&other);
    let (mut packet, _) = initiation(&prologue, router, 1);
    snow.write_message(&[], &mut packet[14..110]).unwrap();
    let hash = Blake2s256::digest([&b"Postwire mac1"[..], &router].concat());
    let mac = Blake2sMac256::new(&hash).chain_update(&packet[..110]).finalize().into_bytes();
    packet[110..126].copy_from_slice(&mac[..16]);
    assert!(Initiation::parse(&packet, &Gatekeys::of(&PublicKey(router))).is_some());
    assert!(sessions::answer(&packet, Wire::Udp).is_none());
}

#[test]
fn snow_as_router_answers_our_client() {
    for wire in [Wire::Serial, Wire::Udp] {
        let prologue = prologue(wire);
        let private = SecretKey::new(key("session-private-keys", 2));
        let ephemeral = SecretKey::new(key("session-private-keys", 3));
        let mut snow = Start { prologue: &prologue, private, ephemeral }.router();
        let (packet, mut initiator) = sessions::initiation(wire, None);
        assert_eq!(snow.read_message(&packet[14..110], &mut []).unwrap(), 0);
        assert_eq!(snow.get_remote_static(), Some(&key("session-public-keys", 0)[..]));
        let mut message = [0; 48];
        assert_eq!(snow.write_message(&[], &mut message).unwrap(), 48);
        let hash = snow.get_handshake_hash().to_vec();
        let response = [&[4, 1][..], &hash[..4], &packet[2..6], &message].concat();
        let mut channel = initiator.response(&response).expect("a session");
        assert_eq!(channel.handshake_hash()[..], hash);
        let (to_router, to_client) = snow.dangerously_get_raw_split();
        let sealed = sessions::written(|out| channel.seal(b"request", out));
        assert_eq!(open(&to_router, &sealed), b"request");
        let packet = seal(&to_client, 6, &packet[2..6], 9, b"reply");
        let mut opened = [0; 5];
        assert_eq!(channel.open(&packet, &mut opened), Some(5));
        assert_eq!(&opened, b"reply");
    }
}

#[test]
fn snow_agrees_whatever_the_keys() {
    // Any keys will do: a chain of digests.
    let mut last = [0; 32];
    let mut draw = || {
        last = Blake2s256::digest(last).into();
        SecretKey::new(last)
    };
    for _ in 0..20 {
        let [client, ephemeral, router, answering] = core::array::from_fn(|_| draw());
        let own = StaticKey::new(router);
        let prologue = prologue(Wire::Udp);
        let mut snow =
            Start { prologue: &prologue, private: client.clone(), ephemeral: ephemeral.clone() }
                .client(&own.public());
        let mut packet = [0; 142];
        let (_, mut initiator) = Initiator::begin(
            &StaticKey::new(client),
            &own.public(),
            Wire::Udp,
            sessions::SENDER,
            sessions::STAMP,
            &ephemeral,
            None,
            &mut packet,
        )
        .unwrap();
        let mut message = [0; 96];
        snow.write_message(&[], &mut message).unwrap();
        assert_eq!(message, packet[14..110]);
        let parsed = Initiation::parse(&packet, &Gatekeys::of(&own.public())).unwrap();
        let opened = parsed.open(&own, Wire::Udp, &answering).unwrap();
        let mut response = [0; 58];
        let (_, mut channel) = opened.respond(&mut response).unwrap();
        snow.read_message(&response[10..], &mut []).unwrap();
        assert_eq!(snow.get_handshake_hash(), channel.handshake_hash());
        let mut ours = initiator.response(&response).unwrap();
        let (to_router, _) = snow.dangerously_get_raw_split();
        let sealed = sessions::written(|out| ours.seal(b"same", out));
        assert_eq!(sealed, seal(&to_router, 5, &response[2..6], 0, b"same"));
        assert_eq!(channel.open(&sealed, &mut [0; 4]), Some(4));
    }
}
