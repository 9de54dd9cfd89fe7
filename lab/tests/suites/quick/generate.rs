//! Configurations and commands for `wg-quick`, made from a seed: most are valid, some have a mistake.
//!
//! Inputs for which the agent deliberately differs from Debian's `wg-quick` (docs/wg-quick.md) are not
//! made: a `#`, `&` or `\` in a hook, a bad `Table`, a setting without `=`, endpoints over routes of
//! different MTUs.

use fastrand::Rng;
use std::fmt::Write;

/// A configuration, and the scripts that are run with it in sequence.
pub(super) struct Case {
    pub(super) interface: String,
    pub(super) conf: String,
    pub(super) steps: Vec<String>,
}

/// The case with this number. Each case has its own random numbers, so the number of cases does not
/// change a case.
pub(super) fn case(seed: u64, number: u32) -> Case {
    let mut draw = Draw(Rng::with_seed(Rng::with_seed(seed).u64(..) ^ u64::from(number)));
    let interface = draw.pick(&["wg0", "wg0", "wg0", "a.b-c_d", "fifteen-letters"]).to_owned();
    let wrong = if draw.chance(WRONG) { 0.1 } else { 0.0 };
    let mut conf = draw.conf(wrong);
    let file = format!("/etc/wireguard/{interface}.conf");
    let of = draw.pick(&[&interface, &interface, &file]).to_owned();
    let shown =
        format!("s=$?; cat {file}; ls -ln /etc/wireguard | awk '{{ print $1, $9 }}'; exit $s");
    let mut steps = vec![format!("{}$quick up {of}", draw.before())];
    if draw.chance(0.2) {
        steps.push(format!("$quick strip {of}"));
    }
    for _ in 0..draw.below(3) {
        steps.push(draw.by_hand(&interface));
    }
    if draw.chance(0.5) {
        steps.push(format!("$quick save {of}; {shown}"));
    }
    if draw.chance(0.15) {
        steps.push(format!("$quick up {of}"));
    }
    steps.push(format!("$quick down {of}; {shown}"));
    if draw.chance(0.3) {
        // Ours does not write the value again.
        steps.push(format!("echo 0 >/proc/sys/net/ipv4/conf/all/src_valid_mark; $quick up {of}"));
        steps.push(format!("$quick down {of}"));
    }
    if draw.chance(0.1) {
        conf = conf.replace('\n', "\r\n");
    }
    if draw.chance(0.2) {
        conf.truncate(conf.trim_end().len());
    }
    Case { interface, conf, steps }
}

/// The probability that a configuration may have mistakes.
const WRONG: f64 = 0.25;

const SECRETS: [&str; 2] = [
    "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
    "WFeRqxsFAnELV1c6PTzhLF6HP0XyBlxUgQl1l0/YfXk=",
];
const PUBLICS: [&str; 4] = [
    "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
    "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
    "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=",
    "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=",
];

struct Draw(Rng);

impl Draw {
    fn chance(&mut self, p: f64) -> bool {
        self.0.f64() < p
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Mostly one of `good`, and with the probability `wrong` one of `bad`.
    fn value<'a>(&mut self, wrong: f64, good: &[&'a str], bad: &[&'a str]) -> &'a str {
        if self.chance(wrong) { self.pick(bad) } else { self.pick(good) }
    }

    /// The state that `up` may find.
    fn before(&mut self) -> &'static str {
        self.pick(&[
            "",
            "",
            "",
            "",
            "ip route add 198.51.100.7/32 via 192.0.2.9 table 51820; ",
            "ip -6 route add 2001:db8:7::/48 via 2001:db8:9::9 table 51820; ",
            "ip route add 10.8.0.0/16 via 192.0.2.9; ",
            "ip rule add not fwmark 51820 table 51820; ip -6 rule add pref 9 from all lookup 77; ",
        ])
    }

    /// A change by hand while the interface is up.
    fn by_hand(&mut self, interface: &str) -> String {
        let [one, other, ..] = PUBLICS;
        let changes = [
            format!("ip address add 10.77.0.1/24 dev {interface}"),
            format!("ip -6 address add fd77::1/64 dev {interface}"),
            format!("ip -4 address flush dev {interface}"),
            format!("ip link set {interface} mtu 1300"),
            format!("ip link set {interface} down"),
            format!("ip route flush dev {interface}"),
            format!("ip link delete {interface}"),
            format!("wg set {interface} listen-port 9"),
            format!("wg set {interface} fwmark 8"),
            format!("wg set {interface} fwmark 0"),
            format!("wg set {interface} peer {one} remove"),
            format!("wg set {interface} peer {other} allowed-ips 10.66.0.0/16,fd66::/32,0.0.0.0/0"),
            format!("wg set {interface} peer {one} persistent-keepalive 9"),
            format!(
                "echo '[Interface]' | wg syncconf {interface} /dev/stdin; wg set {interface} listen-port 7"
            ),
            "ip -4 rule delete table 51820".to_owned(),
            "ip rule add table main suppress_prefixlength 0".to_owned(),
            "ip -6 rule add not fwmark 51820 table 51820".to_owned(),
            "nft flush ruleset".to_owned(),
        ];
        changes[self.below(changes.len())].clone()
    }

