//! `postwire history`.

use proto_core::protocol::report::Stored;
use serde::Serialize;

use super::connect::connect;
use super::failure::describe;
use super::ui;
use crate::cli::{History, Own};
use crate::ops::Router;
use crate::report::{Done, Failed};
use crate::session::{SessionError, printable};
use crate::stored::{self, Record};
use crate::{drive, exit};

/// The stored configurations, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Configurations {
    router: Router,
    configurations: Vec<Record>,
}

pub(super) fn run(own: &Own, args: &History) -> Result<Done<Configurations>, Failed> {
    let plain = |error: SessionError| describe(error, None);
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    let stored = drive::one(session.history(args.interface.as_ref())).map_err(plain)?;
    let router = Router::of(&session);
    let lines: Vec<String> = stored.iter().map(line).collect();
    let text = match (lines.is_empty(), &args.interface) {
        (false, _) => lines.join("\n"),
        (true, Some(interface)) => {
            format!("{} stores no configuration of {interface}", router.name())
        }
        (true, None) => format!("{} stores no configuration", router.name()),
    };
    let configurations = stored.iter().map(stored::json).collect();
    Ok(Done { code: exit::DONE, text, result: Configurations { router, configurations } })
}

fn line(stored: &Stored) -> String {
    format!("{} number {}: {}", printable(&stored.interface), stored.number, stored::words(stored))
}
