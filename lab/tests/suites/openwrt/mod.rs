//! The packages for OpenWrt, beside what other programs make and say of the same; and the service in a tree as a
//! router has it, with busybox's shell and stand-ins for OpenWrt's own scripts (`stub/`). No machine is needed.

mod inittab;
mod packages;
mod service;

use super::lanes::Part;
use anyhow::{Context, Result};
use lab::{apt::Unpacked, profile};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use xtask::{Arch, build};

type Test = fn() -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("a package is read back, and is the same bytes twice", packages::read_back),
    ("an installed tree of each package, listed", packages::listed),
    ("nfpm makes the same ipk but for named differences", packages::nfpm),
    ("signify and openssl verify the signatures of a feed", packages::signatures),
    ("keys that are missing or wrong are refused with words", packages::wrong_keys),
    ("the command line and the jail of UCI files", service::right),
    ("wrong UCI files are refused with the section and the option", service::wrong),
    ("a wrong option ends no agent that runs", service::running),
    ("a console that is in use is named, and keeps the agent out of the jail", service::console),
    ("the console is taken and given, each more than once", inittab::taken_and_given),
    ("the scripts of both formats install, upgrade and remove", service::scripts),
    ("an unknown board gets the kernel's console as its serial port", service::defaults),
];

fn named(test: &str) -> String {
    format!("openwrt: {test}")
}

pub(super) fn part() -> Part {
    let names = TESTS.iter().map(|(test, _)| named(test));
    Part::new("packages for OpenWrt", names, |tally| {
        TESTS.iter().for_each(|(test, run)| tally.test(&named(test), run));
        Ok(())
    })
    .ignored()
}

/// A new folder with this name.
fn fresh(name: &str) -> Result<PathBuf> {
    let folder = build::workspace().join(build::target_folder()).join("openwrt").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs a command, with its outputs as text and its exit code.
fn said(command: &mut Command) -> Result<(i32, String, String)> {
    let shown = format!("{command:?}");
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {shown}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
}

/// Stand-ins for OpenWrt's own programs and shell functions, by their paths on a router.
pub(super) const STAND_INS: [(&str, &[u8]); 4] = [
    ("etc/rc.common", include_bytes!("stub/rc.common")),
    ("lib/functions.sh", include_bytes!("stub/functions.sh")),
    ("sbin/logger", include_bytes!("stub/logger")),
    ("sbin/uci", include_bytes!("stub/uci")),
];

/// The root of a router's file system, to change into.
struct Root(PathBuf);

impl Root {
    /// A root with busybox and the stand-ins, and without a package.
    fn new(name: &str) -> Result<Self> {
        let root = Self(fresh(name)?);
        let cache = build::target_folder().join("lab/cache/busybox");
        let unpacked =
            Unpacked::get(&cache, profile(Arch::X86_64).debian, None, &["busybox-static"])?;
        let busybox =
            unpacked.file("/bin/busybox").or_else(|_| unpacked.file("/usr/bin/busybox"))?;
        for folder in [
            "dev",
            "proc/sys/net/ipv4/conf/all",
            "etc/config",
            "tmp/sysinfo",
            "var/run",
            "usr/sbin",
            "sbin",
        ] {
            fs::create_dir_all(root.path(folder))?;
        }
        root.program("bin/busybox", &fs::read(busybox)?)?;
        root.sh("/bin/busybox --install -s /bin; /bin/mknod /dev/null c 1 3; /bin/mknod /dev/ttyS0 c 4 64; /bin/mknod /dev/kmsg c 1 11")?;
        for (path, bytes) in STAND_INS {
            root.program(path, bytes)?;
        }
        root.program("sbin/ujail", b"")?;
        // The first board of `board` with a console that the agent knows.
        root.file("tmp/sysinfo/board_name", "glinet,gl-mt300n-v2\n")?;
        Ok(root)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn file(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    fn program(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&path, bytes)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
    }

    /// Runs a program of the root, as root, with the root as its `/`.
    fn run(&self, words: &[&str]) -> Result<(i32, String, String)> {
        let mut command = Command::new("chroot");
        command.arg(&self.0).args(words).env_clear().env("PATH", "/sbin:/usr/sbin:/bin");
        said(&mut command)
    }

    fn sh(&self, script: &str) -> Result<String> {
        let (code, out, err) = self.run(&["/bin/busybox", "sh", "-c", script])?;
        anyhow::ensure!(code == 0, "`{script}` ended with {code}\n{out}{err}");
        Ok(out)
    }

    /// What was recorded since the last time.
    fn record(&self) -> String {
        let path = self.path("record");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text
    }
}
