//! A router that starts while the tool is at the line, and a line whose speed is not known: the program over a
//! pseudo-terminal.

use std::time::Duration;

use crate::WG0;
use crate::bench::Bench;
use crate::fake::{Belongs, Manners, Pty};

/// A quick start: each text so many milliseconds after the one before.
const START: &[(u64, &str)] = &[
    (200, "\0\r\n\r\nU-Boot 2024.01 (Jan 01 2024 - 00:00:00 +0000)\r\n\r\nDRAM:  256 MiB\r\n"),
    (150, "Net:   eth0\r\nHit any key to stop autoboot:  2 "),
    (1_000, "\x08\x08\x08 1 "),
    (1_000, "\x08\x08\x08 0 \r\n## Booting kernel from Legacy Image at bc050000 ...\r\n"),
    (300, "   Verifying Checksum ... OK\r\n\r\nStarting kernel ...\r\n\r\n"),
    (400, "[    0.000000] Linux version 6.6.93\r\n[    1.200000] init: Console is alive\r\n"),
    (200, "Press the [f] key and hit [enter] to enter failsafe mode\r\n"),
    (1_500, "[    4.100000] procd: - early -\r\n[    5.000000] procd: - init -\r\n"),
    (200, "Please press Enter to activate this console.\r\n"),
    (1_500, "[    8.000000] procd: - init complete -\r\n"),
];

#[test]
fn a_router_that_starts_gets_no_byte_until_it_is_up() {
    let bench = Bench::new("boot", WG0);
    let router = Pty::starting(Manners::default(), START);
    let ran = bench.run(&["push", "wg0.conf", "--serial", &router.device, "--timeout", "3s"]);
    ran.ends(0).says("waiting for the router to start").says("the router has started");
    assert_eq!(router.early(), 0);
    // A router without an owner is looked for in the same way.
    let router =
        Pty::starting(Manners { belongs: Belongs::Nobody(None), ..Manners::default() }, START);
    let args = ["claim", "--serial", &router.device, "--yes", "--json", "--timeout", "3s"];
    let ran = bench.run(&args);
    assert_eq!(ran.ends(0).err, "", "--json is silent");
    assert_eq!(router.early(), 0);
}

#[test]
fn a_router_that_is_switched_on_while_the_tool_asks_is_waited_for() {
    // It is deaf at first, and what the tool says meanwhile is lost: the power is off.
    let bench = Bench::new("boot-late", WG0);
    let mut script = vec![(10, "[silence]"), (2_000, "\r\n")];
    script.extend(START);
    let router = Pty::starting(Manners::default(), &script);
    let ran = bench.run(&["status", "--serial", &router.device, "--timeout", "5s"]);
    ran.ends(0).says("waiting for the router to start");
}

#[test]
fn a_boot_loader_that_was_stopped_is_named_with_what_to_do() {
    let bench = Bench::new("boot-stopped", WG0);
    // Time enough to stop it for a tool that starts late.
    let mut script = START[..2].to_vec();
    script.extend([(60_000, "\x08\x08\x08 0 \r\n## Booting kernel\r\n")]);
    let router = Pty::starting(Manners::default(), &script);
    // A tool that does not listen, and has to find out.
    let args =
        ["status", "--serial", &router.device, "--listen", "0", "--timeout", "20s", "--json"];
    let json = bench.run(&args).ends(3).json();
    let error = &json["error"];
    assert_eq!(error["code"], "boot_loader", "{error}");
    assert!(error["message"].as_str().unwrap().contains("stopped at the prompt `=>`"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("type `boot`"), "{error}");
    assert!(router.early() > 0);
}

#[test]
fn the_speed_of_a_line_is_found() {
    std::thread::scope(|scope| {
        // A line that is silent is asked at each speed; one that talks is not asked at all until its speed is known.
        for (speed, text) in [
            (115_200, ""),
            (57_600, ""),
            (921_600, ""),
            (57_600, "[ 4711.123456] br-lan: port 1(eth0) entered forwarding state\r\n"),
            (9_600, "root@OpenWrt:/# logread\r\n"),
            (1_500_000, "[ 4711.123456] a line of the kernel\r\n"),
        ] {
            scope.spawn(move || {
                let bench = Bench::new(&format!("auto-{speed}-{}", text.len()), WG0);
                let router = Pty::at_speed(Manners::default(), speed, text);
                let device = format!("{}@auto", router.device);
                let ran = bench.run(&["status", "--serial", &device]);
                ran.ends(0).says(&format!("found the speed: {} at {speed} baud", router.device));
                // One handshake at the right speed, and none at a wrong one.
                let most = if text.is_empty() { 0 } else { 200 };
                assert!(router.early() <= most, "{speed}: {} bytes while it talks", router.early());
            });
        }
    });
}

#[test]
fn a_line_that_answers_at_no_speed_says_which_were_tried() {
    let bench = Bench::new("auto-silent", WG0);
    let router = Pty::at_speed(Manners { silent: true, ..Manners::default() }, 4_800, "");
    let device = format!("{}@auto", router.device);
    let started = std::time::Instant::now();
    let ran = bench.run(&["status", "--serial", &device, "--timeout", "300ms"]);
    ran.ends(3).says("none of the speeds 115200, 57600, 9600").says("got an answer");
    assert!(started.elapsed() < Duration::from_secs(20));
    bench.run(&["status", "--serial", "/dev/ttyX@fast"]).ends(2).says("such as 115200 or auto");
}

#[test]
fn a_router_that_stops_answering_is_not_taken_for_a_wrong_speed() {
    let bench = Bench::new("stops-answering", WG0);
    // The bytes of a damaged reply are neither text nor a frame.
    let text = &[0x81, 0x02, 0xff, 0x1f, 0x90, 0x03];
    let manners = Manners { silent_on_commit: true, text, ..Manners::default() };
    let router = Pty::new(manners);
    let args = ["push", "wg0.conf", "--serial", &router.device, "--timeout", "700ms"];
    let ran = bench.run(&args);
    ran.ends(3).says("no answer").says("hint: the router answered before");
    assert!(!ran.err.contains("baud the router's speed"), "{}", ran.err);
}
