//! `postwire unlock`: the code that opens a router's console, made without a connection.

use proto_core::key::PublicKey;
use proto_core::protocol::message;
use proto_core::protocol::session::fingerprint;
use proto_core::protocol::unlock::{Challenge, Pairing};
use serde::Serialize;

use super::connect::named;
use crate::cli::{Own, Role, Unlock};
use crate::exit;
use crate::home::Routers;
use crate::report::{Done, Failed};
use crate::show::table;

/// A code, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    code: String,
    challenge: String,
    role: &'static str,
    router: Named,
    owner: Key,
}

#[derive(Debug, Serialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    key: Key,
}

#[derive(Debug, Serialize)]
struct Key {
    public_key: String,
    fingerprint: String,
}

impl Key {
    fn of(key: &PublicKey) -> Self {
        Self { public_key: key.to_string(), fingerprint: fingerprint(key).to_string() }
    }
}

pub(super) fn run(own: &Own, args: &Unlock) -> Result<Done<Made>, Failed> {
    let typed = args.challenge.join(" ");
    let challenge: Challenge = typed.parse().map_err(|error| {
        Failed::usage(format!("the challenge is not right: {error}")).hint(Some(
            "have it read to you again: three groups of four, such as K7QB-29XB-M4T5".into(),
        ))
    })?;
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let operator = home.operator().map_err(|error| Failed::own(&error))?;
    let routers = home.routers().map_err(|error| Failed::own(&error))?;
    let (name, router) = match &args.router {
        Some(text) => named(&home, &routers, text).map_err(|error| Failed::own(&error))?,
        None => only(&routers)?,
    };
    let pairing = Pairing::at_office(&operator.key, &router).ok_or_else(|| {
        Failed::usage(format!("{router} is no router's key"))
            .hint(Some("`postwired identity` on the router prints its key".into()))
    })?;
    let (role, role_name, may) = match args.role {
        Role::Admin => (message::Role::Admin, "admin", "everything"),
        Role::ReadOnly => (message::Role::ReadOnly, "read-only", "only look"),
    };
    let code = pairing.code(&challenge, role).to_string();
    let router = Named { name, key: Key::of(&router) };
    let owner = Key::of(&operator.public());
    let text = table(&[
        ("code", code.clone()),
        ("for router", format!("{}, {}", router.name, router.key.fingerprint)),
        ("challenge", challenge.to_string()),
        ("may do", format!("{may}, for 10 minutes")),
        (
            "your key",
            format!("{}: it has to be an owner's, of a role that may do this", owner.fingerprint),
        ),
    ]);
    let made = Made { code, challenge: challenge.to_string(), role: role_name, router, owner };
    Ok(Done { code: exit::DONE, text, result: made })
}

/// The router, where there is no choice.
fn only(routers: &Routers) -> Result<(String, PublicKey), Failed> {
    let names: Vec<&str> = routers.iter().map(|router| router.name.as_str()).collect();
    let hint = match names.as_slice() {
        [] => {
            return Err(Failed::usage("no router is known here, and a code is made for one router")
                .hint(Some(
                    "`postwire routers add NAME KEY` notes it; `identity` on its console prints the key"
                        .into(),
                )));
        }
        [_] => String::new(),
        [some @ .., last] if some.len() < 10 => format!("you know {} and {last}", some.join(", ")),
        _ => "`postwire routers` lists those you know".to_owned(),
    };
    match routers.iter().next() {
        Some(router) if names.len() == 1 => Ok((router.name.clone(), router.key)),
        _ => Err(Failed::usage("which router shows this challenge? Name it with --router NAME")
            .hint(Some(hint))),
    }
}
