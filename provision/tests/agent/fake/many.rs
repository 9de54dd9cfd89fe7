//! Many fake routers on UDP, in one thread.

use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use postwired::simulated::Worker;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::frame;
use proto_core::protocol::session::Wire;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Manners, Router, Seen, public};

/// The routers.
pub(crate) struct Many {
    routers: Vec<Arc<Mutex<Router>>>,
    /// Their values for `--udp`.
    pub(crate) addresses: Vec<String>,
    _worker: Worker,
}

/// The key of a router.
fn secret(nth: usize) -> SecretKey {
    let mut bytes = [0x5a; 32];
    // Behind the bits that are cleared in a key.
    bytes[8..16].copy_from_slice(&(nth as u64).to_le_bytes());
    SecretKey::new(bytes)
}

impl Many {
    pub(crate) fn new(count: usize, manners: impl Fn(usize) -> Manners) -> Self {
        let mut routers = Vec::new();
        let mut sockets = Vec::new();
        for nth in 0..count {
            let manners = Manners { key: Some(secret(nth)), ..manners(nth) };
            let router = Router::new(manners, Wire::Udp, 1_152, 16_000);
            routers.push(Arc::new(Mutex::new(router)));
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            sockets.push(socket);
        }
        let addresses = sockets.iter().map(|s| s.local_addr().unwrap().to_string()).collect();
        let served = routers.clone();
        let worker = Worker::new(move |stop| {
            let mut buf = [0; 2_048];
            while !stop.load(Ordering::Relaxed) {
                let mut fds: Vec<_> = sockets
                    .iter()
                    .map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN))
                    .collect();
                let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }));
                let ready: Vec<usize> =
                    (0..fds.len()).filter(|&nth| !fds[nth].revents().is_empty()).collect();
                for nth in ready {
                    while let Ok((len, from)) = sockets[nth].recv_from(&mut buf) {
                        let packet = frame::open(&buf[..len]).expect("a sealed packet");
                        let replies = served[nth].lock().unwrap().packet(packet);
                        for mut reply in replies {
                            let len = reply.len();
                            reply.resize(len + frame::CRC_LEN, 0);
                            let sealed = frame::seal(&mut reply, len).unwrap();
                            sockets[nth].send_to(sealed, from).unwrap();
                        }
                    }
                }
            }
        });
        Self { routers, addresses, _worker: worker }
    }

    /// The public key of a router.
    pub(crate) fn key(nth: usize) -> PublicKey {
        public(&secret(nth))
    }

    /// Reads the records of a router.
    pub(crate) fn with<T>(&self, nth: usize, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.routers[nth].lock().unwrap().seen.lock().unwrap())
    }

    /// Changes how a router behaves from now on.
    pub(crate) fn behave(&self, nth: usize, change: impl FnOnce(&mut Manners)) {
        self.routers[nth].lock().unwrap().behave(change);
    }

    /// The number of commits of each router.
    pub(crate) fn commits(&self) -> Vec<u32> {
        (0..self.routers.len()).map(|nth| self.with(nth, |seen| seen.commits)).collect()
    }
}
