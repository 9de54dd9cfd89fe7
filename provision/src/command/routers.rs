//! `postwire routers`.

use serde::Serialize;

use crate::cli::{Own, RoutersCommand};
use crate::exit;
use crate::home::{HomeError, Place, Router, Routers};
use crate::report::{Done, Failed};

/// The list, or one changed entry, as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Known {
    List { routers: Vec<Entry> },
    One(Entry),
}

/// A router, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    name: String,
    public_key: String,
    fingerprint: String,
    udp: Option<String>,
    serial: Option<String>,
    last_seen: Vec<String>,
}

impl From<&Router> for Entry {
    fn from(router: &Router) -> Self {
        Self {
            name: router.name.clone(),
            public_key: router.key.to_string(),
            fingerprint: router.fingerprint(),
            udp: router.udp.clone(),
            serial: router.serial.clone(),
            last_seen: router.seen.iter().map(ToString::to_string).collect(),
        }
    }
}

pub(super) fn run(own: &Own, what: Option<&RoutersCommand>) -> Result<Done<Known>, Failed> {
    let work = || -> Result<(String, Known), HomeError> {
        let home = own.find()?;
        match what {
            None | Some(RoutersCommand::List) => {
                let routers = home.routers()?;
                let result = Known::List { routers: routers.iter().map(Entry::from).collect() };
                Ok((list(&routers), result))
            }
            Some(RoutersCommand::Add { name, key, to }) => home.change_routers(|routers| {
                home.is_no_own_key(key)?;
                let udp = to.udp.as_ref().map(|udp| Place::Udp(udp.to_string()));
                let serial = to.serial.as_ref().map(|serial| Place::Serial(serial.to_string()));
                let router = routers.add(name, *key, udp.or(serial).as_ref())?;
                let text = format!("added {name}, {}", router.fingerprint());
                Ok((text, Known::One(router.into())))
            }),
            Some(RoutersCommand::Forget { router }) => home.change_routers(|routers| {
                let router = routers.forget(router)?;
                // The router does not reveal its key again, so the message has it.
                let text = format!("forgot {}, whose key is {}", router.name, router.key);
                Ok((text, Known::One((&router).into())))
            }),
        }
    };
    let (text, result) = work().map_err(|error| Failed::own(&error))?;
    Ok(Done { code: exit::DONE, text, result })
}

/// The list as text, a block for each router.
fn list(routers: &Routers) -> String {
    if routers.is_empty() {
        return "your list of routers is empty: claim a router with `postwire claim`, or add a router whose \
                owner added you with `postwire routers add`"
            .into();
    }
    let block = |router: &Router| {
        let mut text = format!(
            "{}\n  public key: {}\n  fingerprint: {}",
            router.name,
            router.key,
            router.fingerprint()
        );
        for place in router.given() {
            text += &format!("\n  address: {place}");
        }
        for place in &router.seen {
            text += &format!("\n  last seen: {place}");
        }
        text
    };
    routers.iter().map(block).collect::<Vec<_>>().join("\n\n")
}
