//! A person at the serial line of a router, with picocom, while pushes go over the same cable.
//!
//! The cable forks ([`Fork`]): two programs of one computer that open the same port would each miss what the other
//! reads.

use super::lanes::Part;
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use lab::{
    Arch, Direction, Lab,
    routers::{Config, Keeper, Reach, Said, said},
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
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use xtask::{build, packages};

type Test = fn(&mut Keeper<'_>) -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("a change by hand is confirmed, and another one taken back", by_hand),
    ("the example of docs/console.md", example),
    ("commands by root on the router, and by a script on the bench", commands),
    ("noise and broken lines run nothing", noise),
    ("a file of 400 lines is pasted while a push goes over the same cable", paste),
    ("lines of the kernel in the middle of a typed line", kernel_lines),
    ("a shell, and back", shell),
    ("a reboot in the middle of a paste, and one by the shell", reboot),
    ("keys, pages, and a cable that is pulled in the middle of a line", keys),
    ("postwire console, typed at a terminal", at_the_bench),
];

/// The shell of OpenWrt's console, in short.
const LOGIN: &[u8] = b"#!/bin/sh\necho a login of the stub\nexec /bin/sh\n";

fn named(test: &str) -> String {
    format!("console: {test}")
}

pub(super) fn part(seed: u64) -> Part {
    Part::new("console", TESTS.iter().map(|(test, _)| named(test)), move |tally| {
        packages::ensure_packages(&["picocom"])?;
        let agent = fs::read(build::agent(Arch::X86_64)?)?;
        let (lab, tool) = (Lab::prepare(Arch::X86_64)?, build::postwire()?);
        // As on most routers, the line is the kernel's console too.
        let machine = lab.machine("console").with_one_port();
        let machine = machine.file("/usr/libexec/login.sh", 0o755, LOGIN).file(
            "/bin/postwired",
            0o755,
            agent,
        );
        let mut keeper = Keeper::of_machine(machine, &lab.disk("console")?, &tool, seed)?;
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

/// A cable with two ends on our side. What the router sends comes out of both; what both send goes to the router, the
/// frames of the second one whole.
struct Fork {
    person: PathBuf,
    bench: PathBuf,
    /// Number of the bench's frames that went to the router.
    frames: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Fork {
    fn new(line: &Path) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = File::from(rustix::fs::open(line, flags, Mode::empty())?);
        rustix::io::ioctl_fionbio(&line, true)?;
        let (one, kept, person) = terminal()?;
        let (two, also_kept, bench) = terminal()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, frames) = (Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&frames);
        let worker = thread::spawn(move || {
            let _open = (kept, also_kept);
            run(&line, [&one, &two], &count, &stopped);
        });
        Ok(Self { person, bench, frames, stop, worker: Some(worker) })
    }

    fn frames(&self) -> usize {
        self.frames.load(Ordering::Relaxed)
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// Passes bytes on until it is to stop, or the line is gone.
fn run(
    mut line: &File,
    [mut person, mut bench]: [&File; 2],
    frames: &AtomicUsize,
    stop: &AtomicBool,
) {
    let mut buf = [0; 1024];
    // What waits for the line, and whether the bench is in the middle of a frame.
    let (mut waiting, mut inside) = (Vec::new(), false);
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        if let Ok(got) = line.read(&mut buf) {
            idle = false;
            for mut end in [person, bench] {
                // A program that does not read misses it, as on a cable.
                let _ = end.write(&buf[..got]);
            }
        }
        // As much as a cable holds: a sender waits for the line.
        if waiting.len() < 1024 {
            if let Ok(got) = bench.read(&mut buf) {
                idle = false;
                inside = buf[..got].last() != Some(&0);
                frames.fetch_add(usize::from(!inside), Ordering::Relaxed);
                waiting.extend_from_slice(&buf[..got]);
            }
            if !inside && let Ok(got) = person.read(&mut buf) {
                idle = false;
                waiting.extend_from_slice(&buf[..got]);
            }
        }
        if !waiting.is_empty()
            && let Ok(sent) = line.write(&waiting)
        {
            idle = false;
            waiting.drain(..sent);
        }
        if idle {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A person with picocom, or another program, at a terminal.
struct Person {
    keys: File,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Where in `seen` the last awaited text ended.
    at: usize,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    program: Child,
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
        let mut picocom = Command::new("picocom");
        let mut person = Self::start(picocom.args(["-b", "115200"]).arg(port))?;
        person.sees("Terminal ready")?;
        Ok(person)
    }

    /// Starts a program at a terminal.
    fn start(program: &mut Command) -> Result<Self> {
        let (ours, theirs, path) = terminal()?;
        let screen = || File::options().read(true).write(true).open(&path);
        program.stdin(screen()?).stdout(screen()?).stderr(screen()?);
        let program = program.spawn().context("starting the person's program")?;
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
        Ok(Self { keys: ours, seen, at: 0, stop, reader, program, _theirs: theirs })
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
                    bail!("the program takes no keys: {error}")
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

    /// Waits for the first of some texts. Returns its number.
    fn sees_one(&mut self, wanted: &[&str]) -> Result<usize> {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            let new = screen.get(self.at..).unwrap_or_default();
            let found =
                wanted.iter().enumerate().filter_map(|(nth, text)| Some((new.find(text)?, nth)));
            if let Some((at, nth)) = found.min() {
                self.at += at + wanted[nth].len();
                return Ok(nth);
            }
            ensure!(started.elapsed() < PATIENCE, "none of {wanted:?} on the screen: {new:?}");
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
        let _ = self.program.kill();
        let _ = self.program.wait();
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
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 3, 2);
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

/// Types what the page tells, and sees what it shows.
fn example(keeper: &mut Keeper<'_>) -> Result<String> {
    let page = include_str!("../../../docs/console.md");
    let shown = page.split_once("OpenWrt# load wg0\n").context("no example")?.1;
    let shown = shown.split_once("```").context("the example has no end")?.0;
    let mut lines = shown.lines();
    let mut person = log_in(keeper, keeper.router.vm.serial().path())?;
    person.types("load wg0\r")?;
    person.sees(lines.next().context("no line")?)?;
    for line in lines.by_ref().take_while(|line| *line != ".") {
        person.types(line)?;
        person.types("\r")?;
    }
    person.types(".\r")?;
    for (nth, line) in lines.enumerate() {
        let between = person.sees(&line.replace("OpenWrt", "console"))?;
        ensure!(nth == 0 || between.trim().is_empty(), "before {line}: {between}");
    }
    person.asks("commit", "public key: ")?;
    let key = person.sees("\r")?;
    ensure!(keeper.sh("wg show wg0 public-key")? == key, "the key of wg0 is not {key}");
    Ok(String::new())
}

fn commands(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 3, 2);
    let (file, bad) = (config.text(), "[Interface]\nAddress = 300.1.1.1/24\n");
    // The exit code, and what goes to standard output and to standard error.
    let root = |line: &str, input: &str, code: i32| -> Result<(String, String)> {
        let vm = &keeper.router.vm;
        let said = vm.sh_with(&format!("postwired {line}"), input.as_bytes(), PATIENCE)?;
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        ensure!(said.status == code, "{line}: status {}: {} {errors}", said.status, said.text());
        Ok((said.text(), errors))
    };
    let json = |line: &str, input: &str, code: i32| -> Result<serde_json::Value> {
        let (said, errors) = root(&format!("{line} --json"), input, code)?;
        let objects = serde_json::Deserializer::from_str(&said).into_iter();
        let objects: Vec<serde_json::Value> = objects.collect::<Result<_, _>>().context(said)?;
        ensure!(errors.is_empty(), "{line} --json: {errors}");
        objects.into_iter().next_back().context("no output")
    };
    let said = root("load wg0 --check", &file, 0)?.0;
    ensure!(said.contains("would change: new interface"), "{said}");
    ensure!(keeper.router.kernel().is_err(), "--check changed something");
    let said = root("load wg0", bad, 1)?.1;
    ensure!(said.contains("line 2, column 11: "), "{said}");
    let said = json("load wg0", bad, 1)?;
    ensure!(said["remarks"][0]["line"] == 2 && said["remarks"][0]["column"] == 11, "{said}");
    let said = root("load wg0 within 5m", &file, 0)?.0;
    ensure!(said.contains("`confirm` within 300 s"), "{said}");
    keeper.router.sees(&config)?;
    ensure!(json("status", "", 0)?["pending"]["interface"] == "wg0", "nothing is pending");
    let said = json("confirm", "", 0)?;
    ensure!(said["confirmed"] == "wg0 number 1", "{said}");
    let said = json("show", "", 0)?;
    let peers = said["interfaces"][0]["peers"].as_array().map(Vec::len);
    ensure!(peers == Some(3), "{said}");
    let said = json("history", "", 0)?;
    ensure!(said["configurations"][0]["number"] == 1, "{said}");
    for line in ["owners", "diff", "log"] {
        json(line, "", 0)?;
    }
    ensure!(root("show wg9", "", 1)?.1.contains("there is no interface wg9"), "wg9?");
    ensure!(root("confirm", "", 1)?.1.contains("no change waits"), "confirmed what?");
    root("status now", "", 2)?;
    root("frobnicate", "", 2)?;
    let said = root("status --state /tmp", "", 1)?.1;
    ensure!(said.contains("cannot reach the agent in /tmp"), "{said}");

    // The bench, through a session.
    let script = |lines: &str| -> Result<Said> {
        let mut tool = keeper.router.postwire_command(&Reach::Udp, &["console"]);
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tool = tool.spawn().context("starting postwire")?;
        tool.stdin.take().context("it is a pipe")?.write_all(lines.as_bytes())?;
        lab::routers::said(&tool.wait_with_output()?)
    };
    let other = file.replace("MTU = ", "MTU = 1280\n# ");
    let said = script(&format!("status\nload wg0\n{other}.\ncommit\n"))?.ok()?;
    let last = said.json["result"]["lines"].as_array().and_then(|lines| lines.last());
    let output = last.and_then(|line| line["output"].as_str()).unwrap_or_default();
    ensure!(output.contains("stored as number 2"), "{}", said.json);
    ensure!(keeper.sh("cat /sys/class/net/wg0/mtu")? == "1280", "the MTU is not 1280");
    script("rollback wg0\nyes\nshow wg0\n")?.ok()?;
    keeper.router.sees(&config)?;
    let said = script("show wg9\nremove wg0\nyes\n")?;
    ensure!(said.code == 1, "exit code {}: {}", said.code, said.json);
    keeper.router.sees(&config)?;
    root("remove wg0", "", 0)?;
    ensure!(keeper.router.kernel().is_err(), "wg0 is there after `remove`");
    Ok(String::new())
}

fn noise(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 3, 2);
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
    // A real break is nothing to the agent. Linux takes the next key for a command of its own (SysRq), because the port is
    // its console.
    person.types("remove w")?;
    person.sees("remove w")?;
    keeper.sh("echo 0 >/proc/sys/kernel/sysrq")?;
    keeper.router.vm.send_break()?;
    person.types("\x0cg0\r")?;
    person.sees("remove wg0: are you sure?")?;
    person.asks("no", "not done")?;
    // A line at half the speed, as its bytes would arrive: an emulated port has no speed.
    serial.inject(Direction::ToGuest, b"\x98\xe6\xf8remove wg0\x80\r");
    person.sees("the line has a byte that is no text")?;
    person.asks("remove wg0", "are you sure?")?;
    person.asks("yesyes", "not done")?;
    person.asks("history wg0", "wg0 1: pushed")?;
    keeper.router.sees(&config)?;
    Ok(String::new())
}

fn paste(keeper: &mut Keeper<'_>) -> Result<String> {
    let mut rng = Rng::with_seed(keeper.seed);
    let (mut typed, mut pushed) =
        (Config::random(&mut rng, 2, 1), Config::random(&mut rng, 150, 3));
    while typed.text().lines().count() < 400 {
        typed = Config::random(&mut rng, typed.peers.len() as u32 + 1, 3);
    }
    (pushed.listen_port, pushed.table) = (51_821, "off");
    pushed.addresses = ["10.78.0.1/24".to_owned()].into();
    let lines = typed.text().lines().count();
    let fork = Fork::new(keeper.router.vm.serial().path())?;
    let mut person = log_in(keeper, &fork.person)?;
    let file = keeper.router.folder.join("wg1.conf");
    fs::write(&file, pushed.text())?;
    let path = file.to_str().context("a path that is no text")?;
    let (mut pastes, mut took, mut beside) = (0, Duration::ZERO, 0);
    let pasted = AtomicBool::new(false);
    let (owner, bench) = (&keeper.router.owner, &fork.bench);
    // One push after the other, with another MTU each time, until the file is pasted. Returns their number.
    let push = || -> Result<u32> {
        let mut pushes = 0;
        while !pasted.load(Ordering::Relaxed) {
            pushes += 1;
            pushed.mtu = 1300 + pushes;
            fs::write(&file, pushed.text())?;
            let mut command = owner.command(&["push", path, "--timeout", "120s"]);
            said(&command.arg("--serial").arg(bench).output()?)?.ok()?;
        }
        Ok(pushes)
    };
    let pushes = thread::scope(|scope| -> Result<_> {
        let push = scope.spawn(push);
        let mut paste = || -> Result<()> {
            // A machine that stands still for a second in the middle of a frame takes the rest of the frame for text. That
            // is seen, and the file is pasted again.
            loop {
                pastes += 1;
                person.types("\x03load wg0\r")?;
                person.sees("paste the file for wg0")?;
                // A push has begun.
                let before = fork.frames();
                let started = Instant::now();
                while fork.frames() == before && started.elapsed() < PATIENCE {
                    thread::sleep(Duration::from_millis(1));
                }
                let (started, before) = (Instant::now(), fork.frames());
                person.types(&typed.text().replace('\n', "\r"))?;
                person.types(".\r")?;
                let whole = format!("{lines} lines read");
                let seen = person.sees_one(&[&whole, "did not arrive as it was sent"])?;
                (took, beside) = (started.elapsed(), fork.frames() - before);
                // The push may have ended before the paste began, and the next one begun after it.
                if seen == 0 && beside > 0 {
                    return Ok(());
                }
                ensure!(pastes < 5, "no file arrived whole and beside the frames of a push");
            }
        };
        let done = paste();
        pasted.store(true, Ordering::Relaxed);
        let pushes = push.join().map_err(|_| anyhow::anyhow!("the push died"))?;
        done?;
        pushes
    })?;
    person.sees("`commit` applies this")?;
    person.asks("\x03commit", "stored as number 1")?;
    keeper.router.sees(&typed)?;
    let peers = keeper.sh("wg show wg1 peers | wc -l")?;
    ensure!(peers.trim() == "150", "wg1 has {peers} peers");
    let (bytes, took) = (typed.text().len(), took.as_secs_f32());
    Ok(format!(
        "{lines} lines, {bytes} bytes in {took:.1} s beside {beside} frames of {pushes} pushes, whole at paste number \
         {pastes}"
    ))
}

/// A message of the kernel with this text, on the console.
fn kernel_says(keeper: &Keeper<'_>, text: &str) -> Result<()> {
    keeper.sh(&format!("echo '<3>{text}' >/dev/kmsg"))?;
    Ok(())
}

fn kernel_lines(keeper: &mut Keeper<'_>) -> Result<String> {
    // The agent's port is a link to the kernel's console.
    let port = keeper.sh(&format!("readlink {}", keeper.router.vm.serial_device()))?;
    let consoles = keeper.sh("cat /proc/consoles")?;
    let console = consoles.split(' ').next().unwrap_or("none");
    ensure!(port.trim().ends_with(console), "{port}, {consoles}");
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 3, 2);
    keeper.store(&config, 1)?;
    let mut person = log_in(keeper, keeper.router.vm.serial().path())?;
    // The screen from here on has the line once as it is typed, and once after each line of the kernel.
    person.types("remove w")?;
    person.sees("remove w")?;
    for (text, typed) in [("eth9: link is up", "remove w"), ("eth9: link is down", "remove wg")] {
        kernel_says(keeper, text)?;
        let between = person.sees(text)?;
        ensure!(
            !between.contains('\n') && between.contains('['),
            "before the kernel's line: {between:?}"
        );
        let between = person.sees("console# ")?;
        ensure!(between.starts_with("\r\n"), "after the kernel's line: {between:?}");
        let between = person.sees(typed)?;
        ensure!(between.is_empty(), "before the typed line: {between:?}");
        person.types("g")?;
        person.sees("g")?;
    }
    // A message in the middle of an answer is no key either.
    person.types("\x7f0\r")?;
    person.sees("remove wg0: are you sure?")?;
    person.types("y")?;
    person.sees("y")?;
    kernel_says(keeper, "yes")?;
    person.sees("] yes")?;
    person.sees("yes or no? y")?;
    keeper.router.sees(&config)?;
    person.asks("es", "applied: ")?;
    ensure!(keeper.router.kernel().is_err(), "wg0 is there after `remove`");
    let newer = person.asks("history wg0", "wg0 2: removed by")?;
    ensure!(!newer.contains("wg0 3"), "it ran more than once: {newer}");
    Ok(String::new())
}

fn shell(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 20, 2);
    let fork = Fork::new(keeper.router.vm.serial().path())?;
    let mut person = log_in(keeper, &fork.person)?;
    // No option names it.
    person.asks("shell", "a login of the stub")?;
    person.sees("# ")?;
    person.asks("echo $((6 * 7)); tty", "42")?;
    person.sees("/dev/pts/")?;
    // Frames work meanwhile.
    let file = keeper.router.folder.join("wg0.conf");
    fs::write(&file, config.text())?;
    let words = ["push", file.to_str().context("a path that is no text")?, "--timeout", "120s"];
    let mut command = keeper.router.owner.command(&words);
    said(&command.arg("--serial").arg(&fork.bench).output()?)?.ok()?;
    keeper.router.sees(&config)?;
    person.asks("exit", "Postwire console; `help` lists the commands")?;
    person.asks("show wg0", "listening port: 51820")?;
    Ok(String::new())
}

fn reboot(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 3, 2);
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

    person.asks("shell", "# ")?;
    person.types("reboot -f\r")?;
    ensure!(keeper.router.vm.has_stopped(PATIENCE), "the machine runs after a reboot by the shell");
    drop(person);
    keeper.reboot()?;
    let mut person = Person::sits_down(keeper.router.vm.serial().path())?;
    // The keys of the shell are those of a guest.
    person.types("wg set wg0 listen-port 1\r")?;
    person.asks("", "console> ")?;
    person.asks("remove wg0", "this console is a guest")?;
    keeper.router.sees(&config)?;
    Ok(String::new())
}

fn keys(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 20, 2);
    keeper.store(&config, 1)?;
    let serial = keeper.router.vm.serial();
    let mut person = log_in(keeper, serial.path())?;
    person.types("his\t")?;
    person.sees("history ")?;
    person.types("wgx\x7f\t")?;
    person.asks("", "wg0 1: pushed")?;
    person.types("re?")?;
    person.sees("revert")?;
    person.sees("console# re")?;
    person.types("\x15more on\r")?;
    person.sees("console# ")?;
    person.asks("show wg0", "--More--")?;
    person.types(" ")?;
    person.sees("--More--")?;
    person.types("q")?;
    person.sees("console# ")?;
    // The up arrow.
    person.types("\x1b[A")?;
    person.sees("show wg0")?;
    person.types("\x15remove w")?;
    person.sees("remove w")?;
    serial.cut(true);
    person.types("g0\ryes\r")?;
    let lost = |serial: &lab::SerialLine| serial.counts(Direction::ToGuest).swallowed;
    let started = Instant::now();
    while lost(serial) < 7 && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(2));
    }
    serial.cut(false);
    // The rest never arrived: the refusal names what did, and no question waits for the `yes`.
    person.asks("", "w: the agent is not allowed to change this interface")?;
    person.asks("history wg0", "wg0 1: pushed")?;
    keeper.router.sees(&config)?;
    Ok(String::new())
}

fn at_the_bench(keeper: &mut Keeper<'_>) -> Result<String> {
    let config = Config::random(&mut Rng::with_seed(keeper.seed), 3, 2);
    keeper.store(&config, 1)?;
    let mut tool = Command::new(build::postwire()?);
    tool.args(["console", "--timeout", "120s"]).args(Reach::Udp.link(&keeper.router.vm));
    tool.env("POSTWIRE_HOME", keeper.router.owner.home()).env("TERM", "vt100");
    let mut person = Person::start(&mut tool)?;
    person.sees("console# ")?;
    person.asks("show wg0", "listening port: 51820")?;
    person.types("his\t")?;
    person.sees("history ")?;
    person.asks("wg0", "wg0 1: pushed")?;
    person.asks("remove wg0 within 600", "are you sure?")?;
    person.asks("yes", "`confirm` within 600 s")?;
    ensure!(keeper.router.kernel().is_err(), "wg0 is there after `remove`");
    person.asks("revert", "reverted: wg0")?;
    keeper.router.sees(&config)?;
    person.asks("exit", "\n")?;
    let status = person.program.wait()?;
    ensure!(status.success(), "postwire console ended with {status}: {}", person.screen());
    Ok(String::new())
}
