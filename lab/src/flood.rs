//! `cargo xtask flood`: checks that a flood from unauthenticated senders gets no reply, and
//! measures what it costs the router and its owner.
//!
//! The frames are built in advance (`shots`) and sent over a network card of their own (`barrage`);
//! the owner's push uses another card. `gauge` reads the counters of the router's kernel.

mod barrage;
mod gauge;
mod shots;

use crate::{
    Arch, Frames, Lab, Wire,
    routers::{Config, Reach, Router, Said, identity},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use barrage::Barrage;
use fastrand::Rng;
use gauge::Gauge;
use shots::Shots;
use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use xtask::build;

/// Flood a router with junk and with handshakes of unknown keys while its owner pushes to it
#[derive(clap::Args)]
pub struct Args {
    /// Shortest duration of each flood, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Datagrams sent per second
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// Number of peers that the owner pushes
    #[arg(long, default_value_t = 200)]
    peers: u32,
}

/// The size of a test.
pub struct Effort {
    /// Shortest duration of each flood.
    pub duration: Duration,
    /// Datagrams sent per second.
    pub rate: u32,
    /// Number of peers that the owner pushes: the push must get this many datagrams through.
    pub peers: u32,
}

impl Args {
    pub fn run(self) -> Result<ExitCode> {
        let agent = fs::read(build::agent(Arch::X86_64)?)?;
        let tool = build::postwire()?;
        let lab = Lab::prepare(Arch::X86_64)?;
        let target = Target::boot(&lab, &agent, &tool)?;
        let duration = Duration::from_secs(self.seconds);
        let Self { rate, peers, .. } = self;
        flood(&target, &Effort { duration, rate, peers }, &mut |line| println!("{line}"))?;
        println!("every promise was kept");
        Ok(ExitCode::SUCCESS)
    }
}

/// The router's address on the wire of the flood, and the address of the next hop there.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The claimed source addresses of the flood: a network for tests (RFC 2544), and its first
/// address.
const STRANGERS: &str = "198.18.0.0/15";
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Allowed change of the agent's memory. The depth of a call may add a page or two.
const MEMORY_KIB: u32 = 16;

/// A router to be flooded.
pub struct Target<'t> {
    router: Router<'t>,
    frames: Frames,
    mac: [u8; 6],
}

impl<'t> Target<'t> {
    pub fn boot(lab: &Lab, agent: &[u8], tool: &'t Path) -> Result<Self> {
        let wire = Wire::new()?;
        let frames = Frames::on(&wire)?;
        let machine = lab.machine("moat").file("/bin/postwired", 0o755, agent);
        let machine = machine.with_wireguard_tools().wire(&wire, &format!("{ROUTER}/24"));
        let vm = machine.boot()?;
        let mac = Frames::reach(&vm, "eth1", GATEWAY, STRANGERS)?;
        let folder = build::target_folder().join("lab").join("flood");
        let router = Router::new(vm, tool, folder)?;
        router.fresh("")?;
        Ok(Self { router, frames, mac })
    }
}

/// Floods a router with one kind of datagram after the other, each first alone and then during a
/// push. `show` gets a line for each measurement. An error names the broken promise.
pub fn flood(target: &Target<'_>, effort: &Effort, show: &mut dyn FnMut(&str)) -> Result<()> {
    let peers = effort.peers;
    let router = &target.router;
    let mut rng = Rng::with_seed(1);
    let mut config = Config::random(&mut rng, peers, 3);
    // The first push creates the interface; later pushes find it.
    router.push_and_see(&Reach::Udp, &config)?;
    config = Config::random(&mut rng, peers, 3);
    let started = Instant::now();
    push(router, &config)?.ok().context("the owner's push")?;
    let quiet = started.elapsed().as_secs_f32();
    let before = router.memory()?;
    show(&format!("a push of {peers} peers without a flood: {quiet:.1} s, memory {before} KiB"));
    let key = identity(&router.vm, "")?.parse().map_err(|_| anyhow!("the router's key"))?;
    for shots in shots::all(target.mac, &key, &mut rng)? {
        let broken = |error: anyhow::Error| error.context(format!("flooding with {}", shots.name));
        let cost = alone(target, &shots, effort).map_err(broken)?;
        show(&cost);
        config = Config::random(&mut rng, peers, 3);
        let (line, took) = during_push(target, &shots, &config, effort).map_err(broken)?;
        let after = router.memory()?;
        let times = took / quiet;
        show(&format!("  {line}, {times:.1} times as long as without; memory {after} KiB"));
        ensure!(
            after.abs_diff(before) <= MEMORY_KIB,
            "flooding with {}: the agent's memory went from {before} to {after} KiB",
            shots.name
        );
    }
    Ok(())
}

