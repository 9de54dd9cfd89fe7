//! `postwire diff`.

use proto_core::protocol::message::device;
use serde::Serialize;

use super::changes::{self, ChangeJson};
use super::connect::{is_named, target};
use super::drift::{self, DriftJson};
use super::failure::describe;
use super::load::load;
use super::summary::{self, SummaryJson};
use super::ui;
use crate::cli::{self, Own};
use crate::ops::{self, Router};
use crate::report::{Context, Done, Failed};
use crate::{drive, exit};

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
    /// What another program changed since the last push.
    drift: Option<DriftJson>,
    /// Whether another program made the interface or has its name, so that a push needs `--adopt`.
    needs_adopt: bool,
}

pub(super) fn run(
    own: &Own,
    args: &cli::Diff,
    context: &mut Context,
) -> Result<Done<Diff>, Failed> {
    let link = args.link.named(args.named.as_deref());
    is_named(&link)?;
    let mut ui = ui(own, &link.talk);
    let loaded = load(&args.file, link.talk.timeout, &|line| ui.tell(line), context)?;
    let interface = &loaded.image.interface;
    let target = target(own, &link)?;
    let diff = drive::one(ops::diff(&target, &loaded.image, &mut ui));
    let (router, diff, drift) = diff.map_err(|error| describe(error, Some(&loaded)))?;
    ui.clear();
    let changed = !diff.summary.is_quiet();
    let needs_adopt = diff.summary.device & device::FOREIGN != 0;
    let (drift, hint) = drift.map(|drift| drift::noted(&drift)).unzip();
    let text = if !diff.changes.is_empty() {
        format!(
            "a push would change {interface} on {}:{}",
            router.name(),
            changes::text(&diff.changes)
        )
    } else {
        format!("{interface} already runs this configuration: nothing would change")
    };
    let adopt = if needs_adopt && diff.summary.created {
        format!(
            "\n\nnote: netifd manages {interface} on the router: /etc/config/network has a section of its name; remove the \
             section, or take the interface over with `postwire push --adopt`"
        )
    } else if needs_adopt {
        format!(
            "\n\nnote: another program or a person made {interface} on the router: stop what manages it, then take it over \
             with `postwire push --adopt`"
        )
    } else {
        String::new()
    };
    let text = text + &hint.unwrap_or_default() + &adopt;
    let result = Diff {
        interface: interface.to_string(),
        router,
        changed,
        summary: summary::json(&diff.summary),
        public_key: diff.summary.public_key.map(|key| key.to_string()),
        listen_port: diff.summary.listen_port,
        changes: changes::json(&diff.changes),
        drift,
        needs_adopt,
    };
    Ok(Done { code: if changed { exit::CHANGES } else { exit::DONE }, text, result })
}
