//! Detects a starting router by the text on its console, and when the bench may send again.
//!
//! Any byte stops most boot loaders, and OpenWrt's preinit reads a line after its question about failsafe mode. So the
//! bench sends nothing from the first sign of a boot loader or of a starting kernel until the router is up: the last
//! line of a start was seen, or the line was quiet for long enough, or a packet of the agent arrived.
//!
//! ```text
//! boot loader --> kernel, preinit --> console offered --> complete --> up
//!      |                 |                  |                |
//!   30 s quiet       15 s quiet          5 s quiet        1 s quiet
//! ```
//!
//! A kernel line alone does not prove a start: plugging in a USB stick prints one too. Where the bench has not seen the
//! beginning, kernel lines hold it up only while the kernel is young, and for half a minute at most.
//!
//! Not here: reading the line, and messages for the user.

use std::time::{Duration, Instant};

/// The longest line that is looked at. The beginning of a longer one is.
const MAX_LINE: usize = 160;
/// How long a router may take to start before the bench gives up.
pub(super) const LIMIT: Duration = Duration::from_secs(180);
/// How long unknown text keeps the bench from its first packet after the text's last byte, and in all.
const TEXT_QUIET: Duration = Duration::from_millis(1_100);
const TEXT_LIMIT: Duration = Duration::from_secs(5);
/// How long a prompt stands still before a boot loader counts as stopped.
const PROMPT_QUIET: Duration = Duration::from_millis(700);
/// Kernel lines of a younger kernel belong to a start, in microseconds since the kernel began.
const YOUNG: u64 = 120_000_000;
/// A kernel this young was started just now.
const NEW_BORN: u64 = 1_000_000;

/// How far a start is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// Text that says nothing about a start.
    Text,
    /// Kernel lines of a start whose beginning was not seen.
    Late,
    /// A boot loader.
    Loader,
    /// A kernel, from its beginning.
    Kernel,
    /// The question about failsafe mode.
    Question,
    /// The console was offered; services start.
    Offered,
    /// The last words of a start.
    Complete,
}

impl Stage {
    /// How long the line has to be quiet before the bench goes on.
    const fn quiet(self) -> Duration {
        match self {
            Self::Text => TEXT_QUIET,
            Self::Loader => Duration::from_secs(30),
            Self::Kernel | Self::Question => Duration::from_secs(15),
            Self::Late => Duration::from_secs(6),
            Self::Offered => Duration::from_secs(5),
            Self::Complete => Duration::from_secs(1),
        }
    }

    /// How long the stage may last. The bench gives up at [`LIMIT`], and goes on at the others.
    const fn limit(self) -> Duration {
        match self {
            Self::Text => TEXT_LIMIT,
            Self::Loader | Self::Kernel | Self::Question => LIMIT,
            Self::Late => Duration::from_secs(30),
            Self::Offered => Duration::from_secs(60),
            Self::Complete => Duration::from_secs(10),
        }
    }
}

/// Why the bench may not send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hold {
    /// Text comes in that says nothing about a start.
    Text,
    /// The router starts.
    Starting,
    /// The router has been starting for too long.
    TooLong,
    /// A boot loader has stopped at this prompt.
    Stopped(String),
}

/// The watcher of a line.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    line: Vec<u8>,
    stage: Option<Stage>,
    /// When the stage began, and when the start did.
    since: Instant,
    began: Instant,
    /// The last byte.
    heard: Instant,
    /// Whether the router is up, or is taken to be: a packet of it arrived, or its start is over.
    up: bool,
    /// Whether unknown text has had its time.
    text_over: bool,
}

