//! The running state of an interface, and the changes of a plan, as files for a client to read.
//! They hold no secrets.

use proto_core::netlink::wireguard::{Event, PeerInfo};
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::Digest;
use proto_core::protocol::codec::ItemChange;
use proto_core::protocol::config::{Interface, Item, PrivateKey};
use proto_core::protocol::message::{Code, Subject, device};
use proto_core::protocol::report::{Change, Running};

use crate::config::claims::{EachClaim, settle};
use crate::config::index::{Extras, Mark};
use crate::config::plan::{Plan, Step, Work};
use crate::config::records::RecordWriter;
use crate::fault::Fault;
use crate::kernel::exchange::{Kernel, steady};
use crate::kernel::links::Links;
use crate::kernel::read::{each_event, each_on_link, each_rule, wireguard_link};
use crate::system::{File, NetlinkSocket};

/// Writes the running state of an interface. Returns the length and digest of the file. The rules are those in an
/// image of the interface, including rules that another interface shares.
///
/// # Errors
/// [`Code::NoInterface`], [`Code::WrongKind`], the kernel's error, [`Code::Storage`].
pub fn running<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    (file, extras): (&mut F, &mut F),
    name: IfName,
    unix_time: u64,
    claims: &mut EachClaim<'_>,
) -> Result<(u32, Digest), Fault> {
    kernel.wireguard()?;
    let slot = kernel.slot;
    let mut done = None;
    steady(slot, Subject::Interface, &mut || {
        let Some(link) = wireguard_link(kernel, name)? else {
            let words = format_args!("there is no interface {name}");
            return Err(slot.say(Code::NoInterface, Subject::Interface, Errno(0), words));
        };
        let mut report = RecordWriter::new(slot, Some(&mut *file), 0)?;
        // Addresses, routes and rules come between the interface and its peers, but the device is in the same dump as
        // the peers: it is read twice.
        let (mut device, mut links) = (None, Links::default());
        let mut whole = each_event(kernel, name, &mut |event| {
            match event {
                Event::Device(found) => device = Some(found.clone()),
                Event::Peer(info) => links.note(info),
                Event::AllowedIp(_) => {}
            }
            Ok(())
        })?;
        links.name(kernel)?;
        let device = device.as_ref();
        let fwmark = device.map_or(0, |device| device.fwmark);
        report.record(&Running::Interface {
            name,
            public_key: device.and_then(|d| d.private_key.as_ref().and(d.public_key)),
            listen_port: device.map_or(0, |device| device.listen_port),
            fwmark,
            mtu: link.mtu,
            up: link.up,
        })?;
        whole &= each_on_link(kernel, link.index, &mut |item, ours| {
            if ours { report.record(item) } else { Ok(()) }
        })?;
        let mut rules = Extras::new(slot, &mut *extras);
        rules.clear()?;
        whole &= each_rule(kernel, &mut |item, ours| {
            if ours { rules.push(&item.key(), false) } else { Ok(()) }
        })?;
        settle(&mut rules, true, claims, &mut |_| Ok(()))?;
        let mut n = 0_u32;
        while let Some((key, sure)) = rules.get(n)? {
            if let (Some(true), Some(rule)) = (sure, Item::from_key(&key)) {
                report.record(&rule)?;
            }
            n = n.saturating_add(1);
        }
        whole &= each_event(kernel, name, &mut |event| match event {
            Event::Device(_) => Ok(()),
            Event::Peer(info) => report.record(&peer(info, &links, unix_time)),
            Event::AllowedIp(net) => report.record(&Running::AllowedIp(*net)),
        })?;
        done = Some(report.finish()?);
        Ok(whole)
    })?;
    done.ok_or_else(|| slot.fail(Code::Unsteady, Subject::Interface, ""))
}

fn peer(info: &PeerInfo, links: &Links, unix_time: u64) -> Running {
    let latest = info.latest_handshake.map(|time| u64::try_from(time.secs).unwrap_or(0));
    Running::Peer {
        public_key: info.public_key,
        preshared_key: info.preshared_key.is_some(),
        endpoint: links.endpoint(info),
        persistent_keepalive: info.persistent_keepalive,
        latest_handshake: latest.unwrap_or(0),
        handshake_age: latest.map(|latest| unix_time.saturating_sub(latest)),
        rx_bytes: info.rx_bytes,
        tx_bytes: info.tx_bytes,
    }
}

/// Writes the changes of a plan, in the order in which they are reported. Returns the length and digest of the file.
///
/// # Errors
/// [`Code::Storage`].
pub fn changes<F: File>(
    file: &mut F,
    work: &mut Work<'_, F>,
    interface: &Interface,
    plan: &Plan,
) -> Result<(u32, Digest), Fault> {
    let mut report = RecordWriter::new(work.slot, Some(file), 0)?;
    let bits = plan.summary.device;
    let has = |bit| bits & bit != 0;
    if plan.summary.created {
        report.record(&Change::Create)?;
    }
    if let (true, Some(to)) = (has(device::LISTEN_PORT), interface.listen_port) {
        let from = plan.device.as_ref().map_or(0, |device| device.listen_port);
        report.record(&Change::ListenPort { from, to })?;
    }
    if has(device::FWMARK) {
        let from = plan.device.as_ref().map_or(0, |device| device.fwmark);
        report.record(&Change::Fwmark { from, to: interface.fwmark })?;
    }
    if has(device::PRIVATE_KEY) {
        let generated = interface.private_key == PrivateKey::Generate;
        report.record(&Change::PrivateKey { generated })?;
    }
    let mut step = Step::before(0);
    while work.extra(&mut step)? {
        report.record(&ItemChange { comes: false, item: step.item })?;
    }
    if has(device::MTU) {
        let from = plan.link.map_or(0, |link| link.mtu);
        report.record(&Change::Mtu { from, to: interface.mtu })?;
    }
    if has(device::UP) {
        report.record(&Change::Up)?;
    }
    step = Step::before(0);
    while work.wanted(&mut step, false)? {
        match (step.mark, step.item) {
            (Mark::Differs(fields), Item::Peer(public_key)) => {
                report.record(&Change::ChangePeer { public_key, fields })?;
            }
            (_, item) => report.record(&ItemChange { comes: true, item })?,
        }
    }
    report.finish()
}
