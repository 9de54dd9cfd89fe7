//! `show` and `showconf` as commands: which interfaces, and their text to standard output.

use core::ffi::CStr;
use core::fmt::Write;

use proto_core::conf::shown;
use proto_core::netlink::IfName;
use proto_core::protocol::message::Subject;

use super::order::Order;
use super::out::Out;
use super::process::Process;
use super::show::{Form, Show};
use super::spool::Spool;
use super::{Command, Failed, Memory, Wg};
use crate::fault::Fault;
use crate::kernel::exchange::{Kernel, steady};
use crate::kernel::read::each_event;
use crate::system::File;

/// Bytes of a name (`IFNAMSIZ`).
const NAME: usize = 16;

/// The buffers for a device on its way to standard output.
struct Screen<'k, 's, 'b, 'w, P: Process> {
    wg: &'s Wg<'s, P>,
    kernel: &'k mut Kernel<'b, P::Netlink>,
    text: Spool<'w, P::File>,
    order: Order<'w, P::File>,
    out: Out<'s, 's, P>,
}

impl<P: Process> Wg<'_, P> {
    /// `show` of an interface, of `all`, or of their names, and `showconf`. `form` may be an
    /// unknown field.
    pub(super) fn show(
        &self,
        memory: &mut Memory,
        of: Option<&str>,
        form: Result<Form, &str>,
    ) -> Result<i32, Failed> {
        let Memory { buffers, windows: [text, order], small: [names, page], .. } = memory;
        let mut kernel = self.kernel(buffers)?;
        let mut screen = Screen {
            wg: self,
            kernel: &mut kernel,
            text: self.spool(text),
            order: Order::new(self.spool(order)),
            out: Out::new(self, page),
        };
        let shown = match of {
            // `showconf` takes these two as names.
            Some(name)
                if form == Ok(Form::Configuration) || !matches!(name, "all" | "interfaces") =>
            {
                let of = self.interface(name)?;
                let form = form.map_err(|field| self.no_field(field))?;
                screen.device(of, form, false).map_err(|fault| self.no_access(of, fault))
            }
            of => {
                let mut names = self.spool(names);
                let listed = screen.list(&mut names);
                listed.map_err(|fault| self.tell("cannot list the interfaces", "", fault))?;
                match of {
                    Some("interfaces") => screen.names(&mut names),
                    _ => screen.all(&mut names, form),
                }
            }
        };
        let Screen { out, .. } = screen;
        let written = out.finish();
        kernel.wipe();
        shown.and(written)
    }

    fn no_field(&self, field: &str) -> Failed {
        let Failed = self.say(format_args!("there is no field `{}`", shown(field)));
        self.usage("show", Command::Show.usage())
    }

    fn no_access(&self, name: IfName, fault: Fault) -> Failed {
        self.tell("cannot read ", name.as_str(), fault)
    }
}

impl<P: Process> Screen<'_, '_, '_, '_, P> {
    /// Lists the WireGuard interfaces: first the kernel's, then those of programs.
    fn list(&mut self, names: &mut Spool<'_, P::File>) -> Result<(), Fault> {
        steady(self.kernel.slot, Subject::None, &mut || {
            names.clear();
            // An interface whose name is not UTF-8 cannot be requested.
            self.kernel.wireguard_links(&mut |name, is_text| {
                if is_text { add(names, name) } else { Ok(()) }
            })
        })?;
        self.wg.each_program(&mut |name| add(names, name))
    }

    /// The name at `at`; `None` at the end.
    fn name(&self, names: &mut Spool<'_, P::File>, at: u32) -> Result<Option<IfName>, Failed> {
        if at >= names.len() {
            return Ok(None);
        }
        let mut bytes = [0; NAME];
        let read = names.read(at, &mut bytes);
        read.map_err(|fault| self.wg.tell("cannot list the interfaces", "", fault))?;
        let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
        Ok(text.to_str().unwrap_or_default().parse().ok())
    }

    /// Prints the names on one line.
    fn names(&mut self, names: &mut Spool<'_, P::File>) -> Result<(), Failed> {
        let mut at = 0_u32;
        while let Some(name) = self.name(names, at)? {
            at = at.saturating_add(NAME as u32);
            let end = if at < names.len() { " " } else { "\n" };
            let _ = write!(self.out, "{name}{end}");
        }
        Ok(())
    }

    /// Prints all interfaces. An unreadable interface is skipped if another one can be read.
    fn all(
        &mut self,
        names: &mut Spool<'_, P::File>,
        form: Result<Form, &str>,
    ) -> Result<(), Failed> {
        let mut outcome = Ok(());
        let mut any = false;
        let mut at = 0_u32;
        while let Some(name) = self.name(names, at)? {
            at = at.saturating_add(NAME as u32);
            match self.device(name, form.unwrap_or(Form::PublicKey), true) {
                Ok(()) => any = true,
                Err(fault) => {
                    outcome = Err(self.wg.no_access(name, fault));
                    continue;
                }
            }
            if let Err(field) = form {
                self.out.discard();
                return Err(self.wg.no_field(field));
            }
            if form == Ok(Form::Pretty) && at < names.len() {
                self.out.bytes(b"\n");
            }
        }
        if any { Ok(()) } else { outcome }
    }

    /// Prints an interface.
    fn device(&mut self, name: IfName, form: Form, prefix: bool) -> Result<(), Fault> {
        let prefix = Some(name).filter(|_| prefix);
        let Self { wg, kernel, text, order, out } = self;
        kernel.choose(name);
        steady(kernel.slot, Subject::Interface, &mut || {
            text.clear();
            order.clear();
            let mut show = Show::new(wg, form, prefix, text, order);
            let whole = each_event(kernel, name, &mut |event| show.event(event))?;
            show.end()?;
            Ok(whole)
        })?;
        let first = order.first()?.unwrap_or(text.len());
        copy(text, out, 0, first)?;
        order.each(&mut |from, to| {
            out.bytes(b"\n");
            copy(text, out, from, to)
        })
    }
}

/// Adds a name to the list.
fn add<F: File>(names: &mut Spool<'_, F>, name: IfName) -> Result<(), Fault> {
    let mut bytes = [0; NAME];
    let name = name.as_str().bytes();
    bytes.iter_mut().zip(name).for_each(|(to, from)| *to = from);
    names.append(&bytes)
}

/// Copies a piece of the text.
fn copy<P: Process>(
    text: &mut Spool<'_, P::File>,
    out: &mut Out<'_, '_, P>,
    mut from: u32,
    to: u32,
) -> Result<(), Fault> {
    while from < to {
        let piece = text.piece(from, to.saturating_sub(from) as usize)?;
        out.bytes(piece);
        from = from.saturating_add(piece.len().max(1) as u32);
    }
    Ok(())
}
