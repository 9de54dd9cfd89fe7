//! Whole commands, over a machine in memory. The lab tests them with a real kernel and real
//! programs, beside Debian's.

mod process;

use process::Machine;
use proto_core::ip::{AF_INET, AF_INET6};
use proto_core::key::PublicKey;
use proto_core::netlink::route::{Rule, link};

use crate::system::File;
use crate::testing::Memory;

const PATH: &str = "/etc/wireguard/wg0.conf";

fn key(byte: u8) -> String {
    PublicKey([byte; 32]).to_string()
}

/// A machine with a file of these lines.
fn machine(interface: &str, peer: &str) -> Machine {
    let mut machine = Machine::online();
    let (own, other) = (key(8), key(1));
    let text = format!(
        "[Interface]\nPrivateKey = {own}\n{interface}\n[Peer]\nPublicKey = {other}\n{peer}\n"
    );
    machine.wg.files.insert(PATH.to_owned(), text.into_bytes());
    machine.programs.extend([("nft", 0), ("resolvconf", 0)]);
    machine
}

/// The lines that report actions.
fn echo(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("[#] ")).collect()
}

const FULL: (&str, &str) = (
    "Address = 10.9.0.1/24, fd09::1/64\nDNS = 192.0.2.53, example.net\nPreUp = pre %i\nPostUp = post %i%i\n\
     PreDown = down\nPostDown = gone # %i",
    "AllowedIPs = 0.0.0.0/0, 10.0.0.0/8, 10.1.0.0/16, 10.9.0.0/25\nEndpoint = 192.0.2.1:7",
);

#[test]
fn up_and_down_in_their_order() {
    let machine = machine(FULL.0, FULL.1);
    let (code, out, said) = machine.run("up wg0");
    assert_eq!((code, out.as_str()), (0, ""), "{said}");
    assert_eq!(
        echo(&said),
        [
            "ip link add wg0 type wireguard",
            "pre wg0",
            "wg setconf wg0 /dev/fd/63",
            "ip -4 address add 10.9.0.1/24 dev wg0",
            "ip -6 address add fd09::1/64 dev wg0",
            "ip link set mtu 1320 up dev wg0",
            "resolvconf -a wg0 -m 0 -x",
            // The kernel's own route to 10.9.0.0/24 covers 10.9.0.0/25.
            "ip -4 route add 10.1.0.0/16 dev wg0",
            "ip -4 route add 10.0.0.0/8 dev wg0",
            "wg set wg0 fwmark 51820",
            "ip -4 rule add not fwmark 51820 table 51820",
            "ip -4 rule add table main suppress_prefixlength 0",
            "ip -4 route add 0.0.0.0/0 dev wg0 table 51820",
            "sysctl -q net.ipv4.conf.all.src_valid_mark=1",
            "nft -f -",
            "post wg0wg0",
        ]
    );
    assert_eq!(
        machine.log(),
        [
            "link",
            "10.9.0.1/24",
            "fd09::1/64",
            "set link",
            "set link",
            "10.1.0.0/16 in 254",
            "10.0.0.0/8 in 254",
            "rule 2 51820 Some(51820) None",
            "rule 2 254 None Some(0)",
            "0.0.0.0/0 in 51820",
            "src_valid_mark",
        ]
    );
    assert_eq!(machine.device().fwmark, 51820);
    let calls = machine.calls();
    let [pre, dns, nft, post] = &*calls else { panic!("{calls:?}") };
    assert_eq!(pre, "sh -ec pre wg0");
    assert_eq!(dns, "resolvconf -a wg0 -m 0 -x <nameserver 192.0.2.53\nsearch example.net\n");
    assert!(nft.contains("ip daddr 10.9.0.1 fib saddr type != local drop\n"), "{nft}");
    assert_eq!(post, "sh -ec post wg0wg0");

    let (code, out, said) = machine.run("down wg0");
    assert_eq!((code, out.as_str()), (0, ""), "{said}");
    assert_eq!(
        echo(&said),
        [
            "down",
            "ip -4 rule delete table 51820",
            "ip -4 rule delete table main suppress_prefixlength 0",
            "ip link delete dev wg0",
            "resolvconf -d wg0 -f",
            "gone # wg0",
        ]
    );
    assert!(!machine.has_link());
}

