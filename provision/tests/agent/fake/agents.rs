//! Routers that run the real agent, over kernels and disks in memory: many on UDP in one thread, or one on a
//! pseudo-terminal.

use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};

use postwired::Simulated;
use proto_core::key::PublicKey;
use proto_core::protocol::frame;
use rustix::event::{Timespec, epoll};

use super::plug::Plugged;
use super::wire::{Worker, pty, serve};
use super::{OPERATOR, public};

/// What a test asks the thread of the routers, with the place of the router.
enum Question {
    /// What its kernel runs.
    Running(usize, Sender<String>),
    /// Its kernel refuses every change from now on, or none.
    Refuse(usize, bool),
    /// It gets no packets from now on, or gets them again.
    Deaf(usize, bool),
}

/// Routers of the operator, each on a UDP port.
pub(crate) struct Agents {
    /// Their keys and their values for `--udp`.
    pub(crate) routers: Vec<(PublicKey, String)>,
    questions: Sender<Question>,
    _worker: Worker,
}

impl Agents {
    pub(crate) fn new(count: usize) -> Self {
        let (ready, made) = mpsc::channel();
        let (questions, asked) = mpsc::channel();
        let worker = Worker::new(move |stop| {
            let (mut agents, told) = make(count);
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
                    agents[event.data.u64() as usize].serve();
                }
            }
        });
        Self { routers: made.recv().unwrap(), questions, _worker: worker }
    }

    /// What a router's kernel runs; empty if it has no interface.
    pub(crate) fn running(&self, nth: usize) -> String {
        let (sender, receiver) = mpsc::channel();
        self.questions.send(Question::Running(nth, sender)).unwrap();
        receiver.recv().unwrap()
    }

    /// Makes a router's kernel refuse every change, or none.
    pub(crate) fn refuse(&self, nth: usize, refuses: bool) {
        self.questions.send(Question::Refuse(nth, refuses)).unwrap();
    }

    /// Cuts a router's cable, or mends it.
    pub(crate) fn deaf(&self, nth: usize, deaf: bool) {
        self.questions.send(Question::Deaf(nth, deaf)).unwrap();
    }
}

struct Agent {
    router: Simulated,
    socket: UdpSocket,
    deaf: bool,
}

fn make(count: usize) -> (Vec<Agent>, Vec<(PublicKey, String)>) {
    let owner = public(&OPERATOR);
    let make = |nth| {
        let router = Simulated::new(Some(owner), &format!("8J{nth:05}"));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Agent { router, socket, deaf: false }
    };
    let agents: Vec<Agent> = (0..count).map(make).collect();
    let told = agents
        .iter()
        .map(|agent| (agent.router.key(), agent.socket.local_addr().unwrap().to_string()))
        .collect();
    (agents, told)
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

impl Agent {
    fn serve(&mut self) {
        let mut buf = [0; 2_048];
        while let Ok((len, from)) = self.socket.recv_from(&mut buf) {
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

/// Plugs in an unowned router with this serial number: `path` becomes a port.
pub(crate) fn plug(serial_number: &str, path: &Path) -> Plugged {
    let (master, slave, device) = pty();
    let serial_number = serial_number.to_owned();
    let worker = Worker::new(move |stop| {
        let mut router = Simulated::new(None, &serial_number);
        let mut answer = |packet: &[u8]| {
            let replies = router.packet(packet, None);
            router.tick();
            replies
        };
        serve(master, stop, b"", &mut |_| Vec::new(), &mut answer);
    });
    symlink(device, path).unwrap();
    Plugged::new(path, worker, slave)
}
