//! `cargo xtask record`: the recording of README. A router in a virtual machine is claimed and pushed to over its serial
//! line, and then given a change over UDP that cuts the operator off, which the router reverts.
//!
//! Every command runs, and its output appears at the time at which it came; only the typing is made up. Addresses of the
//! lab are replaced by those that a router at home has.
//!
//! | module | holds |
//! |---|---|
//! | `cast` | the recording as asciicast v2, for players of terminals |
//! | `picture` | the same as an animated SVG, for pages |

mod cast;
mod picture;

use crate::{Arch, Lab, Vm, demo::start_agent};
use anyhow::{Context, Result, ensure};
use cast::Event;
use std::{
    fs,
    io::{Read, pipe},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};
use xtask::build;

/// Record a claim, a push, and a push that cuts the operator off
#[derive(clap::Args)]
pub struct Args {
    /// The folder to write `recording.cast` and `recording.svg` to
    #[arg(long, value_name = "FOLDER", default_value = "docs")]
    out: PathBuf,
}

/// The file of the first push.
const RIGHT: &str = "\
[Interface]
PrivateKey = generate
Address = 10.20.0.1/24
ListenPort = 51820

[Peer]
PublicKey = 6/WO4B3fHrINZqDDIzix7dbb+eCRnZkHXZqiBd4sem4=
AllowedIPs = 10.20.0.2/32
";

/// The address of the operator, as the router sees it: QEMU's network has this one for the host.
const OPERATOR: &str = "10.0.2.2";

/// Seconds of a keystroke, before Enter, and after a command.
const KEY: f64 = 0.035;
const ENTER: f64 = 0.3;
const PAUSE: f64 = 1.2;

impl Args {
    /// Runs the chore.
    pub fn run(self) -> Result<ExitCode> {
        let agent = fs::read(build::agent(Arch::X86_64)?)?;
        let tool = build::postwire()?;
        let lab = Lab::prepare(Arch::X86_64)?;
        let folder = build::target_folder().join("lab").join("record");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let vm = lab.machine("shed").file("/bin/postwired", 0o755, agent).boot()?;
        start_agent(&vm, "")?;

        let mut desk = Desk::new(&vm, &tool, &folder)?;
        fs::write(folder.join("wg0.conf"), RIGHT)?;
        desk.say("A new router, and its serial cable. The operator has a key:")?;
        desk.run("postwire keygen", 0)?;
        desk.run("postwire claim --serial /dev/ttyUSB0 --as anne", 0)?;
        desk.run("cat wg0.conf", 0)?;
        desk.run("postwire push wg0.conf --serial /dev/ttyUSB0", 0)?;
        desk.say("Now over the network, with a mistake: the operator's own address goes into the tunnel.")?;
        desk.run("sed -i 's|^AllowedIPs.*|&, 192.168.1.2/32|' wg0.conf", 0)?;
        desk.run("postwire push wg0.conf --udp 192.168.1.1 --confirm-within 10s", 1)?;
        desk.say("The router is back where it was:")?;
        desk.run("postwire status --udp 192.168.1.1", 0)?;

        fs::create_dir_all(&self.out)?;
        for (name, text) in [
            ("recording.cast", cast::text(&desk.events)?),
            ("recording.svg", picture::svg(&desk.events)),
        ] {
            let path = self.out.join(name);
            fs::write(&path, text)?;
            println!("{}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The operator's terminal.
struct Desk<'a> {
    /// What the operator types, and what stands for it here. The address of the operator is last: it is short.
    names: [(&'static str, String); 4],
    tool: &'a Path,
    folder: &'a Path,
    events: Vec<Event>,
    /// Seconds since the beginning.
    now: f64,
}

impl<'a> Desk<'a> {
    fn new(vm: &Vm, tool: &'a Path, folder: &'a Path) -> Result<Self> {
        let serial = vm.serial().path().to_str().context("a path that is no text")?.to_owned();
        let home = fs::canonicalize(folder)?.join("home");
        let names = [
            ("/home/anne/.config/postwire", home.display().to_string()),
            ("/dev/ttyUSB0", serial),
            ("192.168.1.1", format!("127.0.0.1:{}", vm.udp_port())),
            ("192.168.1.2", OPERATOR.to_owned()),
        ];
        Ok(Self { names, tool, folder, events: Vec::new(), now: 0.5 })
    }

    fn show(&mut self, text: &str) {
        let text = self
            .names
            .iter()
            .fold(text.to_owned(), |text, (shown, here)| text.replace(here, shown));
        print!("{text}");
        self.events.push(Event { at: self.now, text });
    }

    fn type_in(&mut self, text: &str) {
        self.show("$ ");
        for key in text.chars() {
            self.now += KEY;
            self.show(key.encode_utf8(&mut [0; 4]));
        }
        self.now += ENTER;
        self.show("\n");
    }

    /// Types a remark.
    fn say(&mut self, words: &str) -> Result<()> {
        self.type_in(&format!("# {words}"));
        self.now += PAUSE;
        Ok(())
    }

    /// Types a command, runs it, and shows its output as it comes.
    fn run(&mut self, shown: &str, code: i32) -> Result<()> {
        self.type_in(shown);
        let here = self
            .names
            .iter()
            .fold(shown.to_owned(), |text, (shown, here)| text.replace(shown, here));
        let (mut output, end) = pipe()?;
        let mut command = Command::new("sh");
        let home = fs::canonicalize(self.folder)?.join("home");
        command.args(["-c", &here]).current_dir(self.folder).env("POSTWIRE_HOME", home);
        let folder = self.tool.parent().context("a tool without a folder")?;
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", fs::canonicalize(folder)?.display()));
        command.stdin(Stdio::null()).stdout(end.try_clone()?).stderr(end);
        let (begun, from) = (Instant::now(), self.now);
        let mut child = command.spawn().context("starting sh")?;
        // The command has the other ends of the pipe.
        drop(command);
        let mut buf = [0; 4096];
        loop {
            let len = output.read(&mut buf)?;
            if len == 0 {
                break;
            }
            self.now = from + begun.elapsed().as_secs_f64();
            self.show(&String::from_utf8_lossy(&buf[..len]));
        }
        let status = child.wait()?;
        ensure!(status.code() == Some(code), "`{shown}` ended with {status}, not with {code}");
        self.now += PAUSE;
        Ok(())
    }
}
