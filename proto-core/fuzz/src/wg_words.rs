//! The words of `wg set`, each ended by a NUL.
//!
//! Promised: every value is within its range and allowed in its place, and no error contains a key
//! that was in the wrong place.

use proto_core::conf::{Item, words};

use super::Seeds;

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

/// Parses the words that are UTF-8.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let count = text.split('\0').count();
    let (mut peers, mut settings, mut keys) = (0, 0, 0);
    let read = words(&mut text.split('\0'), &mut |at, item| {
        assert_eq!(at.line, 0);
        match item {
            Item::Peer => peers += 1,
            Item::PublicKey(_) => keys += 1,
            Item::ListenPort(_)
            | Item::ListenService(_)
            | Item::Fwmark(_)
            | Item::PrivateKeyFile(_) => {
                assert_eq!(peers, 0, "a setting of the device after a peer");
                settings += 1;
            }
            Item::AllowedIp(net) | Item::AddAllowedIp(net) | Item::RemoveAllowedIp(net) => {
                assert!(net.is_valid() && peers > 0);
            }
            Item::PrivateKey(_) | Item::PresharedKey(_) => panic!("a key on a command line"),
            Item::Endpoint(host) => assert!(peers > 0 && !host.name.is_empty()),
            Item::Remove | Item::PresharedKeyFile(_) => assert!(peers > 0),
            Item::PersistentKeepalive(_) | Item::AllowedIps => assert!(peers > 0),
            Item::Interface | Item::GeneratePrivateKey | Item::Mistake(_) => {
                panic!("not on a command line")
            }
        }
        Ok(())
    });
    match read {
        Ok(()) => assert!(peers == keys && (peers + settings) * 2 <= count),
        Err(error) => {
            let said = error.to_string();
            let parts = KEY.as_bytes().windows(30);
            let shown = |part| said.as_bytes().windows(30).any(|window| window == part);
            assert!(!parts.into_iter().any(shown), "{said}");
        }
    }
}

/// Valid command lines, and some invalid ones.
pub fn seeds() -> Seeds {
    let lines = [
        ("device", "listen-port 7 fwmark 0xca6c private-key /dev/null".to_owned()),
        (
            "peers",
            format!(
                "peer {KEY} remove peer {KEY} preshared-key /tmp/psk endpoint [::1]:7 \
                 persistent-keepalive off allowed-ips +10.0.0.0/8,-fd00::/64"
            ),
        ),
        ("misplaced", format!("peer {KEY} fwmark off")),
        ("key", KEY.to_owned()),
        ("no-value", "fwmark".to_owned()),
    ];
    lines
        .iter()
        .map(|(name, line)| ((*name).to_owned(), line.replace(' ', "\0").into_bytes()))
        .collect()
}
