//! Pushes a small configuration to a router over a serial line, in fixed memory: nothing in [`Link`] and [`push`] needs
//! an allocator or an operating system, so that a bare-metal jig can do the same over its UART.
//!
//! ```text
//! stty -F /dev/ttyUSB0 115200 raw -echo
//! cargo run --example push -- /dev/ttyUSB0 ROUTER-PUBLIC-KEY OWNER-PRIVATE-KEY-FILE wg0 PEER-PUBLIC-KEY 10.0.0.2/32
//! ```
//!
//! The owner's key has to be one of the router's owners (`postwire owner add`).

#![allow(
    clippy::result_large_err,
    clippy::large_enum_variant,
    reason = "without an allocator there is no box"
)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use embedded_io::{ErrorType, Read, ReadReady, Write};
use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::client::{Call, Caller, ClientError, Patience, Progress, Step, Upload};
use proto_core::protocol::codec::write_record;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};
use proto_core::protocol::frame::{Received, WriteError};
use proto_core::protocol::message::{Answer, Applied, Ask, Name, Reply};
use proto_core::protocol::serial::SerialLine;
use proto_core::protocol::session::{Connector, Fresh, Heard, StaticKey, Wire};
use proto_core::protocol::{MAX_OUTER, MAX_PACKET, VERSION};

/// The largest piece and the bytes in flight that suit a slow line.
const PIECE: u16 = 256;
const IN_FLIGHT: u32 = 1024;

/// What the platform has to bring.
trait Platform {
    /// Milliseconds of a clock that does not go back.
    fn now(&mut self) -> u64;
    /// Randomness and a growing stamp for a handshake.
    fn fresh(&mut self) -> Fresh;
}

#[derive(Debug)]
enum PushError<E> {
    Line(E),
    Client(ClientError),
    Closed,
}

impl<E> From<ClientError> for PushError<E> {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// A router at the end of a line.
struct Link<T, P> {
    line: SerialLine<T>,
    connector: Connector,
    caller: Caller,
    platform: P,
}

/// One of the state machines of the protocol's client.
trait Machine {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError>;
    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError>;
}

impl<T: Read + Write + ReadReady, P: Platform> Link<T, P> {
    fn send(&mut self, packet: &[u8]) -> Result<(), PushError<T::Error>> {
        self.line.send(packet).map_err(|error| match error {
            WriteError::TooLong => PushError::Client(ClientError::TooLong),
            WriteError::Line(error) => PushError::Line(error),
        })
    }

    /// Carries a machine through: connects when needed, sends, and hands it the replies.
    fn drive(&mut self, machine: &mut dyn Machine) -> Result<(), PushError<T::Error>> {
        let (mut plain, mut outer, mut input) = ([0; MAX_PACKET], [0; MAX_OUTER], [0; 64]);
        loop {
            let now = self.platform.now();
            let Self { connector, caller, platform, .. } = self;
            let mut until = match connector.poll(now, &mut || platform.fresh(), &mut outer)? {
                Step::Send(len) => {
                    self.send(&outer[..len])?;
                    continue;
                }
                Step::Wait(until) => until,
                Step::Done => return Err(ClientError::Unexpected.into()),
            };
            if connector.is_up() {
                match machine.poll(caller, now, &mut plain)? {
                    Step::Done => return Ok(()),
                    Step::Wait(time) => until = until.min(time),
                    Step::Send(len) => {
                        let sealed = connector.seal(now, &plain[..len], &mut outer);
                        let len = sealed.ok_or(ClientError::TooLong)?;
                        self.send(&outer[..len])?;
                        // What has come meanwhile is read before more is sent.
                        until = now;
                    }
                }
            }
            while !self.line.stream().read_ready().map_err(PushError::Line)? {
                if self.platform.now() >= until {
                    break;
                }
            }
            if !self.line.stream().read_ready().map_err(PushError::Line)? {
                continue;
            }
            let now = self.platform.now();
            let Self { line, connector, caller, .. } = self;
            let mut done = Ok(());
            let read = line.read(&mut input, &mut |received| {
                let Received::Packet(packet) = received else { return };
                if let Heard::Packet(len) = connector.receive(now, packet, &mut plain)
                    && let Some(reply) = caller.reply(&plain[..len])
                    && done.is_ok()
                {
                    done = machine.receive(caller, now, reply);
                }
            });
            if read.map_err(PushError::Line)? == 0 {
                return Err(PushError::Closed);
            }
            done?;
        }
    }

