//! The program against a fake router, from the command line to the exit code.

mod bench;
mod boot;
mod claim;
mod confirm;
mod console;
mod empties;
mod fake;
mod fleet;
mod hand_over;
mod host;
mod keys;
mod line;
mod lines;
mod numbers;
mod owners;
mod real;
mod sessions;
mod stored;
mod tomorrow;
mod unlock;

use std::time::{Duration, Instant};

use bench::Bench;
use fake::{Manners, Pty, Udp};
use proto_core::protocol::message::{Code, Failure, State, Subject};

const WG0: &str = "\
[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
ListenPort = 51820
Address = 10.0.0.1/24, fd00::1/64
MTU = 1400

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = /UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
AllowedIPs = 10.0.0.2/32
AllowedIPs = 10.1.0.0/16

[Peer]
PublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
Endpoint = 192.0.2.7:51821
AllowedIPs = 0.0.0.0/0
PersistentKeepalive = 25
";
const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const OTHER: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";
const PUBLIC: &str = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";

fn many_peers(count: usize) -> String {
    use std::fmt::Write as _;
    let mut conf = String::from("[Interface]\nPrivateKey = generate\nAddress = 10.0.0.1/8\n");
    for n in 0..count {
        let mut key = [9; 32];
        key[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let key = proto_core::key::PublicKey(key);
        let _ = write!(
            conf,
            "[Peer]\nPublicKey = {key}\nAllowedIPs = 10.9.{}.{}/32\n",
            n / 256,
            n % 256
        );
    }
    conf
}

#[test]
fn a_push_applies_and_the_next_one_finds_nothing_to_do() {
    let (bench, router) = (Bench::new("push", WG0), Udp::new(Manners::default()));
    let push = ["push", "wg0.conf", "--udp", &router.address];
    bench.run(&push).ends(0).says(&format!(
        "applied to wg0 on OpenWrt: interface created; 2 addresses added; \
         2 routes added; 3 rules added; \
         2 peers added; public key {PUBLIC}; port 51820\n"
    ));
    assert_eq!(router.with(|seen| seen.commits), 1);
    bench.run(&push).ends(0).says("wg0 already runs this configuration: nothing changed\n");
    let smaller = WG0.replace("AllowedIPs = 10.1.0.0/16\n", "").replace("51820", "51999");
    std::fs::write(bench.dir().join("wg0.conf"), smaller).unwrap();
    let mut args = push.to_vec();
    args.push("--json");
    let ran = bench.run(&args);
    assert_eq!(ran.err, "");
    let json = ran.ends(0).json();
    assert_eq!(json["command"], "push");
    assert_eq!((&json["ok"], &json["exit_code"]), (&true.into(), &0.into()));
    let result = &json["result"];
    assert_eq!(result["changed"], true);
    assert_eq!(result["router"]["hostname"], "OpenWrt");
    assert_eq!(result["summary"]["device"], serde_json::json!(["listen_port"]));
    assert_eq!(result["summary"]["peers"]["changed"], 1);
    assert_eq!(result["public_key"], PUBLIC);
    assert_eq!(result["listen_port"], 51_999);
}

#[test]
fn a_diff_shows_every_change_and_makes_none() {
    let (bench, router) = (Bench::new("diff", WG0), Udp::new(Manners::default()));
    let diff = ["diff", "wg0.conf", "--udp", &router.address];
    bench.run(&diff).ends(4).says("+ interface\n").says(&format!("+ peer: {PEER}\n"));
    assert_eq!(router.with(|seen| seen.commits), 0);
    assert!(router.with(|seen| seen.aborted));
    bench.run(&["push", "wg0.conf", "--udp", &router.address]).ends(0);
    bench.run(&diff).ends(0).says("wg0 already runs this configuration: nothing would change");
    let other = WG0
        .replace("10.0.0.1/24, ", "")
        .replace("0.0.0.0/0", "10.7.0.0/16")
        .replace("1400", "1380")
        .replace("51821", "7");
    std::fs::write(bench.dir().join("wg0.conf"), other).unwrap();
    let ran = bench.run(&diff);
    let expected = format!(
        "a push would change wg0 on OpenWrt:\n\
         ~ mtu: 1400 -> 1380\n\
         ~ fwmark: 0xca6c -> off\n\
         - address: 10.0.0.1/24\n\
         - route: 0.0.0.0/0 table 51820\n\
         - rule: ipv4 priority 32763: fwmark 0xca6c lookup main\n\
         - rule: ipv4 priority 32764: from all lookup main suppress_prefixlength 0\n\
         - rule: ipv4 priority 32765: not fwmark 0xca6c lookup 51820\n\
         + route: 10.0.0.2/32 table main\n\
         + route: 10.7.0.0/16 table main\n\
         ~ peer: {OTHER}: endpoint, allowed ips\n"
    );
    assert_eq!(ran.ends(4).out, expected);
    let mut args = diff.to_vec();
    args.push("--json");
    let json = bench.run(&args).ends(4).json();
    assert_eq!(json["ok"], true);
    let changes = json["result"]["changes"].as_array().unwrap();
    assert_eq!(changes[0], serde_json::json!({"change": "mtu", "from": 1400, "to": 1380}));
    assert_eq!(changes.len(), 10);
}

#[test]
fn show_and_status_tell_what_there_is() {
    let device = Some(("8J0042", 7));
    let manners = Manners { machine: "mips", device, ..Manners::default() };
    let (bench, router) = (Bench::new("show", WG0), Udp::new(manners));
    let to = ["--udp", &router.address];
    bench.run(&["show", to[0], to[1]]).ends(0).says("OpenWrt has no WireGuard interface");
    bench.run(&["show", "wg0", to[0], to[1]]).ends(1).says("no interface has that name");
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0);
    let expected = format!(
        "interface: wg0\n  public key: {PUBLIC}\n  private key: (hidden)\n  listening port: 51820\n  \
         fwmark: 0xca6c\n  mtu: 1400\n  link: up\n  address: 10.0.0.1/24\n  address: fd00::1/64\n  \
         route: 10.1.0.0/16 table main\n  route: 0.0.0.0/0 table 51820\n  \
         rule: ipv4 priority 32763: fwmark 0xca6c lookup main\n  \
         rule: ipv4 priority 32764: from all lookup main suppress_prefixlength 0\n  \
         rule: ipv4 priority 32765: not fwmark 0xca6c lookup 51820\n\n\
         peer: {PEER}\n  preshared key: (hidden)\n  allowed ips: 10.0.0.2/32, 10.1.0.0/16\n  \
         latest handshake: 1 hour, 5 seconds ago\n  transfer: 1.50 KiB received, 92 B sent\n\n\
         peer: {OTHER}\n  endpoint: 192.0.2.7:51821\n  allowed ips: 0.0.0.0/0\n  \
         latest handshake: 1 hour, 1 minute, 5 seconds ago\n  \
         transfer: 1.50 KiB received, 92 B sent\n  persistent keepalive: every 25 seconds\n"
    );
    assert_eq!(bench.run(&["show", to[0], to[1]]).ends(0).out, expected);
    assert_eq!(bench.run(&["show", "wg0", to[0], to[1]]).ends(0).out, expected);
    let json = bench.run(&["show", to[0], to[1], "--json"]).ends(0).json();
    assert_eq!(json["result"]["interfaces"][0]["peers"][0]["preshared_key"], true);
    let expected = "\
host name      OpenWrt
known as       router
fingerprint    KG34-RCYV-6L5U-VY7V-SWPM
board          acme,router-1
serial number  8J0042
MAC addresses  94:83:c4:00:00:07 94:83:c4:00:01:07
kernel         6.12.1 (mips)
wireguard      yes
interfaces     wg0
stored         wg0 number 1, pushed by us@bench on 2023-11-14 22:13:20 +00:00: the kernel matches
agent          postwired 0.1.0
running for    1 hour, 2 minutes, 5 seconds
peak memory    420 KiB
pushes         1 applied, 0 failed
worst turn     12 ms (Commit)
line           1 broken frames, 2 bytes of text
";
    assert_eq!(bench.run(&["status", to[0], to[1]]).ends(0).out, expected);
}

