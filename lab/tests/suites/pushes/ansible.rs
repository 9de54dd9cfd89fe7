//! The Ansible collection of `integrations/ansible`, run by ansible-core against two routers.

use super::Bench;
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use lab::routers::{Config, Reach, Router};
use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf, process::Command};
use xtask::{
    build::{self, target_folder, workspace},
    python,
};

/// A folder with an inventory of both routers, and of one that does not exist.
struct Playground {
    folder: PathBuf,
    tools: PathBuf,
}

/// What became of the hosts of a play, by their names.
#[derive(Debug)]
struct Played {
    /// For each host `changed`, `failed` and the other counters of the recap.
    recap: BTreeMap<String, BTreeMap<String, u32>>,
    said: String,
}

impl Played {
    fn count(&self, host: &str, what: &str) -> Result<u32> {
        let counts = self.recap.get(host).with_context(|| format!("no {host} in {}", self.said))?;
        counts.get(what).copied().with_context(|| format!("no {what} in {}", self.said))
    }

    /// Fails unless both routers have these counters.
    fn both(&self, changed: u32, failed: u32) -> Result<()> {
        for host in ["alice", "bob"] {
            let counts = (self.count(host, "changed")?, self.count(host, "failed")?);
            ensure!(counts == (changed, failed), "{host} has {counts:?}:\n{}", self.said);
        }
        Ok(())
    }
}

impl Playground {
    fn new(bench: &Bench<'_>) -> Result<Self> {
        let tools = python::environment("ansible", "ansible-core", python::ANSIBLE)?;
        let folder = workspace().join(target_folder()).join("lab/ansible");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let namespace = folder.join("collections/ansible_collections/postwire");
        fs::create_dir_all(&namespace)?;
        symlink(workspace().join("integrations/ansible"), namespace.join("postwire"))?;
        let mut inventory = String::new();
        for (name, router) in [("alice", &bench.alice), ("bob", &bench.bob)] {
            inventory += &host(name, router);
        }
        // Port 9 of this machine: nothing answers there.
        let [_, home] = router_options(&bench.alice);
        inventory += &format!("nowhere udp=127.0.0.1:9 home={home} timeout=2s\n");
        fs::write(folder.join("inventory"), inventory)?;
        Ok(Self { folder, tools })
    }

