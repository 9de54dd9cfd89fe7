//! The same commands on an interface of a program.

use std::string::String;

use proto_core::key::SecretKey;
use proto_core::netlink::Errno;
use proto_core::protocol::session::StaticKey;

use super::{TWO, beside, expand, key, shell};
use crate::testing::Device;
use crate::testing::shell::Shell;

/// A process whose device belongs to a program.
fn program(conf: &str) -> Shell {
    beside("tun", conf)
}

fn state(shell: &Shell) -> String {
    let Device { private_key, port, fwmark, peers, .. } = shell.device();
    format!("{private_key:?} {port} {fwmark} {peers:?}")
}

/// Runs a command on both, and compares its output and its effects.
fn same(kernel: &Shell, program: &Shell, line: &str) {
    let line = expand(line);
    let (code, out, said) = program.run(&line);
    // The tests' kernel cannot derive it from the private key.
    let public = StaticKey::new(SecretKey::new([8; 32])).public().to_string();
    let (kernel_code, kernel_out, kernel_said) = kernel.run(&line);
    assert_eq!((code, said), (kernel_code, kernel_said), "{line}");
    let (out, kernel_out) = (out.replace(&public, &key(8)), kernel_out);
    let differs = out.lines().zip(kernel_out.lines()).find(|(ours, kernels)| ours != kernels);
    assert_eq!((differs, out.len()), (None, kernel_out.len()), "{line}");
    assert!(state(program) == state(kernel), "{line}");
}

#[test]
fn an_interface_of_a_program_is_set_and_shown_like_one_of_the_kernel() {
    let mut kernel = shell(TWO);
    let mut program = program(TWO);
    for piece in [0, 1, 7] {
        program.piece = piece;
        for line in [
            "setconf wg0 conf",
            "syncconf wg0 conf",
            "addconf wg0 conf",
            "show interfaces",
            "show",
            "show wg0 dump",
            "show all dump",
            "showconf wg0",
            "set wg0 fwmark 0x77 listen-port 9 peer <3> allowed-ips 10.0.1.0/24 endpoint [fe80::1]:7",
            "set wg0 peer <1> remove peer <2> persistent-keepalive off",
            "show wg0 allowed-ips",
            "show wg0 latest-handshakes",
            "show wg0 transfer",
            "show wg0 endpoints",
            "syncconf wg0 conf",
            "show wg0",
            "syncconf wg0 /dev/null",
            "setconf wg0 /dev/null",
            "show all dump",
            "set nobody fwmark 1",
            "show nobody",
        ] {
            same(&kernel, &program, line);
            for shell in [&kernel, &program] {
                shell.meddle(|device| {
                    for peer in &mut device.peers {
                        (peer.handshake, peer.bytes) = (900_000 + i64::from(peer.key[0]), 12_345);
                    }
                });
            }
        }
        let more = format!("{TWO}[Peer]\nPublicKey = <4>\nAllowedIPs = 10.0.2.0/24\n");
        kernel.conf(&more);
        program.conf(&more);
    }
}

#[test]
fn syncconf_tells_a_program_only_what_differs() {
    let mut shell = program(TWO);
    assert_eq!(shell.sent("syncconf wg0 conf").len(), 3);
    assert_eq!(shell.sent("syncconf wg0 conf"), [""; 0]);
    shell.conf(&TWO.replace("10.0.2.0/24", "10.0.3.0/24").replace("ListenPort = 7", "FwMark = 1"));
    assert_eq!(shell.sent("syncconf wg0 conf"), ["port mark", "1 replace 10.0.1.0/24 10.0.3.0/24"]);
    shell.meddle(|device| device.meddle = Some(|device| device.fwmark = 9));
    shell.conf(TWO);
    let _ = shell.sent("syncconf wg0 conf");
    assert_eq!(shell.device().fwmark, 0);
}

