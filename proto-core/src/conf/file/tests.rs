use super::*;
use crate::conf::span::Columns;
use crate::conf::{Span, Stop};
use proptest::prelude::*;

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// The items of a text that is read in pieces of this many bytes.
fn read(text: &[u8], piece: usize) -> Result<Vec<String>, ConfError> {
    let mut told = Vec::new();
    let mut take = |Span { line, .. }: Span, item: &Item<'_>| {
        told.push(format!("{line} {item:?}"));
        Ok(())
    };
    let mut file = File::new();
    for piece in text.chunks(piece) {
        file.feed(piece, &mut take)?;
    }
    file.end(&mut take)?;
    Ok(told)
}

fn whole(text: &str) -> Result<Vec<String>, ConfError> {
    let whole = read(text.as_bytes(), 1 << 20);
    assert_eq!(read(text.as_bytes(), 1), whole);
    whole
}

fn says(text: &str) -> String {
    whole(text).unwrap_err().to_string()
}

#[test]
fn everything_is_told_with_its_line() {
    let text = format!(
        "# comment\n\n[Interface]\nPrivateKey = {KEY}\nListenPort=51820\nFwMark = 0xca6c\n\
         [Peer] # one\nPublicKey = {KEY}\nPresharedKey = {KEY}\n\
         AllowedIPs = 10.0.0.0/8, fd00::/64\nEndpoint = example.net:51820\n\
         PersistentKeepalive = off"
    );
    let public: crate::key::PublicKey = KEY.parse().unwrap();
    let ip = |text: &str| format!("{:?}", Item::AllowedIp(text.parse().unwrap()));
    assert_eq!(
        whole(&text).unwrap(),
        [
            "4 PrivateKey((hidden))".to_owned(),
            "5 ListenPort(51820)".to_owned(),
            "6 Fwmark(51820)".to_owned(),
            "7 Peer".to_owned(),
            format!("8 PublicKey({public})"),
            "9 PresharedKey((hidden))".to_owned(),
            "10 AllowedIps".to_owned(),
            format!("10 {}", ip("10.0.0.0/8")),
            format!("10 {}", ip("fd00::/64")),
            "11 Endpoint(Host { name: \"example.net\", port: 51820, service: \"\", brackets: false })".to_owned(),
            "12 PersistentKeepalive(0)".to_owned(),
        ]
    );
}

#[test]
fn space_case_and_line_ends_mean_nothing() {
    let plain = whole(&format!("[Peer]\nPublicKey={KEY}\nAllowedIPs=10.0.0.0/8\n")).unwrap();
    for text in [
        format!("[Peer]\r\nPublicKey = {KEY}\r\nAllowedIPs = 10.0.0.0/8\r\n"),
        format!("[pEER]\npublickey\t=\x0b{KEY}\nALLOWEDIPS = 10.0.0.0/8#x"),
        format!(" [ Peer ] \nPublic Key = {KEY}\n Allowed IPs = 1 0.0.0.0 / 8\0x"),
    ] {
        assert_eq!(whole(&text).unwrap(), plain, "{text}");
    }
    assert_eq!(whole("").unwrap(), [""; 0]);
    assert_eq!(whole("\n # \n;").unwrap_err().line, 3);
}

#[test]
fn sections_come_in_any_order() {
    let text = format!("[Peer]\nPublicKey={KEY}\n[Interface]\nFwMark=1\n[Peer]\nPublicKey={KEY}");
    let told = whole(&text).unwrap();
    assert_eq!((told[0].as_str(), told[2].as_str(), told.len()), ("1 Peer", "4 Fwmark(1)", 5));
}

#[test]
fn mistakes_are_named() {
    for (text, wanted) in [
        ("ListenPort = 1", "line 1: ListenPort is before [Interface] and [Peer]"),
        ("[Interface]\nEndpoint = a:1", "line 2: Endpoint does not belong here"),
        (
            "[Interface]\n\nListenPort = 65536",
            "line 3: ListenPort `65536` is not a port: a number from 0 to 65535, or the name of a service",
        ),
        ("[Interface]\nListenPort =\n", "line 2: ListenPort has no value"),
        ("[Interface]\nMTU = 1420", "line 2: MTU is not a setting of wg"),
        ("[Interface]\nfoo", "line 2: foo is not a setting of wg"),
        ("[Interfaces]", "line 1: [Interfaces] is not a setting of wg"),
        ("[Peer]\n\n[Peer]", "line 1: [Peer] has no PublicKey"),
        (
            "[Peer]\nAllowedIPs = 10.0.0.0/33",
            "line 2: AllowedIPs `10.0.0.0/33` is not an address, or an address with a prefix length",
        ),
        (
            "[Peer]\nAllowedIPs = +10.0.0.0/8",
            "line 2: AllowedIPs `+10.0.0.0/8` is not an address, or an address with a prefix length",
        ),
    ] {
        assert_eq!(says(text), wanted);
    }
    for list in ["", ",", "10.0.0.0/8,", ",10.0.0.0/8"] {
        assert!(says(&format!("[Peer]\nAllowedIPs = {list}")).starts_with("line 2: AllowedIPs"));
    }
}

