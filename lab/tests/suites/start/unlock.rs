//! The console of an owned router, opened with a code: the agent's program at the cable, the tool's program at the office.
//!
//! How long a challenge and an open console last is tested beside the agent's clock (`agent/src/access/unlock`).

use super::{Router, Running, screen::Screen, until};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};
use xtask::build;

/// A person at the cable.
struct Cable(Screen);

impl Cable {
    /// Plugs a new cable in, at the path that the agent waits for.
    fn plug(router: &Router) -> Result<Self> {
        let screen = Screen::new()?;
        let path = router.path("tty");
        let _ = fs::remove_file(&path);
        symlink(&screen.path, path)?;
        Ok(Self(screen))
    }

    /// Types a line, and waits for the words.
    fn types(&mut self, line: &str, words: &str) -> Result<String> {
        self.0.types(&format!("{line}\r"), words)
    }

    /// Wakes the console.
    fn wakes(&mut self) -> Result<()> {
        self.0.wakes(">")
    }

    /// Asks for a challenge.
    fn challenge(&mut self) -> Result<String> {
        let screen = self.types("unlock", "code: ")?;
        let found = screen.lines().find_map(|line| line.trim().strip_prefix("challenge:"));
        Ok(found.with_context(|| format!("no challenge in {screen}"))?.trim().to_owned())
    }

    /// Types a code until it is looked at, and waits for the words.
    fn code(&mut self, code: &str, words: &str) -> Result<()> {
        let mut looked = String::new();
        until("the code is looked at", || {
            looked = self.types(code, "\n")?;
            // The whole answer ends with a prompt.
            until("a prompt", || {
                looked = self.0.text();
                Ok(looked.trim_end().ends_with(['>', '#', ':']))
            })?;
            Ok(!looked.contains("it was not looked at"))
        })?;
        ensure!(looked.contains(words), "{code}: {looked}");
        Ok(())
    }
}

/// A person with a key and a list of routers.
struct Person {
    tool: PathBuf,
    home: PathBuf,
}

impl Person {
    fn new(router: &Router, name: &str) -> Result<Self> {
        let person = Self { tool: build::postwire_of_tests()?, home: router.path(name) };
        person.runs(&["keygen"])?;
        Ok(person)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(words).args(["--json", "--home"]).arg(&self.home);
        command
    }

    fn runs(&self, words: &[&str]) -> Result<Value> {
        let output = self.command(words).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{words:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let json: Value = serde_json::from_str(&said)?;
        Ok(json["result"].clone())
    }

    fn key(&self) -> Result<String> {
        text(&self.runs(&["key"])?, "public_key")
    }

    fn code(&self, words: &[&str]) -> Result<String> {
        text(&self.runs(&[&["unlock"], words].concat())?, "code")
    }
}

fn text(json: &Value, field: &str) -> Result<String> {
    Ok(json[field].as_str().with_context(|| format!("no {field} in {json}"))?.to_owned())
}

pub(super) fn unlock(router: &Router) -> Result<String> {
    let (anne, ben) = (Person::new(router, "anne")?, Person::new(router, "ben")?);
    let mut cable = Cable::plug(router)?;
    let path = router.path("tty");
    let mut running: Running = router.start(&["--serial".as_ref(), path.as_os_str()])?;
    let (udp, secret) = (format!("127.0.0.1:{}", router.port), router.path("label"));
    let at = ["--udp", &udp, "--yes"];
    let secret = secret.to_str().context("a path of ours is text")?;
    let claimed = anne.runs(&["claim", "--udp", &udp, "--yes", "--secret-file", secret])?;
    let key = text(&claimed["router"], "public_key")?;
    // The claim has named the router after its host.
    anne.runs(&["routers", "forget", &text(&claimed["router"], "name")?])?;
    anne.runs(&["routers", "add", "attic", &key])?;
    ben.runs(&["routers", "add", "attic", &key])?;
    ben.runs(&["routers", "add", "cellar", &anne.key()?])?;
    let added = ["owner", "add", &ben.key()?, "--role", "read-only", "--name", "ben"];
    anne.runs(&[&added[..], &at[..2]].concat())?;

    // A guest looks at nothing.
    cable.wakes()?;
    cable.types("owners", "this console is a guest")?;
    cable.types("shell", "this console is a guest")?;
    let challenge = cable.challenge()?;
    let good = anne.code(&[&challenge, "--router", "attic"])?;
    // For another router, for more than the owner may do, and mistyped.
    let elsewhere = ben.code(&[&challenge, "--router", "cellar"])?;
    cable.code(&elsewhere, "wrong code")?;
    router.says("a wrong code on the console")?;
    cable.types(&good, "it was not looked at")?;
    cable.code(&ben.code(&[&challenge, "--router", "attic"])?, "this owner may only look")?;
    let last = if good.ends_with('0') { "1" } else { "0" };
    cable.code(&format!("{}{last}", &good[..good.len() - 1]), "typo in group 4")?;
    // As people type it.
    cable.code(&good.to_lowercase().replace('-', " "), "open for 10 minutes")?;
    cable.types("owners", "ben")?;
    cable.types("confirm", "no change")?;
    router.says("console opened for")?;

    // A code is good once, and `exit` closes.
    cable.types("exit", "\n")?;
    cable.wakes()?;
    cable.types("owners", "this console is a guest")?;
    cable.types(&format!("unlock {good}"), "there is no challenge")?;
    let second = cable.challenge()?;
    ensure!(second != challenge, "the challenge came back");
    cable.code(&good, "wrong code")?;

    // A read-only owner's code opens the console to look, until the owner is removed.
    let look = ben.code(&[&second, "--router", "attic", "--role", "read-only"])?;
    cable.code(&look, "open for 10 minutes, to look")?;
    cable.types("owners", "ben")?;
    cable.types("repair wg0", "may look at this router but not change it")?;
    anne.runs(&[&["owner", "remove", "ben"][..], &at[..2]].concat())?;
    cable.types("owners", "this console is a guest")?;
    let third = cable.challenge()?;
    let removed = ben.code(&[&third, "--router", "attic", "--role", "read-only"])?;
    cable.code(&removed, "wrong code")?;

    // A hang-up closes, and forgives no wrong code.
    cable.code(&anne.code(&[&third, "--router", "attic"])?, "open for 10 minutes")?;
    drop(cable);
    router.says("is gone")?;
    let mut cable = Cable::plug(router)?;
    cable.wakes()?;
    cable.types("owners", "this console is a guest")?;
    running.ends_well()?;
    Ok(String::new())
}
