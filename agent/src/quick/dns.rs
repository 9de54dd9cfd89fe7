//! Name servers and search domains, set through `resolvconf`.

use core::fmt::Write;

use proto_core::conf::Field;
use proto_core::conf::setting::next_word;

use super::conf::is_name_server;
use super::process::QuickProcess;
use super::programs::Script;
use super::{Exit, Session, lines};

/// The order in which Debian's resolvconf(8) uses interfaces, by the prefixes of their names.
const ORDER: &str = "/etc/resolvconf/interface-order";

impl<P: QuickProcess> Session<'_, '_, '_, P> {
    /// The interface's name for resolvconf: with the first prefix that stands alone in the order,
    /// so that the interface comes first.
    pub(super) fn dns_name(&self) -> heapless::String<256> {
        let process = self.wg.process;
        let mut name: heapless::String<256> = heapless::String::new();
        if let Ok(mut input) = process.open(Some(ORDER)) {
            let _ = lines(&mut |buf| process.read(&mut input, buf), &mut |line| {
                let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                let head = line.trim_ascii().strip_suffix('*').unwrap_or_default();
                if name.is_empty() && !head.is_empty() && head.bytes().all(good) {
                    let _ = write!(name.as_mut_view(), "{head}.");
                }
            });
        }
        let _ = name.push_str(self.name.as_str());
        name
    }

    /// Passes the settings to resolvconf, if there are any.
    pub(super) fn set_dns(&mut self) -> Result<(), Exit> {
        if !self.conf.has_dns {
            return Ok(());
        }
        let name = self.dns_name();
        let Self { wg, conf, .. } = self;
        let wg = *wg;
        let mut script = Script::new(wg.process.scratch());
        let mut domains = false;
        for servers in [true, false] {
            conf.each(wg, &mut |_, setting, value| {
                let mut rest = value;
                while let (Field::Dns, Some(word)) = (setting, next_word(&mut rest)) {
                    // A write error is reported when the file is opened.
                    let _ = match (servers, is_name_server(word)) {
                        (true, true) => writeln!(script, "nameserver {word}"),
                        (false, false) => {
                            let between = if domains { " " } else { "search " };
                            domains = true;
                            write!(script, "{between}{word}")
                        }
                        _ => Ok(()),
                    };
                }
                Ok(())
            })?;
        }
        let _ = if domains { script.write_str("\n") } else { Ok(()) };
        let file = script.file().map_err(|errno| wg.say(format_args!("DNS: {errno}")))?;
        self.program("resolvconf", &["-a", &name, "-m", "0", "-x"], Some(file))?;
        self.dns_is_set = true;
        Ok(())
    }

    /// Removes the settings from resolvconf, if there were any.
    pub(super) fn unset_dns(&self) -> Result<(), Exit> {
        if !self.conf.has_dns {
            return Ok(());
        }
        self.program("resolvconf", &["-d", &self.dns_name(), "-f"], None)
    }
}
