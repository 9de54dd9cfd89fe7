//! `postwire rollback`.

use super::change::Changed;
use super::confirming::Asked;
use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::ui;
use crate::cli::{Own, Rollback};
use crate::exit;
use crate::report::{Done, Failed};

pub(super) fn run(own: &Own, args: &Rollback) -> Result<Done<Changed>, Failed> {
    let (interface, link) = (&args.interface, &args.link);
    let mut ui = ui(own, &link.talk);
    let about = About { push: true, ..About::default() };
    let (router, key, machine, outcome) = {
        let mut session = connect(own, link, &mut ui).map_err(|error| describe(error, about))?;
        let seconds = args.confirming.seconds();
        let number = match args.number {
            Some(number) => number,
            None => session.before_newest(interface).map_err(|error| describe(error, about))?,
        };
        let outcome = session.rollback(interface, number, seconds);
        (Router::of(&session), session.router_key(), session.status().machine.clone(), outcome)
    };
    let asked = Asked {
        own,
        link,
        confirming: &args.confirming,
        interface,
        key,
        name: router.name(),
        about: About { machine: &machine, commit_sent: true, ..about },
    };
    let settled = asked.settle(outcome, &mut ui)?;
    ui.clear();
    let name = router.name();
    let text = match (settled.changed(), args.number) {
        (true, Some(number)) => {
            settled.describe(&format!("{interface} on {name} is number {number} again"))
        }
        (true, None) => settled.describe(&format!("{interface} on {name} is rolled back")),
        (false, _) => {
            format!("{interface} on {name} runs that already: nothing changed\n{}", settled.text)
        }
    };
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
