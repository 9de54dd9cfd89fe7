//! The wires of a fleet: a few UDP sockets for all routers, and a mailbox for each router under way. What arrives is put
//! into the mailbox of its sender, and the operation of that router is polled.
//!
//! A router that is reached again, to confirm a change, is reached from another port: that the first port still works
//! says nothing about the next client, because firewalls let packets of connections through that they know.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use proto_core::protocol::frame;
use proto_core::protocol::session::Wire;

use crate::drive;
use crate::ops::Way;
use crate::transport::{Stray, Transport, TransportError, may_pass, seal, silence_hint};

/// The most packets that wait for one operation.
const MAX_WAITING: usize = 256;
/// Bytes that the system keeps for a socket, if it lets us.
#[cfg(unix)]
const RECEIVE_BUFFER: usize = 8 << 20;
/// The most datagrams that are taken in one turn, before operations get theirs.
const MOST: usize = 512;

/// Packets of one router, and what its operation has done.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    packets: Mutex<VecDeque<Vec<u8>>>,
    garbage: AtomicUsize,
    /// The operation has told the router to make a change.
    pub(super) committed: AtomicBool,
    /// No more is to be begun: an operation that has not told its router to make a change ends.
    pub(super) stop: Arc<AtomicBool>,
}

impl Mailbox {
    fn take(&self) -> Option<Vec<u8>> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The two sockets of an address family: for first sessions and for later ones.
type Pair = [Arc<UdpSocket>; 2];

/// All sockets and mailboxes.
#[derive(Debug, Default)]
pub(super) struct Hub {
    v4: Option<Pair>,
    v6: Option<Pair>,
    boxes: HashMap<SocketAddr, (usize, Arc<Mailbox>)>,
    stop: Arc<AtomicBool>,
}

/// An address as it comes with a datagram.
fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        v4 => v4,
    }
}

fn open(any: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    // Best effort: replies of many routers may come at once. Lost ones are asked for again.
    #[cfg(unix)]
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    Ok(Arc::new(socket))
}

impl Hub {
    /// Makes a way to a router for the operation `id`.
    pub(super) fn way(
        &mut self,
        id: usize,
        address: SocketAddr,
    ) -> io::Result<(HubWay, Arc<Mailbox>)> {
        let address = plain(address);
        let (pair, any): (_, SocketAddr) = match address {
            SocketAddr::V4(_) => (&mut self.v4, (Ipv4Addr::UNSPECIFIED, 0).into()),
            SocketAddr::V6(_) => (&mut self.v6, (Ipv6Addr::UNSPECIFIED, 0).into()),
        };
        let sockets = match pair {
            Some(pair) => pair.clone(),
            None => pair.insert([open(any)?, open(any)?]).clone(),
        };
        let mailbox = Arc::new(Mailbox { stop: Arc::clone(&self.stop), ..Mailbox::default() });
        self.boxes.insert(address, (id, Arc::clone(&mailbox)));
        let way =
            HubWay { sockets, address, mailbox: Arc::clone(&mailbox), opened: AtomicUsize::new(0) };
        Ok((way, mailbox))
    }

    /// Takes the mailbox of an operation away.
    pub(super) fn close(&mut self, address: SocketAddr) {
        self.boxes.remove(&plain(address));
    }