    fn play(&self, tasks: &str, options: &[&str]) -> Result<Played> {
        let play = format!("- hosts: all\n  connection: local\n  gather_facts: false\n{tasks}");
        let path = self.folder.join("site.yml");
        fs::write(&path, play)?;
        let mut command = Command::new(self.tools.join("bin/ansible-playbook"));
        command.arg("-i").arg(self.folder.join("inventory")).arg(&path).args(options);
        command.current_dir(&self.folder).env("ANSIBLE_NOCOLOR", "1");
        command.env("ANSIBLE_COLLECTIONS_PATH", self.folder.join("collections"));
        command.env("ANSIBLE_HOME", self.folder.join("home")).env("ANSIBLE_NOCOWS", "1");
        command.env("ANSIBLE_PYTHON_INTERPRETER", self.tools.join("bin/python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.output().context("starting ansible-playbook")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let (_, recap) = said.split_once("PLAY RECAP").with_context(|| said.clone())?;
        let line = |line: &str| {
            let (host, counts) = line.split_once(':')?;
            let count = |word: &str| {
                let (name, number) = word.split_once('=')?;
                Some((name.to_owned(), number.parse().ok()?))
            };
            Some((host.trim().to_owned(), counts.split_whitespace().filter_map(count).collect()))
        };
        Ok(Played { recap: recap.lines().filter_map(line).collect(), said })
    }
}

fn router_options(router: &Router<'_>) -> [String; 2] {
    let [_, address] = Reach::Udp.link(&router.vm);
    [address, router.folder.join("home").display().to_string()]
}

fn host(name: &str, router: &Router<'_>) -> String {
    let [address, home] = router_options(router);
    format!("{name} udp={address} home={home} timeout=120s\n")
}

/// A task that gives `wg0` the file `wg0.conf`, or does something else with the interface.
fn task(tool: &str, more: &str) -> String {
    format!(
        "  tasks:\n    - postwire.postwire.postwire_config:\n        udp: \"{{{{ udp }}}}\"\n        \
         home: \"{{{{ home }}}}\"\n        timeout: \"{{{{ timeout }}}}\"\n        executable: {tool}\n        \
         interface: wg0\n        {more}\n"
    )
}

pub(super) fn collection(bench: &Bench<'_>) -> Result<String> {
    for router in [&bench.alice, &bench.bob] {
        router.fresh("")?;
    }
    let ground = Playground::new(bench)?;
    let tool = build::postwire()?.display().to_string();
    let config = Config::random(&mut Rng::with_seed(bench.seed), 3, 2);
    let file = ground.folder.join("wg0.conf");
    fs::write(&file, config.text())?;
    let config_task = task(&tool, "config: \"{{ lookup('file', 'wg0.conf') }}\"");
    let peer = config.peers.keys().next().context("no peer")?.clone();

    let before = [bench.alice.everything()?, bench.bob.everything()?];
    let check = ground.play(&config_task, &["--check", "--diff", "--limit", "alice,bob"])?;
    check.both(1, 0)?;
    ensure!(check.said.contains(&peer), "the difference has no peer {peer}:\n{}", check.said);
    ensure!(!check.said.contains(&config.private_key), "the private key is shown");
    bench.alice.is_still(&before[0]).context("check mode")?;
    bench.bob.is_still(&before[1]).context("check mode")?;

    let first = ground.play(&config_task, &[])?;
    first.both(1, 0)?;
    ensure!(first.count("nowhere", "failed")? == 1, "nowhere did not fail:\n{}", first.said);
    ensure!(first.said.contains("no answer from"), "without the reason:\n{}", first.said);
    bench.alice.sees(&config)?;
    bench.bob.sees(&config)?;

    let facts = "    - postwire.postwire.postwire_facts:\n        udp: \"{{ udp }}\"\n        home: \"{{ home }}\"\n        \
                 timeout: \"{{ timeout }}\"\n        executable: TOOL\n    - ansible.builtin.assert:\n        that:\n          \
                 - postwire.stored[0].agrees\n          - postwire.running[0].peers | length == 3\n";
    let tasks = config_task.clone() + &facts.replace("TOOL", &tool);
    ground.play(&tasks, &["--limit", "alice,bob"])?.both(0, 0).context("the second run")?;

    // A mistake in the file: its line, and nothing is changed.
    fs::write(&file, config.text().replace("MTU = ", "MTU = 99"))?;
    let wrong = ground.play(&config_task, &["--limit", "alice,bob"])?;
    wrong.both(0, 1)?;
    ensure!(wrong.said.contains("line 4: MTU"), "without the reason:\n{}", wrong.said);
    bench.alice.sees(&config)?;

    let absent = task(&tool, "state: absent");
    ground.play(&absent, &["--limit", "alice,bob"])?.both(1, 0)?;
    bench.alice.vm.sh("! ip link show wg0")?.ok()?;
    ground.play(&absent, &["--limit", "alice,bob"])?.both(0, 0).context("the second removal")?;
    // Behind eight others, the interface is not in the router's list.
    let links = |verb: &str| {
        format!(
            "for name in aa1 aa2 aa3 aa4 aa5 aa6 aa7 aa8 wg0; do ip link {verb} || exit 1; done"
        )
    };
    bench.alice.vm.sh(&links("add $name type wireguard"))?.ok()?;
    let there = ground.play(&absent, &["--check", "--limit", "alice"])?;
    ensure!(there.count("alice", "changed")? == 1, "wg0 is there:\n{}", there.said);
    // It is another program's.
    let left = ground.play(&absent, &["--limit", "alice"])?;
    let counts = (left.count("alice", "changed")?, left.count("alice", "failed")?);
    ensure!(counts == (0, 0), "wg0 is another program's:\n{}", left.said);
    bench.alice.vm.sh("ip link del wg0")?.ok()?;
    let gone = ground.play(&absent, &["--limit", "alice"])?;
    ensure!(gone.count("alice", "changed")? == 0, "wg0 is not there:\n{}", gone.said);
    bench.alice.vm.sh(&links("del $name 2>/dev/null || [ $name = wg0 ]"))?.ok()?;
    Ok(String::new())
}
