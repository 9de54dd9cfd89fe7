//! Removes allowed IPs from a peer on kernels before 6.16, which can only replace them all: the
//! allowed IPs are moved to a temporary peer, and that peer is removed.

use proto_core::key::{KEY_LEN, PublicKey};
use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{AllowedIpChange, Event, PeerChange, SetEncoder};
use proto_core::protocol::message::Subject;

use super::Wg;
use super::process::Process;
use super::send::send_adds;
use super::wanted::{Peer, Wanted};
use crate::fault::Fault;
use crate::kernel::exchange::Kernel;
use crate::kernel::read::each_event_of_whole;
use crate::kernel::write::{flush, put};

impl<P: Process> Wg<'_, P> {
    /// Sends a configuration with allowed IPs to remove. They are removed last.
    pub(super) fn take_away(
        &self,
        kernel: &mut Kernel<'_, P::Netlink>,
        name: IfName,
        wanted: &mut Wanted<'_, P::File>,
        set: &mut [u8],
    ) -> Result<(), Fault> {
        send_adds(kernel, name, wanted, set)?;
        let slot = kernel.slot;
        let mut peer = None;
        each_event_of_whole(kernel, name, &mut |event| {
            match event {
                Event::Device(_) => {}
                Event::Peer(info) => peer = Some(info.public_key),
                Event::AllowedIp(net) => {
                    let mut of = Peer::new(0, 0);
                    for n in 0..wanted.count {
                        wanted.peer(n, &mut of)?;
                        if Some(of.key) == peer {
                            find(wanted, &of, net)?;
                        }
                    }
                }
            }
            Ok(())
        })?;
        let mut key = PublicKey([0; KEY_LEN]);
        self.process.random(&mut key.0).map_err(|errno| slot.storage(errno))?;
        let family = kernel.wireguard()?;
        let mut encoder = SetEncoder::new(set, family, name);
        let about = Subject::Interface;
        put(kernel, &mut encoder, about, &|encoder| encoder.peer(&PeerChange::new(key)))?;
        for n in 0..wanted.next_ip() {
            if wanted.is_taken(n)? {
                let AllowedIpChange { net, .. } = wanted.allowed_ip(n)?;
                let change = AllowedIpChange { net, remove: false };
                put(kernel, &mut encoder, about, &|encoder| encoder.allowed_ip(&change))?;
            }
        }
        let gone = PeerChange { remove: true, ..PeerChange::new(key) };
        put(kernel, &mut encoder, about, &|encoder| encoder.peer(&gone))?;
        flush(kernel, &mut encoder, about)
    }
}

/// Marks the allowed IPs that are to be removed from a peer and exist.
fn find<F: crate::system::File>(
    wanted: &mut Wanted<'_, F>,
    peer: &Peer,
    net: &proto_core::ip::IpNet,
) -> Result<(), Fault> {
    for n in peer.allowed_ips() {
        let change = wanted.allowed_ip(n)?;
        if change.remove && change.net.masked() == *net {
            wanted.set_taken(n)?;
        }
    }
    Ok(())
}
