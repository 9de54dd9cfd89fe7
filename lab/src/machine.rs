//! The description of a machine: its content, its wires, and the QEMU command that follows from
//! them.

use super::{
    Arch, Lab,
    disk::Disk,
    initramfs::{self, Contents, File},
    process::Process,
    programs::{self, Program},
    vm::Vm,
    wire::{Wire, WireEnd, free_udp_port},
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// The UDP port of `postwired`, which is forwarded to every machine.
pub const AGENT_PORT: u16 = 5182;

/// How far each instruction advances the clock of a machine that counts instructions. The clock is
/// slow, so that a tick of the kernel (4 ms) is not many instructions.
pub const NANOSECONDS_PER_INSTRUCTION: u32 = 16;

/// The description of a machine, which can be booted any number of times.
#[derive(Clone)]
pub struct Machine<'lab> {
    lab: &'lab Lab,
    name: String,
    files: Vec<File>,
    programs: Vec<Program>,
    modules: Vec<String>,
    wires: Vec<(Option<WireEnd>, String)>,
    disk: Option<(Disk, String)>,
    counts_instructions: bool,
    forwards_ssh: bool,
    kernel_arguments: Vec<String>,
    one_port: bool,
}

impl<'lab> Machine<'lab> {
    pub fn new(lab: &'lab Lab, name: &str) -> Self {
        Self {
            lab,
            name: name.to_owned(),
            files: Vec::new(),
            programs: Vec::new(),
            modules: Vec::new(),
            wires: Vec::new(),
            disk: None,
            counts_instructions: false,
            forwards_ssh: false,
            kernel_arguments: Vec::new(),
            one_port: false,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a file that exists when the machine starts.
    pub fn file(mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push(File { path: path.to_owned(), mode, bytes: bytes.into() });
        self
    }

    /// Adds Debian's `wg`.
    pub fn with_wireguard_tools(self) -> Self {
        self.with_program(programs::WG)
    }

    /// Adds Debian's `strace`.
    pub fn with_strace(self) -> Self {
        self.with_program(programs::STRACE)
    }

    /// Adds a netcat with UDP, as `nc.traditional`.
    pub fn with_netcat(self) -> Self {
        self.with_program(programs::NETCAT)
    }

    /// Adds one of the programs that the lab was prepared with.
    pub fn with_program(mut self, program: Program) -> Self {
        self.programs.push(program);
        self
    }

    /// Adds a kernel module, loaded with its dependencies before the machine is ready.
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.to_owned());
        self
    }

    /// Adds a network card (`eth1`, then `eth2`) on `wire`, with an address such as `192.0.2.1/24`.
    pub fn wire(mut self, wire: &Wire, address: &str) -> Self {
        self.wires.push((wire.end(), address.to_owned()));
        self
    }

    /// Adds a disk that outlives the machine, mounted at `place` when the machine is ready.
    pub fn disk(mut self, disk: &Disk, place: &str) -> Self {
        self.disk = Some((disk.clone(), place.to_owned()));
        self
    }

    /// Forwards the TCP port of this machine that has the number of [`Vm::udp_port`] to the SSH port.
    pub fn forwarding_ssh(mut self) -> Self {
        self.forwards_ssh = true;
        self
    }

    /// Adds a word to the kernel's command line.
    pub fn kernel_argument(mut self, word: &str) -> Self {
        self.kernel_arguments.push(word.to_owned());
        self
    }

    /// Makes the line under test the kernel's console too, as on a router with one serial port. The log of the bench
    /// then has nothing of the kernel, whose driver has one console.
    pub fn with_one_port(mut self) -> Self {
        self.one_port = true;
        self
    }

    /// Makes the machine's clock count its instructions ([`NANOSECONDS_PER_INSTRUCTION`] for each)
    /// instead of the bench's time.
    pub fn counting_instructions(mut self) -> Self {
        self.counts_instructions = true;
        self
    }

    /// Starts the machine and waits until its control channel answers.
    pub fn boot(&self) -> Result<Vm> {
        self.start().with_context(|| format!("machine `{}` does not start", self.name))
    }

