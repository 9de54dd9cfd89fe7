//! The two connections to a router: the serial line and UDP.

use super::{Bench, port::Port, random_bytes, seconds};
use crate::{AGENT_PORT, Direction, Faults, Loss, LossyUdp, Noise, Vm};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the line in the machine and starts a program there that records its input.
fn read_in_guest(vm: &Vm) -> Result<()> {
    let device = vm.serial_device();
    vm.sh(&format!(
        "exec 4<>{device}; setsid cat <&4 >/tmp/read 2>/dev/null & echo $! >/tmp/reader"
    ))?
    .ok()?;
    Ok(())
}

/// Returns the recorded bytes once there are `count` of them, or none has arrived for a second.
fn what_guest_read(vm: &Vm, count: usize) -> Result<Vec<u8>> {
    let (mut size, mut quiet) = (0, 0);
    while size < count && quiet < 10 {
        let now = vm.sh("usleep 50000; stat -c %s /tmp/read")?.ok()?.text().parse()?;
        quiet = if now == size { quiet + 1 } else { 0 };
        size = now;
    }
    vm.sh("kill $(cat /tmp/reader)")?.ok()?;
    vm.get("/tmp/read")
}

pub(super) fn serial(bench: &Bench) -> Result<String> {
    let vm = &bench.alice;
    let bytes = random_bytes(21, 65_536);
    let port = Port::open(vm.serial().path())?;

    read_in_guest(vm)?;
    let started = Instant::now();
    port.write(&bytes, PATIENCE)?;
    let read = what_guest_read(vm, bytes.len())?;
    let to_guest = started.elapsed();
    ensure!(read == bytes, "{}", difference(&read, &bytes));

    vm.put("/tmp/blob", 0o644, &bytes)?;
    let started = Instant::now();
    vm.sh(&format!("cat /tmp/blob >{} 2>/tmp/log </dev/null &", vm.serial_device()))?.ok()?;
    let read = port.read(bytes.len(), PATIENCE)?;
    let to_host = started.elapsed();
    ensure!(read == bytes, "{}", difference(&read, &bytes));
    let rate = |time: Duration| bytes.len() as f64 / 1024.0 / time.as_secs_f64();
    Ok(format!("{:.0} KiB/s in, {:.0} KiB/s out", rate(to_guest), rate(to_host)))
}

pub(super) fn serial_echo(bench: &Bench) -> Result<String> {
    let vm = &bench.alice;
    let device = vm.serial_device();
    vm.sh(&format!("exec 4<>{device}; setsid cat <&4 >&4 2>/dev/null & echo $! >/tmp/echo"))?
        .ok()?;
    let port = Port::open(vm.serial().path())?;
    let mut rng = Rng::with_seed(22);
    let started = Instant::now();
    for round in 0..100 {
        let mut line = [0; 32];
        rng.fill(&mut line);
        port.write(&line, PATIENCE)?;
        let echo = port.read(line.len(), PATIENCE).with_context(|| format!("round {round}"))?;
        ensure!(echo == line, "round {round}: {}", difference(&echo, &line));
    }
    let took = started.elapsed();
    // The bench itself injects bytes into the line, both ways.
    vm.serial().inject(Direction::ToHost, b"from nowhere");
    ensure!(port.read(12, PATIENCE)? == b"from nowhere", "injected toward the host");
    vm.serial().inject(Direction::ToGuest, b"boomerang");
    ensure!(port.read(9, PATIENCE)? == b"boomerang", "injected toward the guest");
    vm.sh("kill $(cat /tmp/echo)")?.ok()?;
    Ok(format!("32 bytes there and back in {} us", took.as_micros() / 100))
}

pub(super) fn serial_faults(bench: &Bench) -> Result<String> {
    let vm = &bench.alice;
    let line = vm.serial();
    let port = Port::open(line.path())?;
    let sent = vec![0; 20_000];
    let text = "\r\n[   12.345678] random: crng init done\r\n";
    let noise = Noise {
        flip: 0.01,
        drop: 0.01,
        garbage_every: 500,
        text: text.to_owned(),
        text_every: 2000,
    };
    let quiet = Noise::default();

    let to_host = Faults { seed: 5, to_guest: quiet.clone(), to_host: noise.clone() };
    line.set_faults(to_host);
    vm.put("/tmp/blob", 0o644, &sent)?;
    vm.sh(&format!("cat /tmp/blob >{} 2>/dev/null </dev/null &", vm.serial_device()))?.ok()?;
    let read = port.read_until_silence(Duration::from_secs(1))?;
    let counts = line.counts(Direction::ToHost);
    ensure!(counts.bytes == 20_000, "the line saw {} bytes", counts.bytes);
    ensure!(String::from_utf8_lossy(&read).contains("random: crng init done"), "no text");
    ensure!(counts.flipped > 100 && counts.dropped > 100 && counts.inserted > 20, "{counts:?}");

    line.set_faults(Faults { seed: 6, to_guest: noise, to_host: quiet });
    read_in_guest(vm)?;
    port.write(&sent, PATIENCE)?;
    let read = what_guest_read(vm, usize::MAX)?;
    ensure!(String::from_utf8_lossy(&read).contains("random: crng init done"), "no text");
    let counts_in = line.counts(Direction::ToGuest);
    line.set_faults(Faults::default());
    Ok(format!(
        "{} of 20000 bytes flipped, {} lost, {} insertions out; {}, {}, {} in",
        counts.flipped,
        counts.dropped,
        counts.inserted,
        counts_in.flipped,
        counts_in.dropped,
        counts_in.inserted
    ))
}

