//! What is said about a text, and that it is read the same in pieces of any length. That the image is the one that
//! `postwire` makes is tested there (`provision/tests/two_parsers.rs`).

use super::*;
use crate::testing::Memory;
use std::string::{String, ToString as _};
use std::vec::Vec;
use std::{format, vec};

const SECRET: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const OWN: &str = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

fn remarks(text: &str) -> (bool, Vec<String>) {
    let mut said = vec![];
    let made = read(text.as_bytes(), &mut |remark| {
        said.push(match remark {
            Remark::Mistake(error, column) => format!("{column}: {error}"),
            Remark::LeftOut(line, name, why) => format!("line {line}: {name} {why}"),
        });
    });
    (made, said)
}

/// Whether an image is made of the text.
fn read(text: &[u8], remark: &mut dyn FnMut(&Remark<'_>)) -> bool {
    let slot = Slot::default();
    let mut file = Memory::default();
    file.write_at(0, text).unwrap();
    let (mut heap, mut index, mut other) =
        (Memory::default(), Memory::default(), Memory::default());
    let scratch = Scratch { heap: &mut heap, index: &mut index, other: &mut other };
    let wg0 = "wg0".parse().unwrap();
    let made = image_of_text(&slot, &wg0, (&mut file, text.len() as u32), scratch, remark);
    made.unwrap().is_some()
}

#[test]
fn each_mistake_is_told_with_its_line_and_column() {
    let text = format!(
        "[Interface]\n  ListenPort = x\nAddress = 10.0.0.1/33, 10.0.0.1/24, 10.0.0.1/24\nMTU = 9\nMTU = 1400\n\
         PostUp = {}\nDNS = 1.1.1.1\nTable = vpn\n[Peer]\n\t AllowedIPs = 10.0.0.0/8, nonsense\nEndpoint = 1.2.3:4\n\
         Colour = red\n[Peer]\nPublicKey = {PEER}\nPublicKey = {PEER}\n",
        "x".repeat(2_000)
    );
    let (made, said) = remarks(&text);
    assert!(!made);
    assert_eq!(
        said,
        [
            "16: line 2: ListenPort `x` is not a port: a number from 0 to 65535",
            "11: line 3: Address `10.0.0.1/33` is not an address with a prefix length",
            "7: line 4: MTU `9` is not an MTU: 68 to 65535 bytes",
            "7: line 5: MTU appears twice",
            "1: line 6: PostUp is too long",
            "line 7: DNS is ignored: the router keeps its name servers",
            "9: line 8: Table `vpn` is not a table: auto, off, main or a number over 0",
            "28: line 10: AllowedIPs `nonsense` is not an address, or an address with a prefix length",
            "12: line 11: Endpoint `1.2.3` is not an IPv4 address: write four numbers from 0 to 255",
            "1: line 12: Colour is not a setting of wg",
            "1: line 9: [Peer] has no PublicKey",
            "13: line 15: PublicKey appears twice",
        ]
    );
}

#[test]
fn a_peer_that_is_the_interface_itself_is_a_mistake() {
    let (made, said) =
        remarks(&format!("[Interface]\nPrivateKey = {SECRET}\n[Peer]\nPublicKey = {OWN}\n"));
    assert!(!made);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("key of the interface itself"), "{said:?}");
}

#[test]
fn a_file_without_an_interface_is_a_mistake() {
    let (made, said) = remarks(&format!("[Peer]\nPublicKey = {PEER}\n"));
    assert!(!made);
    assert_eq!(said, ["0: the file has no [Interface] section"]);
    assert!(!remarks("").0);
}

#[test]
fn bytes_that_are_no_text_are_a_mistake_of_their_line_alone() {
    let text = b"[Interface]\nAddress = \xff\nAddress = 10.0.0.1/24\nMTU = x\n";
    let mut said = vec![];
    let made = read(text, &mut |remark| {
        if let Remark::Mistake(error, _) = remark {
            said.push(error.to_string());
        }
    });
    assert!(!made);
    assert_eq!(
        said,
        ["line 2: Address is not UTF-8 text", "line 4: MTU `x` is not an MTU: 68 to 65535 bytes"]
    );
}
