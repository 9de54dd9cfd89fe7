//! The console's process: at a terminal on the router, and at a port that the log and the login use too.

use super::{Router, Running, screen::Screen, until};
use anyhow::{Context, Result, ensure};
use rustix::{
    process::Signal,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// A key for claims.
const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/// Runs a command of the console to its end. Returns its exit code and its output.
fn command(router: &Router, words: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(&router.agent);
    let output = command.args(words).arg("--state").arg(router.path("state")).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

/// The agent's own lines took the typed line away, and began where the cursor was.
pub(super) fn own_log(router: &Router) -> Result<String> {
    let mut screen = Screen::new()?;
    let mut agent = router.command()?;
    agent.arg("--serial").arg(&screen.path).stdout(screen.open()?).stderr(screen.open()?);
    let mut running = Running(agent.spawn()?);
    router.answers()?;
    screen.wakes("# ")?;
    screen.types("ident", "ident")?;
    let (code, said) = command(router, &["claim", KEY])?;
    ensure!(code == Some(0), "{said}");
    let shown = screen.shows("# ident")?;
    let (log, line) = shown.rsplit_once('\n').context("no line of the log")?;
    ensure!(log.contains("postwired: ") && log.ends_with('\r'), "{shown:?}");
    ensure!(line.starts_with('\r') && line.ends_with("# ident"), "{shown:?}");
    // Whole lines, each from the first column on.
    let rows = log.split('\n').skip(1).all(|row| row.starts_with("postwired: "));
    ensure!(rows, "{shown:?}");
    screen.types("ity\r", "fingerprint: ")?;
    running.ends_well()?;
    Ok(String::new())
}

/// The number of the agent's children.
fn children(running: &Running) -> Result<usize> {
    let pid = running.0.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children.split_whitespace().count())
}

/// The second of two shells that outlived their terminals was the only one that was waited for.
pub(super) fn shells(router: &Router) -> Result<String> {
    let (program, go) = (router.path("shell"), router.path("go"));
    // It leaves its terminal, which hangs up behind it, and ends later.
    let script = format!(
        "#!/bin/sh\ntrap '' HUP\nexec <&- >&- 2>&-\nuntil [ -e {} ]; do sleep 0.02; done\n",
        go.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let mut screen = Screen::new()?;
    let words = ["--serial".as_ref(), screen.path.as_os_str(), "--shell".as_ref()];
    let mut running = router.start(&[&words[..], &[program.as_os_str()]].concat())?;
    screen.wakes("# ")?;
    for _ in 0..3 {
        screen.types("shell\r", "are you sure?")?;
        screen.types("yes\r", "`help` lists the commands")?;
        screen.shows("# ")?;
    }
    ensure!(children(&running)? == 3, "{} shells", children(&running)?);
    fs::write(go, "")?;
    until("no process is left", || Ok(children(&running)? == 0))?;
    running.ends_well()?;
    Ok(String::new())
}

/// The parts of a terminal's settings that a program for keys changes.
fn modes(terminal: &File) -> Result<Termios> {
    Ok(tcgetattr(terminal)?)
}

fn same(one: &Termios, other: &Termios) -> bool {
    one.local_modes == other.local_modes
        && one.input_modes == other.input_modes
        && one.output_modes == other.output_modes
        && one.control_modes == other.control_modes
}

/// Starts `postwired console` at a terminal, and waits for its prompt.
fn console(router: &Router, screen: &mut Screen) -> Result<Running> {
    let mut command = Command::new(&router.agent);
    command.arg("console").arg("--state").arg(router.path("state"));
    let command = command.stdin(screen.open()?).stdout(screen.open()?).stderr(screen.open()?);
    let running = Running(command.spawn()?);
    screen.shows("# ")?;
    Ok(running)
}

pub(super) fn at_a_terminal(router: &Router) -> Result<String> {
    let mut agent = router.start(&[])?;
    let mut screen = Screen::new()?;
    let kept = screen.open()?;
    // Settings that no default has.
    let mut before = modes(&kept)?;
    before.local_modes.insert(LocalModes::ECHOPRT);
    tcsetattr(&kept, OptionalActions::Now, &before)?;
    let mut person = console(router, &mut screen)?;
    let keys = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    ensure!(!modes(&kept)?.local_modes.intersects(keys), "the terminal is not set up for keys");
    screen.types("stat\t\r", "peak memory")?;
    screen.types("remove wg0\x03", "^C")?;
    screen.shows("# ")?;
    // More than a page.
    screen.types("load wg0\r", "paste the file")?;
    let mistakes: String = (0..30).map(|nth| format!("Line{nth} = x\r")).collect();
    screen.types(&format!("{mistakes}.\r"), "--More--")?;
    let shown = screen.types(" ", "# ")?;
    ensure!(shown.contains("wg0` again"), "{shown}");
    // A shell has the settings of before.
    screen.types("shell\r", "\n")?;
    screen.types("echo $((6 * 7)) $-\n", "42 ")?;
    ensure!(same(&modes(&kept)?, &before), "the shell has other settings");
    screen.types("exit\n", "`help` lists the commands")?;
    screen.shows("# ")?;
    ensure!(!modes(&kept)?.local_modes.intersects(keys), "the terminal is not set up again");
    // Ctrl-D leaves, and so does `exit`.
    screen.line.write_all(b"\x04")?;
    let status = person.ended()?;
    ensure!(status.code() == Some(0), "Ctrl-D: {status}");
    ensure!(same(&modes(&kept)?, &before), "Ctrl-D: the settings are not given back");
    screen.shown.clear();
    let mut person = console(router, &mut screen)?;
    screen.types("exit\r", "\n")?;
    let status = person.ended()?;
    ensure!(status.code() == Some(0), "exit: {status}");
    // The agent ends under it.
    screen.text();
    screen.shown.clear();
    let mut person = console(router, &mut screen)?;
    agent.ends_well()?;
    screen.types("status\r", "the agent has ended")?;
    let status = person.ended()?;
    ensure!(status.code() == Some(1), "the agent has ended: {status}");
    ensure!(same(&modes(&kept)?, &before), "the agent has ended: the settings are not given back");
    // Without an agent, and for programs.
    let (code, said) = command(router, &["console"])?;
    ensure!(code == Some(1) && said.contains("cannot reach the agent"), "{code:?} {said}");
    let (code, said) = command(router, &["identity", "--json"])?;
    let json: serde_json::Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let text = json["error"]["text"].as_str().unwrap_or_default();
    ensure!(code == Some(1) && text.contains("cannot reach the agent"), "{code:?} {said}");
    Ok(String::new())
}

/// A program in a mount namespace that has its own `/etc`.
fn with_etc(etc: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\""]).arg(etc);
    command
}

