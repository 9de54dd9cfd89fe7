//! A process in memory, and a kernel with one WireGuard interface that executes requests.

mod program;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CStr;
use std::net::SocketAddr;
use std::rc::Rc;

use proto_core::conf::Host;
use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::key::SecretKey;
use proto_core::netlink::genl::{
    CTRL_ATTR_FAMILY_ID, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL, GenlHeader,
};
use proto_core::netlink::read::Attributes;
use proto_core::netlink::wireguard::attr::*;
use proto_core::netlink::{
    Errno, Full, IfName, Message, Messages, NLMSG_DONE, NLMSG_ERROR, Writer,
};

use crate::kernel::exchange::Protocol;
use crate::system::{Datagram, NetlinkSocket};
use crate::testing::Memory;
use crate::wg::process::{Output, Process, Unresolved};

pub(crate) const FAMILY: u16 = 0x1e;
const RTM_NEWLINK: u16 = 16;

/// A peer in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FakePeer {
    pub(crate) key: Vec<u8>,
    pub(crate) preshared_key: Vec<u8>,
    pub(crate) endpoint: Vec<u8>,
    pub(crate) keepalive: u16,
    pub(crate) ips: Vec<IpNet>,
    pub(crate) handshake: i64,
    pub(crate) bytes: u64,
}

/// The interface `wg0`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    pub(crate) private_key: Vec<u8>,
    pub(crate) port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: Vec<FakePeer>,
    /// The contents of the messages that were sent: the settings of the device, and for each peer
    /// the first byte of its key and its settings.
    pub(crate) sent: Vec<String>,
    /// Runs once, before the next change is executed.
    pub(crate) meddle: Option<fn(&mut Device)>,
    /// Number of the next dumps that changes interrupt.
    pub(crate) interrupted: u32,
    /// Refuses a peer whose key starts with this byte.
    pub(crate) refuse: Option<u8>,
    /// Whether the kernel can remove a single allowed IP.
    pub(crate) takes_away: bool,
}

/// Everything outside of the process.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) device: Rc<RefCell<Device>>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) variables: BTreeMap<&'static str, &'static str>,
    pub(crate) hosts: BTreeMap<&'static str, SocketAddr>,
    pub(crate) out: RefCell<Vec<u8>>,
    pub(crate) err: RefCell<Vec<u8>>,
    pub(crate) slept: RefCell<Vec<u32>>,
    pub(crate) full: Cell<bool>,
    /// Maximum number of bytes of one read.
    pub(crate) piece: usize,
    /// The contents of the folder of sockets, besides `wg0` if a program has the device.
    pub(crate) sockets: Vec<(&'static str, Result<bool, Errno>)>,
    /// Whether a program has the device.
    pub(crate) in_user_space: bool,
    /// The request that a program is receiving.
    pub(crate) request: RefCell<Vec<u8>>,
    /// A fixed answer of a program to any request.
    pub(crate) says: Option<&'static str>,
    /// Whether the answer has no end: nothing follows, not even end of file.
    pub(crate) hangs: bool,
}

impl Fake {
    /// Runs a command line. Words are separated by blanks; `''` is an empty word.
    pub(crate) fn run(&self, line: &str) -> (i32, String, String) {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        let mut words = words.filter(|_| !line.is_empty());
        let code = crate::wg::run(self, &mut Box::<crate::wg::Memory>::default(), "wg", &mut words);
        let text = |bytes: &RefCell<Vec<u8>>| String::from_utf8(bytes.take()).unwrap();
        (code, text(&self.out), text(&self.err))
    }
}

impl Process for Fake {
    type Netlink = Socket;
    type File = Memory;
    type Input = Vec<u8>;

    fn netlink(&self, _: Protocol) -> Result<Socket, Errno> {
        let (device, in_user_space) = (Rc::clone(&self.device), self.in_user_space);
        Ok(Socket { device, in_user_space, answers: Answers::default() })
    }

    fn scratch(&self) -> Memory {
        Memory::default()
    }

    fn variable(&self, name: &CStr) -> Option<&str> {
        self.variables.get(name.to_str().unwrap()).copied()
    }

    fn open(&self, path: Option<&str>) -> Result<Vec<u8>, Errno> {
        self.files.get(path.unwrap_or("-")).cloned().ok_or(Errno::ENOENT)
    }

