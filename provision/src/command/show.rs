//! `postwire show`.

use serde::Serialize;

use super::connect::connect;
use super::failure::describe;
use super::ui;
use crate::cli::{Own, Show};
use crate::ops::Router;
use crate::report::{Done, Failed, Kind};
use crate::show::Shown;
use crate::{drive, exit};

/// A router's interfaces, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Interfaces {
    router: Router,
    interfaces: Vec<Shown>,
}

pub(super) fn run(own: &Own, args: &Show) -> Result<Done<Interfaces>, Failed> {
    let mut ui = ui(own, &args.link.talk);
    let mut session = connect(own, &args.link, &mut ui)?;
    let names = match &args.interface {
        Some(name) => vec![*name],
        None => session.status().interfaces.to_vec(),
    };
    let mut interfaces = Vec::new();
    for name in &names {
        let records = drive::one(session.show(name)).map_err(|error| describe(error, None))?;
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
    Ok(Done { code: exit::DONE, text, result: Interfaces { router, interfaces } })
}