impl Boot {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            line: Vec::new(),
            stage: None,
            since: now,
            began: now,
            heard: now,
            up: false,
            text_over: false,
        }
    }

    /// Takes bytes as they come from the line, frames among them.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        // What was over before these bytes stays over.
        self.expire(now);
        self.heard = now;
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    self.look(now);
                    self.line.clear();
                }
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => {}
            }
        }
        self.look(now);
        if self.stage.is_none() && !self.up && !self.text_over {
            self.enter(Stage::Text, now);
        }
    }

    /// Notes a packet of the router: its agent runs.
    pub(super) fn packet(&mut self) {
        (self.up, self.stage) = (true, None);
    }

    /// Notes that the bench sends: it has listened for long enough.
    pub(super) fn sent(&mut self) {
        self.text_over = true;
    }

    /// Whether the router is starting, as far as it was heard.
    pub(super) fn starts(&self) -> bool {
        self.stage.is_some_and(|stage| stage > Stage::Text)
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        if self.stage != Some(stage) {
            if self.stage.is_none_or(|stage| stage == Stage::Text) {
                self.began = now;
            }
            (self.stage, self.since) = (Some(stage), now);
        }
    }

    /// Looks at the line so far.
    fn look(&mut self, now: Instant) {
        let Some(seen) = classify(&self.line) else { return };
        let stage = match (seen, self.stage) {
            // A boot loader is always a new start.
            (Seen::Loader, Some(Stage::Loader)) => return,
            (Seen::Loader, _) => {
                self.up = false;
                self.began = now;
                Stage::Loader
            }
            (Seen::KernelStarts, _) => {
                self.up = false;
                Stage::Kernel
            }
            (Seen::Kernel(age), _) if age < NEW_BORN => {
                self.up = false;
                Stage::Kernel
            }
            // A router that answers, or that said that it is up.
            (Seen::Kernel(_) | Seen::Offered | Seen::Complete, _) if self.up => return,
            (Seen::Kernel(age), Some(Stage::Loader)) if age < YOUNG => Stage::Kernel,
            (Seen::Kernel(age), None | Some(Stage::Text)) if age < YOUNG => Stage::Late,
            (Seen::Kernel(_), _) => return,
            (Seen::Question, _) => {
                self.up = false;
                Stage::Question
            }
            (Seen::Offered, Some(Stage::Offered | Stage::Complete)) => return,
            (Seen::Offered, _) => Stage::Offered,
            (Seen::Complete, _) => Stage::Complete,
        };
        self.enter(stage, now);
    }

    /// Ends a stage whose time is over.
    fn expire(&mut self, now: Instant) {
        let Some(stage) = self.stage else { return };
        let quiet = now.saturating_duration_since(self.heard) >= stage.quiet();
        let long = now.saturating_duration_since(self.since) >= stage.limit();
        if quiet || (long && stage.limit() < LIMIT) {
            self.stage = None;
            // Text that goes on for ever is a console that talks. What talks after a start does as well, and its kernel
            // lines mean nothing more.
            self.text_over |= long || stage > Stage::Text;
            self.up |= stage > Stage::Text;
        }
    }

    /// Why nothing may be sent now.
    pub(super) fn hold(&mut self, now: Instant) -> Option<Hold> {
        let still = now.saturating_duration_since(self.heard) >= PROMPT_QUIET;
        if let Some(prompt) = prompt(&self.line, self.stage).filter(|_| still && !self.up) {
            return Some(Hold::Stopped(prompt.into()));
        }
        self.expire(now);
        Some(match self.stage? {
            Stage::Text => Hold::Text,
            _ if now.saturating_duration_since(self.began) >= LIMIT => Hold::TooLong,
            _ => Hold::Starting,
        })
    }
}

/// What a line says about a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Loader,
    /// The loader has let go.
    KernelStarts,
    /// A line of the kernel, and the kernel's age in microseconds.
    Kernel(u64),
    Question,
    Offered,
    Complete,
}

