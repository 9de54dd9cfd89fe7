//! A bad network for UDP: a proxy that loses, duplicates and reorders datagrams in both directions,
//! by a seed, and can record all datagrams. It listens on 127.0.0.1 in front of a machine's
//! forwarded port.

use anyhow::Result;
use fastrand::Rng;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a datagram waits to be overtaken.
const HELD: Duration = Duration::from_millis(30);

/// The probability of each fault, for every datagram in either direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    pub seed: u64,
    pub drop: f64,
    pub duplicate: f64,
    /// The probability that a datagram is sent after the next one of its direction.
    pub reorder: f64,
}

/// The faults so far, in both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts {
    /// Datagrams forwarded, including duplicates.
    pub forwarded: u64,
    pub dropped: u64,
    pub duplicated: u64,
    pub reordered: u64,
}

/// Decides the fate of each datagram. Pure code: `T` is any type of datagram.
struct Impair<T> {
    loss: Loss,
    rng: Rng,
    counts: LossCounts,
    held: Vec<(Instant, u8, T)>,
}

impl<T: Clone> Impair<T> {
    fn new(loss: Loss) -> Self {
        Self {
            loss,
            rng: Rng::with_seed(loss.seed),
            counts: LossCounts::default(),
            held: Vec::new(),
        }
    }

    /// Takes a datagram in the direction `way`, and returns the datagrams to send, in order.
    fn pass(&mut self, way: u8, datagram: T, now: Instant) -> Vec<T> {
        if self.rng.f64() < self.loss.drop {
            self.counts.dropped += 1;
            return Vec::new();
        }
        let waiting = self.held.iter().position(|(_, held, _)| *held == way);
        if waiting.is_none() && self.rng.f64() < self.loss.reorder {
            self.held.push((now + HELD, way, datagram));
            return Vec::new();
        }
        let mut out = vec![datagram.clone()];
        if self.rng.f64() < self.loss.duplicate {
            out.push(datagram);
            self.counts.duplicated += 1;
        }
        if let Some(waiting) = waiting {
            out.push(self.held.remove(waiting).2);
            self.counts.reordered += 1;
        }
        self.counts.forwarded += out.len() as u64;
        out
    }

    /// Datagrams that were held and have not been overtaken in time.
    fn overdue(&mut self, now: Instant) -> Vec<T> {
        let due = self.held.extract_if(.., |(until, ..)| *until <= now);
        let out: Vec<T> = due.map(|(.., datagram)| datagram).collect();
        self.counts.forwarded += out.len() as u64;
        out
    }
}

/// A client of the proxy, with a socket of its own toward the machine, so that replies find their
/// client.
struct Client {
    address: SocketAddr,
    upstream: UdpSocket,
}

/// A datagram in flight, with its client.
#[derive(Clone)]
struct Datagram {
    way: u8,
    client: usize,
    bytes: Vec<u8>,
}

const TO_MACHINE: u8 = 0;
const TO_CLIENT: u8 = 1;

struct State {
    impair: Impair<Datagram>,
    record: Option<Vec<Recorded>>,
    stop: bool,
}

/// A datagram as its sender sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub to_machine: bool,
    pub bytes: Vec<u8>,
}

/// The proxy, which ends when it is dropped.
pub struct LossyUdp {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl LossyUdp {
    /// Starts a proxy in front of `port` of this machine.
    pub fn start(port: u16, loss: Loss) -> Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        front.set_nonblocking(true)?;
        let address = front.local_addr()?;
        let state =
            Arc::new(Mutex::new(State { impair: Impair::new(loss), record: None, stop: false }));
        let proxy = Proxy { front, port, clients: Vec::new(), state: Arc::clone(&state) };
        let thread = thread::Builder::new().name("lossy-udp".to_owned()).spawn(move || {
            if let Err(error) = proxy.run() {
                eprintln!("lab: the lossy UDP proxy stopped: {error:#}");
            }
        })?;
        Ok(Self { address, state, thread: Some(thread) })
    }

    /// The address to use instead of the machine's port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies this loss from now on, with counters from zero.
    pub fn set_loss(&self, loss: Loss) {
        let mut state = lock(&self.state);
        let held = std::mem::take(&mut state.impair.held);
        state.impair = Impair { held, ..Impair::new(loss) };
    }

    /// Starts to record all datagrams, including lost ones.
    pub fn record(&self) {
        lock(&self.state).record = Some(Vec::new());
    }

    /// The datagrams sent since [`LossyUdp::record`], in order. Ends the recording.
    pub fn recorded(&self) -> Vec<Recorded> {
        lock(&self.state).record.take().unwrap_or_default()
    }

    pub fn counts(&self) -> LossCounts {
        lock(&self.state).impair.counts
    }
}