    fn start(&self) -> Result<Vm> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = self.lab.run_folder().join(format!("{number}-{}", self.name));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("init.cpio"), self.initramfs()?)?;

        let (udp_port, reserved) = free_udp_port()?;
        let arguments = self.arguments(number, udp_port)?;
        let command: Vec<String> = arguments.iter().map(|a| format!("'{a}'")).collect();
        let profile = crate::profile(self.lab.arch());
        fs::write(folder.join("command"), format!("{} {}\n", profile.qemu, command.join(" ")))?;
        drop(reserved);
        let log = folder.join("qemu.log");
        let process = Process::start(profile.qemu, &arguments, &folder, &log)?;
        Vm::attach(&self.name, folder, process, udp_port)
    }

    fn initramfs(&self) -> Result<Vec<u8>> {
        let kernel = self.lab.modules();
        let mut modules = crate::profile(self.lab.arch()).modules.to_vec();
        // To capture netlink traffic; not every kernel has this module.
        modules.extend(kernel.has("nlmon").then_some("nlmon"));
        if self.disk.is_some() {
            // ext4 requests the checksum by name, which `depends=` does not list.
            modules.extend(["virtio_blk", "crc32c_generic", "ext4"]);
        }
        modules.extend(self.modules.iter().map(String::as_str));
        let contents = Contents { modules: &modules, programs: &self.programs, files: &self.files };
        initramfs::build(self.lab.packages(), kernel, &contents)
    }

    fn arguments(&self, number: u32, udp_port: u16) -> Result<Vec<String>> {
        let profile = crate::profile(self.lab.arch());
        let bus = profile.bus;
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|w| (*w).to_owned()));
        add(&["-name", &self.name, "-nodefaults", "-no-user-config", "-display", "none"]);
        // Not KVM, even if /dev/kvm opens: guests hang on machines with broken nested
        // virtualization.
        add(&["-no-reboot", "-accel", "tcg"]);
        if self.counts_instructions {
            let shift = NANOSECONDS_PER_INSTRUCTION.ilog2();
            // An idle machine skips to its next event.
            add(&["-icount", &format!("shift={shift},sleep=off")]);
        }
        add(profile.machine);
        if self.lab.arch() == Arch::X86_64 {
            // The serial number that a board's firmware would tell.
            add(&["-smbios", &format!("type=1,serial=LAB-{}", self.name)]);
        }
        if !self.counts_instructions {
            add(profile.faster);
        }
        add(&["-kernel", path_text(self.lab.kernel())?, "-initrd", "init.cpio"]);

        let console = match profile.line.strip_prefix("/dev/") {
            Some(line) if self.one_port => line,
            _ => profile.console,
        };
        let mut append = format!(
            "console={console} {}quiet panic=-1 oops=panic LAB_NAME={} LAB_LINE={} LAB_ETH0=10.0.2.15/24",
            profile.append, self.name, profile.line
        );
        if !self.counts_instructions {
            // The emulator translates a program again for each address it is loaded at, which takes
            // longer than running it. And a fifth of a boot is the kernel's self-test of its
            // ciphers.
            append.push_str(" norandmaps cryptomgr.notests");
        }
        for word in &self.kernel_arguments {
            append.push_str(&format!(" {word}"));
        }
        for ((_, address), number) in self.wires.iter().zip(1..) {
            append.push_str(&format!(" LAB_ETH{number}={address}"));
        }
        if let Some((_, place)) = &self.disk {
            append.push_str(&format!(" LAB_DISK={place}"));
        }
        add(&["-append", &append]);

        // Paths are relative to the folder of this run, because a socket path has at most 107
        // bytes.
        add(&["-chardev", "file,id=console,path=console.log"]);
        add(&["-chardev", "socket,id=control,path=control.sock,server=on,wait=off"]);
        add(&["-chardev", "socket,id=line,path=line.sock,server=on,wait=off"]);
        add(&["-qmp", "unix:qmp.sock,server=on,wait=off"]);
        add(&["-device", &format!("virtio-serial-{bus},max_ports=4")]);
        add(&["-device", "virtserialport,chardev=control,name=control"]);
        add(profile.serial);
        add(&["-device", &format!("virtio-rng-{bus}")]);

        let card = |net: &str, which: u8| {
            let rom = profile.no_rom;
            let mac =
                format!("52:54:00:{which:02x}:{:02x}:{:02x}", number >> 8 & 0xff, number & 0xff);
            format!("virtio-net-{bus},netdev={net},mac={mac}{rom}")
        };
        let mut forward = format!("hostfwd=udp:127.0.0.1:{udp_port}-10.0.2.15:{AGENT_PORT}");
        if self.forwards_ssh {
            forward.push_str(&format!(",hostfwd=tcp:127.0.0.1:{udp_port}-10.0.2.15:22"));
        }
        add(&["-netdev", &format!("user,id=bench,{forward}"), "-device", &card("bench", 0)]);
        for ((end, _), number) in self.wires.iter().zip(1..) {
            let end = end.context("a wire has two ends, and both are taken")?;
            let WireEnd { local, remote } = end;
            let id = format!("wire{number}");
            let netdev = format!(
                "dgram,id={id},local.type=inet,local.host=127.0.0.1,local.port={local},\
                 remote.type=inet,remote.host=127.0.0.1,remote.port={remote}"
            );
            add(&["-netdev", &netdev, "-device", &card(&id, number)]);
        }
        if let Some((disk, _)) = &self.disk {
            let device = format!("virtio-blk-{bus},drive=disk");
            add(&["-drive", &disk.drive("disk")?, "-device", &device]);
        }
        Ok(arguments)
    }
}

/// The only path passed to QEMU that the lab does not choose; `-kernel` accepts commas.
fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The folder for the sockets and logs of this process's machines.
pub(crate) fn run_folder(lab: &Path) -> PathBuf {
    lab.join("run").join(std::process::id().to_string())
}
