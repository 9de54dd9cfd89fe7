//! The init script, the scripts of the packages and uci-defaults, run by busybox's shell in the tree that a package
//! installs, with the agent of the package.

use super::{Root, packages::agent};
use anyhow::{Context, Result, ensure};
use pack::{apk, ipk, tree::Node};
use std::fs;
use xtask::openwrt::{
    self,
    recipes::{RECIPES, Recipe},
};

/// The architecture of the packages, which this machine runs.
const ARCH: &str = "x86_64";
const INIT: &str = "/etc/init.d/postwired";
/// The first option of a section, for cases that are about others.
const SERIAL: &str = "option serial '/dev/ttyS0'";

/// The package with everything.
fn full() -> Result<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.name == "postwired").context("no package postwired")
}

/// A router with the package installed.
fn router(name: &str) -> Result<Root> {
    let root = Root::new(name)?;
    let recipe = full()?;
    let ipk = openwrt::ipk(recipe, ARCH, agent(recipe)?.as_deref())?;
    openwrt::unpack(&ipk.tree, &root.0)?;
    Ok(root)
}

/// A section with these lines.
fn section(lines: &str) -> String {
    format!("config postwired 'main'\n{lines}\n")
}

/// A UCI file, and what procd is told: lines that are in the record, and lines that are not (`!`).
struct Right {
    what: &'static str,
    uci: &'static str,
    record: &'static [&'static str],
}

const JAIL: &str = "jail postwired procfs sysfs";
const NO_JAIL: &str =
    "daemon.notice postwired.main: no jail, in which people at the serial port would have no shell";
const PROG: &str = "command /usr/sbin/postwired serve";

