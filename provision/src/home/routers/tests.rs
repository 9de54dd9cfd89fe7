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
        routers.add("one", A)?;
        routers.add(odd, B)?;
        routers.heard(B, &udp("[fe80::1]:5182"), &[]);
        routers.heard(B, &Place::Serial("/dev/ttyUSB0".into()), &[]);
        Ok(())
    })
    .unwrap();
    let routers = home.routers().unwrap();
    assert_eq!(names(&routers), [odd, "one"]);
    let expected = Router {
        name: odd.into(),
        key: B,
        udp: Some("[fe80::1]:5182".into()),
        serial: Some("/dev/ttyUSB0".into()),
    };
    assert_eq!(routers.find(odd), Some(&expected));
    assert_eq!(routers.find(&B.to_string()), Some(&expected));
    assert_eq!(routers.find("two"), None);
    home.change_routers(|routers| routers.forget(odd)).unwrap();
    assert_eq!(names(&home.routers().unwrap()), ["one"]);
}

#[test]
fn the_most_likely_comes_first() {
    let mut routers = Routers::default();
    for (key, host, name) in [(A, "h1:1", "a"), (B, "h2:1", "b"), (C, "h1:1", "c")] {
        routers.heard(key, &udp(host), &[name]);
    }
    let likely = |place: &Place| -> Vec<String> {
        routers.likely_at(place).iter().map(|router| router.name.clone()).collect()
    };
    assert_eq!(likely(&udp("h1:1")), ["c", "a", "b"]);
    assert_eq!(likely(&udp("h2:1")), ["b", "c", "a"]);
    assert_eq!(likely(&Place::Serial("h1:1".into())), ["c", "b", "a"]);
}

#[test]
fn a_router_gets_a_name_nobody_has() {
    let mut routers = Routers::default();
    assert_eq!(routers.heard(A, &udp("h:1"), &["", "OpenWrt"]).name, "OpenWrt");
    assert_eq!(routers.heard(A, &udp("h:2"), &["other"]).name, "OpenWrt");
    let fingerprint = fingerprint(&B);
    assert_eq!(routers.heard(B, &udp("h:1"), &["two words", "OpenWrt"]).name, fingerprint[..4]);
    let mut routers = Routers::default();
    routers.add(&fingerprint[..4], A).unwrap();
    assert_eq!(routers.heard(B, &udp("h:1"), &[]).name, fingerprint[..9]);
}

#[test]
fn names_and_keys_are_there_once() {
    let mut routers = Routers::default();
    routers.add("a", A).unwrap();
    assert!(matches!(routers.add("a", B), Err(HomeError::NameTaken { .. })));
    assert!(matches!(routers.add("b", A), Err(HomeError::KeyKnown(name)) if name == "a"));
    assert!(matches!(routers.forget("b"), Err(HomeError::Unknown(_))));
    routers.add("b", B).unwrap();
    assert!(matches!(routers.call("a", B), Err(HomeError::NameTaken { .. })));
    routers.call("c", B).unwrap();
    assert_eq!(names(&routers), ["a", "c"]);
    routers.forget("c").unwrap();
    let long = "x".repeat(65);
    for bad in ["", "-a", "a b", "a\u{7}", &long, &B.to_string()] {
        assert!(matches!(routers.add(bad, B), Err(HomeError::BadName(_))), "{bad}");
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
        (one.replace("\"a\"", "\"a b\""), 2, "cannot be a router's name"),
    ];
    for (text, line, words) in cases {
        std::fs::write(&path, &text).unwrap();
        let error = home.change_routers(|routers| routers.add("new", C).cloned()).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&format!("routers.toml:{line}: ")), "{text}\n{shown}");
        assert!(shown.contains(words), "{text}\n{shown}");
        assert!(error.hint().unwrap().contains("left as it is"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
