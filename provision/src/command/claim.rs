//! `postwire claim`.

use std::io::Read as _;
use std::path::Path;

use proto_core::protocol::message::OwnerName;
use proto_core::protocol::session::{LabelKey, fingerprint};
use serde::Serialize;
use zeroize::Zeroizing;

use super::connect::{self, Router};
use super::failure::{About, describe};
use crate::cli::{Claim, Own};
use crate::report::{Done, Failed, Kind};
use crate::session::{Session, SessionError};
use crate::transport::{Secure, seek};
use crate::{exit, name, ui};

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
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let operator = home.operator().map_err(|error| Failed::own(&error))?;
    let label = label(args)?;
    let owner = args.owner.clone().unwrap_or_else(owner_name);
    let mut ui = super::ui(own, &args.talk);
    let about = About { own: Some(operator.public()), ..About::default() };
    let failed = |error| describe(error, about);

    let (mut line, place) = connect::open(&args.to, &args.talk, args.talk.timeout)
        .map_err(|error| failed(error.into()))?;
    let found = seek(line.as_mut(), label.as_ref(), args.talk.timeout, &ui)
        .map_err(|error| failed(error.into()))?;
    let key = match found {
        Ok(key) => key,
        Err(reason) => {
            return Err(failed(SessionError::Nobody {
                who: "an unclaimed router".into(),
                name: line.name().into(),
                waited: args.talk.timeout,
                hint: connect::unclaimed_hint(line.as_ref(), &reason, &operator, label.is_some()),
                reason,
            }));
        }
    };
    let router_print = fingerprint(&key);
    ui.tell(&format!("the router's fingerprint: {router_print}"));
    ui.tell(&format!("your own fingerprint:     {}", operator.fingerprint()));
    if let Some(wanted) = args.fingerprint.as_ref().filter(|wanted| **wanted != *router_print) {
        let message =
            format!("this is a different router: its fingerprint is {router_print}, not {wanted}");
        return Err(Failed::new(Kind::Router, message).hint(Some(
            "nothing was changed; run `postwired identity` on the router to see its fingerprint"
                .into(),
        )));
    }
    if args.fingerprint.is_none() && !args.yes && ui::can_ask(own.json) {
        let question = "Is this the fingerprint that `postwired identity` prints on the router?";
        if !ui::ask(question) {
            return Err(Failed::new(Kind::Interrupted, "nothing was changed")
                .hint(Some("give the expected fingerprint with --fingerprint, or claim without asking with --yes".into())));
        }
    }
    if let Some(name) = &args.name {
        let routers = home.routers().map_err(|error| Failed::own(&error))?;
        routers.check_name(name, &key).map_err(|error| Failed::own(&error))?;
    }

    let timeout = args.talk.timeout;
    let secure = Secure::find(line, &operator, &[key], timeout, &ui)
        .map_err(|error| failed(connect::stranger(error, &operator, "the router", 1, timeout)))?;
    let mut session = Session::open(secure, timeout, &mut ui).map_err(failed)?;
    let outcome = session.claim(&owner, label.as_ref());
    // Also after a lost reply, when the outcome is unknown: without its key the router cannot be asked again.
    if matches!(outcome, Ok(()) | Err(SessionError::Silence { .. })) {
        connect::remember(&home, &mut session, &place, args.name.as_deref())
            .map_err(|error| Failed::own(&error))?;
    }
    let router = Router::of(&session);
    outcome.map_err(|error| match error {
        SessionError::Silence { .. } => failed(error).hint(Some(format!(
            "the claim was sent and may have succeeded; the router is in your list as {}. Run `postwire \
             owners` to see whether the router is yours; if not, claim it again",
            router.known_as()
        ))),
        _ => failed(error),
    })?;
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
