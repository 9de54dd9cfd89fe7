//! The local side of the tool: output that cannot be written, ports in use by other programs,
//! Ctrl-C.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::termios::{ControlModes, LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::WG0;
use super::bench::{Bench, Ran};
use super::fake::{Manners, Pty, Udp};

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let bench = Bench::new("full", WG0);
    let router = Udp::new(Manners::default());
    let push = ["push", "wg0.conf", "--udp", &router.address, "--json"];
    let all: [&[&str]; 6] =
        [&["key"], &["key", "--json"], &["routers"], &["--help"], &["--version"], &push];
    for args in all {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ran::new(bench.command(args).stdout(full).output().unwrap());
        ran.ends(5).says("cannot write the output: ").says("had ended with exit code 0");
    }
    assert_eq!(router.with(|seen| seen.commits), 1);
    // A reader that closes the pipe early is not an error.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Ran::new(bench.command(&["routers"]).stdout(writer).output().unwrap()).ends(0);
}

#[test]
fn json_is_taken_before_and_behind_the_command_and_names_it() {
    let bench = Bench::new("json", WG0);
    for args in [["--json", "key"], ["key", "--json"]] {
        assert_eq!(bench.run(&args).ends(0).json()["command"], "key");
    }
    for args in [&["--json", "push"][..], &["push", "--json"], &["push", "wg0.conf", "--json"]] {
        let json = bench.run(args).ends(2).json();
        assert_eq!((&json["command"], &json["ok"]), (&"push".into(), &false.into()), "{json}");
    }
    assert_eq!(bench.run(&["--json", "nonsense"]).ends(2).json()["command"], "postwire");
}

#[test]
fn a_port_that_is_in_use_is_not_touched() {
    let bench = Bench::new("in-use", WG0);
    let line = Pty::new(Manners::default());
    let user = File::open(&line.device).unwrap();
    flock(&user, FlockOperation::LockExclusive).unwrap();
    let mut modes = tcgetattr(&user).unwrap();
    modes.local_modes |= LocalModes::ECHO | LocalModes::ICANON;
    tcsetattr(&user, OptionalActions::Now, &modes).unwrap();
    let before = format!("{:?}", tcgetattr(&user).unwrap());
    let device = format!("{}@9600", line.device);
    let json = bench.run(&["status", "--serial", &device, "--json"]).ends(3).json();
    assert_eq!(json["error"]["code"], "port_busy", "{json}");
    assert_eq!(format!("{:?}", tcgetattr(&user).unwrap()), before);
}

#[test]
fn a_port_keeps_its_modem_lines_when_the_command_ends() {
    let bench = Bench::new("hupcl", WG0);
    let line = Pty::new(Manners::default());
    let mut modes = tcgetattr(&line.slave).unwrap();
    modes.control_modes |= ControlModes::HUPCL;
    tcsetattr(&line.slave, OptionalActions::Now, &modes).unwrap();
    bench.run(&["status", "--serial", &line.device]).ends(0);
    assert!(!tcgetattr(&line.slave).unwrap().control_modes.contains(ControlModes::HUPCL));
}

/// Starts a command, sends Ctrl-C once `ready`, and returns the result.
fn interrupted(bench: &Bench, args: &[&str], ready: impl Fn() -> bool) -> Ran {
    let mut program = bench.start(args);
    while !ready() {
        std::thread::sleep(Duration::from_millis(5));
    }
    program.interrupt();
    program.ran()
}

