//! Generated configurations ([`generate`](super::generate)): every step of a case with Debian's
//! `wg-quick` and with ours.

use super::{
    Bench, Did, difference, effects,
    generate::{self, Case},
    programs::RESOLVCONF,
    state,
};
use crate::setting;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Number of cases in the tests, because each takes some seconds; `LAB_QUICK_CASES` is another number.
const CASES: u32 = 3;
const LIMIT: Duration = Duration::from_secs(300);

pub(super) fn same(bench: &Bench) -> Result<String> {
    let count = setting("LAB_QUICK_CASES", |text| Ok(text.parse()?))?.unwrap_or(CASES);
    bench.vm.put("/usr/bin/resolvconf", 0o755, RESOLVCONF.as_bytes())?;
    let done = run(bench, count);
    bench.vm.sh("rm -rf /usr/bin/resolvconf")?;
    done
}

fn run(bench: &Bench, count: u32) -> Result<String> {
    let (mut steps, mut up, mut differ) = (0, 0, String::new());
    for number in 0..count {
        let case = generate::case(bench.seed, number);
        let debian = side(bench, &case, "/usr/bin/wg-quick")?;
        let ours = side(bench, &case, "/opt/wg-quick")?;
        ensure!(debian.len() == case.steps.len() && ours.len() == debian.len(), "case {number}");
        steps += case.steps.len();
        up += u32::from(ours.first().is_some_and(|(did, _)| did.status == 0));
        for ((step, debian), ours) in case.steps.iter().zip(&debian).zip(&ours) {
            if debian.0 != ours.0 {
                let note =
                    format!("case {number}: {step}\n{}\n{}", case.conf, differs(debian, ours));
                println!("{note}");
                differ.push_str(&note);
                break;
            }
        }
    }
    ensure!(differ.is_empty(), "seed {}: {differ}", bench.seed);
    Ok(format!("{steps} steps of {count} configurations, {up} of them good"))
}

/// What differs between the effects of one step.
pub(super) fn differs(
    (debian, debian_said): &(Did, String),
    (ours, said): &(Did, String),
) -> String {
    format!(
        "Debian's ended with {}:\n{debian_said}ours with {}:\n{said}\n{}{}{}",
        debian.status,
        ours.status,
        difference(&debian.state, &ours.state),
        difference(&debian.stdout, &ours.stdout),
        difference(&debian.echo.join("\n"), &ours.echo.join("\n")),
    )
}

/// A router of its own for each case and program: a namespace with an endpoint's network and a default
/// route. The output of the steps goes to descriptor 3.
const ROUTER: &str = "[ $inside ] || { export inside=1; exec unshare -n sh \"$0\"; }
exec 3>&1 >/dev/null 2>&1
export WG_ENDPOINT_RESOLUTION_RETRIES=0 PATH=/usr/bin:/usr/sbin:$PATH
# The shell would take its own.
ip() { /usr/bin/ip \"$@\"; }
rm -rf /tmp/s /tmp/q /etc/wireguard; mkdir -p /tmp/s /tmp/q; mkdir -m 700 /etc/wireguard
cat >$conf; chmod 600 $conf
ip -batch - 2>/tmp/q/err <<END || cat /tmp/q/err >&3
link set lo up
link add eth9 address 02:00:00:00:00:09 type dummy
link set eth9 mtu 1400 up
address add 192.0.2.1/24 dev eth9
address add 2001:db8:9::1/64 dev eth9
link add eth0 address 02:00:00:00:00:08 type dummy
link set eth0 up
address add 10.0.2.15/24 dev eth0
route add default via 10.0.2.2
END
echo 0 >/proc/sys/net/ipv4/conf/all/src_valid_mark
";

/// All steps of a case with one program, in one script.
fn side(bench: &Bench, case: &Case, program: &str) -> Result<Vec<(Did, String)>> {
    let Case { interface, conf, steps } = case;
    let mut script =
        format!("export quick={program} conf=/etc/wireguard/{interface}.conf\n{ROUTER}");
    for step in steps {
        let state = state(interface);
        script.push_str(&format!(
            "( {step} ) </dev/null >/tmp/q/out 2>/tmp/q/err\nprintf '%s\\036' $? >&3; \
             for file in out err; do cat /tmp/q/$file; printf '\\036'; done >&3; \
             ( {state} ) >&3; printf '\\036' >&3\n",
        ));
    }
    let out = bench.vm.sh_with(&script, conf.as_bytes(), LIMIT)?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let parts: Vec<&str> = text.split_terminator('\u{1e}').collect();
    ensure!(parts.len() == steps.len() * 4, "{} parts: {text}", parts.len());
    let mut all = Vec::new();
    for part in parts.chunks(4) {
        let [status, stdout, said, state] = part else { continue };
        let status = status.parse().context("status")?;
        all.push((effects(status, stdout, said, state), (*said).to_owned()));
    }
    Ok(all)
}
