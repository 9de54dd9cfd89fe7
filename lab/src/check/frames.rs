//! Frames that this process writes itself.

use super::{Bench, lines};
use crate::{AGENT_PORT, Datagram, Frames, Wire};
use anyhow::{Context, Result, ensure};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    thread,
    time::{Duration, Instant},
};

const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Datagrams from foreign addresses arrive, and the replies to them come back.
pub(super) fn anywhere(bench: &Bench) -> Result<String> {
    const BURST: u32 = 1_000;
    let wires = [Wire::new()?, Wire::new()?];
    let frames = Frames::on(&wires[1])?;
    let machine = bench.lab.machine("hugo").with_netcat();
    let machine = machine.wire(&wires[0], "192.0.2.129/25").wire(&wires[1], "192.0.2.1/25");
    let vm = machine.boot()?;
    let mac = Frames::reach(&vm, "eth2", Ipv4Addr::new(192, 0, 2, 2), "198.18.0.0/15")?;
    lines::start_echo(&vm)?;

    let from = SocketAddrV4::new(Ipv4Addr::new(198, 19, 7, 7), 40_000);
    let to = SocketAddrV4::new(MACHINE, AGENT_PORT);
    let sent = Datagram { from, to, payload: b"from nowhere" };
    frames.send(&sent.frame(mac)?);
    let started = Instant::now();
    let mut buffer = [0; 2_000];
    let mut others = 0;
    loop {
        ensure!(started.elapsed() < Duration::from_secs(5), "no echo, but {others} other frames");
        let Some(frame) = frames.receive(&mut buffer)? else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        match Datagram::parse(frame) {
            Some(echo) if (echo.from, echo.to) == (to, from) => {
                ensure!(echo.payload == sent.payload, "the echo differs: {echo:?}");
                break;
            }
            _ => others += 1,
        }
    }

    // The port is closed: the machine's own counters show how many datagrams arrived.
    let arrived = || -> Result<u32> {
        let shown = vm.sh("grep ^Udp: /proc/net/snmp | tail -n 1")?.ok()?.text();
        Ok(shown.split_whitespace().nth(2).context("no counter")?.parse()?)
    };
    let before = arrived()?;
    for number in 0..BURST {
        let from = SocketAddrV4::new(Ipv4Addr::from_bits(0xc612_0000 + number), 40_000);
        let to = SocketAddrV4::new(MACHINE, 9);
        frames.send(&Datagram { from, to, payload: &number.to_be_bytes() }.frame(mac)?);
        thread::sleep(Duration::from_micros(200));
    }
    thread::sleep(Duration::from_millis(200));
    let arrived = arrived()? - before;
    ensure!(arrived > BURST * 9 / 10, "{arrived} of {BURST} arrived");
    Ok(format!("an echo, and {arrived} of {BURST} from as many addresses"))
}