const RIGHT: &[Right] = &[
    Right {
        what: "the serial port of the board alone",
        uci: "option serial 'auto'",
        record: &[
            "command /usr/sbin/postwired serve --serial auto",
            "file /usr/sbin/postwired",
            "respawn 3600 5 0",
            "stdout 1",
            "stderr 1",
            JAIL,
            "capabilities /etc/capabilities/postwired.json",
            "no_new_privs 1",
            "writable /etc/postwired /var/run/postwired /dev/ttyS0",
            "read-only /dev/kmsg",
            "read-only /tmp/sysinfo",
            "read-only /etc/hosts",
            "read-only /etc/config",
            "trigger postwired",
            "changed firewall",
            "!firewall",
        ],
    },
    Right {
        what: "an interface for UDP, without a serial port",
        uci: "list udp 'br-lan'",
        record: &[
            "command /usr/sbin/postwired serve --udp br-lan",
            "writable /etc/postwired /var/run/postwired",
            "firewall type=rule src=lan proto=udp dest_port=5182 target=ACCEPT",
        ],
    },
    Right {
        what: "several places, ports and zones",
        uci: "list udp 'br-lan'\nlist udp '[fd00::1]:7'\nlist udp '10.0.0.1:7'\nlist zone 'lan'\nlist zone 'wan'",
        record: &[
            "command /usr/sbin/postwired serve --udp br-lan --udp [fd00::1]:7 --udp 10.0.0.1:7",
            "firewall type=rule src=lan proto=udp dest_port=5182 target=ACCEPT",
            "firewall type=rule src=lan proto=udp dest_port=7 target=ACCEPT",
            "firewall type=rule src=wan proto=udp dest_port=5182 target=ACCEPT",
            "firewall type=rule src=wan proto=udp dest_port=7 target=ACCEPT",
        ],
    },
    Right {
        what: "every option",
        uci: "option enabled 'yes'\noption serial '/dev/ttyS0'\noption baud '57600'\nlist udp '192.168.1.1'\n\
              list interface 'wg*'\nlist interface 'vpn0'\noption keep '/etc/other'\noption state '/tmp/state'\n\
              option label_secret '/etc/label'\noption jail '0'\noption firewall 'no'",
        record: &[
            "command /usr/sbin/postwired serve --udp 192.168.1.1 --interface wg* --interface vpn0 --serial \
             /dev/ttyS0@57600 --keep /etc/other --state /tmp/state --label-secret /etc/label",
            "!jail",
            "!capabilities",
            "!firewall",
        ],
    },
    Right {
        what: "an option in place of a list of one, double quotes, empty options and remarks",
        uci: "# a remark\n\n\toption udp \"br-lan:7\"\n\toption serial ''\n\toption label_secret \"\"\n",
        record: &[
            "command /usr/sbin/postwired serve --udp br-lan:7",
            "firewall type=rule src=lan proto=udp dest_port=7 target=ACCEPT",
        ],
    },
    Right {
        what: "a path with a space",
        uci: "option udp 'br-lan'\noption keep '/etc/post wired'",
        record: &[
            "command /usr/sbin/postwired serve --udp br-lan --keep '/etc/post wired'",
            "!jail",
        ],
    },
    Right {
        what: "a label's secret, read in the jail",
        uci: "option serial 'auto@9600'\noption label_secret '/etc/label'",
        record: &[
            "command /usr/sbin/postwired serve --serial auto@9600 --label-secret /etc/label",
            "file /usr/sbin/postwired /etc/label",
            "read-only /etc/label",
        ],
    },
    Right {
        what: "a serial port that is not there, and so no jail",
        uci: "option serial '/dev/ttyUSB0'",
        record: &["command /usr/sbin/postwired serve --serial /dev/ttyUSB0", "!jail"],
    },
    Right {
        what: "nothing for a person at the serial port",
        uci: "option serial 'auto'\noption console 'off'",
        record: &["command /usr/sbin/postwired serve --serial auto --console off", JAIL],
    },
    Right {
        what: "a shell for a person at the serial port, and so no jail",
        uci: "option serial 'auto'\noption console 'shell'\noption shell '/bin/ash'",
        record: &[
            "command /usr/sbin/postwired serve --serial auto --console shell --shell /bin/ash",
            "!jail",
            NO_JAIL,
        ],
    },
    Right {
        what: "a program for the console's command `shell`, and so no jail",
        uci: "option serial 'auto'\noption shell '/usr/libexec/login.sh'",
        record: &[
            "command /usr/sbin/postwired serve --serial auto --shell /usr/libexec/login.sh",
            "!jail",
            NO_JAIL,
        ],
    },
    Right {
        what: "a shell without a jail that could be left out",
        uci: "option serial 'auto'\noption console 'shell'\noption jail '0'",
        record: &[
            "command /usr/sbin/postwired serve --serial auto --console shell",
            "!jail",
            "!daemon.notice",
        ],
    },
    Right {
        what: "drift, and a program of the user's, and so no jail",
        uci: "option serial 'auto'\noption on_drift 'repair'\noption applied '/usr/libexec/hook'",
        record: &[
            "command /usr/sbin/postwired serve --serial auto --on-drift repair --applied /usr/libexec/hook",
            "!jail",
        ],
    },
    Right {
        what: "an agent that is not wanted",
        uci: "option enabled '0'\noption serial 'nonsense'",
        record: &["trigger postwired", "set", "!instance", "!command", "!daemon.err"],
    },
];

/// Whether the record has what is said of it.
fn check(what: &str, record: &str, wanted: &[&str]) -> Result<()> {
    for line in wanted {
        let is_there = match line.strip_prefix('!') {
            Some(word) => !record.lines().any(|line| line.split(' ').next() == Some(word)),
            None => record.lines().any(|recorded| recorded == *line),
        };
        ensure!(is_there, "{what}: the record should have `{line}`:\n{record}");
    }
    Ok(())
}

/// The files that the jail has without their folder, whose other files are not for the agent. Such a mount shows the
/// old file when another one is renamed to its name.
const MOUNTED_FILES: [&str; 4] = ["/etc/hosts", "/etc/label", "/bin/sh", "/bin/ubus"];

/// Every mount for reading is a folder, a device, or one of the files that are known.
fn mounts(root: &Root, what: &str, record: &str) -> Result<()> {
    let lines = record.lines().filter_map(|line| line.strip_prefix("read-only "));
    for path in lines.flat_map(str::split_whitespace) {
        let is_folder = root.path(path.trim_start_matches('/')).is_dir();
        ensure!(
            is_folder || path.starts_with("/dev/") || MOUNTED_FILES.contains(&path),
            "{what}: the jail would keep the old {path} when it is replaced"
        );
    }
    Ok(())
}

