//! From the command line to a target: the router, and the connection to it.

use std::path::Path;

use proto_core::key::PublicKey;
use proto_core::protocol::session::fingerprint;

use super::failure::describe;
use crate::cli::{Link, Own, Talk, To};
use crate::drive;
use crate::home::{Home, HomeError, Place, Routers};
use crate::ops::{Address, Opening, Target};
use crate::report::{Failed, Kind};
use crate::session::{Session, SessionError};
use crate::transport::ports;
use crate::ui::{Ui, word};
use crate::units::{self, SerialAddress};

/// The router of the command line, and the connection to it.
pub(super) fn target(own: &Own, link: &Link) -> Result<Target, Failed> {
    let own_files = |error: HomeError| Failed::own(&error);
    let home = own.find().map_err(own_files)?;
    let operator = home.operator().map_err(own_files)?;
    let address = match address(&link.to, &link.talk)? {
        Some(address) => address,
        None => known_address(&home, link)?,
    };
    let Candidates { who, keys } =
        candidates(&home, link.router.as_deref(), &address.place()).map_err(own_files)?;
    Ok(Target {
        operator,
        who,
        keys,
        timeout: link.talk.timeout,
        typed: typed(own, link, &address),
        note: Some((home, address.place())),
        way: Box::new(address),
    })
}

/// The target of a claim, whose router is not known yet.
pub(super) fn unclaimed(own: &Own, to: &To, talk: &Talk) -> Result<Target, Failed> {
    let own_files = |error: HomeError| Failed::own(&error);
    let home = own.find().map_err(own_files)?;
    let operator = home.operator().map_err(own_files)?;
    let address = address(to, talk)?.ok_or_else(|| {
        Failed::usage("which router? Give its serial port with --serial, or its address with --udp").hint(Some(
            "`postwire claim --serial DEV` needs nothing but the cable; --serial auto takes the only port of this \
             machine"
                .into(),
        ))
    })?;
    Ok(Target {
        operator,
        who: "an unclaimed router".into(),
        keys: Vec::new(),
        timeout: talk.timeout,
        typed: address.to_string(),
        note: Some((home, address.place())),
        way: Box::new(address),
    })
}

/// Opens a session with the router that the command line names.
pub(super) fn connect<'u>(own: &Own, link: &Link, ui: &'u mut Ui) -> Result<Session<'u>, Failed> {
    let target = target(own, link)?;
    drive::one(target.open(ui)).map_err(|error: SessionError| describe(error, None))
}

/// Checks that the key of a new owner is no router's: a router whose only owner is a router could not be reached any more.
pub(super) fn is_a_persons_key(
    own: &Own,
    session: &Session<'_>,
    key: &PublicKey,
) -> Result<(), Failed> {
    let routers =
        own.find().and_then(|home| home.routers()).map_err(|error| Failed::own(&error))?;
    let name = match routers.of_key(key) {
        Some(router) => router.name.as_str(),
        None if *key == session.router_key() => session.known_as(),
        None => return Ok(()),
    };
    Err(Failed::usage(format!("{key} is the key of the router {name}, and no owner's"))
        .hint(Some("`postwire key` of the new owner shows the owner's key".into())))
}

fn address(to: &To, talk: &Talk) -> Result<Option<Address>, Failed> {
    let serial = to.serial.clone().map(|serial| on_line(serial, talk)).transpose()?;
    Ok(serial.or_else(|| to.udp.clone().map(Address::Udp)))
}

/// The address of a serial line, whose port may be left to this machine.
fn on_line(mut serial: SerialAddress, talk: &Talk) -> Result<Address, Failed> {
    if serial.device == Path::new(units::ONLY) {
        serial.device = ports::only().map_err(|error| describe(error, None))?;
    }
    Ok(Address::Serial(serial, Opening { dtr: talk.dtr, listen: talk.listen }))
}

/// Checks that the command line names a router, before anything else is done.
pub(super) fn is_named(link: &Link) -> Result<(), Failed> {
    match (&link.to.udp, &link.to.serial, &link.router) {
        (None, None, None) => Err(Failed::usage(
            "which router? Give its address with --udp or --serial, or its name with --router",
        )),
        _ => Ok(()),
    }
}

/// The address of the router in --router: its configured address, or otherwise its last one.
fn known_address(home: &Home, link: &Link) -> Result<Address, Failed> {
    is_named(link)?;
    let name = link.router.clone().unwrap_or_default();
    let routers = home.routers().map_err(|error| Failed::own(&error))?;
    let unknown = || HomeError::Unknown(name.escape_debug().collect());
    let router = routers.find(&name).ok_or_else(|| Failed::own(&unknown()))?;
    let place = router.place().and_then(|place| match place {
        Place::Udp(host) => units::udp(&host).ok().map(|to| Ok(Address::Udp(to))),
        Place::Serial(device) => {
            units::serial(&device).ok().map(|serial| on_line(serial, &link.talk))
        }
    });
    place.transpose()?.ok_or_else(|| {
        Failed::new(Kind::Own, format!("no address of {} is known", router.name)).hint(Some(format!(
            "reach it once with --udp or --serial, or give its address: `postwire routers add` takes --udp and --serial, \
             and so does an entry of {}",
            home.routers_file().display()
        )))
    })
}

/// The command-line options that reach the same router again, at this address if the command line has one.
fn typed(own: &Own, link: &Link, address: &Address) -> String {
    let given = link.to.serial.is_some() || link.to.udp.is_some();
    let mut options: Vec<String> = given.then(|| address.to_string()).into_iter().collect();
    let mut more = |option: &str, value: Option<String>| {
        options.extend(value.map(|value| format!("{option} {}", word(value))));
    };
    more("--router", link.router.clone());
    more("--home", own.home.as_ref().map(|home| home.display().to_string()));
    more("--key", own.key.as_ref().map(|key| key.display().to_string()));
    options.join(" ")
}

/// The routers that may be at an address.
struct Candidates {
    /// Their description, for messages.
    who: String,
    /// Their keys, the most likely first.
    keys: Vec<PublicKey>,
}

/// What to call the router of a name, key or fingerprint, and its key.
pub(super) fn named(
    home: &Home,
    routers: &Routers,
    text: &str,
) -> Result<(String, PublicKey), HomeError> {
    match (routers.find(text), text.parse()) {
        (Some(router), _) => Ok((router.name.clone(), router.key)),
        (None, Ok(key)) => {
            home.is_no_own_key(&key)?;
            Ok((fingerprint(&key).to_string(), key))
        }
        (None, Err(_)) => Err(HomeError::Unknown(text.escape_debug().collect())),
    }
}

fn candidates(home: &Home, router: Option<&str>, place: &Place) -> Result<Candidates, HomeError> {
    let routers = home.routers()?;
    if let Some(text) = router {
        let (who, key) = named(home, &routers, text)?;
        return Ok(Candidates { who, keys: vec![key] });
    }
    let likely = routers.likely_at(place);
    let who = match likely.as_slice() {
        // On a serial line, an unclaimed router answers a probe.
        [] if matches!(place, Place::Udp(_)) => return Err(HomeError::NoRouter),
        [] => "an unclaimed router".into(),
        [router] => router.name.clone(),
        all => format!("any of the {} routers you know", all.len()),
    };
    Ok(Candidates { who, keys: likely.iter().map(|router| router.key).collect() })
}