#[test]
fn a_bad_wire_costs_time_only() {
    let conf = many_peers(300);
    let bench = Bench::new("loss", &conf);
    let router = Udp::new(Manners { loss: 20, ..Manners::default() });
    let to = ["--udp", &router.address];
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0).says("300 peers added");
    assert_eq!(router.with(|seen| seen.commits), 1);
    let shown = bench.run(&["show", to[0], to[1]]);
    assert_eq!(shown.ends(0).out.matches("allowed ips: 10.9.").count(), 300);
    bench.run(&["diff", "wg0.conf", to[0], to[1]]).ends(0);
}

#[test]
fn a_router_that_forgets_gets_everything_anew() {
    let conf = many_peers(300);
    let bench = Bench::new("gone", &conf);
    let manners = Manners {
        gone_at_piece: Some(9),
        gone_at_the_end: 1,
        gone_at_read: true,
        ..Manners::default()
    };
    let router = Udp::new(manners);
    let to = ["--udp", &router.address];
    bench.run(&["push", "wg0.conf", to[0], to[1]]).ends(0).says("300 peers added");
    assert_eq!(router.with(|seen| (seen.stages, seen.commits)), (3, 1));
    bench.run(&["show", "wg0", to[0], to[1]]).ends(0);
    let router = Udp::new(Manners { gone_at_the_end: 9, ..Manners::default() });
    let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address]);
    ran.ends(1).says("the router lost the transfer several times");
}

