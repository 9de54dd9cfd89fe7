//! Whether OpenWrt's netifd manages an interface: the sections of `/etc/config/network`, in UCI's syntax. The file is
//! read word by word, so neither its length nor its encoding matters.

use core::ffi::CStr;

use crate::names::files::{Machine, each_word};

const NETWORK: &CStr = c"/etc/config/network";

/// Whether a section has the name of the interface, is not disabled, and does more than show it (`proto postwire`).
/// Sections of one name are one section, as in UCI, where the last value counts.
#[must_use]
#[inline(never)]
pub fn manages(machine: &dyn Machine, interface: &str) -> bool {
    let (mut begins, mut option) = (false, 0);
    let (mut inside, mut managed) = (false, false);
    let (mut shown, mut disabled) = (false, false);
    each_word(machine, NETWORK, &mut |place, word| {
        let word = word.trim_matches(['\'', '"']);
        match place {
            0 => {
                (begins, option) = (word == "config", u8::from(word == "option"));
                inside &= !begins;
            }
            1 if begins => begins = word == "interface",
            1 if inside && option > 0 => {
                option = match word {
                    "proto" => 2,
                    "disabled" => 3,
                    _ => 0,
                }
            }
            2 if begins => {
                inside = word == interface;
                managed |= inside;
            }
            2 if option == 2 => shown = word == "postwire",
            2 if option == 3 => disabled = word == "1",
            _ => {}
        }
    });
    managed && !shown && !disabled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    struct Network(Vec<u8>);

    impl Machine for Network {
        fn read(&self, path: &CStr, take: &mut dyn FnMut(&[u8])) {
            assert_eq!(path, NETWORK);
            self.0.chunks(7).for_each(take);
        }

        fn interface(&self, _: &str) -> u32 {
            0
        }
    }

    const WG0: &str = "\nconfig interface 'wg0'\n\toption proto 'wireguard'\n";

    #[test]
    fn an_interface_has_the_section_of_its_name() {
        for (text, wanted) in [
            (WG0, true),
            ("config interface wg0", true),
            ("config \"interface\" \"wg0\" # of the office\n", true),
            ("config interface 'wg0'\n option proto 'postwire'\n", false),
            ("config interface 'wg0'\nconfig interface 'lan'\n option proto 'postwire'\n", true),
            ("config interface 'wg0'\nconfig device\n option proto 'postwire'\n", true),
            ("config wireguard_wg0 'wg0'\n", false),
            ("# config interface 'wg0'\n", false),
            ("config interface\n\toption name 'wg0'\n", false),
            ("config interface 'wg01'\n", false),
            ("", false),
            ("config interface 'wg0'\r\n\toption proto 'postwire'\r\n", false),
            ("\tconfig\tinterface\t'wg0'\t\r\n\toption\tproto\t'wireguard'\r\n", true),
            ("config interface 'wg0'\n option auto '0'\n", true),
            ("config interface 'wg0'\n option disabled '0'\n", true),
            ("config interface 'wg0'\n option proto 'wireguard'\n option disabled '1'\n", false),
            ("config interface 'wg0'\n option disabled '1'\n option disabled '0'\n", true),
            ("config interface 'wg0'\n list disabled '1'\n", true),
            ("config interface 'wg0'\n option description 'proto postwire'\n", true),
            ("config interface 'lan'\n option disabled '1'\nconfig interface 'wg0'\n", true),
            ("config interface 'wg0'\nconfig interface 'lan'\n option disabled '1'\n", true),
            ("config interface 'wg0'\n option proto 'postwire'\n option proto 'wireguard'\n", true),
            (
                "config interface 'wg0'\n option proto 'postwire'\nconfig interface 'wg0'\n option zone 'vpn'\n",
                false,
            ),
            ("config alias 'wg0'\n option interface 'wg0'\n", false),
        ] {
            assert_eq!(manages(&Network(text.as_bytes().to_vec()), "wg0"), wanted, "{text}");
        }
    }

    #[test]
    fn a_section_counts_wherever_it_is_in_the_file() {
        let peer = "\nconfig wireguard_wg1\n\toption description 'caf\u{e9}'\n\tlist allowed_ips '10.0.0.0/8'\n";
        for peers in [0, 100, 1_000] {
            let before = peer.repeat(peers) + WG0;
            assert!(manages(&Network(before.into_bytes()), "wg0"), "behind {peers} peers");
        }
        let latin = [b"# caf\xe9\n".as_slice(), WG0.as_bytes()].concat();
        assert!(manages(&Network(latin), "wg0"), "behind a byte that is not UTF-8");
    }
}
