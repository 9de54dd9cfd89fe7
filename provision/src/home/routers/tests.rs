use super::*;
use crate::home::tests::home;

const A: PublicKey = PublicKey([1; 32]);
const B: PublicKey = PublicKey([2; 32]);
const C: PublicKey = PublicKey([3; 32]);

fn udp(host: &str) -> Place {
    Place::Udp(host.into())
}

fn names(routers: &Routers) -> Vec<&str> {
    routers.iter().map(|router| router.name.as_str()).collect()
}

#[test]
fn what_is_written_is_read_again() {
    let (_dir, home) = home();
    assert!(home.routers().unwrap().is_empty());
    let odd = "caf\u{e9}\"\\";
    home.change_routers(|routers| {
        routers.add("one", A, None)?;
        routers.add(odd, B, Some(&udp("shed.example")))?;
        Ok(())
    })
    .unwrap();
    for place in [udp("[fe80::1]:5182"), Place::Serial("/dev/ttyUSB0@9600".into())] {
        assert_eq!(home.note(B, &place, None, &[]).unwrap(), odd);
    }
    let routers = home.routers().unwrap();
    assert_eq!(names(&routers), [odd, "one"]);
    let expected = Router {
        name: odd.into(),
        key: B,
        udp: Some("shed.example".into()),
        serial: None,
        seen: vec![Place::Serial("/dev/ttyUSB0@9600".into()), udp("[fe80::1]:5182")],
    };
    assert_eq!(expected.place(), Some(udp("shed.example")));
    assert_eq!(routers.find(odd), Some(&expected));
    assert_eq!(routers.find(&B.to_string()), Some(&expected));
    assert_eq!(routers.find("two"), None);
    home.change_routers(|routers| routers.forget(odd)).unwrap();
    assert_eq!(names(&home.routers().unwrap()), ["one"]);
}

#[test]
fn the_most_likely_comes_first() {
    let (_dir, home) = home();
    for (key, host, name) in [(A, "h1:1", "a"), (B, "h2:1", "b"), (C, "h1:1", "c")] {
        home.note(key, &udp(host), None, &[name]).unwrap();
    }
    let routers = home.routers().unwrap();
    let likely = |place: &Place| -> Vec<String> {
        routers.likely_at(place).iter().map(|router| router.name.clone()).collect()
    };
    assert_eq!(likely(&udp("h1:1")), ["c", "a", "b"]);
    assert_eq!(likely(&udp("h2:1")), ["b", "c", "a"]);
    assert_eq!(likely(&Place::Serial("h1:1".into())), ["c", "b", "a"]);
    assert_eq!(routers.find("a").unwrap().place(), Some(udp("h1:1")));
    // A port is the same at every speed, and a host with its default port is the same with and without it.
    home.note(A, &Place::Serial("/dev/ttyS0@9600".into()), None, &[]).unwrap();
    home.note(B, &udp("h3:5182"), None, &[]).unwrap();
    let routers = home.routers().unwrap();
    assert_eq!(routers.likely_at(&Place::Serial("/dev/ttyS0".into()))[0].name, "a");
    assert_eq!(routers.likely_at(&udp("h3"))[0].name, "b");
}

#[test]
fn a_router_gets_a_name_nobody_has() {
    let (_dir, one) = home();
    let met = |home: &Home, key, names: &[&str]| home.note(key, &udp("h:1"), None, names).unwrap();
    assert_eq!(met(&one, A, &["", "OpenWrt"]), "OpenWrt");
    assert_eq!(met(&one, A, &["other"]), "OpenWrt");
    let fingerprint = fingerprint(&B);
    assert_eq!(met(&one, B, &["two words", "OpenWrt"]), fingerprint[..4]);
    let (_dir, other) = home();
    other.change_routers(|routers| routers.add(&fingerprint[..4], A, None).cloned()).unwrap();
    assert_eq!(met(&other, B, &[]), fingerprint[..9]);
}

