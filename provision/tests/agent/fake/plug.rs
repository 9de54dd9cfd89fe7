//! Fake routers that are plugged into serial ports and pulled out again: a path that comes and goes.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proto_core::protocol::session::Wire;

use super::wire::{Worker, pty, serve};
use super::{Manners, ROUTER, Router, Seen, public};

/// A router, plugged in or not.
#[derive(Clone)]
pub(crate) struct Unit(Arc<Mutex<Router>>);

/// A router at a port; pulled out when it is dropped.
pub(crate) struct Plugged {
    path: PathBuf,
    _worker: Worker,
    _slave: File,
}

impl Plugged {
    pub(super) fn new(path: &Path, worker: Worker, slave: File) -> Self {
        Self { path: path.into(), _worker: worker, _slave: slave }
    }
}

impl Unit {
    pub(crate) fn new(manners: Manners) -> Self {
        Self(Arc::new(Mutex::new(Router::new(manners, Wire::Serial, 1_152, 2_000))))
    }

    /// Plugs it in: `path` becomes a port.
    pub(crate) fn plug(&self, path: &Path) -> Plugged {
        let (master, slave, device) = pty();
        let router = Arc::clone(&self.0);
        let Manners { text, talks, key, .. } = router.lock().unwrap().manners.clone();
        let key = public(key.as_ref().unwrap_or(&ROUTER));
        let mut typed = move |line: &[u8]| match line {
            _ if !talks => Vec::new(),
            b"\r" => b"\r\nPostwire console; `help` lists the commands\r\nrouter> ".to_vec(),
            b"identity\r" => format!("identity\r\npublic key: {key}\r\nrouter> ").into_bytes(),
            _ => b"\r\n".to_vec(),
        };
        let worker = Worker::new(move |stop| {
            let mut answer = |packet: &[u8]| router.lock().unwrap().packet(packet);
            serve(master, stop, text, &mut typed, &mut answer);
        });
        symlink(device, path).unwrap();
        Plugged::new(path, worker, slave)
    }

    /// Changes how it behaves from now on.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        self.0.lock().unwrap().behave(change);
    }

    /// Reads the records of the router.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.0.lock().unwrap().seen.lock().unwrap())
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}
