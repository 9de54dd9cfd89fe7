//! Claiming a router.

use std::time::{Duration, Instant};

use proto_core::key::SecretKey;
use proto_core::protocol::message::{Code, Failure, Role};

use crate::bench::{Bench, Typed};
use crate::fake::{Belongs, Manners, OPERATOR, Pty, ROUTER, Udp, public};

const LABEL: &str = "K7QD-2M9X-PLW4-T8RB";

/// An operator who knows no router.
fn bench(name: &str) -> Bench {
    let bench = Bench::bare(name);
    bench.write_key(&OPERATOR);
    bench
}

fn nobodys(label: Option<&'static str>) -> Manners {
    Manners { belongs: Belongs::Nobody(label), ..Manners::default() }
}

#[test]
fn whoever_holds_the_cable_claims_a_router_that_nobody_owns() {
    let (bench, router) = (bench("claim"), Pty::new(nobodys(None)));
    let to = ["--serial", router.device.as_str()];
    // Before the claim the router answers, and reports that it is unowned.
    bench
        .run(&["status", to[0], to[1]])
        .ends(1)
        .says("is unclaimed; its fingerprint is ")
        .says("hint: claim it with `postwire claim --serial DEV`\n");
    let ran = bench.run(&["claim", to[0], to[1], "--as", "alice"]);
    ran.ends(0).says("claimed OpenWrt for alice: ").says("its name in your list is OpenWrt\n");
    let print =
        |secret: &_| proto_core::protocol::session::fingerprint(&public(secret)).to_string();
    ran.says(&format!("the router's fingerprint: {}\n", print(&ROUTER)));
    ran.says(&format!("your own fingerprint:     {}\n", print(&OPERATOR)));
    let owners = router.with(|seen| seen.owners.clone());
    assert_eq!(owners.len(), 1);
    assert_eq!((owners[0].key, owners[0].role), (public(&OPERATOR), Role::Admin));
    assert_eq!(owners[0].name, "alice");
    bench.run(&["status", to[0], to[1]]).ends(0).says("known as       OpenWrt\n");
    bench.run(&["routers"]).ends(0).says(&format!("\n  last seen: --serial {}\n", to[1]));

    // After the claim the operator owns it, also for people with access to the cable.
    let other = Bench::bare("claim-other");
    other.run(&["keygen"]).ends(0);
    let ran = other.run(&["claim", to[0], to[1], "--timeout", "600ms"]);
    ran.ends(3).says("no answer from an unclaimed router on ").says("postwired reset-owner");
    let key = other.run(&["key", "--json"]).json()["result"]["public_key"].clone();
    ran.says(&format!("`postwire owner add {} ", key.as_str().unwrap()));
}

#[test]
fn a_question_ends_with_the_first_ctrl_c() {
    let (bench, router) = (bench("claim-asked"), Pty::new(nobodys(None)));
    for (keys, code) in [("", 130), ("n\r", 130), ("y\r", 0)] {
        let mut typed = Typed::new(&bench, &["claim", "--serial", &router.device]);
        typed.sees("[y/N] ");
        assert!(router.with(|seen| seen.owners.is_empty()));
        match keys {
            "" => typed.interrupt(),
            keys => typed.types(keys),
        }
        assert_eq!(typed.ends(), code, "{keys:?}");
    }
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
}

#[test]
fn a_router_that_the_list_cannot_take_is_not_claimed() {
    let (bench, router) = (bench("claim-full"), Pty::new(nobodys(None)));
    // A link that leads nowhere: it can be read as an empty list, and not be written.
    std::os::unix::fs::symlink("none/routers.toml", bench.home().join("routers.toml")).unwrap();
    let claim = ["claim", "--serial", &router.device, "--name", "shed"];
    bench.run(&claim).ends(2).says("routers.toml: No such file or directory (os error 2)\n").says(
        "hint: nothing was changed: the router was not claimed; choose another folder with --home",
    );
    assert_eq!(router.with(|seen| seen.owners.len()), 0);
}

#[test]
fn a_name_that_no_router_can_have_is_refused_before_anything_is_sent() {
    let (bench, router) = (bench("claim-name"), Pty::new(nobodys(None)));
    for name in ["a b", "", "-", "a\u{202e}b", &public(&ROUTER).to_string()] {
        let name = format!("--name={name}");
        bench.run(&["claim", "--serial", &router.device, &name]).ends(2).says("not a valid name");
    }
    assert_eq!(router.with(|seen| seen.packets), 0);
}