    fn read(&self, input: &mut Vec<u8>, buf: &mut [u8]) -> Result<usize, Errno> {
        if input.is_empty() && self.hangs {
            return Err(Errno::EAGAIN);
        }
        let most = if self.piece == 0 { usize::MAX } else { self.piece };
        let len = input.len().min(buf.len()).min(most);
        for (to, from) in buf.iter_mut().zip(input.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }

    fn write(&self, output: Output, bytes: &[u8]) -> Result<(), Errno> {
        match output {
            Output::Out if self.full.get() => return Err(Errno::ENOSPC),
            Output::Out => self.out.borrow_mut().extend(bytes),
            Output::Err => self.err.borrow_mut().extend(bytes),
        }
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        false
    }

    fn is_exposed(&self) -> bool {
        self.variables.contains_key("exposed")
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        buf.fill(0xff);
        Ok(())
    }

    fn unix_time(&self) -> u64 {
        1_000_000
    }

    fn interface_name(&self, index: u32) -> Option<IfName> {
        (index == 3).then(|| "eth0".parse().unwrap())
    }

    fn resolve(&self, host: &Host<'_>) -> Result<SocketAddr, Unresolved> {
        let port = match host.service {
            "" => host.port,
            "domain" => 53,
            _ => return Err(Unresolved { permanent: true, words: "no such port" }),
        };
        let ip = match host.name {
            "" => Some([127, 0, 0, 1].into()),
            name => host_ip(name).or_else(|| self.hosts.get(name).map(SocketAddr::ip)),
        };
        let found = ip.map(|ip| SocketAddr::new(ip, port));
        let permanent = host.name == "nobody";
        found.ok_or(Unresolved { permanent, words: "not today" })
    }

    fn programs(&self, take: &mut dyn FnMut(&str)) -> Result<(), Errno> {
        if self.in_user_space {
            take("wg0");
        }
        for (name, _) in &self.sockets {
            if *name == "." {
                return Err(Errno::EACCES);
            }
            take(name);
        }
        Ok(())
    }

    fn program(&self, name: &str) -> Result<Option<Vec<u8>>, Errno> {
        self.request.borrow_mut().clear();
        let other = self.sockets.iter().find(|(other, _)| *other == name);
        let listens =
            other.map_or(Ok(name == "wg0" && self.in_user_space), |(_, listens)| *listens);
        Ok(listens?.then(Vec::new))
    }

    fn tell(&self, program: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Errno> {
        let mut request = self.request.borrow_mut();
        request.extend(bytes);
        if request.ends_with(b"\n\n") {
            let request = String::from_utf8(request.split_off(0)).unwrap();
            let answer = program::answer(&mut self.device.borrow_mut(), &request);
            program.extend(self.says.map_or(answer, str::to_owned).bytes());
        }
        Ok(())
    }

    fn sleep(&self, millis: u32) {
        self.slept.borrow_mut().push(millis);
    }
}

fn host_ip(name: &str) -> Option<std::net::IpAddr> {
    name.parse().ok()
}

pub(crate) struct Socket {
    device: Rc<RefCell<Device>>,
    in_user_space: bool,
    answers: Answers,
}

impl NetlinkSocket for Socket {
    fn port(&self) -> u32 {
        7
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        let message = Messages::new(datagram).next().unwrap().unwrap();
        let device = Rc::clone(&self.device);
        let mut device = device.borrow_mut();
        match message.ty {
            GENL_ID_CTRL => self.answers.family(&message),
            FAMILY => {
                let (header, attributes) = GenlHeader::parse(&message).unwrap();
                let named = attributes.clone().flatten().find(|a| a.ty == WGDEVICE_A_IFNAME);
                if named.unwrap().str() != Ok("wg0") {
                    self.answers.end(&message, NLMSG_ERROR, Errno::ENODEV.0);
                    return Ok(());
                }
                assert!(!self.in_user_space, "the kernel is asked about a program's interface");
                if header.cmd == WG_CMD_SET_DEVICE {
                    if let Some(meddle) = device.meddle.take() {
                        meddle(&mut device);
                    }
                    let errno = set(&mut device, attributes).err().map_or(0, |errno| errno.0);
                    self.answers.end(&message, NLMSG_ERROR, errno);
                    return Ok(());
                }
                self.answers.dump("wg0", &device, &message, device.interrupted > 0);
                device.interrupted = device.interrupted.saturating_sub(1);
                return Ok(());
            }
            // The list of links: one of ours, and another one.
            _ => {
                let kind = if self.in_user_space { "tun" } else { "wireguard" };
                for (name, kind) in [("lo", "dummy"), ("wg0", kind)] {
                    self.answers.answer(|w| {
                        w.message(RTM_NEWLINK, 2, message.seq, 7).unwrap();
                        w.header(&[0; 16]).unwrap();
                        w.string(3, name).unwrap();
                        w.nest(18, |w| w.string(1, kind)).unwrap();
                    });
                }
                self.answers.end(&message, NLMSG_DONE, 0);
                return Ok(());
            }
        }
        self.answers.end(&message, NLMSG_ERROR, 0);
        Ok(())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        self.answers.deliver(buf)
    }
}

/// What a socket of this kernel still has to deliver.
#[derive(Debug, Default)]
pub(crate) struct Answers(VecDeque<Vec<u8>>);

impl Answers {
    pub(crate) fn answer(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buf = vec![0; 32 * 1024];
        let mut writer = Writer::new(&mut buf);
        write(&mut writer);
        self.0.push_back(writer.finish().to_vec());
    }

    pub(crate) fn family(&mut self, message: &Message<'_>) {
        self.answer(|w| {
            w.message(GENL_ID_CTRL, 0, message.seq, 7).unwrap();
            GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(w).unwrap();
            w.u16(CTRL_ATTR_FAMILY_ID, FAMILY).unwrap();
        });
    }

    pub(crate) fn end(&mut self, message: &Message<'_>, ty: u16, errno: i32) {
        self.answer(|w| {
            w.message(ty, 0x100, message.seq, 7).unwrap();
            let rest = if ty == NLMSG_DONE { 0 } else { 16 };
            w.header(&[&(-errno).to_ne_bytes()[..], &[0; 16][..rest]].concat()).unwrap();
        });
    }

    /// A refusal with the kernel's words.
    pub(crate) fn refuse(&mut self, message: &Message<'_>, errno: Errno, words: &str) {
        const NLM_F_CAPPED: u16 = 0x100;
        const NLM_F_ACK_TLVS: u16 = 0x200;
        const NLMSGERR_ATTR_MSG: u16 = 1;
        self.answer(|w| {
            w.message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, message.seq, 7).unwrap();
            w.header(&[&(-errno.0).to_ne_bytes()[..], &[0; 16]].concat()).unwrap();
            w.string(NLMSGERR_ATTR_MSG, words).unwrap();
        });
    }

    /// Delivers the next answer, as a socket does.
    pub(crate) fn deliver(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        let answer = self.0.pop_front().ok_or(Errno::EAGAIN)?;
        buf[..answer.len()].copy_from_slice(&answer);
        Ok(Datagram { len: answer.len(), full_len: answer.len(), sender: 0 })
    }

    pub(crate) fn dump(
        &mut self,
        name: &str,
        device: &Device,
        message: &Message<'_>,
        interrupted: bool,
    ) {
        let flags = if interrupted { 0x12 } else { 2 };
        let begin = |w: &mut Writer<'_>| {
            w.message(FAMILY, flags, message.seq, 7).unwrap();
            GenlHeader { cmd: WG_CMD_GET_DEVICE, version: 1 }.write(w).unwrap();
            w.u32(WGDEVICE_A_IFINDEX, 5).unwrap();
            w.string(WGDEVICE_A_IFNAME, name).unwrap();
        };
        self.answer(|w| {
            begin(w);
            w.u16(WGDEVICE_A_LISTEN_PORT, device.port).unwrap();
            w.u32(WGDEVICE_A_FWMARK, device.fwmark).unwrap();
            if !device.private_key.is_empty() {
                w.bytes(WGDEVICE_A_PRIVATE_KEY, &device.private_key).unwrap();
                w.bytes(WGDEVICE_A_PUBLIC_KEY, &public(device)).unwrap();
            }
        });
        for peer in &device.peers {
            // One message, and a second one that continues it.
            let (head, tail) = peer.ips.split_at(peer.ips.len().min(300));
            let mut rest = tail.chunks(300);
            let mut part = Some(head);
            while let Some(ips) = part {
                self.answer(|w| {
                    begin(w);
                    w.nest(WGDEVICE_A_PEERS, |w| w.nest(0, |w| put_peer(w, peer, ips))).unwrap();
                });
                part = rest.next();
            }
        }
        self.end(message, NLMSG_DONE, 0);
    }
}