    /// Ends all operations that have not told their routers to make a change.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn sockets(&self) -> impl Iterator<Item = &Arc<UdpSocket>> {
        [&self.v4, &self.v6].into_iter().flatten().flatten()
    }

    /// Waits until something arrives, no longer than `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        #[cfg(unix)]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut fds: Vec<PollFd<'_>> =
                self.sockets().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            let timeout = Timespec {
                tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            // A signal ends the wait too.
            let _ = poll(&mut fds, Some(&timeout));
        }
        #[cfg(not(unix))]
        std::thread::sleep(timeout.min(Duration::from_millis(1)));
    }

    /// Puts what has arrived into mailboxes, and calls `woken` for each operation that got something. Returns whether
    /// there may be more.
    pub(super) fn receive(&self, mut woken: impl FnMut(usize)) -> bool {
        let mut buf = [0; 2 * frame::MAX_SEALED];
        let mut more = false;
        for socket in self.sockets() {
            for nth in 0.. {
                if nth == MOST {
                    more = true;
                    break;
                }
                let (len, from) = match socket.recv_from(&mut buf) {
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    // What the network says of one router, such as that nobody listens, comes here too on some systems.
                    Err(error) if may_pass(&error) => continue,
                    Err(_) => break,
                };
                // Nobody else is answered.
                let Some((id, mailbox)) = self.boxes.get(&plain(from)) else { continue };
                match buf.get(..len).and_then(frame::open) {
                    Some(packet) => {
                        let mut packets =
                            mailbox.packets.lock().unwrap_or_else(PoisonError::into_inner);
                        if packets.len() < MAX_WAITING {
                            packets.push_back(packet.to_vec());
                        }
                        woken(*id);
                    }
                    None => {
                        mailbox.garbage.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
        more
    }
}

/// A way to one router through the sockets of all.
#[derive(Debug)]
pub(super) struct HubWay {
    sockets: Pair,
    address: SocketAddr,
    mailbox: Arc<Mailbox>,
    opened: AtomicUsize,
}

impl Way for HubWay {
    fn open(&self, _: Duration) -> Result<Box<dyn Transport>, TransportError> {
        let again = self.opened.fetch_add(1, Ordering::Relaxed) > 0;
        let [first, later] = &self.sockets;
        let socket = Arc::clone(if again { later } else { first });
        // What is left is of a session that has ended.
        self.mailbox.packets.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let name = format!("{} (UDP)", self.address);
        let (address, mailbox) = (self.address, Arc::clone(&self.mailbox));
        Ok(Box::new(HubLine { socket, address, mailbox, name, stray: Stray::default() }))
    }
}

#[derive(Debug)]
struct HubLine {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    mailbox: Arc<Mailbox>,
    name: String,
    stray: Stray,
}

impl HubLine {
    /// Whether the run is stopping and this operation may end with it.
    fn is_stopped(&self) -> bool {
        self.mailbox.stop.load(Ordering::Relaxed) && !self.mailbox.committed.load(Ordering::Relaxed)
    }
}

impl Transport for HubLine {
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        let mut buf = [0; frame::MAX_SEALED];
        match self.socket.send_to(seal(&mut buf, packet, &self.name)?, self.address) {
            Ok(_) => Ok(()),
            // The send queue is full: to the caller a datagram that was lost on the way.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // No way there, now: a missing route, a full neighbour table, a firewall of this machine.
            Err(error) => Err(TransportError::Passing(self.name.clone(), error)),
        }
    }

    /// Only looks: waiting is `poll_recv`'s.
    fn recv(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(self.mailbox.take())
    }

    fn poll_recv(&mut self, until: Instant) -> Poll<Result<Option<Vec<u8>>, TransportError>> {
        if self.is_stopped() {
            return Poll::Ready(Err(TransportError::Interrupted));
        }
        self.stray.garbage = self.mailbox.garbage.load(Ordering::Relaxed) as u64;
        if let Some(packet) = self.mailbox.take() {
            return Poll::Ready(Ok(Some(packet)));
        }
        if Instant::now() >= until {
            return Poll::Ready(Ok(None));
        }
        drive::due(until);
        Poll::Pending
    }

    fn stray(&mut self) -> &mut Stray {
        &mut self.stray
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn baud(&self) -> Option<u32> {
        None
    }

    fn max_piece(&self) -> u16 {
        u16::MAX
    }

    fn wire(&self) -> Wire {
        Wire::Udp
    }

    fn silence_hint(&self) -> String {
        silence_hint(&self.stray)
    }
}
