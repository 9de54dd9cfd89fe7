//! Fake routers that are plugged into serial ports and pulled out again: a path that comes and goes.

use std::path::Path;
use std::sync::{Arc, Mutex};

use postwired::simulated::Plugged;
use proto_core::protocol::session::Wire;

use super::{Manners, ROUTER, Router, Seen, public};

/// A router, plugged in or not.
#[derive(Clone)]
pub(crate) struct Unit(Arc<Mutex<Router>>);

impl Unit {
    pub(crate) fn new(manners: Manners) -> Self {
        Self(Arc::new(Mutex::new(Router::new(manners, Wire::Serial, 1_152, 2_000))))
    }

    /// Plugs it in: `path` becomes a port.
    pub(crate) fn plug(&self, path: &Path) -> Plugged {
        let (router, console) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let text = router.lock().unwrap().manners.text;
        let typed = move |line: &[u8]| {
            let Manners { talks, key, .. } = console.lock().unwrap().manners.clone();
            let key = public(key.as_ref().unwrap_or(&ROUTER));
            match line {
                _ if !talks => Vec::new(),
                b"\r" => b"\r\nPostwire console; `help` lists the commands\r\nrouter> ".to_vec(),
                b"identity\r" => format!("identity\r\npublic key: {key}\r\nrouter> ").into_bytes(),
                _ => b"\r\n".to_vec(),
            }
        };
        Plugged::new(path, None, text, typed, move || {
            move |packet: &[u8]| router.lock().unwrap().packet(packet)
        })
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