/// Good enough: a key that depends on the private key.
fn public(device: &Device) -> [u8; 32] {
    [device.private_key[0]; 32]
}

fn put_peer(w: &mut Writer<'_>, peer: &FakePeer, ips: &[IpNet]) -> Result<(), Full> {
    w.bytes(WGPEER_A_PUBLIC_KEY, &peer.key)?;
    w.bytes(WGPEER_A_PRESHARED_KEY, &peer.preshared_key)?;
    if !peer.endpoint.is_empty() {
        w.bytes(WGPEER_A_ENDPOINT, &peer.endpoint)?;
    }
    w.u16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer.keepalive)?;
    let time = [peer.handshake.to_ne_bytes(), [0; 8]].concat();
    w.bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &time)?;
    w.u64(WGPEER_A_RX_BYTES, peer.bytes)?;
    w.u64(WGPEER_A_TX_BYTES, 0)?;
    w.nest(WGPEER_A_ALLOWEDIPS, |w| {
        for ip in ips {
            w.nest(0, |w| {
                w.u16(WGALLOWEDIP_A_FAMILY, ip.family().into())?;
                w.ip(WGALLOWEDIP_A_IPADDR, ip.addr)?;
                w.u8(WGALLOWEDIP_A_CIDR_MASK, ip.prefix)
            })?;
        }
        Ok(())
    })
}

