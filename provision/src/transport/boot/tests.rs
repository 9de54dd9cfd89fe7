//! A start from the first byte to the last, in virtual time.

use proptest::prelude::*;

use super::*;

/// What an ath79 router with OpenWrt says, shortened, by the millisecond.
const BOOT: &[(u64, &str)] = &[
    (0, "\0\0\r\n\r\nU-Boot 1.1.4 (Mar 11 2019 - 10:15:12)\r\n\r\n"),
    (40, "DRAM:  128 MB\r\nFlash: 16 MB\r\nUsing default environment\r\n\r\n"),
    (300, "In:    serial\r\nOut:   serial\r\nErr:   serial\r\nNet:   ag7240\r\n"),
    (700, "Hit any key to stop autoboot:  3 "),
    (1_700, "\x08\x08\x08 2 "),
    (2_700, "\x08\x08\x08 1 "),
    (3_700, "\x08\x08\x08 0 \r\n"),
    (3_750, "## Booting image at 9f020000 ...\r\n   Image Name:   MIPS OpenWrt Linux-6.6.93\r\n"),
    (3_800, "   Data Size:    2600000 Bytes =  2.5 MB\r\n   Verifying Checksum at 0x9f020040 ..."),
    (6_900, "OK\r\n   Uncompressing Kernel ... "),
    (9_500, "OK\r\n\r\nStarting kernel ...\r\n\r\n"),
    (
        13_000,
        "[    0.000000] Linux version 6.6.93 (builder@buildhost) (mips-openwrt-linux-musl-gcc)\r\n",
    ),
    (13_050, "[    0.000000] printk: bootconsole [early0] enabled\r\n"),
    (13_400, "[    0.421345] pcieport 0000:00:00.0: enabling\r\n"),
    (15_100, "[    2.100000] spi-nor spi0.0: w25q128 (16384 Kbytes)\r\n"),
    (18_000, "[    5.012345] init: Console is alive\r\n[    5.030000] init: - watchdog -\r\n"),
    (19_600, "[    6.610000] kmodloader: loading kernel modules from /etc/modules-boot.d/*\r\n"),
    (20_900, "[    7.921010] init: - preinit -\r\n"),
    (22_000, "Press the [f] key and hit [enter] to enter failsafe mode\r\n"),
    (22_010, "Press the [1], [2], [3] or [4] key and hit [enter] to select the debug level\r\n"),
    (31_500, "[   18.480000] mount_root: loading kmods from internal overlay\r\n"),
    (36_000, "[   23.000000] procd: - early -\r\n"),
    (37_000, "[   24.000000] procd: - ubus -\r\n[   24.500000] procd: - init -\r\n"),
    (37_100, "Please press Enter to activate this console.\r\n"),
    (40_500, "[   27.500000] br-lan: port 1(eth0) entered blocking state\r\n"),
    (44_000, "[   31.000000] wireguard: WireGuard 1.0.0 loaded\r\n"),
    (47_500, "[   34.500000] procd: - init complete -\r\n"),
];
/// When the agent listens.
const UP: u64 = 47_500;
/// When preinit asks, and has stopped to listen.
const QUESTION: std::ops::Range<u64> = 22_000..24_100;
/// How long the tool listens before it sends.
const LISTEN: u64 = 1_100;

/// Bytes with their times.
fn bytes(boot: &[(u64, &str)]) -> Vec<(u64, u8)> {
    boot.iter().flat_map(|(at, text)| text.bytes().map(|byte| (*at, byte))).collect()
}

/// The moments in a boot at which a bench would send that starts at `from` and asks ten times a second, when the bytes come
/// in pieces of these lengths.
fn sends(
    script: &[(u64, u8)],
    from: u64,
    until: u64,
    pieces: &mut dyn FnMut() -> usize,
) -> Vec<u64> {
    let base = Instant::now();
    let at = |time: u64| base + Duration::from_millis(time);
    let mut boot = Boot::new(at(from));
    let mut rest: Vec<_> = script.iter().filter(|(time, _)| *time >= from).copied().collect();
    rest.reverse();
    let mut sent = Vec::new();
    for now in (from..until).step_by(50) {
        while rest.last().is_some_and(|(time, _)| *time <= now) {
            let mut piece = Vec::new();
            let (time, _) = *rest.last().unwrap();
            for _ in 0..pieces().max(1) {
                if rest.last().is_some_and(|(next, _)| *next == time) {
                    piece.push(rest.pop().unwrap().1);
                }
            }
            boot.take(&piece, at(time));
        }
        if boot.hold(at(now)).is_none() && now - from >= LISTEN {
            boot.sent();
            sent.push(now);
        }
    }
    sent
}

