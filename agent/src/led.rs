//! The board's LED, which shows what the agent is doing.
//!
//! | [`Activity`] | LED |
//! |---|---|
//! | `Waiting` for clients | on |
//! | `Session` of an owner | on, with a short gap each second |
//! | `Push` arrives or was just applied | flickers, ten times a second |
//! | `Pending`: waits to be confirmed | one second on, one second off |
//! | `Trouble`, which `status` explains | off, with a short flash each second |
//!
//! The kernel blinks (trigger `timer`), so an agent that is busy applying a change still shows it. At the end the
//! LED gets back its trigger, brightness and delays. A trigger with further settings, which the kernel drops with the
//! trigger, belongs to somebody else: such an LED is left alone.
//!
//! Not here: the folder of the LED (`linux/led.rs` of the binary), and which LED a board has (`board`).

use core::ffi::CStr;
use core::fmt::{self, Write as _};

use heapless::String;
use proto_core::netlink::Errno;
use proto_core::text::number;

/// What a person who looks at the router wants to know, the most urgent last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Activity {
    /// No client.
    Waiting,
    /// A client sent a request a moment ago.
    Session,
    /// Something does not run as stored, or no client can get in.
    Trouble,
    /// A configuration arrives.
    Push,
    /// A change waits to be confirmed.
    Pending,
}

/// Milliseconds for which a push stays visible after its end.
const PUSH_SHOWN: u64 = 1_000;

/// Milliseconds on and off; `None` for a light that stays on.
const fn blinks(activity: Activity) -> Option<(u32, u32)> {
    match activity {
        Activity::Waiting => None,
        Activity::Session => Some((901, 99)),
        Activity::Trouble => Some((99, 901)),
        Activity::Push => Some((49, 51)),
        Activity::Pending => Some((999, 1_001)),
    }
}

/// The folder of an LED in sysfs.
pub trait LedFolder {
    /// Reads a file, in pieces of any size.
    ///
    /// # Errors
    /// The kernel's error.
    fn read(&mut self, name: &CStr, take: &mut dyn FnMut(&[u8])) -> Result<(), Errno>;

    /// Writes a file that exists.
    ///
    /// # Errors
    /// The kernel's error.
    fn write(&mut self, name: &CStr, text: &str) -> Result<(), Errno>;
}

/// Why the LED shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedError {
    /// The kernel refused.
    Kernel(Errno),
    /// The LED has a trigger whose settings would be lost.
    InUse,
}

impl From<Errno> for LedError {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

impl fmt::Display for LedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(errno) => errno.fmt(f),
            Self::InUse => f.write_str("it has a trigger with settings of its own"),
        }
    }
}

/// A trigger that can be put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    None,
    DefaultOn,
    Heartbeat,
    Timer { on: u32, off: u32 },
}

/// An LED as it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    trigger: Trigger,
    brightness: u32,
    most: u32,
}

/// The LED of the agent.
#[derive(Debug)]
pub struct Led<F> {
    folder: F,
    found: Option<Found>,
    shown: Option<Activity>,
    /// Number of pushes at the last call, and the time until which the latest is shown.
    pushes: (u32, u64),
}

impl<F: LedFolder> Led<F> {
    /// An LED that shows nothing yet.
    pub const fn new(folder: F) -> Self {
        Self { folder, found: None, shown: None, pushes: (0, 0) }
    }

    /// Shows an activity; `pushes` is the number of pushes that have ended. A failure is returned once, and the LED is
    /// tried again at the next change.
    ///
    /// # Errors
    /// [`LedError`]: the LED shows something else.
    pub fn show(&mut self, activity: Activity, pushes: u32, now: u64) -> Result<(), LedError> {
        let (before, until) = self.pushes;
        let until = if before == pushes { until } else { now.saturating_add(PUSH_SHOWN) };
        self.pushes = (pushes, until);
        let activity = if now < until { activity.max(Activity::Push) } else { activity };
        if self.shown.replace(activity) == Some(activity) {
            return Ok(());
        }
        let found = match self.found {
            Some(found) => found,
            None => self.look()?,
        };
        self.found = Some(found);
        match blinks(activity) {
            None => self.set(&Found { trigger: Trigger::None, brightness: found.most, ..found }),
            Some((on, off)) => self.set(&Found { trigger: Trigger::Timer { on, off }, ..found }),
        }
    }

    /// Time at which a push is no longer shown.
    pub fn deadline(&self, now: u64) -> Option<u64> {
        let (_, until) = self.pushes;
        (now < until).then_some(until)
    }

    /// Puts the LED back as it was found, at the end of the agent.
    pub fn put_back(&mut self) {
        if let Some(found) = self.found.take() {
            // Best effort: the agent ends, and an LED that has gone needs nothing.
            let _ = self.set(&found);
        }
    }

    /// Reads how the LED is now.
    fn look(&mut self) -> Result<Found, LedError> {
        let most = self.number(c"max_brightness")?;
        let brightness = self.number(c"brightness")?;
        let mut name = String::<16>::new();
        let (mut inside, mut fits) = (false, true);
        self.folder.read(c"trigger", &mut |bytes| {
            for byte in bytes {
                match byte {
                    b'[' => inside = true,
                    b']' => inside = false,
                    _ if inside => fits &= name.push(char::from(*byte)).is_ok(),
                    _ => {}
                }
            }
        })?;
        let trigger = match name.as_str() {
            _ if !fits => return Err(LedError::InUse),
            "none" => Trigger::None,
            "default-on" => Trigger::DefaultOn,
            "heartbeat" => Trigger::Heartbeat,
            "timer" => {
                let (on, off) = (self.number(c"delay_on")?, self.number(c"delay_off")?);
                let all = [Activity::Session, Activity::Trouble, Activity::Push, Activity::Pending];
                // An agent that was killed has left it so: what it had found is lost.
                if all.into_iter().any(|activity| blinks(activity) == Some((on, off))) {
                    return Ok(Found { trigger: Trigger::None, brightness: most, most });
                }
                Trigger::Timer { on, off }
            }
            _ => return Err(LedError::InUse),
        };
        Ok(Found { trigger, brightness, most })
    }

    fn set(&mut self, to: &Found) -> Result<(), LedError> {
        let name = match to.trigger {
            Trigger::None => "none",
            Trigger::DefaultOn => "default-on",
            Trigger::Heartbeat => "heartbeat",
            Trigger::Timer { .. } => "timer",
        };
        self.folder.write(c"trigger", name)?;
        match to.trigger {
            // Removing a trigger turns the LED off.
            Trigger::None => self.write(c"brightness", to.brightness),
            Trigger::Timer { on, off } => {
                self.write(c"delay_on", on)?;
                self.write(c"delay_off", off)
            }
            _ => Ok(()),
        }
    }

    fn number(&mut self, name: &CStr) -> Result<u32, LedError> {
        let mut text = String::<16>::new();
        self.folder.read(name, &mut |bytes| {
            // What does not fit is no number either.
            let _ = bytes.iter().try_for_each(|byte| text.push(char::from(*byte)));
        })?;
        number(text.trim_ascii()).ok_or(LedError::Kernel(Errno::EINVAL))
    }

    fn write(&mut self, name: &CStr, number: u32) -> Result<(), LedError> {
        let mut text = String::<16>::new();
        let _ = write!(text, "{number}");
        Ok(self.folder.write(name, &text)?)
    }
}

#[cfg(test)]
mod tests;
