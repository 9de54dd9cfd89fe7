//! Pushes a small configuration to a router over a serial line, in fixed memory: [`Link`] needs neither an allocator
//! nor an operating system. `integrations/jig` does the same on a microcontroller.
//!
//! ```text
//! stty -F /dev/ttyUSB0 115200 raw -echo
//! cargo run --example push -- /dev/ttyUSB0 ROUTER-PUBLIC-KEY OWNER-PRIVATE-KEY-FILE wg0 PEER-PUBLIC-KEY 10.0.0.2/32
//! ```
//!
//! The owner's key has to be one of the router's owners (`postwire owner add`).

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use embedded_io::{ErrorType, Read, ReadReady, Write};
use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::client::Patience;
use proto_core::protocol::codec::write_record;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record};
use proto_core::protocol::link::{Link, Platform};
use proto_core::protocol::message::Name;
use proto_core::protocol::serial::SerialLine;
use proto_core::protocol::session::StaticKey;

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

impl Platform for Linux {
    fn now(&mut self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn random(&mut self, out: &mut [u8]) {
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(out));
        read.expect("randomness");
    }

    fn stamp(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        since.as_millis() as u64
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
    let line = SerialLine::new(Device(OpenOptions::new().read(true).write(true).open(device)?));
    let platform = Linux(Instant::now());
    let mut link = Link::new(line, platform, StaticKey::new(own), router.parse()?, patience);
    // Its text and not its fields: the router's own words.
    let applied = link.push(interface, &buf[..len]).map_err(|error| error.to_string())?;
    println!("applied; stored as number {}: {:?}", applied.number, applied.summary);
    Ok(())
}