#[test]
fn ctrl_c_says_what_has_become_of_the_router() {
    let bench = Bench::new("ctrl-c", WG0);
    // No router answers.
    let router = Udp::new(Manners { silent: true, ..Manners::default() });
    let push = ["push", "wg0.conf", "--udp", &router.address, "--json", "--timeout", "60s"];
    let json = interrupted(&bench, &push, || router.with(|seen| seen.packets > 0)).ends(130).json();
    assert_eq!(json["error"]["kind"], "interrupted", "{json}");
    assert_eq!(json["error"]["state"], "unchanged", "{json}");
    // During an upload: the router can drop it and serve another client.
    std::fs::write(bench.dir().join("wg0.conf"), crate::many_peers(300)).unwrap();
    let router = Udp::new(Manners { swallows_pieces: true, ..Manners::default() });
    let push = ["push", "wg0.conf", "--udp", &router.address, "--json", "--timeout", "60s"];
    let begun = || router.with(|seen| seen.stages == 1 && seen.requests > 4);
    let json = interrupted(&bench, &push, begun).ends(130).json();
    assert_eq!(json["error"]["state"], "unchanged", "{json}");
    for _ in 0..2_000 {
        if router.with(|seen| seen.aborted) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(router.with(|seen| seen.aborted));
    // The commit was sent.
    let router = Udp::new(Manners { silent_on_commit: true, ..Manners::default() });
    let push = ["push", "wg0.conf", "--udp", &router.address, "--timeout", "60s"];
    let told = || router.with(|seen| seen.told_to_commit);
    let ran = interrupted(&bench, &push, told);
    ran.ends(130).says("its result is unknown");
}

#[test]
fn a_push_survives_a_network_that_goes_and_comes_back() {
    let bench = Bench::new("away", &crate::many_peers(300));
    let router = Udp::new(Manners { swallows_pieces: true, ..Manners::default() });
    let push = ["push", "wg0.conf", "--udp", &router.address, "--timeout", "60s"];
    let push = bench.start(&push);
    // Pieces are lost first, then everything, and then the path is there again.
    while !router.with(|seen| seen.stages == 1 && seen.requests > 4) {
        std::thread::sleep(Duration::from_millis(5));
    }
    router.behave(|manners| (manners.silent, manners.swallows_pieces) = (true, false));
    let packets = || router.with(|seen| seen.packets);
    let before = packets();
    while packets() < before + 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    router.behave(|manners| manners.silent = false);
    push.ran().ends(0).says("300 peers added");
    assert_eq!(router.with(|seen| (seen.stages, seen.commits)), (1, 1));
}

#[test]
fn a_push_waits_for_a_router_that_is_not_up_yet() {
    let bench = Bench::new("not-up", WG0);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let args = ["push", "wg0.conf", "--udp", &address.to_string(), "--timeout", "60s", "-v"];
    let push = bench.start(&args);
    std::thread::sleep(Duration::from_millis(300));
    let router = Udp::on(address, Manners::default());
    push.ran().ends(0).says("2 peers added");
    assert_eq!(router.with(|seen| seen.commits), 1);
}

/// The wait for another run's lock once counted as the router's silence.
#[test]
fn a_wait_for_other_runs_is_no_silence_of_the_router() {
    let (bench, router) = (Bench::new("lock", WG0), Udp::new(Manners::default()));
    bench.run(&["status", "--udp", &router.address]).ends(0);
    let lock = File::open(bench.dir().join("home/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let args = ["push", "wg0.conf", "--udp", &router.address, "--timeout", "300ms"];
    let mut push =
        bench.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(push.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("another postwire uses")));
    flock(&lock, FlockOperation::Unlock).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(push.wait().unwrap().success(), "{rest:#?}");
}

#[test]
fn a_file_with_a_key_that_everybody_can_read_is_a_warning() {
    let (bench, router) = (Bench::new("open-file", WG0), Udp::new(Manners::default()));
    let push = ["push", "wg0.conf", "--udp", &router.address];
    let told = "wg0.conf: warning: the file has a secret key";
    assert!(!bench.run(&push).ends(0).err.contains(told));
    let mode = Permissions::from_mode(0o644);
    std::fs::set_permissions(bench.dir().join("wg0.conf"), mode).unwrap();
    bench.run(&push).ends(0).says(told).says("help: `chmod 600 wg0.conf`");
}
