//! A directory in which to run the program, and the result of a run.

mod json;
mod schema;
mod typed;

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Duration;

use proto_core::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{OPERATOR, ROUTER, public};

pub(crate) use typed::Typed;

/// The template of the units of a manifest.
pub(crate) const SITE: &str = "\
[Interface]
PrivateKey = generate
Address = {{address}}

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
Endpoint = 192.0.2.7:51821
AllowedIPs = 10.0.0.0/8
";

const MANIFEST: &str = "\
version = 1
csv = \"units.csv\"

[defaults]
template = \"site.conf\"
interface = \"wg0\"
";

/// A directory with a `wg0.conf`, and the folder of an operator who has a key and knows the fake
/// router. It is removed when it is dropped.
pub(crate) struct Bench(PathBuf);

impl Bench {
    pub(crate) fn new(name: &str, conf: &str) -> Self {
        let bench = Self::bare(name);
        let file = bench.0.join("wg0.conf");
        std::fs::write(&file, conf).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        bench.write_key(&OPERATOR);
        bench.know("router", &public(&ROUTER));
        bench
    }

    /// An empty directory.
    pub(crate) fn bare(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("postwire-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Gives the operator a key.
    pub(crate) fn write_key(&self, key: &SecretKey) {
        let file = self.home().join("key");
        std::fs::write(&file, key.reveal(&mut [0; KEY_TEXT_LEN])).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }

    /// Adds a router to the operator's list.
    pub(crate) fn know(&self, name: &str, key: &PublicKey) {
        self.run(&["routers", "add", name, &key.to_string()]).ends(0);
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The operator's folder.
    pub(crate) fn home(&self) -> PathBuf {
        let home = self.0.join("home");
        DirBuilder::new().recursive(true).mode(0o700).create(&home).unwrap();
        home
    }

    /// The records of a fleet or a line in a file, in its order. Each is held against the schema.
    pub(crate) fn records(&self, file: &str) -> Vec<serde_json::Value> {
        // A read during the trial of the file may have the beginning of its spaces, and the end of a record that took
        // their place.
        let mut tries = 0..100;
        let (text, records) = loop {
            let text = std::fs::read_to_string(self.0.join(file)).unwrap_or_default();
            // A line that is being written, or the spaces with which the file is tried, have no end yet.
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let records: Result<Vec<_>, _> = whole.map(serde_json::from_str).collect();
            match records {
                Ok(records) => break (text, records),
                Err(error) if tries.next().is_none() => panic!("{error}: {text}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        for (line, record) in text.lines().zip(&records) {
            schema::describes_line(line, record);
        }
        records
    }

    /// Waits until a file has so many records.
    pub(crate) fn wait_for(&self, file: &str, count: usize) {
        for _ in 0..6_000 {
            if self.records(file).len() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("waited for a minute: {:#?}", self.records(file));
    }

    /// Writes a manifest whose units are in a table, and the template of their files.
    pub(crate) fn manifest(&self, file: &str, units: &str) {
        let write = |file: &str, text: &str| std::fs::write(self.0.join(file), text).unwrap();
        write("units.csv", units);
        write("site.conf", SITE);
        write(file, MANIFEST);
    }

    /// The program, to be run in the directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postwire"));
        command
            .args(args)
            .env("POSTWIRE_HOME", self.0.join("home"))
            .env("USER", "us")
            .env("TZ", "UTC")
            .current_dir(&self.0);
        command
    }

    /// Starts the program in the directory.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().unwrap()))
    }

    /// Starts the program in the directory, by another one that is given it with its arguments.
    pub(crate) fn start_in(&self, by: &[&str], args: &[&str]) -> Running {
        let inner = self.command(args);
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg(inner.get_program()).args(inner.get_args());
        let envs = inner.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(envs).current_dir(self.dir());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().unwrap()))
    }

    /// Runs the program in the directory.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::new(self.command(args).output().unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program while it runs. A test that fails leaves none behind.
pub(crate) struct Running(Option<Child>);

impl Running {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it was not waited for")
    }

    pub(crate) fn id(&mut self) -> u32 {
        self.child().id()
    }

    /// Its standard input, once.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child().stdin.take().unwrap()
    }

    /// Sends Ctrl-C. The program may have ended.
    pub(crate) fn interrupt(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
    }

    /// Ends the program as a power cut does.
    pub(crate) fn kill(mut self) {
        let mut child = self.0.take().expect("it was not waited for");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    /// Waits for the end.
    pub(crate) fn ran(mut self) -> Ran {
        Ran::new(self.0.take().expect("it was not waited for").wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().expect("no signal"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(self.out.contains(words) || self.err.contains(words), "no {words:?} in {self:#?}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let json =
            serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        json::is_described(&json);
        json
    }
}
