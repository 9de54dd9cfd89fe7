//! Codes that open a router's console, from the command line: no router is spoken to.

use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::message::Role;
use proto_core::protocol::session::{StaticKey, fingerprint};
use proto_core::protocol::unlock::{Challenge, Pairing};

use crate::bench::Bench;
use crate::fake::{OPERATOR, ROUTER, public};

/// The code that the router wants, and the challenge it shows.
fn wanted(role: Role) -> (String, String) {
    let challenge = Challenge::new([19, 7, 23, 2, 9, 29, 20, 4, 26]);
    let pairing = Pairing::on_router(&StaticKey::new(ROUTER), &public(&OPERATOR)).unwrap();
    (pairing.code(&challenge, role).to_string(), challenge.to_string())
}

#[test]
fn the_code_is_the_one_that_the_router_wants() {
    let bench = Bench::new("unlock", "");
    let (code, challenge) = wanted(Role::Admin);
    let print = fingerprint(&public(&ROUTER)).to_string();
    let ran = bench.run(&["unlock", &challenge, "--router", "router"]);
    ran.ends(0).says(&code).says(&print).says("everything, for 10 minutes");
    // As people say and type it; the only router that is known need not be named.
    let spoken = challenge.to_lowercase().replace('1', "l").replace('0', "o").replace('-', " ");
    let words: Vec<&str> = spoken.split(' ').collect();
    bench.run(&[&["unlock"][..], &words].concat()).ends(0).says(&code);
    let key = public(&ROUTER).to_string();
    for router in [&key, &print, &print.to_lowercase().replace('-', "")] {
        bench.run(&["unlock", &challenge, "--router", router]).ends(0).says(&code);
    }
    let (look, _) = wanted(Role::ReadOnly);
    assert_ne!(look, code);
    let args = ["unlock", &challenge, "--router", "router", "--role", "read-only", "--json"];
    let result = &bench.run(&args).ends(0).json()["result"];
    assert_eq!((&result["code"], &result["role"]), (&look.into(), &"read-only".into()));
    assert_eq!(result["challenge"], challenge);
    assert_eq!(result["router"]["name"], "router");
    assert_eq!(result["router"]["fingerprint"], print);
    assert_eq!(result["owner"]["public_key"], public(&OPERATOR).to_string());
}

#[test]
fn what_is_wrong_is_named() {
    let bench = Bench::new("unlock-wrong", "");
    let (code, challenge) = wanted(Role::Admin);
    let typed = |text: &str| {
        let ran = bench.run(&["unlock", text, "--router", "router"]);
        ran.ends(2).says("have it read to you again");
        assert!(ran.out.is_empty(), "{ran:?}");
        ran.err
    };
    for group in 0..3 {
        let mut wrong = challenge.clone().into_bytes();
        wrong.swap(5 * group, 5 * group + 1);
        let says = typed(std::str::from_utf8(&wrong).unwrap());
        assert!(says.contains(&format!("there is a typo in group {}", group + 1)), "{says}");
    }
    assert!(typed(&challenge.replace('B', "U")).contains("typo in group 1: `U` is never used"));
    assert!(typed(&code).contains("16 symbols instead of 12"));
    assert!(typed(&challenge[..challenge.len() - 1]).contains("group 3: it has 3 symbols"));

    let ran = bench.run(&["unlock", &challenge, "--router", "attic"]);
    ran.ends(2).says("no router called attic is known").says("`postwire routers` lists");
    let nobody = PublicKey([0; 32]).to_string();
    bench.run(&["unlock", &challenge, "--router", &nobody]).ends(2).says("is no router's key");
    bench.know("other", &public(&SecretKey::new([7; 32])));
    let ran = bench.run(&["unlock", &challenge]);
    ran.ends(2).says("which router shows this challenge").says("you know router and other");
    bench.run(&["unlock"]).ends(2);
    bench.run(&["unlock", &challenge, "--role", "root"]).ends(2).says("read-only");
    std::fs::remove_file(bench.home().join("routers.toml")).unwrap();
    let ran = bench.run(&["unlock", &challenge]);
    ran.ends(2).says("no router is known here").says("`identity` on its console");
    std::fs::remove_file(bench.home().join("key")).unwrap();
    bench.run(&["unlock", &challenge, "--router", "router"]).ends(2).says("you have no key yet");
}