/// The file is the operator's: what the tool changes in it is an entry, and nothing around it.
#[test]
fn comments_and_layout_stay() {
    let (_dir, home) = home();
    home.make().unwrap();
    let path = home.routers_file();
    let (a, b) = (A.to_string(), B.to_string());
    let mine = format!(
        "# Mine.\n[[router]]\nname = \"a\"  # the first\nkey = \"{a}\"\nudp = \"10.0.0.1\"\n\n# The other.\n[[router]]\nkey = '{b}'\nname = 'b'\n# The end.\n"
    );
    std::fs::write(&path, &mine).unwrap();
    let text = || std::fs::read_to_string(&path).unwrap();
    // Meeting a known router changes nothing here.
    home.note(B, &udp("h:1"), None, &["x"]).unwrap();
    assert_eq!(text(), mine);
    home.note(A, &udp("h:1"), Some("c"), &[]).unwrap();
    assert_eq!(text(), mine.replace("\"a\"", "\"c\""));
    home.change_routers(|routers| routers.add("new", C, Some(&udp("h:9"))).cloned()).unwrap();
    let added = format!("\n[[router]]\nname = \"new\"\nkey = \"{C}\"\nudp = \"h:9\"\n");
    assert_eq!(text(), mine.replace("\"a\"", "\"c\"") + &added);
    home.change_routers(|routers| routers.forget("c")).unwrap();
    home.change_routers(|routers| routers.forget("new")).unwrap();
    let left =
        format!("# Mine.\n\n# The other.\n[[router]]\nkey = '{b}'\nname = 'b'\n# The end.\n\n");
    assert_eq!(text(), left);
    // A layout that the tool would not write is understood, and replaced when it has to change.
    std::fs::write(&path, format!("router = [{{ name = 'a', key = '{a}' }}]\n")).unwrap();
    home.change_routers(|routers| routers.add("b", B, None).cloned()).unwrap();
    assert_eq!(names(&home.routers().unwrap()), ["a", "b"]);
}

#[test]
fn names_and_keys_are_there_once() {
    let mut routers = Routers::default();
    routers.add("a", A, None).unwrap();
    assert!(matches!(routers.add("a", B, None), Err(HomeError::NameTaken { .. })));
    assert!(matches!(routers.add("b", A, None), Err(HomeError::KeyKnown(name)) if name == "a"));
    assert!(matches!(routers.forget("b"), Err(HomeError::Unknown(_))));
    routers.add("b", B, None).unwrap();
    assert!(matches!(routers.call("a", B), Err(HomeError::NameTaken { .. })));
    routers.call("c", B).unwrap();
    assert_eq!(names(&routers), ["a", "c"]);
    routers.forget("c").unwrap();
    let long = "x".repeat(65);
    for bad in ["", "-a", "a b", "a\u{7}", &long, &B.to_string()] {
        assert!(matches!(routers.add(bad, B, None), Err(HomeError::BadName(_))), "{bad}");
    }
    assert_eq!(names(&routers), ["a"]);
}

#[test]
fn a_damaged_file_is_shown_and_kept() {
    let (_dir, home) = home();
    home.make().unwrap();
    let (a, path) = (A.to_string(), home.folder.join("routers.toml"));
    let one = format!("[[router]]\nname = \"a\"\nkey = \"{a}\"\n");
    let cases = [
        (format!("{one}\n[[router]\n"), 5, ""),
        (format!("{one}colour = \"red\"\n"), 4, "unknown field `colour`"),
        ("[[router]]\nname = \"a\"\n".into(), 1, "missing field `key`"),
        (one.replace("\"a\"", "7"), 2, "expected a string"),
        (one.replace("AQEB", ""), 3, "is not a key: "),
        (format!("{one}{one}"), 6, "known already, as a"),
        (format!("{one}{}", one.replace("AQEB", "AQEC")), 5, "called a already"),
        (one.replace("\"a\"", "\"a b\""), 2, "is not a valid name for a router"),
        (format!("{one}udp = \"http://h\"\n"), 4, "not a URL"),
        (format!("{one}serial = \"/dev/x@y\"\n"), 4, "is not a speed"),
    ];
    for (text, line, words) in cases {
        std::fs::write(&path, &text).unwrap();
        let error =
            home.change_routers(|routers| routers.add("new", C, None).cloned()).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&format!("routers.toml:{line}: ")), "{text}\n{shown}");
        assert!(shown.contains(words), "{text}\n{shown}");
        assert!(error.hint().unwrap().contains("was not changed"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
