//! Command lines, read and refused.

use super::parse::udp_place;
use super::*;

fn serve(line: &'static str) -> Result<Options<'static>, OptionsError<'static>> {
    match parse(line.split_whitespace(), "qemu,q35")? {
        Command::Serve(options) => Ok(options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_are_read() {
    let options = serve("serve --serial /dev/ttyS1@9600 --udp=[::1]:7 --state /tmp/x").unwrap();
    assert_eq!(options.serial, Some(SerialPort { device: "/dev/ttyS1", baud: 9600 }));
    assert_eq!(options.udp, ["[::1]:7".parse().map(UdpPlace::Address).unwrap()]);
    assert_eq!(options.state, "/tmp/x");
    assert_eq!((options.on_drift, options.applied), (OnDrift::Report, None));
    let options = serve("serve --udp :7 --on-drift=repair --applied /usr/libexec/x").unwrap();
    assert_eq!((options.on_drift, options.applied), (OnDrift::Repair, Some("/usr/libexec/x")));
    let options = serve("serve --udp :7 --on-drift ignore").unwrap();
    assert_eq!(options.on_drift, OnDrift::Ignore);
    assert_eq!(serve("serve --serial auto").unwrap().serial.unwrap().device, "/dev/ttyS1");
    assert_eq!(serve("serve --udp x").unwrap().led, None);
    assert_eq!(serve("serve --udp x --led red:sys").unwrap().led, Some("red:sys"));
    let words = ["serve", "--udp", "x", "--led", "auto"];
    let Ok(Command::Serve(auto)) = parse(words.into_iter(), "openwrt,one") else { panic!() };
    assert_eq!(auto.led, Some("green:status"));
    assert_eq!(serve("serve --serial auto@9600").unwrap().serial.unwrap().baud, 9600);
    assert!(matches!(
        parse("check --udp br-lan --keep /x".split(' '), ""),
        Ok(Command::Check(Options { keep: "/x", .. }))
    ));
}

#[test]
fn places_for_udp() {
    let shown = |text: &str| udp_place(text).map(|place| place.to_string());
    let good = [
        ("10.0.0.1", "10.0.0.1:5182"),
        ("10.0.0.1:7", "10.0.0.1:7"),
        ("::", "[::]:5182"),
        ("[::]", "[::]:5182"),
        ("[fd00::1]:7", "[fd00::1]:7"),
        (":7", "0.0.0.0:7"),
        ("[fe80::1%2]:7", "[fe80::1%2]:7"),
        ("br-lan", "br-lan:5182"),
        ("br-lan:7", "br-lan:7"),
        ("eth0.10", "eth0.10:5182"),
        ("6in4-wan", "6in4-wan:5182"),
    ];
    for (text, place) in good {
        assert_eq!(shown(text).as_deref(), Some(place), "{text}");
    }
    let bad = [
        "",
        ":",
        "10.0.0",
        "10.0.0.l",
        "10.0.0.256",
        "10.0.0.1:",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1/24",
        "fe80::1",
        "[fe80::1]:7",
        "[::",
        "[br-lan]",
        "br-lan:",
        "br-lan:0",
        "br-lan:x",
        "br lan",
        "br/lan",
        "5182",
        "a-name-of-16-chs",
        ".",
        "..",
        "wg%d",
    ];
    for text in bad {
        assert_eq!(shown(text), None, "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    use OptionsError as E;
    let parse = |line: &'static str| parse(line.split_whitespace(), "nobody,s-board").unwrap_err();
    assert_eq!(parse(""), E::NoCommand);
    assert_eq!(parse("--udp [::]"), E::NoCommand);
    assert_eq!(parse("server"), E::Command("server"));
    assert_eq!(parse("serve"), E::NoWire);
    assert_eq!(parse("serve --upd x"), E::Option("--upd"));
    assert_eq!(parse("serve --udp"), E::Missing("--udp"));
    assert_eq!(parse("serve --udp 1.2"), E::Value("--udp", "1.2"));
    assert_eq!(parse("serve --serial ttyS0"), E::Value("--serial", "ttyS0"));
    assert_eq!(parse("serve --serial auto@0"), E::Value("--serial", "auto@0"));
    assert_eq!(parse("serve --serial /dev/x@fast"), E::Value("--serial", "/dev/x@fast"));
    assert_eq!(parse("serve --serial auto"), E::UnknownBoard("--serial", "nobody,s-board"));
    assert_eq!(parse("serve --led auto"), E::UnknownBoard("--led", "nobody,s-board"));
    for name in [".", "../x", "a/b", ""] {
        let line = ["serve", "--led", name];
        let parsed = super::parse(line.into_iter(), "").unwrap_err();
        assert_eq!(parsed, E::Value("--led", name));
    }
    assert_eq!(parse("serve --led a --led b"), E::Twice("--led"));
    assert_eq!(parse("serve --udp [::] --udp ::"), E::Twice("--udp"));
    assert_eq!(parse("serve --udp [::] --udp ::1"), E::Overlap("::1"));
    assert_eq!(parse("serve --udp a --udp 0.0.0.0"), E::Overlap("0.0.0.0"));
    let apart = "serve --udp 10.0.0.1 --udp fd00::1 --udp a:7 --udp b:7";
    assert_eq!(serve(apart).unwrap().udp.len(), 4);
    let many = "serve --udp a --udp b --udp c --udp d --udp e";
    assert_eq!(parse(many), E::TooMany("--udp"));
    assert_eq!(parse("check --udp [::] --keep /a --state /a/"), E::OneFolder);
    assert_eq!(parse("serve --interface a/b"), E::Value("--interface", "a/b"));
    assert_eq!(parse("serve --interface a*b"), E::Value("--interface", "a*b"));
    assert_eq!(parse("serve --state tmp"), E::Value("--state", "tmp"));
    assert_eq!(parse("serve --on-drift fix"), E::Value("--on-drift", "fix"));
    assert_eq!(parse("serve --applied hook"), E::Value("--applied", "hook"));
    assert_eq!(parse("identity --applied /hook"), E::Option("--applied"));
}

#[test]
fn the_other_commands_take_what_they_need() {
    let parse = |line: &'static str| parse(line.split_whitespace(), "");
    assert!(matches!(parse("identity"), Ok(Command::Identity { keep: KEEP })));
    assert!(matches!(parse("identity --keep /x"), Ok(Command::Identity { keep: "/x" })));
    assert!(matches!(parse("reset-owner"), Ok(Command::ResetOwner { keep: KEEP, key: None })));
    let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    let line = "reset-owner --keep=/x AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    let Ok(Command::ResetOwner { keep: "/x", key: Some(read) }) = parse(line) else {
        panic!("{:?}", parse(line));
    };
    assert_eq!(read.to_string(), key);
    assert_eq!(parse("identity --udp [::]").unwrap_err(), OptionsError::Option("--udp"));
    assert_eq!(parse("reset-owner me").unwrap_err(), OptionsError::Value("reset-owner", "me"));
}

#[test]
fn policy_matches_names() {
    let mut policy = Policy::default();
    assert!(policy.allows("wg0") && !policy.allows("eth0"));
    policy.allow("vpn").unwrap();
    policy.allow("site-*").unwrap();
    assert!(policy.allows("vpn") && policy.allows("site-7"));
    assert!(!policy.allows("vpn1") && !policy.allows("wg0"));
    policy.allow("*").unwrap();
    assert!(policy.allows("eth0"));
}