pub(super) fn right() -> Result<String> {
    let root = router("right")?;
    root.file("etc/label", "a secret\n")?;
    for file in ["etc/hosts", "etc/config/network"] {
        root.file(file, "")?;
    }
    let mut shown = String::new();
    for Right { what, uci, record } in RIGHT {
        root.file("etc/config/postwired", &section(uci))?;
        let (code, out, err) = root.run(&[INIT, "start"])?;
        let recorded = root.record();
        ensure!(code == 0, "{what}: exit code {code}\n{out}{err}\n{recorded}");
        ensure!(err.is_empty(), "{what}: it says {err}");
        check(what, &recorded, record)?;
        mounts(&root, what, &recorded)?;
        let command = recorded.lines().find(|line| line.starts_with(PROG)).unwrap_or("no command");
        shown += &format!("\n{what}: {command}");
    }
    // The file as it is shipped, and a section without a name.
    let shipped = fs::read_to_string(
        xtask::build::workspace().join("integrations/openwrt/files/etc/config/postwired"),
    )?;
    for text in [shipped.clone(), shipped.replace(" 'main'", "")] {
        root.file("etc/config/postwired", &text)?;
        let (code, _, err) = root.run(&[INIT, "boot"])?;
        ensure!(code == 0 && err.is_empty(), "the shipped file: {err}");
        let command =
            "command /usr/sbin/postwired serve --udp br-lan --interface wg* --serial auto";
        check("the shipped file", &root.record(), &[command, JAIL])?;
        shown += &format!("\nas shipped: {command}");
    }
    // Without ujail, and without the capabilities' file: root.
    for missing in ["sbin/ujail", "etc/capabilities/postwired.json"] {
        fs::rename(root.path(missing), root.path("away"))?;
        root.run(&[INIT, "start"])?;
        check(missing, &root.record(), &["instance", "!jail", "!capabilities", "!no_new_privs"])?;
        fs::rename(root.path("away"), root.path(missing))?;
    }
    // Without dnsmasq, before netifd has written the name servers and later.
    root.sh("/bin/ln -s /tmp/resolv.conf /etc/resolv.conf; \
         /bin/ln -s /tmp/resolv.conf.d/resolv.conf.auto /tmp/resolv.conf; /bin/mkdir /tmp/resolv.conf.d")?;
    for script in [":", "/bin/touch /tmp/resolv.conf.d/resolv.conf.auto"] {
        root.sh(script)?;
        root.run(&[INIT, "start"])?;
        check("without dnsmasq", &root.record(), &["instance", "!jail"])?;
    }
    root.sh("/bin/rm /tmp/resolv.conf; /bin/touch /tmp/resolv.conf")?;
    // With postwired-proto beside it.
    for program in ["lib/netifd/postwire-renew", "bin/ubus"] {
        root.program(program, b"")?;
    }
    root.run(&[INIT, "start"])?;
    let record = [
        "command /usr/sbin/postwired serve --udp br-lan --interface wg* --serial auto --applied \
         /lib/netifd/postwire-renew",
        "jail postwired procfs sysfs ubus",
        "read-only /lib/netifd",
        "read-only /bin/sh",
        "read-only /bin/ubus",
    ];
    let recorded = root.record();
    check("postwired-proto", &recorded, &record)?;
    mounts(&root, "postwired-proto", &recorded)?;
    Ok(format!("{} files{shown}", RIGHT.len() + 2))
}

