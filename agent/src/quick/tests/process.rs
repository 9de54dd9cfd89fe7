//! A process in memory that runs `wg-quick`: that of `wg`'s tests, and programs that only record their calls.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::SocketAddr;

use proto_core::conf::Host;
use proto_core::netlink::route::{IfExists, Route, link};
use proto_core::netlink::{Errno, IfName};

use crate::kernel::exchange::Protocol;
use crate::quick::process::{NO_PROGRAM, Next, QuickProcess};
use crate::system::File;
use crate::testing::shell::Shell;
use crate::testing::{Device, Memory, Wire, World};
use crate::wg::process::{Output, Process, Unresolved};

/// Everything outside of the process.
#[derive(Default)]
pub(super) struct Machine {
    pub(super) wg: Shell,
    /// The programs that exist, and their exit codes.
    pub(super) programs: BTreeMap<&'static str, i32>,
    /// The output of programs, by name.
    pub(super) prints: BTreeMap<&'static str, &'static str>,
    /// The calls of programs, and their input.
    pub(super) calls: RefCell<Vec<String>>,
    pub(super) nobody: bool,
    pub(super) exposed: bool,
    pub(super) saved: RefCell<Option<(String, String)>>,
    pub(super) disk_is_full: Cell<bool>,
}

impl Machine {
    /// A router with a default route through `eth0`.
    pub(super) fn online() -> Self {
        let machine = Self::default();
        let world = machine.world();
        world.plug("lo", [0; 6]);
        world.plug("eth0", [2; 6]);
        let index = world.index("eth0");
        world.by_hand(|buf| link::set_mtu(buf, 1, index, 1400).unwrap()).unwrap();
        let route = Route::device("0.0.0.0/0".parse().unwrap(), index, 254, 3);
        world.by_hand(|buf| route.add(buf, 1, IfExists::Fail).unwrap()).unwrap();
        machine
    }

    /// The kernel.
    pub(super) const fn world(&self) -> &World {
        &self.wg.world
    }

    /// The device of `wg0`.
    pub(super) fn device(&self) -> Device {
        self.wg.device()
    }

    /// Whether `wg0` exists.
    pub(super) fn has_link(&self) -> bool {
        self.world().kind("wg0").is_some()
    }

    /// Runs a command line. Returns the exit code and the messages.
    pub(super) fn run(&self, line: &str) -> (i32, String, String) {
        let code = crate::quick::run(
            self,
            &mut Box::<crate::wg::Memory>::default(),
            "wg-quick",
            &mut line.split(' '),
        );
        let text = |bytes: &RefCell<Vec<u8>>| String::from_utf8(bytes.take()).unwrap();
        (code, text(&self.wg.out), text(&self.wg.err))
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.world().log()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.borrow_mut().split_off(0)
    }
}

impl Process for Machine {
    type Netlink = Wire;
    type File = Memory;
    type Input = Vec<u8>;

    fn netlink(&self, protocol: Protocol) -> Result<Wire, Errno> {
        self.wg.netlink(protocol)
    }

    fn scratch(&self) -> Memory {
        Memory::default()
    }

    fn variable(&self, name: &CStr) -> Option<&str> {
        self.wg.variable(name)
    }

    fn open(&self, path: Option<&str>) -> Result<Vec<u8>, Errno> {
        self.wg.open(path)
    }

    fn read(&self, input: &mut Vec<u8>, buf: &mut [u8]) -> Result<usize, Errno> {
        self.wg.read(input, buf)
    }

    fn write(&self, output: Output, bytes: &[u8]) -> Result<(), Errno> {
        self.wg.write(output, bytes)
    }

    fn is_terminal(&self) -> bool {
        false
    }

    fn is_exposed(&self) -> bool {
        false
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        self.wg.random(buf)
    }

    fn unix_time(&self) -> u64 {
        0
    }

    fn interface_name(&self, index: u32) -> Option<IfName> {
        self.wg.interface_name(index)
    }

    fn resolve(&self, host: &Host<'_>) -> Result<SocketAddr, Unresolved> {
        self.wg.resolve(host)
    }

    fn programs(&self, take: &mut dyn FnMut(&str)) -> Result<(), Errno> {
        self.wg.programs(take)
    }

    fn program(&self, name: &str) -> Result<Option<Vec<u8>>, Errno> {
        self.wg.program(name)
    }

    fn tell(&self, program: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Errno> {
        self.wg.tell(program, bytes)
    }

    fn sleep(&self, _: u32) {}
}

impl QuickProcess for Machine {
    fn is_root(&self) -> bool {
        !self.nobody
    }

    fn real_path<'b>(&self, path: &str, buf: &'b mut [u8]) -> Result<&'b str, Errno> {
        self.open(Some(path))?;
        let room = &mut buf[..path.len()];
        room.copy_from_slice(path.as_bytes());
        Ok(std::str::from_utf8(room).unwrap())
    }

    fn mode(&self, path: &str) -> Result<u32, Errno> {
        Ok(if self.exposed || !path.ends_with(".conf") { 0o755 } else { 0o600 })
    }

    fn has(&self, program: &str) -> bool {
        self.programs.contains_key(program)
    }

    fn run(
        &self,
        program: &str,
        words: &[u8],
        input: Option<&mut Memory>,
        output: Option<&mut Memory>,
    ) -> Result<i32, Errno> {
        let words = String::from_utf8(words.to_vec()).unwrap();
        let words: Vec<&str> = words.strip_suffix('\0').unwrap().split('\0').collect();
        let input = input.map(|file| String::from_utf8(file.0.borrow().clone()).unwrap());
        let input = input.map(|input| format!(" <{input}")).unwrap_or_default();
        self.calls.borrow_mut().push(format!("{}{input}", words.join(" ")));
        if let (Some(output), Some(text)) = (output, self.prints.get(program)) {
            output.write_at(0, text.as_bytes()).unwrap();
        }
        if program == "/bin/sh" || program == "/bin/bash" {
            let code = words[2].strip_prefix("exit ");
            return Ok(code.map_or(0, |code| code.parse().unwrap()));
        }
        if program.ends_with("wireguard") {
            self.world().make("wg0", "tun");
        }
        Ok(self.programs.get(program).copied().unwrap_or(NO_PROGRAM))
    }

    fn replace(&self, path: &str, next: &mut Next<'_>) -> Result<(), Errno> {
        if self.disk_is_full.get() {
            return Err(Errno::ENOSPC);
        }
        let (mut all, mut piece) = (Vec::new(), [0; 7]);
        loop {
            match next(&mut piece)? {
                0 => break,
                got => all.extend(&piece[..got]),
            }
        }
        *self.saved.borrow_mut() = Some((path.to_owned(), String::from_utf8(all).unwrap()));
        Ok(())
    }

    fn hold_signals(&self) {}

    fn held_signal(&self) -> i32 {
        let calls = self.calls.borrow();
        if calls.iter().any(|call| call.ends_with(" signal")) { 15 } else { 0 }
    }

    fn src_valid_mark(&self) -> bool {
        self.wg
            .files
            .get("/proc/sys/net/ipv4/conf/all/src_valid_mark")
            .is_some_and(|text| text == b"1")
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        self.world().note("src_valid_mark");
        Ok(())
    }
}
