//! The agent's process on this machine: its start, the failures that it survives, and the resources
//! that it waits for. No kernel with WireGuard is needed.

mod console;
mod places;
mod screen;
mod unlock;

use super::lanes::Part;
use anyhow::{Context, Result, bail, ensure};
use lab::Arch;
use proto_core::protocol::{
    frame,
    session::{FOUND, LabelKey, seek},
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr},
};
use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use xtask::build;

type Test = fn(&Router) -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("a log whose reader is gone does not end the agent", reader_is_gone),
    ("a log without a reader does not stop the agent", log_is_full),
    ("a hang-up does not end the agent", hang_up),
    ("a start without standard streams opens no file in their place", closed_streams),
    ("one folder for --keep and --state is refused with an error", one_folder),
    ("a damaged identity or list of owners is waited for", damaged_files),
    ("what stands in the place of a file is removed, and lends it no permissions", leftovers),
    ("a label that cannot be read does not end the agent", label),
    ("a serial port that is missing is waited for", missing_port),
    ("a UDP address that is taken is waited for", taken_address),
    ("replies leave from the address of the request", address_that_was_asked),
    ("settings of the serial port that another program changes are set back", changed_settings),
    ("a serial line without a reader delays no UDP client", line_is_full),
    ("an agent that ended without a message is reported", without_a_word),
    ("an interface for UDP is waited for, left and found again", places::interfaces),
    ("UDP stays closed until there is an owner", places::closed),
    ("process 1 of a jail ends when it is asked to", places::process_one),
    ("information goes to standard output, and errors to standard error", places::outputs),
    ("a code opens the console for its owner, once", unlock::unlock),
    ("a log on the console's own port leaves the typed line", console::own_log),
    ("shells that outlive their terminals leave no process behind", console::shells),
    ("the console at a terminal, and the terminal afterwards", console::at_a_terminal),
    ("a login behind the one in which the console was taken", console::take_late),
];

fn named(test: &str) -> String {
    format!("start: {test}")
}

pub(super) fn part() -> Part {
    let names = TESTS.iter().map(|(test, _)| named(test));
    Part::new("the agent's process", names, |tally| {
        let agent = build::agent(Arch::X86_64)?;
        for (number, (test, run)) in TESTS.iter().enumerate() {
            tally.test(&named(test), || {
                let folder = build::target_folder().join("start").join(number.to_string());
                let _ = fs::remove_dir_all(&folder);
                fs::create_dir_all(&folder)?;
                run(&Router::new(&agent, folder)?)
            });
        }
        Ok(())
    })
}

/// Time limit of an operation that should be immediate.
const PATIENCE: Duration = Duration::from_secs(30);
/// The secret on the router's label.
const LABEL: &str = "ABCD-EFGH-JKLM-NPQR";

/// A router's files, and its UDP port.
struct Router {
    agent: PathBuf,
    folder: PathBuf,
    port: u16,
    /// The length of the log when an agent was started last.
    started: AtomicUsize,
}