#[test]
fn over_udp_a_claim_takes_the_secret_of_the_label_once() {
    let (bench, router) = (bench("claim-udp"), Udp::new(nobodys(Some(LABEL))));
    let to = ["claim", "--udp", router.address.as_str(), "--timeout", "700ms"];
    let with = |more: &[&str]| bench.run(&[&to[..], more].concat());
    with(&[])
        .ends(2)
        .says("over UDP a claim takes the secret")
        .says("hint: with --serial, over a cable");
    let ran = with(&["--secret", "K7QD-2M9X"]);
    ran.ends(2).says("16 to 128 characters");
    assert!(!ran.err.contains("K7QD"));
    assert_eq!(router.with(|seen| seen.packets), 0);
    let ran = with(&["--secret", "K7QD-2M9X-PLW4-T8RC"]);
    ran.ends(3).says("Check the label's secret");
    assert!(!ran.err.contains("K7QD"));
    assert!(router.with(|seen| seen.owners.is_empty() && seen.sessions == 0));

    std::fs::write(bench.dir().join("label"), "k7qd 2m9x plw4 t8rb\n").unwrap();
    let json = with(&["--secret-file", "label", "--name", "shed", "--json"]).ends(0).json();
    assert_eq!(json["result"]["router"]["name"], "shed");
    assert_eq!(json["result"]["router"]["public_key"], public(&ROUTER).to_string());
    assert_eq!(json["result"]["owner"]["public_key"], public(&OPERATOR).to_string());
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
    bench.run(&["status", "--udp", &router.address]).ends(0).says("known as       shed\n");
    with(&["--secret-file", "label"]).ends(3).says("works only once");
}

#[test]
fn a_scanned_label_claims_its_router_and_names_it() {
    let bench = bench("claim-label");
    let made = bench.run(&["labels", "make", "--count", "2", "--out", "batch", "--json"]);
    assert_eq!(
        made.ends(0).json()["result"]["numbers"],
        serde_json::json!(["UNIT-0001", "UNIT-0002"])
    );
    let read = |name: &str| std::fs::read_to_string(bench.dir().join("batch").join(name)).unwrap();
    let list = read("labels.csv");
    let row: Vec<&str> = list.lines().nth(1).unwrap().split(',').collect();
    let [number, secret, text] = row[..] else { panic!("{list}") };
    assert_eq!((number, secret), ("UNIT-0001", read("UNIT-0001.secret").trim()));
    for format in ["svg", "png", "zpl"] {
        assert!(bench.dir().join(format!("batch/UNIT-0002.{format}")).is_file());
    }
    use std::os::unix::fs::PermissionsExt as _;
    for place in ["batch", "batch/labels.csv", "batch/UNIT-0001.secret", "batch/UNIT-0001.png"] {
        let mode = bench.dir().join(place).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read {place}");
    }
    // A folder with secrets is never written to again.
    bench.run(&["labels", "make", "--count", "1", "--out", "batch"]).ends(2).says("exists already");
    assert_eq!(read("labels.csv"), list);
    std::os::unix::fs::symlink("nowhere", bench.dir().join("link")).unwrap();
    for args in [
        ("link", "--prefix=U", "exists already"),
        ("n", "--prefix=-", "first a letter or a digit"),
        ("n", "--from=99999999", "the last number would be 100000000"),
    ] {
        let (out, option, why) = args;
        bench.run(&["labels", "make", "--count", "2", "--out", out, option]).ends(2).says(why);
    }
    let once = ["labels", "make", "--count", "1", "--out", "once", "--format", "svg,svg"];
    bench.run(&once).ends(0).says("made 1 label in once; once/labels.csv has its secret");
    let hidden = |name: &str| name.starts_with('.');
    let left = std::fs::read_dir(bench.dir()).unwrap().flatten();
    assert!(!left.into_iter().any(|entry| hidden(entry.file_name().to_str().unwrap())));

    let secret: &'static str = Box::leak(secret.to_owned().into_boxed_str());
    let router = Udp::new(nobodys(Some(secret)));
    let to = ["claim", "--udp", router.address.as_str(), "--timeout", "700ms", "--label"];
    let with = |text: &str| bench.run(&[&to[..], &[text]].concat());
    with("https://example.com").ends(2).says("not a label of Postwire");
    let damaged = with(&text[..text.len() - 1]);
    damaged.ends(2).says("the secret on the label is damaged");
    assert!(!damaged.err.contains(&secret[..9]));
    let other = list.lines().nth(2).unwrap().split(',').nth(2).unwrap();
    with(other).ends(3).says("Check the label's secret");
    assert!(router.with(|seen| seen.owners.is_empty()));
    with(&text.to_lowercase()).ends(0).says("its name in your list is UNIT-0001\n");
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
}

