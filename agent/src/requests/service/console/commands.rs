//! The commands: each word's request, or the function that answers it.

use core::fmt::Write;

use proto_core::protocol::message::{Answer, Ask, ClientId, ConsoleMode, Name};
use proto_core::protocol::report::Stored;
use proto_core::protocol::session::fingerprint;

use super::GUEST;
use crate::console::answers::{self, refuse};
use crate::console::page::Page;
use crate::console::words::{self, Command, Need, TABLE, Word};
use crate::console::{Loaded, Person, Reply, State, Talk, Way};
use crate::requests::service::Service;
use crate::system::{File, Machine, System};

impl<S: System> Service<'_, S> {
    /// Executes a command that this person may give. Returns whether it was done.
    #[inline(never)]
    pub(super) fn execute(
        &mut self,
        command: &Command,
        talk: &mut Talk,
        person: &mut Person<'_, '_, '_>,
        paste: &mut S::File,
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
            (Word::Identity, _) => return self.identity(person, page),
            (Word::Owners, _) => return self.perform(&Ask::Owners, one, person, page),
            (Word::History, interface) => return self.list_stored(interface, client, person, page),
            (word @ (Word::Show | Word::Diff), interface) => {
                let stored = word == Word::Diff;
                return self.each_interface(interface, stored, client, person, page);
            }
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
            (Word::Load, Some(interface)) => return self.begin_paste(interface, talk, paste, page),
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

    /// Whether a command has something to act on. If not, its answer says so, and there is nothing to ask back.
    #[inline(never)]
    pub(super) fn has_effect(&mut self, command: &Command) -> bool {
        let Some(interface) = command.interface else {
            return !matches!(command.entry.word, Word::Confirm | Word::Revert)
                || self.state.is_open();
        };
        let mut known = false;
        match (command.entry.word, command.number) {
            (Word::Rollback, Some(number)) => {
                let opened = self.committer.store.open(&interface, number);
                known = opened.map_err(|fault| self.slot.take(fault)).is_ok();
            }
            (Word::Rollback | Word::Repair, _) => {
                let stored = match command.entry.word {
                    Word::Rollback => self.one_back(&interface),
                    _ => self.committer.store.newest(&interface, u32::MAX),
                };
                // The command itself reports a configuration that cannot be read.
                known = stored.map_err(|fault| self.slot.take(fault)).is_ok_and(|it| it.is_some());
            }
            _ => self.link_names(&mut |name| known |= *name == *interface),
        }
        known
    }

    /// Shows the router's host name and key.
    fn identity(&mut self, person: &Person<'_, '_, '_>, page: &mut Page<'_>) -> bool {
        let router = person.visitor.router;
        if person.identity.is_none() && person.way != Way::Session {
            return refuse(page, format_args!("the router's key cannot be read; see `log`"));
        }
        let host = self.committer.machine.host_name();
        page.field("hostname", "host name:", format_args!("{host}"));
        page.field("public_key", "public key:", format_args!("{router}"));
        page.field("fingerprint", "fingerprint:", format_args!("{}", fingerprint(&router)));
        true
    }

    /// Lists the stored configurations.
    fn list_stored(
        &mut self,
        interface: Option<Name>,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        if !self.perform(&Ask::History { interface }, (client, false), person, page) {
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
        true
    }

    /// Begins to take the lines of a file that is pasted.
    fn begin_paste(
        &mut self,
        interface: Name,
        talk: &mut Talk,
        paste: &mut S::File,
        page: &mut Page<'_>,
    ) -> bool {
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
        let (length, lines, open, spoilt) = (0, 0, false, None);
        talk.state = State::Paste { interface, length, lines, open, spoilt };
        true
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
