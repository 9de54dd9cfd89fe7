//! Types with keys leave none of their bytes in memory when they are dropped, or continue with the
//! next peer.

use core::mem::MaybeUninit;

use proto_core::conf::{File, Item};
use proto_core::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use proto_core::netlink::wireguard::{
    DeviceChange, DeviceInfo, Event, GetDecoder, PeerChange, PeerInfo, SetEncoder, get,
};
use proto_core::netlink::{IfName, Messages, Writer};
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};
use proto_core::protocol::session::StaticKey;
use proto_core::uapi::{Answer, Sink};

const PRIVATE: [u8; 32] = *b"the private key, all 32 bytes :)";
const PRESHARED: [u8; 32] = *b"the preshared key, of as many ..";
/// Half of a key must not be found either. Fewer bytes may remain in padding, where a move left
/// them.
const PART: usize = 16;

fn keys_in(bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, key) in [("private", PRIVATE), ("preshared", PRESHARED)] {
        let mut text = [0; KEY_TEXT_LEN];
        SecretKey::new(key).write(&mut text);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for (form, key) in [("bytes", &key[..]), ("base64", &text[..]), ("hex", hex.as_bytes())] {
            if key.chunks_exact(PART).any(|part| bytes.windows(PART).any(|bytes| bytes == part)) {
                found.push(format!("{name} key in {form}"));
            }
        }
    }
    found
}

/// The bytes of a place, whatever it contains.
fn bytes<T>(place: &MaybeUninit<T>) -> Vec<u8> {
    let at = place.as_ptr().cast::<u8>();
    // SAFETY: the pointer is valid for this length, and the place was zeroed before a value was
    // written over it, so every byte is initialized.
    (0..size_of::<T>()).map(|n| unsafe { at.add(n).read_volatile() }).collect()
}

/// Lets `make` fill a place, changes the value by `then`, and drops it there. Returns the secrets
/// found in the place before the drop, and after it. Runs on a wiped stack of its own, because a
/// move copies bytes of earlier calls into the padding of a value.
fn left<T>(
    make: impl FnOnce() -> T + Send,
    then: impl FnOnce(&mut T) + Send,
) -> (Vec<String>, Vec<String>) {
    std::thread::scope(|scope| {
        scope.spawn(|| (clean_stack(), dropped(make, then)).1).join().unwrap()
    })
}

#[inline(never)]
fn clean_stack() {
    core::hint::black_box([0_u8; 64 * 1024]);
}

fn dropped<T>(make: impl FnOnce() -> T, then: impl FnOnce(&mut T)) -> (Vec<String>, Vec<String>) {
    let mut place = Box::new(MaybeUninit::<T>::zeroed());
    then(place.write(make()));
    let before = keys_in(&bytes(&place));
    // SAFETY: the value was written above, and is not used after this.
    unsafe { place.assume_init_drop() };
    (before, keys_in(&bytes(&place)))
}

fn is_wiped<T>(make: impl FnOnce() -> T + Send, then: impl FnOnce(&mut T) + Send) {
    let (before, after) = left(make, then);
    assert!(!before.is_empty(), "the search has to find a key where there is one");
    assert_eq!(after, Vec::<String>::new());
}

fn private() -> SecretKey {
    SecretKey::new(PRIVATE)
}

fn preshared() -> SecretKey {
    SecretKey::new(PRESHARED)
}

fn name() -> IfName {
    "wg0".parse().unwrap()
}

const PEER: PublicKey = PublicKey([7; 32]);

fn device() -> DeviceInfo {
    DeviceInfo::new(1, name())
}

/// Writes a key in place.
fn fill(place: &mut Option<SecretKey>) {
    *place.insert(SecretKey::ZERO).as_mut_bytes() = PRESHARED;
}

#[test]
fn values_with_keys_are_wiped_where_they_are_dropped() {
    is_wiped(private, |_| ());
    is_wiped(|| None, fill);
    is_wiped(device, |device| fill(&mut device.private_key));
    is_wiped(|| PeerInfo::new(PEER), |peer| fill(&mut peer.preshared_key));
    let in_event = |event: &mut Event| match event {
        Event::Device(device) => fill(&mut device.private_key),
        Event::Peer(peer) => fill(&mut peer.preshared_key),
        Event::AllowedIp(_) => {}
    };
    is_wiped(|| Event::Device(device()), in_event);
    is_wiped(|| Event::Peer(PeerInfo::new(PEER)), in_event);
    is_wiped(DeviceChange::default, |change| fill(&mut change.private_key));
    is_wiped(|| PeerChange::new(PEER), |change| fill(&mut change.preshared_key));
    is_wiped(|| Item::PrivateKey(private()), |_| ());
    is_wiped(|| Item::PresharedKey(preshared()), |_| ());
    is_wiped(|| StaticKey::new(private()), |_| ());
    let interface =
        || Interface { private_key: PrivateKey::Given(private()), ..Interface::default() };
    is_wiped(|| Record::Interface(interface()), |_| ());
    let peer =
        || Peer { public_key: PEER, preshared_key: None, endpoint: None, persistent_keepalive: 0 };
    is_wiped(peer, |peer| fill(&mut peer.preshared_key));
}

