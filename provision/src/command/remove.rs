//! `postwire remove`.

use super::change::{self, Changed};
use super::connect::target;
use super::failure::describe;
use super::{summary, ui};
use crate::cli::{Own, Remove};
use crate::report::{Done, Failed};
use crate::{drive, exit, ops};

pub(super) fn run(own: &Own, args: &Remove) -> Result<Done<Changed>, Failed> {
    let (interface, confirm) = (&args.interface, args.confirming.how());
    let mut ui = ui(own, &args.link.talk);
    let target = target(own, &args.link)?;
    let remove = ops::remove(&target, interface, confirm, &mut ui);
    let changed = drive::one(remove).map_err(|error| describe(error, None))?;
    ui.clear();
    let settled = &changed.settled;
    let summary = settled.applied.as_ref().map(|applied| &applied.summary);
    let what = summary.map(summary::text).unwrap_or_default();
    let next = match (settled.stored(), confirm.seconds) {
        (true, _) => format!("`postwire rollback {interface}` restores the stored configuration"),
        (false, 0) => "the router stored no configuration of it".into(),
        (false, _) => settled.text.clone(),
    };
    let text = format!("removed {interface} from {}: {what}\n{next}", changed.router.name());
    Ok(Done { code: exit::DONE, text, result: change::json(changed, interface) })
}
