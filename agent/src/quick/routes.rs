//! Routes for the peers' allowed IPs, the longest prefix first, and the extra settings of a default
//! route: a table of its own, which is used for all packets except those of the tunnel itself.

use proto_core::conf::routing::{FULL_TUNNEL_TABLE, RouteTable, covers, route_table, tunnel_rules};
use proto_core::conf::setting::{self, Table, ip_number};
use proto_core::conf::shown;
use proto_core::ip::{AF_INET, AF_INET6, IpNet};
use proto_core::netlink::route::route::{RT_TABLE_MAIN, RTPROT_BOOT};
use proto_core::netlink::route::{IfExists, Route, RouteFilter, Rule};
use proto_core::netlink::wireguard::{DeviceChange, Event};
use proto_core::protocol::message::Subject;
use proto_core::text::number as decimal;

use super::process::QuickProcess;
use super::{Exit, Session, WINDOW, lines};
use crate::fault::Fault;
use crate::kernel::exchange::{Protocol, steady};
use crate::kernel::read::each_event_of_whole;
use crate::kernel::write::set_device;
use crate::wg::nets::Nets;

/// The file with the names of tables.
const TABLES: &str = "/etc/iproute2/rt_tables";

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// Adds the routes.
    pub(super) fn routes(&mut self) -> Result<(), Exit> {
        let table = self.table()?;
        if table == Table::Off {
            return Ok(());
        }
        let (mut window, mut there) = ([0; WINDOW], [0; WINDOW]);
        let mut nets = Nets(self.spool(&mut window));
        let mut there = Nets(self.spool(&mut there));
        let mut lengths = [false; 129];
        let listed = self.allowed_ips(&mut nets, &mut lengths);
        let listed = listed.and_then(|()| self.own_routes(&mut there));
        listed.map_err(|fault| self.refused("cannot list the routes", fault))?;
        for prefix in (0..=128_u8).rev() {
            if lengths.get(usize::from(prefix)).is_some_and(|there| *there) {
                self.routes_of(&mut nets, &mut there, table, (prefix, AF_INET6))?;
                self.routes_of(&mut nets, &mut there, table, (prefix, AF_INET))?;
            }
        }
        Ok(())
    }

    /// Adds the routes of a prefix length and a family.
    fn routes_of(
        &mut self,
        nets: &mut Nets<'_, P::File>,
        there: &mut Nets<'_, P::File>,
        table: Table,
        kind: (u8, u8),
    ) -> Result<(), Exit> {
        for n in 0..nets.count() {
            let net = nets.get(n).map_err(|fault| self.refused("the routes", fault))?;
            let Some(net) = net.filter(|net| (net.prefix, net.family()) == kind) else { continue };
            match route_table(table, &net) {
                RouteTable::None => {}
                RouteTable::Number(number) => self.add_route(net, Some(number))?,
                RouteTable::FullTunnel => self.add_default(net)?,
                RouteTable::MainUnlessCovered => {
                    let covered = covered(there, &net);
                    if !covered.map_err(|fault| self.refused("the routes", fault))? {
                        self.add_route(net, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `Table`.
    fn table(&self) -> Result<Table, Exit> {
        let text = &*self.conf.table;
        match setting::table(text).or_else(|| self.named_table(text).map(Table::Number)) {
            Some(table) => Ok(table),
            None => {
                let text = shown(text);
                let words = "is neither a number nor in /etc/iproute2/rt_tables";
                let _ = self.wg.say(format_args!("Table `{text}' {words}"));
                Err(Exit(255))
            }
        }
    }

    /// The number of a table, by name.
    fn named_table(&self, name: &str) -> Option<u32> {
        let process = self.wg.process;
        let mut input = process.open(Some(TABLES)).ok()?;
        let mut found = None;
        let read = lines(&mut |buf| process.read(&mut input, buf), &mut |line| {
            let mut words = line.split_ascii_whitespace();
            if let (Some(number), Some(text)) = (words.next(), words.next())
                && text == name
            {
                // A zero in front makes no octal number in this file.
                let hexadecimal = number.starts_with("0x");
                let number = if hexadecimal { ip_number(number) } else { decimal(number) };
                found = found.or(number);
            }
        });
        read.ok().and(found)
    }

    /// The peers' allowed IPs, and the prefix lengths among them.
    fn allowed_ips(
        &mut self,
        nets: &mut Nets<'_, P::File>,
        lengths: &mut [bool; 129],
    ) -> Result<(), Fault> {
        each_event_of_whole(&mut self.kernel, self.name, &mut |event| {
            match event {
                Event::Device(_) => nets.clear(),
                Event::Peer(_) => {}
                Event::AllowedIp(net) => {
                    if let Some(there) = lengths.get_mut(usize::from(net.prefix)) {
                        *there = true;
                    }
                    nets.push(*net)?;
                }
            }
            Ok(())
        })
    }

    /// The destinations of the interface's existing routes in the main table: from its addresses,
    /// or from a hook.
    fn own_routes(&mut self, there: &mut Nets<'_, P::File>) -> Result<(), Fault> {
        let filter =
            RouteFilter { oif: Some(self.index), table: Some(RT_TABLE_MAIN), protocol: None };
        let slot = self.wg.slot;
        let kernel = &mut self.kernel;
        steady(slot, Subject::Interface, &mut || {
            there.clear();
            kernel.dump_both(
                Subject::Interface,
                &|buf, seq, family| filter.list(buf, seq, family),
                &mut |message| match Route::parse(message) {
                    Ok(route) if filter.matches(&route) => there.push(route.dst),
                    Ok(_) => Ok(()),
                    Err(error) => Err(slot.unreadable(&error)),
                },
            )
        })
    }

    fn add_route(&mut self, net: IpNet, table: Option<u32>) -> Result<(), Exit> {
        let (name, index) = (self.name, self.index);
        let family = digit(&net);
        match table {
            Some(_) => {
                let table = self.conf.table;
                self.echo(format_args!("ip -{family} route add {net} dev {name} table {table}"));
            }
            None => self.echo(format_args!("ip -{family} route add {net} dev {name}")),
        }
        self.put_route(net, index, table.unwrap_or(RT_TABLE_MAIN))
    }

    fn put_route(&mut self, net: IpNet, index: u32, table: u32) -> Result<(), Exit> {
        let route = Route::device(net, index, table, RTPROT_BOOT);
        let added = self.kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
            route.add(buf, seq, IfExists::Fail)
        });
        added.map_err(|fault| self.refused("cannot add the route", fault))
    }

    /// A default route.
    fn add_default(&mut self, net: IpNet) -> Result<(), Exit> {
        let (name, index) = (self.name, self.index);
        let mark = self.fwmark().map_err(|fault| self.refused("cannot read the mark", fault))?;
        let table = match mark {
            0 => {
                let free = self.free_table();
                let free = free.map_err(|fault| self.refused("cannot find a free table", fault))?;
                self.echo(format_args!("wg set {name} fwmark {free}"));
                let set = self.set_fwmark(free);
                set.map_err(|fault| self.wg.tell("cannot set the mark", "", fault))?;
                free
            }
            mark => mark,
        };
        let family = digit(&net);
        for rule in tunnel_rules(table) {
            match rule.unless_marked {
                Some(mark) => {
                    self.echo(format_args!(
                        "ip -{family} rule add not fwmark {mark} table {table}"
                    ));
                }
                None => {
                    let words = "rule add table main suppress_prefixlength 0";
                    self.echo(format_args!("ip -{family} {words}"));
                }
            }
            self.add_rule(&Rule {
                fwmark: rule.unless_marked,
                invert: rule.unless_marked.is_some(),
                suppress_prefixlen: rule.suppress_prefixlength,
                ..Rule::new(net.family(), rule.table)
            })?;
        }
        self.echo(format_args!("ip -{family} route add {net} dev {name} table {table}"));
        self.put_route(net, index, table)?;
        self.set_firewall(net.family() == AF_INET6, table)
    }

    fn add_rule(&mut self, rule: &Rule) -> Result<(), Exit> {
        let added =
            self.kernel.change(Protocol::Route, Subject::Rule, &|buf, seq| rule.add(buf, seq));
        added.map_err(|fault| self.refused("cannot add the rule", fault))
    }

    /// The mark of the interface, or 0.
    pub(super) fn fwmark(&mut self) -> Result<u32, Fault> {
        let mut mark = 0;
        each_event_of_whole(&mut self.kernel, self.name, &mut |event| {
            if let Event::Device(device) = event {
                mark = device.fwmark;
            }
            Ok(())
        })?;
        Ok(mark)
    }

    fn set_fwmark(&mut self, mark: u32) -> Result<(), Fault> {
        let change = DeviceChange { fwmark: Some(mark), ..DeviceChange::default() };
        set_device(&mut self.kernel, &mut [0; 256], self.name, Subject::Interface, &change)
    }

    /// The first table from [`FULL_TUNNEL_TABLE`] without a route.
    fn free_table(&mut self) -> Result<u32, Fault> {
        let slot = self.wg.slot;
        let mut table = FULL_TUNNEL_TABLE;
        loop {
            let filter = RouteFilter { table: Some(table), ..RouteFilter::default() };
            let mut used = false;
            for family in [AF_INET, AF_INET6] {
                let kernel = &mut self.kernel;
                steady(slot, Subject::Interface, &mut || {
                    kernel.dump_family(
                        Subject::Interface,
                        &|buf, seq, family| filter.list(buf, seq, family),
                        family,
                        &mut |message| {
                            // An unreadable route could be in the table, and so it counts.
                            used |= Route::parse(message).map_or(true, |r| filter.matches(&r));
                            Ok(())
                        },
                    )
                })?;
            }
            if !used {
                return Ok(table);
            }
            table = table.saturating_add(1);
        }
    }
}

/// The family as an option of ip(8).
const fn digit(net: &IpNet) -> char {
    if net.family() == AF_INET6 { '6' } else { '4' }
}

/// Whether one of the interface's routes covers `net`.
fn covered<F: crate::system::File>(there: &mut Nets<'_, F>, net: &IpNet) -> Result<bool, Fault> {
    for n in 0..there.count() {
        if there.get(n)?.is_some_and(|route| covers(&route, net)) {
            return Ok(true);
        }
    }
    Ok(false)
}