pub(crate) fn set(device: &mut Device, attributes: Attributes<'_>) -> Result<(), Errno> {
    let mut said = Vec::new();
    for attribute in attributes.clone().flatten() {
        match attribute.ty {
            WGDEVICE_A_PRIVATE_KEY => {
                let key: [u8; 32] = attribute.array().unwrap();
                let clamped = SecretKey::new(key).clamped().as_bytes().to_vec();
                device.private_key = if key == [0; 32] { Vec::new() } else { clamped };
                said.push("key");
            }
            WGDEVICE_A_LISTEN_PORT => {
                device.port = attribute.u16().unwrap();
                said.push("port");
            }
            WGDEVICE_A_FWMARK => {
                device.fwmark = attribute.u32().unwrap();
                said.push("mark");
            }
            WGDEVICE_A_FLAGS => {
                device.peers.clear();
                said.push("flush");
            }
            _ => {}
        }
    }
    device.sent.push(said.join(" "));
    for attribute in attributes.flatten().filter(|a| a.ty == WGDEVICE_A_PEERS) {
        for peer in attribute.entries().flatten() {
            set_peer(device, peer.nested())?;
        }
    }
    Ok(())
}

fn set_peer(device: &mut Device, attributes: Attributes<'_>) -> Result<(), Errno> {
    let find = |ty| attributes.clone().flatten().find(|a| a.ty == ty);
    let key = find(WGPEER_A_PUBLIC_KEY).unwrap().payload.to_vec();
    let flags = find(WGPEER_A_FLAGS).map_or(0, |a| a.u32().unwrap());
    let first = key[0];
    if device.refuse == Some(first) {
        return Err(Errno::ENOMEM);
    }
    let place = device.peers.iter().position(|peer| peer.key == key);
    if flags & WGPEER_F_REMOVE_ME != 0 {
        device.sent.push(format!("{first} gone"));
        device.peers.retain(|peer| peer.key != key);
        return Ok(());
    }
    let own = !device.private_key.is_empty() && key == public(device);
    if own || (place.is_none() && flags & WGPEER_F_UPDATE_ONLY != 0) {
        device.sent.push(format!("{first} ignored"));
        return Ok(());
    }
    let place = place.unwrap_or(device.peers.len());
    if place == device.peers.len() {
        device.peers.push(FakePeer { key, preshared_key: vec![0; 32], ..FakePeer::default() });
    }
    let mut said = vec![first.to_string()];
    if flags & WGPEER_F_REPLACE_ALLOWEDIPS != 0 {
        device.peers[place].ips.clear();
        said.push("replace".to_owned());
    }
    for attribute in attributes.flatten() {
        let peer = &mut device.peers[place];
        match attribute.ty {
            WGPEER_A_PRESHARED_KEY => {
                peer.preshared_key = attribute.payload.to_vec();
                said.push("psk".to_owned());
            }
            WGPEER_A_ENDPOINT => {
                peer.endpoint = attribute.payload.to_vec();
                said.push("endpoint".to_owned());
            }
            WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL => {
                peer.keepalive = attribute.u16().unwrap();
                said.push("keepalive".to_owned());
            }
            WGPEER_A_ALLOWEDIPS => {
                for ip in attribute.entries().flatten() {
                    set_ip(device, place, ip.nested(), &mut said)?;
                }
            }
            _ => {}
        }
    }
    device.sent.push(said.join(" "));
    Ok(())
}

fn set_ip(
    device: &mut Device,
    place: usize,
    attributes: Attributes<'_>,
    said: &mut Vec<String>,
) -> Result<(), Errno> {
    let find = |ty| attributes.clone().flatten().find(|a| a.ty == ty);
    let family = find(WGALLOWEDIP_A_FAMILY).unwrap().u16().unwrap();
    assert!(family == u16::from(AF_INET) || family == u16::from(AF_INET6));
    let addr = find(WGALLOWEDIP_A_IPADDR).unwrap().ip().unwrap();
    let prefix = find(WGALLOWEDIP_A_CIDR_MASK).unwrap().u8().unwrap();
    let net = IpNet { addr, prefix }.masked();
    let remove = find(WGALLOWEDIP_A_FLAGS).is_some();
    if remove && !device.takes_away {
        return Err(Errno::EINVAL);
    }
    said.push(format!("{}{net}", if remove { "-" } else { "" }));
    if remove {
        device.peers[place].ips.retain(|other| *other != net);
    } else {
        device.peers.iter_mut().for_each(|peer| peer.ips.retain(|other| *other != net));
        device.peers[place].ips.push(net);
    }
    Ok(())
}
