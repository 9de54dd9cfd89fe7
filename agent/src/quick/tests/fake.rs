//! A machine in memory: the process of `wg`'s tests, programs that only record their calls, and a
//! kernel that keeps links, addresses, routes and rules and lists them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use proto_core::conf::Host;
use proto_core::ip::IpNet;
use proto_core::netlink::route::{Addr, IfExists, Route, Rule};
use proto_core::netlink::{Errno, IfName, Message, Messages, NLMSG_DONE, NLMSG_ERROR, Writer};

use crate::kernel::exchange::Protocol;
use crate::quick::process::{NO_PROGRAM, Next, QuickProcess};
use crate::system::{Datagram, File, NetlinkSocket};
use crate::testing::Memory;
use crate::wg::fake::{Answers, Fake, Socket as WgSocket};
use crate::wg::process::{Output, Process, Unresolved};

const INDEX: u32 = 5;

/// The state of rtnetlink.
#[derive(Default)]
pub(super) struct Tables {
    /// Whether the interface exists.
    pub(super) link: bool,
    /// The kernel has no WireGuard; a link of that kind belongs to a program.
    pub(super) no_wireguard: bool,
    /// The kernel has no IPv6.
    pub(super) no_ipv6: bool,
    /// `NEWADDR`, `NEWROUTE` and `NEWRULE`, in order of arrival.
    things: Vec<(u16, Vec<u8>)>,
    /// The requests, in words.
    pub(super) log: Vec<String>,
    /// Refuses the requests with these words.
    pub(super) refuse: Option<&'static str>,
}

/// Everything outside of the process.
#[derive(Default)]
pub(super) struct Machine {
    pub(super) wg: Fake,
    pub(super) tables: Rc<RefCell<Tables>>,
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
        self.tables.borrow_mut().log.split_off(0)
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.borrow_mut().split_off(0)
    }
}

impl Process for Machine {
    type Netlink = Socket;
    type File = Memory;
    type Input = Vec<u8>;

    fn netlink(&self, protocol: Protocol) -> Result<Socket, Errno> {
        Ok(match protocol {
            Protocol::Generic => Socket::Generic(self.wg.netlink(protocol)?),
            Protocol::Route => {
                Socket::Route { tables: Rc::clone(&self.tables), answers: Answers::default() }
            }
        })
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
        (index == 2).then(|| "eth0".parse().unwrap())
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
            self.tables.borrow_mut().link = true;
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
        self.tables.borrow_mut().log.push("src_valid_mark".to_owned());
        Ok(())
    }
}

pub(super) enum Socket {
    Generic(WgSocket),
    Route { tables: Rc<RefCell<Tables>>, answers: Answers },
}

impl NetlinkSocket for Socket {
    fn port(&self) -> u32 {
        7
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Generic(socket) => socket.send(datagram),
            Self::Route { tables, answers } => {
                let message = Messages::new(datagram).next().unwrap().unwrap();
                tables.borrow_mut().answer(&message, answers);
                Ok(())
            }
        }
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        match self {
            Self::Generic(socket) => socket.receive(buf),
            Self::Route { answers, .. } => answers.deliver(buf),
        }
    }
}

const NLM_F_DUMP: u16 = 0x300;

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
const NEWRULE: u16 = 32;
const DELRULE: u16 = 33;
const GETRULE: u16 = 34;

