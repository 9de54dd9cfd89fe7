//! Sending a [`Wanted`] to the kernel, in as few messages as hold it.

use proto_core::key::{KEY_LEN, PublicKey};
use proto_core::netlink::wireguard::{
    AllowedIpChange, DeviceChange, PeerChange, SetEncoder, SetError,
};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::message::{Code, Subject, peer};

use super::spool::Spool;
use super::wanted::{Peer, Wanted};
use crate::config::index::Mark;
use crate::fault::Fault;
use crate::kernel::exchange::Kernel;
use crate::kernel::write::{flush, put};
use crate::system::{File, NetlinkSocket};

/// How far the sending is.
#[derive(Default)]
struct Progress {
    /// The first piece of the message that is being filled: 0 is the device, then come the peers to
    /// remove, then the others.
    from: u32,
    /// Each piece goes in a message of its own.
    one_by_one: bool,
    /// There was something to send.
    sent: bool,
    /// What is to be taken away is left out.
    adds_only: bool,
}

/// Sends all of a configuration, but for the peers that are marked as the same. First the peers in
/// `extras` are removed. Whether there was anything to send.
///
/// # Errors
/// What the kernel said, and about what.
pub(super) fn send<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    wanted: &mut Wanted<'_, F>,
    extras: Option<&mut Spool<'_, F>>,
    set: &mut [u8],
) -> Result<bool, Fault> {
    let mut extras = extras;
    let mut progress = Progress::default();
    let sent = pieces(kernel, name, wanted, extras.as_deref_mut(), set, &mut progress);
    let slot = kernel.slot;
    match sent {
        // There is nothing to find out about the pieces.
        Err(fault) if slot.is(Errno::ENODEV) || slot.is(Errno::EOPNOTSUPP) => return Err(fault),
        // There is another way (`take_away`).
        Err(fault) if wanted.takes_away && slot.is(Errno::EINVAL) => return Err(fault),
        Err(_) if slot.code() == Some(Code::Kernel) => {
            // The kernel does not say which piece of a message it refused. What it took of it, it
            // takes again without harm.
            progress.one_by_one = true;
            pieces(kernel, name, wanted, extras, set, &mut progress)?;
        }
        other => other?,
    }
    Ok(progress.sent)
}

/// Sends all of a configuration but for the allowed IPs to take away.
pub(super) fn send_adds<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    wanted: &mut Wanted<'_, F>,
    set: &mut [u8],
) -> Result<(), Fault> {
    let mut progress = Progress { adds_only: true, ..Progress::default() };
    pieces(kernel, name, wanted, None, set, &mut progress)
}

fn pieces<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    wanted: &mut Wanted<'_, F>,
    mut extras: Option<&mut Spool<'_, F>>,
    set: &mut [u8],
    progress: &mut Progress,
) -> Result<(), Fault> {
    let family = kernel.wireguard()?;
    let mut encoder = SetEncoder::new(set, family, name);
    let device = wanted.device.clone();
    // Without a comparison before it, even nothing at all asks whether there is such a device.
    let always = extras.is_none();
    let gone = extras.as_ref().map_or(0, |extras| extras.records(KEY_LEN));
    let gone = if device.replace_peers { 0 } else { gone };
    let mut peer = Peer::new(0, 0);
    for n in progress.from..=wanted.count.saturating_add(gone) {
        let mut put = |encoder: &mut SetEncoder<'_>, of: &PublicKey, piece: &Piece| {
            progress.sent = true;
            if piece.offer(encoder).is_ok() {
                return Ok(());
            }
            // Once in a message, and not for each piece: what it is about takes longer to say than to send.
            let about = if progress.one_by_one { piece.subject(of) } else { Subject::Interface };
            if put(kernel, encoder, about, &|encoder| piece.offer(encoder))? {
                progress.from = n;
            }
            Ok(())
        };
        let about = match n.checked_sub(1) {
            None => {
                if always || device != DeviceChange::default() {
                    put(&mut encoder, &peer.key, &Piece::Device(device.clone()))?;
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
                put(&mut encoder, &key, &Piece::Peer(change))?;
                for ip in ips {
                    let ip = wanted.allowed_ip(ip)?;
                    if ip.remove && progress.adds_only {
                        continue;
                    }
                    put(&mut encoder, &key, &Piece::AllowedIp(ip))?;
                }
                Subject::Peer(key)
            }
        };
        if progress.one_by_one {
            flush(kernel, &mut encoder, about)?;
        }
    }
    flush(kernel, &mut encoder, Subject::Interface)
}

/// One piece for the encoder.
enum Piece {
    Device(DeviceChange),
    Peer(PeerChange),
    AllowedIp(AllowedIpChange),
}

impl Piece {
    /// What it is about, as a part of the peer `of`.
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

/// What is sent of a peer.
fn change(peer: &Peer) -> PeerChange {
    let whole = peer.change();
    let Mark::Differs(fields) = peer.mark else { return whole };
    PeerChange {
        // If it went away since it was read, it is not made anew by halves.
        update_only: true,
        replace_allowed_ips: fields & peer::ALLOWED_IPS != 0,
        preshared_key: (fields & peer::PRESHARED_KEY != 0).then(|| peer.preshared_key.clone()),
        endpoint: whole.endpoint.filter(|_| fields & peer::ENDPOINT != 0),
        persistent_keepalive: (fields & peer::PERSISTENT_KEEPALIVE != 0).then_some(peer.keepalive),
        ..whole
    }
}