/// UCI files that are wrong: the lines of the section, and the beginning of the complaint.
const WRONG: &[(&str, &str)] = &[
    ("option upd 'br-lan'", "postwired.main.upd: there is no such option"),
    ("option udp '10.0.0.l'", "postwired.main.udp: --udp takes an address or interface"),
    ("option udp '10.0.0.1:70000'", "postwired.main.udp: --udp takes"),
    ("list udp 'br-lan'\nlist udp '10.0.0.1'", "postwired.main.udp: --udp 10.0.0.1 overlaps"),
    (
        "list udp 'a'\nlist udp 'b'\nlist udp 'c'\nlist udp 'd'\nlist udp 'e'",
        "postwired.main.udp: --udp is given more",
    ),
    ("list udp 'a'\nlist udp 'a'", "postwired.main.udp: --udp is given twice"),
    ("option serial 'auto'\noption console 'yes'", "postwired.main.console: --console takes"),
    ("option serial 'ttyS0'", "postwired.main.serial: --serial takes a device"),
    ("option serial 'auto'\noption baud 'fast'", "postwired.main.baud: takes bits a second"),
    ("option serial 'auto'\noption baud '0'", "postwired.main.serial: --serial takes"),
    ("option udp 'a'\noption baud '9600'", "postwired.main.baud: has no effect"),
    (
        "option enabled 'maybe'\noption serial 'auto'",
        "postwired.main.enabled: takes 1 or 0, not `maybe`",
    ),
    ("option jail '2'\noption serial 'auto'", "postwired.main.jail: takes 1 or 0"),
    ("list serial 'auto'", "postwired.main.serial: takes one value"),
    (
        "option serial 'auto'\noption keep 'etc'",
        "postwired.main.keep: --keep takes an absolute path",
    ),
    (
        "option serial 'auto'\noption label_secret 'x'",
        "postwired.main.label_secret: --label-secret takes an absolute",
    ),
    (
        "option serial 'auto'\noption keep '/a'\noption state '/a/'",
        "postwired.main.state: --state and --keep are the same folder",
    ),
    ("option serial 'auto'\nlist interface 'a b'", "postwired.main.interface: --interface takes"),
    ("option serial 'auto'\nlist zone 'l*n'", "postwired.main.zone: takes the name of a zone"),
    ("option interface 'wg0'", "postwired.main: nothing to listen on: set serial, udp or both"),
    ("", "postwired.main: nothing to listen on"),
    (
        "option serial 'auto'\nconfig postwired 'other'",
        "postwired.other: there is one agent, and section postwired.main",
    ),
    (
        "option serial 'auto'\nconfig agent 'other'",
        "postwired.other: there is no section type `agent`",
    ),
    ("option serial 'auto'\nnonsense", "postwired: /etc/config/postwired cannot be read"),
];

/// Runs an action that has to be refused, and returns the record.
fn refused(root: &Root, action: &str, words: &str) -> Result<String> {
    let (code, out, err) = root.run(&[INIT, action])?;
    ensure!(code != 0, "{action} ends with 0\n{out}{err}");
    let complaint = format!("postwired: {words}");
    ensure!(
        err.lines().any(|line| line.starts_with(&complaint)),
        "{action}: no `{complaint}`:\n{err}"
    );
    let record = root.record();
    let logged = format!("daemon.err {words}");
    ensure!(
        record.lines().any(|line| line.starts_with(&logged)),
        "{action}: no `{logged}`:\n{record}"
    );
    Ok(record)
}

pub(super) fn wrong() -> Result<String> {
    let root = router("wrong")?;
    let mut shown = String::new();
    for (uci, words) in WRONG {
        root.file("etc/config/postwired", &section(uci))?;
        for action in ["check", "start", "boot", "reload", "restart"] {
            let record = refused(&root, action, words).with_context(|| format!("{uci:?}"))?;
            check(uci, &record, &["!instance", "!command", "!kill"])?;
            // After a repair of the file, procd starts the agent by itself.
            if matches!(action, "start" | "boot") {
                check(uci, &record, &["trigger postwired", "set"])?;
            }
            if action == "check" {
                let line = record.lines().find(|line| line.starts_with("daemon.err"));
                shown += &format!("\n{}", line.unwrap_or_default());
            }
        }
    }
    root.file("tmp/sysinfo/board_name", "nobody,s-board\n")?;
    root.file("etc/config/postwired", &section("option serial 'auto'"))?;
    refused(
        &root,
        "start",
        "postwired.main.serial: --serial auto: the serial port of the board `nobody,s-board`",
    )?;
    fs::remove_file(root.path("etc/config/postwired"))?;
    refused(&root, "start", "postwired: /etc/config/postwired cannot be read")?;
    root.file("etc/config/postwired", "")?;
    refused(&root, "start", "postwired: /etc/config/postwired has no section of type postwired")?;
    Ok(format!("{} files{shown}", WRONG.len() + 3))
}

