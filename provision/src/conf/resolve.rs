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
/// preferred, because a new router often has IPv4 before it has IPv6, and of several the least one;
/// a note says which address is used. A name without an address gets a warning that the router will look up the name.
pub fn resolve(config: &mut Config, lookup: &Lookup, budget: Duration) -> Vec<Problem> {
    let known = look_up_all(names(config), lookup, budget, least);
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
    choose: Choose,
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
                let found = one(&lookup, &name, port, choose);
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

/// Chooses one of the addresses of a name.
pub(crate) type Choose = fn(&[SocketAddr]) -> Option<SocketAddr>;

/// The least address, an IPv4 one if there is any: a name server gives them in another order each time, and a push of the
/// same file is to find nothing to change. One with a scope is for this machine only.
pub(crate) fn least(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let scope = |address: &SocketAddr| match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    addresses
        .iter()
        .min_by_key(|address| (address.is_ipv6(), scope(address), address.ip()))
        .copied()
}

/// The first address, an IPv4 one if there is any: this machine's resolver puts those first that it can reach.
pub(crate) fn first(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

fn one(lookup: &Lookup, host: &str, port: u16, choose: Choose) -> Found {
    let addresses = lookup(host, port).map_err(|error| {
        // "failed to lookup address information: Name or service not known"
        let text = error.to_string();
        text.rsplit_once(": ").map_or(text.clone(), |(_, reason)| reason.to_string())
    })?;
    choose(&addresses).ok_or_else(|| "it has no address".into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Source;
    use crate::image::Image;

    /// The endpoint was another one, and the router's flash was written, whenever the name server's answer began with
    /// another address.
    #[test]
    fn the_order_of_a_name_server_s_answer_changes_no_image() {
        let all =
            ["[2001:db8::2]:1", "192.0.2.9:1", "[2001:db8::1]:1", "192.0.2.10:1", "[fe80::1%7]:1"];
        for from in [&all[..], &[all[0], all[2], all[4]]] {
            let mut images = Vec::new();
            for turn in 0..from.len() {
                let mut answer: Vec<SocketAddr> =
                    from.iter().map(|text| text.parse().unwrap()).collect();
                answer.rotate_left(turn);
                let lookup: Lookup = Arc::new(move |_, _| Ok(answer.clone()));
                let text = "[Interface]\nPrivateKey = generate\n[Peer]\nPublicKey = \
                            xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nEndpoint = vpn.example.com:51820\n";
                let (mut config, _) =
                    crate::conf::parse(&Source::new("wg0.conf", text.as_bytes()).0);
                let told = resolve(&mut config, &lookup, Duration::from_secs(5));
                assert!(
                    told[0].message.contains(if from.len() > 3 {
                        "192.0.2.9"
                    } else {
                        "2001:db8::1"
                    }),
                    "{told:?}"
                );
                images.push(Image::new(&"wg0".try_into().unwrap(), config).unwrap().bytes);
            }
            images.dedup();
            assert_eq!(images.len(), 1);
        }
    }
}
