//! `postwire remove`.

use serde::Serialize;

use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::summary::{self, SummaryJson};
use super::ui;
use crate::cli::{Own, Remove};
use crate::exit;
use crate::report::{Done, Failed};

/// What `--json` says of a removal.
#[derive(Debug, Serialize)]
pub(super) struct Removed {
    interface: String,
    router: Router,
    summary: SummaryJson,
}

pub(super) fn run(own: &Own, args: &Remove) -> Result<Done<Removed>, Failed> {
    let mut ui = ui(&args.link.talk);
    let about = About::default();
    let mut session = connect(own, &args.link, &mut ui).map_err(|error| describe(error, about))?;
    let machine = session.status().machine.clone();
    let summary = session
        .remove(&args.interface)
        .map_err(|error| describe(error, About { machine: &machine, ..about }))?;
    let router = Router::of(&session);
    ui.clear();
    let interface = args.interface.to_string();
    let text = format!("removed {interface} from {}: {}", router.name(), summary::text(&summary));
    let result = Removed { interface, router, summary: summary::json(&summary) };
    Ok(Done { code: exit::DONE, text, result })
}
