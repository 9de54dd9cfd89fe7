//! Lists of networks: `Address` and `AllowedIPs`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use proto_core::ip::IpNet;

use super::lines::squeeze;
use super::value;
use super::{At, Place, Problem};

/// The entries of a comma list with their ranges. wg-quick also takes blanks between addresses, wg does not
/// between allowed IPs.
fn entries(line: &str, value: &Range<usize>, spaces: bool) -> Vec<Range<usize>> {
    let text = &line[value.clone()];
    let separator = |c: char| c == ',' || (spaces && matches!(c, ' ' | '\t'));
    let mut start = value.start;
    let mut found: Vec<Range<usize>> = text
        .split(separator)
        .map(|entry| {
            let range = start..start + entry.len();
            start = range.end
                + text[range.end - value.start..].chars().next().map_or(0, char::len_utf8);
            // Between addresses, other white space than blanks is a part of one, as for wg-quick.
            if spaces { range } else { super::lines::trim(line, range) }
        })
        .collect();
    if spaces {
        found.retain(|range| !range.is_empty());
    }
    found
}

/// What the lists of a file hold until now.
#[derive(Debug, Default)]
pub(super) struct Lists {
    addresses: HashMap<(IpAddr, u8), Place>,
    /// Each allowed IP with its peer and its place.
    allowed: HashMap<IpNet, (usize, Place)>,
}

impl Lists {
    /// The addresses of an `Address` line.
    pub(super) fn addresses(
        &mut self,
        line: &str,
        number: usize,
        value: &Range<usize>,
        problems: &mut Vec<Problem>,
    ) -> Vec<At<IpNet>> {
        let mut found = Vec::new();
        for span in entries(line, value, true) {
            let place = Place { line: number, span: span.clone() };
            let net = match value::address(&line[span.clone()]) {
                Ok(net) => net,
                Err(wrong) => {
                    problems.push(about("Address", &line[span], place, wrong));
                    continue;
                }
            };
            // The kernel tells IPv4 addresses apart by their prefix as well, IPv6 ones not.
            let key = (net.addr, if net.addr.is_ipv4() { net.prefix } else { 0 });
            match self.addresses.get(&key) {
                Some(first) => problems.push(
                    Problem::error(place, format!("the address {} stands twice", net.addr))
                        .with(first.clone(), "first here"),
                ),
                None => {
                    self.addresses.insert(key, place.clone());
                    found.push(At { value: net, place });
                }
            }
        }
        found
    }

    /// The allowed IPs of an `AllowedIPs` line of the peer with the given number, without those it
    /// has already.
    pub(super) fn allowed_ips(
        &mut self,
        line: &str,
        number: usize,
        value: &Range<usize>,
        peer: usize,
        problems: &mut Vec<Problem>,
    ) -> Vec<At<IpNet>> {
        let mut found = Vec::new();
        for span in entries(line, value, false) {
            let text = &squeeze(&line[span.clone()]);
            let place = Place { line: number, span: span.clone() };
            if text.is_empty() {
                let comma =
                    Place { line: number, span: span.start.saturating_sub(1)..span.end.max(1) };
                problems.push(Problem::error(comma, "AllowedIPs: an entry of the list is empty"));
                continue;
            }
            let net = match value::allowed_ip(text) {
                Ok(net) => net,
                Err(wrong) => {
                    problems.push(about("AllowedIPs", &line[span], place, wrong));
                    continue;
                }
            };
            if net != net.masked() {
                let message = format!(
                    "AllowedIPs: `{text}` has bits set after the prefix: taken as {}",
                    net.masked()
                );
                problems.push(Problem::warning(place.clone(), message));
            }
            let net = net.masked();
            match self.allowed.get(&net) {
                Some((other, first)) if *other != peer => problems.push(
                    Problem::error(place, format!("{net} is an allowed IP of two peers"))
                        .with(first.clone(), "first here")
                        .help("a packet goes to one peer only: give each of them its own networks"),
                ),
                Some(_) => {}
                None => {
                    self.allowed.insert(net, (peer, place.clone()));
                    found.push(At { value: net, place });
                }
            }
        }
        found
    }
}

/// An error of a value that may be shown.
pub(super) fn about(key: &str, text: &str, place: Place, wrong: value::Wrong) -> Problem {
    let text: String =
        text.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect();
    let problem = Problem::error(place, format!("{key}: `{text}`: {}", wrong.message));
    Problem { help: wrong.help, ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_cut_at_commas() {
        let cut = |text: &str, spaces| -> Vec<String> {
            let ranges = entries(text, &(0..text.len()), spaces);
            ranges.into_iter().map(|range| text[range].to_string()).collect()
        };
        assert_eq!(cut("a, b ,c", false), ["a", "b", "c"]);
        assert_eq!(cut("a b,,c,", false), ["a b", "", "c", ""]);
        assert_eq!(cut("a b,,\tc  d,", true), ["a", "b", "c", "d"]);
        // Other white space is a part of an entry, as for wg-quick.
        assert_eq!(cut("a\u{a0}b,\rc", true), ["a\u{a0}b", "\rc"]);
        assert_eq!(cut("", true), [""; 0]);
    }
}
