//! Handing a router over to a customer.

use proto_core::key::SecretKey;
use proto_core::protocol::message::{Code, Failure};

use crate::WG0;
use crate::bench::Bench;
use crate::fake::{Manners, OPERATOR, ROUTER, Udp, public};

const CUSTOMER: SecretKey = SecretKey::new([0x41; 32]);
const COLLEAGUE: SecretKey = SecretKey::new([0x42; 32]);

/// The bench of another person, who knows no router.
fn person(name: &str, key: &SecretKey) -> Bench {
    let bench = Bench::bare(name);
    bench.write_key(key);
    bench
}

#[test]
fn a_customer_becomes_the_only_owner_and_both_sides_check_the_record() {
    let (factory, router) = (Bench::new("over", WG0), Udp::new(Manners::default()));
    let to = ["--udp", router.address.as_str(), "--timeout", "700ms"];
    let run = |bench: &Bench, args: &[&str]| bench.run(&[args, &to].concat());
    run(&factory, &["push", "wg0.conf"]).ends(0);
    let colleague = public(&COLLEAGUE).to_string();
    run(&factory, &["owner", "add", &colleague, "--role", "admin", "--name", "bob"]).ends(0);

    let key = public(&CUSTOMER).to_string();
    let over = ["hand-over", "--to", &key, "--as", "carol", "--record", "record.json"];
    let own = public(&OPERATOR).to_string();
    run(&factory, &["hand-over", "--to", &own, "--as", "us", "--record", "record.json"])
        .ends(2)
        .says("this is your own key");
    let ran = run(&factory, &over);
    ran.ends(0).says("handed OpenWrt over to carol; you are no longer an owner\n");
    let owners = router.with(|seen| seen.owners.clone());
    assert_eq!(
        (owners.len(), owners[0].key, owners[0].name.as_str()),
        (1, public(&CUSTOMER), "carol")
    );
    // The router answers no more, so it is in no list any more.
    run(&factory, &["status"]).ends(2).says("no router is known yet");
    factory.know("router", &public(&ROUTER));
    run(&factory, &["status"]).ends(3);
    // A record is never overwritten.
    run(&factory, &over).ends(2).says("cannot create record.json");

    let text = std::fs::read_to_string(factory.dir().join("record.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["router_key"], public(&ROUTER).to_string());
    assert_eq!(json["removed"][0]["name"], "bob");
    assert_eq!(json["outcome"], "applied");
    factory.run(&["take-over", "record.json"]).ends(0).says("the record is genuine: ");

    let customer = person("over-customer", &CUSTOMER);
    let give = |text: &str| std::fs::write(customer.dir().join("record.json"), text).unwrap();
    give(&text.replace("\"carol\"", "\"mallory\""));
    run(&customer, &["take-over", "record.json"]).ends(2).says("the record was changed");
    customer.run(&["routers"]).ends(0).says("your list of routers is empty");
    give(&text);
    let ran = run(&customer, &["take-over", "record.json", "--name", "shed"]);
    ran.ends(0).says("its name in your list is shed\n").says("you are its only owner\n");
    run(&customer, &["status"]).ends(0).says("known as       shed\n");

    let stranger = person("over-stranger", &COLLEAGUE);
    std::fs::write(stranger.dir().join("record.json"), &text).unwrap();
    stranger.run(&["take-over", "record.json"]).ends(2).says("the record is for the owner of ");
    // An owner who comes back is noticed.
    run(&customer, &["owner", "add", &own, "--role", "read-only", "--name", "us"]).ends(0);
    run(&customer, &["take-over", "record.json", "--name", "shed"])
        .ends(1)
        .says("the router has other owners: us (");
}

#[test]
fn routers_of_one_host_name_are_taken_over_under_names_of_their_own() {
    let customer = person("over-many", &CUSTOMER);
    for (nth, own) in [[0x51; 32], [0x52; 32]].into_iter().enumerate() {
        let router = Udp::new(Manners { key: Some(SecretKey::new(own)), ..Manners::default() });
        let factory = Bench::new(&format!("over-many-{nth}"), WG0);
        let router_key = public(&SecretKey::new(own)).to_string();
        factory.run(&["routers", "add", "shed", &router_key]).ends(0);
        let key = public(&CUSTOMER).to_string();
        let over = ["hand-over", "--to", &key, "--as", "c", "--record", "r.json"];
        let to = ["--udp", router.address.as_str(), "--router", "shed"];
        factory.run(&[&over[..], &to].concat()).ends(0);
        let record = factory.dir().join("r.json");
        let taken = customer.run(&["take-over", record.to_str().unwrap(), "--udp", to[1]]);
        taken.ends(0).says("its name in your list is ").says("you are its only owner\n");
    }
    let list = customer.run(&["routers", "--json"]).ends(0).json();
    assert_eq!(list["result"]["routers"].as_array().unwrap().len(), 2, "{list}");
}

#[test]
fn a_hand_over_that_is_refused_leaves_no_record() {
    let manners = Manners { fail_owners: Some(Failure::new(Code::Full, "")), ..Manners::default() };
    let (bench, router) = (Bench::new("over-refused", WG0), Udp::new(manners));
    let key = public(&CUSTOMER).to_string();
    let args =
        ["hand-over", "--to", &key, "--as", "c", "--record", "r.json", "--udp", &router.address];
    bench.run(&args).ends(1).says("you are still an owner");
    assert!(!bench.dir().join("r.json").exists());
    let args = args.map(|arg| if arg == "r.json" { "no/r.json" } else { arg });
    let ran = bench.run(&args);
    ran.ends(2).says("cannot create no/r.json: No such file").says("hint: nothing was changed\n");
}

/// Those that the first attempt removed were missing in the record of the second one.
#[test]
fn a_hand_over_that_fails_in_the_middle_goes_on_with_the_same_command() {
    let second = SecretKey::new([0x43; 32]);
    let manners = Manners { keeps: Some(public(&second)), ..Manners::default() };
    let (bench, router) = (Bench::new("over-middle", WG0), Udp::new(manners));
    let to = ["--udp", router.address.as_str()];
    for (name, key) in [("bob", &COLLEAGUE), ("eve", &second)] {
        let key = public(key).to_string();
        let add = ["owner", "add", &key, "--role", "admin", "--name", name];
        bench.run(&[&add[..], &to].concat()).ends(0);
    }
    let key = public(&CUSTOMER).to_string();
    let over = |customer: &str| {
        let over = ["hand-over", "--to", customer, "--as", "carol", "--record", "r.json"];
        bench.run(&[&over[..], &to].concat())
    };
    // A power cut before anything was asked leaves an empty file.
    std::fs::write(bench.dir().join("r.json"), "").unwrap();
    let ran = over(&key);
    ran.ends(1).says("you are still an owner, and so is carol; others may not be any more");
    let record = || -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(bench.dir().join("r.json")).unwrap()).unwrap()
    };
    assert_eq!(record()["outcome"], "unknown");
    let other = public(&SecretKey::new([0x44; 32])).to_string();
    over(&other).ends(2).says("cannot create r.json");
    router.behave(|manners| manners.keeps = None);
    over(&key).ends(0);
    let names = |record: &serde_json::Value| -> Vec<String> {
        let removed = record["removed"].as_array().unwrap().iter();
        removed.map(|owner| owner["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!(
        (names(&record()), &record()["outcome"]),
        (vec!["bob".into(), "eve".into()], &"applied".into())
    );
    assert_eq!(router.with(|seen| seen.owners.len()), 1);
    bench.run(&["take-over", "r.json"]).ends(0).says("the record is genuine");
}

#[test]
fn a_hand_over_without_a_last_reply_is_no_success_and_both_ways_out_of_it_are_told() {
    let key = public(&CUSTOMER).to_string();
    for does in [true, false] {
        let manners = Manners { silent_on_leaving: Some(does), ..Manners::default() };
        let bench = Bench::new(&format!("over-unknown-{does}"), WG0);
        let router = Udp::new(manners);
        let to = ["--udp", router.address.as_str(), "--timeout", "700ms"];
        let over = |record: &str, more: &[&str]| {
            let over = ["hand-over", "--to", &key, "--as", "carol", "--record", record];
            bench.run(&[&over[..], &to, more].concat())
        };
        let ran = over("r.json", &[]);
        ran.ends(3).says("it is not known whether OpenWrt was handed over to carol");
        ran.says("`postwire owners --router router`").says("postwire take-over r.json");
        // The router may have to be asked, or handed over again.
        bench.run(&["routers"]).ends(0).says("router\n");
        let text = std::fs::read_to_string(bench.dir().join("r.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["outcome"], "unknown");
        let taken = bench.run(&["take-over", "r.json"]);
        taken.ends(0).says("the last reply of the router was lost: the old owner may be one still");

        router.behave(|manners| (manners.silent, manners.silent_on_leaving) = (false, None));
        let owners = bench.run(&[&["owners"], &to[..]].concat());
        if does {
            owners.ends(3);
            let customer = person("over-unknown-customer", &CUSTOMER);
            std::fs::write(customer.dir().join("r.json"), &text).unwrap();
            let taken = customer.run(&[&["take-over", "r.json"], &to[..]].concat());
            taken.ends(0).says("you are its only owner\n");
        } else {
            owners.ends(0).says("us@bench (you)");
            let json = over("again.json", &["--json"]).ends(0).json();
            assert_eq!(json["result"]["outcome"], "applied");
            bench.run(&["routers"]).ends(0).says("your list of routers is empty");
        }
    }
}

#[test]
fn an_owner_who_leaves_a_router_has_it_in_no_list_any_more_unless_the_reply_was_lost() {
    let own = public(&OPERATOR).to_string();
    for lost in [false, true] {
        let bench = Bench::new(&format!("leaves-{lost}"), WG0);
        let silent_on_leaving = lost.then_some(true);
        let router = Udp::new(Manners { silent_on_leaving, ..Manners::default() });
        let to = ["--udp", router.address.as_str(), "--timeout", "700ms"];
        let run = |args: &[&str]| bench.run(&[args, &to].concat());
        let other = public(&COLLEAGUE).to_string();
        run(&["owner", "add", &other, "--role", "admin", "--name", "bob"]).ends(0);
        let ran = run(&["owner", "remove", &own]);
        let list = bench.run(&["routers"]);
        if lost {
            ran.ends(3).says("you may be no owner any more: `postwire owners --router router`");
            list.ends(0).says("router\n");
        } else {
            let key = public(&ROUTER);
            ran.ends(0).says(&format!("it is not in your list any more; its key is {key}"));
            list.ends(0).says("your list of routers is empty");
        }
    }
}