/// Largest number of floods until enough datagrams have arrived, because the machine may be busy.
const ROUNDS: u32 = 20;

/// Measures the cost of each datagram in a flood without a push.
fn alone(target: &Target<'_>, shots: &Shots, effort: &Effort) -> Result<String> {
    let barrage = Barrage::new(&target.frames, shots, effort.rate);
    let (before, started) = (Gauge::read(&target.router.vm)?, Instant::now());
    // With fewer datagrams the result would mean nothing.
    let enough = effort.duration.as_secs_f64() * f64::from(barrage.rate()) / 50.0;
    let (mut offered, mut answered) = (0, 0);
    let mut line = String::new();
    for _ in 0..ROUNDS {
        let sent = barrage.fire(|elapsed| elapsed < effort.duration)?;
        let passed = Gauge::read(&target.router.vm)?.since(&before);
        offered += sent.offered;
        line = format!(
            "{}: offered {offered} ({}/s), {} came to the kernel and {} of them to the agent, {:.1} us of its CPU for each \
             that came; {}",
            shots.name,
            sent.rate(),
            passed.arrived(),
            passed.received,
            passed.micros_each(),
            sent.answers
        );
        shots.check(&sent.answers).with_context(|| line.clone())?;
        answered += sent.answers.count;
        ensure!(answered <= passed.received, "{answered} answers: {line}");
        most(shots, passed.received, started.elapsed()).with_context(|| line.clone())?;
        if passed.arrived() as f64 > enough {
            return Ok(line);
        }
    }
    bail!("too few came through: {line}")
}

/// Fails if more datagrams reached the agent than the filter should let through in that time. A
/// slow machine lets fewer through. The first second counts twice, because the filter has to learn
/// the traffic.
fn most(shots: &Shots, received: u64, took: Duration) -> Result<()> {
    let most = shots.through * (took.as_secs() + 2);
    ensure!(
        received <= most,
        "{received} came to the agent in {took:?}, which should be {most} at the most"
    );
    Ok(())
}

/// A push with a longer timeout than usual: an emulated machine receives only a part of the
/// datagrams, and loses the owner's among the rest before the kernel sees them.
fn push(router: &Router<'_>, config: &Config) -> Result<Said> {
    let path = router.file(&config.text())?;
    let path = path.to_str().context("a path that is no text")?;
    router.postwire(&Reach::Udp, &["push", path, "--timeout", "240s"])
}

/// The owner's push during a flood.
fn during_push(
    target: &Target<'_>,
    shots: &Shots,
    config: &Config,
    effort: &Effort,
) -> Result<(String, f32)> {
    let router = &target.router;
    let before = (Gauge::read(&router.vm)?, Instant::now());
    let barrage = Barrage::new(&target.frames, shots, effort.rate);
    let over = AtomicBool::new(false);
    let on = |elapsed| elapsed < effort.duration || !over.load(Ordering::Relaxed);
    let (sent, pushed) = thread::scope(|scope| {
        let firing = scope.spawn(|| barrage.fire(on));
        thread::sleep(Duration::from_millis(200));
        let started = Instant::now();
        let pushed = push(router, config).map(|said| (said, started.elapsed()));
        over.store(true, Ordering::Relaxed);
        (firing.join(), pushed)
    });
    let sent = sent.map_err(|_| anyhow!("the flood died"))??;
    let (said, took) = pushed?;
    said.ok().context("the owner's push")?;
    router.sees(config)?;
    shots.check(&sent.answers)?;
    let passed = Gauge::read(&router.vm)?.since(&before.0);
    most(shots, passed.received, before.1.elapsed()).context("during a push")?;
    let seconds = took.as_secs_f32();
    let line = format!(
        "a push meanwhile ({} offered, {}/s, {} came to the kernel and {} to the agent): applied after {seconds:.1} s",
        sent.offered,
        sent.rate(),
        passed.arrived(),
        passed.received,
    );
    Ok((line, seconds))
}
