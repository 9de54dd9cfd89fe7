//! `postwire push`.

use super::change::Changed;
use super::confirming::Asked;
use super::connect::{Router, connect_to_push};
use super::failure::{About, describe};
use super::load::load;
use crate::cli::{Own, Push};
use crate::exit;
use crate::image::Image;
use crate::report::{Context, Done, Failed, Kind};
use crate::session::Session;
use crate::ui;

pub(super) fn run(own: &Own, args: &Push, context: &mut Context) -> Result<Done<Changed>, Failed> {
    let talk = &args.link.talk;
    let mut ui = super::ui(own, talk);
    let loaded = load(&args.file, talk.timeout, &|line| ui.tell(line), context)?;
    let (interface, link) = (&loaded.image.interface, &args.link);
    let about = About { file: Some(&loaded), push: true, ..About::default() };
    let (router, key, commit_sent, outcome) = {
        let mut session = connect_to_push(own, link, Some(&loaded.image), &mut ui)
            .map_err(|error| describe(error, about))?;
        let asks = !args.yes && ui::can_ask(own.json);
        if asks
            && let Some(question) = emptied(&mut session, &loaded.image, about)?
            && !ui::ask(&question)
        {
            return Err(Failed::new(Kind::Interrupted, "nothing was changed")
                .hint(Some("--yes pushes without asking".into())));
        }
        let outcome = session.push(&loaded.image, args.confirming.seconds(), args.adopt);
        (Router::of(&session), session.router_key(), session.commit_sent(), outcome)
    };
    let asked = Asked {
        own,
        link,
        confirming: &args.confirming,
        interface,
        key,
        name: router.name(),
        about: About { commit_sent, ..about },
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

/// The question before a push that leaves an interface without peers or without addresses: most such files are
/// truncated. The router is asked for a plan only if the file has no peers or no addresses.
fn emptied(
    session: &mut Session<'_>,
    image: &Image,
    about: About<'_>,
) -> Result<Option<String>, Failed> {
    if image.counts.peers > 0 && image.counts.addresses > 0 {
        return Ok(None);
    }
    let plan = session.diff(image).map_err(|error| describe(error, about))?.summary;
    let goes = |has: usize, removed: u32, what: &str| {
        (has == 0 && removed > 0).then(|| match removed {
            1 => format!("the only {what}"),
            count => format!("all {count} {what}{}", if what.ends_with('s') { "es" } else { "s" }),
        })
    };
    let parts: Vec<String> = [
        goes(image.counts.peers, plan.peers.removed, "peer"),
        goes(image.counts.addresses, plan.addresses.removed, "address"),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok((!parts.is_empty()).then(|| {
        format!("This removes {} from {}. Push anyway?", parts.join(" and "), image.interface)
    }))
}
