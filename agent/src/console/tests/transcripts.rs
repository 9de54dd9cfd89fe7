//! Plays the files of `transcripts/`: the typed keys with their times, and the screen afterwards.
//!
//! | a line that begins with | is |
//! |---|---|
//! | `#` | a comment |
//! | `@` | something that happens, as [`Event`] has it |
//! | `>` | keys, as a Rust string; `> +500 "..."` after 500 ms |
//! | `\|` | a row of the screen of 80 columns and 24 rows, as it is then |
//!
//! `UPDATE_TRANSCRIPTS=1 cargo test -p postwired --lib transcripts` writes the rows again. Read them before they are
//! committed.

use std::fs;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

use proto_core::netlink::route::link;
use proto_core::protocol::message::{Answer, Ask, Role};

use super::rig::{ANNE, BEN, Rig, ask, assert_fits, key, owned, push, push_to, with_router};
use super::roles::in_session;
use crate::access::owners::Standing;
use crate::testing::{FACES, Router};

/// An event.
#[derive(Debug)]
enum Event<'e> {
    /// `owners`: the router is owned by Anne, an admin, and Ben, who is read-only. First in a file.
    Owners,
    /// `stored IF PORT`: an interface that was pushed before. First in a file.
    Stored(usize, u16),
    /// `push IF PORT [SECONDS]`: Anne pushes, perhaps with a time to confirm.
    Push(usize, u16, u16),
    /// `begin IF`: Anne begins a push and goes on later.
    Begin(usize),
    /// `unlock anne|ben admin|read-only`: the office makes a code, and the person types it.
    Unlock(u8, Role),
    /// `unlock-elsewhere anne|ben`: the same with a code for another router.
    Elsewhere(u8),
    /// `removed ben`: Anne removes Ben from the owners.
    Removed,
    /// `prints "TEXT"`: the kernel prints lines.
    Prints(Vec<u8>),
    /// `frame`: a frame went over the line.
    Frame,
    /// `lost`: a frame was not whole.
    Lost,
    /// `later MS`: time passes, and timers run.
    Later(u64),
    /// `log "TEXT"`: the agent logs a line.
    Log(&'e str),
    /// `made IF KIND`: another program makes an interface.
    Made(&'e str, &'e str),
    /// `mtu IF MTU`: another program changes an interface.
    Mtu(&'e str, u32),
    /// `deleted`: another program deletes all interfaces.
    Deleted,
    /// `session "LINE"`: Anne has the line executed in a session, at whose end it is printed.
    Session(&'e str),
}

/// The bytes of a string.
fn unescaped(text: &str) -> Vec<u8> {
    let inner = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut chars = inner.unwrap_or_else(|| panic!("no string: {text}")).chars();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        let byte = match c {
            '\\' => match chars.next().unwrap() {
                'r' => b'\r',
                'n' => b'\n',
                't' => b'\t',
                'x' => {
                    let hex: String = chars.by_ref().take(2).collect();
                    u8::from_str_radix(&hex, 16).unwrap()
                }
                other => u8::try_from(other).unwrap(),
            },
            other => u8::try_from(other).unwrap(),
        };
        out.push(byte);
    }
    out
}

fn face(name: &str) -> usize {
    FACES.iter().position(|face| *face == name).unwrap()
}

impl<'e> Event<'e> {
    fn parse(text: &'e str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        match *words {
            ["owners"] => Self::Owners,
            ["stored", name, port] => Self::Stored(face(name), port.parse().unwrap()),
            ["push", name, port] => Self::Push(face(name), port.parse().unwrap(), 0),
            ["push", name, port, within] => {
                Self::Push(face(name), port.parse().unwrap(), within.parse().unwrap())
            }
            ["begin", name] => Self::Begin(face(name)),
            ["unlock", owner, role] => {
                let owner = if owner == "anne" { ANNE } else { BEN };
                let role = if role == "admin" { Role::Admin } else { Role::ReadOnly };
                Self::Unlock(owner, role)
            }
            ["unlock-elsewhere", owner] => {
                Self::Elsewhere(if owner == "anne" { ANNE } else { BEN })
            }
            ["removed", "ben"] => Self::Removed,
            ["frame"] => Self::Frame,
            ["lost"] => Self::Lost,
            ["later", time] => Self::Later(time.parse().unwrap()),
            ["log", ..] => Self::Log(text.trim_start_matches("log ").trim_matches('"')),
            ["made", name, kind] => Self::Made(name, kind),
            ["mtu", name, mtu] => Self::Mtu(name, mtu.parse().unwrap()),
            ["deleted"] => Self::Deleted,
            ["session", ..] => Self::Session(text.trim_start_matches("session ").trim_matches('"')),
            ["prints", ..] => Self::Prints(unescaped(text.trim_start_matches("prints "))),
            _ => panic!("no event: {text}"),
        }
    }

    fn happen(&self, rig: &mut Rig<'_, '_>, router: &Router) {
        match self {
            Self::Owners | Self::Stored(..) => panic!("{self:?} is first in a file"),
            Self::Push(face, port, within) => {
                push_to(rig.agent.service_mut(), *face, *port, *within)
            }
            Self::Begin(face) => {
                let begin = Ask::Begin {
                    interface: FACES[*face].parse().unwrap(),
                    length: 1_000,
                    digest: [1; 32],
                    piece_size: 500,
                    patch: None,
                    data: &[],
                };
                let answer = ask(rig.agent.service_mut(), begin);
                assert!(matches!(answer, Answer::Received { .. }), "{answer:?}");
            }
            Self::Unlock(owner, role) => drop(rig.unlock(*owner, *role)),
            Self::Elsewhere(owner) => drop(rig.unlock_as_if(*owner, Role::Admin, 101)),
            Self::Removed => {
                let slot = crate::fault::Slot::default();
                rig.agent.ownership_mut().remove(&slot, &key(BEN).public()).unwrap();
            }
            Self::Prints(text) => {
                rig.print(text);
                rig.redraw();
            }
            Self::Frame => rig.person.terminal.soil(),
            Self::Lost => rig.disturb(),
            Self::Later(time) => {
                rig.later(*time);
                rig.tick();
            }
            Self::Made(name, kind) => router.world.make(name, kind),
            Self::Mtu(name, mtu) => {
                let index = router.world.index(name);
                router.world.by_hand(|buf| link::set_mtu(buf, 1, index, *mtu).unwrap()).unwrap();
            }
            Self::Deleted => router.world.delete_links(),
            Self::Session(line) => {
                let said = in_session(rig, line, Standing::Owner(Role::Admin));
                rig.print(said.replace('\n', "\r\n").as_bytes());
            }
            Self::Log(text) => rig.bench.log.borrow_mut().push((*text).to_string()),
        }
    }
}

