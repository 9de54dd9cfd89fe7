//! A router with a serial console, a person at it, and the person's screen.

use core::sync::atomic::{AtomicU32, Ordering};
use std::string::{String, ToString};
use std::vec::Vec;

use proto_core::key::SecretKey;
use proto_core::netlink::Errno;
use proto_core::protocol::message::{Answer, Ask, MAX_OWNERS, Owner, Reply as WireReply, Role};
use proto_core::protocol::session::{StaticKey, Wire};
use proto_core::protocol::unlock::{Challenge, Pairing};
use proto_core::protocol::{digest, envelope};

use crate::access::door::Door;
use crate::access::owners::{Claimant, Ownership, Standing};
use crate::access::unlock::Unlock;
use crate::console::terminal::{Host, Terminal, Wish};
use crate::console::{Reply, Talk};
use crate::fault::Slot;
use crate::system::{Disk, File};
use crate::testing::{
    Bench, Cellar, Drawer, FACES, Mishap, Mortal, Router, RouterAgent, Sent, Wire as KernelWire,
    client, image,
};

pub(super) type Agent<'b> = Door<'b, (Mortal<KernelWire>, Mortal<Cellar>, Bench)>;
type Held = <Mortal<Cellar> as Disk>::File;

pub(super) const ANNE: u8 = 1;
pub(super) const BEN: u8 = 2;

pub(super) fn key(byte: u8) -> StaticKey {
    StaticKey::new(SecretKey::new([byte; 32]))
}

fn name(text: &str) -> proto_core::protocol::message::OwnerName {
    text.try_into().unwrap()
}

/// Creates a list of owners: Anne, an admin, and Ben, who is read-only.
pub(super) fn owned() -> (Drawer, Drawer) {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let slot = Slot::default();
    let mut ownership = Ownership::load(&mut keep, &mut state);
    let (key_of_anne, anne) = (key(ANNE).public(), name("anne"));
    let claimant = Claimant {
        key: key_of_anne,
        name: &anne,
        wire: Wire::Serial,
        proof: None,
        handshake_hash: &[0; 32],
    };
    ownership.claim(&slot, &claimant).unwrap();
    let ben = Owner { key: key(BEN).public(), role: Role::ReadOnly, name: name("ben") };
    ownership.add(&slot, &ben).unwrap();
    const { assert!(MAX_OWNERS > 2) };
    (keep, state)
}

/// Sends a request to the service as Anne, in a session.
pub(super) fn ask(agent: &mut RouterAgent<'_>, ask: Ask<'_>) -> Answer<'static> {
    ask_as(agent, ask, Standing::Owner(Role::Admin))
}

/// Sends a request to the service in a session.
pub(super) fn ask_as(
    agent: &mut RouterAgent<'_>,
    ask: Ask<'_>,
    standing: Standing,
) -> Answer<'static> {
    let (mut keep, mut state) = owned();
    let mut ownership = Ownership::load(&mut keep, &mut state);
    let mut visitor = client::visitor(key(ANNE).public(), standing, (0, 0), &mut ownership);
    // A client counts its requests.
    static LAST: AtomicU32 = AtomicU32::new(0);
    let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let mut sent = Sent::default();
    let _ = agent.packet(&client::packet([1; 8], id, ask), &mut visitor, &mut sent);
    let packet = sent.0.pop().expect("an answer").leak();
    envelope::read::<WireReply<'_>>(packet, |_| true).unwrap().1.answer
}

/// Pushes an interface with a port.
pub(super) fn push(router: &Router, face: usize, port: u16, confirm_within: u16) {
    router.with(|agent| push_to(agent, face, port, confirm_within));
}

pub(super) fn push_to(agent: &mut RouterAgent<'_>, face: usize, port: u16, confirm_within: u16) {
    let image = image(face, port);
    let begin = Ask::Begin {
        interface: FACES[face].parse().unwrap(),
        length: image.len() as u32,
        digest: digest(&image),
        piece_size: 1_000,
        patch: None,
        data: &image,
    };
    let Answer::Received { stage, .. } = ask(agent, begin) else { panic!() };
    let commit = Ask::Commit { stage, confirm_within, adopt: false };
    let answer = ask(agent, commit);
    assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
}

/// A person at the serial console of a running agent.
pub(super) struct Rig<'r, 'b> {
    pub(super) agent: &'r mut Agent<'b>,
    pub(super) bench: &'r Bench,
    pub(super) person: Person,
}

/// A terminal emulator of 80 columns.
pub(super) fn screen(rows: u16) -> vt100::Parser {
    vt100::Parser::new(rows.try_into().unwrap(), 80.try_into().unwrap(), 500)
}

