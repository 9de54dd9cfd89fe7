//! Ansible beside the other ways: one play over all units, which gives each its file with `wg syncconf` in a `raw` task,
//! because the machine has no Python. A unit is a host of the inventory, with a connection of its own.

use super::ways::{Ways, syncconf};
use anyhow::Result;
use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
};
use xtask::python;

/// Without facts and without a terminal, like any play for a machine without Python. Hosts are known by their address
/// here, so a shared connection would serve all units.
const CONFIG: &str = "\
[defaults]
host_key_checking = False
forks = 1

[ssh_connection]
ssh_args = -o ControlMaster=no
usetty = False
";

/// The command that runs the play over units with the files `u0.wg`, `u1.wg` and so on.
pub(super) fn play(ways: &Ways<'_>, units: u32) -> Result<impl Fn() -> Command> {
    let tools = python::environment("ansible", "ansible-core", python::ANSIBLE)?;
    let folder = ways.folder.canonicalize()?;
    let port = ways.router.vm.udp_port();
    let options = ways.options().join(" ");
    let mut inventory = String::from("[all]\n");
    for nth in 0..units {
        writeln!(
            inventory,
            "u{nth} interface=wg{nth} ansible_host=127.0.0.1 ansible_port={port} ansible_user=root \
             ansible_ssh_common_args='{options}'"
        )?;
    }
    let file = "lookup('file', playbook_dir ~ '/' ~ inventory_hostname ~ '.wg')";
    let script = syncconf("{{ interface }}");
    let play = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.raw: >-\n        \
         printf '%s\\n' {{{{ {file} | quote }}}} | {{ {script}; }}\n"
    );
    for (name, text) in [("ansible.cfg", CONFIG), ("inventory", &inventory), ("play.yml", &play)] {
        fs::write(folder.join(name), text)?;
    }
    Ok(move || {
        let mut command = Command::new(tools.join("bin/ansible-playbook"));
        command.current_dir(&folder).env("ANSIBLE_CONFIG", folder.join("ansible.cfg"));
        command.args(["-i", "inventory", "play.yml"]).stdin(Stdio::null());
        command
    })
}
