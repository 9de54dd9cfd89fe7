//! Lines to a [`Config`].

use std::collections::HashMap;
use std::ops::Range;

use proto_core::conf::field::FIELDS;
use proto_core::conf::quick::QUICK_VALUE_MAX;
use proto_core::conf::{Field, Section};
use proto_core::key::PublicKey;
use proto_core::protocol::config::PrivateKey;

use super::field::{FieldExt as _, section_name};
use super::lines::{Line, NOT_TEXT, classify, plain_name, squeeze};
use super::lists::{Lists, about};
use super::value::{self, Wrong};
use super::{At, Config, Peer, Place, Problem, Source};

/// Reads a file. The configuration is complete only if no problem is an error.
#[must_use]
pub fn parse(source: &Source) -> (Config, Vec<Problem>) {
    let mut parser = Parser::default();
    for (number, line) in source.lines() {
        parser.line(number, line);
    }
    parser.finish()
}

/// A peer whose section is being read.
#[derive(Debug)]
struct Draft {
    header: Place,
    public_key: Option<At<PublicKey>>,
    /// The rest of it, under a key that is set at the end.
    rest: Peer,
}

#[derive(Debug, Default)]
struct Parser {
    config: Config,
    problems: Vec<Problem>,
    section: Option<Section>,
    /// A section whose name is not known: its keys are not looked at.
    skip: bool,
    interface: bool,
    /// The section is `[Interface]` without white space in it: wg-quick knows no other.
    quick: bool,
    /// The keys of AmneziaWG, and where the first stands.
    amnezia: Option<(Place, Vec<String>)>,
    /// Where each key of which there can be one stands, in the interface and in this peer.
    seen: [Option<Place>; FIELDS.len()],
    draft: Option<Draft>,
    drafts: usize,
    lists: Lists,
    peers: HashMap<PublicKey, Place>,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) {
        let place = |span: &Range<usize>| Place { line: number, span: span.clone() };
        if let Some(at) = not_text(line) {
            let message = "this is not UTF-8 text: save the file as UTF-8";
            self.problems.push(Problem::error(place(&at), message));
            return;
        }
        match classify(line) {
            Line::Blank => {}
            Line::Section(span) => self.section(&line[span.clone()], place(&span)),
            Line::Pair { key, value } => self.pair(number, line, &key, &value),
            Line::Junk(span) => {
                let word = line[span.clone()].split(char::is_whitespace).next().unwrap_or_default();
                let problem = Problem::error(place(&span), "neither `[SECTION]` nor `KEY = VALUE`");
                self.problems.push(match Field::near(word.trim_end_matches(':')) {
                    Some(key) => problem.help(format!("write `{} = ...`", key.name())),
                    None => problem
                        .help("what is not understood is not shown: it may be a part of a key"),
                });
            }
        }
    }

    fn section(&mut self, text: &str, place: Place) {
        self.close_peer();
        self.skip = false;
        let squeezed = squeeze(text);
        let is = |name: &str| squeezed.eq_ignore_ascii_case(name);
        self.quick = text.eq_ignore_ascii_case(section_name(Section::Interface));
        if is(section_name(Section::Interface)) {
            self.section = Some(Section::Interface);
            self.interface = true;
        } else if is(section_name(Section::Peer)) {
            self.section = Some(Section::Peer);
            for key in
                [Field::PublicKey, Field::PresharedKey, Field::Endpoint, Field::PersistentKeepalive]
            {
                self.seen[key as usize] = None;
            }
            let rest = Peer {
                public_key: At { value: PublicKey([0; 32]), place: place.clone() },
                preshared_key: None,
                endpoint: None,
                persistent_keepalive: None,
                allowed_ips: Vec::new(),
            };
            self.draft = Some(Draft { header: place, public_key: None, rest });
            self.drafts += 1;
        } else {
            self.skip = true;
            self.problems.push(
                Problem::error(place, "unknown section").help("there are [Interface] and [Peer]"),
            );
        }
    }

    fn pair(&mut self, number: usize, line: &str, key_span: &Range<usize>, span: &Range<usize>) {
        let key_place = Place { line: number, span: key_span.clone() };
        let place = Place { line: number, span: span.clone() };
        let (name, text) = (&line[key_span.clone()], &line[span.clone()]);
        if self.skip {
            return;
        }
        let Some(key) = Field::of_line(name) else {
            if proto_core::conf::is_amnezia(name) {
                let (_, names) = self.amnezia.get_or_insert_with(|| (key_place, Vec::new()));
                names.push(name.into());
                return;
            }
            let plain = plain_name(name) && !text.is_empty();
            let message =
                if plain { format!("unknown key `{name}`") } else { "unknown key".into() };
            let problem = Problem::error(key_place, message);
            self.problems.push(match Field::near(name) {
                Some(key) => problem.help(format!("did you mean `{}`?", key.name())),
                None => problem,
            });
            return;
        };
        let wanted = key.section();
        if self.section != Some(wanted) {
            let message = match self.section {
                None => format!("{} stands before any section", key.name()),
                Some(section) => {
                    format!(
                        "{} belongs to {}, not to {}",
                        key.name(),
                        section_name(wanted),
                        section_name(section)
                    )
                }
            };
            self.problems.push(Problem::error(key_place, message));
            return;
        }
        if key.is_of_quick() && !self.quick {
            let message =
                format!("{} stands behind `[Interface]` with white space in it", key.name());
            let help = "wg-quick takes it for a section of another name: write `[Interface]`";
            self.problems.push(Problem::error(key_place, message).help(help));
            return;
        }
        if key.is_of_quick() && text.len() > QUICK_VALUE_MAX {
            let message = format!("{} is longer than {QUICK_VALUE_MAX} bytes", key.name());
            self.problems.push(Problem::error(key_place, message));
            return;
        }
        if text.is_empty() {
            self.problems.push(match key {
                Field::AllowedIps => Problem::error(key_place, "AllowedIPs has no value")
                    .help("leave the line out: a peer without AllowedIPs is sent nothing"),
                // As if the line were not there, as for wg-quick.
                _ if key.is_of_quick() && key != Field::SaveConfig => {
                    Problem::warning(key_place, format!("{} is empty: it is left out", key.name()))
                }
                _ => Problem::error(key_place, format!("{} has no value", key.name())),
            });
            return;
        }
        if self.stands_twice(key, &key_place) {
            return;
        }
        self.value(key, number, line, key_place, place);
    }

    /// Whether a key of which there can be one was there before; that is an error.
    fn stands_twice(&mut self, key: Field, place: &Place) -> bool {
        use Field::{Address, AllowedIps, Dns, PostDown, PostUp, PreDown, PreUp};
        if matches!(key, Address | AllowedIps | Dns | PreUp | PostUp | PreDown | PostDown) {
            return false;
        }
        let seen = &mut self.seen[key as usize];
        let Some(first) = seen else {
            *seen = Some(place.clone());
            return false;
        };
        let message = format!("{} stands twice, first in line {}", key.name(), first.line);
        let problem = Problem::error(place.clone(), message).with(first.clone(), "first here");
        self.problems.push(problem);
        true
    }

    fn value(&mut self, key: Field, number: usize, line: &str, key_place: Place, place: Place) {
        let text = &line[place.span.clone()];
        let squeezed = squeeze(text);
        let text = if key.is_of_quick() { text } else { &squeezed };
        let problems = &mut self.problems;
        match key {
            Field::PrivateKey => {
                self.config.private_key = take(key, text, place, value::private_key, problems);
            }
            Field::ListenPort => {
                self.config.listen_port = take(key, text, place, value::port, problems)
            }
            Field::Fwmark => self.config.fwmark = take(key, text, place, value::fwmark, problems),
            Field::Mtu => self.config.mtu = take(key, text, place, value::mtu, problems),
            Field::Table => self.config.table = take(key, text, place, value::table, problems),
            Field::Address => {
                let found = self.lists.addresses(line, number, &place.span, problems);
                self.config.addresses.extend(found);
            }
            Field::Dns | Field::PreUp | Field::PostUp | Field::PreDown | Field::PostDown => {
                let what = if key == Field::Dns {
                    "the router's own stays"
                } else {
                    "the router runs no commands"
                };
                let message = format!("{} is not pushed: {what}", key.name());
                problems.push(Problem::warning(key_place, message));
            }
            Field::SaveConfig => {
                if take(key, text, place, value::boolean, problems).is_some_and(|at| at.value) {
                    let message = "SaveConfig is not pushed: the router keeps what was pushed";
                    problems.push(Problem::warning(key_place, message));
                }
            }
            Field::PublicKey
            | Field::PresharedKey
            | Field::AllowedIps
            | Field::Endpoint
            | Field::PersistentKeepalive => self.peer_value(key, number, line, place),
            // Words of a command line, which no line of a file names.
            Field::Peer | Field::Remove | Field::PrivateKeyFile | Field::PresharedKeyFile => {}
        }
    }

    fn peer_value(&mut self, key: Field, number: usize, line: &str, place: Place) {
        let Some(draft) = &mut self.draft else { return };
        let (peer, problems) = (&mut draft.rest, &mut self.problems);
        let text = &squeeze(&line[place.span.clone()]);
        match key {
            Field::PublicKey => {
                draft.public_key = take(key, text, place, value::public_key, problems)
            }
            Field::PresharedKey => {
                let taken = take(key, text, place.clone(), value::secret_key, problems);
                if taken.as_ref().is_some_and(|at| at.value.is_zero()) {
                    let message = "PresharedKey is all zeros, which means that there is none";
                    problems.push(Problem::warning(place, message));
                }
                peer.preshared_key = taken.filter(|at| !at.value.is_zero());
            }
            Field::Endpoint => peer.endpoint = take(key, text, place, value::endpoint, problems),
            Field::PersistentKeepalive => {
                peer.persistent_keepalive = take(key, text, place, value::keepalive, problems);
            }
            _ => {
                let found =
                    self.lists.allowed_ips(line, number, &place.span, self.drafts, problems);
                peer.allowed_ips.extend(found);
            }
        }
    }

    /// Ends the section of a peer, if one is open.
    fn close_peer(&mut self) {
        let Some(Draft { header, public_key, rest }) = self.draft.take() else { return };
        let Some(public_key) = public_key else {
            // A key that is there and wrong has been spoken of.
            if self.seen[Field::PublicKey as usize].is_none() {
                self.problems.push(Problem::error(header, "this peer has no PublicKey"));
            }
            return;
        };
        match self.peers.get(&public_key.value) {
            Some(first) => {
                let message = format!("this peer stands twice, first in line {}", first.line);
                self.problems.push(
                    Problem::error(public_key.place, message)
                        .with(first.clone(), "first here")
                        .help("put both lists of AllowedIPs into one [Peer]"),
                );
            }
            None => {
                self.peers.insert(public_key.value, public_key.place.clone());
                self.config.peers.push(Peer { public_key, ..rest });
            }
        }
    }

    fn finish(mut self) -> (Config, Vec<Problem>) {
        self.close_peer();
        if !self.interface {
            self.problems.push(Problem::whole("there is no [Interface] section"));
        }
        if let Some((place, names)) = self.amnezia.take() {
            let message = format!("this file is for AmneziaWG ({})", names.join(", "));
            let help = "plain WireGuard cannot speak with it: leave these lines out only if the peers do too";
            self.problems.push(Problem::error(place, message).help(help));
        }
        self.private_key();
        self.small_mtu();
        self.problems.sort_by_key(|problem| problem.place.as_ref().map(|place| place.line));
        (self.config, self.problems)
    }

    fn private_key(&mut self) {
        match &self.config.private_key {
            None if self.interface && self.seen[Field::PrivateKey as usize].is_none() => {
                let mut problem =
                    Problem::whole("no PrivateKey: the interface will not be able to handshake")
                        .help("`PrivateKey = generate` has the router make one");
                problem.severity = crate::problem::Severity::Warning;
                self.problems.push(problem);
            }
            Some(At { value: PrivateKey::Given(secret), place }) => {
                if let Some(peer) = self.peers.get(&super::public_key(secret)) {
                    self.problems.push(
                        Problem::error(peer.clone(), "this peer is the interface itself: same key")
                            .with(place.clone(), "its public key is that of this private key"),
                    );
                }
            }
            _ => {}
        }
    }

    /// The kernel has no IPv6 on a link with a smaller MTU than RFC 8200 asks for.
    fn small_mtu(&mut self) {
        let v6 = self.config.addresses.iter().any(|at| at.value.addr.is_ipv6());
        if let Some(mtu) = self.config.mtu.as_ref().filter(|at| v6 && at.value < 1280) {
            self.problems.push(Problem::warning(
                mtu.place.clone(),
                "MTU is under 1280: the router will refuse the IPv6 addresses",
            ));
        }
    }
}

/// The first piece of a line, outside of its comment, that was not UTF-8. A command has no comment.
fn not_text(line: &str) -> Option<Range<usize>> {
    let at = line.find(NOT_TEXT)?;
    let end = line.find('#').unwrap_or(line.len());
    let name = line.split_once('=').and_then(|(name, _)| Field::of_line(name.trim_ascii()));
    let in_comment = end < at && !name.is_some_and(Field::is_command);
    (!in_comment).then_some(at..at + NOT_TEXT.len_utf8())
}

/// Reads a value, or adds what is wrong with it to the problems, without showing a secret.
fn take<T>(
    key: Field,
    text: &str,
    place: Place,
    read: impl FnOnce(&str) -> Result<T, Wrong>,
    problems: &mut Vec<Problem>,
) -> Option<At<T>> {
    match read(text) {
        Ok(value) => Some(At { value, place }),
        Err(wrong) if key.is_secret() => {
            let message = format!("{}: {}", key.name(), wrong.message);
            problems.push(Problem { help: wrong.help, ..Problem::error(place, message) });
            None
        }
        Err(wrong) => {
            problems.push(about(key.name(), text, place, wrong));
            None
        }
    }
}
