//! The lines of a console: each is read, checked against the person's role, and becomes requests to the service itself.
//! The answers are told on a page ([`crate::console`]).

use core::fmt::{self, Write};

use proto_core::netlink::Errno;
use proto_core::protocol::codec::Take;
use proto_core::protocol::message::{
    Answer, Ask, ClientId, Code, ConsoleMode, MAX_LINE, Name, Subject, cut,
};
use proto_core::protocol::report::{Change, Running, Stored};
use proto_core::protocol::session::fingerprint;
use proto_core::protocol::unlock::CHALLENGE_BYTES;

use super::{Outlet, SCRATCH, Service, Turn, Visitor};
use crate::access::owners::Standing;
use crate::access::unlock::Verdict;
use crate::config::records::RecordWriter;
use crate::console::answers::{self, RunningPage};
use crate::console::editor::SUBSTITUTE;
use crate::console::page::Page;
use crate::console::words::{self, Command, Need, TABLE, Word, Wrong};
use crate::console::{Loaded, Person, Reply, State, Talk, Way};
use crate::fault::Fault;
use crate::system::{Disk, File, Machine, NetlinkSocket};

mod load;

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

/// A line that failed before it became a request.
#[inline(never)]
pub(super) fn refuse(page: &mut Page<'_>, words: fmt::Arguments<'_>) -> bool {
    page.open("error", "{");
    page.field("text", "failed:", words);
    page.close("}");
    false
}

