//! The operator's own files, from the command line.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::WG0;
use crate::bench::Bench;
use crate::fake::{Manners, OPERATOR, ROUTER, Udp, public};

#[test]
fn a_key_is_made_shown_and_not_lost_by_accident() {
    let bench = Bench::bare("keygen");
    let made = bench.run(&["keygen"]);
    made.ends(0).says("your key is in ").says("keep a backup\n").says("fingerprint  ");
    let key = bench.dir().join("home/key");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(key.clone()), mode(bench.dir().join("home"))), (0o600, 0o700));
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(!made.out.contains(secret.trim()));
    let shown = bench.run(&["key"]).ends(0).out.clone();
    assert!(made.out.ends_with(&shown), "{shown}");

    let again = bench.run(&["keygen"]);
    again.ends(2).says("error: you have a key already, ").says("--force").says("reset-owner");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), secret);
    let print = bench.run(&["key", "--json"]).ends(0).json()["result"]["fingerprint"].clone();
    let json = bench.run(&["keygen", "--force", "--json"]).ends(0).json();
    assert_eq!(json["result"]["replaced"], print);
    assert_ne!(json["result"]["fingerprint"], print);
    assert_ne!(std::fs::read_to_string(&key).unwrap(), secret);
}

#[test]
fn without_a_key_that_is_ones_own_nothing_is_sent() {
    let (bench, router) = (Bench::new("no-key", ""), Udp::new(Manners::default()));
    let key = bench.home().join("key");
    let status = ["status", "--udp", &router.address];
    let claim = ["claim", "--udp", &router.address, "--secret", "0123456789abcdef"];
    std::fs::rename(&key, bench.dir().join("moved")).unwrap();
    for args in [&status[..], &claim] {
        bench
            .run(args)
            .ends(2)
            .says("you have no key yet")
            .says("hint: `postwire keygen` generates one");
    }
    let elsewhere = bench.dir().join("moved");
    let mut args = status.to_vec();
    args.extend(["--key", elsewhere.to_str().unwrap()]);
    bench.run(&args).ends(0);
    bench.write_key(&OPERATOR);
    let packets = router.with(|seen| seen.packets);
    set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    for args in [&status[..], &claim] {
        bench.run(args).ends(2).says("is accessible to others (mode 0644)").says("hint: ");
    }
    std::fs::write(&key, "not a key").unwrap();
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let json = bench.run(&["status", "--udp", &router.address, "--json"]).ends(2).json();
    assert_eq!(json["error"]["kind"], "own");
    assert_eq!(router.with(|seen| seen.packets), packets);
}

#[test]
fn routers_are_listed_added_and_forgotten() {
    let bench = Bench::bare("routers");
    bench.run(&["routers"]).ends(0).says("your list of routers is empty");
    let key = public(&OPERATOR).to_string();
    bench.run(&["routers", "add", "shed", &key]).ends(0).says("added shed, ");
    bench
        .run(&["routers", "add", "shed", &key])
        .ends(2)
        .says("known already, as shed")
        .says("hint: ");
    let json = bench.run(&["routers", "--json"]).ends(0).json();
    assert_eq!(json["result"]["routers"][0]["name"], "shed");
    assert_eq!(json["result"]["routers"][0]["public_key"], key);
    bench.run(&["routers", "forget", "barn"]).ends(2).says("no router called barn is known");
    bench.run(&["routers", "forget", &key]).ends(0).says(&format!("whose key is {key}\n"));
    bench.run(&["routers"]).ends(0).says("your list of routers is empty");
}

#[test]
fn a_damaged_list_stops_everything_and_stays() {
    let (bench, router) = (Bench::new("damaged", ""), Udp::new(Manners::default()));
    let list = bench.home().join("routers.toml");
    let text = std::fs::read_to_string(&list).unwrap() + "\nrouter = 3\n";
    std::fs::write(&list, &text).unwrap();
    for args in [&["routers"][..], &["status", "--udp", &router.address]] {
        let ran = bench.run(args);
        ran.ends(2).says("routers.toml:").says("the file was not changed");
    }
    assert_eq!(std::fs::read_to_string(&list).unwrap(), text);
    assert_eq!(router.with(|seen| seen.packets), 0);
}

