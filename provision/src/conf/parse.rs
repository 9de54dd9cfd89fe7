//! Items to a [`Config`]. proto-core reads the lines, as on the router, and returns each item and
//! each mistake with its place. This module adds the rules that only the host tool has, and the
//! messages.

use std::collections::HashMap;
use std::ops::Range;

use proto_core::conf::field::FIELDS;
use proto_core::conf::file::VALUE_MAX;
use proto_core::conf::quick::QUICK_VALUE_MAX;
use proto_core::conf::span::Columns;
use proto_core::conf::{
    ConfError, Field, File, Item, Part, Problem as Wrong, QuickFile, Section, Span,
};
use proto_core::key::PublicKey;
use proto_core::protocol::config::{IPV6_MIN_MTU, PrivateKey};

use super::field::{FieldExt as _, section_name};
use super::lines::{Line, NOT_TEXT, classify, plain_name, squeeze};
use super::lists::{Lists, about};
use super::value;
use super::{At, Config, Peer, Place, Problem, Source};

/// Parses a file. The configuration is complete only if no problem is an error.
#[must_use]
pub fn parse(source: &Source) -> (Config, Vec<Problem>) {
    let mut parser = Parser::default();
    let mut wg = File::all_errors();
    let mut value = [0; QUICK_VALUE_MAX];
    let mut quick = QuickFile::new(&mut value);
    for (number, line) in source.lines() {
        let wg_line = parser.line(number, line, &mut quick);
        let mut take = |at: Span, item: &Item<'_>| {
            parser.item(source, at, item);
            Ok(())
        };
        // This reader never stops at a mistake.
        let _ = wg.feed(if wg_line { line.as_bytes() } else { b"" }, &mut take);
        let _ = wg.feed(b"\n", &mut take);
    }
    let _ = wg.end(&mut |at: Span, item: &Item<'_>| {
        parser.item(source, at, item);
        Ok(())
    });
    parser.finish()
}

/// A peer whose section is being read.
#[derive(Debug)]
struct Draft {
    public_key: Option<At<PublicKey>>,
    /// Its other settings; the key is set at the end.
    rest: Peer,
}

#[derive(Debug, Default)]
struct Parser {
    config: Config,
    problems: Vec<Problem>,
    section: Section,
    interface: bool,
    /// The keys of AmneziaWG in the file, and the place of the first.
    amnezia: Option<(Place, Vec<String>)>,
    /// The place of each key that may appear only once, in the interface and in this peer.
    seen: [Option<Place>; FIELDS.len()],
    draft: Option<Draft>,
    drafts: usize,
    lists: Lists,
    peers: HashMap<PublicKey, Place>,
}

