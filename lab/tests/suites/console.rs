//! A person at the serial line of a router, with picocom.

use super::lanes::Part;
use anyhow::{Context, Result, bail, ensure};
use lab::{
    Arch, Direction, Lab,
    rng::Rng,
    routers::{Config, Keeper},
};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use xtask::{build, packages};

type Test = fn(&mut Keeper<'_>) -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("a change by hand is confirmed, and another one taken back", by_hand),
    ("noise and broken lines run nothing", noise),
    ("a reboot in the middle of a paste", reboot),
];

fn named(test: &str) -> String {
    format!("console: {test}")
}

pub(super) fn part(seed: u64) -> Part {
    Part::new("console", TESTS.iter().map(|(test, _)| named(test)), move |tally| {
        packages::ensure_packages(&["picocom"])?;
        let agent = fs::read(build::agent(Arch::X86_64)?)?;
        let (lab, tool) = (Lab::prepare(Arch::X86_64)?, build::postwire()?);
        let mut keeper = Keeper::boot(&lab, "console", &agent, &tool, seed)?;
        keeper.options = "--shell /bin/sh";
        for (test, run) in TESTS {
            tally.test(&named(test), || {
                keeper.fresh()?;
                run(&mut keeper).with_context(|| {
                    format!("the agent said:\n{}", keeper.router.log().unwrap_or_default())
                })
            });
        }
        Ok(())
    })
}

/// How long an emulated machine may take for a line.
const PATIENCE: Duration = Duration::from_secs(120);

/// A pseudo-terminal: our end, which does not wait, and the other one, with its path.
fn terminal() -> Result<(File, File, PathBuf)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let path = PathBuf::from(OsStr::from_bytes(ptsname(&ours, Vec::new())?.as_bytes()));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(&path, flags, Mode::empty())?;
    let mut modes = tcgetattr(&theirs)?;
    modes.make_raw();
    modes.set_speed(115_200)?;
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    Ok((File::from(ours), File::from(theirs), path))
}

/// A person with picocom.
struct Person {
    keys: File,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Where in `seen` the last awaited text ended.
    at: usize,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    picocom: Child,
    _theirs: File,
}

