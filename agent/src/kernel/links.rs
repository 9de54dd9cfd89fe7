//! The links of endpoint scopes: an image names them, and the kernel numbers them.

use core::net::SocketAddr;

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::netlink::wireguard::PeerInfo;
use proto_core::protocol::endpoint::PeerEndpoint;
use proto_core::protocol::message::{Code, Name, Subject};

use crate::config::image::FindLink;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::Kernel;
use crate::system::NetlinkSocket;

/// Maximum number of links for the endpoints of an interface.
const MOST: usize = 16;

/// Names and numbers of links. A number of 0 is an empty slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Links([(Name, u32); MOST]);

impl Links {
    /// Finds the number of the link `name`, the scope of `peer`'s endpoint, unless it is known.
    ///
    /// # Errors
    /// [`Code::Config`] for a link that does not exist, and for too many links; errors of `find`.
    #[inline(never)]
    pub fn find(
        &mut self,
        slot: &Slot,
        peer: PublicKey,
        name: Name,
        find: &mut FindLink<'_>,
    ) -> Result<(), Fault> {
        let mut places = self.0.iter_mut();
        let found = match places.find(|(known, number)| *number == 0 || *known == name) {
            Some((_, number)) if *number != 0 => return Ok(()),
            Some(place) => find(name)?.map(|number| *place = (name, number)),
            None => {
                let text = "the endpoints are on more than 16 links";
                return Err(slot.fail(Code::Config, Subject::Endpoint(peer), text));
            }
        };
        found.ok_or_else(|| {
            let words = format_args!("the router has no interface {name}");
            slot.say(Code::Config, Subject::Endpoint(peer), Errno(0), words)
        })
    }

    /// Puts the number of its link into an endpoint.
    pub fn settle(&self, endpoint: &mut PeerEndpoint) {
        if let PeerEndpoint::Scoped(mut to, name) = *endpoint
            && let Some((_, number)) =
                self.0.iter().find(|(known, number)| *number != 0 && *known == name)
        {
            to.set_scope_id(*number);
            *endpoint = PeerEndpoint::V6(to);
        }
    }

    /// Records the number of the link of a peer's endpoint.
    pub fn note(&mut self, peer: &PeerInfo) {
        if let Some(SocketAddr::V6(to)) = peer.endpoint
            && to.scope_id() != 0
            && let Some((_, number)) =
                self.0.iter_mut().find(|(_, number)| *number == 0 || *number == to.scope_id())
        {
            *number = to.scope_id();
        }
    }

    /// Finds the names of the recorded links. A link that no longer exists is left out.
    ///
    /// # Errors
    /// Kernel errors.
    pub fn name<N: NetlinkSocket>(&mut self, kernel: &mut Kernel<'_, N>) -> Result<(), Fault> {
        for (name, number) in self.0.iter_mut().filter(|(_, number)| *number != 0) {
            match kernel.name_of(*number)? {
                Some(found) => *name = found,
                None => *number = 0,
            }
        }
        Ok(())
    }

    /// The endpoint of a peer with the name of its link, or with the number if no name is known.
    #[must_use]
    pub fn endpoint(&self, peer: &PeerInfo) -> Option<PeerEndpoint> {
        let to = peer.endpoint?;
        let mut endpoint = PeerEndpoint::from(to);
        if let (PeerEndpoint::Scoped(_, scope), SocketAddr::V6(to)) = (&mut endpoint, to)
            && let Some((name, _)) = self.0.iter().find(|(_, number)| *number == to.scope_id())
        {
            *scope = *name;
        }
        Some(endpoint)
    }
}
