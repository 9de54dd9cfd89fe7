//! Places for UDP that come and go, the outputs of the log, and the end of the agent as process 1 of a jail.

use super::{Router, Running, terminal, until};
use anyhow::{Context, Result, ensure};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use std::{
    fs::{self, File},
    io::Read,
    net::IpAddr,
    os::fd::AsFd,
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use xtask::build::quietly;

/// A network namespace, which lasts as long as the process in it.
struct Namespace(Running);

impl Namespace {
    fn new() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", "echo; exec sleep 600"]).stdout(Stdio::piped());
        let mut running = Running(command.spawn().context("starting unshare")?);
        let stdout = running.0.stdout.as_mut().context("no output")?;
        // The line says that the namespace is there.
        stdout.read_exact(&mut [0])?;
        Ok(Self(running))
    }

    fn number(&self) -> u32 {
        self.0.0.id()
    }

    /// Runs ip(8) in the namespace.
    fn ip(&self, words: &str) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &self.number().to_string(), "ip"]).args(words.split(' '));
        quietly(&mut command).map(drop)
    }

    /// Whether a client in the namespace gets an answer of the router at an address.
    fn asks(&self, router: &Router, address: &str) -> Result<bool> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.number()))?;
        let address: IpAddr = address.parse()?;
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                router.asks_at(address, Duration::from_millis(200))
            });
            client.join().ok().context("the client panicked")?
        })
    }
}

/// Starts the agent in a namespace, with these places and a label.
fn start(router: &Router, namespace: &Namespace, places: &[String]) -> Result<Running> {
    let mut command = Command::new("nsenter");
    command.args(["-n", "-t", &namespace.number().to_string()]).arg(&router.agent).arg("serve");
    for place in places {
        command.args(["--udp", place]);
    }
    for name in ["keep", "state", "label-secret"] {
        command.arg(format!("--{name}")).arg(router.path(name.trim_end_matches("-secret")));
    }
    let log = router.log_file()?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Running(command.spawn()?))
}

/// How often the log has these words.
fn count(router: &Router, words: &str) -> Result<usize> {
    Ok(router.log()?.matches(words).count())
}

pub(super) fn interfaces(router: &Router) -> Result<String> {
    let (home, lan, wan) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
    let port = router.port;
    let places =
        [format!("br-lan:{port}"), format!("late0:{port}"), format!("10.9.0.1:{}", port ^ 1)];
    // The link, its addresses, and the same at its other end, in another namespace.
    let link = |name: &str, other: &Namespace, net: u8| -> Result<()> {
        home.ip(&format!("link add {name} type veth peer name client netns {}", other.number()))?;
        home.ip(&format!("addr add 10.{net}.0.1/24 dev {name}"))?;
        home.ip(&format!("link set {name} up"))?;
        other.ip(&format!("addr add 10.{net}.0.2/24 dev client"))?;
        other.ip("link set client up")
    };
    link("eth1", &wan, 8)?;
    let mut running = start(router, &home, &places)?;
    router.says(&format!("UDP br-lan:{port}: there is no such interface; waiting for it"))?;
    let listening = format!("listening on UDP br-lan:{port}");
    ensure!(count(router, &listening)? == 0, "it listens on an interface that is not there");
    let answers = |namespace: &Namespace, address: &str| {
        until("a client gets an answer", || namespace.asks(router, address))
    };
    link("br-lan", &lan, 7)?;
    answers(&lan, "10.7.0.1")?;
    // Only there: not to the address of another interface, and not through another interface.
    ensure!(!wan.asks(router, "10.8.0.1")?, "it answers on another interface");
    wan.ip("route add 10.7.0.0/24 via 10.8.0.1")?;
    ensure!(!wan.asks(router, "10.7.0.1")?, "it answers through another interface");
    // An address that comes later, and an interface with another number under the same name.
    home.ip("addr add 10.17.0.1/24 dev br-lan")?;
    lan.ip("route add 10.17.0.0/24 dev client")?;
    answers(&lan, "10.17.0.1")?;
    for times in 2..4 {
        home.ip("link del br-lan")?;
        until("it says that the interface is gone", || {
            Ok(count(router, &format!("UDP br-lan:{port}: there is no such"))? == times)
        })?;
        link("br-lan", &lan, 7)?;
        answers(&lan, "10.7.0.1")?;
        ensure!(count(router, &listening)? == times, "{}", router.log()?);
    }
    // Renamed away, and another in its place.
    home.ip("link set br-lan down")?;
    home.ip("link set br-lan name br-old")?;
    home.ip("link set eth1 down")?;
    home.ip("link set eth1 name br-lan")?;
    home.ip("link set br-lan up")?;
    answers(&wan, "10.8.0.1")?;
    ensure!(!lan.asks(router, "10.7.0.1")?, "it still hears the interface that has another name");
    running.ends_well()?;
    Ok(String::new())
}

