//! Whole routers in memory for tests outside of this library: the agent behind its door, over a kernel and disks in
//! memory.
//!
//! - [`Simulated`]: a router, packet by packet, or by the bytes of a line; with the real clock, or one that the test sets;
//! - [`Fleet`]: many of them on UDP ports;
//! - [`Plugged`]: one at a serial port.

mod serial;
mod udp;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::vec::Vec;

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::frame::{Deframer, Received};
use proto_core::protocol::message::{Status, cut};
use proto_core::protocol::session::Wire as Way;

use super::{Drawer, Incident, Memory, Wire, World, own};
use crate::access::door::{Door, Source};
use crate::access::identity;
use crate::access::owners::{Ownership, reset};
use crate::fault::Slot;
use crate::kernel::exchange::{Buffers, Kernel, SET};
use crate::options::Policy;
use crate::requests::service::{Outlet, SCRATCH, SERIAL_IN_FLIGHT, Service, UDP_IN_FLIGHT};
use crate::store::commit::Committer;
use crate::system::{Files, Machine};

pub use serial::{Load, Paced, Plugged, framed, pty, write_all};
pub use udp::Fleet;

/// A thread that is joined when it is dropped, and passes on its panic.
#[derive(Debug)]
pub struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. It must end soon after the flag is set.
    pub fn new(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        Self { stop, thread: Some(thread::spawn(move || work(&flag))) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().expect("the thread of a router panicked");
        }
    }
}

/// The clock of a router.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    Real(Instant),
    /// Microseconds that the test sets.
    Virtual(Arc<AtomicU64>),
}

/// A router in memory. Its buffers are never freed: a program makes its routers once.
pub struct Simulated {
    door: Door<'static, (Wire, Drawer, Host)>,
    world: World,
    key: PublicKey,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Simulated {
    /// Starts a router that belongs to a key, or to no one, with the serial number that it tells.
    #[must_use]
    pub fn new(owner: Option<PublicKey>, serial_number: &str) -> Self {
        Self::with_clock(owner, serial_number, Clock::Real(Instant::now()))
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(owner: Option<PublicKey>, serial_number: &str, clock: Clock) -> Self {
        let host: &Host = Box::leak(Box::new(Host { clock, serial_number: serial_number.into() }));
        let world = World::default();
        let (mut keep, state) = (Drawer::default(), Drawer::default());
        reset(&mut keep, owner).unwrap();
        let identity = identity::load(&mut keep, host).unwrap();
        let key = identity.public();
        let slot: &Slot = Box::leak(Box::default());
        let buffers = Box::leak(Box::<Buffers>::default());
        let kernel = Kernel::new(world.socket(false), world.socket(true), slot, buffers);
        let folders = (keep.clone(), state.clone());
        let set = Box::leak(Box::new([0; SET]));
        let committer = Committer::new(kernel, Files::<Memory>::default(), host, set, folders);
        let ownership = Ownership::load(Box::leak(Box::new(keep)), Box::leak(Box::new(state)));
        let mut door = Door::new(Service::new(committer, own(), Policy::default()), ownership);
        door.identify(identity);
        Self { door, world, key }
    }

    /// The router's public key.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Takes a packet from a UDP address, or from the serial line, and returns the packets that the router sends back.
    pub fn packet(&mut self, packet: &[u8], from: Option<SocketAddr>) -> Vec<Vec<u8>> {
        let source = from.map_or(Source::SERIAL, source);
        let mut sent = Sent { packets: Vec::new(), wire: source.wire, is_behind: false };
        self.door.packet(packet, &source, &mut sent);
        sent.packets
    }

    /// Takes bytes from the serial line, and returns the frames that the router sends back. `is_behind` tells the router
    /// that the line has not carried all of its earlier frames.
    pub fn line(
        &mut self,
        deframer: &mut Deframer,
        mut input: &[u8],
        is_behind: bool,
    ) -> Vec<Vec<u8>> {
        let mut sent = Sent { packets: Vec::new(), wire: Way::Serial, is_behind };
        while let Some(received) = deframer.next(&mut input) {
            match received {
                Received::Packet(packet) => self.door.packet(packet, &Source::SERIAL, &mut sent),
                Received::Garbage => self.door.garbage(),
                Received::Text(text) => self.door.text(text.len()),
            }
        }
        sent.packets.into_iter().map(framed).collect()
    }

    /// Lets the router do what is due, such as to revert an unconfirmed change.
    pub fn tick(&mut self) {
        self.door.tick();
    }

    /// Makes the kernel refuse every change, or none.
    pub fn refuse(&mut self, refuses: bool) {
        match refuses {
            true => self.world.incident(0, Incident::Broken(Errno::EPERM)),
            false => self.world.revive(),
        }
    }

    /// The number of peers that the kernel has.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.world.seen().peers.len()
    }

    /// What the kernel runs, in words that differ if anything does; empty without an interface.
    #[must_use]
    pub fn running(&self) -> String {
        let seen = self.world.seen();
        if seen.links.is_empty() { String::new() } else { format!("{seen:?}") }
    }
}

fn source(from: SocketAddr) -> Source {
    let ip = match from.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let mut address = [0; 18];
    address[..16].copy_from_slice(&ip.octets());
    address[16..].copy_from_slice(&from.port().to_be_bytes());
    Source { wire: Way::Udp, address }
}

/// Packets on their way back.
struct Sent {
    packets: Vec<Vec<u8>>,
    wire: Way,
    is_behind: bool,
}

impl Outlet for Sent {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        self.packets.push(packet[..len].to_vec());
    }

    fn in_flight(&self) -> u32 {
        match self.wire {
            Way::Serial => SERIAL_IN_FLIGHT,
            Way::Udp => UDP_IN_FLIGHT,
        }
    }

    fn is_behind(&mut self) -> bool {
        self.is_behind
    }

    fn from(&self) -> &dyn fmt::Display {
        &"the wire"
    }
}

/// The machine of a router.
#[derive(Debug)]
struct Host {
    clock: Clock,
    serial_number: String,
}

impl Machine for Host {
    fn now(&self) -> u64 {
        let millis = match &self.clock {
            Clock::Real(started) => u64::try_from(started.elapsed().as_millis()).unwrap(),
            Clock::Virtual(micros) => micros.load(Ordering::Relaxed) / 1_000,
        };
        millis + 1_000_000
    }

    fn unix_time(&self) -> u64 {
        1_800_000_000
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        let taken = rustix::rand::getrandom(&mut *buf, rustix::rand::GetRandomFlags::empty());
        assert_eq!(taken, Ok(buf.len()));
        Ok(())
    }

    fn identify(&self, status: &mut Status) {
        status.hostname = cut("simulated");
        status.serial_number = cut(&self.serial_number);
    }

    fn boot_id(&self) -> [u8; 16] {
        [1; 16]
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn log(&self, _: fmt::Arguments<'_>) {}
}
