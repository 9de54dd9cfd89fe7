//! `postwire diff`.

use serde::Serialize;

use super::changes::{self, ChangeJson};
use super::connect::{Router, connect_to_push};
use super::failure::{About, describe};
use super::load::load;
use super::summary::{self, SummaryJson};
use super::ui;
use crate::cli::{self, Own};
use crate::exit;
use crate::report::{Context, Done, Failed};

/// A diff, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Diff {
    interface: String,
    router: Router,
    changed: bool,
    summary: SummaryJson,
    public_key: Option<String>,
    listen_port: Option<u16>,
    changes: Vec<ChangeJson>,
}

pub(super) fn run(
    own: &Own,
    args: &cli::Diff,
    context: &mut Context,
) -> Result<Done<Diff>, Failed> {
    let talk = &args.link.talk;
    let mut ui = ui(own, talk);
    let loaded = load(&args.file, talk.timeout, &|line| ui.tell(line), context)?;
    let interface = &loaded.image.interface;
    let about = About { file: Some(&loaded), ..About::default() };
    let (router, diff) = {
        let mut session = connect_to_push(own, &args.link, Some(&loaded.image), &mut ui)
            .map_err(|error| describe(error, about))?;
        let outcome = session.diff(&loaded.image);
        let described = outcome.map_err(|error| describe(error, About { ..about }));
        (Router::of(&session), described)
    };
    ui.clear();
    let diff = diff?;
    let changed = !diff.summary.is_quiet();
    let text = if changed {
        format!(
            "a push would change {interface} on {}:{}",
            router.name(),
            changes::text(&diff.changes)
        )
    } else {
        format!("{interface} already runs this configuration: nothing would change")
    };
    let result = Diff {
        interface: interface.to_string(),
        router,
        changed,
        summary: summary::json(&diff.summary),
        public_key: diff.summary.public_key.map(|key| key.to_string()),
        listen_port: diff.summary.listen_port,
        changes: changes::json(&diff.changes),
    };
    Ok(Done { code: if changed { exit::CHANGES } else { exit::DONE }, text, result })
}
