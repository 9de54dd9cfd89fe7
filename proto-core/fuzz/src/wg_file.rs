//! The configuration file of wg(8), split into reads at any place.
//!
//! Promised: the split makes no difference; lines are reported in order; every value is within its
//! range; no error contains a key that was in the wrong place.

use proto_core::conf::{ConfError, File, Item, Span};

use super::Seeds;
use super::input::Input;

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

fn read(text: &[u8], mut cut: impl FnMut() -> usize) -> Result<Vec<(u32, String)>, ConfError> {
    let mut told = Vec::new();
    let mut last = 1;
    let mut in_peer = false;
    let mut take = |Span { line, .. }: Span, item: &Item<'_>| {
        assert!(line >= last, "lines out of order");
        last = line;
        match item {
            Item::Peer => in_peer = true,
            Item::AllowedIp(net) => assert!(net.is_valid() && in_peer),
            Item::Endpoint(host) => {
                assert!(in_peer && !host.name.is_empty() && !host.name.contains([' ', '#']));
            }
            Item::PublicKey(_) | Item::PresharedKey(_) => assert!(in_peer),
            Item::PersistentKeepalive(_) | Item::AllowedIps => assert!(in_peer),
            Item::ListenService(service) => assert!(!service.is_empty()),
            Item::PrivateKey(_) | Item::ListenPort(_) | Item::Fwmark(_) => {}
            other => panic!("{other:?} does not come from a file"),
        }
        told.push((line, format!("{item:?}")));
        Ok(())
    };
    let mut file = File::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
        file.feed(now, &mut take)?;
        rest = later;
    }
    file.end(&mut take)?;
    Ok(told)
}

/// A byte for the size of the reads, and the file.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let seed = input.byte();
    let text = input.0;
    let whole = read(text, || usize::MAX);
    let mut n = u32::from(seed);
    let cut = read(text, || {
        n = n.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (n >> 24) as usize % (usize::from(seed) + 1)
    });
    assert_eq!(whole, cut);
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
    match whole {
        Ok(told) => assert!(told.iter().all(|(line, _)| *line <= lines)),
        Err(error) => {
            let said = error.to_string();
            assert!((1..=lines).contains(&error.line), "{said}");
            let shown = KEY
                .as_bytes()
                .windows(30)
                .any(|part| said.as_bytes().windows(30).any(|window| window == part));
            assert!(!shown, "{said}");
        }
    }
}

/// Valid files, and some invalid ones.
pub fn seeds() -> Seeds {
    let full = format!(
        "# one\n[Interface]\nPrivateKey = {KEY}\nListenPort = 51820\nFwMark = 0xca6c\n\n[Peer]\r\n\
         PublicKey={KEY}\nPresharedKey = {KEY} # two\nAllowedIPs = 10.0.0.0/8, fd00::/64\n\
         allowedips=::/0\nEndpoint = [2001:db8::1]:7\nPersistentKeepalive = off\n[peer]\n\
         Endpoint = example.net:65535\nPublic Key = {KEY}"
    );
    let files = [
        ("full", full.as_str()),
        ("empty", ""),
        ("no-section", "ListenPort = 1\n"),
        ("no-key", "[Peer]\nAllowedIPs = 10.0.0.0/8\n"),
        ("wrong-value", "[Interface]\nFwMark = 0x100000000\n"),
        ("key-without-name", KEY),
        ("nul", "[Interface]\nListenPort = 7\0junk\nFwMark = 1\n"),
        ("list", "[Peer]\nAllowedIPs = 10.0.0.0/8,,\n"),
    ];
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), [&[7], text.as_bytes()].concat()))
        .collect()
}