#[test]
fn no_error_shows_a_key() {
    for text in [
        format!("[Interface]\nPrivateKey = {KEY}{KEY}"),
        format!("[Interface]\nPrivateKy = {KEY}"),
        format!("[Interface]\n{KEY}"),
        KEY.to_owned(),
        format!("[Interface]\nPrivateKey {KEY}"),
        format!("[Peer]\nPresharedKey = {}", &KEY[1..]),
    ] {
        let said = says(&text);
        assert!(!said.contains(&KEY[4..12]), "{said}");
    }
}

#[test]
fn a_line_of_10_000_allowed_ips() {
    let ips: Vec<String> = (0..10_000).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let text = format!("[Peer]\nPublicKey={KEY}\nAllowedIPs = {}\n", ips.join(", "));
    assert_eq!(read(text.as_bytes(), 4096).unwrap().len(), 10_003);
}

#[test]
fn a_value_has_an_end() {
    let long = "x".repeat(VALUE_MAX + 1);
    assert!(says(&format!("[Peer]\nEndpoint = {long}:1")).ends_with("is too long"));
    assert!(says(&long).ends_with("too long"));
    assert!(whole(&format!("#{}", long.repeat(100))).is_ok());
}

#[test]
fn the_taker_can_stop() {
    let stopped = File::new().feed(b"[Peer]\n", &mut |_, _| Err(Stop)).unwrap_err();
    assert_eq!((stopped.line, stopped.problem), (1, Problem::Stopped));
}

proptest! {
    #[test]
    fn plain_bytes_end_before_the_first_that_is_not(bytes: Vec<u8>, more in "[-+-.<->]{0,20}") {
        for bytes in [bytes.as_slice(), more.as_bytes()] {
            let first = bytes.iter().position(|byte| *byte <= b',' || *byte == b'=');
            prop_assert_eq!(plain(bytes), first.unwrap_or(bytes.len()));
        }
    }

    #[test]
    fn pieces_make_no_difference(
        lines in proptest::collection::vec(
            prop_oneof![
                "\\[(Peer|Interface)\\]",
                "[A-Za-z]{1,12} ?= ?[0-9a-z:./,]{0,40}",
                "AllowedIPs = (10.0.0.0/8|::/0)(, ?(10.0.0.0/8|::/0)){0,5}",
                "ListenPort = [0-9]{1,6}",
                "[ -~]{0,40}",
            ], 0..12),
        end in prop_oneof![Just("\n"), Just("\r\n")],
        piece in 1..64_usize,
    ) {
        let text = lines.join(end);
        prop_assert_eq!(read(text.as_bytes(), piece), read(text.as_bytes(), 1 << 20));
    }

    #[test]
    fn all_mistakes_have_their_place_however_the_file_is_cut(
        lines in proptest::collection::vec(
            prop_oneof![
                "\\[(Peer|Interface|Other)\\]",
                "[A-Za-z]{1,12} ?= ?[0-9a-z:./,]{0,40}",
                "AllowedIPs = (10.0.0.0/8|x|::/0)(, ?(10.0.0.0/8|y|::/0)){0,5}",
                "ListenPort = [0-9]{1,6}",
                "[ -~]{0,40}",
                "x{330}=?",
                "AllowedIPs = ::/0, x{330}, ::/1",
            ], 0..12),
        piece in 1..64_usize,
    ) {
        let text = lines.join("\n");
        let all = read_all(text.as_bytes(), piece);
        prop_assert_eq!(&all, &read_all(text.as_bytes(), 1 << 20));
        let first = all.iter().find_map(|(_, _, mistake)| *mistake);
        prop_assert_eq!(read(text.as_bytes(), piece).err(), first);
        for (span, item, _) in all {
            let line = text.split('\n').nth(span.line as usize - 1).unwrap();
            let part = |columns: Columns| line.get(columns.from..columns.to).unwrap();
            prop_assert!(!part(span.name).ends_with(' '), "{item} {span:?}");
            prop_assert!(part(span.text).trim() == part(span.text), "{item} {span:?}");
        }
    }
}

/// All items and mistakes with their spans.
fn read_all(text: &[u8], piece: usize) -> Vec<(Span, String, Option<ConfError>)> {
    let mut told = Vec::new();
    let mut take = |at: Span, item: &Item<'_>| {
        let mistake = if let Item::Mistake(error) = item { Some(*error) } else { None };
        told.push((at, format!("{item:?}"), mistake));
        Ok(())
    };
    let mut file = File::all_errors();
    for piece in text.chunks(piece) {
        file.feed(piece, &mut take).unwrap();
    }
    file.end(&mut take).unwrap();
    told
}

#[test]
fn a_reader_with_all_errors_goes_on_in_the_list_and_in_the_line() {
    let text = format!(
        "[Peer]\nAllowedIPs = x, ::/0\nEndpoint = a\nfoo = 1\n[No]\nbar=1\n[Peer]\nPublicKey = {KEY}\n"
    );
    let all = read_all(text.as_bytes(), 3);
    let mistakes: Vec<_> = all
        .iter()
        .filter_map(|(at, _, mistake)| {
            Some((at.line, at.text.from, at.text.to, mistake.as_ref()?.problem))
        })
        .map(|(line, from, to, problem)| (line, from..to, matches!(problem, Problem::Value(_))))
        .collect();
    assert_eq!(
        mistakes,
        [
            (2, 13..14, true),
            (3, 11..12, true),
            (4, 0..3, false),
            (5, 0..4, false),
            (1, 0..6, false)
        ]
    );
    assert!(all.iter().any(|(at, item, _)| at.line == 2 && item.starts_with("AllowedIp(")));
}
