//! A client of the service in tests: its session, and the packets of its requests.

use std::vec::Vec;

use proto_core::key::PublicKey;
use proto_core::protocol::envelope::{self, HELLO_VERSION};
use proto_core::protocol::message::{Ask, ClientId, Request};
use proto_core::protocol::session::Wire;
use proto_core::protocol::{MAX_PACKET, VERSION};

use crate::access::owners::{Ownership, Standing};
use crate::requests::service::Visitor;

/// The other end of a session over the serial line: its number, and the number of the newest session.
pub(crate) fn visitor<'v, 'f>(
    key: PublicKey,
    standing: Standing,
    (nth, newest): (u32, u32),
    ownership: &'v mut Ownership<'f>,
) -> Visitor<'v, 'f> {
    Visitor {
        key,
        standing,
        wire: Wire::Serial,
        nth,
        newest,
        handshake_hash: [0; 32],
        router: PublicKey([0xee; 32]),
        rejected: false,
        ownership,
    }
}

/// The packet of a request, in the version that a client sends it in.
pub(crate) fn packet(client: ClientId, id: u32, ask: Ask<'_>) -> Vec<u8> {
    let version = if matches!(ask, Ask::Hello { .. }) { HELLO_VERSION } else { VERSION };
    let mut buf = [0; MAX_PACKET];
    let len = envelope::write(version, &Request { client, id, ask }, &mut buf).unwrap();
    buf[..len].to_vec()
}