impl Drop for LossyUdp {
    fn drop(&mut self) {
        lock(&self.state).stop = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Proxy {
    front: UdpSocket,
    port: u16,
    clients: Vec<Client>,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    fn run(mut self) -> Result<()> {
        let mut buffer = vec![0; 65536];
        loop {
            self.wait()?;
            loop {
                match self.front.recv_from(&mut buffer) {
                    Ok((len, from)) => {
                        let client = self.client(from)?;
                        self.pass(TO_MACHINE, client, &buffer[..len]);
                    }
                    Err(error) if nothing_came(&error) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            for client in 0..self.clients.len() {
                loop {
                    match self.clients[client].upstream.recv(&mut buffer) {
                        Ok(len) => self.pass(TO_CLIENT, client, &buffer[..len]),
                        Err(error) if nothing_came(&error) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            let due = {
                let mut state = lock(&self.state);
                if state.stop {
                    return Ok(());
                }
                state.impair.overdue(Instant::now())
            };
            self.send(due);
        }
    }

    /// Waits for a datagram, or until it is time to check held datagrams and `stop`.
    fn wait(&self) -> Result<()> {
        let mut fds = vec![PollFd::new(&self.front, PollFlags::IN)];
        fds.extend(self.clients.iter().map(|c| PollFd::new(&c.upstream, PollFlags::IN)));
        let limit = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn client(&mut self, address: SocketAddr) -> Result<usize> {
        if let Some(known) = self.clients.iter().position(|c| c.address == address) {
            return Ok(known);
        }
        let upstream = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        upstream.connect((Ipv4Addr::LOCALHOST, self.port))?;
        upstream.set_nonblocking(true)?;
        self.clients.push(Client { address, upstream });
        Ok(self.clients.len() - 1)
    }

    fn pass(&self, way: u8, client: usize, bytes: &[u8]) {
        let datagram = Datagram { way, client, bytes: bytes.to_vec() };
        let out = {
            let mut state = lock(&self.state);
            if let Some(record) = &mut state.record {
                record.push(Recorded { to_machine: way == TO_MACHINE, bytes: bytes.to_vec() });
            }
            state.impair.pass(way, datagram, Instant::now())
        };
        self.send(out);
    }

    fn send(&self, datagrams: Vec<Datagram>) {
        for Datagram { way, client, bytes } in datagrams {
            let client = &self.clients[client];
            // A datagram that cannot be sent is lost, as on any network.
            let _ = match way {
                TO_MACHINE => client.upstream.send(&bytes),
                _ => self.front.send_to(&bytes, client.address),
            };
        }
    }
}

/// No datagram to read; an earlier datagram to a closed port is reported here too.
fn nothing_came(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends numbered datagrams one way; returns those that arrive, in order, and the counts.
    fn send(loss: Loss, count: u32) -> (Vec<u32>, LossCounts) {
        let mut impair = Impair::new(loss);
        let now = Instant::now();
        let mut out: Vec<u32> = (0..count).flat_map(|n| impair.pass(0, n, now)).collect();
        out.extend(impair.overdue(now + HELD));
        (out, impair.counts)
    }

    #[test]
    fn no_loss_changes_nothing() {
        let (out, counts) = send(Loss::default(), 100);
        assert!(out.iter().copied().eq(0..100));
        assert_eq!(counts, LossCounts { forwarded: 100, ..LossCounts::default() });
    }

    #[test]
    fn the_counts_add_up_and_the_seed_decides() {
        let loss = Loss { seed: 1, drop: 0.1, duplicate: 0.1, reorder: 0.1 };
        let (out, counts) = send(loss, 10_000);
        assert_eq!(out.len() as u64, counts.forwarded);
        assert_eq!(counts.forwarded, 10_000 - counts.dropped + counts.duplicated);
        for count in [counts.dropped, counts.duplicated, counts.reordered] {
            assert!((700..1200).contains(&count), "{counts:?}");
        }
        assert_eq!(send(loss, 10_000).0, out);
        assert_ne!(send(Loss { seed: 2, ..loss }, 10_000).0, out);
    }

    #[test]
    fn what_is_reordered_goes_out_after_the_next_one() {
        let (out, counts) = send(Loss { reorder: 1.0, ..Loss::default() }, 5);
        // The fifth is not overtaken, and is sent when its time is over.
        assert_eq!(out, [1, 0, 3, 2, 4]);
        assert_eq!(counts.reordered, 2);
    }

    #[test]
    fn the_ways_do_not_overtake_each_other() {
        let mut impair = Impair::new(Loss { reorder: 1.0, ..Loss::default() });
        let now = Instant::now();
        assert!(impair.pass(0, "there", now).is_empty());
        assert!(impair.pass(1, "back", now).is_empty());
        assert!(impair.overdue(now).is_empty());
        assert_eq!(impair.overdue(now + HELD), ["there", "back"]);
    }

    #[test]
    fn datagrams_find_their_way_there_and_back() {
        let machine = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = LossyUdp::start(machine.local_addr().unwrap().port(), Loss::default()).unwrap();
        let clients = [(), ()].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let mut buffer = [0; 16];
        proxy.record();
        for (client, name) in clients.iter().zip([b"one", b"two"]) {
            client.connect(proxy.address()).unwrap();
            client.send(name).unwrap();
            let (len, from) = machine.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], name);
            machine.send_to(name, from).unwrap();
        }
        for (client, name) in clients.iter().zip([b"one", b"two"]) {
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], name);
        }
        let recorded = proxy.recorded();
        let sent = |to_machine| {
            let way = recorded.iter().filter(move |one| one.to_machine == to_machine);
            way.map(|one| one.bytes.clone()).collect::<Vec<_>>()
        };
        assert_eq!(sent(true), [b"one", b"two"]);
        assert_eq!(sent(false), [b"one", b"two"]);
        assert_eq!(proxy.recorded(), []);
    }
}
