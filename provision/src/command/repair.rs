//! `postwire repair`.

use super::change::Changed;
use super::{confirming, ui};
use crate::cli::{Own, Repair};
use crate::exit;
use crate::report::{Done, Failed};

pub(super) fn run(own: &Own, args: &Repair) -> Result<Done<Changed>, Failed> {
    let (interface, confirm) = (&args.interface, &args.confirming);
    let mut ui = ui(own, &args.link.talk);
    let (settled, router) =
        confirming::change(own, &args.link, confirm, interface, &mut ui, |session| {
            session.repair(interface, confirm.seconds())
        })?;
    let (name, number) = (router.name(), settled.number);
    let text = match settled.changed() {
        true => settled.describe(&format!("{interface} on {name} is repaired")),
        false => {
            format!(
                "{interface} on {name} matches the stored configuration, number {number}: nothing to repair"
            )
        }
    };
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
