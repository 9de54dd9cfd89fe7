//! The blocks of `docs/protocol.md` for the example session.

use proto_core::protocol::envelope::HELLO_VERSION;
use proto_core::protocol::message::Role;
use proto_core::protocol::session::{OVERHEAD, Seek, StaticKey, Wire};

use crate::annotate::Line;
use crate::{cut, examples, flat, line, packet as message, sessions, snow_peer};

/// The client's first packet through the session: the hello.
pub(crate) fn first_packet() -> Vec<u8> {
    let (initiation, mut initiator) = sessions::initiation(Wire::Udp, None);
    let (response, _) = sessions::answer(&initiation, Wire::Udp).unwrap();
    let mut client = initiator.response(&response).unwrap();
    let request = flat(&message(HELLO_VERSION, &examples::requests()[0].1));
    sessions::written(|out| client.seal(&request, out))
}

/// The packets of a session, and the inputs from which they are made.
pub(crate) fn put_all(mut put: impl FnMut(&str, Vec<Line>)) {
    let secrets = [
        ("client's static key", sessions::client_private()),
        ("client's ephemeral key", sessions::client_ephemeral()),
        ("router's static key", sessions::router_private()),
        ("router's ephemeral key", sessions::router_ephemeral()),
    ];
    let keys = secrets.clone().map(|(name, key)| line(key.as_bytes(), name));
    put("session-private-keys", keys.into());
    let keys = secrets.map(|(name, key)| line(&StaticKey::new(key).public().0, name));
    put("session-public-keys", keys.into());

    const HEAD: [(usize, &str); 2] = [(1, "kind"), (1, "version")];
    let packet = |bytes: &[u8], fields: &[(usize, &str)]| cut(bytes, &[&HEAD, fields].concat());
    const INITIATION: [(usize, &str); 8] = [
        (4, "sender"),
        (8, "stamp"),
        (32, "noise: the client's ephemeral key"),
        (48, "noise: the client's static key, encrypted, and a tag"),
        (16, "noise: the tag of an empty payload"),
        (16, "mac1"),
        (12, "mac2"),
        (4, "token"),
    ];
    let prologue = [
        (16, "\"Postwire session\""),
        (1, "version"),
        (1, "wire = UDP"),
        (4, "sender"),
        (8, "stamp"),
    ];
    put("session-prologue", cut(&snow_peer::prologue(Wire::Udp), &prologue));
    let (initiation, mut initiator) = sessions::initiation(Wire::Udp, None);
    let (response, mut router) = sessions::answer(&initiation, Wire::Udp).unwrap();
    let client = initiator.response(&response).unwrap();
    put("session-initiation", packet(&initiation, &INITIATION));
    let fields = [
        (4, "sender"),
        (4, "receiver"),
        (32, "noise: the router's ephemeral key"),
        (16, "noise: the tag of an empty payload"),
    ];
    put("session-response", packet(&response, &fields));
    put("session-hash", vec![line(client.handshake_hash(), "handshake hash")]);
    let (to_router, to_client) = snow_peer::keys(&initiation, &response);
    let keys = vec![line(&to_router, "client to router"), line(&to_client, "router to client")];
    put("session-keys", keys);

    let fields = |len| [(4, "receiver"), (8, "counter"), (len, "ciphertext"), (16, "tag")];
    let sealed = first_packet();
    put("session-to-router", packet(&sealed, &fields(sealed.len() - OVERHEAD)));
    let reply = flat(&message(HELLO_VERSION, &examples::replies()[0].1));
    let sealed = sessions::written(|out| router.seal(&reply, out));
    put("session-to-client", packet(&sealed, &fields(reply.len())));

    let (cookie, given) = sessions::cookie();
    put(
        "session-cookie",
        packet(&given, &[(4, "receiver"), (12, "cookie"), (4, "cookie: token"), (16, "mac")]),
    );
    let (again, _) = sessions::initiation(Wire::Udp, Some(&cookie));
    put("session-initiation-cookie", packet(&again, &INITIATION));

    let fields = [(4, "receiver"), (16, "nonce"), (8, "last stamp, encrypted"), (16, "tag")];
    put("session-stamp", packet(&sessions::wrong_stamp(), &fields));

    let label = sessions::label();
    let question = [(16, "nonce"), (32, "mac")];
    put("seek-serial", packet(&sessions::question(None), &question));
    let asked = sessions::question(Some(&label));
    put("seek-label", packet(&asked, &question));
    let found = sessions::written(|out| {
        Seek::parse(&asked)?.answer(&sessions::router_public(), Some(&label), out)
    });
    put("found-label", packet(&found, &[(16, "nonce"), (32, "public key"), (32, "mac")]));
    put("claim-proof", vec![line(&label.proof(client.handshake_hash()), "proof")]);

    let (shared, input, hash) = sessions::unlock_by_hand(Role::Admin);
    put("unlock-shared", vec![line(&shared, "the shared secret")]);
    let fields = [
        (15, "\"Postwire unlock\""),
        (1, "role = admin"),
        (12, "the challenge in ASCII"),
        (32, "router's public key"),
        (32, "owner's public key"),
    ];
    put("unlock-input", cut(&input, &fields));
    let hashed = [(8, "the code: the first 60 bits"), (24, "not used")];
    put("unlock-hash", cut(&hash, &hashed));
}