/// The address that was given for a router, or where it was last met, is enough to find it again.
#[test]
fn a_name_alone_finds_the_router() {
    let (bench, router) = (Bench::new("name-alone", WG0), Udp::new(Manners::default()));
    let ran = bench.run(&["push", "wg0.conf", "router"]);
    ran.ends(2).says("no address of router is known").says("routers.toml");
    bench.run(&["status", "--router", "nobody"]).ends(2).says("nobody");
    bench.run(&["push", "wg0.conf"]).ends(2).says("which router?");
    // Met once, it is found.
    bench.run(&["status", "--udp", &router.address]).ends(0);
    let list = std::fs::read_to_string(bench.home().join("routers.toml")).unwrap();
    bench.run(&["push", "wg0.conf", "router"]).ends(0).says("applied to wg0");
    bench.run(&["diff", "wg0.conf", "router"]).ends(0);
    bench.run(&["status", "--router", "router"]).ends(0);
    bench.run(&["push", "wg0.conf", "router", "--router", "router"]).ends(2);
    let ran =
        bench.run(&["push", "wg0.conf", "router", "--confirm-within", "60s", "--confirm-by-hand"]);
    ran.ends(0);
    // What the operator wrote is not touched by any of it.
    assert_eq!(std::fs::read_to_string(bench.home().join("routers.toml")).unwrap(), list);
    bench.run(&["routers"]).ends(0).says(&format!("last seen: --udp {}", router.address));
    // An address that was given goes first.
    let other = Udp::new(Manners::default());
    bench.run(&["routers", "forget", "router"]).ends(0);
    let key = public(&ROUTER).to_string();
    bench.run(&["routers", "add", "shed", &key, "--udp", &other.address]).ends(0);
    bench.run(&["push", "wg0.conf", "shed"]).ends(0);
    assert_eq!((router.with(|seen| seen.commits), other.with(|seen| seen.commits)), (2, 1));
    let json = bench.run(&["routers", "--json"]).ends(0).json();
    assert_eq!(json["result"]["routers"][0]["udp"], other.address.as_str(), "{json}");
}

#[test]
fn an_error_in_the_command_line_names_the_command_and_a_missing_one_is_asked_for() {
    let bench = Bench::bare("meant");
    for (line, command, says) in [
        ("--json", "postwire", "which command? There are: keygen, key, "),
        ("--json --home push", "postwire", "which command? There are: keygen, key, "),
        ("--json fleet", "fleet", "which command of `fleet`? There are: check, push, "),
        ("--json owner", "owner", "which command of `owner`? There are: list, add, remove"),
        ("--json routers add x y", "routers add", "invalid value 'y' for '<KEY>'"),
        ("routers forget --json", "routers forget", "<NAME|KEY>"),
    ] {
        let ran = bench.run(&line.split(' ').collect::<Vec<_>>());
        let json = ran.ends(2).json();
        let message = json["error"]["message"].as_str().unwrap();
        assert!(json["command"] == command && message.contains(says), "{line}: {json}");
    }
}

#[test]
fn ones_own_key_is_no_router_s() {
    let bench = Bench::new("own-key", WG0);
    let own = public(&OPERATOR).to_string();
    for line in [
        format!("routers add me {own}"),
        format!("status --udp 127.0.0.1:9 --router {own}"),
        format!("unlock K7QB-29XB-M4T5 --router {own}"),
    ] {
        let ran = bench.run(&line.split(' ').collect::<Vec<_>>());
        ran.ends(2).says("this is your own public key").says("`postwired identity` on the router");
    }
}

#[test]
fn a_router_s_key_is_no_owner_s() {
    let (bench, router) = (Bench::new("router-key", WG0), Udp::new(Manners::default()));
    let key = public(&ROUTER).to_string();
    let attic = public(&proto_core::key::SecretKey::new([0x77; 32]));
    bench.know("attic", &attic);
    for (key, name) in [(key, "router"), (attic.to_string(), "attic")] {
        for line in [
            format!("owner add {key} --role admin --name bob --udp {}", router.address),
            format!("hand-over --to {key} --as bob --record r.json --udp {}", router.address),
        ] {
            let ran = bench.run(&line.split(' ').collect::<Vec<_>>());
            ran.ends(2).says(&format!("is the key of the router {name}, and no owner's"));
        }
    }
    assert!(!bench.dir().join("r.json").exists());
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
}
