//! `postwire show`.

use serde::Serialize;

use super::connect::connect;
use super::failure::describe;
use super::ui;
use crate::cli::{Own, Show};
use crate::ops::{self, Router};
use crate::report::{Done, Failed, Kind};
use crate::show::Shown;
use crate::{drive, exit};

/// A router's interfaces, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Interfaces {
    router: Router,
    interfaces: Vec<Shown>,
    /// Number of interfaces that are not shown, because the router's status has no room for their names.
    left_out: usize,
}

pub(super) fn run(own: &Own, args: &Show) -> Result<Done<Interfaces>, Failed> {
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    let names = match &args.interface {
        Some(name) => vec![*name],
        None => session.status().interfaces.to_vec(),
    };
    let links = usize::try_from(session.status().links).unwrap_or(0);
    let left_out = match args.interface {
        Some(_) => 0,
        None => links.saturating_sub(names.len()),
    };
    let mut interfaces = Vec::new();
    for name in &names {
        let shown = drive::one(session.show(name));
        let records = shown.map_err(|error| describe(ops::Error::from(error).on(name), None))?;
        let shown = Shown::from_records(&records).ok_or_else(|| {
            Failed::new(Kind::Router, "the router's report does not begin with an interface")
        })?;
        interfaces.push(shown);
    }
    let router = Router::of(&session);
    ui.clear();
    let text = if interfaces.is_empty() {
        format!("{} has no WireGuard interface", router.name())
    } else {
        let texts: Vec<String> = interfaces.iter().map(Shown::text).collect();
        texts.join("\n\n")
    };
    let text = match left_out {
        0 => text,
        count => format!(
            "{text}\n\nnot shown: {count} more WireGuard interface{}, whose names the router did not list; \
             `postwire show IF` shows one",
            if count == 1 { "" } else { "s" }
        ),
    };
    Ok(Done { code: exit::DONE, text, result: Interfaces { router, interfaces, left_out } })
}
