//! `postwire push`.

use std::{fs, path::Path};

use super::change::{self, Changed};
use super::connect::{is_named, target};
use super::failure::describe;
use super::load::load;
use crate::cli::{Own, Push};
use crate::image::Image;
use crate::ops::{self, Emptied, Kind, Pushing, Stop};
use crate::problem::Problem;
use crate::report::{Context, Done, Failed};
use crate::{drive, ui};

pub(super) fn run(own: &Own, args: &Push, context: &mut Context) -> Result<Done<Changed>, Failed> {
    let link = args.link.named(args.named.as_deref());
    is_named(&link)?;
    let mut ui = super::ui(own, &link.talk);
    let loaded = load(&args.file, link.talk.timeout, &|line| ui.tell(line), context)?;
    if let Some(problem) = readable_by_all(&args.file.path, &loaded.image) {
        context.warn(&loaded.source, &[problem]);
    }
    let interface = &loaded.image.interface;
    let target = target(own, &link)?;
    let mut ask = |emptied: &Emptied| match ui::ask(&question(emptied)) {
        true => Ok(()),
        false => Err(Stop {
            kind: Kind::Interrupted,
            message: "nothing was changed".into(),
            hint: Some("--yes pushes without asking".into()),
        }),
    };
    let asks = !args.yes && ui::can_ask(own.json);
    let how = Pushing {
        confirming: args.confirming.how(),
        adopt: args.adopt,
        approve: if asks { Some(&mut ask) } else { None },
    };
    let push = ops::push(&target, &loaded.image, how, &mut ui);
    let changed = drive::one(push).map_err(|error| describe(error, Some(&loaded)))?;
    ui.clear();
    let (name, settled) = (changed.router.name(), &changed.settled);
    let text = match settled.changed() {
        true => change::describe(settled, &format!("applied to {interface} on {name}")),
        false => {
            format!(
                "{interface} already runs this configuration: nothing changed\n{}",
                settled.text
            )
        }
    };
    Ok(change::done(changed, interface, text))
}

/// A warning about keys in a file that every user of this machine can read, as `wg-quick` gives it.
fn readable_by_all(path: &Path, image: &Image) -> Option<Problem> {
    #[cfg(unix)]
    if image.has_secrets() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).ok().filter(fs::Metadata::is_file)?.permissions().mode();
        if mode & 0o007 != 0 {
            let message = "the file has a secret key, and every user of this machine can open it";
            let help = format!("`chmod 600 {}`", ui::word(path.display()));
            return Some(Problem::about_file(message).help(help));
        }
    }
    let _ = (path, image);
    None
}

/// The question before a push that leaves an interface without peers or without addresses.
fn question(emptied: &Emptied) -> String {
    let goes = |removed: u32, one: &str, many: &str| match removed {
        0 => None,
        1 => Some(format!("the only {one}")),
        count => Some(format!("all {count} {many}")),
    };
    let parts: Vec<String> =
        [goes(emptied.peers, "peer", "peers"), goes(emptied.addresses, "address", "addresses")]
            .into_iter()
            .flatten()
            .collect();
    format!("This removes {} from {}. Push anyway?", parts.join(" and "), emptied.interface)
}
