//! `postwire history`.

use proto_core::protocol::report::Stored;
use serde::Serialize;

use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::record::{self, Record};
use super::ui;
use crate::cli::{History, Own};
use crate::exit;
use crate::report::{Done, Failed};
use crate::session::{SessionError, printable};

/// The stored configurations, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Configurations {
    router: Router,
    configurations: Vec<Record>,
}

pub(super) fn run(own: &Own, args: &History) -> Result<Done<Configurations>, Failed> {
    let plain = |error: SessionError| describe(error, About::default());
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui).map_err(plain)?;
    let stored = session.history(args.interface.as_ref()).map_err(plain)?;
    let router = Router::of(&session);
    let lines: Vec<String> = stored.iter().map(line).collect();
    let text = match (lines.is_empty(), &args.interface) {
        (false, _) => lines.join("\n"),
        (true, Some(interface)) => {
            format!("{} stores no configuration of {interface}", router.name())
        }
        (true, None) => format!("{} stores no configuration", router.name()),
    };
    let configurations = stored.iter().map(record::json).collect();
    Ok(Done { code: exit::DONE, text, result: Configurations { router, configurations } })
}

fn line(stored: &Stored) -> String {
    format!("{} number {}: {}", printable(&stored.interface), stored.number, record::words(stored))
}