#[test]
fn down_removes_no_rule_of_others() {
    let machine = machine("Address = 10.9.0.1/24", "AllowedIPs = 0.0.0.0/0, ::/0");
    let world = machine.world();
    let main = |priority, family| Rule {
        priority: Some(priority),
        suppress_prefixlen: Some(0),
        ..Rule::new(family, 254)
    };
    for family in [AF_INET, AF_INET6] {
        for rule in [
            // In front of ours and behind them: with a mark, for packets without it, or with other prefixes.
            Rule { fwmark: Some(3), ..main(7, family) },
            Rule { fwmark: Some(3), ..main(40_000, family) },
            Rule { fwmark: Some(3), invert: true, ..main(8, family) },
            Rule { suppress_prefixlen: Some(8), ..main(9, family) },
            Rule { suppress_prefixlen: None, ..main(10, family) },
            Rule { fwmark: Some(51_820), ..Rule::new(family, 77) },
        ] {
            world.by_hand(|buf| rule.add(buf, 1).unwrap()).unwrap();
        }
    }
    let before = world.seen().others;
    for _ in 0..2 {
        let (code, _, said) = machine.run("up wg0");
        assert_eq!(code, 0, "{said}");
        let (code, _, said) = machine.run("down wg0");
        assert_eq!(code, 0, "{said}");
        assert_eq!(world.seen().others, before, "{said}");
    }
}

#[test]
fn up_where_no_table_of_routes_exists_yet() {
    for (interface, peer) in [
        ("", ""),
        ("", "AllowedIPs = 10.0.0.0/8, fd00::/8"),
        ("", "AllowedIPs = 0.0.0.0/0, ::/0"),
        ("Address = 10.9.0.1/24, fd09::1/64", "AllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.1:7"),
    ] {
        let mut machine = machine(interface, peer);
        let online = core::mem::take(&mut machine.wg);
        machine.wg.files = online.files;
        let (code, _, said) = machine.run("up wg0");
        assert_eq!(code, 0, "{interface} {peer}: {said}");
        let (code, _, said) = machine.run("down wg0");
        assert_eq!(code, 0, "{interface} {peer}: {said}");
    }
}

#[test]
fn hooks_are_for_bash_where_there_is_one() {
    let mut machine = machine("PostUp = wg set %i private-key <(cat /key)", "");
    machine.wg.files.insert("/bin/bash".to_owned(), Vec::new());
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(
        (code, machine.calls().last().unwrap().as_str()),
        (0, "bash -ec wg set wg0 private-key <(cat /key)"),
        "{said}"
    );
}

#[test]
fn a_value_that_is_there_is_not_written_again() {
    let full = "AllowedIPs = 0.0.0.0/0";
    for (value, written) in [("0", true), ("1", false)] {
        let mut machine = machine("", full);
        let path = "/proc/sys/net/ipv4/conf/all/src_valid_mark";
        machine.wg.files.insert(path.to_owned(), value.into());
        let (code, _, said) = machine.run("up wg0");
        assert_eq!(code, 0, "{said}");
        assert_eq!(machine.log().iter().any(|said| said == "src_valid_mark"), written);
        assert_eq!(said.contains("sysctl"), written, "{said}");
    }
}

/// A machine without WireGuard in its kernel, and with a program that provides it.
fn without_wireguard(program: &'static str, code: i32) -> Machine {
    let mut machine = machine(FULL.0, FULL.1);
    machine.world().without_wireguard();
    machine.programs.insert(program, code);
    machine
}

#[test]
fn without_wireguard_in_the_kernel_a_program_has_the_interface() {
    let mut machine = without_wireguard("my-wireguard", 0);
    machine.wg.variables.insert("WG_QUICK_USERSPACE_IMPLEMENTATION", "my-wireguard");
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 0, "{said}");
    let [link, why, instead, program, ..] = &*said.lines().collect::<Vec<_>>() else {
        panic!("{said}");
    };
    assert_eq!(*link, "[#] ip link add wg0 type wireguard");
    let wanted =
        format!("wg-quick: cannot create the interface: {}", crate::kernel::exchange::NO_WIREGUARD);
    assert_eq!(*why, wanted);
    assert!(instead.starts_with("[!] Missing WireGuard kernel module. Falling back"), "{said}");
    assert_eq!(*program, "[#] my-wireguard wg0");
    assert_eq!(machine.device().fwmark, 51820);
    assert_eq!(machine.device().peers.len(), 1);
    let (code, _, said) = machine.run("save wg0");
    assert_eq!(code, 0, "{said}");
    assert!(machine.saved.borrow().as_ref().is_some_and(|(_, text)| text.contains("[Peer]")));
    let (code, _, said) = machine.run("down wg0");
    assert_eq!(code, 0, "{said}");
    assert!(!machine.has_link());
    assert!(said.contains("ip -4 rule delete table 51820"), "{said}");
}

