//! `postwire repair`.

use super::change::{self, Changed};
use super::connect::target;
use super::failure::describe;
use super::ui;
use crate::cli::{Own, Repair};
use crate::report::{Done, Failed};
use crate::{drive, exit, ops};

pub(super) fn run(own: &Own, args: &Repair) -> Result<Done<Changed>, Failed> {
    let interface = &args.interface;
    let mut ui = ui(own, &args.link.talk);
    let target = target(own, &args.link)?;
    let repair = ops::repair(&target, interface, args.confirming.how(), &mut ui);
    let changed = drive::one(repair).map_err(|error| describe(error, None))?;
    ui.clear();
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
    Ok(Done { code: exit::DONE, text, result: change::json(changed, interface) })
}
