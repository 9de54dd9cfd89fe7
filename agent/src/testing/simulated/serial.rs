//! Routers at serial ports: pseudo-terminals that come and go, with or without the capacity of a line.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::vec::Vec;

use proto_core::protocol::frame::{self, Deframer, Received};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{Simulated, Worker};

/// Pause of a thread that has nothing to carry.
const PAUSE: Duration = Duration::from_millis(1);

/// A pause that separates one burst of bytes from the next.
const GAP: Duration = Duration::from_millis(250);

/// Bytes that a line has carried to a router.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// All of them.
    pub bytes: u64,
    now: Burst,
    longest: Burst,
}

/// Bytes without a pause between them, and the times of the first and the last.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    bytes: u64,
    times: Option<(Instant, Instant)>,
}

impl Load {
    fn add(&mut self, bytes: u64) {
        let now = Instant::now();
        let begun = self.now.times.filter(|(_, last)| now.duration_since(*last) < GAP);
        if begun.is_none() {
            self.now.bytes = 0;
        }
        self.now.bytes += bytes;
        self.now.times = Some((begun.map_or(now, |(first, _)| first), now));
        self.bytes += bytes;
        if self.now.bytes > self.longest.bytes {
            self.longest = self.now;
        }
    }

    /// The share of a line's rate that the longest burst has used.
    #[must_use]
    pub fn share(&self, baud: u32) -> f64 {
        let Some((first, last)) = self.longest.times else { return 0.0 };
        let could = last.duration_since(first).as_secs_f64() * f64::from(baud) / 10.0;
        if could > 0.0 { self.longest.bytes as f64 / could } else { 0.0 }
    }
}

/// A router at a port; pulled out when it is dropped.
#[derive(Debug)]
pub struct Plugged {
    path: PathBuf,
    load: Arc<Mutex<Load>>,
    _worker: Worker,
    /// Kept open so that a client that closes the port causes no hang-up.
    _slave: File,
}

impl Plugged {
    /// Makes `path` a port with a router that answers lines of text and packets. `text` is what it prints before each
    /// answer to a packet; `router` makes it in the thread of the port.
    pub fn new<A: FnMut(&[u8]) -> Vec<Vec<u8>>>(
        path: &Path,
        baud: Option<u32>,
        text: &'static [u8],
        mut typed: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static,
        router: impl FnOnce() -> A + Send + 'static,
    ) -> Self {
        let (master, slave, device) = pty();
        let load = Arc::<Mutex<Load>>::default();
        let counted = Arc::clone(&load);
        let worker = Worker::new(move |stop| {
            let line = (master, Paced::new(baud), &*counted);
            serve(line, stop, text, &mut typed, &mut router());
        });
        symlink(device, path).unwrap();
        Self { path: path.into(), load, _worker: worker, _slave: slave }
    }

    /// What the line has carried to the router.
    #[must_use]
    pub fn load(&self) -> Load {
        *self.load.lock().unwrap()
    }

    /// Makes `path` a port with an unowned router that has this serial number, behind a line with a speed or without
    /// one.
    #[must_use]
    pub fn router(serial_number: &str, path: &Path, baud: Option<u32>) -> Self {
        let serial_number = String::from(serial_number);
        let silent = |_: &[u8]| Vec::new();
        Self::new(path, baud, b"", silent, move || {
            let mut router = Simulated::new(None, &serial_number);
            move |packet: &[u8]| {
                let replies = router.packet(packet, None);
                router.tick();
                replies
            }
        })
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
    }
}

/// A pseudo-terminal: the router's end, the other end, and its path.
#[must_use]
pub fn pty() -> (File, File, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let device = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
        .open(&device)
        .unwrap();
    rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK).unwrap();
    (File::from(master), slave, device)
}

/// The frame of a packet.
#[must_use]
pub fn framed(mut packet: Vec<u8>) -> Vec<u8> {
    let (mut out, len) = (Vec::new(), packet.len());
    packet.resize(len + frame::CRC_LEN, 0);
    frame::write_serial(&mut out, &mut packet, len).unwrap();
    out
}

fn serve(
    (mut master, mut line, load): (File, Paced, &Mutex<Load>),
    stop: &AtomicBool,
    text: &[u8],
    typed: &mut dyn FnMut(&[u8]) -> Vec<u8>,
    answer: &mut dyn FnMut(&[u8]) -> Vec<Vec<u8>>,
) {
    let mut deframer = Deframer::new();
    let mut buf = [0; 4_096];
    while !stop.load(Ordering::Relaxed) {
        let room = line.carry(&mut master).min(buf.len());
        let Ok(len) = master.read(&mut buf[..room]) else {
            thread::sleep(PAUSE);
            continue;
        };
        load.lock().unwrap().add(len as u64);
        let mut input = &buf[..len];
        let mut out = Vec::new();
        while let Some(received) = deframer.next(&mut input) {
            match received {
                Received::Garbage => {}
                Received::Text(text) => out.extend(typed(text)),
                Received::Packet(packet) => {
                    out.extend_from_slice(text);
                    out.extend(answer(packet).into_iter().flat_map(framed));
                }
            }
        }
        line.send(&mut master, out, stop);
    }
}

/// The capacity of a line of some speed.
#[derive(Debug)]
pub struct Paced {
    baud: Option<u32>,
    since: Instant,
    /// Bytes that the router has sent and the line has not carried.
    out: Vec<u8>,
}

impl Paced {
    /// A line of this speed, or one without a limit.
    #[must_use]
    pub fn new(baud: Option<u32>) -> Self {
        Self { baud, since: Instant::now(), out: Vec::new() }
    }

    /// Carries as many bytes to the host as the time since the last call allows. Returns the number
    /// of bytes that it may carry to the router.
    pub fn carry(&mut self, master: &mut File) -> usize {
        let Some(baud) = self.baud else { return usize::MAX };
        let mut room = 0;
        while room == 0 {
            thread::sleep(2 * PAUSE);
            room = self.since.elapsed().as_micros() as usize * baud as usize / 10_000_000;
        }
        self.since += Duration::from_micros(room as u64 * 10_000_000 / u64::from(baud));
        let len = self.out.len().min(room);
        if let Ok(len) = master.write(&self.out[..len]) {
            self.out.drain(..len);
        }
        room
    }

    /// Sends bytes to the host: now, or at the speed of the line.
    pub fn send(&mut self, master: &mut File, mut bytes: Vec<u8>, stop: &AtomicBool) {
        match self.baud {
            Some(_) => self.out.append(&mut bytes),
            None => write_all(master, &bytes, stop),
        }
    }
}

/// Writes to the host, which may read late.
pub fn write_all(master: &mut File, mut bytes: &[u8], stop: &AtomicBool) {
    while !bytes.is_empty() && !stop.load(Ordering::Relaxed) {
        match master.write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
