//! A session over a line that is a router in the same thread, with a clock that the test sets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use proto_core::protocol::session::{
    Channel, Gatekeys, Initiation, REKEY_AFTER, SESSION_LIFE, StaticKey,
};

use super::*;
use crate::home::Home;
use crate::transport::FindError;

/// A router that echoes what it receives.
struct Echo {
    key: StaticKey,
    gate: Gatekeys,
    channels: Vec<Channel>,
    handshakes: u8,
    /// Number of packets of unknown sessions.
    lost: u32,
    deaf: bool,
}

/// The line to it.
struct Line {
    echo: Arc<Mutex<Echo>>,
    answers: VecDeque<Vec<u8>>,
    /// What is received before them.
    first: VecDeque<Result<Vec<u8>, TransportError>>,
    stray: Stray,
}

impl Transport for Line {
    fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        let mut echo = self.echo.lock().unwrap();
        if echo.deaf {
            return Ok(());
        }
        let (mut plain, mut out) = ([0; MAX_PACKET], [0; MAX_OUTER]);
        if let Some(found) = Initiation::parse(packet, &echo.gate) {
            echo.handshakes += 1;
            let opened = found.open(&echo.key, Wire::Udp, &SecretKey::new([echo.handshakes; 32]));
            let (len, channel) = opened.unwrap().respond(&mut out).unwrap();
            echo.channels.push(channel);
            self.answers.push_back(out[..len].to_vec());
            return Ok(());
        }
        for channel in &mut echo.channels {
            if let Some(len) = channel.open(packet, &mut plain) {
                let len = channel.seal(&plain[..len], &mut out).unwrap();
                self.answers.push_back(out[..len].to_vec());
                return Ok(());
            }
        }
        echo.lost += 1;
        Ok(())
    }

    fn recv(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        if let Some(first) = self.first.pop_front() {
            return first.map(Some);
        }
        if self.answers.is_empty() {
            std::thread::sleep(timeout);
        }
        Ok(self.answers.pop_front())
    }

    fn stray(&mut self) -> &mut Stray {
        &mut self.stray
    }

    fn name(&self) -> &str {
        "line"
    }

    fn baud(&self) -> Option<u32> {
        None
    }

    fn max_piece(&self) -> u16 {
        1_000
    }

    fn wire(&self) -> Wire {
        Wire::Udp
    }

    fn silence_hint(&self) -> String {
        String::new()
    }
}

type Made = (tempfile::TempDir, Arc<Mutex<Echo>>, Result<Secure, FindError>);

fn find(deaf: bool) -> Made {
    find_after(deaf, VecDeque::new())
}

fn find_after(deaf: bool, first: VecDeque<Result<Vec<u8>, TransportError>>) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::find(Some(&dir.path().join("home")), None).unwrap();
    let (operator, _) = home.generate(false).unwrap();
    let key = StaticKey::new(SecretKey::new([7; 32]));
    let (router, gate) = (key.public(), Gatekeys::of(&key.public()));
    let echo = Echo { key, gate, channels: Vec::new(), handshakes: 0, lost: 0, deaf };
    let echo = Arc::new(Mutex::new(echo));
    let (answers, stray) = (VecDeque::new(), Stray::default());
    let line = Line { echo: Arc::clone(&echo), answers, first, stray };
    let timeout = Duration::from_millis(600);
    let found = drive::one(Secure::find(Box::new(line), &operator, &[router], timeout, &mut ()));
    (dir, echo, found)
}

impl Secure {
    /// Lets time pass.
    fn later(&mut self, ms: u64) {
        self.shaker.started -= Duration::from_millis(ms);
    }

    fn echoes(&mut self, packet: &[u8]) -> bool {
        self.send(packet).unwrap();
        drive::one(self.recv(Duration::from_millis(900))).unwrap().as_deref() == Some(packet)
    }
}

#[test]
fn a_session_is_renewed_while_packets_go_on() {
    let (_dir, echo, found) = find(false);
    let mut secure = found.unwrap();
    assert!(secure.echoes(b"one"));
    assert_eq!(echo.lock().unwrap().handshakes, 1);
    let before = secure.handshake_hash();
    secure.later(REKEY_AFTER);
    // Packets sent meanwhile use the old session, and their answers arrive.
    assert!(secure.echoes(b"two"));
    assert!(secure.echoes(b"three"));
    assert_eq!(echo.lock().unwrap().handshakes, 2);
    assert_ne!(secure.handshake_hash(), before);
    assert_eq!(echo.lock().unwrap().lost, 0);
}

#[test]
fn a_session_that_is_over_is_made_anew_for_what_is_sent() {
    let (_dir, echo, found) = find(false);
    let mut secure = found.unwrap();
    secure.later(SESSION_LIFE);
    assert_eq!(drive::one(secure.recv(Duration::from_millis(1))).unwrap(), None);
    secure.later(10 * SESSION_LIFE);
    assert!(secure.echoes(b"later"));
    assert!(echo.lock().unwrap().handshakes >= 2);
    assert_eq!(echo.lock().unwrap().lost, 0);
}

#[test]
fn a_router_that_lost_the_session_gets_the_packet_in_the_next() {
    let (_dir, echo, found) = find(false);
    let mut secure = found.unwrap();
    assert!(secure.echoes(b"one"));
    echo.lock().unwrap().channels.clear();
    // Only the session itself resends it.
    assert!(secure.echoes(b"two"));
    let echo = echo.lock().unwrap();
    assert_eq!((echo.handshakes, echo.lost), (2, 1));
}

/// A router that starts: its host refuses at first.
#[test]
fn a_refusal_before_other_packets_is_no_reason_for_the_silence() {
    let refused = || {
        Err(TransportError::Passing("line".into(), std::io::ErrorKind::ConnectionRefused.into()))
    };
    for (first, code) in
        [(vec![refused()], "refused"), (vec![refused(), Ok(vec![1; 40])], "silence")]
    {
        let (_dir, _, found) = find_after(true, first.into());
        let Err(FindError::Silence { reason, .. }) = found else { panic!("{found:?}") };
        assert_eq!(reason.code(), code);
    }
}

#[test]
fn a_deaf_router_is_given_up() {
    let (_dir, _, found) = find(true);
    assert!(matches!(found, Err(FindError::Silence { line, .. }) if line == "line"));
}
