//! Cases made from a seed: a starting state, and a few commands, most of them valid and some with
//! one mistake.

mod values;

use super::{
    case::{Case, quote},
    keys,
};
use fastrand::Rng;
use std::fmt::Write;

/// The case with this number. Each case has its own random numbers, so the number of cases does not
/// change a case.
pub(super) fn case(seed: u64, number: u32) -> Case {
    let mut draw = Draw(Rng::with_seed(Rng::with_seed(seed).u64(..) ^ u64::from(number)));
    let mut script = String::new();
    let base = draw.config(0.0);
    let text = draw.written(&base, Form::default());
    let _ = write!(script, "cat >base <<'END'\n{text}END\n");
    script.push_str("ref setconf wg0 base 2>warnings || cat warnings\n");
    for step in 0..2 + draw.below(3) {
        script.push_str(&draw.command(step, &base));
    }
    Case { name: format!("generated {number}"), script: script.trim_end().to_owned() }
}

/// The format of a file, where it does not affect the meaning.
#[derive(Clone, Copy, Default)]
struct Form {
    /// Extra spaces, comments, and letters of either case.
    free: bool,
    carriage_returns: bool,
    no_last_newline: bool,
}

struct Draw(Rng);

/// The probability of a mistake in a command or file.
const WRONG: f64 = 0.25;

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

    /// A value for a setting: mostly one of `good`, and with the probability `wrong` one of `bad`.
    fn value<'a>(&mut self, wrong: f64, good: &[&'a str], bad: &[&'a str]) -> &'a str {
        if self.chance(wrong) { self.pick(bad) } else { self.pick(good) }
    }

    fn public(&mut self) -> String {
        let number = 1 + self.below(keys::PUBLIC);
        keys::public(number)
    }

    /// A line of the script. `base` is the configuration of the interface at the start of the case.
    fn command(&mut self, step: usize, base: &[String]) -> String {
        let shows = [
            "show wg0",
            "show wg0 dump",
            "show all dump",
            "show",
            "showconf wg0",
            "show wg0 allowed-ips",
            "show wg0 endpoints",
            "show all persistent-keepalive",
            "show all preshared-keys",
            "show wg0 peers",
        ];
        match self.below(8) {
            0 => format!("wg {}\n", self.pick(&shows)),
            1..=3 => format!("wg set wg0{}\n", self.set()),
            _ => {
                let command = self.pick(&["setconf", "addconf", "syncconf", "syncconf"]);
                let form = Form {
                    free: self.chance(0.7),
                    carriage_returns: self.chance(0.1),
                    no_last_newline: self.chance(0.2),
                };
                let wrong = if self.chance(WRONG) { 0.15 } else { 0.0 };
                let changed = command == "syncconf" && self.chance(0.6);
                let lines = if changed { self.changed(base) } else { self.config(wrong) };
                let text = quote(&self.written(&lines, form));
                match self.below(3) {
                    0 => format!("printf %s {text} >conf{step}\nwg {command} wg0 conf{step}\n"),
                    1 => format!(
                        "printf %s {text} >conf\nrun sh -c 'cat conf | wg {command} wg0 /dev/stdin'\n"
                    ),
                    _ => format!("printf %s {text} >conf\nwg {command} wg0 /dev/stdin <conf\n"),
                }
            }
        }
    }

    /// The words after `wg set wg0`.
    fn set(&mut self) -> String {
        let wrong = if self.chance(WRONG) { 0.3 } else { 0.0 };
        let mut words: Vec<String> = Vec::new();
        let mut add = |all: &[&str]| words.extend(all.iter().map(|word| (*word).to_owned()));
        if self.chance(0.3) {
            add(&["listen-port", self.port(wrong)]);
        }
        if self.chance(0.3) {
            add(&["fwmark", self.mark(wrong)]);
        }
        if self.chance(0.2) {
            add(&["private-key", self.key_file(wrong)]);
        }
        for _ in 0..self.below(4) {
            let key = self.public();
            add(&["peer", &key]);
            if self.chance(0.15) {
                add(&["remove"]);
                continue;
            }
            for _ in 0..self.below(4) {
                match self.below(4) {
                    0 => add(&["preshared-key", self.key_file(wrong)]),
                    1 => add(&["endpoint", self.endpoint(wrong)]),
                    2 => add(&["persistent-keepalive", self.keepalive(wrong)]),
                    _ => add(&["allowed-ips", &self.ips(wrong, 0, ",")]),
                }
            }
        }
        if self.chance(wrong) {
            let at = self.below(words.len() + 1);
            match self.below(3) {
                0 => {
                    words.insert(at, self.pick(&["nosuch", "", "peer", "remove", "-h"]).to_owned())
                }
                1 => drop(words.pop()),
                _ => words.truncate(at),
            }
        }
        words.iter().map(|word| format!(" {}", quote(word))).collect()
    }

    /// The lines of a file.
    fn config(&mut self, wrong: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        if self.chance(0.8) {
            lines.push("[Interface]".to_owned());
            for _ in 0..self.below(4) {
                lines.push(match self.below(3) {
                    0 => format!("PrivateKey = {}", self.secret(wrong)),
                    1 => format!("ListenPort = {}", self.port(wrong)),
                    _ => format!("FwMark = {}", self.mark(wrong)),
                });
            }
        }
        for _ in 0..self.below(5) {
            lines.push("[Peer]".to_owned());
            lines.push(format!("PublicKey = {}", self.public()));
            for _ in 0..self.below(5) {
                lines.push(match self.below(5) {
                    0 => format!("PresharedKey = {}", self.secret(wrong)),
                    1 => format!("Endpoint = {}", self.endpoint(wrong)),
                    2 => format!("PersistentKeepalive = {}", self.keepalive(wrong)),
                    _ => format!("AllowedIPs = {}", self.ips(wrong, 1, ", ")),
                });
            }
        }
        if self.chance(wrong) {
            let at = self.below(lines.len() + 1);
            let bad =
                ["nonsense", "[Peer]", "[Interface]", "[Nonsense]", "Nonsense = 1", "=", "[Peer"];
            match self.below(3) {
                0 | 1 => lines.insert(at, self.pick(&bad).to_owned()),
                _ => drop((at < lines.len()).then(|| lines.remove(at))),
            }
        }
        lines
    }

    /// The lines of a file that is similar to another one.
    fn changed(&mut self, lines: &[String]) -> Vec<String> {
        let mut sections: Vec<Vec<String>> = Vec::new();
        for line in lines {
            if line.starts_with('[') {
                sections.push(Vec::new());
            }
            let mut line = line.clone();
            if let Some(ips) = line.strip_prefix("AllowedIPs = ")
                && self.chance(0.3)
            {
                let mut ips: Vec<&str> = ips.split(", ").collect();
                ips.rotate_left(1);
                if self.chance(0.5) {
                    ips.truncate(1);
                }
                line = format!("AllowedIPs = {}", ips.join(", "));
            }
            sections.extend(sections.is_empty().then(Vec::new));
            sections.last_mut().into_iter().for_each(|section| section.push(line.clone()));
        }
        for section in sections.iter_mut().filter(|section| section.len() > 2) {
            match self.below(8) {
                0 => drop(section.pop()),
                1 => section.swap_remove(2).clear(),
                2 => section[2..].reverse(),
                3 if section[0] == "[Peer]" => {
                    section.push(format!("PersistentKeepalive = {}", self.keepalive(0.0)));
                    section.push(format!("Endpoint = {}", self.endpoint(0.0)));
                }
                _ => {}
            }
        }
        if sections.len() > 2 && self.chance(0.3) {
            let at = 1 + self.below(sections.len() - 1);
            sections.swap(1, at);
        }
        if sections.len() > 1 && self.chance(0.3) {
            let at = self.below(sections.len());
            sections.remove(at);
        }
        sections.concat()
    }

    /// The text of a file with these lines.
    fn written(&mut self, lines: &[String], form: Form) -> String {
        let mut text = String::new();
        for line in lines {
            let line = if form.free { self.freely(line) } else { line.clone() };
            text.push_str(&line);
            text.push_str(if form.carriage_returns { "\r\n" } else { "\n" });
        }
        if form.no_last_newline && text.ends_with('\n') {
            text.pop();
        }
        text
    }

    /// Rewrites a line without changing its meaning.
    fn freely(&mut self, line: &str) -> String {
        let spaces = ["", "", "", "", " ", "\t", "  "];
        let name = line.find('=').unwrap_or(line.len());
        let mut text = String::new();
        for _ in 0..self.below(2) {
            text.push_str(self.pick(&["", "", "\n", "# a comment\n", "  #\n"]));
        }
        text.push_str(self.pick(&spaces));
        let case = self.below(4);
        for (at, letter) in line.char_indices() {
            match case {
                _ if at >= name => text.push(letter),
                0 => text.push(letter.to_ascii_lowercase()),
                1 => text.push(letter.to_ascii_uppercase()),
                _ => text.push(letter),
            }
            if matches!(letter, '=' | ',' | '[' | ' ' | ':') {
                text.push_str(self.pick(&spaces));
            }
        }
        text.push_str(self.pick(&["", "", "", " ", "\t", " # a comment", "#"]));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_depends_on_its_seed_and_number_only() {
        assert_eq!(case(1, 5).script, case(1, 5).script);
        assert_ne!(case(1, 5).script, case(1, 6).script);
        assert_ne!(case(1, 5).script, case(2, 5).script);
    }

    #[test]
    fn what_is_drawn_is_varied() {
        let all: String = (0..500).map(|number| case(7, number).script).collect();
        let words = [
            "setconf wg0",
            "addconf",
            "syncconf",
            "listen-port",
            "'remove'",
            "allowed-ips",
            "\r\n",
            "# a comment",
            "publickey",
            "PUBLICKEY",
            "nonsense",
            "wg show wg0",
            "showconf",
            "/dev/null",
        ];
        for word in words {
            assert!(all.contains(word), "no case has {word:?}");
        }
    }
}