#[test]
fn not_one_byte_is_sent_before_the_agent_is_up() {
    let script = bytes(BOOT);
    let mut cases = 0;
    for piece in [1, 2, 3, 7, 64, 4_096] {
        // The tool may have been started before the router was switched on, or just then.
        for early in [0, 400, LISTEN - 50] {
            let script: Vec<_> = script.iter().map(|(time, byte)| (time + early, *byte)).collect();
            let sent = sends(&script, 0, 120_000, &mut || piece);
            let first = sent.first().expect("it goes on");
            assert!((UP + early..UP + early + 2_500).contains(first), "{piece} {early}: {first}");
            cases += 1;
        }
    }
    println!("{cases} starts, not one byte before the agent was up");
}

#[test]
fn a_tool_that_is_started_in_the_middle_stops_no_loader_and_answers_no_question() {
    let script = bytes(BOOT);
    let (mut starts, mut clean) = (0, 0);
    for from in (0..UP).step_by(25) {
        let sent = sends(&script, from, 120_000, &mut || 4_096);
        // A loader that loads for seconds without a word does not listen either.
        let countdown = sent.iter().find(|at| **at < 3_750);
        assert_eq!(countdown, None, "started at {from}");
        let asked = sent.iter().find(|at| QUESTION.contains(at) && from <= QUESTION.start);
        assert_eq!(asked, None, "started at {from}");
        starts += 1;
        clean += u32::from(sent.first().is_none_or(|first| *first >= UP));
        assert!(sent.last().is_some_and(|last| *last > 110_000), "it goes on: {from}");
    }
    println!(
        "{starts} starts in the middle, {clean} of them without a byte before the agent was up"
    );
}

proptest! {
    /// However the bytes are cut, and with every gap of the transcript shorter or longer: nothing until the end.
    #[test]
    fn cuts_and_paces_do_not_matter(cuts in prop::collection::vec(1..40_usize, 1..50), pace in 3..14_u64) {
        let scaled: Vec<_> =
            bytes(BOOT).into_iter().map(|(time, byte)| (time * pace / 10, byte)).collect();
        let up = UP * pace / 10;
        let mut nth = 0;
        let sent = sends(&scaled, 0, up + 20_000, &mut || { nth += 1; cuts[nth % cuts.len()] });
        prop_assert!(sent.first().is_some_and(|first| *first >= up), "{:?} {}", sent.first(), up);
    }

    /// Whatever comes in: it ends, one way or the other.
    #[test]
    fn noise_does_not_hold_up_for_ever(
        noise in prop::collection::vec((0..400_u64, prop::collection::vec(any::<u8>(), 0..40)), 0..200),
    ) {
        let base = Instant::now();
        let (mut boot, mut now) = (Boot::new(base), 0);
        for (pause, bytes) in noise {
            now += pause;
            boot.take(&bytes, base + Duration::from_millis(now));
            boot.hold(base + Duration::from_millis(now));
        }
        let later = base + Duration::from_millis(now) + Duration::from_secs(31);
        let free = matches!(boot.hold(later), None | Some(Hold::Stopped(_)));
        prop_assert!(free);
    }
}

/// What the watcher says when these texts have come in a tenth of a second apart, and `quiet` after the last.
fn after(texts: &[&str], quiet: u64) -> Option<Hold> {
    let base = Instant::now();
    let mut boot = Boot::new(base);
    let mut now = base;
    for text in texts {
        now += Duration::from_millis(100);
        boot.take(text.as_bytes(), now);
    }
    boot.hold(now + Duration::from_millis(quiet))
}

