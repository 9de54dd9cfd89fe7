//! `postwire remove`.

use super::change::{Changed, Settled};
use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::{summary, ui};
use crate::cli::{Own, Remove};
use crate::exit;
use crate::report::{Done, Failed};

pub(super) fn run(own: &Own, args: &Remove) -> Result<Done<Changed>, Failed> {
    let interface = &args.interface;
    let mut ui = ui(own, &args.link.talk);
    let about = About { push: true, ..About::default() };
    let mut session = connect(own, &args.link, &mut ui).map_err(|error| describe(error, about))?;
    let machine = session.status().machine.clone();
    let settled = session.remove(interface).map(Settled::at_once).map_err(|error| {
        describe(error, About { machine: &machine, commit_sent: true, ..about })
    })?;
    let router = Router::of(&session);
    ui.clear();
    let name = router.name();
    let summary = settled.applied.as_ref().map(|applied| &applied.summary);
    let what = summary.map(summary::text).unwrap_or_default();
    let next = match settled.stored() {
        true => format!("`postwire rollback {interface}` brings back what was stored"),
        false => "nothing was stored of it".into(),
    };
    let text = format!("removed {interface} from {name}: {what}\n{next}");
    let result = settled.json(interface, router);
    Ok(Done { code: exit::DONE, text, result })
}
