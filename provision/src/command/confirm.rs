//! `postwire confirm` and `postwire revert`.

use serde::Serialize;

use super::connect::connect;
use super::failure::describe;
use super::ui;
use crate::cli::{Link, Own};
use crate::ops::Router;
use crate::report::{Done, Failed};
use crate::session::{SessionError, printable};
use crate::{drive, exit};

/// A confirmed change, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Confirmed {
    router: Router,
    interface: String,
    number: u32,
}

/// A reverted change, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Reverted {
    router: Router,
    interface: String,
}

pub(super) fn confirm(own: &Own, link: &Link) -> Result<Done<Confirmed>, Failed> {
    let mut ui = ui(own, &link.talk);
    let mut session = connect(own, link, &mut ui)?;
    let confirmed = drive::one(session.confirm());
    let (interface, number) = confirmed.map_err(plain)?;
    let (router, interface) = (Router::of(&session), printable(&interface));
    let text = format!(
        "confirmed: {interface} on {} keeps the change, stored as number {number}",
        router.name()
    );
    Ok(Done { code: exit::DONE, text, result: Confirmed { router, interface, number } })
}

pub(super) fn revert(own: &Own, link: &Link) -> Result<Done<Reverted>, Failed> {
    let mut ui = ui(own, &link.talk);
    let mut session = connect(own, link, &mut ui)?;
    let reverted = drive::one(session.revert());
    let interface = reverted.map_err(plain)?;
    let (router, interface) = (Router::of(&session), printable(&interface));
    let text = format!("reverted: {interface} on {} is as it was before the change", router.name());
    Ok(Done { code: exit::DONE, text, result: Reverted { router, interface } })
}

fn plain(error: SessionError) -> Failed {
    describe(error, None)
}