#[test]
fn progress_is_a_line_for_each_step_without_a_terminal() {
    let (bench, router) =
        (Bench::new("work", WG0), Udp::new(Manners { working: 3, ..Manners::default() }));
    let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address]);
    let steps: Vec<&str> = ran.ends(0).err.lines().collect();
    let bytes = steps[0].strip_prefix("uploading ").unwrap();
    assert!(bytes.ends_with(" bytes"), "{bytes}");
    assert_eq!(
        steps[1..],
        ["checking 3 items", "comparing 3 items", "applying 3 items", "verifying 3 items"]
    );
}

#[test]
fn failures_point_into_the_file() {
    let key = PEER.parse().unwrap();
    let cases = [
        (Subject::None, 0, "error: OpenWrt: Invalid thing"),
        (Subject::Interface, 0, "error: OpenWrt: interface wg0: "),
        (Subject::PrivateKey, 2, "PrivateKey: "),
        (Subject::ListenPort, 3, "ListenPort: "),
        (Subject::Fwmark, 16, "FwMark: "),
        (Subject::Mtu, 5, "MTU: "),
        (Subject::Address("fd00::1/64".parse().unwrap()), 4, "Address fd00::1/64: "),
        (Subject::Route("10.1.0.0/16".parse().unwrap()), 11, "route to 10.1.0.0/16: "),
        (Subject::Rule, 16, "policy rule: "),
        (Subject::Peer(key), 8, "peer xTIB"),
        (Subject::PresharedKey(key), 9, "PresharedKey: "),
        (Subject::Endpoint(OTHER.parse().unwrap()), 15, "Endpoint: "),
        (Subject::PersistentKeepalive(OTHER.parse().unwrap()), 17, "PersistentKeepalive: "),
        (Subject::AllowedIps(key), 10, "AllowedIPs: "),
        (Subject::AllowedIp(key, "10.1.0.0/16".parse().unwrap()), 11, "AllowedIPs 10.1.0.0/16: "),
        (Subject::Offset(0), 2, "byte 0 of the image: "),
    ];
    let bench = Bench::new("fail", WG0);
    for (subject, line, words) in cases {
        let failure =
            Failure { errno: 22, ..Failure::new(Code::Kernel, "Invalid thing").about(subject) };
        let router = Udp::new(Manners {
            fail_commit: Some(failure),
            machine: "x86_64",
            ..Manners::default()
        });
        let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address]);
        ran.ends(1).says(words).says(": Invalid thing (EINVAL)\n");
        ran.says("The router's running configuration is unchanged.\n");
        assert!(router.with(|seen| seen.aborted), "the stage would keep the next push out");
        if line > 0 {
            ran.says(&format!("wg0.conf:{line}: "));
        }
    }
}

#[test]
fn what_became_of_the_router_is_always_said() {
    let bench = Bench::new("state", WG0);
    let failure =
        |code, text| Failure { state: State::Partly, errno: 98, ..Failure::new(code, text) };
    let router = Udp::new(Manners {
        fail_commit: Some(failure(Code::Verify, "").about(Subject::ListenPort)),
        machine: "mips",
        ..Manners::default()
    });
    let push = ["push", "wg0.conf", "--udp", &router.address];
    let ran = bench.run(&push);
    ran.ends(1).says(
        "wg0.conf:3: ListenPort: the kernel's state does not match what was applied (EADDRINUSE)",
    );
    ran.says("Some changes were made and could not be reverted: `postwire diff FILE` shows")
        .says("hint: ");
    let mut args = push.to_vec();
    args.push("--json");
    let json = bench.run(&args).ends(1).json();
    let error = &json["error"];
    assert_eq!((&error["kind"], &error["code"]), (&"router".into(), &"verify".into()));
    assert_eq!((&error["file"], &error["line"]), (&"wg0.conf".into(), &3.into()));
    assert_eq!((&error["state"], &error["errno"]), (&"partly".into(), &98.into()));

    let undone = Failure { state: State::Undone, ..Failure::new(Code::Storage, "no space left") };
    let router = Udp::new(Manners { fail_commit: Some(undone), ..Manners::default() });
    let push = ["push", "wg0.conf", "--udp", &router.address];
    let ran = bench.run(&push);
    ran.ends(1).says("error: OpenWrt: no space left\n").says("hint: free some space on the router");
    ran.says(
        "The changes were reverted: the router's running configuration is the same as before.",
    );
    let json = bench.run(&[&push[..], &["--json"]].concat()).ends(1).json();
    assert_eq!(json["error"]["state"], "undone");

    let router = Udp::new(Manners { silent_on_commit: true, ..Manners::default() });
    let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address, "--timeout", "700ms"]);
    ran.ends(3).says("its result is unknown").says("postwire diff");
    let ran = bench.run(&["push", "wg0.conf", "--udp", &router.address, "--timeout", "300ms"]);
    ran.ends(3).says("no answer").says("is unchanged");
}

