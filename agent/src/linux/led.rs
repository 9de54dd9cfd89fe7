//! The folder of an LED in sysfs, and the LED in the event loop.

use core::ffi::CStr;

use heapless::String;
use postwired::led::{Led, LedFolder};
use proto_core::netlink::Errno;
use rustix::fs::{Mode, OFlags};
use rustix::io;

use crate::linux::log::log;
use crate::linux::machine::{Path, again, errno};
use crate::serve::event_loop::Agent;

/// Where the kernel has the LEDs.
const LEDS: &str = "/sys/class/leds/";

/// The folder of the LED with this name.
struct Folder<'o>(&'o str);

impl Folder<'_> {
    fn open(&self, name: &CStr, flags: OFlags) -> Result<rustix::fd::OwnedFd, Errno> {
        let mut path = String::<255>::new();
        for part in [LEDS, self.0, "/", name.to_str().unwrap_or_default()] {
            path.push_str(part).map_err(|_| errno(io::Errno::NAMETOOLONG))?;
        }
        let flags = flags | OFlags::CLOEXEC;
        rustix::fs::open(Path::new(&path)?.as_c(), flags, Mode::empty()).map_err(errno)
    }
}

impl LedFolder for Folder<'_> {
    fn read(&mut self, name: &CStr, take: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let file = self.open(name, OFlags::RDONLY)?;
        let mut buf = [0; 256];
        loop {
            match again(|| io::read(&file, &mut buf[..]))? {
                0 => return Ok(()),
                len => take(buf.get(..len).unwrap_or_default()),
            }
        }
    }

    fn write(&mut self, name: &CStr, text: &str) -> Result<(), Errno> {
        let file = self.open(name, OFlags::WRONLY)?;
        again(|| io::write(&file, text.as_bytes())).map(drop)
    }
}

/// The LED of `--led`, if there is one.
pub(crate) struct BoardLed<'o> {
    led: Option<(&'o str, Led<Folder<'o>>)>,
    told: bool,
    /// Time at which the activity may change without an event.
    until: Option<u64>,
}

impl<'o> BoardLed<'o> {
    pub(crate) fn new(name: Option<&'o str>) -> Self {
        Self { led: name.map(|name| (name, Led::new(Folder(name)))), told: false, until: None }
    }

    pub(crate) const fn deadline(&self) -> Option<u64> {
        self.until
    }

    /// Shows what the agent is doing. The first failure is logged; the LED is no reason to end.
    pub(crate) fn tick(&mut self, now: u64, agent: &Agent<'_>) {
        let Some((name, led)) = &mut self.led else { return };
        let (activity, pushes, until) = agent.activity(now);
        if let Err(error) = led.show(activity, pushes, now)
            && !core::mem::replace(&mut self.told, true)
        {
            log(format_args!("--led: cannot use {LEDS}{name}: {error}"));
        }
        self.until = postwired::system::sooner(until, led.deadline(now));
    }

    pub(crate) fn put_back(&mut self) {
        if let Some((_, led)) = &mut self.led {
            led.put_back();
        }
    }
}