/// A running agent.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.id().cast_signed()).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks the agent to end, and waits until it has ended.
    fn end(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended()
    }

    /// Waits until the agent has ended.
    fn ended(&mut self) -> Result<ExitStatus> {
        let mut ended = None;
        until("the agent ends", || {
            ended = self.0.try_wait()?;
            Ok(ended.is_some())
        })?;
        ended.context("no status")
    }

    fn ends_well(&mut self) -> Result<()> {
        let status = self.end()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

/// Waits until a condition holds.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !is_so()? {
        ensure!(since.elapsed() < PATIENCE, "it did not happen: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Router {
    fn new(agent: &Path, folder: PathBuf) -> Result<Self> {
        // A port that is currently free.
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(folder.join("label"), LABEL)?;
        Ok(Self { agent: agent.to_owned(), folder, port, started: AtomicUsize::new(0) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The command that serves UDP, with its log in a file.
    fn command(&self) -> Result<Command> {
        self.command_on("127.0.0.1")
    }

    /// The command that serves UDP on another address.
    fn command_on(&self, address: &str) -> Result<Command> {
        let mut command = Command::new(&self.agent);
        command.args(["serve", "--udp", &format!("{address}:{}", self.port)]);
        for name in ["keep", "state"] {
            command.arg(format!("--{name}")).arg(self.path(name));
        }
        command.arg("--label-secret").arg(self.path("label"));
        let log = self.log_file()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// The file for the log of an agent that starts now.
    fn log_file(&self) -> Result<File> {
        let log = File::options().create(true).append(true).open(self.path("log"))?;
        self.started.store(self.log()?.len(), Ordering::Relaxed);
        Ok(log)
    }

    fn start(&self, more: &[&OsStr]) -> Result<Running> {
        let running = Running(self.command()?.args(more).spawn()?);
        self.answers()?;
        Ok(running)
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path("log"))?)
    }

    fn says(&self, words: &str) -> Result<()> {
        let is_said = |log: &str| {
            log.get(self.started.load(Ordering::Relaxed)..).is_some_and(|log| log.contains(words))
        };
        let said = until(words, || Ok(is_said(&self.log()?)));
        said.with_context(|| format!("the log: {}", self.log().unwrap_or_default()))
    }

    /// Waits until the agent answers a search over UDP by a client that knows the label. Returns
    /// the duration.
    fn answers(&self) -> Result<Duration> {
        let since = Instant::now();
        until("it answers over UDP", || self.asks(Duration::from_millis(200)))?;
        Ok(since.elapsed())
    }

    /// Whether a search gets an answer.
    fn asks(&self, wait: Duration) -> Result<bool> {
        self.asks_at(Ipv4Addr::LOCALHOST.into(), wait)
    }

    /// Whether a search at another address gets an answer. A connected client receives only
    /// datagrams from that address.
    fn asks_at(&self, address: IpAddr, wait: Duration) -> Result<bool> {
        let any: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, self.port))?;
        socket.set_read_timeout(Some(wait))?;
        let mut packet = [0; 1500];
        let len = seek_packet(true, &mut packet)?;
        let sealed = frame::seal(&mut packet, len).ok().context("it fits")?;
        let mut answer = [0; 1500];
        let got = socket.send(sealed).and_then(|_| socket.recv(&mut answer));
        Ok(got.is_ok_and(|len| len > 1 && answer[0] == FOUND))
    }
}

fn seek_packet(label: bool, packet: &mut [u8]) -> Result<usize> {
    let label = LabelKey::of(LABEL).filter(|_| label);
    seek(&[7; 16], label.as_ref(), packet).context("it fits")
}

/// A pseudo-terminal: the test's end, and the path of the agent's end.
fn terminal() -> Result<(File, PathBuf)> {
    let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&end)?;
    unlockpt(&end)?;
    let name = ptsname(&end, Vec::new())?;
    rustix::fs::fcntl_setfl(&end, OFlags::RDWR | OFlags::NONBLOCK)?;
    Ok((File::from(end), PathBuf::from(OsStr::from_bytes(name.as_bytes()))))
}

/// A frame with a search on a serial line.
fn seek_frame() -> Result<Vec<u8>> {
    struct Bytes(Vec<u8>);
    impl embedded_io::ErrorType for Bytes {
        type Error = std::convert::Infallible;
    }
    impl embedded_io::Write for Bytes {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, std::convert::Infallible> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> Result<(), std::convert::Infallible> {
            Ok(())
        }
    }
    let mut packet = [0; 1500];
    let len = seek_packet(false, &mut packet)?;
    let mut frame = Bytes(Vec::new());
    let _ = frame::write_serial(&mut frame, &mut packet, len);
    Ok(frame.0)
}

/// Whether the agent answers on its serial line.
fn answers_on(line: &mut File) -> Result<bool> {
    line.write_all(&seek_frame()?)?;
    thread::sleep(Duration::from_millis(200));
    let mut deframer = frame::Deframer::new();
    let mut buf = [0; 4096];
    let mut found = false;
    while let Ok(len @ 1..) = line.read(&mut buf) {
        let mut input = buf.get(..len).unwrap_or_default();
        while let Some(received) = deframer.next(&mut input) {
            found |= matches!(received, frame::Received::Packet([FOUND, ..]));
        }
    }
    Ok(found)
}

fn reader_is_gone(router: &Router) -> Result<String> {
    let (reader, writer) = io::pipe()?;
    let mut running =
        Running(router.command()?.stdout(writer.try_clone()?).stderr(writer).spawn()?);
    router.answers()?;
    drop(reader);
    // The agent logs the signal, without a reader. SIGPIPE would have killed it.
    running.ends_well()?;
    Ok(String::new())
}

fn log_is_full(router: &Router) -> Result<String> {
    let (mut reader, mut writer) = io::pipe()?;
    let flags = rustix::fs::fcntl_getfl(&writer)?;
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags)?;
    let mut running =
        Running(router.command()?.stdout(writer.try_clone()?).stderr(writer).spawn()?);
    router.answers()?;
    // Now the log is read.
    let mut buf = vec![0; 1 << 16];
    let len = reader.read(&mut buf)?;
    running.ends_well()?;
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    ensure!(rest.contains("log lines were dropped"), "it said: {rest}");
    ensure!(rest.contains("asked to end"), "it said: {rest}");
    Ok(format!("{len} bytes stood in its way"))
}

fn hang_up(router: &Router) -> Result<String> {
    let mut running = router.start(&[])?;
    running.signal(Signal::HUP)?;
    running.signal(Signal::PIPE)?;
    router.answers()?;
    running.ends_well()?;
    Ok(String::new())
}