pub(super) fn serial_cut(bench: &Bench) -> Result<String> {
    let vm = &bench.alice;
    let line = vm.serial();
    let port = Port::open(line.path())?;
    read_in_guest(vm)?;
    line.set_faults(Faults::default());
    line.cut(true);
    port.write(b"lost", PATIENCE)?;
    thread::sleep(Duration::from_millis(200));
    line.cut(false);
    port.write(b"found", PATIENCE)?;
    let read = what_guest_read(vm, 5)?;
    ensure!(read == b"found", "the machine read {:?}", String::from_utf8_lossy(&read));

    line.cut(true);
    vm.sh(&format!("echo lost >{}", vm.serial_device()))?.ok()?;
    ensure!(port.read_until_silence(Duration::from_millis(300))?.is_empty(), "it came through");
    line.cut(false);
    let swallowed = line.counts(Direction::ToGuest).swallowed;
    ensure!(swallowed == 4, "swallowed {swallowed} bytes toward the machine");
    Ok(format!("{} bytes swallowed out", line.counts(Direction::ToHost).swallowed))
}

pub(super) fn serial_unread(bench: &Bench) -> Result<String> {
    let vm = &bench.alice;
    vm.serial().set_faults(Faults::default());
    vm.put("/tmp/blob", 0o644, &random_bytes(23, 100_000))?;
    let started = Instant::now();
    // No client has the port open; `cat` must end all the same.
    vm.sh(&format!("cat /tmp/blob >{}", vm.serial_device()))?.ok()?;
    // A virtio port accepts all bytes at once and forwards them later.
    while vm.serial().counts(Direction::ToHost).bytes < 100_000 {
        ensure!(started.elapsed() < Duration::from_secs(20), "it waits for a reader");
        thread::sleep(Duration::from_millis(20));
    }
    let took = started.elapsed();
    vm.serial().discard()?;
    let port = Port::open(vm.serial().path())?;
    let stale = port.read_until_silence(Duration::from_millis(300))?;
    ensure!(stale.is_empty(), "{} stale bytes after a discard", stale.len());
    vm.sh(&format!("echo fresh >{}", vm.serial_device()))?.ok()?;
    ensure!(port.read(6, PATIENCE)? == b"fresh\n", "what came after");
    let swallowed = vm.serial().counts(Direction::ToHost).swallowed;
    Ok(format!("{swallowed} of 100000 bytes swallowed in {}", seconds(took)))
}

/// Starts a UDP echo in the machine. It serves only the first address that sends to it.
pub(super) fn start_echo(vm: &Vm) -> Result<()> {
    vm.sh(&format!(
        "killall nc.traditional 2>/dev/null; usleep 100000\n\
         setsid nc.traditional -n -u -l -p {AGENT_PORT} -e /bin/cat >/tmp/nc 2>&1 </dev/null &\n\
         for i in $(seq 100); do netstat -lnu | grep -q :{AGENT_PORT} && exit; usleep 20000; done\n\
         cat /tmp/nc >&2; exit 1"
    ))?
    .ok()?;
    Ok(())
}

fn client(server: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

pub(super) fn udp(bench: &Bench) -> Result<String> {
    let vm = &bench.alice;
    start_echo(vm)?;
    let socket = client(SocketAddr::from(([127, 0, 0, 1], vm.udp_port())))?;
    let mut buffer = [0; 2000];
    let started = Instant::now();
    for size in (1..=100).map(|round| round * 14) {
        let datagram = random_bytes(size, size as usize);
        socket.send(&datagram)?;
        let len = socket.recv(&mut buffer).with_context(|| format!("echo of {size} bytes"))?;
        ensure!(buffer[..len] == datagram, "the echo of {size} bytes differs");
    }
    Ok(format!("up to 1400 bytes there and back in {} us", started.elapsed().as_micros() / 100))
}

pub(super) fn lossy_udp(bench: &Bench) -> Result<String> {
    const SENT: u64 = 300;
    let vm = &bench.alice;
    start_echo(vm)?;
    let proxy = LossyUdp::start(vm.udp_port(), Loss::default())?;
    let socket = client(proxy.address())?;
    let mut buffer = [0; 2000];
    socket.send(b"perfect")?;
    ensure!(socket.recv(&mut buffer)? == 7, "a proxy without faults");

    proxy.set_loss(Loss { seed: 4, drop: 0.1, duplicate: 0.1, reorder: 0.1 });
    let reader = socket.try_clone()?;
    let reader = thread::spawn(move || -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        let mut buffer = [0; 8];
        loop {
            match reader.recv(&mut buffer) {
                Ok(_) => numbers.push(u64::from_be_bytes(buffer)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(numbers),
                Err(error) => return Err(error.into()),
            }
        }
    });
    for number in 0..SENT {
        socket.send(&number.to_be_bytes())?;
        thread::sleep(Duration::from_millis(4));
    }
    let numbers = reader.join().ok().context("the reader died")??;
    let counts = proxy.counts();
    let late = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
    ensure!(late > 0, "nothing arrived out of order");
    ensure!(counts.dropped > 20 && counts.duplicated > 20 && counts.reordered > 20, "{counts:?}");

    proxy.set_loss(Loss { drop: 1.0, ..Loss::default() });
    socket.send(b"lost")?;
    ensure!(socket.recv(&mut buffer).is_err(), "all was to be lost");
    Ok(format!(
        "{} of {SENT} echoes, {late} late; {} forwarded, {} dropped, {} duplicated, {} reordered",
        numbers.len(),
        counts.forwarded,
        counts.dropped,
        counts.duplicated,
        counts.reordered
    ))
}

/// The position of the first difference between two byte strings, instead of both in full.
fn difference(is: &[u8], should: &[u8]) -> String {
    let at = is.iter().zip(should).position(|(a, b)| a != b);
    format!("{} bytes instead of {}, first difference at {at:?}", is.len(), should.len())
}