pub(super) fn running() -> Result<String> {
    let root = router("running")?;
    root.file("running", "")?;
    root.file("etc/config/postwired", &section("option serial 'ttyS0'"))?;
    for action in ["start", "reload", "restart"] {
        let record = refused(&root, action, "postwired.main.serial")?;
        // A `set` without an instance would end it, and so would `kill`.
        check(action, &record, &["!set", "!kill", "!instance"])?;
    }
    root.file("etc/config/postwired", &section(SERIAL))?;
    root.run(&[INIT, "reload"])?;
    check("reload", &root.record(), &["set", "instance", "!kill"])?;
    root.run(&[INIT, "restart"])?;
    check("restart", &root.record(), &["kill", "set", "instance"])?;
    root.file("etc/config/postwired", &section("option enabled '0'"))?;
    root.run(&[INIT, "reload"])?;
    check("disabled", &root.record(), &["set", "!instance"])?;
    Ok(String::new())
}

pub(super) fn console() -> Result<String> {
    let root = router("console")?;
    root.file("etc/config/postwired", &section(SERIAL))?;
    // As proc(5) shows askfirst: state, parent, group, session, and the number of its terminal (4:64).
    let process =
        |state: &str| format!("212 (askfirst) {state} 1 212 212 1088 212 4194560 70 0 0 0 0 0 0\n");
    root.file("proc/212/stat", &process("S"))?;
    let (code, _, err) = root.run(&[INIT, "start"])?;
    ensure!(code == 0, "exit code {code}: {err}");
    for words in ["/dev/ttyS0", "askfirst (process 212)", "postwired console take"] {
        ensure!(err.contains(words), "no `{words}` in: {err}");
    }
    check("askfirst has the port", &root.record(), &["instance", "!jail"])?;
    // A stopped program reads nothing.
    root.file("proc/212/stat", &process("T"))?;
    let (_, _, said) = root.run(&[INIT, "start"])?;
    ensure!(said.is_empty(), "{said}");
    check("askfirst is stopped", &root.record(), &["instance", JAIL])?;
    Ok(err.trim().to_owned())
}

pub(super) fn scripts() -> Result<String> {
    for recipe in RECIPES {
        let Some(agent) = agent(recipe)? else { continue };
        let ipk = ipk::Package::read(&openwrt::ipk(recipe, ARCH, Some(&agent))?.write()?)?;
        let root = Root::new(&format!("scripts-{}-ipk", recipe.name))?;
        openwrt::unpack(&ipk.tree, &root.0)?;
        let info = format!("usr/lib/opkg/info/{}", recipe.name);
        for (path, entry) in ipk.extra.iter() {
            if let Node::File(bytes) = &entry.node {
                root.program(&format!("{info}.{path}"), bytes)?;
            }
        }
        let paths: Vec<String> = ipk.tree.iter().map(|(path, _)| format!("/{path}\n")).collect();
        root.file(&format!("{info}.list"), &paths.concat())?;
        installs(&root, &format!("/{info}.postinst"), "configure")?;
        removes(&root, &format!("/{info}.prerm"), "remove")?;

        let bytes = openwrt::apk(recipe, ARCH, Some(&agent))?.write(apk::Compression::Deflate)?;
        let apk = apk::Package::read(&bytes)?;
        let root = Root::new(&format!("scripts-{}-apk", recipe.name))?;
        openwrt::unpack(&apk.tree, &root.0)?;
        for (name, script) in &apk.scripts {
            root.program(&format!("tmp/{name}"), script)?;
        }
        installs(&root, "/tmp/post-install", "0.1.0-r1")?;
        let upgrade = root.run(&["/tmp/post-upgrade", "0.1.0-r1", "0.0.9-r1"])?;
        ensure!(upgrade.0 == 0, "post-upgrade: {upgrade:?}");
        // procd replaces the agent that runs, because its file is another one: nothing else stops it.
        let record = ["instance", "file /usr/sbin/postwired", "set", "!enable", "!kill"];
        check("post-upgrade", &root.record(), &record)?;
        removes(&root, "/tmp/pre-deinstall", "0.1.0-r1")?;
    }
    Ok(String::new())
}

