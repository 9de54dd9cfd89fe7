//! No key is left in the memory of `wg` or `wg-quick` when they end. Each command is stopped at its
//! exit (ptrace's `PTRACE_EVENT_EXIT`), while its memory still exists, and all writable memory is
//! searched.
//!
//! A program of the test provides the interfaces and answers on their sockets as wireguard-go does,
//! so the commands do all of their work, and no kernel module is needed.

use anyhow::{Context, Result, bail, ensure};
use lab::Arch;
use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use proto_core::key::{KEY_TEXT_LEN, PublicKey, SecretKey};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    thread,
};
use xtask::build;

/// The interface of most commands.
const NAME: &str = "pwmem0";
/// The interface of `wg-quick`.
const QUICK: &str = "pwmem1";

/// All keys of the test.
struct Secrets(Vec<(String, SecretKey)>);

impl Secrets {
    fn new() -> Self {
        let key =
            |nth: u8| SecretKey::new(core::array::from_fn(|at| nth ^ (at as u8).wrapping_mul(151)));
        let named = |(nth, name): (u8, &str)| (name.to_owned(), key(nth).clamped());
        Self(
            [
                (1, "the device's private key"),
                (2, "the file's private key"),
                (3, "the first preshared key"),
            ]
            .into_iter()
            .chain([(4, "the file's preshared key"), (5, "the key in a file of its own")])
            .map(named)
            .collect(),
        )
    }

    fn key(&self, nth: usize) -> &SecretKey {
        &self.0[nth - 1].1
    }

    /// The secrets found in a memory, and their form.
    fn in_memory(&self, memory: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, key) in &self.0 {
            for (form, bytes) in forms(key) {
                // Half of a key in one piece counts as found.
                let half = bytes.len() / 2;
                for part in [&bytes[..half], &bytes[half..]] {
                    let places = memory.windows(half).filter(|window| *window == part).count();
                    if places > 0 {
                        found.push(format!("{name} as {form}, half of it at {places} places"));
                    }
                }
            }
        }
        found
    }
}

fn forms(key: &SecretKey) -> [(&'static str, Vec<u8>); 3] {
    [
        ("bytes", key.as_bytes().to_vec()),
        ("base64", text(key).into()),
        ("hex", hex(key.as_bytes()).into()),
    ]
}

fn text(key: &SecretKey) -> String {
    key.reveal(&mut [0; KEY_TEXT_LEN]).to_owned()
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers on the sockets of interfaces until the test ends.
fn answer(name: &str, secrets: &Secrets) -> Result<Socket> {
    fs::create_dir_all("/var/run/wireguard")?;
    let path = PathBuf::from(format!("/var/run/wireguard/{name}.sock"));
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let device = format!(
        "private_key={}\nlisten_port=51820\npublic_key={}\npreshared_key={}\nendpoint=192.0.2.1:7\n\
         allowed_ip=10.9.0.0/24\nrx_bytes=1\ntx_bytes=2\nlast_handshake_time_sec=3\n\
         last_handshake_time_nsec=0\nerrno=0\n\n",
        hex(secrets.key(1).as_bytes()),
        hex(&[7; 32]),
        hex(secrets.key(3).as_bytes()),
    );
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut writer) = stream.try_clone() else { return };
            let mut get = false;
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                get |= line == "get=1";
                if line.is_empty() {
                    let answer = if std::mem::take(&mut get) { &device } else { "errno=0\n\n" };
                    let _ = writer.write_all(answer.as_bytes());
                }
            }
        }
    });
    Ok(Socket(path))
}

/// A socket file that is removed when dropped.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A command that has ended: its exit code, its output, and its memory at the end.
struct Ended {
    code: i32,
    out: String,
    said: String,
    memory: Vec<u8>,
}

/// Runs a program to its end. `before` are the words before its path, such as those of nsenter(1).
fn run(before: &[&str], program: &Path, words: &[&str], path: &str, stdin: &str) -> Result<Ended> {
    let mut command = Command::new("sh");
    command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).args(before).arg(program).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("PATH", path);
    let mut child = command.env("WG_QUICK_USERSPACE_IMPLEMENTATION", "pwmem-wireguard").spawn()?;
    child.stdin.take().context("no stdin")?.write_all(stdin.as_bytes())?;
    let pid = Pid::from_raw(child.id() as i32);
    let traced = trace(pid);
    if traced.is_err() {
        let _ = child.kill();
    }
    let (code, memory) = traced?;
    let Child { stdout, stderr, .. } = &mut child;
    let (mut out, mut said) = (String::new(), String::new());
    stdout.take().context("no stdout")?.read_to_string(&mut out)?;
    stderr.take().context("no stderr")?.read_to_string(&mut said)?;
    Ok(Ended { code, out, said, memory })
}

/// Continues a process that has stopped itself, up to its end. Returns its exit code, and its
/// memory before the end.
fn trace(pid: Pid) -> Result<(i32, Vec<u8>)> {
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    ensure!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXIT)?;
    kill(pid, Signal::SIGCONT)?;
    let mut all = Vec::new();
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL))? {
            WaitStatus::PtraceEvent(_, _, event) => {
                if event == ptrace::Event::PTRACE_EVENT_EXIT as i32 {
                    all = memory(pid)?;
                }
                ptrace::cont(pid, None)?;
            }
            WaitStatus::Stopped(_, signal) => {
                let pass = Some(signal).filter(|signal| *signal != Signal::SIGTRAP);
                ptrace::cont(pid, pass)?;
            }
            WaitStatus::Exited(_, code) => return Ok((code, all)),
            WaitStatus::Signaled(_, signal, _) => bail!("ended by {signal}"),
            _ => {}
        }
    }
}

