//! Host names of endpoints, looked up on the bench: the router may have no resolver yet, and one
//! name that fails would otherwise fail on the router, out of sight.

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

/// Puts addresses in the place of host names. The first address of a name is taken, and a note says
/// which; a name without one is an error.
pub fn resolve(config: &mut Config, lookup: Lookup<'_>) -> Vec<Problem> {
    let mut known: HashMap<String, Result<SocketAddr, String>> = HashMap::new();
    let mut problems = Vec::new();
    for peer in &mut config.peers {
        let Some(At { value, place }) = &mut peer.endpoint else { continue };
        let Destination::Name(host, port) = value else { continue };
        let asked_before = known.contains_key(host);
        let found = known.entry(host.clone()).or_insert_with(|| first(lookup, host, *port));
        match found {
            Ok(address) => {
                if !asked_before {
                    let message = format!("{host} is {} from here", address.ip());
                    problems.push(Problem::note(place.clone(), message));
                }
                *value = Destination::Address(SocketAddr::new(address.ip(), *port));
            }
            Err(error) => problems.push(
                Problem::error(
                    place.clone(),
                    format!("Endpoint: cannot look up `{host}`: {error}"),
                )
                .help("names are looked up here, not on the router; an address always works"),
            ),
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