/// The text between frames, also after the end of a frame whose beginning was missed.
fn text(bytes: &[u8]) -> String {
    let is_text = |byte: &u8| matches!(byte, 7 | 8 | b'\r' | b'\n' | 0x1b | b' '..=b'~');
    let parts = bytes.split(|byte| *byte == 0).filter(|part| part.iter().all(is_text));
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

impl Person {
    fn sits_down(port: &Path) -> Result<Self> {
        let (ours, theirs, path) = terminal()?;
        let mut person = Self::start(port, ours, theirs, &path)?;
        person.sees("Terminal ready")?;
        Ok(person)
    }

    fn start(port: &Path, ours: File, theirs: File, path: &Path) -> Result<Self> {
        let screen = || File::options().read(true).write(true).open(path);
        let mut picocom = Command::new("picocom");
        picocom.args(["-b", "115200"]).arg(port);
        picocom.stdin(screen()?).stdout(screen()?).stderr(screen()?);
        let picocom = picocom.spawn().context("starting picocom")?;
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (to, stopped, mut from) = (Arc::clone(&seen), Arc::clone(&stop), ours.try_clone()?);
        let reader = thread::spawn(move || {
            let mut buf = [0; 1024];
            while !stopped.load(Ordering::Relaxed) {
                match from.read(&mut buf) {
                    Ok(got) => to
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend_from_slice(&buf[..got]),
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        let reader = Some(reader);
        Ok(Self { keys: ours, seen, at: 0, stop, reader, picocom, _theirs: theirs })
    }

    fn screen(&self) -> String {
        text(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Types, as fast as picocom reads.
    fn types(&mut self, keys: &str) -> Result<()> {
        let mut rest = keys.as_bytes();
        let started = Instant::now();
        while !rest.is_empty() {
            match self.keys.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if started.elapsed() > PATIENCE => {
                    bail!("picocom takes no keys: {error}")
                }
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
        Ok(())
    }

    /// Waits for a text behind the last one. Returns what was printed before it.
    fn sees(&mut self, wanted: &str) -> Result<String> {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            let new = screen.get(self.at..).unwrap_or_default();
            if let Some(found) = new.find(wanted) {
                let before = new[..found].to_owned();
                self.at += found + wanted.len();
                return Ok(before);
            }
            ensure!(started.elapsed() < PATIENCE, "no `{wanted}` on the screen: {new:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Types a line, and waits for a text.
    fn asks(&mut self, line: &str, wanted: &str) -> Result<String> {
        self.types(line)?;
        self.types("\r")?;
        self.sees(wanted)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It may have ended with its port.
        let _ = self.picocom.kill();
        let _ = self.picocom.wait();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Sits down at the cable, and opens the console with a code of the owner.
fn log_in(keeper: &Keeper<'_>, port: &Path) -> Result<Person> {
    let mut person = Person::sits_down(port)?;
    person.asks("", "console> ")?;
    person.asks("show", "this console is a guest")?;
    person.asks("unlock", "challenge: ")?;
    let challenge = person.sees("\r")?;
    person.sees("code: ")?;
    let made = keeper.router.owner.run(&["unlock", &challenge, "--router", "console"])?.ok()?;
    person.asks(made.text("/result/code"), "open for 10 minutes")?;
    person.asks("more off", "console# ")?;
    Ok(person)
}

fn by_hand(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(keeper.seed), 3, 2);
    let mut person = log_in(keeper, keeper.router.vm.serial().path())?;
    person.asks("load wg0", "paste the file for wg0")?;
    person.types(&config.text().replace('\n', "\r"))?;
    person.asks(".", "would change: new interface")?;
    ensure!(keeper.router.kernel().is_err(), "wg0 is there before `commit`");
    person.asks("commit within 600", "it becomes number 1")?;
    keeper.router.sees(&config)?;
    person.asks("confirm", "confirmed: wg0 number 1")?;
    person.asks("remove wg0 within 600", "remove wg0: are you sure?")?;
    person.asks("yes", "`confirm` within 600 s")?;
    ensure!(keeper.router.kernel().is_err(), "wg0 is there after `remove`");
    person.asks("revert", "reverted: wg0")?;
    keeper.router.sees(&config)?;
    person.asks("show wg0", "listening port: 51820")?;
    person.asks("exit", "Press Enter for the Postwire console")?;
    person.asks("", "console> ")?;
    Ok(String::new())
}

fn noise(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(keeper.seed), 3, 2);
    keeper.store(&config, 1)?;
    let serial = keeper.router.vm.serial();
    let mut person = log_in(keeper, serial.path())?;
    // A break arrives as a zero, which begins a frame. The frame is given up after a second of silence.
    person.types("remove w")?;
    person.sees("remove w")?;
    serial.inject(Direction::ToGuest, &[0]);
    person.sees("?")?;
    person.types("g0\r")?;
    person.sees("the line has a byte that is no text")?;
    // A line at half the speed.
    serial.inject(Direction::ToGuest, b"\x98\xe6\xf8remove wg0\x80\r");
    person.sees("the line has a byte that is no text")?;
    person.asks("remove wg0", "are you sure?")?;
    person.asks("yesyes", "not done")?;
    person.asks("history wg0", "wg0 1: pushed")?;
    keeper.router.sees(&config)?;
    Ok(String::new())
}

fn reboot(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::new(keeper.seed), 3, 2);
    keeper.store(&config, 1)?;
    let mut person = log_in(keeper, keeper.router.vm.serial().path())?;
    person.asks("load wg0", "paste the file for wg0")?;
    person.types("[Interface]\rListenPort = 9\r")?;
    person.sees("ListenPort = 9")?;
    drop(person);
    keeper.cut_power()?;
    keeper.start()?;
    let mut person = Person::sits_down(keeper.router.vm.serial().path())?;
    // The rest of the paste.
    person.types("MTU = 1280\r.\r")?;
    person.asks("", "console> ")?;
    person.asks("commit", "this console is a guest")?;
    drop(person);
    keeper.router.sees(&config)?;
    let mut person = log_in(keeper, keeper.router.vm.serial().path())?;
    person.asks("commit", "nothing is loaded")?;
    Ok(String::new())
}