#[test]
fn over_a_cable_a_label_claims_no_other_router() {
    let text = |secret: &str| format!("POSTWIRE:1:A:{}", secret.replace('-', ""));
    let (right, wrong) = ("K7QD-2M9X-PLW4-T8RB-2345-6789", "K7QD-2M9X-PLW4-T8RB-2345-678A");
    // `L` is no symbol of a label: it looks like other symbols.
    let (right, wrong) = (right.replace('L', "M"), wrong.replace('L', "M"));
    let secret: &'static str = Box::leak(right.clone().into_boxed_str());
    let (bench, router) = (bench("claim-label-cable"), Pty::new(nobodys(Some(secret))));
    let to = ["claim", "--serial", router.device.as_str(), "--timeout", "700ms", "--label"];
    bench.run(&[&to[..], &[&text(&wrong)]].concat()).ends(3);
    assert!(router.with(|seen| seen.owners.is_empty()));
    bench.run(&[&to[..], &[&text(&right)]].concat()).ends(0).says("in your list is A\n");
}

#[test]
fn a_key_that_is_not_proven_is_not_taken() {
    let manners = Manners { lies: true, ..nobodys(None) };
    let (bench, router) = (bench("claim-lie"), Udp::new(manners));
    let args = ["claim", "--udp", &router.address, "--secret", LABEL, "--timeout", "700ms"];
    bench.run(&args).ends(3).says("no answer from an unclaimed router");
    bench.run(&["routers"]).ends(0).says("your list of routers is empty");
}

#[test]
fn another_router_is_not_claimed_by_mistake() {
    let (bench, router) = (bench("claim-other-router"), Pty::new(nobodys(None)));
    let to = ["claim", "--serial", router.device.as_str()];
    let with = |more: &[&str]| bench.run(&[&to[..], more].concat());
    let other = "AAAA-BBBB-CCCC-DDDD-EEEE";
    let ran = with(&["--fingerprint", other]);
    ran.ends(1).says(&format!(
        "this is a different router: its fingerprint is KG34-RCYV-6L5U-VY7V-SWPM, not {other}\n"
    ));
    ran.says("hint: nothing was changed");
    bench.know("shed", &public(&SecretKey::new([0x77; 32])));
    with(&["--name", "shed"]).ends(2).says("there is a router called shed already").says("hint: ");
    assert!(router.with(|seen| seen.owners.is_empty() && seen.sessions == 0));
    with(&["--fingerprint", "kg34rcyv6l5uvy7vswpm"]).ends(0);
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
}

#[test]
fn a_claim_that_is_refused_says_what_to_do() {
    for (code, words, hint) in [
        (Code::Claimed, "the router already has an owner", "postwired reset-owner"),
        (Code::Proof, "the label's secret is wrong", "hint: check the label"),
    ] {
        let manners = Manners { fail_owners: Some(Failure::new(code, "")), ..nobodys(Some(LABEL)) };
        let (bench, router) = (bench("claim-refused"), Udp::new(manners));
        let args = ["claim", "--udp", &router.address, "--secret", LABEL];
        let ran = bench.run(&args);
        ran.ends(1).says(words).says(hint);
        if code == Code::Claimed {
            ran.says(&format!("`postwire owner add {}", public(&OPERATOR)));
        }
        // A router of another owner is not remembered.
        bench.run(&["routers"]).ends(0).says("your list of routers is empty");
    }
}

#[test]
fn a_router_that_may_be_claimed_is_remembered() {
    let manners = Manners { silent_once_claimed: true, ..nobodys(None) };
    let (bench, router) = (bench("claim-lost"), Pty::new(manners));
    let args = ["claim", "--serial", &router.device, "--timeout", "700ms"];
    bench.run(&args).ends(3).says("may have succeeded; the router is in your list as OpenWrt");
    bench.run(&["routers"]).ends(0).says(&public(&ROUTER).to_string());
}

#[test]
fn a_bad_line_claims_as_well() {
    for seed in 0..3 {
        let manners = Manners { loss: 30, seed, ..nobodys(None) };
        let (bench, router) = (bench("claim-loss"), Pty::new(manners));
        let started = Instant::now();
        bench.run(&["claim", "--serial", &router.device]).ends(0);
        assert!(started.elapsed() < Duration::from_secs(15));
        assert_eq!(router.with(|seen| seen.owners.len()), 1);
    }
}

#[test]
fn a_router_that_was_reset_says_so_and_is_claimed_again() {
    let (bench, router) = (Bench::new("claim-reset", "[Interface]\n"), Pty::new(nobodys(None)));
    let to = ["--serial", router.device.as_str()];
    let ran = bench.run(&["push", "wg0.conf", to[0], to[1]]);
    ran.ends(1)
        .says("the router is unclaimed\n")
        .says("hint: claim it with `postwire claim --serial DEV`");
    bench.run(&["claim", to[0], to[1]]).ends(0).says("its name in your list is router\n");
    bench.run(&["claim", to[0], to[1], "--timeout", "500ms"]).ends(3).says("yours already");
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
}
