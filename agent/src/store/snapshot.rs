//! The snapshot that the agent goes back to when a change fails or is not confirmed: the running state of an
//! interface, in a format of its own that also holds what an image cannot express. A snapshot contains keys, so it
//! never leaves the router.
//!
//! ```text
//! device and peers   records of an image, with any MTU; scopes of endpoints are numbers
//! rules to put back  records of an image
//! hanging            alias, addresses and routes as the kernel tells them (`restore`)
//! length             of what hangs (4)
//! rules to remove    records of an image, `Head::added` bytes
//! ```
//! The snapshot of an interface that did not exist has only the rules: those to put back, then those to remove.

use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{Event, PeerInfo};
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};
use proto_core::protocol::message::{Code, Subject};

use crate::config::image::Span;
use crate::config::records::RecordWriter;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::{Kernel, LinkState, steady};
use crate::kernel::read::each_event;
use crate::store::noted::Noted;
use crate::store::restore;
use crate::system::{File, NetlinkSocket};

/// Bytes of the length field.
const LENGTH: u32 = 4;

/// Places of the parts in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Device, peers, and rules to put back.
    pub image: Span,
    /// Addresses and routes.
    pub hanging: Span,
    /// Rules to remove.
    pub added: Span,
}

impl Parts {
    /// Finds the parts in `span` of a file, with `added` bytes of rules to remove.
    ///
    /// # Errors
    /// [`Code::Damaged`], [`Code::Storage`].
    pub fn find<F: File>(
        slot: &Slot,
        file: &mut F,
        Span { from, end }: Span,
        added: u32,
    ) -> Result<Self, Fault> {
        let added = Span { from: end.saturating_sub(added), end };
        let length_at = added.from.saturating_sub(LENGTH);
        let mut length = [0; LENGTH as usize];
        Noted { slot, file }.read(length_at, &mut length)?;
        match length_at.checked_sub(u32::from_le_bytes(length)) {
            Some(hanging) if hanging >= from => Ok(Self {
                image: Span { from, end: hanging },
                hanging: Span { from: hanging, end: length_at },
                added,
            }),
            _ => {
                let text = "the snapshot from before the change is truncated";
                Err(slot.fail(Code::Damaged, Subject::None, text))
            }
        }
    }
}

/// Writes the rules that a change removes, or the rules that it adds.
pub type WriteRules<'r, F> = dyn FnMut(bool, &mut RecordWriter<'_, F>) -> Result<(), Fault> + 'r;

/// Writes the snapshot of an interface into `file` at offset `from`; `now` is in milliseconds since boot. Returns its
/// length and digest.
///
/// Everything is in the order of the kernel's dumps, the peers first.
///
/// # Errors
/// The kernel's error, an item that could not be put back, [`Code::Storage`].
pub fn image<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    file: &mut F,
    from: u32,
    link: Option<(IfName, &LinkState)>,
    rules: &mut WriteRules<'_, F>,
    now: u64,
) -> Result<(u32, Digest), Fault> {
    let slot = kernel.slot;
    let mut done = None;
    steady(slot, Subject::Interface, &mut || {
        let mut image = RecordWriter::new(slot, Some(&mut *file), from)?;
        let Some((name, link)) = link else {
            rules(false, &mut image)?;
            rules(true, &mut image)?;
            done = Some(image.finish()?);
            return Ok(true);
        };
        // The dump reports the device before its peers.
        let mut whole = each_event(kernel, name, &mut |event| match event {
            Event::Device(device) => image.record(&Record::Interface(Interface {
                name,
                private_key: device.private_key.clone().map_or(PrivateKey::None, PrivateKey::Given),
                listen_port: Some(device.listen_port),
                fwmark: device.fwmark,
                mtu: link.mtu,
            })),
            Event::Peer(info) => image.record(&peer(info)),
            Event::AllowedIp(net) => image.record(&Record::AllowedIp(*net)),
        })?;
        rules(false, &mut image)?;
        let hanging_at = image.at();
        whole &= restore::write(kernel, &mut image, (name, link.index), now)?;
        let end = image.at();
        image.bytes(&end.saturating_sub(hanging_at).to_le_bytes())?;
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
        endpoint: info.endpoint.map(Into::into),
        persistent_keepalive: info.persistent_keepalive,
    })
}