fn closed_streams(router: &Router) -> Result<String> {
    let command = router.command()?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]);
    shell.arg(command.get_program()).args(command.get_args());
    let mut running = Running(shell.spawn()?);
    router.answers()?;
    for fd in 0..3 {
        let to = fs::read_link(format!("/proc/{}/fd/{fd}", running.0.id()))?;
        ensure!(to == Path::new("/dev/null"), "{fd} is {}", to.display());
    }
    running.ends_well()?;
    Ok(String::new())
}

fn one_folder(router: &Router) -> Result<String> {
    fs::create_dir(router.path("one"))?;
    symlink(router.path("one"), router.path("other"))?;
    let mut said = String::new();
    for state in ["one", "one/", "other", "../4/one"] {
        let mut command = Command::new("timeout");
        command.arg("20").arg(&router.agent).args(["serve", "--udp", "127.0.0.1:1", "--keep"]);
        let output =
            command.arg(router.path("one")).arg("--state").arg(router.path(state)).output()?;
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{state}: {} {said}", output.status);
        ensure!(said.contains("--keep") && said.contains("--state"), "{said}");
    }
    Ok(said.trim().to_owned())
}

fn damaged_files(router: &Router) -> Result<String> {
    router.start(&[])?.ends_well()?;
    let identity = fs::read(router.path("keep/identity"))?;
    for name in ["identity", "owners"] {
        let path = router.path("keep").join(name);
        fs::write(&path, &identity[..identity.len() - 1])?;
        fs::remove_file(router.path("log"))?;
        let mut running = Running(router.command()?.spawn()?);
        router.says("is damaged; until the agent can read it")?;
        router.says("listening on UDP")?;
        ensure!(!router.asks(Duration::from_millis(500))?, "{name} is damaged, and it answers");
        if name == "owners" {
            fs::remove_file(&path)?;
        } else {
            fs::write(&path, &identity)?;
        }
        router.answers()?;
        running.ends_well()?;
    }
    ensure!(fs::read(router.path("keep/identity"))? == identity, "the identity is another one");
    Ok(String::new())
}

/// Puts something in the place of a file.
type Make<'m> = dyn Fn(&Path) -> io::Result<()> + 'm;

/// The files that the agent makes have names that something else may have after a crash, or from a backup.
fn leftovers(router: &Router) -> Result<String> {
    let outside = router.path("outside");
    let kinds: [(&str, &Make<'_>); 5] = [
        ("a file that others can read", &|path| {
            fs::write(path, "left")?;
            fs::set_permissions(path, Permissions::from_mode(0o644))
        }),
        ("a second name of a file", &|path| fs::hard_link(&outside, path)),
        ("a symbolic link", &|path| symlink(&outside, path)),
        ("a folder", &|path| fs::create_dir(path)),
        ("a pipe", &|path| Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0)?)),
    ];
    let kept = ["new", "next"].map(|name| ("keep", name));
    let names = ["index", "extras", "report", "output", "paste", "stage", "hosts", "new"];
    let all = names.map(|name| ("state", name)).into_iter().chain(kept);
    for (kind, make) in kinds {
        for folder in ["keep", "state"] {
            let _ = fs::remove_dir_all(router.path(folder));
            fs::create_dir(router.path(folder))?;
        }
        fs::write(&outside, "of somebody else")?;
        for (folder, name) in all.clone() {
            make(&router.path(folder).join(name)).with_context(|| format!("{kind}: {name}"))?;
        }
        router
            .start(&[])
            .with_context(|| format!("{kind}: {}", router.log().unwrap_or_default()))?
            .ends_well()?;
        ensure!(fs::read_to_string(&outside)? == "of somebody else", "{kind}: it was written into");
        let identity = fs::symlink_metadata(router.path("keep/identity"))?;
        ensure!(identity.is_file() && identity.mode() & 0o7777 == 0o600, "{kind}: {identity:?}");
    }
    Ok(format!("{} kinds", kinds.len()))
}

fn label(router: &Router) -> Result<String> {
    fs::remove_file(router.path("label"))?;
    let mut running = Running(router.command()?.spawn()?);
    router.says("cannot read the label's secret")?;
    fs::write(router.path("label"), "too short")?;
    ensure!(!router.asks(Duration::from_millis(500))?, "it answers without a label");
    fs::write(router.path("label"), LABEL)?;
    router.answers()?;
    running.ends_well()?;
    Ok(String::new())
}

fn missing_port(router: &Router) -> Result<String> {
    let (mut line, device) = terminal()?;
    let path = router.path("tty");
    let mut command = router.command()?;
    let mut running = Running(command.arg("--serial").arg(&path).spawn()?);
    router.says("cannot be opened")?;
    router.answers()?;
    symlink(&device, &path)?;
    until("it answers on the serial port", || answers_on(&mut line))?;
    running.ends_well()?;
    Ok(String::new())
}

