//! The lines of a console: each is read, checked against the person's role, and becomes requests to the service itself.
//! The answers are told on a page ([`crate::console`]).
//!
//! Not here: the commands themselves (`commands`, `show`, `owner`, `load`).

use core::fmt::{self, Write};

use proto_core::netlink::Errno;
use proto_core::protocol::codec::Take;
use proto_core::protocol::message::{
    Answer, Ask, ClientId, Code, ConsoleMode, Failure, MAX_LINE, Subject,
};

use super::{Outlet, SCRATCH, Service, Turn, Visitor};
use crate::access::owners::Standing;
use crate::config::records::RecordWriter;
use crate::console::answers::{self, refuse};
use crate::console::editor::{LINE, SUBSTITUTE};
use crate::console::page::Page;
use crate::console::words::{self, Need, Word, Wrong};
use crate::console::{Loaded, Person, Reply, State, Talk, Way};
use crate::fault::Fault;
use crate::system::{File, Machine, System};

mod commands;
mod load;
mod owner;
mod show;

/// The session's console: one, for the client that sent the last line.
#[derive(Debug)]
pub(super) struct SessionConsole<F> {
    pub(super) text: F,
    pub(super) paste: F,
    pub(super) talk: Talk,
    pub(super) key: proto_core::key::PublicKey,
}

/// The text of a page on its way into a file. The first failure is kept.
struct Text<'t, 'f, F> {
    writer: &'t mut RecordWriter<'f, F>,
    fault: Option<Fault>,
}

impl<F: File> Write for Text<'_, '_, F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.as_bytes().chunks(256) {
            if self.fault.is_none() {
                self.fault = self.writer.bytes(piece).err();
            }
        }
        Ok(())
    }
}

/// Takes answers and tells them.
struct Teller<'t, 'p> {
    page: &'t mut Page<'p>,
    from: &'t dyn fmt::Display,
    /// Tell all of the status.
    all: bool,
}

impl Outlet for Teller<'_, '_> {
    fn take(&mut self, answer: &Answer<'_>) -> bool {
        answers::answer(self.page, answer);
        match answer {
            Answer::Status(status) if self.all => answers::more_status(self.page, status),
            Answer::Status(status) if !status.trouble.is_empty() => {
                self.page.field("", "trouble", format_args!("there is some: an owner sees which"));
            }
            _ => {}
        }
        true
    }

    fn send(&mut self, _: &mut [u8; SCRATCH], _: usize) {}

    fn in_flight(&self) -> u32 {
        0
    }

    fn from(&self) -> &dyn fmt::Display {
        self.from
    }
}

/// Whether a command is executed only after a question. At the cable of an unowned router that is every command that
/// changes something, because noise can look like a line; elsewhere those that take something away.
fn asks_back(word: Word, need: Need, person: &Person<'_, '_, '_>) -> bool {
    let open = person.way == Way::Serial && person.visitor.standing == Standing::Local;
    match word {
        Word::Remove | Word::Rollback => true,
        // Nothing happens before `commit`, and without a pasted file there is nothing to commit.
        Word::Load | Word::Commit | Word::Drop => false,
        _ => open && need == Need::Change,
    }
}

/// What a guest reads instead of the answer to a command.
const GUEST: &str = "this console is a guest; `unlock` opens it with a code of an owner";