/// Plays a transcript. Returns its text with the rows as they are.
fn play(text: &str) -> String {
    let router = Router::default();
    let mut owners = None;
    let events = || text.lines().filter_map(|line| line.strip_prefix("@ ")).map(Event::parse);
    for event in events() {
        match event {
            Event::Owners => owners = Some(owned()),
            Event::Stored(face, port) => push(&router, face, port, 0),
            _ => {}
        }
    }
    let serial = !text.contains("# socket");
    with_router(&router, owners, serial, |rig| {
        let mut played = String::new();
        let mut shown = false;
        for line in text.lines() {
            if line.starts_with('|') {
                if !core::mem::replace(&mut shown, true) {
                    let version = concat!("postwired ", env!("CARGO_PKG_VERSION"));
                    let screen = rig.screen();
                    let rows = if screen.is_empty() { "\n" } else { &screen };
                    for row in rows.lines() {
                        let row = row.replace(version, "postwired VERSION");
                        played += &std::format!("| {}", row.trim_end());
                        played = played.trim_end().to_string() + "\n";
                    }
                }
                continue;
            }
            shown = false;
            played += line;
            played.push('\n');
            if let Some(event) = line.strip_prefix("@ ") {
                let event = Event::parse(event);
                if !matches!(event, Event::Owners | Event::Stored(..)) {
                    event.happen(rig, &router);
                }
            } else if let Some(keys) = line.strip_prefix("> ") {
                let keys = match keys.strip_prefix('+').and_then(|keys| keys.split_once(' ')) {
                    Some((wait, keys)) => {
                        rig.later(wait.parse().unwrap());
                        rig.tick();
                        keys
                    }
                    None => keys,
                };
                rig.bytes(&unescaped(keys));
            }
        }
        assert_fits(&rig.person.sent);
        played
    })
}

#[test]
fn the_screen_is_as_in_the_transcripts() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/console/tests/transcripts");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "{} transcripts", files.len());
    let update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    let mut wrong = Vec::new();
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let played = play(&text);
        if played == text {
            continue;
        }
        if update {
            fs::write(path, &played).unwrap();
            continue;
        }
        let (old, new): (Vec<_>, Vec<_>) = (text.lines().collect(), played.lines().collect());
        let at = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let (from, name) = (at.saturating_sub(5), path.file_name().unwrap());
        let near = |lines: &[&str]| {
            lines.iter().skip(from).take(30).map(|l| std::format!("  {l}\n")).collect::<String>()
        };
        wrong.push(std::format!(
            "{name:?}, line {}: the file has\n{}but the screen is\n{}",
            at + 1,
            near(&old),
            near(&new)
        ));
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_TRANSCRIPTS=1 writes them again", wrong.join("\n"));
    std::println!("{} transcripts", files.len());
}
