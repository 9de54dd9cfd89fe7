//! Many routers in memory, each on a UDP port of this machine, in one thread.

use std::borrow::ToOwned as _;
use std::format;
use std::net::UdpSocket;
use std::string::{String, ToString as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::vec::Vec;

use proto_core::key::PublicKey;
use proto_core::protocol::frame;
use rustix::event::{Timespec, epoll};

use super::{Simulated, Worker};

/// What a test asks the thread of the routers, with the place of the router.
enum Question {
    /// What its kernel runs.
    Running(usize, Sender<String>),
    /// Its kernel refuses every change from now on, or none.
    Refuse(usize, bool),
    /// It gets no packets from now on, or gets them again.
    Deaf(usize, bool),
}

/// Routers of one owner, each on a UDP port.
#[derive(Debug)]
pub struct Fleet {
    /// Their keys and their addresses, such as `127.0.0.1:40001`.
    pub routers: Vec<(PublicKey, String)>,
    questions: Sender<Question>,
    load: Arc<[AtomicU64; 2]>,
    _worker: Worker,
}

impl Fleet {
    /// Starts this many routers.
    #[must_use]
    pub fn new(owner: PublicKey, count: usize) -> Self {
        let (ready, made) = mpsc::channel();
        let (questions, asked) = mpsc::channel();
        let load = Arc::<[AtomicU64; 2]>::default();
        let counted = Arc::clone(&load);
        let worker = Worker::new(move |stop| {
            let mut agents: Vec<Agent> = (0..count).map(|nth| Agent::new(owner, nth)).collect();
            let told = agents.iter().map(|agent| (agent.router.key(), agent.address())).collect();
            ready.send(told).unwrap();
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
            for (nth, agent) in agents.iter().enumerate() {
                let data = epoll::EventData::new_u64(nth as u64);
                epoll::add(&epoll, &agent.socket, data, epoll::EventFlags::IN).unwrap();
            }
            let mut events = Vec::with_capacity(64);
            while !stop.load(Ordering::Relaxed) {
                answer(&mut agents, &asked);
                events.clear();
                let slice = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
                let _ =
                    epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&slice));
                for event in &events {
                    agents[event.data.u64() as usize].serve(&counted);
                }
            }
        });
        Self { routers: made.recv().unwrap(), questions, load, _worker: worker }
    }

    /// Number of datagrams that all of them got, and bytes of these.
    #[must_use]
    pub fn load(&self) -> (u64, u64) {
        let [count, bytes] = &*self.load;
        (count.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }

    /// What a router's kernel runs; empty if it has no interface.
    #[must_use]
    pub fn running(&self, nth: usize) -> String {
        let (sender, receiver) = mpsc::channel();
        self.questions.send(Question::Running(nth, sender)).unwrap();
        receiver.recv().unwrap()
    }

    /// Makes a router's kernel refuse every change, or none.
    pub fn refuse(&self, nth: usize, refuses: bool) {
        self.questions.send(Question::Refuse(nth, refuses)).unwrap();
    }

    /// Cuts a router's cable, or mends it.
    pub fn deaf(&self, nth: usize, deaf: bool) {
        self.questions.send(Question::Deaf(nth, deaf)).unwrap();
    }
}

fn answer(agents: &mut [Agent], asked: &Receiver<Question>) {
    while let Ok(question) = asked.try_recv() {
        match question {
            Question::Running(nth, to) => to.send(agents[nth].router.running()).unwrap(),
            Question::Refuse(nth, refuses) => agents[nth].router.refuse(refuses),
            Question::Deaf(nth, deaf) => agents[nth].deaf = deaf,
        }
    }
}

struct Agent {
    router: Simulated,
    socket: UdpSocket,
    deaf: bool,
}

impl Agent {
    fn new(owner: PublicKey, nth: usize) -> Self {
        let router = Simulated::new(Some(owner), &format!("8J{nth:05}"));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { router, socket, deaf: false }
    }

    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    fn serve(&mut self, load: &[AtomicU64; 2]) {
        let mut buf = [0; 2_048];
        while let Ok((len, from)) = self.socket.recv_from(&mut buf) {
            load[0].fetch_add(1, Ordering::Relaxed);
            load[1].fetch_add(len as u64, Ordering::Relaxed);
            let Some(packet) = frame::open(&buf[..len]).filter(|_| !self.deaf) else { continue };
            for mut reply in self.router.packet(packet, Some(from)) {
                let len = reply.len();
                reply.resize(len + frame::CRC_LEN, 0);
                // As on any wire, a datagram may be lost.
                let _ = self.socket.send_to(frame::seal(&mut reply, len).unwrap(), from);
            }
        }
        self.router.tick();
    }
}
