//! The running state of an interface as an image: what the agent goes back to when a change fails or is not
//! confirmed. It has the keys, so it never leaves the router.

use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{Event, PeerInfo};
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};
use proto_core::protocol::message::{Code, Subject, cut};

use crate::fault::Fault;
use crate::kernel::{Kernel, LinkState, steady};
use crate::records::RecordWriter;
use crate::system::{File, NetlinkSocket};
use crate::walk::{each_event, each_on_link};

/// Writes the rules that a change removes, or those that it adds.
pub type WriteRules<'r, F> = dyn FnMut(bool, &mut RecordWriter<'_, F>) -> Result<(), Fault> + 'r;

/// Writes the image of an interface into `file` from the byte `from` on. Its length and digest.
///
/// Its items are in the order in which the kernel tells them, the peers first. Of the policy rules only those are in
/// it that the change removes; behind the image are the rules that the change adds.
///
/// # Errors
/// What the kernel says, [`Code::Storage`].
pub fn image<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    file: &mut F,
    from: u32,
    link: Option<(IfName, &LinkState)>,
    rules: &mut WriteRules<'_, F>,
) -> Result<(u32, Digest), Fault> {
    let slot = kernel.slot;
    let mut done = None;
    steady(slot, Subject::Interface, &mut || {
        let mut image = RecordWriter::new(slot, Some(&mut *file), from)?;
        let Some((name, link)) = link else {
            rules(true, &mut image)?;
            done = Some(image.finish()?);
            return Ok(true);
        };
        // The device is told before its peers.
        let mut whole = each_event(kernel, name, &mut |event| match event {
            Event::Device(device) => image.record(&Record::Interface(Interface {
                name: cut(name.as_str()),
                private_key: device.private_key.clone().map_or(PrivateKey::None, PrivateKey::Given),
                listen_port: Some(device.listen_port),
                fwmark: device.fwmark,
                mtu: link.mtu,
            })),
            Event::Peer(info) => image.record(&peer(info)),
            Event::AllowedIp(net) => image.record(&Record::AllowedIp(*net)),
        })?;
        whole &= each_on_link(kernel, link.index, &mut |item, ours| {
            if ours { image.record(item) } else { Ok(()) }
        })?;
        rules(false, &mut image)?;
        rules(true, &mut image)?;
        done = Some(image.finish()?);
        Ok(whole)
    })?;
    done.ok_or_else(|| slot.fail(Code::Unsteady, Subject::Interface, ""))
}

fn peer(info: &PeerInfo) -> Record {
    Record::Peer(Peer {
        public_key: info.public_key,
        preshared_key: info.preshared_key.clone(),
        endpoint: info.endpoint,
        persistent_keepalive: info.persistent_keepalive,
    })
}
