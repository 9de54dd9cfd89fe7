//! `postwire remove`.

use super::change::{self, Changed};
use super::summary;
use crate::cli::{Own, Remove};
use crate::ops::{self, Target};
use crate::report::{Done, Failed};
use crate::ui::Ui;

pub(super) fn run(own: &Own, args: &Remove) -> Result<Done<Changed>, Failed> {
    let (interface, confirm) = (&args.interface, args.confirming.how());
    let remove =
        async |target: &Target, ui: &mut Ui| ops::remove(target, interface, confirm, ui).await;
    let changed = change::make(own, &args.link, remove)?;
    let settled = &changed.settled;
    let summary = settled.applied.as_ref().map(|applied| &applied.summary);
    let mut what = match summary {
        _ if settled.left_alone => {
            "; the link of that name is another program's, and was left alone".into()
        }
        Some(summary) => format!(": {}", summary::text(summary)),
        None => String::new(),
    };
    if summary.is_none() {
        what += "; the router's answer to it was lost";
    }
    let next = match (settled.stored(), confirm.seconds) {
        // A rollback would be refused while the link is there.
        _ if settled.left_alone => {
            format!("the router no longer stores a configuration of {interface}")
        }
        (true, _) if settled.number > 0 => {
            format!("`postwire rollback {interface}` restores the stored configuration")
        }
        (true, _) | (false, 0) => "the router stored no configuration of it".into(),
        (false, _) => settled.text.clone(),
    };
    let text = format!("removed {interface} from {}{what}\n{next}", changed.router.name());
    Ok(change::done(changed, interface, text))
}
