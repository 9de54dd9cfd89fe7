//! `load`: a pasted wg-quick file becomes an image, its changes are shown, and `commit` applies the image.
//!
//! Text and image are in the file of the conversation's paste, so a push of another client goes on meanwhile. Nothing
//! is changed before `commit`, which makes a change as a push does.

use proto_core::conf::ConfError;
use proto_core::netlink::Errno;
use proto_core::protocol::config::{Interface, PrivateKey, Record};
use proto_core::protocol::message::{Answer, Code, Name};
use proto_core::protocol::report::{Act, Change};

use super::{GUEST, Teller};
use crate::config::from_text::{Remark, Scratch, image_of_text};
use crate::config::image::{Records, digest_of};
use crate::config::plan::Purpose;
use crate::console::answers::{self, refuse};
use crate::console::editor::SUBSTITUTE;
use crate::console::page::Page;
use crate::console::words::Need;
use crate::console::{Loaded, MAX_PASTE, Person, Spoilt, State, Talk};
use crate::fault::Fault;
use crate::requests::service::push::{beat, planned};
use crate::requests::service::{Service, Turn};
use crate::store::commit;
use crate::system::{File, Files, Machine, System};

/// The most mistakes of a file that are shown.
const SHOWN: u32 = 20;

/// Tells a mistake: its place and what to do.
fn tell(page: &mut Page<'_>, error: &ConfError, column: u32) {
    let words = ConfError { line: 0, ..*error };
    page.open("", "{");
    page.number("line", error.line.into());
    page.number("column", column.into());
    page.value("text", format_args!("{words}"));
    page.close("}");
    match (error.line, column) {
        (0, _) => page.line(format_args!("{words}")),
        (line, 0) => page.line(format_args!("line {line}: {words}")),
        (line, column) => page.line(format_args!("line {line}, column {column}: {words}")),
    }
}

