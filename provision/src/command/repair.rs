//! `postwire repair`.

use super::change::{Changed, Settled};
use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::ui;
use crate::cli::{Own, Repair};
use crate::exit;
use crate::report::{Done, Failed};

pub(super) fn run(own: &Own, args: &Repair) -> Result<Done<Changed>, Failed> {
    let interface = &args.interface;
    let mut ui = ui(own, &args.link.talk);
    let about = About { push: true, ..About::default() };
    let mut session = connect(own, &args.link, &mut ui).map_err(|error| describe(error, about))?;
    let machine = session.status().machine.clone();
    let settled = session.repair(interface).map(Settled::at_once).map_err(|error| {
        describe(error, About { machine: &machine, commit_sent: true, ..about })
    })?;
    let router = Router::of(&session);
    ui.clear();
    let (name, number) = (router.name(), settled.number);
    let text = match settled.changed() {
        true => settled.describe(&format!("{interface} on {name} is repaired")),
        false => {
            format!("{interface} on {name} runs what is stored, number {number}: nothing to repair")
        }
    };
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
