//! Values for the words and lines of generated cases: valid ones, and with the probability `wrong`
//! invalid ones. Values for which the agent deliberately differs from Debian's `wg` are not used.

use super::{super::keys, Draw};

impl Draw {
    pub(super) fn secret(&mut self, wrong: f64) -> String {
        let key = keys::secret(self.pick(&["p", "s"]), 1 + self.below(keys::SECRET));
        if !self.chance(wrong) {
            return key;
        }
        let cut = self.below(key.len());
        match self.below(3) {
            0 => key[..cut].to_owned(),
            1 => format!("{}{}", &key[..cut], &key[..key.len() - cut]),
            _ => format!("{key}{}", &key[cut..]),
        }
    }

    pub(super) fn key_file(&mut self, wrong: f64) -> &'static str {
        let good = ["/diff/p1", "/diff/p2", "/diff/s1", "/diff/s2", "/dev/null"];
        self.value(wrong, &good, &["nosuch", "", "/", "base"])
    }

    pub(super) fn port(&mut self, wrong: f64) -> &'static str {
        let bad = ["", "-1", "x", "5x", "0x5", "1.5", "off"];
        self.value(wrong, &["0", "1", "51820", "65535", "00051", "1024"], &bad)
    }

    pub(super) fn mark(&mut self, wrong: f64) -> &'static str {
        let good = ["0", "off", "1", "0x0", "0xca6c", "0xFFFFFFFF", "4294967295", "007"];
        self.value(wrong, &good, &["", "-1", "0x", "0x100000000", "4294967296", "x", "5x", " 5"])
    }

    pub(super) fn keepalive(&mut self, wrong: f64) -> &'static str {
        let bad = ["", "-1", "65536", "x", "5x", "0x5", "on"];
        self.value(wrong, &["0", "off", "1", "25", "65535", "007"], &bad)
    }

    pub(super) fn endpoint(&mut self, wrong: f64) -> &'static str {
        let good = [
            "192.0.2.1:51820",
            "192.0.2.2:1",
            "[2001:db8::1]:51820",
            "[::1]:65535",
            "[::ffff:192.0.2.1]:7",
            "[fe80::1%lo]:9",
            "localhost:51820",
            "203.0.113.255:0",
        ];
        let bad =
            ["", ":", "192.0.2.1", "192.0.2.1:", "[::1]", "[::1", "[::1]:x", "192.0.2.1:x", "[]:5"];
        self.value(wrong, &good, &bad)
    }

    pub(super) fn ips(&mut self, wrong: f64, least: usize, between: &str) -> String {
        let count = [0, 1, 1, 2, 3, 5, 40][self.below(7)].max(least);
        let mut ips: Vec<String> = (0..count).map(|_| self.ip()).collect();
        if self.chance(wrong) {
            let bad = [
                "10.0.0.0/33",
                "fd00::/129",
                "10.0.0/8",
                "",
                "x",
                "10.0.0.0/",
                "/8",
                "10.0.0.0/-1",
                "10.0.0.0/8/8",
                "fd00:::/64",
                "1.2.3.4.5",
            ];
            let at = self.below(ips.len() + 1);
            ips.insert(at, self.pick(&bad).to_owned());
        }
        ips.join(between)
    }

    fn ip(&mut self) -> String {
        let (a, b) = (self.below(4), self.below(256));
        let host = if self.chance(0.1) { 77 } else { 0 };
        match self.below(8) {
            0 => self.pick(&["0.0.0.0/0", "::/0", "0.0.0.0/1", "8000::/1"]).to_owned(),
            1 | 2 => format!("10.{a}.{b}.{host}/24"),
            3 => format!("10.{a}.{b}.9"),
            4 => format!("10.{a}.0.{host}/{}", 8 + self.below(25)),
            5 => format!("fd00:{a}:{b:x}::{host}/48"),
            6 => format!("FD00:{a}::{b:X}"),
            _ => format!("fd00:{a}::{host}/{}", self.below(129)),
        }
    }
}
