//! `postwire rollback`.

use super::change::{self, Changed};
use super::connect::target;
use super::failure::describe;
use super::ui;
use crate::cli::{Own, Rollback};
use crate::report::{Done, Failed};
use crate::{drive, exit, ops};

pub(super) fn run(own: &Own, args: &Rollback) -> Result<Done<Changed>, Failed> {
    let interface = &args.interface;
    let mut ui = ui(own, &args.link.talk);
    let target = target(own, &args.link)?;
    let rollback = ops::rollback(&target, interface, args.number, args.confirming.how(), &mut ui);
    let changed = drive::one(rollback).map_err(|error| describe(error, None))?;
    ui.clear();
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
    Ok(Done { code: exit::DONE, text, result: change::json(changed, interface) })
}