#[test]
fn a_program_that_fails_leaves_nothing() {
    let mut machine = without_wireguard("wireguard-go", 3);
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 3, "{said}");
    assert!(!said.contains("ip link delete"), "{said}");
    // This program created its interface before it failed.
    machine.programs.insert("half-wireguard", 4);
    machine.wg.variables.insert("WG_QUICK_USERSPACE_IMPLEMENTATION", "half-wireguard");
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 4, "{said}");
    assert!(said.ends_with("[#] ip link delete dev wg0\n"), "{said}");
    assert!(!machine.has_link());
    // An empty variable counts as unset. A program that does not exist is not tried; with the
    // module, no program is.
    machine.wg.variables.insert("WG_QUICK_USERSPACE_IMPLEMENTATION", "");
    assert_eq!(machine.run("up wg0").0, 3);
    machine.wg.variables.insert("WG_QUICK_USERSPACE_IMPLEMENTATION", "other-wireguard");
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 2, "{said}");
    assert!(!said.contains("[!]"), "{said}");
    machine.wg.variables.clear();
    machine.wg.files.insert("/sys/module/wireguard".to_owned(), Vec::new());
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 2, "{said}");
    assert!(!said.contains("[!]"), "{said}");
}

#[test]
fn a_step_that_fails_takes_all_before_it_back() {
    for (refuse, code) in [("10.9", 2), ("set link", 2), ("10.0", 2), ("rule", 2), ("0.0.0.0", 2)] {
        let machine = machine(FULL.0, FULL.1);
        machine.world().refuse(refuse);
        let (ended, _, said) = machine.run("up wg0");
        assert_eq!(ended, code, "{said}");
        assert!(said.ends_with("[#] ip link delete dev wg0\n"), "{said}");
        let log = machine.log();
        let count = |what: &str| log.iter().filter(|said| said.starts_with(what)).count();
        // A rule that was added was removed; a rule that was refused never existed.
        let refused = usize::from(refuse == "rule");
        assert_eq!(count("rule") - refused, count("no rule"), "{log:?}");
        assert!(!machine.has_link(), "{said}");
    }
    let machine = machine(&FULL.0.replace("post %i%i", "exit 7"), FULL.1);
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 7);
    assert!(echo(&said).contains(&"resolvconf -d wg0 -f"), "{said}");
}

#[test]
fn a_step_of_down_that_fails_leaves_the_others_to_be_done() {
    for (refuse, ends) in
        [("no rule 2", 2), ("no rule 10", 2), ("no rule", 2), ("no link", 2), ("nothing", 0)]
    {
        let machine = machine(FULL.0, &FULL.1.replace("0.0.0.0/0,", "0.0.0.0/0, ::/0,"));
        let (code, _, said) = machine.run("up wg0");
        assert_eq!(code, 0, "{said}");
        machine.calls();
        machine.world().refuse(refuse);
        let (code, _, said) = machine.run("down wg0");
        assert_eq!(code, ends, "{refuse}: {said}");
        for step in [
            "ip -4 rule delete table 51820",
            "ip -6 rule delete table 51820",
            "ip link delete dev wg0",
            "resolvconf -d wg0 -f",
            "gone # wg0",
        ] {
            assert!(echo(&said).contains(&step), "{refuse}: no {step}: {said}");
        }
        let calls = machine.calls();
        assert!(calls.iter().any(|call| call.starts_with("nft list")), "{calls:?}");
        assert_eq!(calls.last().map(String::as_str), Some("sh -ec gone # wg0"));
        assert_eq!(machine.has_link(), refuse == "no link");
    }
}

#[test]
fn a_signal_takes_all_back_after_the_step_it_came_in() {
    let machine = machine(&FULL.0.replace("pre %i", "signal"), FULL.1);
    let (code, _, said) = machine.run("up wg0");
    assert_eq!((code, echo(&said).last()), (143, Some(&"ip link delete dev wg0")), "{said}");
    assert_eq!(machine.log(), ["link", "no link"]);
}

#[test]
fn programs_that_are_not_there() {
    let mut machine = machine(FULL.0, "AllowedIPs = ::/0");
    machine.programs.clear();
    let (code, _, said) = machine.run("up wg0");
    assert!(code == 127 && said.contains("wg-quick: there is no program `resolvconf'"), "{said}");
    machine.programs.insert("resolvconf", 0);
    let (code, _, said) = machine.run("up wg0");
    let words = "wg-quick: there is no program `ip6tables-restore'";
    assert!(code == 127 && said.contains(words), "{said}");
    machine.programs.insert("resolvconf", 3);
    assert_eq!(machine.run("up wg0").0, 3);
    assert!(!machine.has_link());
}

