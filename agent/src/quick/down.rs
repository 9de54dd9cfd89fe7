//! `down`, and the removal after a failed `up`.

use core::fmt;

use proto_core::conf::Field;
use proto_core::ip::{AF_INET, AF_INET6};
use proto_core::netlink::route::route::RT_TABLE_MAIN;
use proto_core::netlink::route::{Rule, rule};
use proto_core::netlink::wireguard::Event;
use proto_core::protocol::message::Subject;

use super::process::QuickProcess;
use super::{Exit, Session};
use crate::fault::Fault;
use crate::kernel::exchange::{Protocol, SET, steady};
use crate::kernel::read::each_event_of_whole;

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// The interface must exist.
    pub(super) fn find(&mut self) -> Result<(), Exit> {
        let name = self.name;
        let program = self.kernel.choose(name);
        let link = self.kernel.link(name);
        match link.map_err(|fault| self.refused("cannot query the interface", fault))? {
            Some(link) if link.wireguard || program => {
                self.index = link.index;
                Ok(())
            }
            _ => Err(self.wg.say(format_args!("`{name}' is not a WireGuard interface")).into()),
        }
    }

    /// Removes the interface.
    pub(super) fn down(&mut self) -> Result<(), Exit> {
        self.find()?;
        self.hooks(Field::PreDown)?;
        if self.conf.saves {
            self.save()?;
        }
        // A failed step does not prevent the others. Each step has reported its failure.
        let gone = self.take_away();
        let _ = self.unset_dns();
        let _ = self.remove_firewall();
        gone.and(self.hooks(Field::PostDown))
    }

    /// Removes what was added. Best effort.
    pub(super) fn take_away(&mut self) -> Result<(), Exit> {
        if core::mem::take(&mut self.dns_is_set) {
            let _ = self.unset_dns();
        }
        if core::mem::take(&mut self.firewall_is_set) {
            let _ = self.remove_firewall();
        }
        let rules = match &*self.conf.table {
            "" | "auto" => self.remove_rules(),
            _ => Ok(()),
        };
        let (name, index) = (self.name, self.index);
        self.echo(format_args!("ip link delete dev {name}"));
        let mut set = [0; SET];
        let gone = crate::kernel::remove::link(&mut self.kernel, &mut set, name, index);
        gone.map_err(|fault| self.refused("cannot remove the interface", fault))?;
        rules
    }

    /// Removes the rules of a default route, if there is one: the IPv6 rules even if the IPv4 rules
    /// stay.
    fn remove_rules(&mut self) -> Result<(), Exit> {
        let mark = self.mark_of_default_route();
        let mark = mark.map_err(|fault| self.refused("cannot remove the rules", fault))?;
        let mut done = Ok(());
        for family in [AF_INET, AF_INET6] {
            if mark != 0
                && let Err(fault) = self.remove_rules_of(family, mark)
            {
                done = Err(self.refused("cannot remove the rules", fault));
            }
        }
        done
    }

    /// The mark of the interface, if it has a default route; otherwise 0.
    fn mark_of_default_route(&mut self) -> Result<u32, Fault> {
        let (mut mark, mut everywhere) = (0, false);
        each_event_of_whole(&mut self.kernel, self.name, &mut |event| {
            match event {
                Event::Device(device) => (mark, everywhere) = (device.fwmark, false),
                Event::AllowedIp(net) => everywhere |= net.prefix == 0,
                Event::Peer(_) => {}
            }
            Ok(())
        })?;
        Ok(if everywhere { mark } else { 0 })
    }

    fn remove_rules_of(&mut self, family: u8, mark: u32) -> Result<(), Fault> {
        self.remove_each(family, &|rule| rule.table == mark, &format_args!("table {mark}"))?;
        self.remove_each(family, &is_main, &"table main suppress_prefixlength 0")
    }

    /// Removes the rules that `ours` selects, each with its priority: without one the kernel removes the
    /// first rule that has these settings, even if that rule has a mark and is another program's.
    fn remove_each(
        &mut self,
        family: u8,
        ours: &dyn Fn(&Rule) -> bool,
        words: &dyn fmt::Display,
    ) -> Result<(), Fault> {
        let digit = if family == AF_INET6 { '6' } else { '4' };
        // Rules that another program adds meanwhile do not prolong this.
        let mut most = u32::MAX;
        while let (count, Some(rule)) = self.rules(family, ours)? {
            most = most.min(count).saturating_sub(1);
            self.echo(format_args!("ip -{digit} rule delete {words}"));
            self.delete_rule(&rule)?;
            if most == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The number of rules that `ours` selects, and the first of them.
    fn rules(
        &mut self,
        family: u8,
        ours: &dyn Fn(&Rule) -> bool,
    ) -> Result<(u32, Option<Rule>), Fault> {
        let slot = self.wg.slot;
        let kernel = &mut self.kernel;
        let (mut count, mut first) = (0_u32, None);
        steady(slot, Subject::Rule, &mut || {
            (count, first) = (0, None);
            kernel.dump_family(Subject::Rule, &rule::list, family, &mut |message| {
                let rule = Rule::parse(message).map_err(|error| slot.unreadable(&error))?;
                if ours(&rule) {
                    count = count.saturating_add(1);
                    first = first.or(Some(rule));
                }
                Ok(())
            })
        })?;
        Ok((count, first))
    }

    fn delete_rule(&mut self, rule: &Rule) -> Result<(), Fault> {
        self.kernel.change(Protocol::Route, Subject::Rule, &|buf, seq| rule.delete(buf, seq))
    }
}

/// The rule that uses the main table without its default route.
fn is_main(rule: &Rule) -> bool {
    let Rule { fwmark, invert, other, .. } = *rule;
    rule.table == RT_TABLE_MAIN
        && rule.suppress_prefixlen == Some(0)
        && fwmark.is_none()
        && !invert
        && !other
}
