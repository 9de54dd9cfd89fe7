//! The firewall of a default route, by `nft` or else by `iptables-restore`. Packets to the
//! interface's own addresses must come through the interface or from the machine itself, and
//! replies to the tunnel's packets get their mark.

use core::fmt::Write;

use proto_core::ip::{AF_INET, AF_INET6, Shown};
use proto_core::netlink::route::Addr;
use proto_core::netlink::route::addr;
use proto_core::protocol::message::Subject;

use super::process::QuickProcess;
use super::programs::Script;
use super::{Exit, Session};
use crate::fault::Fault;
use crate::kernel::exchange::{Protocol, steady};

/// The prefix of the interface's table in nftables.
const TABLE: &str = "wg-quick-";

/// Its chains: name, hook and priority.
const CHAINS: &[(&str, &str, &str)] = &[
    ("preraw", "prerouting", "-300"),
    ("premangle", "prerouting", "-150"),
    ("postmangle", "postrouting", "-150"),
];

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// Sets the firewall of a family, for packets with the mark.
    pub(super) fn set_firewall(&mut self, v6: bool, mark: u32) -> Result<(), Exit> {
        let (wg, name) = (self.wg, self.name);
        let nft = wg.process.has("nft");
        let mut script = Script::new(wg.process.scratch());
        let pf = if v6 { "ip6" } else { "ip" };
        let written = self.each_own_address(&mut script, nft, v6);
        written.map_err(|fault| self.refused("cannot list the addresses", fault))?;
        let _ = if nft {
            let rule = format_args!("add rule {pf} {TABLE}{name}");
            writeln!(script, "{rule} postmangle meta l4proto udp mark {mark} ct mark set mark")
                .and_then(|()| {
                    writeln!(script, "{rule} premangle meta l4proto udp meta mark set ct mark")
                })
        } else {
            let comment = Comment(name.as_str());
            write!(
                script,
                "COMMIT\n*mangle\n\
                 -I POSTROUTING -m mark --mark {mark} -p udp -j CONNMARK --save-mark {comment}\n\
                 -I PREROUTING -p udp -j CONNMARK --restore-mark {comment}\nCOMMIT\n"
            )
        };
        if !v6 && !wg.process.src_valid_mark() {
            self.echo(format_args!("sysctl -q net.ipv4.conf.all.src_valid_mark=1"));
            let set = wg.process.set_src_valid_mark();
            let path = "/proc/sys/net/ipv4/conf/all/src_valid_mark";
            set.map_err(|errno| wg.say(format_args!("{path}: {errno}")))?;
        }
        let file = script.file().map_err(|errno| wg.say(format_args!("the firewall: {errno}")))?;
        // Also if the program fails: iptables-restore sets one table after the other.
        self.firewall_is_set = true;
        match (nft, v6) {
            (true, _) => self.program("nft", &["-f", "-"], Some(file)),
            (false, false) => self.program("iptables-restore", &["-n"], Some(file)),
            (false, true) => self.program("ip6tables-restore", &["-n"], Some(file)),
        }
    }

    fn nft_begin(script: &mut Script<P::File>, name: &str, pf: &str) -> core::fmt::Result {
        writeln!(script, "add table {pf} {TABLE}{name}")?;
        for (chain, hook, priority) in CHAINS {
            writeln!(
                script,
                "add chain {pf} {TABLE}{name} {chain} {{ type filter hook {hook} priority {priority}; }}"
            )?;
        }
        Ok(())
    }

    /// Writes the start, and the rules that protect each address of the interface.
    fn each_own_address(
        &mut self,
        script: &mut Script<P::File>,
        nft: bool,
        v6: bool,
    ) -> Result<(), Fault> {
        let (index, name, slot) = (self.index, self.name, self.wg.slot);
        let (family, pf) = if v6 { (AF_INET6, "ip6") } else { (AF_INET, "ip") };
        let kernel = &mut self.kernel;
        steady(slot, Subject::Interface, &mut || {
            // A list that changes interrupted has left some of its rules here.
            script.clear();
            // A write error is reported when the file is opened.
            let _ = if nft {
                Self::nft_begin(script, name.as_str(), pf)
            } else {
                script.write_str("*raw\n")
            };
            kernel.dump(
                Protocol::Route,
                Subject::Interface,
                &|buf, seq| addr::list(buf, seq, family, Some(index)),
                &mut |message| {
                    let addr = Addr::parse(message).map_err(|error| slot.unreadable(&error))?;
                    if addr.index != index {
                        return Ok(());
                    }
                    let own = Shown(addr.net.addr);
                    let _ = if nft {
                        writeln!(
                            script,
                            "add rule {pf} {TABLE}{name} preraw iifname != \"{name}\" \
                             {pf} daddr {own} fib saddr type != local drop"
                        )
                    } else {
                        let comment = Comment(name.as_str());
                        writeln!(
                            script,
                            "-I PREROUTING ! -i {name} -d {own} -m addrtype ! --src-type LOCAL \
                             -j DROP {comment}"
                        )
                    };
                    Ok(())
                },
            )
        })
    }

    /// Removes everything that was set for the interface, also by an earlier run of wg-quick.
    pub(super) fn remove_firewall(&self) -> Result<(), Exit> {
        let (wg, name) = (self.wg, self.name);
        let failed = |errno| wg.say(format_args!("the firewall: {errno}"));
        if wg.process.has("nft") {
            let mut script = Script::new(wg.process.scratch());
            let mut found = false;
            self.output_of("nft", &["list", "tables"], &mut |line| {
                let table = line.strip_suffix(name.as_str()).unwrap_or_default();
                if table.strip_suffix(TABLE).is_some_and(|head| head.ends_with(' ')) {
                    let _ = writeln!(script, "delete {line}");
                    found = true;
                }
            });
            if found {
                self.program("nft", &["-f", "-"], Some(script.file().map_err(failed)?))?;
            }
        }
        if wg.process.has("iptables") {
            self.remove_iptables("iptables-save", "iptables-restore")?;
            self.remove_iptables("ip6tables-save", "ip6tables-restore")?;
        }
        Ok(())
    }

    fn remove_iptables(&self, save: &str, restore: &str) -> Result<(), Exit> {
        let wg = self.wg;
        let mut script = Script::new(wg.process.scratch());
        let mut comment: heapless::String<64> = heapless::String::new();
        let _ = write!(comment.as_mut_view(), "{}", Comment(self.name.as_str()));
        let mut found = false;
        self.output_of(save, &[], &mut |line| {
            let rule = line.strip_prefix("-A ").filter(|rule| contains(rule, &comment));
            if let Some(rule) = rule {
                let _ = writeln!(script, "-D {rule}");
                found = true;
            } else if line.starts_with('*') || line == "COMMIT" {
                let _ = writeln!(script, "{line}");
            }
        });
        if !found {
            return Ok(());
        }
        let file = script.file().map_err(|errno| wg.say(format_args!("the firewall: {errno}")))?;
        self.program(restore, &["-n"], Some(file))
    }
}

/// The comment that identifies our rules in iptables.
struct Comment<'n>(&'n str);

impl core::fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "-m comment --comment \"wg-quick(8) rule for {}\"", self.0)
    }
}

/// Whether `text` contains `part`.
fn contains(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len().max(1)).any(|window| window == part.as_bytes())
}