/// Words of boot loaders, in lower case: U-Boot and its first stages, those of chip makers, RedBoot, Breed, CFE, RouterBOOT,
/// and what U-Boot says while it loads an image.
const LOADER: &[&str] = &[
    "hit any key",
    "press any key",
    "any key to",
    "autoboot",
    "auto boot",
    "u-boot ",
    "u-boot(",
    "uboot ",
    "redboot",
    "== executing boot script",
    "enter ^c to abort",
    "breed",
    "cfe version",
    "auto run second count down",
    "routerboot",
    "press ctrl",
    "tftp server",
    "notice:  bl",
    "boot menu",
    "please choose the operation",
    "system boot system code",
    "## booting",
    "## loading",
    "image name:",
    "image type:",
    "data size:",
    "load address:",
    "entry point:",
    "verifying checksum",
    "verifying hash",
    "bytes read:",
    "loading environment",
    "trying to boot from",
    "sf: detected",
    "dram:",
    "ddr calibration",
    "bootrom",
    "boot rom",
];

/// The last words of a boot loader and the first of a kernel.
const KERNEL_STARTS: &[&str] = &[
    "starting kernel",
    "uncompressing kernel",
    "uncompressing linux",
    "transferring control to linux",
    "booting linux",
    "linux version",
    "starting application at",
    "now booting the kernel",
    "jump to kernel",
    "handing control over to",
];

fn classify(line: &[u8]) -> Option<Seen> {
    let text = String::from_utf8_lossy(line).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if has(&["to enter failsafe mode", "to select the debug level"]) {
        return Some(Seen::Question);
    }
    if has(&["- init complete -", "busybox v"]) || is_linux_prompt(&text) {
        return Some(Seen::Complete);
    }
    if has(&["please press enter to activate this console"]) {
        return Some(Seen::Offered);
    }
    if has(KERNEL_STARTS) {
        return Some(Seen::KernelStarts);
    }
    if let Some(age) = kernel_age(&text) {
        return Some(Seen::Kernel(age));
    }
    (has(LOADER) || is_countdown(line)).then_some(Seen::Loader)
}

/// The age in a line of the kernel, `[    1.234567] text`, in microseconds.
fn kernel_age(text: &str) -> Option<u64> {
    let (seconds, rest) = text.trim_start().strip_prefix('[')?.split_once('.')?;
    let (fraction, _) = rest.split_once(']')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() != 6 || !digits(fraction) {
        return None;
    }
    let seconds = seconds.trim_start();
    let age: u64 = seconds.parse().ok().filter(|_| digits(seconds))?;
    Some(age.saturating_mul(1_000_000).saturating_add(fraction.parse().ok()?))
}

/// A login or shell prompt.
fn is_linux_prompt(text: &str) -> bool {
    let text = text.trim_end();
    text.ends_with(" login:")
        || (text.ends_with('#') && text.starts_with("root@"))
        || text == "/ #"
        || text == "~ #"
}

/// Numbers that are written over each other: a countdown.
fn is_countdown(line: &[u8]) -> bool {
    let erased = line.iter().filter(|byte| **byte == 8).count();
    let digits = line.iter().filter(|byte| byte.is_ascii_digit()).count();
    erased > 0
        && (1..=24).contains(&digits)
        && line.iter().all(|byte| matches!(byte, 8 | b' ' | b'.' | b's') || byte.is_ascii_digit())
}

/// Prompts of boot loaders that need no other proof.
const PROMPTS: &[&str] = &["=>", "u-boot>", "uboot>", "redboot>", "cfe>", "breed>", "routerboot>"];

/// The prompt of a boot loader, if the line is one: no line end follows.
fn prompt(line: &[u8], stage: Option<Stage>) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?.trim();
    let lower = text.to_ascii_lowercase();
    let known = PROMPTS.contains(&lower.as_str());
    // After a boot loader's words, whatever ends as prompts do: `MT7621 # `, `ath> `, `(IPQ) # `.
    let looks_so = stage == Some(Stage::Loader)
        && text.len() <= 24
        && text.ends_with(['>', '#'])
        && !text.contains('@')
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    (known || looks_so).then_some(text)
}

#[cfg(test)]
mod tests;