impl<N: NetlinkSocket, D: Disk, M: Machine + Copy> Service<'_, N, D, M> {
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

    /// Executes one line. Its output is in `text` then. A line that is not `whole` is the front of a longer one, in a
    /// pasted file.
    #[inline(never)]
    pub fn console_line(
        &mut self,
        line: &[u8],
        whole: bool,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        (text, paste): (&mut D::File, &mut D::File),
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
        paste: &mut D::File,
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
        let asked = words::is(text, "yes");
        if !asked && !talk.unattended && asks_back(word, need, person) {
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
    #[inline(never)]
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        (client, all): (ClientId, bool),
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        let mut teller = Teller { page, from: person.from, all };
        let mut turn = Turn::new(client, 0, &mut teller);
        let allowed = person.visitor.may(self.slot, ask);
        let answered = allowed.and_then(|()| self.answer(ask, person.visitor, &mut turn));
        if let Err(fault) = answered {
            turn.answer(&Answer::Failed(self.slot.take(fault)));
            return false;
        }
        true
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

    /// Executes a command that this person may give. Returns whether it was done.
    #[inline(never)]
    fn execute(
        &mut self,
        command: &Command,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        paste: &mut D::File,
        page: &mut Page<'_>,
        reply: &mut Reply,
    ) -> bool {
        let client = talk.client;
        let Command { within: confirm_within, number, adopt, text, .. } = command;
        let (confirm_within, adopt) = (*confirm_within, *adopt);
        let one = (client, false);
        match (command.entry.word, command.interface) {
            (Word::Help, _) => return help(text, person, page),
            (Word::Status, _) => {
                let all = Need::Look.allows(person.visitor.standing);
                let told = self.perform(&Ask::Status, (client, all), person, page);
                if all {
                    self.agreements(client, person, page);
                } else {
                    page.line(format_args!("this console is a guest; `unlock` opens it"));
                }
                return told;
            }
            (Word::Identity, _) => {
                let router = person.visitor.router;
                if person.identity.is_none() && person.way != Way::Session {
                    return refuse(
                        page,
                        format_args!("the router's key cannot be read; see `log`"),
                    );
                }
                let host = self.committer.machine.host_name();
                page.field("hostname", "host name:", format_args!("{host}"));
                page.field("public_key", "public key:", format_args!("{router}"));
                page.field("fingerprint", "fingerprint:", format_args!("{}", fingerprint(&router)));
            }
            (Word::Show, interface) => return self.show_all(interface, client, person, page),
            (Word::Owners, _) => return self.perform(&Ask::Owners, one, person, page),
            (Word::History, interface) => {
                if !self.perform(&Ask::History { interface }, one, person, page) {
                    return false;
                }
                page.open("configurations", "[");
                let mut some = false;
                self.records::<Stored>(client, person, &mut |record| {
                    some = true;
                    answers::stored(page, record);
                });
                page.close("]");
                if !some {
                    page.line(format_args!("nothing is stored"));
                }
            }
            (Word::Diff, interface) => return self.diff(interface, client, person, page),
            (Word::Confirm, _) => return self.perform(&Ask::Confirm, one, person, page),
            (Word::Revert, _) => return self.perform(&Ask::Revert, one, person, page),
            (Word::Rollback, Some(interface)) => {
                let number = match number {
                    Some(number) => Ok(Some(*number)),
                    None => self.one_back(&interface),
                };
                let ask = match number {
                    Ok(Some(number)) => Ask::Rollback { interface, number, confirm_within },
                    Ok(None) => {
                        let words = format_args!("{interface} has no earlier configuration");
                        return refuse(page, words);
                    }
                    Err(fault) => {
                        answers::answer(page, &Answer::Failed(self.slot.take(fault)));
                        return false;
                    }
                };
                return self.perform(&ask, one, person, page);
            }
            (Word::Repair, Some(interface)) => {
                let ask = Ask::Repair { interface, confirm_within };
                return self.perform(&ask, one, person, page);
            }
            (Word::Remove, Some(interface)) => {
                let ask = Ask::Remove { interface, confirm_within };
                return self.perform(&ask, one, person, page);
            }
            (Word::Load, Some(interface)) => {
                if let Err(fault) = self.allowed(&interface) {
                    answers::answer(page, &Answer::Failed(self.slot.take(fault)));
                    return false;
                }
                let _ = paste.clear();
                talk.loaded = None;
                if !talk.unattended {
                    page.line(format_args!(
                        "paste the file for {interface}; end it with a line `.` or Ctrl-D, drop it with Ctrl-C"
                    ));
                }
                let (length, lines, open, broken) = (0, 0, false, None);
                talk.state = State::Paste { interface, length, lines, open, broken };
            }
            (Word::Commit, _) => {
                let how = (confirm_within, adopt);
                return self.commit_loaded(talk, how, person, paste, page);
            }
            (Word::Drop, _) => {
                let Some(Loaded { interface, .. }) = talk.loaded.take() else {
                    return refuse(page, format_args!("nothing is loaded"));
                };
                page.line(format_args!("dropped the file for {interface}; nothing was changed"));
            }
            (Word::Log, _) => {
                page.open("log", "[");
                self.committer.machine.each_log_line(&mut |line| {
                    page.value("", format_args!("{line}"));
                    page.line(format_args!("{line}"));
                });
                page.close("]");
            }
            (Word::More, _) if words::is(text, "on") => reply.more = Some(true),
            (Word::More, _) if words::is(text, "off") => reply.more = Some(false),
            (Word::More, _) => {
                return refuse(page, format_args!("usage: more on, or more off"));
            }
            (Word::Unlock, _) => return self.unlock(text, talk, person, page),
            (Word::Claim, _) => return self.claim(command, client, person, page),
            (Word::Shell, _) if person.way == Way::Session => {
                let words = format_args!("a shell needs the cable, or a login on the router");
                return refuse(page, words);
            }
            (Word::Shell, _) => reply.shell = true,
            (Word::Exit, _) => {
                if let Some(unlock) = &mut person.unlock {
                    unlock.lock();
                }
                (talk.state, talk.loaded) = (State::Command, None);
                reply.mode = ConsoleMode::Exit;
            }
            // The parser sees to it that they have an interface.
            (Word::Rollback | Word::Repair | Word::Remove | Word::Load, None) => return false,
        }
        true
    }

    /// The number of the configuration before the newest.
    fn one_back(&mut self, interface: &Name) -> Result<Option<u32>, Fault> {
        let store = &mut self.committer.store;
        match store.newest(interface, u32::MAX)? {
            Some(newest) => store.newest(interface, newest),
            None => Ok(None),
        }
    }

    /// The WireGuard interface whose name follows `after`, in the order of the alphabet.
    fn link_after(&mut self, after: Option<Name>) -> Option<Name> {
        let mut next: Option<Name> = None;
        let found = self.committer.kernel.wireguard_links(&mut |name, _| {
            let follows = after.is_none_or(|after| *name > *after);
            if follows && next.is_none_or(|next| *name < *next) {
                next = Some(name);
            }
            Ok(())
        });
        let _ = found.map_err(|fault| self.slot.take(fault));
        next
    }

    /// Passes the names of the WireGuard interfaces, and of those of which something is stored, to `take`.
    pub fn link_names(&mut self, take: &mut dyn FnMut(&str)) {
        let mut next = self.link_after(None);
        while let Some(name) = next {
            take(&name);
            next = self.link_after(next);
        }
        let mut stored = self.stored_after(None);
        while let Some(name) = stored {
            let mut runs = false;
            let found = self.committer.kernel.wireguard_links(&mut |link, _| {
                runs |= link == name;
                Ok(())
            });
            let _ = found.map_err(|fault| self.slot.take(fault));
            if !runs {
                take(&name);
            }
            stored = self.stored_after(stored);
        }
    }

    fn show_all(
        &mut self,
        interface: Option<Name>,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        page.open("interfaces", "[");
        let mut next = interface.or_else(|| self.link_after(None));
        if next.is_none() {
            page.line(format_args!("there is no WireGuard interface"));
        }
        let mut all = true;
        while let Some(name) = next {
            let ask = Ask::Show { interface: name };
            if self.perform(&ask, (client, false), person, page) {
                let mut shown = RunningPage::default();
                self.records::<Running>(client, person, &mut |record| shown.record(page, record));
                shown.end(page);
            } else {
                all = false;
            }
            next = if interface.is_some() { None } else { self.link_after(next) };
            if next.is_some() {
                page.text("\n");
            }
        }
        page.close("]");
        all
    }

    /// What a repair would change, of one interface or of all.
    fn diff(
        &mut self,
        interface: Option<Name>,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        let mut all = true;
        let mut some = false;
        page.open("interfaces", "[");
        let mut next = interface.or_else(|| self.stored_after(None));
        while let Some(name) = next {
            some = true;
            page.open("", "{");
            page.field("interface", "interface:", format_args!("{name}"));
            let ask = Ask::Drift { interface: name };
            if self.perform(&ask, (client, false), person, page) {
                page.open("list", "[");
                self.records::<Change>(client, person, &mut |record| answers::change(page, record));
                page.close("]");
            } else {
                all = false;
            }
            page.close("}");
            next = if interface.is_some() { None } else { self.stored_after(next) };
        }
        page.close("]");
        if !some {
            page.line(format_args!("nothing is stored"));
        }
        all
    }

    /// The interface after `after` of which a configuration with an image is stored.
    fn stored_after(&mut self, after: Option<Name>) -> Option<Name> {
        let mut before = after;
        loop {
            let next = self.committer.store.interface_after(before.as_ref());
            let next = next.map_err(|fault| self.slot.take(fault)).ok().flatten()?;
            let stored = self.stored(&next).map_err(|fault| self.slot.take(fault));
            if stored.is_ok() {
                return Some(next);
            }
            before = Some(next);
        }
    }

    /// Tells of each stored configuration whether the kernel agrees with it.
    fn agreements(
        &mut self,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) {
        /// Keeps the summary of a plan.
        struct Quiet<'q>(Option<bool>, &'q dyn fmt::Display);
        impl Outlet for Quiet<'_> {
            fn take(&mut self, answer: &Answer<'_>) -> bool {
                if let Answer::Planned(summary) = answer {
                    self.0 = Some(summary.is_quiet());
                }
                true
            }

            fn send(&mut self, _: &mut [u8; SCRATCH], _: usize) {}

            fn in_flight(&self) -> u32 {
                0
            }

            fn from(&self) -> &dyn fmt::Display {
                self.1
            }
        }
        page.open("stored", "[");
        let mut label = "stored";
        let mut next = self.stored_after(None);
        while let Some(interface) = next {
            let mut quiet = Quiet(None, person.from);
            let mut turn = Turn::new(client, 0, &mut quiet);
            let asked = self.answer(&Ask::Drift { interface }, person.visitor, &mut turn);
            let _ = asked.map_err(|fault| self.slot.take(fault));
            let words = match quiet.0 {
                Some(true) => "runs as stored",
                Some(false) => "differs from what is stored: see `diff`",
                None => "cannot be compared: see `diff`",
            };
            page.open("", "{");
            page.value("interface", format_args!("{interface}"));
            page.truth("agrees", quiet.0);
            page.close("}");
            page.field("", label, format_args!("{interface} {words}"));
            label = "";
            next = self.stored_after(next);
        }
        page.close("]");
    }

    fn claim(
        &mut self,
        command: &Command,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        let Some(key) = command.key else { return false };
        if !proto_core::protocol::session::is_usable(&key) || key == person.visitor.router {
            let words = "no owner can have this key: it is the router's own, or of small order";
            return refuse(page, format_args!("{words}"));
        }
        let name = if command.text.is_empty() { "owner" } else { &*command.text };
        let ask = Ask::Claim { name: cut(name), proof: None };
        let own = core::mem::replace(&mut person.visitor.key, key);
        let done = self.perform(&ask, (client, false), person, page);
        person.visitor.key = own;
        if done {
            let shown = fingerprint(&key);
            page.field(
                "claimed",
                "claimed:",
                format_args!("{name}, key {shown}, owns this router"),
            );
            if person.way == Way::Serial {
                person.visitor.standing = Standing::Stranger;
                page.line(format_args!(
                    "this console is a guest from now on; `unlock` opens it with a code of the owner"
                ));
            }
        }
        done
    }

    /// `unlock`: shows the challenge, or judges a code.
    fn unlock(
        &mut self,
        text: &str,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        if Need::Change.allows(person.visitor.standing) {
            page.line(format_args!("the console is open already"));
            return true;
        }
        if !text.is_empty() {
            return self.judge(text, talk, person, page);
        }
        let machine = self.committer.machine;
        let (Some(unlock), Some(identity)) = (&mut person.unlock, person.identity) else {
            return refuse(page, format_args!("the router's key cannot be read; see `log`"));
        };
        let mut random = [0; CHALLENGE_BYTES];
        if machine.random(&mut random).is_err() {
            return refuse(page, format_args!("there are no random numbers yet: try again"));
        }
        let challenge = unlock.begin(machine.now(), random);
        let (host, router) = (machine.host_name(), fingerprint(&identity.public()));
        page.field("challenge", "challenge:", format_args!("{challenge}"));
        page.field("hostname", "router:", format_args!("{host}"));
        page.field("fingerprint", "fingerprint:", format_args!("{router}"));
        page.line(format_args!(
            "an owner makes the code with: postwire unlock {challenge} --router {host}"
        ));
        page.line(format_args!("type the code, or Enter to go back"));
        talk.state = State::Code;
        true
    }

    fn judge(
        &mut self,
        text: &str,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        let machine = self.committer.machine;
        let (Some(unlock), Some(identity)) = (&mut person.unlock, person.identity) else {
            return refuse(page, format_args!("codes are for the serial console"));
        };
        let visitor = &mut *person.visitor;
        let verdict = unlock.judge(machine.now(), text, identity, visitor.ownership);
        match &verdict {
            Verdict::Opened { owner, role } => {
                (visitor.key, visitor.standing) = (*owner, Standing::Owner(*role));
                let name = visitor.name();
                let to = if Need::Change.allows(visitor.standing) { "admin" } else { "to look" };
                machine.log(format_args!("{}: console opened for {name} ({to})", person.from));
                page.line(format_args!("{verdict}"));
                return true;
            }
            Verdict::Wrong(_) => {
                machine.log(format_args!("{}: a wrong code on the console", person.from));
            }
            _ => {}
        }
        // The code may be typed again.
        if !matches!(verdict, Verdict::NoChallenge | Verdict::TooOld) {
            talk.state = State::Code;
        }
        refuse(page, format_args!("{verdict}"))
    }
}

fn help(text: &str, person: &Person<'_, '_, '_>, page: &mut Page<'_>) -> bool {
    if !text.is_empty() {
        return match words::find(text) {
            Ok(entry) => {
                page.line(format_args!("{} {}", entry.name, entry.usage));
                page.line(format_args!("  {}", entry.about));
                true
            }
            Err(wrong) => refuse(page, format_args!("{wrong}")),
        };
    }
    let standing = person.visitor.standing;
    for entry in TABLE.iter().filter(|entry| entry.need.allows(standing)) {
        let mut name = heapless::String::<48>::new();
        let _ = write!(name, "{} {}", entry.name, entry.usage);
        page.line(format_args!("  {name:33}{}", entry.about));
    }
    page.line(format_args!("names may be shortened; Tab completes, `?` lists what fits"));
    if !Need::Look.allows(standing) {
        page.line(format_args!("{GUEST}"));
    }
    true
}