pub(super) fn closed(router: &Router) -> Result<String> {
    let mut command = Command::new(&router.agent);
    command.args(["serve", "--udp", &format!("127.0.0.1:{}", router.port)]);
    for name in ["keep", "state"] {
        command.arg(format!("--{name}")).arg(router.path(name));
    }
    let log = File::create(router.path("log"))?;
    let mut running = Running(command.stdout(log.try_clone()?).stderr(log).spawn()?);
    router.says("UDP stays closed until the router has an owner")?;
    router.says(": ready")?;
    let open = || -> Result<bool> {
        let sockets = fs::read_to_string(format!("/proc/{}/net/udp", running.0.id()))?;
        Ok(sockets.contains(&format!("0100007F:{:04X}", router.port)))
    };
    ensure!(!open()?, "the socket is open");
    let mut owner = Command::new(&router.agent);
    owner.args(["reset-owner", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", "--keep"]);
    quietly(owner.arg(router.path("keep")))?;
    until("the socket is open", open)?;
    router.says("listening on UDP")?;
    running.ends_well()?;
    Ok(String::new())
}

/// The only child of a process.
fn child(of: &Running) -> Result<Pid> {
    let pid = of.0.id();
    let mut child = None;
    until("the process has a child", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        child = children.trim().parse().ok().and_then(Pid::from_raw);
        Ok(child.is_some())
    })?;
    child.context("no child")
}

pub(super) fn process_one(router: &Router) -> Result<String> {
    let jailed = || -> Result<Running> {
        let plain = router.command()?;
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--kill-child"])
            .arg(plain.get_program())
            .args(plain.get_args());
        let log = router.log_file()?;
        Ok(Running(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?))
    };
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = jailed()?;
        router.answers()?;
        // Another waits for the folder, and ends too.
        let mut waiting = jailed()?;
        router.says("waiting for it to end")?;
        for running in [&mut waiting, &mut running] {
            kill_process(child(running)?, signal)?;
            let status = running.ended()?;
            ensure!(status.success(), "it ended with {status}");
        }
    }
    ensure!(count(router, "asked to end")? == 2, "{}", router.log()?);
    Ok("SIGTERM and SIGINT, at work and while it waits for another agent".into())
}

pub(super) fn outputs(router: &Router) -> Result<String> {
    let (out, err) = (router.path("out"), router.path("err"));
    let mut command = router.command()?;
    command.args(["--serial", "/dev/no-such-port"]);
    let mut running =
        Running(command.stdout(File::create(&out)?).stderr(File::create(&err)?).spawn()?);
    router.answers()?;
    running.ends_well()?;
    let (out, err) = (fs::read_to_string(out)?, fs::read_to_string(err)?);
    for words in ["this router is ", "listening on UDP ", "version ", "asked to end"] {
        ensure!(
            out.lines().any(|line| line.starts_with(words)),
            "no `{words}` on standard output:\n{out}"
        );
        ensure!(!err.contains(words), "`{words}` on standard error:\n{err}");
    }
    ensure!(err.lines().all(|line| line.starts_with("/dev/no-such-port ")), "{err}");

    // On a terminal both have the program's name in front.
    let (mut screen, device) = terminal()?;
    let open = || File::options().read(true).write(true).open(&device);
    let mut command = router.command()?;
    command.args(["--serial", "/dev/no-such-port"]);
    let mut running = Running(command.stdout(open()?).stderr(open()?).spawn()?);
    router.answers()?;
    running.ends_well()?;
    let mut shown = vec![0; 1 << 16];
    let len = screen.read(&mut shown)?;
    let shown = String::from_utf8_lossy(&shown[..len]).into_owned();
    ensure!(shown.lines().all(|line| line.starts_with("postwired: ")), "{shown}");
    ensure!(shown.contains("no-such-port") && shown.contains("asked to end"), "{shown}");
    Ok(String::new())
}
