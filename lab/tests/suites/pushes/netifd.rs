//! The protocol handler for netifd and the program that calls for a renew, by busybox's shell and `ip` on a real kernel,
//! with stand-ins for netifd (`netifd/`).

use anyhow::{Context, Result, ensure};
use lab::routers::Keeper;
use std::time::Duration;

const FILES: [(&str, &[u8]); 5] = [
    (
        "/lib/netifd/proto/postwire.sh",
        include_bytes!("../../../../integrations/openwrt/files/lib/netifd/proto/postwire.sh"),
    ),
    (
        "/lib/netifd/postwire-renew",
        include_bytes!("../../../../integrations/openwrt/files/lib/netifd/postwire-renew"),
    ),
    ("/lib/netifd/netifd-proto.sh", include_bytes!("netifd/netifd-proto.sh")),
    ("/lib/functions.sh", b""),
    ("/bin/ubus", include_bytes!("netifd/ubus")),
];

const WG0: &str = "[Interface]\nPrivateKey = GBCfUjSBUFtkuOsQgEMkHO+Ke+ulxyxaJKJdX9TmW1c=\n\
    Address = 10.0.0.1/24, fd00:5::1/64\nListenPort = 51820\nTable = off\n";

/// Calls the handler as netifd does, and returns what netifd would be told.
fn handler(keeper: &Keeper<'_>, action: &str) -> Result<String> {
    let said = keeper.sh(&format!(
        "rm -f /tmp/record; cd /lib/netifd/proto && ./postwire.sh postwire {action} wg0 '{{\"proto\":\"postwire\"}}'; \
         cat /tmp/record 2>/dev/null || true"
    ))?;
    Ok(said.lines().map(|line| format!("{line}\n")).collect())
}

/// Waits until netifd was told this.
fn is_told(keeper: &Keeper<'_>, lines: &str) -> Result<()> {
    keeper.sh(&format!(
        "printf '%s' '{lines}' >/tmp/expected; for i in $(seq 3000); do cmp -s /tmp/expected /tmp/record && exit; \
         usleep 20000; done; cat /tmp/postwired.log; tail -n 20 /tmp/expected /tmp/record; exit 1"
    ))?;
    Ok(())
}

pub(super) fn handled(keeper: &mut Keeper<'_>) -> Result<String> {
    keeper.sh("mkdir -p /lib/netifd/proto /etc/config; echo wg0 >/tmp/known; echo 'config interface lan' >/etc/config/network")?;
    for (path, bytes) in FILES {
        let script = format!("cat >{path} && chmod +x {path}");
        keeper.router.vm.sh_with(&script, bytes, Duration::from_secs(60))?.ok()?;
    }
    super::drift::again(keeper, "--applied /lib/netifd/postwire-renew")?;
    keeper.sh("rm -f /tmp/record; cd /lib/netifd/proto && ./postwire.sh '' dump")?;
    is_told(
        keeper,
        "protocol postwire: available 1, no_device 1, no_proto_task 1, renew_handler 1, teardown_on_l3_link_down 0\n",
    )
    .context("dump")?;
    let nothing = "update * 0\nsend wg0\n";
    let said = handler(keeper, "setup")?;
    ensure!(said == nothing, "setup without a link: {said}");
    keeper.sh("rm /tmp/record")?;
    // The section is netifd's own while it has another protocol, and the link is missing.
    let section = |proto: &str| {
        format!(
            "printf '%s\\n' 'config interface wg0' '\toption proto {proto}' >/etc/config/network"
        )
    };
    keeper.sh(&section("wireguard"))?;
    let refused = keeper.push("wg0", WG0, &[])?;
    let told = refused.json.to_string();
    for words in
        ["netifd manages this interface: /etc/config/network has a section of its name", "--adopt"]
    {
        ensure!(refused.code == 1 && told.contains(words), "not refused: {told}");
    }
    keeper.sh("! ip link show wg0 2>/dev/null")?;
    keeper.sh(&section("postwire"))?;
    keeper.push("wg0", WG0, &[])?.ok()?;
    let all = "update wg0 1 1\nipv4 10.0.0.1 24\nipv6 fd00:5::1 64\nsend wg0\n";
    is_told(keeper, all).context("after a push")?;
    ensure!(handler(keeper, "setup")? == all, "setup with a link");
    // What netifd does to the interface does not touch it.
    let state = keeper.router.state()?;
    ensure!(handler(keeper, "teardown")?.is_empty(), "teardown tells something");
    handler(keeper, "setup")?;
    keeper.router.is_in(&state)?;
    keeper.sh("rm /tmp/record")?;
    keeper.push("wg0", &WG0.replace("10.0.0.1/24, ", "10.0.0.9/32, 10.6.0.1/30, "), &[])?.ok()?;
    is_told(
        keeper,
        "update wg0 1 1\nipv4 10.0.0.9 32\nipv4 10.6.0.1 30\nipv6 fd00:5::1 64\nsend wg0\n",
    )
    .context("after another push")?;
    // An interface without a section: nothing is done, and nothing failed.
    keeper
        .push(
            "wg1",
            &WG0.replace("51820", "51821")
                .replace("10.0.0.1", "10.1.0.1")
                .replace("fd00:5", "fd00:6"),
            &[],
        )?
        .ok()?;
    keeper.sh("rm /tmp/record")?;
    keeper.ask(&["remove", "wg0"])?.ok()?;
    is_told(keeper, nothing).context("after a removal")?;
    ensure!(handler(keeper, "renew")? == nothing, "renew without a link");
    let log = keeper.router.log()?;
    ensure!(!log.contains("--applied"), "the program failed: {log}");
    let network = keeper.sh("cat /etc/config/network")?;
    ensure!(
        network.ends_with("option proto postwire"),
        "/etc/config/network was written: {network}"
    );
    Ok(String::new())
}
