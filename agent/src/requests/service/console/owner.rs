//! `claim` and `unlock`: a key becomes an owner, or a person proves to have one.
//!
//! Not here: the codes ([`crate::access::unlock`]).

use proto_core::protocol::message::{Ask, ClientId, cut};
use proto_core::protocol::session::fingerprint;
use proto_core::protocol::unlock::CHALLENGE_BYTES;

use crate::access::owners::Standing;
use crate::access::unlock::Verdict;
use crate::console::answers::refuse;
use crate::console::page::Page;
use crate::console::words::{Command, Need};
use crate::console::{Person, State, Talk, Way};
use crate::requests::service::Service;
use crate::system::{Machine, System};

impl<S: System> Service<'_, S> {
    /// Makes the key of the command an owner of this router.
    pub(super) fn claim(
        &mut self,
        command: &Command,
        client: ClientId,
        person: &mut Person<'_, '_, '_>,
        page: &mut Page<'_>,
    ) -> bool {
        let Some(key) = command.key else { return false };
        if !proto_core::protocol::session::is_usable(&key) || key == person.visitor.router {
            let words = "no owner can have this key: it is the router's own, or no X25519 key";
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
    pub(super) fn unlock(
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
        let Some(unlock) = &mut person.unlock else {
            return refuse(page, format_args!("codes are for the serial console"));
        };
        let Some(identity) = person.identity else {
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

    pub(super) fn judge(
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
