//! `postwire claim`.

use std::io::{BufRead as _, Read as _};
use std::path::Path;

use proto_core::key::PublicKey;
use proto_core::protocol::message::OwnerName;
use proto_core::protocol::session::{LabelKey, fingerprint};
use serde::Serialize;
use zeroize::Zeroizing;

use super::connect;
use super::failure::describe;
use crate::cli::{Claim, Own};
use crate::label::Label;
use crate::ops::{self, Claiming, Kind, Router, Stop};
use crate::report::{Done, Failed};
use crate::ui::{self, say};
use crate::{drive, exit, interrupt, name};

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
    let (label, number) = label(args)?;
    let owner = args.owner.clone().unwrap_or_else(owner_name);
    let mut ui = super::ui(own, &args.talk);
    let operator = target.operator.clone();
    let mut approve = |key: &PublicKey| approve(own, args, key, &operator.fingerprint());
    let name = args.name.clone().or(number);
    let claiming = Claiming { label, owner: owner.clone(), name, approve: &mut approve };
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

/// The key that proves possession of the label, and the number on the label. No error message contains the secret.
fn label(args: &Claim) -> Result<(Option<LabelKey>, Option<String>), Failed> {
    let (text, number) = match (&args.secret, &args.secret_file, &args.label) {
        (Some(text), _, _) => (Zeroizing::new(text.clone()), None),
        (None, Some(path), _) => (read(path)?, None),
        (None, None, Some(text)) => {
            let text = match text.as_str() {
                "-" => scanned()?,
                text => Zeroizing::new(text.to_owned()),
            };
            let label = Label::parse(&text).map_err(|error| Failed::usage(error.to_string()))?;
            (Zeroizing::new(label.secret().to_owned()), Some(label.number().to_owned()))
        }
        (None, None, None) if args.to.udp.is_some() => {
            let message = "over UDP a claim takes the secret on the router's label: say it with \
                           --secret, --secret-file or --label";
            return Err(Failed::usage(message)
                .hint(Some("with --serial, over a cable, no secret is needed".into())));
        }
        (None, None, None) => return Ok((None, None)),
    };
    match LabelKey::of(text.trim()) {
        Some(label) => Ok((Some(label), number)),
        None => Err(Failed::usage(
            "invalid label secret: expected 16 to 128 characters, not counting spaces and dashes",
        )),
    }
}

/// A line of standard input: a scanner types the text and presses Enter, and ends no file.
fn scanned() -> Result<Zeroizing<String>, Failed> {
    read_with(Path::new("-"), |text| {
        std::io::stdin().lock().take(MAX_SECRET).read_line(text).map(drop)
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failed> {
    let file = path.to_path_buf();
    read_with(path, move |text| {
        match file.as_os_str() == "-" {
            true => std::io::stdin().lock().take(MAX_SECRET).read_to_string(text),
            false => std::fs::File::open(file)?.take(MAX_SECRET).read_to_string(text),
        }
        .map(drop)
    })
}

/// Reads a secret, until Ctrl-C.
fn read_with(
    path: &Path,
    read: impl FnOnce(&mut String) -> std::io::Result<()> + Send + 'static,
) -> Result<Zeroizing<String>, Failed> {
    let shown =
        if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    interrupt::unless_requested(move || {
        let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET as usize));
        read(&mut text).map(|()| text)
    })
    .ok_or_else(Failed::interrupted)?
    .map_err(|error| {
        Failed::new(Kind::File, format!("cannot read the label's secret from {shown}: {error}"))
    })
}

/// `USER@HOST`, truncated to the length of an owner's name.
pub(super) fn owner_name() -> OwnerName {
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
