//! `postwire owner`.

use std::borrow::Cow;

use proto_core::key::PublicKey;
use proto_core::protocol::message::{Owner, Role};
use proto_core::protocol::session::fingerprint;
use serde::Serialize;

use super::connect::{connect, is_a_persons_key};
use super::failure::describe;
use super::hand_over::leave_list;
use super::ui;
use crate::cli::{self, AddOwner, Link, Own, OwnerCommand, RemoveOwner};
use crate::ops::Router;
use crate::report::{Done, Failed};
use crate::session::{Session, SessionError, printable};
use crate::ui::word;
use crate::{drive, exit};

/// A list of owners, as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Owners {
    List { router: Router, owners: Vec<Entry> },
    Changed { router: Router, public_key: String, owners: u8 },
}

/// An owner, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    public_key: String,
    fingerprint: String,
    role: Cow<'static, str>,
    name: String,
    you: bool,
    #[serde(skip)]
    is_known: bool,
}

pub(super) fn run(own: &Own, what: &OwnerCommand) -> Result<Done<Owners>, Failed> {
    match what {
        OwnerCommand::List(link) => list(own, link),
        OwnerCommand::Add(args) => add(own, args),
        OwnerCommand::Remove(args) => remove(own, args),
    }
}

pub(super) fn list(own: &Own, link: &Link) -> Result<Done<Owners>, Failed> {
    let mut ui = ui(own, &link.talk);
    let mut session = connect(own, link, &mut ui)?;
    let owners = drive::one(session.owners()).map_err(plain)?;
    let (router, you) = (Router::of(&session), session.own_key());
    let owners: Vec<Entry> = owners.iter().map(|owner| entry(owner, &you)).collect();
    let blocks: Vec<String> = owners.iter().map(Entry::text).collect();
    let text = match blocks.is_empty() {
        true => "this router is unclaimed".into(),
        false => blocks.join("\n\n"),
    };
    Ok(Done { code: exit::DONE, text, result: Owners::List { router, owners } })
}

fn add(own: &Own, args: &AddOwner) -> Result<Done<Owners>, Failed> {
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    is_a_persons_key(own, &session, &args.key)?;
    let role = match args.role {
        cli::Role::Admin => Role::Admin,
        cli::Role::ReadOnly => Role::ReadOnly,
    };
    let owners = drive::one(session.add_owner(args.key, role, &args.name)).map_err(plain)?;
    let router = Router::of(&session);
    let text = format!(
        "{} ({}) is now {} of {}, one of {owners} owners\n\
         to reach the router, the owner first runs: postwire routers add {} {}",
        args.name,
        fingerprint(&args.key),
        role_text(role),
        router.name(),
        word(router.known_as()),
        session.router_key(),
    );
    let result = Owners::Changed { router, public_key: args.key.to_string(), owners };
    Ok(Done { code: exit::DONE, text, result })
}

fn remove(own: &Own, args: &RemoveOwner) -> Result<Done<Owners>, Failed> {
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    let key = match args.who.parse() {
        Ok(key) => key,
        Err(_) => by_name(&mut session, &args.who)?,
    };
    let leaves = key == session.own_key();
    let removed = drive::one(session.remove_owner(key));
    let router = Router::of(&session);
    let owners = removed.map_err(|error| match error {
        // The router does not answer strangers: a reply that was lost is not sent again.
        SessionError::Silence { .. } if leaves => plain(error).hint(Some(format!(
            "you may be no owner any more: `postwire owners --router {}` is answered if you still are one",
            router.known_as()
        ))),
        error => plain(error),
    })?;
    let who = match leaves {
        true => "you are".into(),
        false => format!("{} is", fingerprint(&key)),
    };
    let mut text = format!("{who} no longer an owner of {}; {owners} left", router.name());
    if leaves {
        let router_key = session.router_key();
        text += &match leave_list(own, &router_key.to_string()) {
            Ok(()) => format!("\nit is not in your list any more; its key is {router_key}"),
            Err(error) => format!("\nthe router is still in your list: {error}"),
        };
    }
    let result = Owners::Changed { router, public_key: key.to_string(), owners };
    Ok(Done { code: exit::DONE, text, result })
}

/// The key of the only owner with this name.
fn by_name(session: &mut Session<'_>, name: &str) -> Result<PublicKey, Failed> {
    let owners = drive::one(session.owners()).map_err(plain)?;
    let named: Vec<&Owner> = owners.iter().filter(|owner| owner.name == name).collect();
    match named.as_slice() {
        [owner] => Ok(owner.key),
        [] => {
            Err(Failed::usage(format!("no owner of this router is called `{}`", printable(name)))
                .hint(Some("`postwire owners` lists the owners; a public key works too".into())))
        }
        some => {
            let keys: Vec<String> = some.iter().map(|owner| owner.key.to_string()).collect();
            let message = format!("{} owners of this router are called `{name}`", keys.len());
            Err(Failed::usage(message)
                .hint(Some(format!("name the owner by public key: {}", keys.join(" or ")))))
        }
    }
}

fn plain(error: SessionError) -> Failed {
    describe(error, None)
}

const fn role_text(role: Role) -> &'static str {
    match role {
        Role::Admin => "an admin",
        Role::ReadOnly => "a read-only owner",
        Role::Unknown(_) => "an owner with a role that this version of postwire does not know",
    }
}

fn entry(owner: &Owner, you: &PublicKey) -> Entry {
    Entry {
        public_key: owner.key.to_string(),
        fingerprint: fingerprint(&owner.key).to_string(),
        role: match owner.role {
            Role::Admin => "admin".into(),
            Role::ReadOnly => "read-only".into(),
            Role::Unknown(number) => format!("role_{number}").into(),
        },
        name: printable(&owner.name),
        you: owner.key == *you,
        is_known: !matches!(owner.role, Role::Unknown(_)),
    }
}

impl Entry {
    fn text(&self) -> String {
        let you = if self.you { " (you)" } else { "" };
        let unknown = match self.is_known {
            true => "",
            false => ", which this version of postwire does not know",
        };
        format!(
            "{}{you}\n  role: {}{unknown}\n  public key: {}\n  fingerprint: {}",
            self.name, self.role, self.public_key, self.fingerprint
        )
    }
}