/// The rows that bytes write on a terminal without a right edge. Escape sequences and bells have no width.
fn rows(sent: &[u8]) -> Vec<String> {
    let (mut rows, mut row, mut at) = (Vec::new(), Vec::new(), 0_usize);
    let text = String::from_utf8_lossy(sent);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => at = 0,
            '\n' => rows.push(core::mem::take(&mut row)),
            '\x08' => at = at.saturating_sub(1),
            '\x07' => {}
            '\x1b' => {
                assert_eq!(chars.next(), Some('['));
                let number: String = chars.clone().take_while(char::is_ascii_digit).collect();
                match chars.nth(number.len()).unwrap() {
                    'K' => row.truncate(at),
                    'D' => at -= number.parse::<usize>().unwrap(),
                    'H' => at = 0,
                    'J' => rows.push(core::mem::take(&mut row)),
                    other => panic!("{other}"),
                }
            }
            c => {
                row.resize(row.len().max(at + 1), ' ');
                row[at] = c;
                at += 1;
            }
        }
    }
    rows.push(row);
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

/// Checks the raw bytes for a terminal: an emulator wraps what is too long for its rows. The last of 80 columns stays
/// free, because terminals differ in the wrapping after it.
pub(super) fn assert_fits(sent: &[u8]) {
    for row in rows(sent) {
        assert!(row.chars().count() <= 79, "{} columns: {row}", row.chars().count());
    }
}

pub(super) struct Person {
    /// The disk of the files.
    ram: Cellar,
    pub(super) terminal: Terminal,
    pub(super) talk: Talk,
    pub(super) unlock: Option<Unlock>,
    text: Held,
    paste: Held,
    pub(super) screen: vt100::Parser,
    /// All bytes that were sent to the screen.
    pub(super) sent: Vec<u8>,
    /// The lines that were executed.
    pub(super) ran: Vec<String>,
    pub(super) wish: Wish,
}

struct RigHost<'h, 'b> {
    agent: &'h mut Agent<'b>,
    talk: &'h mut Talk,
    unlock: &'h mut Option<Unlock>,
    text: &'h mut Held,
    paste: &'h mut Held,
    ran: &'h mut Vec<String>,
}

impl Host for RigHost<'_, '_> {
    fn line(&mut self, line: &[u8], whole: bool) -> Reply {
        self.ran.push(String::from_utf8_lossy(line).to_string());
        let unlock = self.unlock.as_mut();
        let files = (&mut *self.text, &mut *self.paste);
        self.agent.console((line, whole), self.talk, unlock, &"the console", files)
    }

    fn greet(&mut self) -> Reply {
        *self.talk = Talk::new(*b"console0");
        let reply = self.line(b"", true);
        self.ran.pop();
        reply
    }

    fn output(&mut self, offset: u32, buf: &mut [u8]) -> usize {
        self.text.read_at(offset, buf).unwrap()
    }

    fn names(&mut self, take: &mut dyn FnMut(&str)) {
        self.agent.link_names(self.unlock.as_mut(), take);
    }

    fn now(&mut self) -> u64 {
        use crate::system::Machine;
        self.agent.machine().now()
    }
}

impl Person {
    pub(super) fn new(serial: bool) -> Self {
        let mut ram = Cellar::default();
        let life = crate::testing::Life::default();
        let mut file = |name| Mortal(ram.create(name).unwrap(), life.clone());
        Self {
            terminal: Terminal::new(!serial),
            talk: Talk::new(*b"console0"),
            unlock: serial.then(Unlock::default),
            text: file(c"text"),
            paste: file(c"paste"),
            ram: ram.clone(),
            screen: screen(24),
            sent: Vec::new(),
            ran: Vec::new(),
            wish: Wish::Nothing,
        }
    }
}

impl Person {
    /// There is no room for the next line of a pasted file, which is written after the output is cleared.
    pub(super) fn fill_paste(&self) {
        self.ram.mishap(1, Mishap::Fails(Errno::ENOSPC));
    }
}

/// Runs a test with a router that is unowned, or owned by Anne and Ben.
pub(super) fn with_router<T>(
    router: &Router,
    owners: Option<(Drawer, Drawer)>,
    serial: bool,
    test: impl FnOnce(&mut Rig<'_, '_>) -> T,
) -> T {
    if router.bench.now.get() == 0 {
        router.bench.now.set(1_000_000);
    }
    let (mut keep, mut state) = owners.unwrap_or_default();
    router.with_own(|service| {
        let ownership = Ownership::load(&mut keep, &mut state);
        let mut door = Door::new(service, ownership);
        door.identify(key(100));
        door.start();
        for _ in 0..8 {
            door.tick();
        }
        let mut rig = Rig { agent: &mut door, bench: &router.bench, person: Person::new(serial) };
        test(&mut rig)
    })
}

/// An action of the terminal.
type Act<'a> = dyn FnMut(&mut Terminal, &mut dyn Host, &mut dyn FnMut(&[u8])) -> Wish + 'a;

