//! The fake router on a UDP socket and on a pseudo-terminal.

use std::fs::File;
use std::io::Read as _;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postwired::simulated::{Paced, Worker, framed, pty, write_all};
use proto_core::protocol::frame::{self, Deframer, Received};
use proto_core::protocol::session::Wire;

use super::{Manners, Router, Seen};

/// A router on UDP.
pub(crate) struct Udp {
    router: Arc<Mutex<Router>>,
    seen: Arc<Mutex<Seen>>,
    /// The value for `--udp`.
    pub(crate) address: String,
    _worker: Worker,
}

impl Udp {
    pub(crate) fn new(manners: Manners) -> Self {
        Self::on(([127, 0, 0, 1], 0).into(), manners)
    }

    /// A router at an address of this machine.
    pub(crate) fn on(address: SocketAddr, manners: Manners) -> Self {
        let router = Router::new(manners, Wire::Udp, 1_152, 16_000);
        let seen = Arc::clone(&router.seen);
        let router = Arc::new(Mutex::new(router));
        let at_work = Arc::clone(&router);
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let worker = Worker::new(move |stop| {
            let mut buf = [0; 2_048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buf) else { continue };
                let packet = frame::open(&buf[..len]).expect("a sealed packet");
                let replies = at_work.lock().unwrap().packet(packet);
                for mut reply in replies {
                    let len = reply.len();
                    reply.resize(len + frame::CRC_LEN, 0);
                    // Damaged or foreign packets must not disturb the client.
                    socket.send_to(b"noise", from).unwrap();
                    socket.send_to(frame::seal(&mut reply, len).unwrap(), from).unwrap();
                }
            }
        });
        Self { router, seen, address, _worker: worker }
    }

    /// Changes how it behaves from now on.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        self.router.lock().unwrap().behave(change);
    }

    /// Reads the router's records.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// Changes the router as a user could who is logged in on it.
    pub(crate) fn by_hand(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
    }
}

/// A router on a pseudo-terminal.
pub(crate) struct Pty {
    seen: Arc<Mutex<Seen>>,
    /// The value for `--serial`.
    pub(crate) device: String,
    /// Our end stays open; otherwise the first client that closes the port would cause a hang-up.
    pub(crate) slave: File,
    /// How many bytes came from the host before the router was up.
    early: Arc<AtomicUsize>,
    _worker: Worker,
}

impl Pty {
    pub(crate) fn new(manners: Manners) -> Self {
        Self::behind(manners, Habits::default())
    }

    /// A router behind a line of this speed, which the pseudo-terminal itself lacks.
    pub(crate) fn paced(manners: Manners, baud: u32) -> Self {
        Self::behind(manners, Habits { baud: Some(baud), ..Habits::default() })
    }

    /// A router that says this while it starts, each text so many milliseconds after the one before. A byte before the first
    /// line of the kernel stops it at the prompt of its boot loader, and it is deaf from then on.
    pub(crate) fn starting(manners: Manners, script: &[(u64, &'static str)]) -> Self {
        Self::behind(manners, Habits { script: script.into(), ..Habits::default() })
    }

    /// A router whose port has this speed, whatever that of the pseudo-terminal is: at another one, both sides
    /// get garbage. It says `text` ten times a second until a packet arrives.
    pub(crate) fn at_speed(manners: Manners, speed: u32, text: &'static str) -> Self {
        Self::behind(manners, Habits { speed: Some(speed), chatter: text, ..Habits::default() })
    }

    /// How many bytes came from the host before the router was up.
    pub(crate) fn early(&self) -> usize {
        self.early.load(Ordering::SeqCst)
    }

    fn behind(manners: Manners, habits: Habits) -> Self {
        let Habits { baud, script, speed, chatter } = habits;
        let text = manners.text;
        let (max_data, in_flight) = if baud.is_some() { (1_152, 3_000) } else { (1_152, 2_000) };
        let mut router = Router::new(manners, Wire::Serial, max_data, in_flight);
        let seen = Arc::clone(&router.seen);
        let (mut master, slave, device) = pty();
        let early = Arc::new(AtomicUsize::new(0));
        let (told, seen_slave) = (Arc::clone(&early), slave.try_clone().unwrap());
        let worker = Worker::new(move |stop| {
            if !play(&mut master, &script, &told, stop) {
                return;
            }
            let is_wrong = || {
                let set = rustix::termios::tcgetattr(&seen_slave).unwrap().output_speed();
                speed.is_some_and(|speed| speed != set)
            };
            // What a receiver at another speed makes of it, more or less.
            let garbled = |bytes: &[u8]| -> Vec<u8> {
                bytes.iter().map(|byte| byte.reverse_bits() | 0x80).collect()
            };
            let (mut chatters, mut chatted) = (!chatter.is_empty(), Instant::now());
            let mut deframer = Deframer::new();
            let mut buf = [0; 4_096];
            let mut line = Paced::new(baud);
            while !stop.load(Ordering::Relaxed) {
                if chatters && chatted.elapsed() >= Duration::from_millis(100) {
                    chatted = Instant::now();
                    let wrong = is_wrong();
                    let text = chatter.as_bytes();
                    let text = if wrong { garbled(text) } else { text.to_vec() };
                    write_all(&mut master, &text, stop);
                }
                let room = line.carry(&mut master).min(buf.len());
                let Ok(len) = master.read(&mut buf[..room]) else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                if chatters {
                    told.fetch_add(len, Ordering::SeqCst);
                }
                if is_wrong() {
                    continue;
                }
                let mut input = &buf[..len];
                let mut out = Vec::new();
                while let Some(received) = deframer.next(&mut input) {
                    let Received::Packet(packet) = received else { continue };
                    chatters = false;
                    out.extend_from_slice(text);
                    out.extend(router.packet(packet).into_iter().flat_map(framed));
                }
                line.send(&mut master, out, stop);
            }
        });
        Self { seen, device, slave, early, _worker: worker }
    }

    /// Reads the router's records.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }
}

/// The properties of a router on a pseudo-terminal.
#[derive(Default)]
struct Habits {
    baud: Option<u32>,
    script: Vec<(u64, &'static str)>,
    speed: Option<u32>,
    chatter: &'static str,
}

/// Plays a start, and counts the bytes that arrive meanwhile. Returns `false` if the start was
/// stopped for good.
fn play(
    master: &mut File,
    script: &[(u64, &'static str)],
    early: &AtomicUsize,
    stop: &AtomicBool,
) -> bool {
    let mut kernel = false;
    for (pause, text) in script {
        let until = Instant::now() + Duration::from_millis(*pause);
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            let mut buf = [0; 512];
            let len = master.read(&mut buf).unwrap_or(0);
            early.fetch_add(len, Ordering::SeqCst);
            if len > 0 && !kernel {
                write_all(master, b"\r\n=> ", stop);
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                    let len = master.read(&mut buf).unwrap_or(0);
                    early.fetch_add(len, Ordering::SeqCst);
                }
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        kernel |= text.starts_with('[');
        write_all(master, text.as_bytes(), stop);
    }
    true
}