impl Parser {
    /// Takes a line, if it belongs to wg-quick(8). Returns whether it belongs to wg(8).
    fn line(&mut self, number: usize, line: &str, quick: &mut QuickFile<'_>) -> bool {
        let place = |span: &Range<usize>| Place { line: number, span: span.clone() };
        if let Some(at) = not_text(line) {
            let message = "this is not UTF-8 text: save the file as UTF-8";
            self.problems.push(Problem::error(place(&at), message));
            return false;
        }
        let mut found = None;
        let mut take = |at: Span, part: &Part<'_>| {
            if let Part::Setting(field, _) = part {
                found = Some((*field, at));
            }
            Ok(())
        };
        let fed = quick.feed(line.as_bytes(), &mut take);
        let at = quick.span();
        let fed = fed.and(quick.feed(b"\n", &mut take));
        let columns = |columns: Columns| place(&(columns.from..columns.to));
        if let Err(error) = fed {
            let message = format!("{} is longer than {QUICK_VALUE_MAX} bytes", error.name);
            self.problems.push(Problem::error(columns(at.name), message));
            return false;
        }
        let Some((field, at)) = found else { return true };
        let (name, value) = (columns(at.name), columns(at.text));
        if !value.span.is_empty() {
            if !self.stands_twice(field, &name) {
                self.quick_value(field, line, name, value);
            }
        } else if field == Field::SaveConfig {
            self.problems.push(Problem::error(name, "SaveConfig has no value"));
        } else {
            // Ignores the line, as wg-quick does.
            let message = format!("{} is empty: it is ignored", field.name());
            self.problems.push(Problem::warning(name, message));
        }
        false
    }

    /// Takes an item of wg(8), or a mistake.
    fn item(&mut self, source: &Source, at: Span, item: &Item<'_>) {
        let number = at.line as usize;
        let line = source.line(number);
        let place = |columns: Columns| Place { line: number, span: columns.from..columns.to };
        let (name, text) = (place(at.name), place(at.text));
        let field = match item {
            Item::Interface => {
                self.close_peer();
                self.section = Section::Interface;
                self.interface = true;
                return;
            }
            Item::Peer => {
                self.close_peer();
                return self.begin_peer(text);
            }
            // Its entries follow one by one.
            Item::AllowedIps => return,
            Item::Mistake(error) => match self.mistake(line, &name, &text, error) {
                Some(field) => field,
                None => return,
            },
            _ => match Field::named(squeeze(&line[name.span.clone()]).as_bytes()) {
                Some(field) => field,
                None => return,
            },
        };
        if !self.stands_twice(field, &name) {
            self.wg_value(field, item, line, text);
        }
    }

    /// Reports a mistake. Returns the setting if the mistake is about its value.
    fn mistake(
        &mut self,
        line: &str,
        name: &Place,
        text: &Place,
        error: &ConfError,
    ) -> Option<Field> {
        let word = &line[text.span.clone()];
        let named = Field::named(error.name.as_bytes());
        let problem = match error.problem {
            Wrong::UnknownSection => {
                self.close_peer();
                self.section = Section::Other;
                Problem::error(text.clone(), "unknown section")
                    .help("the sections are [Interface] and [Peer]")
            }
            Wrong::NoEquals => {
                let first = word.split(char::is_whitespace).next().unwrap_or_default();
                let problem = Problem::error(text.clone(), "neither `[SECTION]` nor `KEY = VALUE`");
                match Field::near(first.trim_end_matches(':')) {
                    Some(key) => problem.help(format!("write `{} = ...`", key.name())),
                    None => {
                        problem.help("the line is not shown, because it may be a part of a key")
                    }
                }
            }
            Wrong::Unknown => match Field::of_line(word) {
                Some(quick) if self.section == Section::Interface => {
                    let message =
                        format!("{} follows `[Interface]` with white space in it", quick.name());
                    let help = "wg-quick reads this as another section: write `[Interface]`";
                    Problem::error(text.clone(), message).help(help)
                }
                Some(quick) => self.misplaced(quick, text.clone()),
                None if proto_core::conf::is_amnezia(word) => {
                    let (_, names) = self.amnezia.get_or_insert_with(|| (text.clone(), Vec::new()));
                    names.push(word.into());
                    return None;
                }
                None => unknown(line, text.clone()),
            },
            Wrong::NoSection | Wrong::Misplaced => self.misplaced(named?, text.clone()),
            Wrong::NoPublicKey => Problem::error(text.clone(), "this peer has no PublicKey"),
            Wrong::NoValue => {
                Problem::error(name.clone(), format!("{} has no value", named?.name()))
            }
            Wrong::TooLong => match named {
                Some(key) => Problem::error(
                    name.clone(),
                    format!("{} is longer than {VALUE_MAX} bytes", key.name()),
                ),
                None => Problem::error(text.clone(), "neither `[SECTION]` nor `KEY = VALUE`")
                    .help("the line is not shown, because it may be a part of a key"),
            },
            Wrong::Value(_) if named == Some(Field::AllowedIps) && word.is_empty() => {
                let rest = line[name.span.end..].split('#').next().unwrap_or_default();
                if rest.contains(',') {
                    let comma = text.span.start.saturating_sub(1)..text.span.end.max(1);
                    let comma = Place { span: comma, ..*text };
                    Problem::error(comma, "AllowedIPs: an entry of the list is empty")
                } else {
                    Problem::error(name.clone(), "AllowedIPs has no value")
                        .help("remove the line: no packets are sent to a peer without AllowedIPs")
                }
            }
            Wrong::Value(_) => return named,
            // This reader does not stop, and has no other mistakes.
            _ => return None,
        };
        self.problems.push(problem);
        None
    }

    /// A setting before any section, or in the wrong section.
    fn misplaced(&self, field: Field, place: Place) -> Problem {
        let name = field.name();
        Problem::error(
            place,
            match self.section {
                Section::None => format!("{name} is before the first section"),
                section => format!(
                    "{name} belongs to {}, not to {}",
                    section_name(field.section()),
                    section_name(section)
                ),
            },
        )
    }

    fn begin_peer(&mut self, header: Place) {
        self.section = Section::Peer;
        for key in
            [Field::PublicKey, Field::PresharedKey, Field::Endpoint, Field::PersistentKeepalive]
        {
            self.seen[key as usize] = None;
        }
        let rest = Peer {
            public_key: At { value: PublicKey([0; 32]), place: header },
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            allowed_ips: Vec::new(),
        };
        self.draft = Some(Draft { public_key: None, rest });
        self.drafts += 1;
    }

    /// Whether a key that may appear only once appeared before; that is an error.
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
        let message = format!("{} appears twice, first in line {}", key.name(), first.line);
        let problem = Problem::error(place.clone(), message).with(first.clone(), "first here");
        self.problems.push(problem);
        true
    }

    /// Takes the value of a setting of wg-quick(8).
    fn quick_value(&mut self, key: Field, line: &str, key_place: Place, place: Place) {
        let text = &line[place.span.clone()];
        let problems = &mut self.problems;
        match key {
            Field::Mtu => self.config.mtu = take(key, text, place, value::mtu, problems),
            Field::Table => self.config.table = take(key, text, place, value::table, problems),
            Field::Address => {
                let found = self.lists.addresses(line, &place, problems);
                self.config.addresses.extend(found);
            }
            Field::SaveConfig => {
                if take(key, text, place, value::boolean, problems).is_some_and(|at| at.value) {
                    let message = "SaveConfig is not pushed: the router stores what was pushed";
                    problems.push(Problem::warning(key_place, message));
                }
            }
            _ => {
                let what = if key == Field::Dns {
                    "the router keeps its own name servers"
                } else {
                    "the router runs no hooks"
                };
                let message = format!("{} is not pushed: {what}", key.name());
                problems.push(Problem::warning(key_place, message));
            }
        }
    }

    /// Takes the value of a setting of wg(8), or reports why it was refused.
    fn wg_value(&mut self, field: Field, item: &Item<'_>, line: &str, place: Place) {
        let written = &line[place.span.clone()];
        if let Err(wrong) = self.kept(field, item, &squeeze(written), &place) {
            self.problems.push(refused(field, written, place, wrong));
        }
    }

    /// Keeps a value, unless only the router can use it.
    fn kept(
        &mut self,
        field: Field,
        item: &Item<'_>,
        text: &str,
        place: &Place,
    ) -> Result<(), value::Wrong> {
        let config = &mut self.config;
        match item {
            Item::PrivateKey(secret) => {
                config.private_key = Some(place.holds(value::private_key(secret)?));
            }
            Item::GeneratePrivateKey => {
                config.private_key = Some(place.holds(PrivateKey::Generate));
            }
            Item::ListenPort(port) => config.listen_port = Some(place.holds(*port)),
            Item::ListenService(_) => return Err(value::NO_PORT.into()),
            Item::Fwmark(mark) => config.fwmark = Some(place.holds(*mark)),
            Item::Mistake(ConfError { problem: Wrong::Value(words), .. }) => {
                return Err(value::refused(field, text, words));
            }
            _ => return self.kept_of_peer(item, text, place),
        }
        Ok(())
    }

    fn kept_of_peer(
        &mut self,
        item: &Item<'_>,
        text: &str,
        place: &Place,
    ) -> Result<(), value::Wrong> {
        let Some(Draft { public_key, rest: peer }) = &mut self.draft else { return Ok(()) };
        match item {
            Item::PublicKey(key) => *public_key = Some(place.holds(*key)),
            Item::PresharedKey(key) if key.is_zero() => {
                let message = "PresharedKey is all zeros, which means no key";
                self.problems.push(Problem::warning(place.clone(), message));
            }
            Item::PresharedKey(key) => peer.preshared_key = Some(place.holds(key.clone())),
            Item::Endpoint(host) => {
                peer.endpoint = Some(place.holds(value::endpoint(host, text)?));
            }
            Item::PersistentKeepalive(seconds) => {
                peer.persistent_keepalive = Some(place.holds(*seconds));
            }
            Item::AllowedIp(net) => {
                let at = place.clone();
                let found = self.lists.allowed_ip(*net, text, at, self.drafts, &mut self.problems);
                peer.allowed_ips.extend(found);
            }
            // The rest are settings of the command line, which do not come from a file.
            _ => {}
        }
        Ok(())
    }

    /// Ends the section of a peer, if one is open.
    fn close_peer(&mut self) {
        let Some(Draft { public_key: Some(public_key), rest }) = self.draft.take() else { return };
        match self.peers.get(&public_key.value) {
            Some(first) => {
                let message = format!("this peer appears twice, first in line {}", first.line);
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
            let help = "plain WireGuard is not compatible with it: remove these lines only if the peers do not use them either";
            self.problems.push(Problem::error(place, message).help(help));
        }
        self.private_key();
        self.small_mtu();
        self.problems.sort_by_key(|problem| {
            problem.place.as_ref().map(|place| (place.line, place.span.start))
        });
        (self.config, self.problems)
    }

    fn private_key(&mut self) {
        match &self.config.private_key {
            None if self.interface && self.seen[Field::PrivateKey as usize].is_none() => {
                let mut problem = Problem::whole("no PrivateKey: the interface cannot handshake")
                    .help("with `PrivateKey = generate` the router generates one");
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

    /// The kernel disables IPv6 on a link whose MTU is below the minimum of RFC 8200.
    fn small_mtu(&mut self) {
        let v6 = self.config.addresses.iter().any(|at| at.value.addr.is_ipv6());
        if let Some(mtu) = self.config.mtu.as_ref().filter(|at| v6 && at.value < IPV6_MIN_MTU) {
            self.problems.push(Problem::warning(
                mtu.place.clone(),
                "MTU is below 1280: the router refuses IPv6 addresses then",
            ));
        }
    }
}

/// The first part of a line, outside of its comment, that was not UTF-8. A hook has no comment.
fn not_text(line: &str) -> Option<Range<usize>> {
    let at = line.find(NOT_TEXT)?;
    let end = line.find('#').unwrap_or(line.len());
    let name = line.split_once('=').and_then(|(name, _)| Field::of_line(name.trim_ascii()));
    let in_comment = end < at && !name.is_some_and(Field::is_command);
    (!in_comment).then_some(at..at + NOT_TEXT.len_utf8())
}

/// An unknown setting.
fn unknown(line: &str, place: Place) -> Problem {
    let name = &line[place.span.clone()];
    let valued = matches!(classify(line), Line::Pair { value, .. } if !value.is_empty());
    let message = if plain_name(name) && valued {
        format!("unknown key `{name}`")
    } else {
        "unknown key".into()
    };
    let problem = Problem::error(place, message);
    match Field::near(name) {
        Some(key) => problem.help(format!("did you mean `{}`?", key.name())),
        None => problem,
    }
}

/// Parses the value of a setting of wg-quick(8), or adds its error to the problems.
fn take<T>(
    key: Field,
    text: &str,
    place: Place,
    read: impl FnOnce(&str) -> Result<T, value::Wrong>,
    problems: &mut Vec<Problem>,
) -> Option<At<T>> {
    match read(text) {
        Ok(value) => Some(At { value, place }),
        Err(wrong) => {
            problems.push(about(key.name(), text, place, wrong));
            None
        }
    }
}

/// The error of a value, which does not show a secret.
fn refused(field: Field, text: &str, place: Place, wrong: value::Wrong) -> Problem {
    if !field.is_secret() {
        return about(field.name(), text, place, wrong);
    }
    let message = format!("{}: {}", field.name(), wrong.message);
    Problem { help: wrong.help, ..Problem::error(place, message) }
}
