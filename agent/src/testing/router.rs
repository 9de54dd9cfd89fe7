//! A router in memory: a kernel, two disks and a clock under the whole service.

use core::ffi::CStr;
use std::rc::Rc;

use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};

use super::{Bench, Cellar, Life, Memory, Mortal, Wire, World};
use crate::config::records::RecordWriter;
use crate::fault::Slot;
use crate::kernel::exchange::{Buffers, Kernel, SET};
use crate::options::Policy;
use crate::requests::service::{REPORTS, Service};
use crate::store::commit::Committer;
use crate::system::{Disk, Files};

/// Its agent.
pub(crate) type RouterAgent<'b> = Service<'b, (Mortal<Wire>, Mortal<Cellar>, Bench)>;

/// The two interfaces.
pub(crate) const FACES: [&str; 2] = ["wg0", "wg1"];

/// The state of an interface, without the numbers that the kernel assigns; empty when it does not
/// exist.
pub(crate) type Content = String;

/// A machine. Clones are the same machine.
#[derive(Clone, Default)]
pub(crate) struct Router {
    pub(crate) world: World,
    pub(crate) keep: Cellar,
    pub(crate) state: Cellar,
    pub(crate) bench: Rc<Bench>,
    /// The accesses to the kernel and the disks.
    pub(crate) life: Life,
    /// The accesses to the files that end with the agent.
    pub(crate) scratch: Life,
    /// The disk of those files.
    pub(crate) ram: Cellar,
}

impl Router {
    /// Runs one agent from its start to its end.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut RouterAgent<'_>) -> T) -> T {
        self.with_own(|mut agent| act(&mut agent))
    }

    /// The same, for an action that puts the agent behind a door.
    pub(crate) fn with_own<T>(&self, act: impl FnOnce(RouterAgent<'_>) -> T) -> T {
        let slot = Slot::default();
        let (mut buffers, mut set) = (Buffers::default(), [0; SET]);
        let socket = |generic| Mortal(self.world.socket(generic), self.life.clone());
        let kernel = Kernel::new(socket(false), socket(true), &slot, &mut buffers);
        // Files that end with the agent.
        let mut ram = self.ram.clone();
        let mut file = |name: &CStr| Mortal(ram.create(name).unwrap(), self.scratch.clone());
        let files = Files { index: file(c"i"), extras: file(c"x"), report: file(c"r") };
        let reports = (0..REPORTS).map(|_| file(c"r")).collect();
        let own = (file(c"s"), file(c"h"), reports, [file(c"o"), file(c"p")]);
        let folder = |disk: &Cellar| Mortal(disk.clone(), self.life.clone());
        let folders = (folder(&self.keep), folder(&self.state));
        let committer = Committer::new(kernel, files, &*self.bench, &mut set, folders);
        act(Service::new(committer, own, Policy::default()))
    }

    /// Whether the kernel has the link of an interface.
    pub(crate) fn has(&self, face: usize) -> bool {
        self.world.seen().links.iter().any(|link| link.0 == FACES[face])
    }

    pub(crate) fn content(&self, face: usize) -> Content {
        let name = FACES[face];
        let seen = self.world.seen();
        let links = seen.links.iter().filter(|link| link.0 == name);
        let peers = seen.peers.iter().filter(|peer| peer.0 == name);
        let on = |other: &&String| other.contains(name);
        let others = seen.others.iter().filter(on);
        let mut content = String::new();
        links.for_each(|link| content += &format!("{link:?}"));
        peers.for_each(|peer| content += &format!("{peer:?}"));
        others.for_each(|other| content += other);
        content
    }
}

/// The image of an interface with a port.
pub(crate) fn image(face: usize, port: u16) -> Vec<u8> {
    let byte = port as u8;
    let mut file = Memory::default();
    let slot = Slot::default();
    let mut writer = RecordWriter::new(&slot, Some(&mut file), 0).unwrap();
    let records = [
        Record::Interface(Interface {
            name: FACES[face].parse().unwrap(),
            private_key: PrivateKey::Given(SecretKey::new([byte; 32])),
            listen_port: Some(port),
            fwmark: 0,
            mtu: 1400 + u32::from(port),
        }),
        Record::Address(format!("10.{face}.0.{port}/24").parse().unwrap()),
        Record::Peer(Peer {
            public_key: PublicKey([byte; 32]),
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: port,
        }),
        Record::AllowedIp(format!("10.9.0.{port}/32").parse().unwrap()),
    ];
    records.iter().for_each(|record| writer.record(record).unwrap());
    writer.finish().unwrap();
    file.0.take()
}