#[test]
fn a_firewall_that_is_set_in_part_is_removed() {
    let mut machine = machine("", "AllowedIPs = 0.0.0.0/0");
    machine.programs.remove("nft");
    machine.programs.extend([("iptables", 0), ("iptables-save", 0), ("iptables-restore", 2)]);
    // The raw table was set, and the kernel has no CONNMARK for the mangle table.
    let raw =
        "*raw\n-A PREROUTING -j DROP -m comment --comment \"wg-quick(8) rule for wg0\"\nCOMMIT\n";
    machine.prints.insert("iptables-save", raw);
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 2, "{said}");
    let calls = machine.calls();
    let removal = "iptables-restore -n <*raw\n-D PREROUTING -j DROP";
    assert!(calls.iter().any(|call| call.starts_with(removal)), "{calls:#?}");
}

#[test]
fn keys_are_in_no_command_and_no_message() {
    for interface in [FULL.0, "Address = x", "MTU = x", "Table = x"] {
        let machine = machine(interface, FULL.1);
        let (_, out, said) = machine.run("up wg0");
        for text in [out, said, machine.calls().join("\n")] {
            assert!(!text.contains(&key(8)), "{text}");
        }
    }
    let misplaced = format!("{}\nTable = {}\nMTU = {}", key(8), key(8), key(8));
    let (code, out, said) = machine(&misplaced, "").run("up wg0");
    assert!(code == 1 && out.is_empty() && !said.contains(&key(8)), "{said}");
}

#[test]
fn lists_of_any_length() {
    let nets =
        |count: u32, net: fn(u32) -> String| (0..count).map(net).collect::<Vec<_>>().join(",");
    let addresses = nets(3000, |n| format!("10.{}.{}.1/32", n >> 8, n & 255));
    let allowed = nets(3000, |n| format!("11.{}.{}.0/24", n >> 8, n & 255));
    let lines = addresses.split(',').collect::<Vec<_>>();
    let lines = lines.chunks(100).map(|some| format!("Address = {}", some.join(", ")));
    let interface = lines.collect::<Vec<_>>().join("\n");
    let machine = machine(&interface, &format!("AllowedIPs = {allowed}"));
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 0, "{}", said.lines().last().unwrap());
    let log = machine.log();
    assert_eq!(log.iter().filter(|said| said.ends_with("/32")).count(), 3000);
    assert_eq!(log.iter().filter(|said| said.ends_with("/24 in 254")).count(), 3000);
}

#[test]
fn mistakes_are_named() {
    for (interface, words) in [
        (
            "Address = 10.0.0.1/33",
            "line 3: Address `10.0.0.1/33' is not an address with its prefix",
        ),
        ("MTU = 14oo", "MTU `14oo' is not a number"),
        ("MTU = 000000000000014201", "line 3: MTU `000000000000014201' is too long"),
        ("Table = mine", "Table `mine' is neither a number nor in /etc/iproute2/rt_tables"),
        ("SaveConfig = yes", "line 3: SaveConfig `yes' is neither true nor false"),
        ("PostUp = \u{0}", "[#] \n"),
        ("Adress = 1", "wg-quick: line 3: Adress is not a setting of wg"),
    ] {
        let (_, _, said) = machine(interface, "AllowedIPs = ::/64").run("up wg0");
        assert!(said.contains(words), "{said}");
    }
    let mut there = machine("", "");
    there.exposed = true;
    let (code, _, said) = there.run("down wg0");
    let warning = format!("Warning: `{PATH}' is world accessible\n");
    assert_eq!((code, said), (1, warning + "wg-quick: `wg0' is not a WireGuard interface\n"));
    for (line, words) in [
        ("up wg1", "`/etc/wireguard/wg1.conf' does not exist"),
        ("up /etc/hosts", "`/etc/hosts': the file's name must be the name of the interface"),
        ("up a-name-that-is-too-long", "`a-name-that-is-too-long' does not exist"),
    ] {
        let mut machine = machine("", "");
        machine.wg.files.insert("/etc/hosts".to_owned(), Vec::new());
        let (code, _, said) = machine.run(line);
        assert!(code == 1 && said.contains(words), "{said}");
    }
    let mut nobody = machine("", "");
    nobody.nobody = true;
    assert_eq!(nobody.run("strip wg0").2, "wg-quick: only root may do this\n");
    let (code, out, said) = machine("", "").run("up");
    assert!(
        code == 1 && out.is_empty() && said.starts_with("Usage: wg-quick [ up | down"),
        "{said}"
    );
}