impl<S: System> Service<'_, S> {
    /// Takes a line of a pasted file.
    pub(super) fn take_pasted(
        &mut self,
        (line, whole): (&[u8], bool),
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
        page: &mut Page<'_>,
    ) -> bool {
        let State::Paste { interface, length, lines, open, spoilt } = &mut talk.state else {
            return false;
        };
        let ends = !*open && matches!(line, b"." | [4]);
        if ends || line == [3] {
            let (interface, length, spoilt, lines) = (*interface, *length, *spoilt, *lines);
            talk.state = State::Command;
            return match (ends, spoilt) {
                (false, _) => {
                    page.line(format_args!("dropped; nothing was changed"));
                    true
                }
                // The console closed while the file was pasted.
                _ if !Need::Change.allows(person.visitor.standing) => {
                    refuse(page, format_args!("{GUEST}"))
                }
                (true, Some(spoilt)) => refuse(page, format_args!("{spoilt}")),
                (true, None) => {
                    page.interface = Some(interface);
                    page.number("lines", lines.into());
                    page.line(format_args!("{lines} lines read"));
                    self.load(&interface, length, talk, person, paste, page)
                }
            };
        }
        let number = lines.saturating_add(1);
        if line.contains(&SUBSTITUTE) {
            spoilt.get_or_insert(Spoilt::Noise(number));
        }
        // A file that cannot be loaded is read to its end all the same: its lines are no commands.
        for part in [line, if whole { b"\n" } else { b"" }] {
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            if spoilt.is_none() {
                let written = match length.saturating_add(len) {
                    ..=MAX_PASTE => paste.write_at(*length, part),
                    _ => Err(Errno::ENOSPC),
                };
                *spoilt = written.err().map(|errno| Spoilt::NoRoom(number, errno));
            }
            *length = length.saturating_add(len);
        }
        *open = !whole;
        if whole {
            *lines = number;
        }
        true
    }

    /// Makes an image of a pasted file of `length` bytes, and tells what the image would change.
    #[inline(never)]
    fn load(
        &mut self,
        interface: &Name,
        length: u32,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
        page: &mut Page<'_>,
    ) -> bool {
        let Files { index, extras: other, report: heap } = &mut self.committer.files;
        let mut mistakes = 0_u32;
        page.open("remarks", "[");
        let scratch = Scratch { heap, index, other };
        let made =
            image_of_text(
                self.slot,
                interface,
                (paste, length),
                scratch,
                &mut |remark| match remark {
                    Remark::Mistake(error, column) => {
                        mistakes = mistakes.saturating_add(1);
                        if mistakes <= SHOWN {
                            tell(page, error, *column);
                        }
                    }
                    Remark::LeftOut(line, name, why) => {
                        page.value("", format_args!("line {line}: {name} {why}"));
                        page.line(format_args!("line {line}: {name} {why}"));
                    }
                },
            );
        page.close("]");
        // It holds preshared keys. The next report overwrites it too.
        let _ = self.committer.files.report.clear();
        let newest = self.committer.store.newest(interface, u32::MAX);
        let loaded = match made.and_then(|span| Ok((span, newest?))) {
            Ok((Some(span), newest)) => Loaded { interface: *interface, span, newest },
            Ok((None, _)) => {
                if mistakes > SHOWN {
                    let more = mistakes.saturating_sub(SHOWN);
                    page.line(format_args!("and {more} more"));
                }
                let words = format_args!(
                    "the file has mistakes, and nothing was changed; correct it and `load {interface}` again"
                );
                return refuse(page, words);
            }
            Err(fault) => return self.tell_fault(page, fault),
        };
        if !self.show_loaded(&loaded, talk, person, paste, page) {
            page.line(format_args!("nothing was changed"));
            return false;
        }
        talk.loaded = Some(loaded);
        let mut records = Records::new(self.slot, paste, loaded.span.from, loaded.span.end);
        let first = records.next().map_err(|fault| self.slot.take(fault));
        if let Ok(Some(Record::Interface(Interface { private_key: PrivateKey::None, .. }))) = first
        {
            let words = format_args!(
                "the file has no PrivateKey, and without a key there is no tunnel; with `PrivateKey = generate` \
                 the router makes a key, and keeps it"
            );
            page.field("warning", "note:", words);
        }
        if !talk.unattended {
            page.line(format_args!(
                "`commit` applies this; `commit within 60s` takes it back unless you `confirm`; `drop` \
                 forgets it"
            ));
        }
        true
    }

    fn tell_fault(&self, page: &mut Page<'_>, fault: Fault) -> bool {
        answers::answer(page, &Answer::Failed(self.slot.take(fault)));
        false
    }

    /// Tells what a loaded configuration would change.
    #[inline(never)]
    fn show_loaded(
        &mut self,
        loaded: &Loaded,
        talk: &Talk,
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
        page: &mut Page<'_>,
    ) -> bool {
        let (client, span) = (talk.client, loaded.span);
        let mut teller = Teller { page, from: person.from, all: false };
        let mut turn = Turn::new(client, 0, &mut teller);
        let shown = self.publish(&mut turn, person.visitor, None, &mut |this, turn| {
            planned(&mut this.committer, turn, (paste, span), Purpose::Change)
        });
        if let Err(fault) = shown {
            return self.tell_fault(page, fault);
        }
        page.open("list", "[");
        self.records::<Change>(client, person, &mut |record| answers::change(page, record));
        page.close("]");
        true
    }

    /// `commit`: applies what is loaded.
    #[inline(never)]
    pub(super) fn commit_loaded(
        &mut self,
        talk: &mut Talk,
        (confirm_within, adopt): (u16, bool),
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
        page: &mut Page<'_>,
    ) -> bool {
        let Some(loaded) = talk.loaded else {
            return refuse(page, format_args!("nothing is loaded; `load IF` loads a file"));
        };
        let interface = loaded.interface;
        match self.committer.store.newest(&interface, u32::MAX) {
            Ok(newest) if newest == loaded.newest => {}
            // Another client made a change: what was shown is not what would happen.
            Ok(newest) => {
                let now = Loaded { newest, ..loaded };
                if !self.show_loaded(&now, talk, person, paste, page) {
                    return false;
                }
                talk.loaded = Some(now);
                let words = format_args!(
                    "{interface} was changed since the file was loaded; above is what would change now: \
                     `commit` again, or `drop`"
                );
                return refuse(page, words);
            }
            Err(fault) => return self.tell_fault(page, fault),
        }
        let mut teller = Teller { page, from: person.from, all: false };
        let mut turn = Turn::new(talk.client, 0, &mut teller);
        let applied = self.apply_loaded(&mut turn, &loaded, (confirm_within, adopt), person, paste);
        match applied {
            Ok(()) => {
                talk.loaded = None;
                true
            }
            Err(fault) => {
                let failure = self.slot.take(fault);
                let again = match failure.code {
                    Code::Foreign => "`commit [within TIME] adopt` takes the interface over",
                    _ => "`commit` again",
                };
                answers::answer(page, &Answer::Failed(failure));
                page.line(format_args!("the file is still loaded: {again}, or `drop`"));
                false
            }
        }
    }

    fn apply_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        loaded: &Loaded,
        (confirm_within, adopt): (u16, bool),
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
    ) -> Result<(), Fault> {
        let Loaded { interface, span, .. } = loaded;
        self.make_way(turn, person.visitor, interface, confirm_within)?;
        let pushed = digest_of(self.slot, paste, *span)?;
        let change = person.visitor.change(Act::Pushed, confirm_within);
        let change = commit::Change { pushed, adopt: commit::Adopt::asked(adopt), ..change };
        let done = {
            let mut working = beat(self.committer.machine, turn);
            self.committer.commit(paste, *span, &change, &mut working)
        };
        if done.is_ok() {
            // The change was made, even if its host names cannot be recorded for lookups.
            let now = self.committer.machine.now();
            let taken = self.hosts.take(self.slot, interface, (paste, *span), false, now);
            let _ = taken.map_err(|fault| self.slot.take(fault));
            self.changed(interface, "push");
        }
        self.answer_change(turn, person.visitor, interface, done, confirm_within)
    }
}