    /// The text of a file.
    fn conf(&mut self, wrong: f64) -> String {
        // Without a port each program would have another one.
        let secret = format!("PrivateKey = {}", SECRETS[self.below(2)]);
        let mut interface = vec![secret, "ListenPort = 7".to_owned()];
        for _ in 0..self.below(8) {
            let line = self.setting(wrong);
            let at = self.below(interface.len() + 1);
            interface.insert(at, line);
        }
        for _ in 0..self.below(3) {
            let at = self.below(interface.len() + 1);
            interface.insert(at, format!("Address = {}", self.addresses(wrong)));
        }
        let mut sections = vec![(String::from("[Interface]"), interface)];
        // The endpoints of a file are reached over routes with the same MTU.
        let endpoints = self.endpoints();
        let mut keys: Vec<&str> = PUBLICS.to_vec();
        keys.rotate_left(self.below(4));
        for key in keys.iter().take(self.below(4)) {
            let mut lines = vec![format!("PublicKey = {key}")];
            for _ in 0..self.below(4) {
                lines.push(self.peer(wrong, endpoints));
            }
            let at = if self.chance(0.1) { 0 } else { sections.len() };
            sections.insert(at, (String::from("[Peer]"), lines));
        }
        if self.chance(wrong) {
            let line =
                self.pick(&["Bogus = 1", "[Nonsense]", "=", "= 1", "Address", "MTU = 1 = 1"]);
            let last = sections.len() - 1;
            sections[last].1.push(line.to_owned());
        }
        let free = self.chance(0.7);
        let mut text = String::new();
        for (name, lines) in &sections {
            for line in std::iter::once(name).chain(lines) {
                let line = if free { self.freely(line) } else { line.clone() };
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    /// A line of `[Interface]`.
    fn setting(&mut self, wrong: f64) -> String {
        match self.below(14) {
            0 => {
                format!("ListenPort = {}", self.value(wrong, &["7", "51820", "07"], &["x", "7 1"]))
            }
            1 | 2 => {
                let good = ["0x99", "0", "off", "1234", "0x9", "51820", "5"];
                format!("FwMark = {}", self.value(wrong, &good, &["x", "", "0x"]))
            }
            3 | 4 => {
                let good = ["1280", "1420", "1380", "0x580", "02600", "9000", "", "576", "65535"];
                let bad = ["67", "0", "x", "1420x", "-1", "1 2", "65536", "4294967296", "08"];
                format!("MTU = {}", self.value(wrong, &good, &bad))
            }
            5 | 6 => {
                let good = [
                    "off",
                    "auto",
                    "main",
                    "lab",
                    "77",
                    "0x77",
                    "0123",
                    "1234",
                    "51820",
                    "",
                    "default",
                    "4294967295",
                ];
                format!("Table = {}", self.pick(&good))
            }
            7 => {
                let good = [
                    "192.0.2.53",
                    "192.0.2.53, 2001:db8::53",
                    "192.0.2.53,a.example,, b.example",
                    "",
                    "a.example",
                    "1.1",
                    "10.9.0.53   fd09::53",
                    "::",
                ];
                format!("DNS = {}", self.pick(&good))
            }
            8 => {
                let good = ["true", "false", "TRUE", "True", "False"];
                format!(
                    "SaveConfig = {}",
                    self.value(wrong, &good, &["yes", "1", "", "true false"])
                )
            }
            kind => {
                let name = self.pick(&["PreUp", "PostUp", "PreDown", "PostDown"]);
                let good = [
                    "true",
                    "echo %i >>/tmp/s/programs",
                    "echo \"a  b\" '%i%i' '%%i' $((1+2)) >>/tmp/s/programs",
                    "x=%i; echo ${x%%0} ${x} >>/tmp/s/programs",
                    "",
                    "cat >>/tmp/s/programs; true || false",
                    "echo \\% \"=\" >>/tmp/s/programs",
                    "for i in 1 2; do echo $i; done",
                    "cat <(echo from %i)",
                    "if false; then exit 9; fi",
                ];
                let up = [
                    "ip route add 10.8.0.0/16 dev %i",
                    "ip -6 address add fd55::1/64 dev %i",
                    "ip link set %i mtu 1290",
                    "wg set %i fwmark 66",
                ];
                // A `PreUp` that fails ends Debian's with 1, because there is no link to remove.
                let bad: &[&str] = match name {
                    "PreUp" => &["false", "echo no >/no/such/file"],
                    _ => &["false", "exit 7", "no-such-program", "echo no >/no/such/file"],
                };
                if kind == 13 && name == "PostUp" {
                    return format!("PostUp = {}", self.pick(&up));
                }
                format!("{name} = {}", self.value(wrong, &good, bad))
            }
        }
    }

    fn addresses(&mut self, wrong: f64) -> String {
        let good = [
            "10.9.0.1/24",
            "10.9.0.2/24",
            "10.9.1.1",
            "10.9.2.1/32",
            "10.9.3.1/255.255.255.0",
            "10.10.0.0/16",
            "10.11.0.255/24",
            "10.12.0.1/31",
            "10.13.0.1/0",
            "10.14.0.1/1",
            "127.7.0.1/16",
            "169.254.1.1/16",
            "fd09::1/64",
            "FD09:0:0:0::2/64",
            "fd09::3",
            "fd09:1::1/128",
            "fd09:2::/48",
            "fe80::7/64",
            "2001:DB8:1::1/127",
            "::ffff:10.1.2.3/120",
            "64:ff9b::192.0.2.1/96",
            "fd0a::1/0",
        ];
        let bad = [
            "10.9.0.1/33",
            "fd09::1/129",
            "10.9.0.1/-1",
            "10.9.0.1/",
            "/24",
            "10.9.0.1/24/24",
            "10.9.0.1/255.0.255.0",
            "fd09::1/ffff::",
            "10.9.0.300/24",
            "fd09:::1/64",
            "nonsense",
            "10.9.0.1/24, 10.9.0.1/24",
            "224.0.0.1/24",
            "ff02::1/64",
            "::1/128",
            "::/64",
            "fd09::1%lo/64",
        ];
        let mut text = String::new();
        for n in 0..self.below(4) {
            if n > 0 {
                text.push_str(self.pick(&[",", ", ", " , ", "  ", ",,", "\t"]));
            }
            text.push_str(self.value(wrong, &good, &bad));
        }
        text
    }

    fn endpoints(&mut self) -> &'static [&'static str] {
        [
            // Over a link of 1400.
            &["192.0.2.9:7", "[2001:db8:9::9]:7", "192.0.2.1:51820"][..],
            // Over the default route, or without a route.
            &["198.51.100.1:7", "203.0.113.9:1"],
            &["[2001:db8:5::5]:9"],
            &["127.0.0.1:9", "[::1]:9", "localhost:8"],
        ][self.below(4)]
    }

    /// A line of `[Peer]` after its key.
    fn peer(&mut self, wrong: f64, endpoints: &[&str]) -> String {
        match self.below(8) {
            0 | 1 => {
                let bad = ["", "300.0.0.1:7", "192.0.2.9", "192.0.2.9:x", "[::1]", ":7"];
                format!("Endpoint = {}", self.value(wrong, endpoints, &bad))
            }
            2 => {
                let good = ["25", "0", "off", "65535"];
                format!("PersistentKeepalive = {}", self.value(wrong, &good, &["x", "", "70000"]))
            }
            3 => format!("PresharedKey = {}", self.value(wrong, &SECRETS, &["x", ""])),
            _ => {
                let good = [
                    "0.0.0.0/0",
                    "::/0",
                    "0.0.0.0/0, ::/0",
                    "0.0.0.0/1, 128.0.0.0/1",
                    "::/1, 8000::/1",
                    "10.0.0.0/8",
                    "10.8.0.0/16",
                    "10.8.0.0/17",
                    "10.9.0.0/24",
                    "10.9.0.7/32",
                    "10.9.0.8",
                    "10.9.5.77/24",
                    "10.13.0.1/0",
                    "192.168.0.0/16",
                    "169.254.0.0/16",
                    "fd08::/64",
                    "fd09::/64",
                    "fd09::7/128",
                    "FD09:1::1",
                    "fd08:7::9/33",
                    "2000::/3",
                    "::ffff:10.1.2.0/120",
                    "224.0.0.0/4",
                    "ff00::/8",
                    "",
                ];
                let bad = [
                    "10.8.0.0/33",
                    "fd08::/129",
                    "x",
                    "10.8.0/16",
                    "10.8.0.0/255.255.0.0",
                    "192.0.2.0/24",
                    "127.0.0.0/8",
                    "2001:db8:9::/64",
                    "+10.8.0.0/16",
                ];
                let mut text = String::new();
                for n in 0..1 + self.below(3) {
                    if n > 0 {
                        text.push_str(self.pick(&[",", ", ", " ,\t"]));
                    }
                    text.push_str(self.value(wrong, &good, &bad));
                }
                format!("AllowedIPs = {text}")
            }
        }
    }

    /// Writes a line in another form without changing its meaning.
    fn freely(&mut self, line: &str) -> String {
        let blank = ["", "", "", "", " ", "\t", "  "];
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let hook = ["PreUp", "PostUp", "PreDown", "PostDown"].contains(&name.trim());
        let mut text = String::new();
        if self.chance(0.2) {
            text.push_str(self.pick(&[
                "\n",
                " \n",
                "# a comment\n",
                "  # Address = 10.0.0.9/24\n",
                "#\n",
            ]));
        }
        text.push_str(self.pick(&blank));
        text.push_str(&match self.below(4) {
            0 => name.to_lowercase(),
            1 => name.to_uppercase(),
            _ => name.to_owned(),
        });
        if line.contains('=') {
            text = format!(
                "{}{}={}{}",
                text.trim_end_matches(' '),
                self.pick(&blank),
                self.pick(&blank),
                value.trim()
            );
        }
        text.push_str(self.pick(&blank));
        if !hook && self.chance(0.2) {
            text.push_str(self.pick(&["# a comment", " #", "#x = y # z"]));
        }
        text
    }
}