/// The state of a process: `S`, `T` and so on.
fn state(running: &Running) -> Result<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", running.0.id()))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    Ok(fields.split_whitespace().next().unwrap_or_default().to_owned())
}

/// `console take`, typed in the login of the port itself, came to nothing: behind that login procd started another one.
pub(super) fn take_late(router: &Router) -> Result<String> {
    let etc = router.path("etc");
    fs::create_dir(&etc)?;
    let screen = Screen::new()?;
    let name = screen.path.to_str().context("a path is text")?;
    // As in a router, the name of the port has no folder.
    let tty = name.rsplit('/').next().unwrap_or_default();
    fs::write(etc.join("inittab"), format!("{tty}::askfirst:/usr/libexec/login.sh\n"))?;
    let askfirst = router.path("askfirst");
    fs::write(&askfirst, "#!/bin/sh\nread line\n")?;
    fs::set_permissions(&askfirst, Permissions::from_mode(0o755))?;
    let login =
        || Ok::<_, anyhow::Error>(Running(Command::new(&askfirst).stdin(screen.open()?).spawn()?));
    let agent = || {
        let right = router.command()?;
        let mut command = with_etc(&etc);
        command.arg(right.get_program()).args(right.get_args()).arg("--serial").arg(&screen.path);
        let log = router.log_file()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok::<_, anyhow::Error>(Running(command.spawn()?))
    };
    // The table has the port: the agent leaves it alone.
    let asks = login()?;
    let mut running = agent()?;
    router.says("leaves it alone")?;
    ensure!(state(&asks)? != "T", "the login is stopped");
    drop(asks);
    running.ends_well()?;
    // Nothing waits on the port while a person is logged in.
    let taken = with_etc(&etc).arg(&router.agent).args(["console", "take", name]).output()?;
    let said = String::from_utf8_lossy(&taken.stdout).into_owned();
    ensure!(said.contains("a login that uses the port keeps it until its `exit`"), "{said}");
    ensure!(said.contains("1 lines of /etc/inittab changed, 0 running logins"), "{said}");
    let asks = login()?;
    let mut running = agent()?;
    router.says("listening on")?;
    until("the login is stopped", || Ok(state(&asks)? == "T"))?;
    router.says(&format!("listening on {name}"))?;
    running.signal(Signal::TERM)?;
    running.ended()?;
    Ok(String::new())
}
