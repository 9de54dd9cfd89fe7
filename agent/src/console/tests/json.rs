//! `--json`: one object for each command, and one shape for all failures.

use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

use serde_json::Value;

use super::rig::{Rig, key, owned, push, push_to, with_router};
use crate::console::words::{self, TABLE};
use crate::testing::Router;

/// Executes a line, and checks the form of its output: one object, no key twice, and `error` if and only if it failed.
fn object(rig: &mut Rig<'_, '_>, line: &str) -> Value {
    let (reply, output) = rig.program(line);
    let value: Value =
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{line}: {error}: {output}"));
    assert_eq!(value.to_string().len(), output.trim_end().len(), "{line}: a key twice: {output}");
    assert!(value.is_object(), "{line}: {output}");
    let text = value["error"]["text"].as_str().unwrap_or_default();
    assert_eq!(!text.is_empty(), reply.failed, "{line}: {output}");
    assert_eq!(value.get("error").is_some(), reply.failed, "{line}: {output}");
    value
}

/// The state of the router before a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// `wg0` is stored twice, and runs.
    Stored,
    /// A change of `wg0` waits to be confirmed, too.
    Pending,
    /// Nothing is stored.
    New,
    /// Anne and Ben own the router.
    Owned,
}

/// Executes lines on a new router. Returns the object of the last.
fn after(before: Before, lines: &str) -> Value {
    let router = Router::default();
    if before != Before::New {
        push(&router, 0, 1, 0);
        push(&router, 0, 2, 0);
    }
    let owners = (before == Before::Owned).then(owned);
    with_router(&router, owners, false, |rig| {
        if before == Before::Pending {
            push_to(rig.agent.service_mut(), 0, 3, 60);
        }
        lines.lines().map(|line| object(rig, line)).last().unwrap()
    })
}

#[test]
fn each_command_that_is_done_prints_its_object() {
    use Before::{New, Owned, Pending, Stored};
    let claim = std::format!("claim {} anne", key(9).public());
    let load = "load wg0\n[Interface]\nListenPort = 9\n.";
    // A command, and a value that its object has, as a pointer of JSON.
    let done: &[(Before, &str, &str, &str)] = &[
        (New, "help", "", "{}"),
        (Pending, "status", "/pending/interface", "\"wg0\""),
        (Stored, "status", "/stored/0/agrees", "true"),
        (New, "identity", "/hostname", "\"router\""),
        (Stored, "show", "/interfaces/0/name", "\"wg0\""),
        (Stored, "show wg0", "/interfaces/0/listen_port", "2"),
        (New, "show", "/interfaces", "[]"),
        (Owned, "owners", "/owners/0/role", "\"admin\""),
        (New, "owners", "/owners", "[]"),
        (Stored, "history wg0", "/configurations/0/number", "2"),
        (New, "history", "/configurations", "[]"),
        (Stored, "diff", "/interfaces/0/list", "[]"),
        (New, "diff", "/interfaces", "[]"),
        (Pending, "confirm", "/confirmed", "\"wg0 number 3\""),
        (Pending, "revert", "/reverted", "\"wg0 is as it was before\""),
        (Stored, "rollback wg0 within 60", "/confirm_within", "60"),
        (Stored, "repair wg0", "/changes", "false"),
        (Stored, "remove wg0", "/number", "3"),
        (Stored, load, "/list/0", "\"~ listening port: 2 -> 9\""),
        (Stored, &std::format!("{load}\ncommit"), "/number", "3"),
        (Stored, &std::format!("{load}\ndrop"), "", "{}"),
        (New, "log", "/log/0", "\"this router is 5AM3-KDU5-SGXX-T7JX-26JO; it has no owner yet\""),
        (New, "more off", "", "{}"),
        (New, "unlock", "", "{}"),
        (New, &claim, "/owners", "1"),
        (New, "shell", "", "{}"),
        (New, "exit", "", "{}"),
    ];
    for (before, lines, pointer, wanted) in done {
        let value = after(*before, lines);
        assert_eq!(value.get("error"), None, "{lines}: {value}");
        let found = value.pointer(pointer).map(ToString::to_string).unwrap_or_default();
        assert!(found == *wanted, "{lines}: {pointer} is not {wanted}: {value}");
    }
    let command = |lines: &str| Some(words::parse(lines.lines().last()?).ok()?.entry.name);
    let mut shown: BTreeSet<_> = done.iter().filter_map(|(_, lines, ..)| command(lines)).collect();
    shown.insert("load");
    assert_eq!(shown, TABLE.iter().map(|entry| entry.name).collect());
}

/// The failure of an interface was a key in a list, which no program can read.
#[test]
fn each_failure_has_one_shape() {
    use Before::{New, Owned, Stored};
    let claim = std::format!("claim {}", key(9).public());
    let bad = "load wg0\n[Interface]\nAddress = 300.1.1.1/24\n.";
    let failing: &[(Before, &str, &str)] = &[
        (New, "help me", "there is no command `me`"),
        (Stored, "show wg9", "wg9"),
        (Stored, "diff wg9", "wg9"),
        (Stored, "confirm", "no change waits"),
        (Stored, "revert", "no change waits"),
        (New, "rollback wg0", "no earlier configuration"),
        (Stored, "rollback wg0 9", "9"),
        (New, "repair wg0", "wg0"),
        (New, "remove wg0", "wg0"),
        (New, "remove eth0", "eth0"),
        (New, "load eth0", "eth0"),
        (New, bad, "the file has mistakes"),
        (New, "load wg0\n[Interface]\n\u{1a}\n.", "line 2 has a byte that is no text"),
        (New, "commit", "nothing is loaded"),
        (New, "drop", "nothing is loaded"),
        (New, "more of this", "usage: more on"),
        (Owned, &claim, "owner"),
        (New, "frobnicate", "there is no command"),
        (New, "re", "can be"),
        (New, "status now", "does not take"),
        (New, "remove wg0 within 2h", "is not a time"),
    ];
    for (before, lines, words) in failing {
        let value = after(*before, lines);
        let text = value["error"]["text"].as_str().unwrap_or_default();
        assert!(text.contains(words), "{lines}: no `{words}` in {value}");
    }
    let value = after(New, bad);
    assert_eq!(
        (&value["remarks"][0]["line"], &value["remarks"][0]["column"]),
        (&2.into(), &11.into())
    );
}

/// An interface of a list that fails costs the others nothing.
#[test]
fn the_failure_of_one_interface_is_beside_the_others() {
    let router = Router::default();
    push(&router, 1, 2, 0);
    push(&router, 0, 1, 0);
    with_router(&router, None, false, |rig| {
        router.world.delete_links();
        router.world.make("wg0", "dummy");
        let value = object(rig, "diff");
        let names: Vec<&Value> =
            value["interfaces"].as_array().unwrap().iter().map(|it| &it["interface"]).collect();
        assert_eq!(names, ["wg0", "wg1"], "{value}");
        let text = value["error"]["text"].as_str().unwrap_or_default();
        assert!(text.contains("wg0"), "{value}");
    });
}