    /// Asks one thing and passes the answer to `take`.
    fn call<R>(
        &mut self,
        ask: Ask<'_>,
        take: impl FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<R, PushError<T::Error>> {
        let now = self.platform.now();
        let mut asking = Asking { call: Call::new(now), ask, take, answer: None };
        self.drive(&mut asking)?;
        asking.answer.ok_or(PushError::Client(ClientError::Unexpected))
    }
}

/// A request, and what came of it.
struct Asking<'a, R, F> {
    call: Call,
    ask: Ask<'a>,
    take: F,
    answer: Option<R>,
}

impl<R, F: FnMut(Answer<'_>) -> Option<R>> Machine for Asking<'_, R, F> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        self.call.poll(caller, now, &self.ask, buf)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        if let Progress::Answered(answer) = self.call.receive(caller, now, reply)? {
            self.answer = (self.take)(answer);
        }
        Ok(())
    }
}

impl Machine for Upload<&[u8]> {
    fn poll(&mut self, caller: &mut Caller, now: u64, buf: &mut [u8]) -> Result<Step, ClientError> {
        Upload::poll(self, caller, now, buf)
    }

    fn receive(
        &mut self,
        caller: &mut Caller,
        now: u64,
        reply: Reply<'_>,
    ) -> Result<(), ClientError> {
        Upload::receive(self, caller, now, reply)
    }
}

/// Pushes an image and returns what the router changed.
fn push<T: Read + Write + ReadReady, P: Platform>(
    link: &mut Link<T, P>,
    interface: Name,
    image: &[u8],
) -> Result<Applied, PushError<T::Error>> {
    let hello = Ask::Hello { min: VERSION, max: VERSION, features: 0 };
    let (max_data, in_flight) = link.call(hello, |answer| match answer {
        Answer::Hello(hello) => Some((hello.max_data, hello.in_flight)),
        _ => None,
    })?;
    let now = link.platform.now();
    let (piece, in_flight) = (max_data.min(PIECE), in_flight.min(IN_FLIGHT));
    let mut upload = Upload::new(now, interface, image, piece, in_flight)?;
    link.drive(&mut upload)?;
    let stage = upload.stage().ok_or(ClientError::Unexpected)?;
    link.call(Ask::Commit { stage, confirm_within: 0, adopt: false }, |answer| match answer {
        Answer::Applied(applied) => Some(applied),
        _ => None,
    })
}

/// An image of an interface whose private key the router makes, with one peer.
fn image(interface: Name, peer: PublicKey, net: IpNet, buf: &mut [u8]) -> Option<usize> {
    let records = [
        Record::Interface(Interface {
            name: interface,
            private_key: PrivateKey::Generate,
            listen_port: Some(51820),
            fwmark: 0,
            mtu: 1420,
        }),
        Record::Peer(Peer {
            public_key: peer,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: 25,
        }),
        Record::AllowedIp(net.masked()),
    ];
    let mut len = 0;
    for record in &records {
        len += write_record(record, buf.get_mut(len..)?)?;
    }
    Some(len)
}

// From here on, what Linux brings.

struct Device(File);

impl ErrorType for Device {
    type Error = std::io::Error;
}

impl Read for Device {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf)
    }
}

impl ReadReady for Device {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let wait = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let ready = poll(&mut fds, Some(&wait));
        Ok(ready? > 0)
    }
}

impl Write for Device {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush()
    }
}

struct Linux(Instant);

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("randomness");
    bytes
}

impl Platform for Linux {
    fn now(&mut self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn fresh(&mut self) -> Fresh {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Fresh {
            ephemeral: SecretKey::new(random()),
            index: u32::from_ne_bytes(random()),
            stamp: since.as_millis() as u64,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [device, router, key, interface, peer, net] = &words[..] else {
        return Err(
            "usage: push DEVICE ROUTER-KEY OWNER-KEY-FILE INTERFACE PEER-KEY ALLOWED-IP".into()
        );
    };
    let own: SecretKey = std::fs::read_to_string(key)?.trim().parse()?;
    let interface: Name = interface.parse()?;
    let mut buf = [0; 512];
    let len = image(interface, peer.parse()?, net.parse()?, &mut buf).ok_or("too long")?;

    let patience = Patience { resend: 500, give_up: 10_000 };
    let device = Device(OpenOptions::new().read(true).write(true).open(device)?);
    let mut link = Link {
        line: SerialLine::new(device),
        connector: Connector::new(StaticKey::new(own), router.parse()?, Wire::Serial, patience),
        caller: Caller::new(random(), patience),
        platform: Linux(Instant::now()),
    };
    match push(&mut link, interface, &buf[..len]) {
        Ok(applied) => {
            println!("applied; stored as number {}: {:?}", applied.number, applied.summary);
            Ok(())
        }
        // Its text and not its fields: the router's own words.
        Err(PushError::Client(error)) => Err(error.to_string().into()),
        Err(PushError::Line(error)) => Err(error.into()),
        Err(PushError::Closed) => Err("the line was closed".into()),
    }
}
