//! `up`: runs its steps in order; if one fails, everything that was added is removed again.

use core::fmt::Write;

use proto_core::conf::Field;
use proto_core::conf::setting::{address, next_word};
use proto_core::netlink::Errno;
use proto_core::netlink::route::link::{self, KIND_WIREGUARD};
use proto_core::protocol::config::Item;
use proto_core::protocol::message::Subject;

use super::process::QuickProcess;
use super::{Exit, REFUSED, Session};
use crate::kernel::exchange::{NO_WIREGUARD, Protocol};
use crate::kernel::write::write_item;

/// A step of `up`.
type Step<S> = fn(&mut S) -> Result<(), Exit>;

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// Creates the interface.
    pub(super) fn up(&mut self) -> Result<(), Exit> {
        let name = self.name;
        let there = self.kernel.link(name);
        if there.map_err(|fault| self.refused("cannot query the interface", fault))?.is_some() {
            return Err(self.wg.say(format_args!("`{name}' already exists")).into());
        }
        self.wg.process.hold_signals();
        let done = self.add_link().and_then(|()| self.steps());
        if done.is_err() && self.index != 0 {
            // A failed removal was reported; the first failure is more important.
            let _ = self.take_away();
        }
        done
    }

    fn steps(&mut self) -> Result<(), Exit> {
        let steps: [Step<Self>; _] = [
            |this| this.hooks(Field::PreUp),
            Self::settings_and_peers,
            Self::addresses,
            Self::set_mtu,
            Self::set_dns,
            Self::routes,
            |this| this.hooks(Field::PostUp),
        ];
        for step in steps {
            step(self)?;
            let signal = self.wg.process.held_signal();
            if signal != 0 {
                let _ = self.wg.say(format_args!("signal {signal}: removes everything again"));
                return Err(Exit(signal.saturating_add(128)));
            }
        }
        Ok(())
    }

    fn settings_and_peers(&mut self) -> Result<(), Exit> {
        let name = self.name;
        self.echo(format_args!("wg setconf {name} /dev/fd/63"));
        // An endpoint without an address does not stop `up` if that is allowed.
        let added = self.wg.add_quick(self.memory, name.as_str(), &mut self.conf.text);
        added.map(|_| ()).map_err(Exit::from)
    }

    fn add_link(&mut self) -> Result<(), Exit> {
        let name = self.name;
        self.echo(format_args!("ip link add {name} type wireguard"));
        let slot = self.wg.slot;
        let made = self.kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
            link::create(buf, seq, name, KIND_WIREGUARD)
        });
        let made = made.map_err(|fault| slot.reword(fault, Errno::EOPNOTSUPP, None, NO_WIREGUARD));
        let made = made.map_err(|fault| self.refused("cannot create the interface", fault));
        let made = match made.map_err(|exit| (exit, self.program_in_its_place())) {
            Ok(()) => Ok(()),
            Err((exit, None)) => return Err(exit),
            Err((_, Some(program))) => {
                let words = "Missing WireGuard kernel module. Falling back to slow userspace \
                             implementation.";
                self.wg.note("[!] ", format_args!("{words}"));
                self.program(program, &[name.as_str()], None)
            }
        };
        // Also if the program failed: the interface that it created is removed.
        let link = self.kernel.link(name);
        let link = link.map_err(|fault| self.refused("cannot query the interface", fault))?;
        self.index = link.map_or(0, |link| link.index);
        self.kernel.choose(name);
        made
    }

    /// The program that provides the interface if the kernel has no WireGuard.
    fn program_in_its_place(&self) -> Option<&str> {
        let process = self.wg.process;
        let named = process.variable(c"WG_QUICK_USERSPACE_IMPLEMENTATION");
        let program = named.filter(|name| !name.is_empty()).unwrap_or("wireguard-go");
        let missing = process.open(Some("/sys/module/wireguard")).is_err();
        Some(program).filter(|program| missing && process.has(program))
    }

    fn addresses(&mut self) -> Result<(), Exit> {
        let Self { wg, name, conf, kernel, index, .. } = self;
        let (wg, name, index) = (*wg, *name, *index);
        conf.each(wg, &mut |line, setting, value| {
            let mut rest = value;
            while let (Field::Address, Some(word)) = (setting, next_word(&mut rest)) {
                let family = if word.contains(':') { '6' } else { '4' };
                wg.note("[#] ", format_args!("ip -{family} address add {word} dev {name}"));
                let Some(net) = address(word) else {
                    let words = "is not an address with its prefix";
                    return Err(wg
                        .say(format_args!("line {line}: Address `{word}' {words}"))
                        .into());
                };
                let added = kernel.change(Protocol::Route, Subject::Interface, &|buf, seq| {
                    write_item(buf, seq, (&Item::Address(net), index), true)
                });
                added.map_err(|fault| {
                    let mut what: heapless::String<72> = heapless::String::new();
                    let _ = write!(what.as_mut_view(), "line {line}: Address {net}");
                    let _ = wg.tell(&what, "", fault);
                    REFUSED
                })?;
            }
            Ok(())
        })
    }
}
