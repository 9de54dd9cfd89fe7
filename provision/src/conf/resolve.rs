//! Host names of endpoints, looked up on the bench and later also on the router. With the bench's
//! addresses the router can connect at once, and its state can be compared. A name that the bench
//! cannot look up may be known only in the router's network.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::{At, Config, Destination, Problem};
use crate::interrupt;

/// Looks up a host name and a port.
pub type Lookup = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Number of names that are looked up in parallel.
const SIDE_BY_SIDE: usize = 16;

/// The resolver of this machine.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
}

/// Number of different host names to look up.
#[must_use]
pub fn count_names(config: &Config) -> usize {
    names(config).len()
}

/// The names, each once, with one of the ports used with it.
pub(crate) fn names(config: &Config) -> BTreeMap<String, u16> {
    let mut names = BTreeMap::new();
    for peer in &config.peers {
        if let Some(At { value: Destination::Name(host), .. }) = &peer.endpoint {
            names.entry(host.name.clone()).or_insert(host.port);
        }
    }
    names
}

/// Looks up the host names, several in parallel, within `budget` in all. An IPv4 address is
/// preferred, because a new router often has IPv4 before it has IPv6; a note says which address is
/// used. A name without an address gets a warning that the router will look up the name.
pub fn resolve(config: &mut Config, lookup: &Lookup, budget: Duration) -> Vec<Problem> {
    let known = look_up_all(names(config), lookup, budget);
    apply(config, &known, budget)
}

/// Sets the addresses of host names that were looked up for no longer than `budget`.
pub(crate) fn apply(
    config: &mut Config,
    known: &BTreeMap<String, Found>,
    budget: Duration,
) -> Vec<Problem> {
    let mut told = BTreeMap::new();
    let mut problems = Vec::new();
    for peer in &mut config.peers {
        let Some(At { value: Destination::Name(host), place }) = &mut peer.endpoint else {
            continue;
        };
        let name = &host.name;
        match known.get(name).map(of_endpoint) {
            Some(Ok(address)) => {
                if told.insert(name.clone(), ()).is_none() {
                    let message = format!("{name} is {} from here", address.ip());
                    problems.push(Problem::note(place.clone(), message));
                }
                host.address = Some(SocketAddr::new(address.ip(), host.port));
            }
            failed => {
                let late = || format!("no name server answers within {} s", budget.as_secs_f32());
                let why = failed.and_then(Result::err).unwrap_or_else(late);
                problems.push(Problem::warning(
                    place.clone(),
                    format!(
                        "Endpoint of peer {}: {name} does not resolve here ({why}); the router looks the name up \
                         itself",
                        peer.public_key.value
                    ),
                ));
            }
        }
    }
    problems
}

/// An address, or why there is none.
pub(crate) type Found = Result<SocketAddr, String>;

/// The addresses that were found in time, and before Ctrl-C. The C library's look-up cannot be cancelled, so late
/// threads are left running.
pub(crate) fn look_up_all(
    names: BTreeMap<String, u16>,
    lookup: &Lookup,
    budget: Duration,
) -> BTreeMap<String, Found> {
    let mut missing = names.len();
    let threads = missing.min(SIDE_BY_SIDE);
    let waiting: Arc<Mutex<VecDeque<(String, u16)>>> =
        Arc::new(Mutex::new(names.into_iter().collect()));
    let (answer, answers) = mpsc::channel();
    let until = Instant::now() + budget;
    for _ in 0..threads {
        let (waiting, lookup, answer) = (Arc::clone(&waiting), Arc::clone(lookup), answer.clone());
        std::thread::spawn(move || {
            let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some((name, port)) = next() {
                let found = first(&lookup, &name, port);
                if Instant::now() >= until || answer.send((name, found)).is_err() {
                    break;
                }
            }
        });
    }
    let mut known = BTreeMap::new();
    while missing > 0
        && let Ok((name, found)) =
            interrupt::wait(&answers, until.saturating_duration_since(Instant::now()))
    {
        known.insert(name, found);
        missing -= 1;
    }
    known
}

fn first(lookup: &Lookup, host: &str, port: u16) -> Found {
    let addresses = lookup(host, port).map_err(|error| {
        // "failed to lookup address information: Name or service not known"
        let text = error.to_string();
        text.rsplit_once(": ").map_or(text.clone(), |(_, reason)| reason.to_string())
    })?;
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    let address = v4.or(addresses.first()).ok_or("it has no address")?;
    Ok(*address)
}

/// An address that the router is to use.
fn of_endpoint(found: &Found) -> Found {
    match found {
        Ok(SocketAddr::V6(v6)) if v6.scope_id() != 0 => {
            Err("its address has a scope, which is a link of this machine and not of the router"
                .into())
        }
        found => found.clone(),
    }
}
