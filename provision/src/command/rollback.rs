//! `postwire rollback`.

use super::change::Changed;
use super::{confirming, ui};
use crate::cli::{Own, Rollback};
use crate::exit;
use crate::report::{Done, Failed};

pub(super) fn run(own: &Own, args: &Rollback) -> Result<Done<Changed>, Failed> {
    let (interface, confirm) = (&args.interface, &args.confirming);
    let mut ui = ui(own, &args.link.talk);
    let (settled, router) =
        confirming::change(own, &args.link, confirm, interface, &mut ui, |session| {
            match args.number {
                Some(number) => session.rollback(interface, number, confirm.seconds()),
                None => session.rollback_one(interface, confirm.seconds()),
            }
        })?;
    let name = router.name();
    let text = match (settled.changed(), args.number) {
        (true, Some(number)) => {
            settled.describe(&format!("{interface} on {name} is number {number} again"))
        }
        (true, None) => settled.describe(&format!("{interface} on {name} is rolled back")),
        (false, _) => {
            format!(
                "{interface} on {name} already runs that configuration: nothing changed\n{}",
                settled.text
            )
        }
    };
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
