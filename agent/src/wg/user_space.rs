//! WireGuard in user space: requests about an interface go to its program, through the socket on
//! which the program listens, and the program's answer becomes the events of a dump.
//!
//! Each request has its own connection, because not all programs accept a second request.

use core::net::SocketAddr;

use proto_core::conf::Host;
use proto_core::netlink::wireguard::Event;
use proto_core::netlink::{Errno, IfName};
use proto_core::protocol::message::{Code, Subject};
use proto_core::uapi::{Answer, AnswerError, END, GET, Sink};

use super::Wg;
use super::nets::Nets;
use super::process::Process;
use super::spool::Spool;
use crate::fault::Fault;
use crate::kernel::exchange::UserSpace;

/// Bytes of a peer's allowed IPs that are kept in memory.
const WINDOW: usize = 4 * 1024;

/// Reorders the events of an answer as in a dump: the peer before its allowed IPs.
struct Events<'e, 'w, P: Process> {
    process: &'e P,
    ips: Nets<'w, P::File>,
    take: &'e mut dyn FnMut(&Event) -> Result<(), Fault>,
    fault: Option<Fault>,
}

impl<P: Process> Events<'_, '_, P> {
    fn pass_on(&mut self, event: &Event) -> Result<(), Fault> {
        match event {
            Event::AllowedIp(net) => return self.ips.push(*net),
            event => (self.take)(event)?,
        }
        for n in 0..self.ips.count() {
            if let Some(net) = self.ips.get(n)? {
                (self.take)(&Event::AllowedIp(net))?;
            }
        }
        self.ips.clear();
        Ok(())
    }
}

impl<P: Process> Sink for Events<'_, '_, P> {
    fn event(&mut self, event: &Event) {
        if self.fault.is_none() {
            self.fault = self.pass_on(event).err();
        }
    }

    fn resolve(&mut self, host: &Host<'_>) -> Option<SocketAddr> {
        self.process.resolve(host).ok()
    }
}

/// The answer to a change has only its result.
struct Nothing;

impl Sink for Nothing {
    fn event(&mut self, _: &Event) {}

    fn resolve(&mut self, _: &Host<'_>) -> Option<SocketAddr> {
        None
    }
}

impl<P: Process> Wg<'_, P> {
    /// Visits the interfaces of programs.
    pub(super) fn each_program(
        &self,
        take: &mut dyn FnMut(IfName) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut taken = Ok(());
        let listed = self.process.programs(&mut |name| {
            // A file name that is not an interface name is not an interface.
            if let (Ok(()), Ok(name)) = (&taken, name.parse())
                && self.has(name)
            {
                taken = take(name);
            }
        });
        listed.map_err(|errno| self.lost(Subject::None, errno))?;
        taken
    }

    /// Records that a socket failed.
    fn lost(&self, subject: Subject, errno: Errno) -> Fault {
        match errno {
            Errno::EAGAIN => self.slot.fail(Code::Kernel, subject, "the program does not answer"),
            errno => {
                let words = format_args!("the program's socket: {errno}");
                self.slot.say(Code::Kernel, subject, errno, words)
            }
        }
    }

    /// Sends a request to a program and reads the answer.
    fn ask(
        &self,
        name: IfName,
        subject: Subject,
        request: &[u8],
        buf: &mut [u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let lost = |errno| self.lost(subject, errno);
        let process = self.process;
        let program = process.program(name.as_str()).map_err(lost)?;
        let mut program = program.ok_or_else(|| lost(Errno::ENOENT))?;
        process.tell(&mut program, request).map_err(lost)?;
        process.tell(&mut program, END).map_err(lost)?;
        let mut answer = Answer::new(name);
        loop {
            let got = process.read(&mut program, buf).map_err(lost)?;
            let read = match got {
                0 => Err(AnswerError::Malformed),
                _ => answer.feed(buf.get(..got).unwrap_or_default(), sink),
            };
            match read {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(error) => {
                    let errno = match error {
                        AnswerError::Refused(errno) => errno,
                        _ => Errno(0),
                    };
                    return Err(self.slot.say(
                        Code::Kernel,
                        subject,
                        errno,
                        format_args!("{error}"),
                    ));
                }
            }
        }
    }
}

impl<P: Process> UserSpace for Wg<'_, P> {
    fn has(&self, name: IfName) -> bool {
        // A program that does not answer still has the interface.
        !matches!(self.process.program(name.as_str()), Ok(None))
    }

    fn each_event(
        &self,
        name: IfName,
        buf: &mut [u8],
        take: &mut dyn FnMut(&Event) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut window = [0; WINDOW];
        let ips = Nets(Spool::new(self.slot, self.process.scratch(), &mut window));
        let mut events = Events { process: self.process, ips, take, fault: None };
        let asked = self.ask(name, Subject::Interface, GET, buf, &mut events);
        events.fault.map_or(asked, Err)
    }

    fn set(
        &self,
        name: IfName,
        subject: Subject,
        message: &[u8],
        buf: &mut [u8],
    ) -> Result<(), Fault> {
        self.ask(name, subject, message, buf, &mut Nothing)
    }
}
