//! The program of `--applied`: run after each change of an interface, beside the loop. One runs at a time, in a process
//! group of its own, so that what it leaves behind can be killed and reaped with it.

use proto_core::protocol::message::Name;
use rustix::fs::{Access, Mode, OFlags, access};

use crate::linux::log::log;
use crate::linux::machine::{Path, again, errno};
use crate::linux::sys;

/// The most time that it may take, in milliseconds.
const PATIENCE: u64 = 30_000;
/// Milliseconds between two looks whether it has ended.
const LOOK: u64 = 100;

/// Added to the message about a program that cannot be run.
const JAIL: &str = "in a jail, the program, its interpreter and all it runs have to be mounted";

/// A run of the program.
struct Running {
    pid: i32,
    interface: Name,
    what: &'static str,
    until: u64,
    look: u64,
    /// Its exit code, if it has ended and left other processes behind.
    ended: Option<i32>,
    killed: bool,
}

/// The program, if there is one.
pub(crate) struct Hook<'o> {
    program: Option<&'o str>,
    running: Option<Running>,
}

impl<'o> Hook<'o> {
    /// Says at once when the program cannot be run; it is tried all the same, because it may come later.
    pub(crate) fn new(program: Option<&'o str>) -> Self {
        if let Some(program) = program
            && let Err(why) = Path::new(program)
                .and_then(|path| access(path.as_c(), Access::EXEC_OK).map_err(errno))
        {
            log(format_args!("--applied: cannot run {program}: {why} ({JAIL})"));
        }
        Self { program, running: None }
    }

    /// Time of the next [`Hook::tick`].
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.look)
    }

    /// Sees to the program that runs, and starts the next when there is something to tell.
    pub(crate) fn tick(
        &mut self,
        now: u64,
        next: &mut dyn FnMut() -> Option<(Name, &'static str)>,
    ) {
        if let Some(running) = &mut self.running {
            if now < running.look || !running.is_over(now) {
                return;
            }
            self.running = None;
        }
        while let Some((interface, what)) = next() {
            let Some(program) = self.program else { continue };
            match start(program, &interface, what) {
                Ok(pid) => {
                    let (until, look) = (now.saturating_add(PATIENCE), now.saturating_add(LOOK));
                    let (ended, killed) = (None, false);
                    self.running =
                        Some(Running { pid, interface, what, until, look, ended, killed });
                    return;
                }
                Err(why) => log(format_args!("--applied: cannot run {program}: {why}")),
            }
        }
    }
}

impl Running {
    /// Whether the program and, as far as they are ours to reap, the processes of its group have ended.
    #[inline(never)]
    fn is_over(&mut self, now: u64) -> bool {
        self.look = now.saturating_add(LOOK);
        loop {
            match sys::reap_group(self.pid) {
                Ok(Some((pid, code))) if pid == self.pid => self.ended = Some(code),
                Ok(Some(_)) => {}
                Ok(None) => break,
                // There is no process of the group left that this process has to reap.
                Err(_) => {
                    let Self { interface, what, .. } = self;
                    match self.ended {
                        _ if self.killed => {}
                        Some(0) | None => {}
                        Some(127) => log(format_args!(
                            "--applied {interface} {what}: exit code 127, as of a program that is not there ({JAIL})"
                        )),
                        Some(code) => {
                            log(format_args!("--applied {interface} {what}: exit code {code}"))
                        }
                    }
                    return true;
                }
            }
        }
        if now >= self.until && !self.killed {
            self.killed = true;
            let Self { interface, what, .. } = self;
            log(format_args!(
                "--applied {interface} {what}: not done after {} s; killed",
                PATIENCE.div_euclid(1_000)
            ));
            sys::kill_group(self.pid);
        }
        false
    }
}

/// Starts the program: `PROGRAM INTERFACE WHAT`.
fn start(program: &str, interface: &Name, what: &str) -> Result<i32, proto_core::netlink::Errno> {
    let path = Path::new(program)?;
    let mut words = heapless::Vec::<u8, 320>::new();
    for word in [program, interface, what] {
        // The longest path, name and word fit.
        let _ = words.extend_from_slice(word.as_bytes());
        let _ = words.push(0);
    }
    let null =
        again(|| rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))?;
    let input = rustix::fd::AsFd::as_fd(&null);
    sys::start(path.as_c(), &words, [Some(input), Some(sys::stderr()), None], true)
}
