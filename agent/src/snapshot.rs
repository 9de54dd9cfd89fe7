//! What the agent goes back to when a change fails or is not confirmed: the running state of an interface, in a form
//! of its own that holds what an image cannot say. It has the keys, so it never leaves the router.
//!
//! ```text
//! device and peers   records of an image, with any MTU
//! rules to put back  records of an image
//! scopes             key (32), scope (4): of the peers whose endpoint has a scope
//! hanging            addresses and routes as the kernel tells them (`restore`)
//! lengths            of the scopes (4), of what hangs (4)
//! rules to remove    records of an image, `Head::added` bytes
//! ```
//! Of an interface that was not there, only the last part.

use core::net::SocketAddr;

use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{Event, PeerInfo};
use proto_core::protocol::Digest;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};
use proto_core::protocol::message::{Code, Subject};

use crate::fault::{Fault, Slot};
use crate::image::Span;
use crate::kernel::{Kernel, LinkState, steady};
use crate::noted::Noted;
use crate::records::RecordWriter;
use crate::restore;
use crate::system::{File, NetlinkSocket};
use crate::walk::each_event;

/// Bytes of the lengths.
const LENGTHS: u32 = 8;

/// Where the parts are in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Device, peers, and rules to put back.
    pub image: Span,
    /// The scopes of endpoints.
    pub scopes: Span,
    /// Addresses and routes.
    pub hanging: Span,
    /// Rules to remove.
    pub added: Span,
}

impl Parts {
    /// Finds them in `span` of a file, with `added` bytes of rules to remove.
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
        let lengths_at = added.from.saturating_sub(LENGTHS);
        let mut lengths = [0; LENGTHS as usize];
        Noted { slot, file }.read(lengths_at, &mut lengths)?;
        let [s0, s1, s2, s3, h0, h1, h2, h3] = lengths;
        let hanging_at = lengths_at.checked_sub(u32::from_le_bytes([h0, h1, h2, h3]));
        let scopes_at =
            hanging_at.and_then(|at| at.checked_sub(u32::from_le_bytes([s0, s1, s2, s3])));
        match (hanging_at, scopes_at) {
            (Some(hanging), Some(scopes)) if scopes >= from => Ok(Self {
                image: Span { from, end: scopes },
                scopes: Span { from: scopes, end: hanging },
                hanging: Span { from: hanging, end: lengths_at },
                added,
            }),
            _ => {
                let text = "what was written down before the change is not whole";
                Err(slot.fail(Code::Damaged, Subject::None, text))
            }
        }
    }
}

/// Writes the rules that a change removes, or those that it adds.
pub type WriteRules<'r, F> = dyn FnMut(bool, &mut RecordWriter<'_, F>) -> Result<(), Fault> + 'r;

/// Writes the snapshot of an interface into `file` from the byte `from` on, `now` milliseconds after the machine was
/// started. Its length and digest.
///
/// Everything is in the order in which the kernel tells it, the peers first.
///
/// # Errors
/// What the kernel says, what could not be put back, [`Code::Storage`].
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
            rules(true, &mut image)?;
            done = Some(image.finish()?);
            return Ok(true);
        };
        let mut scoped = false;
        // The device is told before its peers.
        let mut whole = each_event(kernel, name, &mut |event| match event {
            Event::Device(device) => image.record(&Record::Interface(Interface {
                name,
                private_key: device.private_key.clone().map_or(PrivateKey::None, PrivateKey::Given),
                listen_port: Some(device.listen_port),
                fwmark: device.fwmark,
                mtu: link.mtu,
            })),
            Event::Peer(info) => {
                scoped |= scope(info) != 0;
                image.record(&peer(info))
            }
            Event::AllowedIp(net) => image.record(&Record::AllowedIp(*net)),
        })?;
        rules(false, &mut image)?;
        let scopes_at = image.at();
        if scoped {
            whole &= each_event(kernel, name, &mut |event| match event {
                Event::Peer(info) if scope(info) != 0 => {
                    image.bytes(&info.public_key.0)?;
                    image.bytes(&scope(info).to_le_bytes())
                }
                _ => Ok(()),
            })?;
        }
        let hanging_at = image.at();
        whole &= restore::write(kernel, &mut image, link.index, now)?;
        let end = image.at();
        image.bytes(&hanging_at.saturating_sub(scopes_at).to_le_bytes())?;
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
        endpoint: info.endpoint,
        persistent_keepalive: info.persistent_keepalive,
    })
}

/// The scope of a peer's endpoint, which is the index of an interface; 0 is none.
const fn scope(info: &PeerInfo) -> u32 {
    match &info.endpoint {
        Some(SocketAddr::V6(addr)) => addr.scope_id(),
        _ => 0,
    }
}
