//! `postwire hand-over` and `postwire take-over`, and the record between them.

use std::fs::File;
use std::path::Path;

use proto_core::key::PublicKey;
use proto_core::protocol::message::Role;
use proto_core::protocol::report::Act;
use proto_core::protocol::session::{StaticKey, fingerprint};
use serde::{Deserialize, Serialize};

use super::connect::{connect, is_a_persons_key};
use super::failure::describe;
use super::ui;
use crate::cli::{HandOver, Own, TakeOver};
use crate::home::{self, HomeError};
use crate::ops::{self, HandedOver, Router, Stop};
use crate::report::{Done, Failed, Kind};
use crate::session::printable;
use crate::stored::hex;
use crate::ui::{ask, can_ask, word};
use crate::{drive, exit};

const VERSION: u32 = 1;
const OPERATION: &str = "hand_over";
/// The outcomes of a hand-over.
const APPLIED: &str = "applied";
const UNKNOWN: &str = "unknown";
/// The most bytes of a record.
const MAX_RECORD: u64 = 1 << 20;

/// The record of a hand-over. Both sides can check that the other side or they themselves made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    operation: String,
    router_key: String,
    fingerprint: String,
    hostname: String,
    board: String,
    agent: String,
    tool: String,
    /// The public key of the owner who handed over.
    operator: String,
    /// The public key of the new owner.
    customer: String,
    customer_name: String,
    /// The other owners that were removed.
    removed: Vec<Removed>,
    configurations: Vec<Configuration>,
    /// `applied`, or `unknown` if it did not end, or the last reply was lost.
    outcome: String,
    ended: String,
    /// A keyed hash of the record with an empty `mac`, in hexadecimal.
    mac: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Removed {
    name: String,
    public_key: String,
}

/// A configuration that the router stores.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    interface: String,
    number: u32,
    /// The digest of the image, in hexadecimal.
    image: String,
}

/// A record that was checked, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct TakenOver {
    record: Record,
    /// The name of the router in the list; null on the side that handed over.
    name: Option<String>,
    /// Whether the router itself was asked.
    verified: bool,
}

impl Record {
    /// The keyed hash between the owner of `key` and the other side.
    fn mac(&self, key: &StaticKey, other: &PublicKey) -> Option<String> {
        let empty = Self { mac: String::new(), ..self.clone() };
        Some(hex(&key.authenticate(other, &serde_json::to_vec(&empty).ok()?)?))
    }
}

pub(super) fn run(own: &Own, args: &HandOver) -> Result<Done<Record>, Failed> {
    let operator =
        own.find().and_then(|home| home.operator()).map_err(|error| Failed::own(&error))?;
    if args.to == operator.public() {
        return Err(Failed::usage("this is your own key: give the key of the new owner with --to"));
    }
    // A record that cannot be written is found before anything is changed.
    let mut kept = create(args, &operator.key)?;
    let outcome = over(own, args, &operator.key, &mut kept);
    let (record, mut text) = match outcome {
        Ok(done) => done,
        Err(failed) => {
            // No owner was removed, and an empty file says nothing.
            if !kept.has_record {
                let _ = std::fs::remove_file(&args.record);
            }
            return Err(failed);
        }
    };
    let line = serde_json::to_string(&record).unwrap_or_default();
    write(&args.record, &line).map_err(|error| {
        Failed::new(Kind::File, format!("cannot write {}: {error}", args.record.display()))
            .hint(Some(format!("the router was handed over; this is its record: {line}")))
    })?;
    if record.outcome != APPLIED {
        return Ok(Done { code: exit::CONNECTION, text, result: record });
    }
    // The router does not answer the operator any more. The record has its key.
    if let Err(error) = leave_list(own, &record.router_key) {
        text += &format!("\nthe router is still in your list: {error}");
    }
    Ok(Done { code: exit::DONE, text, result: record })
}