#[test]
fn nobody_there_is_code_3() {
    let bench = Bench::new("nobody", WG0);
    let router = Udp::new(Manners { silent: true, ..Manners::default() });
    let started = Instant::now();
    let ran = bench.run(&["status", "--udp", &router.address, "--timeout", "500ms"]);
    ran.ends(3).says("no answer from router on 127.0.0.1").says("hint: ");
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(router.with(|seen| seen.packets), 2);

    let closed =
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let started = Instant::now();
    let run = bench.run(&["status", "--udp", &closed, "--timeout", "1500ms", "--json"]);
    let error = &run.ends(3).json()["error"];
    assert_eq!(error["code"], "refused", "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("for 1.5 s: Connection refused"),
        "{error}"
    );
    assert!(error["hint"].as_str().unwrap().contains("postwired does not"), "{error}");
    // The agent may be starting, so the tool waits for the whole timeout.
    assert!(started.elapsed() >= Duration::from_millis(1_500));

    let json = bench.run(&["status", "--serial", "/dev/no-such-line", "--json"]).ends(3).json();
    assert_eq!(json["error"]["kind"], "connection");
    assert_eq!(json["error"]["code"], "no_port");
    bench.run(&["status", "--serial", "/dev/null"]).ends(3).says("not a serial device");
}

#[test]
fn another_version_is_refused_with_a_hint() {
    let bench = Bench::new("version", WG0);
    let failure = Failure::new(Code::Version, "this router speaks versions 2 to 3");
    let router = Udp::new(Manners { fail_hello: Some(failure), ..Manners::default() });
    let ran = bench.run(&["status", "--udp", &router.address]);
    ran.ends(1).says("error: this router speaks versions 2 to 3\n").says("same release");
}

#[test]
fn a_serial_line_carries_the_same() {
    let conf = many_peers(60);
    let bench = Bench::new("pty", &conf);
    let router = Pty::new(Manners { loss: 10, text: b"[ 7.0] usb 1-1\r\n", ..Manners::default() });
    let to = ["--serial", router.device.as_str()];
    let ran = bench.run(&["push", "wg0.conf", to[0], to[1], "-v"]);
    ran.ends(0).says("60 peers added").says("line: [ 7.0] usb 1-1\n");
    assert_eq!(router.with(|seen| seen.commits), 1);
    let ran = bench.run(&["diff", "wg0.conf", to[0], &format!("{}@9600", to[1])]);
    assert!(!ran.ends(0).err.contains("usb"));
    let shown = bench.run(&["show", to[0], to[1]]);
    assert_eq!(shown.ends(0).out.matches("peer: ").count(), 60);
    bench.run(&["status", to[0], to[1]]).ends(0).says("acme,router-1");
}

#[test]
fn a_line_without_an_agent_says_what_it_heard() {
    let bench = Bench::new("login", WG0);
    let cases: [(&[u8], &str); 3] = [
        (b"", "not one byte was received"),
        (b"OpenWrt login: ", "the line is alive"),
        (b"\x81\xfe\x07\xe0\xff", "is 115200 baud the router's speed?"),
    ];
    for (text, words) in cases {
        let router = Pty::new(Manners { silent: true, text, ..Manners::default() });
        let args = ["status", "--serial", &router.device, "--timeout", "400ms"];
        bench.run(&args).ends(3).says(words);
    }
}

#[test]
fn two_programs_do_not_share_a_line() {
    let bench = Bench::new("busy", WG0);
    let router = Pty::new(Manners::default());
    let args = ["status", "--serial", &router.device];
    let lock = |operation| rustix::fs::flock(&router.slave, operation).unwrap();
    lock(rustix::fs::FlockOperation::LockExclusive);
    bench.run(&args).ends(3).says("is in use by another program").says("hint: ");
    lock(rustix::fs::FlockOperation::Unlock);
    bench.run(&args).ends(0);
}

#[test]
fn interfaces_that_are_not_shown_are_counted() {
    let manners = Manners { more_links: 2, ..Manners::default() };
    let (bench, router) = (Bench::new("show-more", WG0), Udp::new(manners));
    let run = |args: &[&str]| bench.run(&[args, &["--udp", &router.address]].concat());
    run(&["push", "wg0.conf"]).ends(0);
    run(&["show"]).ends(0).says("not shown: 2 more WireGuard interfaces").says("interface: wg0\n");
    assert_eq!(run(&["show", "--json"]).json()["result"]["left_out"], 2);
    assert!(!run(&["show", "wg0"]).ends(0).out.contains("not shown"));
}
