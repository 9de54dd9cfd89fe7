//! A process in memory, for the tests of `wg` and `wg-quick`: files, variables and outputs, over the kernel of
//! [`World`].

mod program;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::SocketAddr;

use proto_core::conf::Host;
use proto_core::netlink::{Errno, IfName};

use super::Memory;
use super::world::{Device, Wire, World};
use crate::kernel::exchange::Protocol;
use crate::wg::process::{Output, Process, Unresolved};

/// Everything outside of the process.
#[derive(Default)]
pub(crate) struct Shell {
    pub(crate) world: World,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) variables: BTreeMap<&'static str, &'static str>,
    pub(crate) hosts: BTreeMap<&'static str, SocketAddr>,
    pub(crate) out: RefCell<Vec<u8>>,
    pub(crate) err: RefCell<Vec<u8>>,
    pub(crate) slept: RefCell<Vec<u32>>,
    pub(crate) full: Cell<bool>,
    /// Maximum number of bytes of one read.
    pub(crate) piece: usize,
    /// The contents of the folder of sockets, besides `wg0` if a program has it.
    pub(crate) sockets: Vec<(&'static str, Result<bool, Errno>)>,
    /// The request that a program is receiving.
    pub(crate) request: RefCell<Vec<u8>>,
    /// A fixed answer of a program to any request.
    pub(crate) says: Option<&'static str>,
    /// Whether the answer has no end: nothing follows, not even end of file.
    pub(crate) hangs: bool,
}

impl Shell {
    /// A process beside the interface `wg0`, which belongs to the kernel (`wireguard`) or to a program (`tun`).
    pub(crate) fn beside(kind: &str) -> Self {
        let shell = Self::default();
        shell.world.plug("eth0", [2; 6]);
        shell.world.make("wg0", kind);
        shell
    }

    /// The device of `wg0`.
    pub(crate) fn device(&self) -> Device {
        self.world.device("wg0")
    }

    /// Changes the device of `wg0`, as another program would.
    pub(crate) fn meddle(&self, change: impl FnOnce(&mut Device)) {
        self.world.meddle("wg0", change);
    }

    /// Whether `wg0` belongs to a program.
    fn in_user_space(&self) -> bool {
        self.world.kind("wg0").is_some_and(|kind| kind == "tun")
    }

    /// Runs a command line. Words are separated by blanks; `''` is an empty word.
    pub(crate) fn run(&self, line: &str) -> (i32, String, String) {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        let mut words = words.filter(|_| !line.is_empty());
        let code = crate::wg::run(self, &mut Box::<crate::wg::Memory>::default(), "wg", &mut words);
        let text = |bytes: &RefCell<Vec<u8>>| String::from_utf8(bytes.take()).unwrap();
        (code, text(&self.out), text(&self.err))
    }
}

impl Process for Shell {
    type Netlink = Wire;
    type File = Memory;
    type Input = Vec<u8>;

    fn netlink(&self, protocol: Protocol) -> Result<Wire, Errno> {
        Ok(self.world.socket(protocol == Protocol::Generic))
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
        self.world.name(index).map(|name| name.parse().unwrap())
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
        if self.in_user_space() {
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
            other.map_or(Ok(name == "wg0" && self.in_user_space()), |(_, listens)| *listens);
        Ok(listens?.then(Vec::new))
    }

    fn tell(&self, program: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Errno> {
        let mut request = self.request.borrow_mut();
        request.extend(bytes);
        if request.ends_with(b"\n\n") {
            let request = String::from_utf8(request.split_off(0)).unwrap();
            let answer = self.world.meddle("wg0", |device| program::answer(device, &request));
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
