//! `postwire remove`.

use super::change::Changed;
use super::{confirming, summary, ui};
use crate::cli::{Own, Remove};
use crate::exit;
use crate::report::{Done, Failed};

pub(super) fn run(own: &Own, args: &Remove) -> Result<Done<Changed>, Failed> {
    let (interface, confirm) = (&args.interface, &args.confirming);
    let mut ui = ui(own, &args.link.talk);
    let (settled, router) =
        confirming::change(own, &args.link, confirm, interface, &mut ui, |session| {
            session.remove(interface, confirm.seconds())
        })?;
    let summary = settled.applied.as_ref().map(|applied| &applied.summary);
    let what = summary.map(summary::text).unwrap_or_default();
    let next = match (settled.stored(), confirm.seconds()) {
        (true, _) => format!("`postwire rollback {interface}` restores the stored configuration"),
        (false, 0) => "the router stored no configuration of it".into(),
        (false, _) => settled.text.clone(),
    };
    let text = format!("removed {interface} from {}: {what}\n{next}", router.name());
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
