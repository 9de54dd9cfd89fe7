//! `postwire rollback`.

use super::change::{self, Changed};
use crate::cli::{Own, Rollback};
use crate::ops::{self, Target};
use crate::report::{Done, Failed};
use crate::ui::Ui;

pub(super) fn run(own: &Own, args: &Rollback) -> Result<Done<Changed>, Failed> {
    let interface = &args.interface;
    let rollback = async |target: &Target, ui: &mut Ui| {
        ops::rollback(target, interface, args.number, args.confirming.how(), ui).await
    };
    let changed = change::make(own, &args.link, rollback)?;
    let (name, settled) = (changed.router.name(), &changed.settled);
    let text = match (settled.changed(), args.number) {
        (true, Some(number)) => {
            change::describe(settled, &format!("{interface} on {name} is number {number} again"))
        }
        (true, None) => change::describe(settled, &format!("{interface} on {name} is rolled back")),
        (false, _) => {
            format!(
                "{interface} on {name} already runs that configuration: nothing changed\n{}",
                settled.text
            )
        }
    };
    Ok(change::done(changed, interface, text))
}
