//! `postwire push`.

use serde::Serialize;

use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::load::load;
use super::summary::{self, SummaryJson};
use super::ui;
use crate::cli::{Own, Push};
use crate::exit;
use crate::report::{Context, Done, Failed};

/// What `--json` says of a push.
#[derive(Debug, Serialize)]
pub(super) struct Pushed {
    interface: String,
    router: Router,
    changed: bool,
    summary: SummaryJson,
    public_key: Option<String>,
    listen_port: Option<u16>,
}

pub(super) fn run(own: &Own, args: &Push, context: &mut Context) -> Result<Done<Pushed>, Failed> {
    let loaded = load(&args.file, context)?;
    let interface = &loaded.image.interface;
    let mut ui = ui(&args.link.talk);
    let about = About { file: Some(&loaded), push: true, ..About::default() };
    let (router, pushed) = {
        let mut session =
            connect(own, &args.link, &mut ui).map_err(|error| describe(error, about))?;
        let router = Router::of(&session);
        let outcome = session.push(&loaded.image);
        let machine = session.status().machine.clone();
        let commit_sent = session.commit_sent();
        (
            router,
            outcome.map_err(|error| {
                describe(error, About { machine: &machine, commit_sent, ..about })
            }),
        )
    };
    ui.clear();
    let summary = pushed?.summary;
    let changed = !summary.is_quiet();
    let text = if changed {
        format!("applied to {interface} on {}: {}", router.name(), summary::text(&summary))
    } else {
        format!("{interface} already runs this configuration: nothing changed")
    };
    let result = Pushed {
        interface: interface.to_string(),
        router,
        changed,
        summary: summary::json(&summary),
        public_key: summary.public_key.map(|key| key.to_string()),
        listen_port: summary.listen_port,
    };
    Ok(Done { code: exit::DONE, text, result })
}