#[test]
fn tables_by_name() {
    let mut machine = machine("Table = lab", "AllowedIPs = 10.0.0.0/8, ::/0");
    let names = b"# names\n255\tlocal\n 0x4d  lab\n78 lab\n".to_vec();
    machine.wg.files.insert("/etc/iproute2/rt_tables".to_owned(), names);
    let (code, _, said) = machine.run("up wg0");
    assert_eq!(code, 0, "{said}");
    assert!(echo(&said).contains(&"ip -6 route add ::/0 dev wg0 table lab"), "{said}");
    let log = machine.log();
    assert!(log.ends_with(&["10.0.0.0/8 in 77".to_owned(), "::/0 in 77".to_owned()]), "{log:?}");
}

#[test]
fn what_is_saved() {
    let machine = machine(
        "Address = 10.9.0.1/24, fd09::1/64\nMTU = 1300\nSaveConfig = TRUE\nPreUp = a # b\nPostUp = c && d \\\\ e",
        "AllowedIPs = 10.0.0.0/8",
    );
    assert_eq!(machine.run("up wg0").0, 0);
    // The kernel's value is saved, not that of the file.
    let index = machine.world().index("wg0");
    machine.world().by_hand(|buf| link::set_mtu(buf, 1, index, 1280).unwrap()).unwrap();
    machine.disk_is_full.set(true);
    let (code, _, said) = machine.run("down wg0");
    let full = "wg-quick: cannot write /etc/wireguard/wg0.conf: No space left on device (ENOSPC)\n";
    assert!(code == 1 && said.ends_with(full), "{said}");
    // An interface that could not be saved is not removed.
    assert!(machine.has_link());
    machine.disk_is_full.set(false);
    let (code, out, _) = machine.run("down wg0");
    assert_eq!((code, out.as_str()), (0, ""));
    let (path, text) = machine.saved.take().unwrap();
    assert_eq!(path, PATH);
    assert_eq!(
        text,
        format!(
            "[Interface]\nAddress = 10.9.0.1/24\nAddress = fd09::1/64\nMTU = 1280\nSaveConfig = true\n\
             PreUp = a # b\nPostUp = c && d \\\\ e\nPrivateKey = {}\n\n[Peer]\nPublicKey = {}\nAllowedIPs = 10.0.0.0/8\n",
            PublicKey(*proto_core::key::SecretKey::new([8; 32]).clamped().as_bytes()),
            key(1),
        )
    );
}

#[test]
fn lines_of_any_length_and_the_last_without_end() {
    let text = format!("one\n{}\n\n{}\ntwo", "x".repeat(1024), "y".repeat(1025));
    let mut told = Vec::new();
    let mut file = Memory::default();
    file.write_at(0, text.as_bytes()).unwrap();
    super::lines(&mut super::from_start(&mut file), &mut |line| told.push(line.to_owned()))
        .unwrap();
    assert_eq!(told, ["one", &"x".repeat(1024), "", "two"]);
}

#[test]
fn a_kernel_without_ipv6_has_no_ipv6_rules() {
    let ipv4_only = FULL.0.replace(", fd09::1/64", "");
    let up = |peer: &str| {
        let machine = machine(&ipv4_only, peer);
        machine.world().without_ipv6(false);
        let (code, _, said) = machine.run("up wg0");
        (machine, code, said)
    };
    let (machine, code, said) = up(FULL.1);
    assert_eq!(code, 0, "{said}");
    let (code, out, said) = machine.run("down wg0");
    assert_eq!((code, out.as_str()), (0, ""), "{said}");
    let done = echo(&said);
    assert!(done.contains(&"ip -4 rule delete table 51820"), "{said}");
    assert_eq!(
        done[done.len() - 3..],
        ["ip link delete dev wg0", "resolvconf -d wg0 -f", "gone # wg0"]
    );
    // The error names what it cannot have.
    let (machine, code, said) = up("AllowedIPs = ::/0\nEndpoint = 192.0.2.1:7");
    assert!(code != 0 && said.contains("cannot add the rule: Address family"), "{said}");
    assert!(!said.contains("listen port") && !machine.has_link(), "{said}");
}