fn link(w: &mut Writer<'_>, seq: u32, name: &str, kind: &str, (index, mtu): (u32, u32)) {
    w.message(NEWLINK, 2, seq, 7).unwrap();
    w.header(&[&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat()).unwrap();
    w.string(3, name).unwrap();
    w.u32(4, mtu).unwrap();
    w.nest(18, |w| w.string(1, kind)).unwrap();
}

/// The subject of a request, in words.
fn said(message: &Message<'_>) -> String {
    let to = |ty| Message { ty, ..*message };
    match message.ty {
        NEWADDR => Addr::parse(message).unwrap().net.to_string(),
        NEWROUTE => {
            let Route { dst, table, .. } = Route::parse(message).unwrap();
            format!("{dst} in {table}")
        }
        NEWRULE | DELRULE => {
            let rule = Rule::parse(&to(NEWRULE)).unwrap();
            let Rule { family, table, fwmark, suppress_prefixlen, .. } = rule;
            format!("rule {family} {table} {fwmark:?} {suppress_prefixlen:?}")
        }
        NEWLINK => "link".to_owned(),
        DELLINK => "no link".to_owned(),
        _ => "set link".to_owned(),
    }
}

impl Tables {
    fn answer(&mut self, message: &Message<'_>, answers: &mut Answers) {
        match self.execute(message, answers) {
            Ok(()) if message.flags & NLM_F_DUMP != 0 => answers.end(message, NLMSG_DONE, 0),
            done => answers.end(message, NLMSG_ERROR, done.err().map_or(0, |errno| errno.0)),
        }
    }

    fn execute(&mut self, message: &Message<'_>, answers: &mut Answers) -> Result<(), Errno> {
        let seq = message.seq;
        match message.ty {
            GETLINK => {
                let eth0 = message.payload.windows(4).any(|bytes| bytes == b"eth0");
                let kind = if self.no_wireguard { "tun" } else { "wireguard" };
                match (eth0, self.link) {
                    (true, _) => answers.answer(|w| link(w, seq, "eth0", "dummy", (2, 1400))),
                    (_, true) => answers.answer(|w| link(w, seq, "wg0", kind, (INDEX, 1234))),
                    _ => return Err(Errno::ENODEV),
                }
                return Ok(());
            }
            GETROUTE if message.flags & NLM_F_DUMP == 0 => {
                let dst = IpNet { addr: IpAddr::from([0; 4]), prefix: 0 };
                let mut buf = [0; 256];
                let route = Route::device(dst, 2, 254, 3);
                let add = route.add(&mut buf, seq, IfExists::Fail).unwrap();
                let payload = Messages::new(add).next().unwrap().unwrap().payload;
                answers.answer(|w| {
                    w.message(NEWROUTE, 2, seq, 7).unwrap();
                    w.header(payload).unwrap();
                });
                return Ok(());
            }
            GETRULE | NEWRULE if self.no_ipv6 && message.payload[0] == 10 => {
                return Err(Errno::EAFNOSUPPORT);
            }
            GETADDR | GETROUTE | GETRULE => {
                let (ty, family) = (message.ty - 2, message.payload[0]);
                let of = |(other, payload): &&(u16, Vec<u8>)| *other == ty && payload[0] == family;
                for (_, payload) in self.things.iter().filter(of) {
                    answers.answer(|w| {
                        w.message(ty, 2, seq, 7).unwrap();
                        w.header(payload).unwrap();
                    });
                }
                return Ok(());
            }
            _ => {}
        }
        let said = said(message);
        self.log.push(said.clone());
        if message.ty == NEWLINK && self.no_wireguard {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.refuse.is_some_and(|refuse| said.starts_with(refuse)) {
            return Err(Errno::EEXIST);
        }
        match message.ty {
            NEWLINK => self.link = true,
            DELLINK => {
                self.link = false;
                self.things.retain(|(ty, _)| *ty == NEWRULE);
            }
            NEWADDR | NEWROUTE | NEWRULE => {
                self.things.push((message.ty, message.payload.to_vec()));
            }
            DELRULE => {
                let wanted = Rule::parse(&Message { ty: NEWRULE, ..*message }).unwrap();
                let like = |payload: &[u8]| {
                    let rule = Rule::parse(&Message { ty: NEWRULE, payload, ..*message }).unwrap();
                    (rule.family, rule.table) == (wanted.family, wanted.table)
                };
                let at =
                    self.things.iter().position(|(ty, payload)| *ty == NEWRULE && like(payload));
                self.things.remove(at.ok_or(Errno::ENOENT)?);
            }
            _ => {}
        }
        Ok(())
    }
}
