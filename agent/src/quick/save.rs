//! `save`: writes the file again, from the interface's current settings.

use core::fmt::Write;

use proto_core::conf::Field;
use proto_core::netlink::route::{Addr, addr};
use proto_core::protocol::message::Subject;

use super::process::QuickProcess;
use super::{Exit, Session, WINDOW, lines};
use crate::fault::Fault;
use crate::kernel::exchange::steady;
use crate::kernel::read::each_event;
use crate::wg::order::Order;
use crate::wg::show::{Form, Show, Text};
use crate::wg::text::ip;

/// The start of wg(8)'s text, after which our settings are inserted.
const HEAD: &str = "[Interface]\n";
/// The folder in which Debian's resolvconf(8) keeps its settings.
const KEPT: &str = "/etc/resolvconf/run/interface/";

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// The command.
    pub(super) fn save_command(&mut self) -> Result<(), Exit> {
        self.find()?;
        self.save()
    }

    /// Writes the file.
    pub(super) fn save(&mut self) -> Result<(), Exit> {
        let (wg, name) = (self.wg, self.name);
        let lost = |fault| wg.tell("cannot save the interface", "", fault);
        let (mut ours, mut theirs, mut nobodys) = ([0; WINDOW], [0; WINDOW], [0; 256]);
        let mut ours = self.spool(&mut ours);
        let mut out = Text { spool: &mut ours, fault: None };
        let _ = out.write_str(HEAD);
        self.settings(&mut out)?;
        if let Some(fault) = out.fault {
            return Err(lost(fault).into());
        }
        self.echo(format_args!("wg showconf {name}"));
        let mut theirs = self.spool(&mut theirs);
        let mut order = Order::new(self.spool(&mut nobodys));
        let kernel = &mut self.kernel;
        let told = steady(wg.slot, Subject::Interface, &mut || {
            theirs.clear();
            order.clear();
            let mut show = Show::new(wg, Form::Configuration, None, &mut theirs, &mut order);
            let whole = each_event(kernel, name, &mut |event| show.event(event))?;
            show.end()?;
            Ok(whole)
        });
        told.map_err(lost)?;
        let mut len = theirs.len();
        let blank = |theirs: &mut crate::wg::spool::Spool<'_, P::File>, len: u32| {
            let mut last = [0; 1];
            let before = len.checked_sub(2);
            // One of the line ends at the end is kept.
            before.is_some_and(|at| theirs.read(at, &mut last).is_ok() && last == *b"\n")
        };
        while blank(&mut theirs, len) {
            len = len.saturating_sub(1);
        }
        let (mut first, mut at) = (true, 0_u32);
        let replaced = wg.process.replace(self.path, &mut |buf| {
            loop {
                let (spool, end) = if first { (&mut ours, None) } else { (&mut theirs, Some(len)) };
                let left = end.unwrap_or(spool.len()).saturating_sub(at) as usize;
                let piece = spool.piece(at, left.min(buf.len()));
                let piece: &[u8] = piece.map_err(|_| proto_core::netlink::Errno::EIO)?;
                for (to, from) in buf.iter_mut().zip(piece) {
                    *to = *from;
                }
                at = at.saturating_add(piece.len() as u32);
                if !(first && piece.is_empty()) {
                    return Ok(piece.len());
                }
                (first, at) = (false, HEAD.len() as u32);
            }
        });
        let path = self.path;
        replaced.map_err(|errno| wg.say(format_args!("cannot write {path}: {errno}")).into())
    }

    /// The settings that are not wg(8)'s: addresses, name servers and MTU as they are now, the
    /// others unchanged.
    fn settings(&mut self, out: &mut Text<'_, '_, P::File>) -> Result<(), Exit> {
        let saved = self.saved_addresses(out);
        saved.map_err(|fault| self.wg.tell("cannot list the addresses", "", fault))?;
        self.saved_dns(out);
        if !self.conf.mtu.is_empty() {
            let link = self.kernel.link(self.name);
            let link = link.map_err(|fault| self.wg.tell("cannot read the MTU", "", fault))?;
            let _ = writeln!(out, "MTU = {}", link.map_or(0, |link| link.mtu));
        }
        if !self.conf.table.is_empty() {
            let _ = writeln!(out, "Table = {}", self.conf.table);
        }
        if self.conf.saves {
            let _ = out.write_str("SaveConfig = true\n");
        }
        for kind in [Field::PreUp, Field::PostUp, Field::PreDown, Field::PostDown] {
            let Self { wg, conf, .. } = self;
            conf.each(wg, &mut |_, setting, value| {
                if setting == kind {
                    let _ = writeln!(out, "{} = {value}", kind.name());
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn saved_addresses(&mut self, out: &mut Text<'_, '_, P::File>) -> Result<(), Fault> {
        let (index, slot) = (self.index, self.wg.slot);
        let kernel = &mut self.kernel;
        let before = out.spool.len();
        steady(slot, Subject::Interface, &mut || {
            out.spool.cut(before);
            kernel.dump_both(
                Subject::Interface,
                &|buf, seq, family| addr::list(buf, seq, family, Some(index)),
                &mut |message| {
                    let addr = Addr::parse(message).map_err(|error| slot.unreadable(&error))?;
                    if addr.index == index {
                        let _ = out.write_str("Address = ");
                        ip(out, addr.net.addr);
                        let _ = writeln!(out, "/{}", addr.net.prefix);
                    }
                    Ok(())
                },
            )
        })
    }

    /// The interface's name servers in resolvconf.
    fn saved_dns(&self, out: &mut Text<'_, '_, P::File>) {
        let process = self.wg.process;
        let name = self.dns_name();
        let mut take = |line: &str| {
            if let Some(server) = line.strip_prefix("nameserver ") {
                let _ = writeln!(out, "DNS = {}", server.trim_ascii());
            }
        };
        if self.output_of("resolvconf", &["-l", &name], &mut take) {
            return;
        }
        let mut path: heapless::String<320> = heapless::String::new();
        let _ = write!(path.as_mut_view(), "{KEPT}{name}");
        if let Ok(mut input) = process.open(Some(&path)) {
            // An unreadable file counts as empty.
            let _ = lines(&mut |buf| process.read(&mut input, buf), &mut take);
        }
    }
}