#[test]
fn a_program_may_have_more_peers_and_allowed_ips_than_a_window_holds() {
    let mut text = String::from("[Interface]\nPrivateKey = <8>\n");
    for n in 0..2_000_u32 {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        text +=
            &format!("[Peer]\nPublicKey = {}\nAllowedIPs = ", proto_core::key::PublicKey(bytes));
        let ips = if n == 1_000 { 3_000 } else { 2 };
        let ips: Vec<String> = (0..ips)
            .map(|ip| format!("{}.{}.{}.{}/32", 1 + (n >> 8), n & 255, ip >> 8, ip & 255))
            .collect();
        text += &ips.join(",");
        text += "\n";
    }
    let (kernel, program) = (shell(&text), program(&text));
    for line in
        ["setconf wg0 conf", "syncconf wg0 conf", "show wg0 dump", "show wg0", "showconf wg0"]
    {
        same(&kernel, &program, line);
    }
    assert_eq!(program.device().peers.len(), 2_000);
    assert_eq!(program.sent("syncconf wg0 conf"), [""; 0]);
}

#[test]
fn allowed_ips_are_taken_away_from_programs_of_any_age() {
    for takes_away in [false, true] {
        let shell = program(TWO);
        shell.meddle(|device| device.takes_away = takes_away);
        shell.well("setconf wg0 conf");
        shell.well("set wg0 peer <1> allowed-ips -10.0.1.0/24,+10.0.9.0/24,-10.7.0.0/16");
        assert_eq!(shell.ips(1), ["10.0.2.0/24", "10.0.9.0/24"]);
        assert_eq!(shell.device().peers.len(), 2);
    }
}

#[test]
fn a_program_s_refusal_names_the_peer() {
    let shell = program(TWO);
    shell.meddle(|device| device.refuse = Some(2));
    for command in ["setconf", "syncconf", "addconf"] {
        let said = shell.fails(&format!("{command} wg0 conf"));
        let wanted = format!("wg: cannot change wg0: peer {}: {}\n", key(2), Errno::ENOMEM);
        assert_eq!(said, wanted);
    }
}

#[test]
fn a_program_that_says_nonsense_is_an_error() {
    for (says, wanted) in [
        ("", "the program's answer is not about a WireGuard device"),
        ("listen_port=7\n", "the program's answer is not about a WireGuard device"),
        ("listen_port=7\nerrno=0\n", "the program's answer is not about a WireGuard device"),
        ("hello\n", "the program's answer is not about a WireGuard device"),
        ("fwmark=x\nerrno=0\n\n", "the program's answer has an invalid fwmark"),
        ("errno=-13\n\n", "Permission denied (EACCES)"),
    ] {
        let shell = Shell { says: Some(says), ..program(TWO) };
        assert_eq!(shell.fails("show wg0"), format!("wg: cannot read wg0: {wanted}\n"));
        let said = shell.fails("addconf wg0 conf");
        assert!(said.ends_with(&format!("{wanted}\n")), "{said}");
    }
}

#[test]
fn a_program_that_does_not_answer_is_an_error() {
    for says in ["", "listen_port=7\n"] {
        let shell = Shell { says: Some(says), hangs: true, ..program(TWO) };
        assert_eq!(shell.fails("show wg0"), "wg: cannot read wg0: the program does not answer\n");
        let said = shell.fails("set wg0 fwmark 1");
        assert_eq!(said, "wg: cannot change wg0: the program does not answer\n");
    }
}

#[test]
fn programs_come_behind_the_kernel() {
    let mut shell = shell(TWO);
    shell.well("setconf wg0 conf");
    shell.sockets = vec![
        ("wg7", Ok(true)),
        ("gone", Ok(false)),
        ("locked", Err(Errno::EACCES)),
        ("a-name-that-is-too-long", Ok(true)),
        ("a b", Ok(true)),
        ("", Ok(true)),
    ];
    shell.says = Some("listen_port=9\nerrno=0\n\n");
    assert_eq!(shell.well("show interfaces"), "wg0 wg7 locked\n");
    let (code, out, said) = shell.run("show all listen-port");
    assert_eq!((code, out.as_str()), (0, "wg0\t7\nwg7\t9\n"));
    assert_eq!(said, "wg: cannot read locked: the program's socket: Permission denied (EACCES)\n");
    // Another one of the same name comes first.
    shell.sockets = vec![("wg0", Ok(true))];
    assert_eq!(shell.well("show interfaces"), "wg0 wg0\n");
    assert_eq!(shell.well("show wg0 listen-port"), "9\n");
    shell.sockets = vec![(".", Ok(true))];
    let said = shell.fails("show interfaces");
    assert_eq!(
        said,
        "wg: cannot list the interfaces: the program's socket: Permission denied (EACCES)\n"
    );
}
