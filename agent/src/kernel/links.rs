//! The links that the endpoints of peers are on: an image names them, and the kernel numbers them.

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

/// How many links the endpoints of an interface can be on.
const MOST: usize = 16;

/// Names and numbers of links. A number of 0 is a free place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Links([(Name, u32); MOST]);

impl Links {
    /// Finds the number of the link `name`, where `peer` is, unless it is known.
    ///
    /// # Errors
    /// [`Code::Config`] for a link that is not there, and for too many; what `find` says.
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

    /// Notes the number of the link where a peer is.
    pub fn note(&mut self, peer: &PeerInfo) {
        if let Some(SocketAddr::V6(to)) = peer.endpoint
            && to.scope_id() != 0
            && let Some((_, number)) =
                self.0.iter_mut().find(|(_, number)| *number == 0 || *number == to.scope_id())
        {
            *number = to.scope_id();
        }
    }

    /// Finds the names of the links whose numbers were noted. A link that is gone is left out.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn name<N: NetlinkSocket>(&mut self, kernel: &mut Kernel<'_, N>) -> Result<(), Fault> {
        for (name, number) in self.0.iter_mut().filter(|(_, number)| *number != 0) {
            match kernel.name_of(*number)? {
                Some(found) => *name = found,
                None => *number = 0,
            }
        }
        Ok(())
    }

    /// The endpoint of a peer by the name of its link, or by the number where there is no name.
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
