use super::*;
use proptest::prelude::*;

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn told(line: &[&str]) -> Result<Vec<String>, ConfError> {
    let mut told = Vec::new();
    words(&mut line.iter().copied(), &mut |_, item| {
        told.push(format!("{item:?}"));
        Ok(())
    })?;
    Ok(told)
}

#[test]
fn everything_is_told() {
    let line = [
        "listen-port",
        "0",
        "fwmark",
        "off",
        "private-key",
        "/dev/null",
        "peer",
        KEY,
        "remove",
        "preshared-key",
        "",
        "endpoint",
        "[::1]:7",
        "persistent-keepalive",
        "25",
        "allowed-ips",
        " 10.0.0.0/8,\tfd00::/64",
        "peer",
        KEY,
    ];
    let told = told(&line).unwrap();
    assert_eq!(told.len(), 14);
    assert_eq!(told[..4], ["ListenPort(0)", "Fwmark(0)", "PrivateKeyFile(\"/dev/null\")", "Peer"]);
    assert_eq!(
        told[5..8],
        [
            "Remove",
            "PresharedKeyFile(\"\")",
            "Endpoint(Host { name: \"::1\", port: 7, service: \"\", brackets: true })"
        ]
    );
    assert_eq!(told[9], "AllowedIps");
}

#[test]
fn lists_and_their_signs() {
    let list = |text| told(&["peer", KEY, "allowed-ips", text]).map(|told| told[2..].to_vec());
    let item = |item: Item<'_>| format!("{item:?}");
    let net = "10.0.0.0/8".parse().unwrap();
    let begin = item(Item::AllowedIps);
    assert_eq!(list("").unwrap(), std::slice::from_ref(&begin));
    assert_eq!(list(" \t").unwrap(), std::slice::from_ref(&begin));
    let signed = [begin, item(Item::AddAllowedIp(net)), item(Item::RemoveAllowedIp(net))];
    assert_eq!(list("+10.0.0.0/8, -10.0.0.0/8").unwrap(), signed);
    for wrong in [",", "10.0.0.0/8,", "++10.0.0.0/8", "10.0.0.0/8 10.0.0.0/8", &"1".repeat(99)] {
        list(wrong).unwrap_err();
    }
}

#[test]
fn mistakes_are_named() {
    let says = |line: &[&str]| told(line).unwrap_err().to_string();
    assert_eq!(says(&["mtu", "1420"]), "mtu is not a setting of wg");
    assert_eq!(says(&["listen-port"]), "listen-port has no value");
    assert_eq!(says(&["remove"]), "remove does not belong here");
    assert_eq!(says(&["peer", KEY, "fwmark", "1"]), "fwmark does not belong here");
    assert_eq!(says(&["Listen-Port", "1"]), "Listen-Port is not a setting of wg");
    assert_eq!(
        says(&["fwmark", "x"]),
        "fwmark `x` is not a mark: `off`, a number, or 0x and hexadecimal digits, below 2^32"
    );
    assert!(says(&["peer", "x"]).starts_with("peer `x` is not a key"));
}

#[test]
fn no_error_shows_a_key() {
    for line in [
        &[KEY][..],
        &["peer", KEY, "endpoint", KEY],
        &["peer", KEY, "allowed-ips", KEY],
        &["peer", &KEY[1..]],
        &["peer", KEY, &KEY[..43]],
    ] {
        let said = told(line).unwrap_err().to_string();
        assert!(!said.contains(&KEY[4..12]), "{said}");
    }
    // The port is found not to be a service only later.
    assert!(!crate::conf::no_port(0, KEY).to_string().contains(&KEY[4..12]));
}

proptest! {
    #[test]
    fn nothing_panics(line in proptest::collection::vec("(peer|remove|allowed-ips|fwmark|[ -~é]{0,20})", 0..8)) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let _ = told(&line);
    }
}
