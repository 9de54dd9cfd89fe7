//! Measures how fast configurations are encoded for the kernel and decoded, compared with the crate
//! netlink-packet-wireguard and with a plain copy of the same bytes. Run it with `cargo xtask
//! bench`.
//!
//! All contenders do the same work in the same run, turn by turn, so that a busy machine slows all
//! of them down. The benchmark first checks that their results are equal. No time is ever a
//! failure.

mod clock;
mod model;
mod ours;
mod theirs;

use std::hint::black_box;

use clock::Contender;
use model::Peer;

const PEERS: u32 = 1_000;
const ALLOWED_IPS: u32 = 5;
/// Largest message that `wg` and the agent send, in bytes.
const BUFFER: usize = 8_192;
const NAME: &str = "wg0";
const FAMILY: u16 = 28;
const OTHER: &str = "netlink-packet-wireguard 0.5";

/// Copies the same bytes into the same buffer.
fn copy(messages: &[Vec<u8>], buf: &mut [u8]) {
    for message in messages {
        black_box(&mut buf[..message.len()]).copy_from_slice(black_box(message));
    }
}

fn title(what: &str, messages: &[Vec<u8>]) {
    let bytes: usize = messages.iter().map(Vec::len).sum();
    println!(
        "{what} {PEERS} peers with {ALLOWED_IPS} allowed IPs each: {bytes} bytes in {} messages",
        messages.len()
    );
}

fn encoding(peers: &[Peer]) {
    let messages = ours::set(peers);
    let built = theirs::set(peers, &messages);
    // The same bytes, not only the same meaning.
    assert_eq!(theirs::emitted(&built), messages, "the encoders differ");

    title("encode", &messages);
    let mut buf = vec![0; BUFFER];
    let mut other = vec![0; BUFFER];
    let mut plain = vec![0; BUFFER];
    let mut again = vec![0; BUFFER];
    clock::race(&mut [
        Contender::new("plain copy of the bytes", || copy(&messages, &mut plain)),
        Contender::new("proto-core", || ours::encode(peers, &mut buf)),
        Contender::new(&format!("{OTHER}, built before"), || theirs::emit(&built, &mut other)),
        Contender::new(&format!("{OTHER}, built and emitted"), || {
            theirs::emit(&theirs::set(peers, &messages), &mut again);
        }),
    ]);
}

fn decoding(peers: &[Peer]) {
    let dump = ours::dump(peers);
    assert_eq!(ours::decoded(&dump), peers, "proto-core decodes other peers");
    assert_eq!(theirs::decoded(&dump), peers, "{OTHER} decodes other peers");

    title("decode", &dump);
    let mut plain = vec![0; BUFFER];
    clock::race(&mut [
        Contender::new("plain copy of the bytes", || copy(&dump, &mut plain)),
        Contender::new("proto-core", || ours::decode(&dump)),
        Contender::new(OTHER, || theirs::decode(&dump)),
    ]);
}

fn main() {
    let peers = model::peers();
    encoding(&peers);
    decoding(&peers);
}