/// Removes a router from the operator's list, by its key.
pub(super) fn leave_list(own: &Own, key: &str) -> Result<(), HomeError> {
    own.find()?.change_routers(|routers| match routers.forget(key) {
        Ok(_) | Err(HomeError::Unknown(_)) => Ok(()),
        Err(error) => Err(error),
    })
}

/// The file of a record.
struct Kept {
    /// The record of an earlier hand-over that did not end.
    earlier: Option<Record>,
    /// Whether there is a record in it.
    has_record: bool,
}

/// Writes the record in place of an earlier one, which is kept if that fails.
fn write(path: &Path, line: &str) -> std::io::Result<()> {
    home::replace(path, format!("{line}\n").as_bytes(), false)
}

fn over(
    own: &Own,
    args: &HandOver,
    key: &StaticKey,
    kept: &mut Kept,
) -> Result<(Record, String), Failed> {
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    is_a_persons_key(own, &session, &args.to)?;
    let router = Router::of(&session);
    let question = format!(
        "Make {} ({}) the only owner of {}? You and all others can no longer reach it.",
        args.name,
        fingerprint(&args.to),
        router.name()
    );
    if !args.yes && can_ask(own.json) && !ask(&question) {
        return Err(Failed::new(Kind::Interrupted, "nothing was changed"));
    }
    let router_key = session.router_key();
    if let Some(earlier) =
        kept.earlier.as_ref().filter(|earlier| earlier.router_key != router_key.to_string())
    {
        let message = format!(
            "{} is the record of another router, {}",
            args.record.display(),
            earlier.fingerprint
        );
        return Err(Failed::new(Kind::File, message)
            .hint(Some("nothing was changed; name another --record".into())));
    }
    // Only its record has the owners that an attempt which did not end removed.
    let before = kept.earlier.take().map(|earlier| earlier.removed).unwrap_or_default();
    let record = |over: &HandedOver| {
        let configurations = over.stored.iter().filter(|stored| stored.act != Act::Removed);
        let mut record = Record {
            version: VERSION,
            operation: OPERATION.into(),
            router_key: router_key.to_string(),
            fingerprint: router.fingerprint().into(),
            hostname: router.name().into(),
            board: router.board().into(),
            agent: router.agent().into(),
            tool: env!("CARGO_PKG_VERSION").into(),
            operator: key.public().to_string(),
            customer: args.to.to_string(),
            customer_name: args.name.to_string(),
            removed: together(&before, over),
            configurations: configurations
                .map(|stored| Configuration {
                    interface: printable(&stored.interface),
                    number: stored.number,
                    image: hex(&stored.digest),
                })
                .collect(),
            outcome: if over.left { APPLIED } else { UNKNOWN }.into(),
            ended: now(),
            mac: String::new(),
        };
        // The router took the key, so it is not of small order.
        record.mac = record.mac(key, &args.to).unwrap_or_default();
        record
    };
    // Whatever ends the hand-over from here on leaves the record of one whose outcome is unknown.
    let mut is_written = false;
    let mut leaving = |over: &HandedOver| {
        let line = serde_json::to_string(&record(over)).unwrap_or_default();
        write(&args.record, &line).map_err(|error| Stop {
            kind: Kind::File,
            message: format!("cannot write {}: {error}", args.record.display()),
            hint: None,
        })?;
        (kept.has_record, is_written) = (true, true);
        Ok(())
    };
    let done = drive::one(ops::hand_over(&mut session, args.to, &args.name, &mut leaving));
    let over = done.map_err(|error| {
        let also = match is_written {
            true => format!(
                ", and so is {}; others may not be any more. {} keeps who they were",
                args.name,
                args.record.display()
            ),
            false => String::new(),
        };
        let hint = format!("you are still an owner{also}: run the same command again");
        describe(error, None).hint(Some(hint))
    })?;
    let record = record(&over);
    let (router, name, file) = (&router, &args.name, args.record.display());
    let (typed, known_as) = (word(&file), word(router.known_as()));
    let text = match over.left {
        true => {
            let others = match over.others {
                true => "; another owner was added meanwhile, and is one still",
                false => "",
            };
            format!(
                "handed {} over to {name}; you are no longer an owner{others}\n\
                 give {file} to the new owner, who runs: postwire take-over {typed}",
                router.name()
            )
        }
        false => format!(
            "it is not known whether {} was handed over to {name}: the router did not answer the last request\n\
             run `postwire owners --router {known_as}`. If the router answers, you are still an owner: run the same \
             command again\n\
             if it does not answer you, and does answer the new owner's `postwire take-over {typed} --udp HOST`, it was \
             handed over: `postwire routers forget {known_as}` removes it from your list",
            router.name(),
        ),
    };
    Ok((record, text))
}

