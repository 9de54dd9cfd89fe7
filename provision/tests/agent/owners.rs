//! Owners of a router, and their rights.

use proto_core::key::SecretKey;
use proto_core::protocol::message::{Code, Failure, MAX_OWNERS, Role};

use crate::WG0;
use crate::bench::Bench;
use crate::fake::{Belongs, Manners, OPERATOR, Udp, public};

const ALICE: SecretKey = SecretKey::new([0x41; 32]);
const BOB: SecretKey = SecretKey::new([0x42; 32]);

/// The bench of another operator.
fn other(name: &str, key: &SecretKey) -> Bench {
    let bench = Bench::new(name, WG0);
    bench.write_key(key);
    bench
}

#[test]
fn owners_come_and_go() {
    let (bench, router) = (Bench::new("owners", WG0), Udp::new(Manners::default()));
    let (alice, bob) = (other("owners-alice", &ALICE), other("owners-bob", &BOB));
    let to = ["--udp", router.address.as_str(), "--timeout", "700ms"];
    let run = |bench: &Bench, args: &[&str]| bench.run(&[args, &to].concat());
    let (alices, bobs) = (public(&ALICE).to_string(), public(&BOB).to_string());

    run(&alice, &["status"]).ends(3).says("no answer from router on ");
    let add = ["owner", "add", &alices, "--role", "read-only", "--name", "alice"];
    let ran = run(&bench, &add);
    ran.ends(0).says("alice (").says("is now a read-only owner of OpenWrt, one of 2 owners\n");
    ran.says("the owner first runs: postwire routers add router ");
    run(&alice, &["status"]).ends(0);
    run(&alice, &["show"]).ends(0);
    for args in [
        &["push", "wg0.conf"][..],
        &["diff", "wg0.conf"],
        &["remove", "wg0"],
        &["owner", "add", &bobs, "--role", "admin", "--name", "bob"],
        &["owner", "remove", "alice"],
    ] {
        let ran = run(&alice, args);
        ran.ends(1)
            .says("your role on this router does not allow it\n")
            .says("hint: ask an admin of");
    }
    assert_eq!(router.with(|seen| (seen.commits, seen.owners.len())), (0, 2));

    let add = ["owner", "add", &alices, "--role", "admin", "--name", "Alice B."];
    run(&bench, &add).ends(0).says("is now an admin of OpenWrt, one of 2 owners\n");
    run(&alice, &["push", "wg0.conf"]).ends(0);
    run(&alice, &["owner", "add", &bobs, "--role", "admin", "--name", "bob"]).ends(0);
    let expected = format!(
        "us@bench\n  role: admin\n  public key: {}\n  fingerprint: {}\n\n\
         Alice B. (you)\n  role: admin\n  public key: {alices}\n  fingerprint: {}\n\n\
         bob\n  role: admin\n  public key: {bobs}\n  fingerprint: {}\n",
        public(&OPERATOR),
        print(&OPERATOR),
        print(&ALICE),
        print(&BOB),
    );
    assert_eq!(run(&alice, &["owner", "list"]).ends(0).out, expected);
    assert_eq!(run(&alice, &["owners"]).ends(0).out, expected);
    let json = run(&bob, &["owners", "--json"]).ends(0).json();
    assert_eq!(json["command"], "owner list");
    assert_eq!(json["result"]["owners"][2]["you"], true);
    assert_eq!(json["result"]["owners"][2]["role"], "admin");

    let ran = run(&alice, &["owner", "remove", "us@bench"]);
    ran.ends(0).says("is no longer an owner of OpenWrt; 2 left\n");
    run(&bench, &["status"]).ends(3).says("no answer from router on ");
    run(&bob, &["owner", "remove", &alices]).ends(0);
    run(&alice, &["status"]).ends(3);
    let ran = run(&bob, &["owner", "remove", "bob"]);
    ran.ends(1).says("this is the router's last admin\n").says("hint: make another owner an admin");
    run(&bob, &["status"]).ends(0);
}

#[test]
fn owners_that_are_not_there_or_there_twice() {
    let (bench, router) = (Bench::new("owner-names", WG0), Udp::new(Manners::default()));
    let run = |args: &[&str]| bench.run(&[args, &["--udp", &router.address]].concat());
    let (alices, bobs) = (public(&ALICE).to_string(), public(&BOB).to_string());
    run(&["owner", "remove", "nobody"])
        .ends(2)
        .says("no owner of this router is called `nobody`")
        .says("hint: `postwire owners` lists the owners");
    run(&["owner", "remove", &bobs])
        .ends(1)
        .says("has no such owner\n")
        .says("hint: `postwire owners`");
    for key in [&alices, &bobs] {
        run(&["owner", "add", key, "--role", "admin", "--name", "twin"]).ends(0);
    }
    let ran = run(&["owner", "remove", "twin"]);
    ran.ends(2).says("2 owners of this router are called `twin`");
    ran.says(&format!("by public key: {alices} or {bobs}\n"));
    // An owner removes their own key.
    run(&["owner", "remove", &public(&OPERATOR).to_string()])
        .ends(0)
        .says("you are no longer an owner");
}

#[test]
fn a_full_list_is_said() {
    let (bench, router) = (Bench::new("owner-full", WG0), Udp::new(Manners::default()));
    let add = |n: u8| {
        let key = public(&SecretKey::new([n; 32])).to_string();
        let args =
            ["owner", "add", &key, "--role", "admin", "--name", "n", "--udp", &router.address];
        bench.run(&args)
    };
    for n in 1..MAX_OWNERS {
        add(u8::try_from(n).unwrap()).ends(0);
    }
    add(0x77).ends(1).says("list of owners is full\n").says("hint: remove an owner first");
    assert_eq!(router.with(|seen| seen.owners.len()), MAX_OWNERS);
}

#[test]
fn one_who_may_look_is_told_who_may_more() {
    let manners = Manners { belongs: Belongs::OthersAndWeLook, ..Manners::default() };
    let (bench, router) = (Bench::new("look", WG0), Udp::new(manners));
    let to = ["--udp", &router.address];
    let ran = bench.run(&["push", "wg0.conf", to[0], to[1]]);
    ran.ends(1)
        .says("does not allow it")
        .says("running configuration is unchanged")
        .says("`postwire owners`");
    bench.run(&["owners", to[0], to[1]]).ends(0).says("other@bench\n  role: admin\n");
    let json = bench.run(&["remove", "wg0", to[0], to[1], "--json"]).ends(1).json();
    assert_eq!(json["error"]["code"], "forbidden");
}

#[test]
fn the_router_has_the_last_word() {
    let failure = Failure::new(Code::Storage, "the flash is full");
    let manners = Manners { fail_owners: Some(failure), ..Manners::default() };
    let (bench, router) = (Bench::new("owner-storage", WG0), Udp::new(manners));
    let ran = bench.run(&["owners", "--udp", &router.address]);
    ran.ends(1).says("error: the flash is full\n").says("hint: ");
    assert_eq!(router.with(|seen| seen.owners[0].role), Role::Admin);
}

fn print(secret: &SecretKey) -> String {
    proto_core::protocol::session::fingerprint(&public(secret)).to_string()
}
