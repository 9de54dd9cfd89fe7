//! `postwire claim`.

use std::io::Read as _;
use std::path::Path;

use proto_core::key::PublicKey;
use proto_core::protocol::message::OwnerName;
use proto_core::protocol::session::{LabelKey, fingerprint};
use serde::Serialize;
use zeroize::Zeroizing;

use super::connect;
use super::failure::describe;
use crate::cli::{Claim, Own};
use crate::ops::{self, Claiming, Kind, Router, Stop};
use crate::report::{Done, Failed};
use crate::ui::{self, say};
use crate::{drive, exit, name};

/// The most bytes to read from a file with a secret.
const MAX_SECRET: u64 = 1_024;

/// A claim, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Claimed {
    router: Router,
    owner: Owner,
}

/// The router's new owner.
#[derive(Debug, Serialize)]
struct Owner {
    name: String,
    public_key: String,
    fingerprint: String,
}

pub(super) fn run(own: &Own, args: &Claim) -> Result<Done<Claimed>, Failed> {
    let target = connect::unclaimed(own, &args.to, &args.talk)?;
    let label = label(args)?;
    let owner = args.owner.clone().unwrap_or_else(owner_name);
    let mut ui = super::ui(own, &args.talk);
    let operator = target.operator.clone();
    let mut approve = |key: &PublicKey| approve(own, args, key, &operator.fingerprint());
    let claiming =
        Claiming { label, owner: owner.clone(), name: args.name.clone(), approve: &mut approve };
    let router = drive::one(ops::claim(&target, claiming, &mut ui));
    let router = router.map_err(|error| describe(error, None))?;
    let text = format!(
        "claimed {} for {owner}: from now on it answers only its owners\n\
         its name in your list is {}",
        router.name(),
        router.known_as()
    );
    let owner = Owner {
        name: owner.to_string(),
        public_key: operator.public().to_string(),
        fingerprint: operator.fingerprint(),
    };
    Ok(Done { code: exit::DONE, text, result: Claimed { router, owner } })
}

/// Shows the fingerprints, and checks the router's against the expected one, or asks.
fn approve(own: &Own, args: &Claim, key: &PublicKey, ours: &str) -> Result<(), Stop> {
    let found = fingerprint(key);
    if !own.json {
        say(&format!("the router's fingerprint: {found}"));
        say(&format!("your own fingerprint:     {ours}"));
    }
    if let Some(wanted) = args.fingerprint.as_ref().filter(|wanted| **wanted != *found) {
        return Err(Stop {
            kind: Kind::Router,
            message: format!("this is a different router: its fingerprint is {found}, not {wanted}"),
            hint: Some(
                "nothing was changed; run `postwired identity` on the router to see its fingerprint"
                    .into(),
            ),
        });
    }
    let question = "Is this the fingerprint that `postwired identity` prints on the router?";
    if args.fingerprint.is_none() && !args.yes && ui::can_ask(own.json) && !ui::ask(question) {
        return Err(Stop {
            kind: Kind::Interrupted,
            message: "nothing was changed".into(),
            hint: Some(
                "give the expected fingerprint with --fingerprint, or claim without asking with --yes"
                    .into(),
            ),
        });
    }
    Ok(())
}

/// The key that proves possession of the label. No error message contains the secret.
fn label(args: &Claim) -> Result<Option<LabelKey>, Failed> {
    let text = match (&args.secret, &args.secret_file) {
        (Some(text), _) => Zeroizing::new(text.clone()),
        (None, Some(path)) => read(path)?,
        (None, None) if args.to.udp.is_some() => {
            let message = "over UDP a claim takes the secret on the router's label: say it with \
                           --secret or --secret-file";
            return Err(Failed::usage(message)
                .hint(Some("with --serial, over a cable, no secret is needed".into())));
        }
        (None, None) => return Ok(None),
    };
    match LabelKey::of(text.trim()) {
        Some(label) => Ok(Some(label)),
        None => Err(Failed::usage(
            "invalid label secret: expected 16 to 128 characters, not counting spaces and dashes",
        )),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failed> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_SECRET).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failed::new(Kind::File, format!("cannot read {}: {error}", path.display()))
    })?;
    Ok(text)
}

/// `USER@HOST`, truncated to the length of an owner's name.
fn owner_name() -> OwnerName {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let user = variable("USER").or_else(|| variable("USERNAME"));
    let host = host_name();
    let whole = match user {
        None => host,
        Some(user) => format!("{user}@{host}"),
    };
    let cut = proto_core::protocol::message::cut::<31>(&whole);
    name::owner(&cut).unwrap_or_else(|_| proto_core::protocol::message::cut("owner"))
}

/// The host name of this machine.
#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The host name of this machine.
#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