fn installs(root: &Root, script: &str, argument: &str) -> Result<()> {
    let (code, out, err) = root.run(&[script, argument])?;
    ensure!(code == 0 && err.is_empty(), "{script}: exit code {code}\n{out}{err}");
    check(script, &root.record(), &["enable 21", "instance", "set", "changed firewall"])?;
    let left = root.path("etc/uci-defaults/50-postwired").exists();
    ensure!(!left, "{script} left the script of uci-defaults");
    Ok(())
}

/// Removes a package whose agent has taken the console.
fn removes(root: &Root, script: &str, argument: &str) -> Result<()> {
    const INITTAB: &str = "::sysinit:/etc/init.d/rcS S boot\n::askconsole:/usr/libexec/login.sh\n\
        ttyS0::askfirst:/usr/libexec/login.sh\n::askfirst:/usr/libexec/login.sh\n";
    root.file("etc/inittab", INITTAB)?;
    root.sh("/usr/sbin/postwired console take")?;
    let inittab = || fs::read_to_string(root.path("etc/inittab"));
    for line in ["#postwired# ::askconsole", "#postwired# ttyS0::askfirst", "::askfirst"] {
        ensure!(inittab()?.contains(&format!("\n{line}")), "no `{line}`: {}", inittab()?);
    }
    let (code, out, err) = root.run(&[script, argument])?;
    ensure!(code == 0, "{script}: exit code {code}\n{out}{err}");
    ensure!(inittab()? == INITTAB, "{script} keeps the console: {}", inittab()?);
    check(script, &root.record(), &["kill", "disable", "changed firewall"])
}

pub(super) fn defaults() -> Result<String> {
    let root = router("defaults")?;
    const DEFAULTS: &str = "/etc/uci-defaults/50-postwired";
    let shipped = fs::read_to_string(root.path("etc/config/postwired"))?;
    let run = |cmdline: &str| -> Result<String> {
        root.file("etc/config/postwired", &shipped)?;
        root.file("proc/cmdline", cmdline)?;
        root.sh(&format!("( . {DEFAULTS} )"))?;
        let (code, out, err) = root.run(&[INIT, "check"])?;
        ensure!(
            code == 0,
            "{cmdline}: {out}{err}\n{}",
            fs::read_to_string(root.path("etc/config/postwired"))?
        );
        Ok(out)
    };
    ensure!(run("console=ttyS9,9600\n")? == "serial /dev/ttyS0\nudp port 5182\n", "a known board");
    root.file("tmp/sysinfo/board_name", "nobody,s-board\n")?;
    let cases = [
        (
            "console=tty1 console=ttyS0,9600n8 quiet\n",
            "serial /dev/ttyS0\nudp port 5182\n",
            "--serial /dev/ttyS0@9600",
        ),
        ("console=ttyS0\n", "serial /dev/ttyS0\nudp port 5182\n", "--serial /dev/ttyS0"),
        ("console=ttyS7,115200 root=/dev/sda\n", "udp port 5182\n", "--udp br-lan"),
        ("quiet\n", "udp port 5182\n", "--udp br-lan"),
    ];
    for (cmdline, checked, command) in cases {
        let out = run(cmdline)?;
        ensure!(out == checked, "{cmdline}: {out}");
        root.run(&[INIT, "start"])?;
        let record = root.record();
        ensure!(
            record.lines().any(|line| line.starts_with(PROG) && line.ends_with(command)
                || line.contains(&format!("{command} "))),
            "{cmdline}: {record}"
        );
    }
    Ok(format!("{} command lines of the kernel", cases.len() + 1))
}
