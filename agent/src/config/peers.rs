//! The engine for peers: one comparison of wanted peers with a device, and one sender of the
//! differences. A push, `wg` and `wg-quick` use it.
//!
//! Not here: where the wanted peers are kept (`index` for an image, `wg::wanted` for a
//! configuration of `wg`).

use core::net::SocketAddr;

use proto_core::key::SecretKey;
use proto_core::netlink::IfName;
use proto_core::netlink::wireguard::{
    DeviceInfo, Event, PeerChange, PeerInfo, SetEncoder, SetError,
};
use proto_core::protocol::message::{Code, Subject, peer};

use crate::config::index::Mark;
use crate::config::set_sum::SetSum;
use crate::fault::{Fault, Slot};
use crate::kernel::exchange::Kernel;
use crate::kernel::read::each_event;
use crate::kernel::write::{flush, put};
use crate::system::NetlinkSocket;

/// The settings that a peer should have, except its allowed IPs.
#[derive(Debug)]
pub struct Settings<'p> {
    /// `None` leaves the endpoint unchanged.
    pub endpoint: Option<SocketAddr>,
    /// `None` for no preshared key.
    pub preshared_key: Option<&'p SecretKey>,
    /// Seconds; 0 for none.
    pub persistent_keepalive: u16,
}

impl Settings<'_> {
    /// The settings that differ in the kernel, as bits of [`peer`].
    #[must_use]
    pub fn differing(&self, info: &PeerInfo) -> u8 {
        let endpoint = self.endpoint.is_some() && self.endpoint != info.endpoint;
        let psk = self.preshared_key != info.preshared_key.as_ref();
        let keepalive = self.persistent_keepalive != info.persistent_keepalive;
        let differs = [
            (endpoint, peer::ENDPOINT),
            (psk, peer::PRESHARED_KEY),
            (keepalive, peer::PERSISTENT_KEEPALIVE),
        ];
        differs.iter().filter(|(differs, _)| *differs).fold(0, |bits, (_, bit)| bits | bit)
    }

    /// The part of `whole`, the change that adds the peer, that sets `fields`.
    #[must_use]
    pub fn part(&self, whole: PeerChange, fields: u8) -> PeerChange {
        PeerChange {
            // A peer that was removed since it was read must not be added again with half of its
            // settings.
            update_only: true,
            replace_allowed_ips: fields & peer::ALLOWED_IPS != 0,
            preshared_key: (fields & peer::PRESHARED_KEY != 0)
                .then(|| self.preshared_key.cloned().unwrap_or(SecretKey::ZERO)),
            endpoint: self.endpoint.filter(|_| fields & peer::ENDPOINT != 0),
            persistent_keepalive: (fields & peer::PERSISTENT_KEEPALIVE != 0)
                .then_some(self.persistent_keepalive),
            ..whole
        }
    }
}

/// A wanted peer that exists in the kernel.
#[derive(Debug)]
pub struct Met {
    /// The number of the wanted peer.
    pub n: u32,
    /// Which settings differ, as bits of [`peer`].
    pub fields: u8,
    /// The allowed IPs that it should have.
    pub allowed_ips: SetSum,
}

/// The wanted peers, as the comparison with a device needs them.
pub trait Wanted {
    /// Looks up a peer of the device. `None` for an unwanted peer, which is recorded for removal.
    ///
    /// # Errors
    /// [`Code::Storage`].
    fn meet(&mut self, info: &PeerInfo) -> Result<Option<Met>, Fault>;

    /// Records the result of the comparison of wanted peer `n`, after its last allowed IP.
    ///
    /// # Errors
    /// [`Code::Storage`].
    fn settle(&mut self, n: u32, mark: Mark) -> Result<(), Fault>;
}

/// Compares the peers of a device with the wanted ones; `key` is that of their [`SetSum`]s.
/// `device` receives the device. `Ok(false)` when the device changed meanwhile.
///
/// # Errors
/// Kernel errors, and [`Code::Storage`].
pub fn compare<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    key: &[u8; 16],
    wanted: &mut dyn Wanted,
    device: &mut Option<DeviceInfo>,
) -> Result<bool, Fault> {
    let mut last: Option<(Met, SetSum)> = None;
    let whole = each_event(kernel, name, &mut |event| {
        match event {
            Event::Device(found) => *device = Some(found.clone()),
            Event::Peer(info) => {
                settle(wanted, last.take())?;
                last = wanted.meet(info)?.map(|met| (met, SetSum::default()));
            }
            Event::AllowedIp(net) => {
                if let Some((_, allowed_ips)) = &mut last {
                    allowed_ips.add(key, net);
                }
            }
        }
        Ok(())
    })?;
    settle(wanted, last)?;
    Ok(whole)
}

fn settle(wanted: &mut dyn Wanted, last: Option<(Met, SetSum)>) -> Result<(), Fault> {
    let Some((met, allowed_ips)) = last else { return Ok(()) };
    let fields = if allowed_ips == met.allowed_ips { 0 } else { peer::ALLOWED_IPS };
    let mark = match met.fields | fields {
        0 => Mark::Same,
        fields => Mark::Differs(fields),
    };
    wanted.settle(met.n, mark)
}

/// Numbered parts that are sent to the kernel in as few messages as hold them.
#[derive(Debug)]
pub struct Sender<'s, 'b, N> {
    pub(crate) kernel: &'s mut Kernel<'b, N>,
    pub(crate) encoder: SetEncoder<'s>,
    /// The first part of the message that is being filled.
    pub(crate) from: u32,
    /// Whether each part is sent in a message of its own.
    pub(crate) one_by_one: bool,
}

impl<N: NetlinkSocket> Sender<'_, '_, N> {
    /// Adds a piece of part `n`. Sends the message first if it is full.
    pub(crate) fn put(
        &mut self,
        n: u32,
        about: Subject,
        piece: &dyn Fn(&mut SetEncoder<'_>) -> Result<(), SetError>,
    ) -> Result<(), Fault> {
        if put(self.kernel, &mut self.encoder, about, piece)? {
            self.from = n;
        }
        Ok(())
    }

    /// Ends a part.
    pub(crate) fn end(&mut self, about: Subject) -> Result<(), Fault> {
        if self.one_by_one { flush(self.kernel, &mut self.encoder, about) } else { Ok(()) }
    }
}

/// Sends what `parts` adds to the sender, from part [`Sender::from`].
///
/// The kernel does not say which part of a message it refused. Parts that it accepted can be sent
/// again without harm. So after a refusal each part is sent alone until the kernel refuses one,
/// unless the failure is `last`.
///
/// # Errors
/// The kernel's error with its subject, and errors of `parts`.
pub fn send<N: NetlinkSocket>(
    kernel: &mut Kernel<'_, N>,
    name: IfName,
    set: &mut [u8],
    last: &dyn Fn(&Slot) -> bool,
    parts: &mut dyn FnMut(&mut Sender<'_, '_, N>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let slot = kernel.slot;
    let (mut from, mut one_by_one) = (0, false);
    loop {
        let family = kernel.wireguard()?;
        let encoder = SetEncoder::new(&mut *set, family, name);
        let mut sender = Sender { kernel: &mut *kernel, encoder, from, one_by_one };
        let sent = parts(&mut sender)
            .and_then(|()| flush(sender.kernel, &mut sender.encoder, Subject::Interface));
        match sent {
            Err(_) if !one_by_one && slot.code() == Some(Code::Kernel) && !last(slot) => {
                (from, one_by_one) = (sender.from, true);
            }
            sent => return sent,
        }
    }
}
