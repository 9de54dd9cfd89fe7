//! `postwire repair`.

use super::change::{self, Changed};
use crate::cli::{Own, Repair};
use crate::ops::{self, Target};
use crate::report::{Done, Failed};
use crate::ui::Ui;

pub(super) fn run(own: &Own, args: &Repair) -> Result<Done<Changed>, Failed> {
    let interface = &args.interface;
    let repair = async |target: &Target, ui: &mut Ui| {
        ops::repair(target, interface, args.confirming.how(), ui).await
    };
    let changed = change::make(own, &args.link, repair)?;
    let (name, settled) = (changed.router.name(), &changed.settled);
    let text = match settled.changed() {
        true => change::describe(settled, &format!("{interface} on {name} is repaired")),
        false => {
            format!(
                "{interface} on {name} matches the stored configuration, number {}: nothing to repair",
                settled.number
            )
        }
    };
    Ok(change::done(changed, interface, text))
}