/// All writable memory of a process.
fn memory(pid: Pid) -> Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let file = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (from, to) = range.context("a range")?;
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        let mut bytes = vec![0; (to - from) as usize];
        file.read_exact_at(&mut bytes, from).with_context(|| line.to_owned())?;
        memory.append(&mut bytes);
    }
    Ok(memory)
}

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A network namespace that exists until it is dropped.
struct Namespace(Child);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn keys_are_wiped_at_the_end() -> Result<String> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "only root may use the sockets in /var/run/wireguard"
    );
    let agent = build::agent(Arch::X86_64)?;
    let secrets = Secrets::new();
    let folder = Folder(std::env::temp_dir().join(format!("pwmem-{}", std::process::id())));
    fs::create_dir_all(&folder.0)?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.0.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path.to_str().context("a path")?.to_owned())
    };
    let peer = PublicKey([7; 32]).to_string();
    let wg_file = format!(
        "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {peer}\nPresharedKey = {}\nAllowedIPs = 10.9.0.0/24\n",
        text(secrets.key(2)),
        text(secrets.key(4)),
    );
    let conf = file("wg.conf", &wg_file)?;
    // The configuration of the interface: `syncconf` compares the two, and finds no difference.
    let same = wg_file.replace(&text(secrets.key(2)), &text(secrets.key(1)));
    let same = same.replace(&text(secrets.key(4)), &text(secrets.key(3)));
    let same = same.replace("[Peer]", "ListenPort = 51820\n[Peer]\nEndpoint = 192.0.2.1:7");
    let same = file("same.conf", &same)?;
    let key = file("key", &format!("{}\n", text(secrets.key(5))))?;
    let quick = wg_file
        .replace("[Peer]", "Address = 10.9.0.1/24\nSaveConfig = true\nPostUp = true\n[Peer]");
    let quick = file(&format!("{QUICK}.conf"), &quick)?;
    // Creates a link of the name, as a program that has WireGuard in it does; the test provides the
    // socket.
    file("pwmem-wireguard", "#!/bin/sh\nexec ip tuntap add dev \"$1\" mode tun\n")?;
    let path = format!("{}:{}", folder.0.display(), std::env::var("PATH").unwrap_or_default());
    let _sockets = [answer(NAME, &secrets)?, answer(QUICK, &secrets)?];

    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", "echo; exec sleep 600"]).stdout(Stdio::piped());
    let mut space = Namespace(command.spawn()?);
    // The process prints a line once it is in a namespace of its own.
    space.0.stdout.take().context("no stdout")?.read_exact(&mut [0])?;
    let pid = space.0.id().to_string();
    let within = ["nsenter", "-t", &pid, "-n"];
    let commands: Vec<(&[&str], Vec<&str>, String)> = [
        vec!["wg", "show", NAME],
        vec!["wg", "show", NAME, "dump"],
        vec!["wg", "show", NAME, "private-key"],
        vec!["wg", "show", NAME, "preshared-keys"],
        vec!["wg", "showconf", NAME],
        vec!["wg", "setconf", NAME, &conf],
        vec!["wg", "addconf", NAME, &conf],
        vec!["wg", "syncconf", NAME, &same],
        vec!["wg", "set", NAME, "private-key", &key, "peer", &peer, "preshared-key", &key],
        vec!["wg-quick", "strip", &quick],
        vec!["wg-quick", "up", &quick],
        vec!["wg-quick", "save", &quick],
        vec!["wg-quick", "down", &quick],
    ]
    .into_iter()
    .map(|words| {
        let before: &[&str] = if words[0] == "wg-quick" { &within } else { &[] };
        (before, words, String::new())
    })
    .chain([(&[][..], vec!["wg", "pubkey"], format!("{}\n", text(secrets.key(5))))])
    .collect();
    let (mut ran, mut size) = (0, 0);
    let mut left = Vec::new();
    for (before, words, stdin) in &commands {
        let ended = run(before, &agent, words, &path, stdin)?;
        let shown = words.join(" ");
        ensure!(
            ended.code == 0,
            "{shown}: exit code {}: {}\nbefore that, left in memory:\n{}",
            ended.code,
            ended.said,
            left.join("\n")
        );
        // The same search must find known bytes: the arguments of the command.
        let last = words.last().context("no words")?.as_bytes();
        let finds = ended.memory.windows(last.len()).any(|window| window == last);
        ensure!(finds, "{shown}: not even its words are in {} bytes", ended.memory.len());
        for found in secrets.in_memory(&ended.memory) {
            left.push(format!("{shown}: {found}"));
        }
        ran += 1;
        size += ended.memory.len();
    }
    for what in ["genkey", "genpsk"] {
        let ended = run(&[], &agent, &["wg", what], &path, "")?;
        let key = SecretKey::from_str(ended.out.trim()).ok().context("no key")?;
        let new = Secrets(vec![("the new key".to_owned(), key)]);
        for found in new.in_memory(&ended.memory) {
            left.push(format!("wg {what}: {found}"));
        }
        ran += 1;
    }
    drop(space);
    ensure!(left.is_empty(), "left in memory:\n{}", left.join("\n"));
    Ok(format!("{ran} commands, {} KiB", size / 1024))
}