#[test]
fn a_value_is_wiped_when_another_takes_its_place() {
    // The old value is dropped in its place, before the next is written.
    let (before, after) = left(
        || Event::Device(device()),
        |event| {
            if let Event::Device(device) = event {
                fill(&mut device.private_key);
            }
            *event = Event::AllowedIp("10.0.0.0/8".parse().unwrap());
        },
    );
    assert_eq!((before, after), (vec![], vec![]));
}

struct Nowhere;

impl Sink for Nowhere {
    fn event(&mut self, _: &Event) {}

    fn resolve(&mut self, _: &proto_core::conf::Host<'_>) -> Option<core::net::SocketAddr> {
        None
    }
}

fn answer(lines: &str) -> impl FnOnce(&mut Answer) + Send {
    move |answer| {
        let _ = answer.feed(lines.as_bytes(), &mut Nowhere).unwrap();
    }
}

#[test]
fn the_reader_of_a_program_s_answer_leaves_no_keys() {
    let hex = |key: [u8; 32]| -> String { key.iter().map(|byte| format!("{byte:02x}")).collect() };
    let new = || Answer::new(name());
    let device = format!("private_key={}\n", hex(PRIVATE));
    let peer = format!("{device}public_key={}\npreshared_key={}\n", hex([7; 32]), hex(PRESHARED));
    is_wiped(new, answer(&device));
    is_wiped(new, answer(&peer));
    // In the middle of a line.
    is_wiped(new, answer(&device[..device.len() - 3]));
    is_wiped(new, answer(&peer[..peer.len() - 9]));
    is_wiped(new, answer(&format!("{peer}errno=0\n\n")));
}

#[test]
fn the_reader_of_a_dump_leaves_no_keys() {
    let mut buf = [0; 1024];
    let mut w = Writer::new(&mut buf);
    w.message(28, 2, 1, 1).unwrap();
    w.header(&[0, 1, 0, 0]).unwrap();
    // WGDEVICE_A_IFINDEX, IFNAME, PRIVATE_KEY.
    w.u32(1, 7).unwrap();
    w.string(2, "wg0").unwrap();
    w.bytes(3, &PRIVATE).unwrap();
    // WGDEVICE_A_PEERS, with PUBLIC_KEY and PRESHARED_KEY of each.
    w.nest(8, |w| {
        (1..=2).try_for_each(|nth| {
            w.nest(0, |w| {
                w.bytes(1, &[nth; 32])?;
                w.bytes(2, if nth == 1 { &PRESHARED } else { &[9; 32] })
            })
        })
    })
    .unwrap();
    let dump = w.finish();
    let message = Messages::new(dump).next().unwrap().unwrap();
    for steps in 1..=2 {
        let mut decoder = GetDecoder::new(28);
        is_wiped(
            || decoder.message(&message),
            |events| (0..steps).for_each(|_| assert!(events.advance().unwrap().is_ok())),
        );
    }
    // The second peer has replaced the first.
    let mut decoder = GetDecoder::new(28);
    let advance = |events: &mut get::Events<'_, '_>| {
        (0..3).for_each(|_| assert!(events.advance().unwrap().is_ok()));
    };
    assert_eq!(left(|| decoder.message(&message), advance).0, Vec::<String>::new());
}

#[test]
fn the_reader_of_a_file_and_the_writer_of_a_change_leave_no_keys() {
    let mut text = [0; KEY_TEXT_LEN];
    let text = format!("[Interface]\nPrivateKey = {}", private().reveal(&mut text));
    is_wiped(File::new, |file| file.feed(text.as_bytes(), &mut |_, _| Ok(())).unwrap());
    let mut buf = vec![0; 512];
    let mut encoder = SetEncoder::new(&mut buf, 28, name());
    let change = DeviceChange { private_key: Some(private()), ..DeviceChange::default() };
    encoder.device(&change).unwrap();
    encoder
        .peer(&PeerChange { preshared_key: Some(preshared()), ..PeerChange::new(PEER) })
        .unwrap();
    drop(encoder);
    assert_eq!(keys_in(&buf), Vec::<String>::new());
}
