//! Commands for a router's console: from the command line, from a script, and typed at a terminal.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::WG0;
use crate::bench::{Bench, Ran, Typed};
use crate::fake::{Manners, Udp};

/// Runs the console with a script.
fn script(bench: &Bench, args: &[&str], text: &[u8]) -> Ran {
    let mut program = bench.start(args);
    // A console that was closed reads no more.
    let _ = program.stdin().write_all(text);
    program.ran()
}

fn lines(router: &Udp) -> Vec<String> {
    let lines = router.with(|seen| seen.lines.clone());
    lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

#[test]
fn one_command_prints_what_the_router_says() {
    let (bench, router) = (Bench::new("console-one", WG0), Udp::new(Manners::default()));
    let args = ["console", "--udp", &router.address, "--", "show", "wg0"];
    assert_eq!(bench.run(&args).ends(0).out, "you said show wg0\n");
    let args = ["console", "--udp", &router.address, "--json", "long"];
    let json = bench.run(&args).ends(0).json();
    let said = &json["result"]["lines"][0];
    assert_eq!(said["line"], "long");
    assert_eq!(said["output"].as_str().unwrap().lines().count(), 2_000);
    assert_eq!(json["result"]["router"]["hostname"], "OpenWrt");
    // A terminal does what it is told: a router, or who writes to its log, does not tell ours.
    let ran = bench.run(&["console", "--udp", &router.address, "bad"]);
    assert_eq!(ran.ends(0).out, "\\u{1b}[2Jcleared?\n");
}

#[test]
fn a_script_is_executed_line_by_line() {
    let (bench, router) = (Bench::new("console-script", WG0), Udp::new(Manners::default()));
    let args = ["console", "--udp", &router.address];
    let ran =
        script(&bench, &args, b"status\r\n\nload wg0\n[Interface]\n  MTU = 1400\n.\nyes\nlast");
    let expected = "you said status\npaste, and end with a line `.`\n25 bytes: apply?\napplied\nyou said last\n";
    assert_eq!(ran.ends(0).out, expected);
    let typed = ["status", "", "load wg0", "[Interface]", "  MTU = 1400", ".", "yes", "last"];
    assert_eq!(lines(&router), typed);
    // Nothing behind `exit`.
    let router = Udp::new(Manners::default());
    let ran = script(&bench, &["console", "--udp", &router.address], b"one\nexit\ntwo\n");
    assert_eq!(ran.ends(0).out, "you said one\nbye\n");
    assert_eq!(lines(&router), ["one", "exit"]);
    // The same as JSON.
    let args = ["console", "--udp", &router.address, "--json"];
    let json = script(&bench, &args, b"one\ntwo\n").ends(0).json();
    assert_eq!(
        json["result"]["lines"][1],
        serde_json::json!({"line": "two", "output": "you said two\n", "failed": false})
    );
}

#[test]
fn a_command_that_fails_has_an_exit_code_and_ends_the_script() {
    let (bench, router) = (Bench::new("console-fails", WG0), Udp::new(Manners::default()));
    let ran = bench.run(&["console", "--udp", &router.address, "fail"]);
    assert_eq!(ran.ends(1).out, "you said fail\n");
    let ran = script(&bench, &["console", "--udp", &router.address], b"one\nfail\ntwo\n");
    ran.ends(1).says("line 2 failed; the lines after it were not executed");
    assert_eq!(lines(&router), ["fail", "one", "fail"]);
    let args = ["console", "--udp", &router.address, "--json", "fail"];
    let json = bench.run(&args).ends(1).json();
    assert_eq!(json["result"]["lines"][0]["failed"], true);
    // One command cannot paste a file or answer a question.
    let ran = bench.run(&["console", "--udp", &router.address, "load", "wg0"]);
    ran.ends(1).says("waits for the lines of a file; put all lines on standard input");
}

#[test]
fn the_end_of_a_script_says_yes_to_nothing() {
    let (bench, router) = (Bench::new("console-end", WG0), Udp::new(Manners::default()));
    let args = ["console", "--udp", &router.address];
    let ran = script(&bench, &args, b"load wg0\n[Interface]\n");
    ran.ends(1).says("12 bytes: apply?\n").says("standard input ended without an answer");
    assert_eq!(lines(&router), ["load wg0", "[Interface]", "\u{4}", "\u{3}"]);
    assert_eq!(router.with(|seen| seen.pasted.clone()), "");
}

#[test]
fn lines_that_cannot_be_sent_are_named() {
    let bench = Bench::new("console-wrong", WG0);
    let router = Udp::new(Manners::default());
    let args = ["console", "--udp", &router.address];
    let long = [b"one\n".as_slice(), &[b'x'; 513], b"\ntwo\n"].concat();
    let ran = script(&bench, &args, &long);
    ran.ends(2).says("line 2 has 513 bytes, 512 at most").says("the lines before it were executed");
    assert_eq!((ran.out.as_str(), lines(&router)), ("you said one\n", vec!["one".to_owned()]));
    script(&bench, &args, b"\xff\n").ends(2).says("line 1 of standard input is not UTF-8");
    let router = Udp::new(Manners { no_console: true, ..Manners::default() });
    let ran = bench.run(&["console", "--udp", &router.address, "help"]);
    ran.ends(1).says("built without a console, or is older");
    let router = Udp::new(Manners { silent: true, ..Manners::default() });
    bench.run(&["console", "--udp", &router.address, "--timeout", "300ms", "help"]).ends(3);
}

/// A script that is still being written.
#[test]
fn a_wait_for_standard_input_ends_with_the_first_ctrl_c() {
    let (bench, router) = (Bench::new("console-stop", WG0), Udp::new(Manners::default()));
    let mut program = bench.start(&["console", "--udp", &router.address]);
    let mut input = program.stdin();
    input.write_all(b"one\n").unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let in_time = || {
        std::thread::sleep(Duration::from_millis(5));
        Instant::now() < until
    };
    while lines(&router).is_empty() {
        assert!(in_time());
    }
    program.interrupt();
    while !program.has_ended() {
        assert!(in_time(), "one signal is not enough");
    }
    program.ran().ends(130).says("error: interrupted\n");
}

#[test]
fn a_person_types_with_history_completion_and_the_usual_keys() {
    let (bench, router) = (Bench::new("console-typed", WG0), Udp::new(Manners::default()));
    bench.run(&["push", "wg0.conf", "--udp", &router.address]).ends(0);
    let args = ["console", "--udp", &router.address];
    let mut typed = Typed::new(&bench, &args);
    typed.sees("fake> ");
    typed.types("stat\t\r");
    typed.sees("you said status");
    typed.sees("fake> ");
    // The word and the interface, and a correction in the middle.
    typed.types("sho\twg\t\r");
    typed.sees("you said show wg0");
    typed.sees("fake> ");
    typed.types("sow\x1b[D\x1b[Dh\r");
    typed.sees("you said show");
    typed.sees("fake> ");
    // Ctrl-C drops what is typed; the arrow brings the last command back.
    typed.types("nonsense\x03");
    typed.sees("fake> ");
    typed.types("\x1b[A\r");
    typed.sees("you said show");
    typed.sees("fake> ");
    // A paste, given up; and one that is not answered with yes.
    typed.types("load wg0\r");
    typed.sees("| ");
    typed.types("[Interface]\r");
    typed.sees("| ");
    typed.types("\x03");
    typed.sees("dropped");
    typed.sees("fake> ");
    typed.types("load wg0\r");
    typed.sees("| ");
    typed.types("PrivateKey = secret\r");
    typed.sees("| ");
    typed.types("\x04");
    typed.sees("yes or no? ");
    typed.types("n\r");
    typed.sees("nothing was changed");
    typed.sees("fake> ");
    typed.types("\x04");
    assert_eq!(typed.ends(), 0);
    assert!(!lines(&router).contains(&"nonsense".to_owned()));
    // The history outlives the run, without what was pasted.
    let history = std::fs::read_to_string(bench.home().join("console")).unwrap();
    assert!(history.contains("show wg0") && !history.contains("secret"), "{history}");
    let mut typed = Typed::new(&bench, &args);
    typed.sees("fake> ");
    typed.types("\x1b[A\x1b[A\r");
    typed.sees("you said show");
    typed.sees("fake> ");
    typed.types("exit\r");
    typed.sees("bye");
    assert_eq!(typed.ends(), 0);
}

#[test]
fn a_push_rings_when_asked() {
    let (bench, router) = (Bench::new("bell", WG0), Udp::new(Manners::default()));
    let push = ["push", "wg0.conf", "--udp", &router.address, "--bell"];
    assert!(bench.run(&push).ends(0).err.ends_with('\u{7}'));
    assert!(!bench.run(&push[..4]).ends(0).err.contains('\u{7}'));
    let push = ["push", "none.conf", "--interface", "wg0", "--udp", &router.address, "--bell"];
    assert!(bench.run(&push).ends(2).err.ends_with('\u{7}'));
}
