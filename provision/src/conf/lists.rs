//! Lists of networks: `Address` and `AllowedIPs`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use proto_core::conf::setting::next_word;
use proto_core::ip::IpNet;
use proto_core::text::misleads;

use super::value;
use super::{At, Place, Problem};

/// The places of the addresses of a list.
fn entries(line: &str, value: &Range<usize>) -> Vec<Range<usize>> {
    let mut rest = &line[value.clone()];
    std::iter::from_fn(|| {
        let word = next_word(&mut rest)?;
        let end = value.end - rest.len();
        Some(end - word.len()..end)
    })
    .collect()
}

/// The lists of a file so far.
#[derive(Debug, Default)]
pub(super) struct Lists {
    addresses: HashMap<(IpAddr, u8), Place>,
    /// Each allowed IP with its peer and its place in the file.
    allowed: HashMap<IpNet, (usize, Place)>,
}

impl Lists {
    /// The addresses of an `Address` line.
    pub(super) fn addresses(
        &mut self,
        line: &str,
        list: &Place,
        problems: &mut Vec<Problem>,
    ) -> Vec<At<IpNet>> {
        let mut found = Vec::new();
        for span in entries(line, &list.span) {
            let place = Place { span: span.clone(), ..*list };
            let net = match value::address(&line[span.clone()]) {
                Ok(net) => net,
                Err(wrong) => {
                    problems.push(about("Address", &line[span], place, wrong));
                    continue;
                }
            };
            // For the kernel, IPv4 addresses with different prefixes differ, IPv6 addresses do not.
            let key = (net.addr, if net.addr.is_ipv4() { net.prefix } else { 0 });
            match self.addresses.get(&key) {
                Some(first) => problems.push(
                    Problem::error(place, format!("the address {} appears twice", net.addr))
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

    /// An allowed IP of the peer with the given number, unless the peer has it already. `text` is what
    /// was written, without white space.
    pub(super) fn allowed_ip(
        &mut self,
        net: IpNet,
        text: &str,
        place: Place,
        peer: usize,
        problems: &mut Vec<Problem>,
    ) -> Option<At<IpNet>> {
        if net != net.masked() {
            let message = format!("AllowedIPs: `{text}` has host bits set; using {}", net.masked());
            problems.push(Problem::warning(place.clone(), message));
        }
        let net = net.masked();
        match self.allowed.get(&net) {
            Some((other, first)) if *other != peer => {
                problems.push(
                    Problem::error(place, format!("{net} is an allowed IP of two peers"))
                        .with(first.clone(), "first here")
                        .help("a packet goes to one peer only: give each peer its own networks"),
                );
                None
            }
            Some(_) => None,
            None => {
                self.allowed.insert(net, (peer, place.clone()));
                Some(At { value: net, place })
            }
        }
    }
}

/// An error in a value that may be shown.
pub(super) fn about(key: &str, text: &str, place: Place, wrong: value::Wrong) -> Problem {
    let text: String = text.chars().map(|c| if misleads(c) { '?' } else { c }).take(60).collect();
    let problem = Problem::error(place, format!("{key}: `{text}`: {}", wrong.message));
    Problem { help: wrong.help, ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_cut_at_commas() {
        let cut = |text: &str| -> Vec<String> {
            let ranges = entries(text, &(0..text.len()));
            ranges.into_iter().map(|range| text[range].to_string()).collect()
        };
        assert_eq!(cut("a b,,\tc  d,"), ["a", "b", "c", "d"]);
        // As in wg-quick, other white space is a part of an entry.
        assert_eq!(cut("a\u{a0}b,\rc"), ["a\u{a0}b", "\rc"]);
        assert_eq!(cut(""), [""; 0]);
    }
}