/// The time in UTC, in seconds.
fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Those that an earlier attempt and this one have removed, each once.
fn together(before: &[Removed], over: &HandedOver) -> Vec<Removed> {
    let mut removed = before.to_vec();
    for owner in &over.removed {
        let public_key = owner.key.to_string();
        if !removed.iter().any(|known| known.public_key == public_key) {
            removed.push(Removed { name: printable(&owner.name), public_key });
        }
    }
    removed
}

/// Creates the file of the record. That of an attempt of the same operator for the same new owner that did not end is
/// taken over, and so is an empty one.
fn create(args: &HandOver, key: &StaticKey) -> Result<Kept, Failed> {
    let path = &args.record;
    let error = match File::create_new(path) {
        Ok(_) => return Ok(Kept { earlier: None, has_record: false }),
        Err(error) => error,
    };
    let failed =
        |error| Failed::new(Kind::File, format!("cannot create {}: {error}", path.display()));
    if error.kind() != std::io::ErrorKind::AlreadyExists {
        return Err(failed(error).hint(Some("nothing was changed".into())));
    }
    let again = || {
        if path.metadata().ok().filter(std::fs::Metadata::is_file)?.len() == 0 {
            return Some(Kept { earlier: None, has_record: false });
        }
        let earlier = read(path).ok()?;
        let is_same = earlier.outcome == UNKNOWN
            && earlier.operator == key.public().to_string()
            && earlier.customer == args.to.to_string()
            && earlier.mac(key, &args.to).is_some_and(|mac| mac == earlier.mac);
        is_same.then_some(Kept { earlier: Some(earlier), has_record: true })
    };
    let Some(kept) = again() else {
        let hint = "nothing was changed; only the record of a hand-over to the same owner that did not end is overwritten";
        return Err(failed(error).hint(Some(hint.into())));
    };
    // The trial leaves what is there.
    let trial = std::fs::read(path).and_then(|bytes| home::replace(path, &bytes, false));
    trial.map_err(|error| {
        Failed::new(Kind::File, format!("cannot write {}: {error}", path.display()))
            .hint(Some("nothing was changed".into()))
    })?;
    Ok(kept)
}