impl<S: System> Service<'_, S> {
    /// Executes a line of a session's console, and answers with where its output is.
    pub(super) fn console_in_session(
        &mut self,
        turn: &mut Turn<'_>,
        visitor: &mut Visitor<'_, '_>,
        line: &[u8],
    ) -> Result<(), Fault> {
        if line.len() > MAX_LINE {
            let words = format_args!("a line of the console has at most {MAX_LINE} bytes");
            return Err(self.slot.say(Code::Malformed, Subject::None, Errno(0), words));
        }
        let mut console = self.console.take();
        let Some(SessionConsole { text, paste, talk, key }) = &mut console else {
            return Err(super::gone(self.slot));
        };
        if *key != visitor.key || talk.client != turn.client {
            (*key, *talk) = (visitor.key, Talk::new(turn.client));
            // A file that another client pasted.
            let _ = paste.clear();
        }
        let from = turn.outlet.from();
        let mut person = Person { visitor, way: Way::Session, unlock: None, identity: None, from };
        let reply = self.console_line(line, true, talk, &mut person, (text, paste));
        let (mode, prompt, length, failed) = (reply.mode, reply.prompt, reply.length, reply.failed);
        let published = match length {
            0 => Ok((0, reply.digest)),
            _ => self
                .publish(turn, visitor, None, &mut |this, _| {
                    let report = &mut this.committer.files.report;
                    let mut writer = RecordWriter::new(this.slot, Some(report), 0)?;
                    writer.copy(text, 0, length)?;
                    writer.finish()
                })
                .map(|readable| (readable.file, readable.digest)),
        };
        // Best effort: the next line clears it.
        let _ = text.clear();
        self.console = console;
        let (file, digest) = published?;
        turn.answer(&Answer::Console { mode, prompt, file, length, digest, failed });
        Ok(())
    }

    /// Executes one line. Its output is in `text` then. A line that is not `whole` is the front of a longer one: in a
    /// pasted file, the rest follows; a command is refused.
    #[inline(never)]
    pub fn console_line(
        &mut self,
        line: &[u8],
        whole: bool,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        (text, paste): (&mut S::File, &mut S::File),
    ) -> Reply {
        let started = self.committer.machine.now();
        let mut reply = Reply::default();
        let written = RecordWriter::new(self.slot, Some(text), 0).and_then(|mut writer| {
            let mut text = Text { writer: &mut writer, fault: None };
            let mut page = Page::new(&mut text, talk.json);
            self.take_line((line, whole), talk, person, paste, &mut page, &mut reply);
            page.end();
            match text.fault {
                Some(fault) => Err(fault),
                None => writer.finish(),
            }
        });
        match written {
            Ok((length, digest)) => (reply.length, reply.digest) = (length, digest),
            // There is no room for the output: the person sees at least that the command failed.
            Err(fault) => {
                let _ = self.slot.take(fault);
                reply.failed = true;
            }
        }
        if talk.loaded.is_none() && !matches!(talk.state, State::Paste { .. }) {
            // The file holds keys. The next `load` clears it too.
            let _ = paste.clear();
        }
        self.prompt(talk, person, &mut reply);
        self.forget_keys();
        self.took("console", started);
        reply
    }

    /// What the next line is, and what to print before it.
    fn prompt(&self, talk: &Talk, person: &Person<'_, '_, '_>, reply: &mut Reply) {
        let standing = person.visitor.standing;
        let host = self.committer.machine.host_name();
        let sign = if Need::Look.allows(standing) { '#' } else { '>' };
        let to = &mut reply.prompt;
        // The host name has at most 32 bytes, so each of these fits.
        let _ = match &talk.state {
            State::Command => match &talk.loaded {
                Some(Loaded { interface, .. }) => write!(to, "{host} ({interface}){sign} "),
                None => write!(to, "{host}{sign} "),
            },
            State::Question(_) => to.write_str("yes or no? "),
            State::Code => to.write_str("code: "),
            State::Paste { .. } => Ok(()),
        };
        if reply.mode != ConsoleMode::Exit {
            reply.mode = match &talk.state {
                State::Paste { .. } => ConsoleMode::Paste,
                State::Question(_) => ConsoleMode::Question,
                State::Command | State::Code => ConsoleMode::Command,
            };
        }
    }

    #[inline(never)]
    fn take_line(
        &mut self,
        (line, whole): (&[u8], bool),
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
        page: &mut Page<'_>,
        reply: &mut Reply,
    ) {
        if let State::Paste { .. } = &talk.state {
            reply.failed = !self.take_pasted((line, whole), talk, person, paste, page);
            return;
        }
        let text = match line {
            // Ctrl-C drops a question; a loaded file stays until `commit`, `drop` or the next `load`.
            [3] => {
                if let State::Question(_) | State::Code = talk.state {
                    talk.state = State::Command;
                }
                return;
            }
            [4] => "exit",
            line if line.contains(&SUBSTITUTE) => "\u{1a}",
            line => core::str::from_utf8(line).unwrap_or("\u{1a}").trim_matches(' '),
        };
        if !whole {
            refuse(page, format_args!("the line is longer than {LINE} bytes"));
            (reply.failed, reply.unknown) = (true, true);
            return;
        }
        if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
            refuse(page, format_args!("the line has a byte that is no text: type it again"));
            (reply.failed, reply.unknown) = (true, true);
            return;
        }
        let command = match core::mem::take(&mut talk.state) {
            State::Code if text.is_empty() => return,
            State::Code if words::parse(text).is_err() => {
                reply.failed = !self.judge(text, talk, person, page);
                return;
            }
            State::Question(command) if words::is(text, "yes") => command,
            State::Question(_) => {
                page.line(format_args!("not done"));
                return;
            }
            _ => match words::parse(text) {
                Ok(command) => command,
                Err(Wrong::Empty) => return,
                Err(wrong) => {
                    refuse(page, format_args!("{wrong}"));
                    (reply.failed, reply.unknown) = (true, matches!(wrong, Wrong::Unknown(_)));
                    return;
                }
            },
        };
        let words::Entry { word, need, .. } = *command.entry;
        if !need.allows(person.visitor.standing) {
            let why = match person.visitor.standing {
                Standing::Owner(_) => "your role may look at this router but not change it",
                _ => GUEST,
            };
            refuse(page, format_args!("{why}"));
            reply.failed = true;
            return;
        }
        page.interface = command.interface.or(talk.loaded.as_ref().map(|loaded| loaded.interface));
        let asked = words::is(text, "yes");
        let asks = !asked && !talk.unattended && asks_back(word, need, person);
        if asks && self.has_effect(&command) {
            let name = command.entry.name;
            match &command.interface {
                Some(interface) => page.line(format_args!("{name} {interface}: are you sure?")),
                None => page.line(format_args!("{name}: are you sure?")),
            }
            talk.state = State::Question(command);
            return;
        }
        reply.failed = !self.execute(&command, talk, person, paste, page, reply);
    }

    /// Makes a request of the console itself, and tells the answer. Returns whether it was done.
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        how: (ClientId, bool),
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        let failed = self.attempt(ask, how, person, page);
        if let Some(failure) = &failed {
            answers::failure(page, failure);
        }
        failed.is_none()
    }

    /// As [`Self::perform`], but returns a failure, which the caller tells.
    #[inline(never)]
    fn attempt(
        &mut self,
        ask: &Ask<'_>,
        (client, all): (ClientId, bool),
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> Option<Failure> {
        let mut teller = Teller { page, from: person.from, all };
        let mut turn = Turn::new(client, 0, &mut teller);
        let allowed = person.visitor.may(self.slot, ask);
        let answered = allowed.and_then(|()| self.answer(ask, person.visitor, &mut turn));
        answered.err().map(|fault| self.slot.take(fault))
    }

    /// Tells the records of the report that the last request of this client made.
    fn records<T>(
        &mut self,
        client: ClientId,
        person: &Person<'_, '_, '_>,
        take: &mut dyn FnMut(&T),
    ) where
        T: for<'b> Take<'b>,
    {
        let mut at = 0;
        let mut window = [0; 512];
        loop {
            let got = self.window(client, person, at, &mut window);
            let mut rest = window.get(..got).unwrap_or_default();
            let mut used = 0_usize;
            while let Some((record, len)) = answers::record::<T>(rest) {
                take(&record);
                rest = rest.get(len..).unwrap_or_default();
                used = used.saturating_add(len);
            }
            if used == 0 {
                return;
            }
            at = at.saturating_add(u32::try_from(used).unwrap_or(u32::MAX));
        }
    }

    /// Bytes of the report from a place on.
    #[inline(never)]
    fn window(
        &mut self,
        client: ClientId,
        person: &Person<'_, '_, '_>,
        at: u32,
        window: &mut [u8],
    ) -> usize {
        let now = self.committer.machine.now();
        let Some((file, readable)) = self.reports.find(&person.visitor.key, &client, now) else {
            return 0;
        };
        let left = usize::try_from(readable.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let most = left.min(window.len());
        file.read_at(at, window.get_mut(..most).unwrap_or_default()).unwrap_or(0)
    }
}
