//! `postwire push`.

use super::change::Changed;
use super::confirming::Asked;
use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::load::load;
use super::ui;
use crate::cli::{Own, Push};
use crate::exit;
use crate::report::{Context, Done, Failed};

pub(super) fn run(own: &Own, args: &Push, context: &mut Context) -> Result<Done<Changed>, Failed> {
    let talk = &args.link.talk;
    let mut ui = ui(own, talk);
    let loaded = load(&args.file, talk.timeout, &|line| ui.tell(line), context)?;
    let (interface, link) = (&loaded.image.interface, &args.link);
    let about = About { file: Some(&loaded), push: true, ..About::default() };
    let (router, key, machine, commit_sent, outcome) = {
        let mut session = connect(own, link, &mut ui).map_err(|error| describe(error, about))?;
        let outcome = session.push(&loaded.image, args.confirming.seconds());
        let machine = session.status().machine.clone();
        (Router::of(&session), session.router_key(), machine, session.commit_sent(), outcome)
    };
    let asked = Asked {
        own,
        link,
        confirming: &args.confirming,
        interface,
        key,
        name: router.name(),
        about: About { machine: &machine, commit_sent, ..about },
    };
    let settled = asked.settle(outcome, &mut ui)?;
    ui.clear();
    let text = match settled.changed() {
        true => settled.describe(&format!("applied to {interface} on {}", router.name())),
        false => {
            format!(
                "{interface} already runs this configuration: nothing changed\n{}",
                settled.text
            )
        }
    };
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
