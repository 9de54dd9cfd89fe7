//! The program at a terminal, with a person's keys.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::Winsize;

use super::Bench;

/// The program at a terminal.
pub(crate) struct Typed {
    child: Child,
    terminal: File,
    shown: String,
}

impl Typed {
    pub(crate) fn new(bench: &Bench, args: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let child = bench
            .command(args)
            .env("TERM", "xterm")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK).unwrap();
        Self { child, terminal: File::from(master), shown: String::new() }
    }

    /// Waits until this is on the screen, behind what was waited for before.
    pub(crate) fn sees(&mut self, text: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let mut buf = [0; 4_096];
            if let Ok(len) = self.terminal.read(&mut buf) {
                self.shown += &String::from_utf8_lossy(&buf[..len]);
            }
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < until, "no {text:?} in {:?}", self.shown);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends Ctrl-C as another program sends it. The program may have ended.
    pub(crate) fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.terminal).unwrap();
        modes.local_modes.contains(rustix::termios::LocalModes::ECHO)
    }

    /// What is on the screen, behind what was waited for.
    pub(crate) fn rest(&self) -> &str {
        &self.shown
    }

    /// Whether the program has ended, and its exit code. Takes what it wrote.
    pub(crate) fn has_ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap();
        let mut buf = [0; 4_096];
        while let Ok(len @ 1..) = self.terminal.read(&mut buf) {
            self.shown += &String::from_utf8_lossy(&buf[..len]);
        }
        status.map(|status| status.code().unwrap_or(-1))
    }

    pub(crate) fn ends(&mut self) -> i32 {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(code) = self.has_ended() {
                return code;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        panic!("it does not end: {:?}", self.shown);
    }
}