#[test]
fn loaders_of_all_kinds_are_known_by_any_of_their_lines() {
    let lines = [
        "\r\nU-Boot SPL 2018.09 (Jan 01 2019)\r\n",
        "Hit any key to stop autoboot:  1 ",
        "Autobooting in 1 seconds\r\n",
        "\x08\x08\x08 2 ",
        "RedBoot(tm) bootstrap and debug environment [ROMRAM]\r\n",
        "== Executing boot script in 2.000 seconds - enter ^C to abort\r\n",
        "Breed 1.1 (r1266) [2018-12-29]\r\n",
        "Press any key to interrupt autoboot, 2\r\n",
        "CFE version 1.0.38-106.70 for BCM96362\r\n",
        "RouterBOOT booter 6.48.6\r\n\r\nPress any key within 2 seconds to enter setup.\r\n",
        "NOTICE:  BL2: v2.10.0(release)\r\n",
        "Please choose the operation: \r\n   1: Load system code to SDRAM via TFTP.\r\n",
        "   3: System Boot system code via Flash.\r\n",
        "   Verifying Checksum ... ",
        "## Loading kernel from FIT Image at 46000000 ...\r\n",
    ];
    for line in lines {
        for quiet in [0, 1_200, 5_000, 25_000] {
            assert_eq!(after(&[line], quiet), Some(Hold::Starting), "{line:?} {quiet}");
        }
        assert_eq!(after(&[line], 31_000), None, "{line:?}");
        // Nor does the agent's answer before that make it run.
        let base = Instant::now();
        let mut boot = Boot::new(base);
        boot.packet();
        boot.take(line.as_bytes(), base);
        assert_eq!(boot.hold(base), Some(Hold::Starting), "{line:?}");
    }
}

#[test]
fn a_loader_that_stopped_is_told_by_its_prompt() {
    let banner = "U-Boot 2024.01\r\nHit any key to stop autoboot:  1 ";
    for prompt in ["=> ", "U-Boot> ", "MT7621 # ", "ath> ", "(IPQ) # ", "RedBoot> ", "CFE> "] {
        let texts = [banner, "\x08\x08\x08 0 \r\n", prompt];
        assert_eq!(after(&texts, 100), Some(Hold::Starting), "{prompt}: more may follow");
        let stopped = Some(Hold::Stopped(prompt.trim().into()));
        assert_eq!(after(&texts, 800), stopped);
        assert_eq!(after(&texts, 300_000), stopped);
    }
    // It stopped before the tool came, and answers what the tool said.
    let texts = ["\r\nUnknown command 'x' - try 'help'\r\n", "=> "];
    assert_eq!(after(&texts, 800), Some(Hold::Stopped("=>".into())));
    for prompt in ["root@OpenWrt:/# ", "OpenWrt login: ", "a => b", "> "] {
        assert_ne!(after(&["hello\r\n", prompt], 800), Some(Hold::Stopped(prompt.trim().into())));
    }
}

#[test]
fn a_router_that_runs_is_not_waited_for() {
    let kernel = "[   45.123456] usb 1-1: new high-speed USB device\r\n";
    assert_eq!(after(&[kernel], 0), Some(Hold::Starting));
    assert_eq!(after(&[kernel], 6_000), None);
    for running in [
        "[ 4711.123456] usb 1-1: new high-speed USB device\r\n",
        "root@OpenWrt:/# ",
        "OpenWrt login: ",
        "postwired: listening on /dev/ttyS0 at 115200 baud\r\n",
        "[ 7.0] usb 1-1\r\n",
    ] {
        assert_eq!(after(&[running], TEXT_QUIET.as_millis() as u64), None, "{running}");
    }
    // Once it has answered, only a new start counts.
    let base = Instant::now();
    let mut boot = Boot::new(base);
    boot.packet();
    boot.take(kernel.as_bytes(), base);
    assert_eq!(boot.hold(base), None);
    boot.take(b"[    0.000000] Linux version 6.6.93\r\n", base);
    assert_eq!(boot.hold(base), Some(Hold::Starting));
    boot.packet();
    assert_eq!(boot.hold(base), None);
    // Kernel lines that never end do not hold up for ever.
    let mut boot = Boot::new(base);
    let mut held = 0;
    for second in 0..100 {
        let now = base + Duration::from_secs(second);
        boot.take(
            format!("[   {second:2}.500000] spam\r\n").replace("[    0", "[    9").as_bytes(),
            now,
        );
        held += u32::from(boot.hold(now).is_some());
    }
    assert_eq!(held, 30);
}

#[test]
fn a_start_that_does_not_end_is_given_up() {
    let base = Instant::now();
    let mut boot = Boot::new(base);
    boot.take(b"U-Boot 2024.01\r\n", base);
    for second in 0..LIMIT.as_secs() {
        let now = base + Duration::from_secs(second);
        boot.take(b"T T T Retry count exceeded; starting again\r\n", now);
        assert_eq!(boot.hold(now), Some(Hold::Starting), "{second}");
    }
    assert_eq!(boot.hold(base + LIMIT), Some(Hold::TooLong));
}
