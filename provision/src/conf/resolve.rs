//! Host names of endpoints, looked up on the bench as well as later on the router: what the bench finds, the
//! router has at once, and can be held against. A name that the bench cannot look up may be one that only
//! the router's network knows.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use super::{At, Config, Destination, Problem};

/// Looks up a host name and a port.
pub type Lookup<'l> = &'l dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// The resolver of this machine.
///
/// # Errors
/// What the resolver says.
pub fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Looks up the host names. The first address of a name is taken, and a note says which; of a name without
/// one a warning says that the router will look for it.
pub fn resolve(config: &mut Config, lookup: Lookup<'_>) -> Vec<Problem> {
    let mut known: HashMap<String, Result<SocketAddr, String>> = HashMap::new();
    let mut problems = Vec::new();
    for peer in &mut config.peers {
        let Some(At { value: Destination::Name(host), place }) = &mut peer.endpoint else {
            continue;
        };
        let name = &host.name;
        let asked_before = known.contains_key(name);
        match known.entry(name.clone()).or_insert_with(|| first(lookup, name, host.port)) {
            Ok(address) => {
                if !asked_before {
                    let message = format!("{name} is {} from here", address.ip());
                    problems.push(Problem::note(place.clone(), message));
                }
                host.address = Some(SocketAddr::new(address.ip(), host.port));
            }
            Err(error) => problems.push(Problem::warning(
                place.clone(),
                format!(
                    "Endpoint of peer {}: {name} does not resolve here ({error}); the router looks it up \
                     itself",
                    peer.public_key.value
                ),
            )),
        }
    }
    problems
}

fn first(lookup: Lookup<'_>, host: &str, port: u16) -> Result<SocketAddr, String> {
    let addresses = lookup(host, port).map_err(|error| {
        // "failed to lookup address information: Name or service not known"
        let text = error.to_string();
        text.rsplit_once(": ").map_or(text.clone(), |(_, reason)| reason.to_string())
    })?;
    let address = addresses.first().ok_or("it has no address")?;
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            Err("its address has a scope, which cannot be pushed".into())
        }
        _ => Ok(*address),
    }
}