impl Rig<'_, '_> {
    fn with(&mut self, act: &mut Act<'_>) {
        let Person { terminal, talk, unlock, text, paste, screen, sent, ran, wish, .. } =
            &mut self.person;
        let mut host = RigHost { agent: self.agent, talk, unlock, text, paste, ran };
        let mut echo = |bytes: &[u8]| {
            screen.process(bytes);
            sent.extend_from_slice(bytes);
        };
        match act(terminal, &mut host, &mut echo) {
            Wish::Nothing => {}
            other => {
                *wish = other;
                // As in the door.
                if other == Wish::Exit {
                    terminal.sleep(&mut echo);
                }
            }
        }
    }

    /// Executes a line of a program, as root on the router. Returns the reply and its output.
    pub(super) fn program(&mut self, line: &str) -> (Reply, String) {
        let Person { talk, text, paste, .. } = &mut self.person;
        (talk.json, talk.unattended) = (true, true);
        let files = (&mut *text, &mut *paste);
        let reply = self.agent.console((line.as_bytes(), true), talk, None, &"root", files);
        let mut output = std::vec![0; reply.length as usize];
        let got = text.read_at(0, &mut output).unwrap();
        assert_eq!(got, output.len());
        (reply, String::from_utf8(output).unwrap())
    }

    /// Types, and waits for the output.
    pub(super) fn keys(&mut self, keys: &str) -> &mut Self {
        self.bytes(keys.as_bytes())
    }

    pub(super) fn bytes(&mut self, keys: &[u8]) -> &mut Self {
        if let Some(unlock) = &mut self.person.unlock {
            unlock.typed(self.bench.now.get());
        }
        for key in keys {
            self.with(&mut |terminal, host, echo| terminal.feed(&[*key], host, echo));
            self.pump();
        }
        self
    }

    pub(super) fn pump(&mut self) {
        while self.person.terminal.has_output() {
            self.with(&mut |terminal, host, echo| terminal.pump(200, host, echo));
        }
    }

    /// Types a command on a clear screen. Returns the screen afterwards, without the prompt at its
    /// end.
    pub(super) fn run(&mut self, command: &str) -> String {
        self.wake();
        self.keys("\x0c");
        self.keys(command);
        self.keys("\r");
        self.screen()
    }

    pub(super) fn wake(&mut self) {
        if !self.person.terminal.is_awake() {
            self.keys("\r");
        }
    }

    pub(super) fn disturb(&mut self) {
        let now = self.bench.now.get();
        self.with(&mut |terminal, _, echo| {
            terminal.disturb(now, echo);
            Wish::Nothing
        });
    }

    pub(super) fn redraw(&mut self) {
        self.with(&mut |terminal, _, echo| {
            terminal.redraw(echo);
            Wish::Nothing
        });
    }

    /// Output of another program.
    pub(super) fn print(&mut self, text: &[u8]) {
        self.person.screen.process(text);
    }

    pub(super) fn screen(&self) -> String {
        self.person.screen.screen().contents().trim_end().to_string()
    }

    /// The row of the cursor, and the cursor's column.
    pub(super) fn row(&self) -> (String, u16) {
        let (row, column) = self.person.screen.screen().cursor_position();
        let rows: Vec<String> = self.person.screen.screen().rows(0, 80).collect();
        (rows[usize::from(row)].trim_end().to_string(), column)
    }

    /// Runs the timers, as the event loop does.
    pub(super) fn tick(&mut self) {
        self.agent.tick();
        let Self { agent, person, .. } = self;
        let Some(closed) = person.unlock.as_mut().and_then(|unlock| agent.tick_console(unlock))
        else {
            return;
        };
        let words = closed.to_string();
        self.with(&mut |terminal, host, echo| {
            let reply = host.greet();
            terminal.interrupt(&words, &reply, echo);
            Wish::Nothing
        });
    }

    pub(super) fn later(&self, milliseconds: u64) {
        self.bench.now.set(self.bench.now.get() + milliseconds);
    }

    /// Number of bytes in the file of the paste.
    pub(super) fn pasted(&mut self) -> usize {
        self.person.paste.read_at(0, &mut [0; 64]).unwrap()
    }

    /// Opens the console with a code of an owner.
    pub(super) fn unlock(&mut self, owner: u8, role: Role) -> String {
        self.unlock_as_if(owner, role, 100)
    }

    /// The same with a code for the router with this key.
    pub(super) fn unlock_as_if(&mut self, owner: u8, role: Role, router: u8) -> String {
        let shown = self.run("unlock");
        let challenge = shown.lines().find_map(|line| line.strip_prefix("challenge: ")).unwrap();
        let challenge: Challenge = challenge.parse().unwrap();
        let pairing = Pairing::at_office(&key(owner), &key(router).public()).unwrap();
        self.keys(&std::format!("{}\r", pairing.code(&challenge, role)));
        self.screen()
    }
}