pub(super) fn take(own: &Own, args: &TakeOver) -> Result<Done<TakenOver>, Failed> {
    let own_files = |error: HomeError| Failed::own(&error);
    let home = own.find().map_err(own_files)?;
    let operator = home.operator().map_err(own_files)?;
    let record = read(&args.record)?;
    let shown = args.record.display();
    let invalid = |what: &str| Failed::new(Kind::File, format!("{shown}: {what}"));
    let key = |text: &str, whose: &str| {
        text.parse::<PublicKey>().map_err(|_| invalid(&format!("{whose} is not a public key")))
    };
    let (from, to) = (key(&record.operator, "operator")?, key(&record.customer, "customer")?);
    let router = key(&record.router_key, "router_key")?;
    let you = operator.public();
    let other = match (you == to, you == from) {
        (true, _) => from,
        (_, true) => to,
        _ => {
            return Err(invalid(&format!(
                "the record is for the owner of {}, and your key is {}",
                fingerprint(&to),
                operator.fingerprint()
            )));
        }
    };
    if record.mac(&operator.key, &other).is_none_or(|mac| mac != record.mac) {
        return Err(invalid("the record was changed, or made by another person")
            .hint(Some("ask for the file as `postwire hand-over` wrote it".into())));
    }
    let mut text = format!(
        "the record is genuine: {} handed {} ({}) over to {} at {}",
        fingerprint(&from),
        record.hostname,
        fingerprint(&router),
        record.customer_name,
        record.ended
    );
    if record.outcome != APPLIED {
        text += "\nthe hand-over did not end, or the last reply of the router was lost: the old owner may be one still; `postwire take-over \
                 --udp HOST` of the new owner asks the router";
    }
    if you == from {
        return Ok(Done {
            code: exit::DONE,
            text,
            result: TakenOver { record, name: None, verified: false },
        });
    }
    let named = home.change_routers(|routers| match &args.name {
        Some(name) => routers.call(name, router).map(|router| router.name.clone()),
        // Many routers have the same host name.
        None => routers.met(router, &[&record.hostname]),
    });
    let name = named.map_err(own_files)?;
    text += &format!("\nits name in your list is {name}");
    let verified = args.link.to.udp.is_some() || args.link.to.serial.is_some();
    if verified {
        only_owner(own, args, &router, &you)?;
        text += "\nthe router answers, and you are its only owner";
    }
    Ok(Done { code: exit::DONE, text, result: TakenOver { record, name: Some(name), verified } })
}

/// Fails unless the router has no owner but this one.
fn only_owner(
    own: &Own,
    args: &TakeOver,
    router: &PublicKey,
    you: &PublicKey,
) -> Result<(), Failed> {
    let link = args.link.named(Some(&router.to_string()));
    let mut ui = ui(own, &link.talk);
    let mut session = connect(own, &link, &mut ui)?;
    let owners = drive::one(session.owners()).map_err(|error| describe(error, None))?;
    match owners.as_slice() {
        [owner] if owner.key == *you && owner.role == Role::Admin => Ok(()),
        owners => {
            let others = owners.iter().filter(|owner| owner.key != *you);
            let names: Vec<String> = others
                .map(|owner| format!("{} ({})", printable(&owner.name), fingerprint(&owner.key)))
                .collect();
            let message = format!("the router has other owners: {}", names.join(", "));
            Err(Failed::new(Kind::Router, message)
                .hint(Some("`postwire owner remove` removes an owner".into())))
        }
    }
}

fn read(path: &Path) -> Result<Record, Failed> {
    use std::io::Read as _;
    let shown = path.display();
    let failed = |message: String| Failed::new(Kind::File, message);
    let mut text = String::new();
    let file = File::open(path);
    file.and_then(|file| file.take(MAX_RECORD).read_to_string(&mut text))
        .map_err(|error| failed(format!("cannot read {shown}: {error}")))?;
    let record: Record = serde_json::from_str(text.trim())
        .map_err(|error| failed(format!("{shown} is not the record of a hand-over: {error}")))?;
    if record.version != VERSION || record.operation != OPERATION {
        return Err(failed(format!(
            "{shown} has the operation `{}` in version {}: this version of postwire reads `{OPERATION}` in version \
             {VERSION}",
            record.operation.escape_debug(),
            record.version
        )));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full disk or a power cut in the middle of a write took away who was removed before.
    #[test]
    fn a_record_is_not_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let [path, before] = ["r.json", "before.json"].map(|name| folder.path().join(name));
        write(&path, "first").unwrap();
        std::fs::hard_link(&path, &before).unwrap();
        write(&path, "second").unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&before), read(&path)), ("first\n".into(), "second\n".into()));
        let error = write(&folder.path().join("no/r.json"), "third").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}