fn taken_address(router: &Router) -> Result<String> {
    let taken = UdpSocket::bind(("127.0.0.1", router.port))?;
    let mut running = Running(router.command()?.spawn()?);
    router.says("cannot listen on UDP")?;
    drop(taken);
    router.answers()?;
    ensure!(router.log()?.matches("cannot listen").count() == 1, "it repeats itself");
    running.ends_well()?;
    Ok(String::new())
}

fn address_that_was_asked(router: &Router) -> Result<String> {
    let mut asked = 0;
    for on in ["0.0.0.0", "[::]"] {
        let mut addresses: Vec<IpAddr> =
            [[127, 0, 0, 1], [127, 0, 0, 2], [127, 9, 9, 9]].map(IpAddr::from).to_vec();
        if on == "[::]" {
            if UdpSocket::bind("[::1]:0").is_err() {
                continue;
            }
            addresses.push(Ipv6Addr::LOCALHOST.into());
        }
        let mut running = Running(router.command_on(on)?.spawn()?);
        for address in addresses {
            let what = format!("an agent on {on} answers from {address}");
            until(&what, || router.asks_at(address, Duration::from_millis(200)))?;
            asked += 1;
        }
        running.ends_well()?;
    }
    Ok(format!("{asked} addresses"))
}

fn changed_settings(router: &Router) -> Result<String> {
    let (mut line, device) = terminal()?;
    let mut running = router.start(&["--serial".as_ref(), device.as_os_str()])?;
    let is_raw = |line: &File| -> Result<bool> {
        let modes = tcgetattr(line)?;
        let flow = InputModes::IXON | InputModes::IXOFF | InputModes::INPCK | InputModes::ICRNL;
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        Ok(!modes.input_modes.intersects(flow) && !modes.local_modes.intersects(cooked))
    };
    until("the line is raw", || is_raw(&line))?;
    ensure!(answers_on(&mut line)?, "no answer on the serial line");
    let shows = |line: &mut File, text: &str| {
        let mut shown = String::new();
        until(&format!("the console shows {text}"), || {
            let mut some = [0; 1024];
            let len = line.read(&mut some).unwrap_or(0);
            shown += &String::from_utf8_lossy(some.get(..len).unwrap_or_default());
            Ok(shown.contains(text))
        })
    };
    line.write_all(b"\r")?;
    shows(&mut line, "lists the commands")?;
    line.write_all(b"stat")?;
    shows(&mut line, "stat")?;
    let mut modes = tcgetattr(&line)?;
    modes.input_modes |= InputModes::IXON | InputModes::IXOFF | InputModes::ICRNL;
    modes.local_modes |= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    tcsetattr(&line, OptionalActions::Now, &modes)?;
    until("the line is raw again", || is_raw(&line))?;
    router.says("another program changed the settings of")?;
    // Bytes of the line that was typed may be lost.
    line.write_all(b"us\r")?;
    shows(&mut line, "type it again")?;
    until("it answers on the serial port", || answers_on(&mut line))?;
    running.ends_well()?;
    Ok(String::new())
}

fn line_is_full(router: &Router) -> Result<String> {
    let (mut line, device) = terminal()?;
    let mut running = router.start(&["--serial".as_ref(), device.as_os_str()])?;
    until("it answers on the serial port", || answers_on(&mut line))?;
    let frame = seek_frame()?;
    // Each of them is answered, and the answers are not read.
    for _ in 0..400 {
        let mut rest = frame.as_slice();
        until("it reads the serial line", || {
            match line.write(rest) {
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            Ok(rest.is_empty())
        })?;
    }
    let took = router.answers()?;
    router.says("takes no bytes")?;
    // 400 answers with a wait of 2 s each would have taken 800 s, and 3 UDP clients in turn 180 s.
    ensure!(took < Duration::from_secs(10), "a UDP client waited for {took:?}");
    let mut drained = [0; 1 << 16];
    while line.read(&mut drained).is_ok() {}
    until("it answers on the serial port again", || answers_on(&mut line))?;
    running.ends_well()?;
    Ok(format!("a UDP client had its answer after {} ms", took.as_millis()))
}

fn without_a_word(router: &Router) -> Result<String> {
    router.start(&[])?.ends_well()?;
    let mut running = router.start(&[])?;
    ensure!(!router.log()?.contains("without a message"), "it had ended well");
    running.signal(Signal::KILL)?;
    let status = running.ended()?;
    if status.signal() != Some(9) {
        bail!("it ended with {status}");
    }
    router.start(&[])?.ends_well()?;
    router.says("without a message")?;
    Ok(String::new())
}
