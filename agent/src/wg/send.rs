//! Sends a [`Wanted`] to the kernel, in as few messages as hold it.

use proto_core::key::{KEY_LEN, PublicKey};
use proto_core::netlink::wireguard::{
    AllowedIpChange, DeviceChange, PeerChange, SetEncoder, SetError,
};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::message::{Subject, peer};

use super::spool::Spool;
use super::wanted::{Peer, Wanted};
use crate::config::index::Mark;
use crate::config::peers::{self, Sender};
use crate::fault::Fault;
use crate::kernel::exchange::Kernel;
use crate::system::{File, NetlinkSocket};

/// Sends a configuration, except the peers that are marked as equal. First the peers in `extras`
/// are removed. Returns whether anything had to be sent.
///
/// # Errors
/// Kernel errors with their subject.
pub(super) fn send<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    wanted: &mut Wanted<'_, F>,
    mut extras: Option<&mut Spool<'_, F>>,
    set: &mut [u8],
) -> Result<bool, Fault> {
    let takes_away = wanted.takes_away;
    let mut any = false;
    peers::send(
        kernel,
        name,
        set,
        &|slot| {
            // `ENODEV` and `EOPNOTSUPP` do not depend on the parts. Kernels that cannot remove
            // allowed IPs need another way (`take_away`).
            slot.is(Errno::ENODEV)
                || slot.is(Errno::EOPNOTSUPP)
                || (takes_away && slot.is(Errno::EINVAL))
        },
        &mut |sender| parts(sender, wanted, extras.as_deref_mut(), false, &mut any),
    )?;
    Ok(any)
}

/// Sends a configuration without the allowed IPs to remove.
pub(super) fn send_adds<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    wanted: &mut Wanted<'_, F>,
    set: &mut [u8],
) -> Result<(), Fault> {
    let mut parts = |sender: &mut Sender<'_, '_, N>| parts(sender, wanted, None, true, &mut false);
    peers::send(kernel, name, set, &|_| true, &mut parts)
}

/// Part 0 is the device, then the peers to remove, then the others. `adds_only` leaves out removals
/// of allowed IPs; `any` returns whether anything had to be sent.
fn parts<N: NetlinkSocket, F: File>(
    sender: &mut Sender<'_, '_, N>,
    wanted: &mut Wanted<'_, F>,
    mut extras: Option<&mut Spool<'_, F>>,
    adds_only: bool,
    any: &mut bool,
) -> Result<(), Fault> {
    let device = wanted.device.clone();
    // Without a comparison before it, even an empty change checks that the device exists.
    let always = extras.is_none();
    let gone = extras.as_ref().map_or(0, |extras| extras.records(KEY_LEN));
    let gone = if device.replace_peers { 0 } else { gone };
    let mut peer = Peer::new(0, 0);
    for n in sender.from..=wanted.count.saturating_add(gone) {
        let mut put = |of: &PublicKey, piece: &Piece| {
            *any = true;
            if piece.offer(&mut sender.encoder).is_ok() {
                return Ok(());
            }
            // Once in a message and not for each piece: formatting the subject costs more than
            // sending.
            let about = if sender.one_by_one { piece.subject(of) } else { Subject::Interface };
            sender.put(n, about, &|encoder| piece.offer(encoder))
        };
        let about = match n.checked_sub(1) {
            None => {
                if always || device != DeviceChange::default() {
                    put(&peer.key, &Piece::Device(device.clone()))?;
                }
                Subject::Interface
            }
            Some(n) => {
                let mut ips = 0..0;
                let change = match (n.checked_sub(gone), &mut extras) {
                    (None, Some(extras)) => {
                        let mut key = [0; KEY_LEN];
                        extras.read(n.saturating_mul(KEY_LEN as u32), &mut key)?;
                        PeerChange { remove: true, ..PeerChange::new(PublicKey(key)) }
                    }
                    (n, _) => {
                        wanted.peer(n.unwrap_or_default(), &mut peer)?;
                        if peer.mark == Mark::Same {
                            continue;
                        }
                        let change = change(&peer);
                        if !matches!(peer.mark, Mark::Differs(bits) if bits & peer::ALLOWED_IPS == 0)
                        {
                            ips = peer.allowed_ips();
                        }
                        change
                    }
                };
                let key = change.public_key;
                put(&key, &Piece::Peer(change))?;
                for ip in ips {
                    let ip = wanted.allowed_ip(ip)?;
                    if ip.remove && adds_only {
                        continue;
                    }
                    put(&key, &Piece::AllowedIp(ip))?;
                }
                Subject::Peer(key)
            }
        };
        sender.end(about)?;
    }
    Ok(())
}

/// One piece for the encoder.
enum Piece {
    Device(DeviceChange),
    Peer(PeerChange),
    AllowedIp(AllowedIpChange),
}

impl Piece {
    /// The subject of a piece, as a part of the peer `of`.
    const fn subject(&self, of: &PublicKey) -> Subject {
        match self {
            Self::Device(_) => Subject::Interface,
            Self::Peer(_) => Subject::Peer(*of),
            Self::AllowedIp(ip) => Subject::AllowedIp(*of, ip.net),
        }
    }

    fn offer(&self, encoder: &mut SetEncoder<'_>) -> Result<(), SetError> {
        match self {
            Self::Device(change) => encoder.device(change),
            Self::Peer(change) => encoder.peer(change),
            Self::AllowedIp(change) => encoder.allowed_ip(change),
        }
    }
}

/// The message for a peer.
fn change(peer: &Peer) -> PeerChange {
    match peer.mark {
        Mark::Differs(fields) => peer.settings().part(peer.change(), fields),
        Mark::Missing | Mark::Same => peer.change(),
    }
}
