//! `postwire status`.

use serde::Serialize;

use super::connect::{Router, connect};
use super::failure::{About, describe};
use super::ui;
use crate::cli::{Own, Status};
use crate::exit;
use crate::report::{Done, Failed};
use crate::session::printable;
use crate::show::{span, table};

/// What `--json` says of a router.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    router: Router,
    hostname: String,
    board: String,
    kernel: String,
    machine: String,
    uptime: u32,
    wireguard: bool,
    peak_memory: u32,
    applied: u32,
    failed: u32,
    garbage: u32,
    text: u32,
    interfaces: Vec<String>,
}

pub(super) fn run(own: &Own, args: &Status) -> Result<Done<Health>, Failed> {
    let mut ui = ui(&args.link.talk);
    let session =
        connect(own, &args.link, &mut ui).map_err(|error| describe(error, About::default()))?;
    let (router, status) = (Router::of(&session), session.status());
    let health = Health {
        router,
        hostname: printable(&status.hostname),
        board: printable(&status.board),
        kernel: printable(&status.kernel),
        machine: printable(&status.machine),
        uptime: status.uptime,
        wireguard: status.wireguard,
        peak_memory: status.peak_memory,
        applied: status.applied,
        failed: status.failed,
        garbage: status.garbage,
        text: status.text,
        interfaces: status.interfaces.iter().map(|name| printable(name)).collect(),
    };
    Ok(Done { code: exit::DONE, text: text(&health), result: health })
}

fn text(health: &Health) -> String {
    let or_none = |text: &str| if text.is_empty() { "(none)".into() } else { text.to_string() };
    table(&[
        ("host name", or_none(&health.hostname)),
        ("known as", health.router.known_as().into()),
        ("fingerprint", health.router.fingerprint().into()),
        ("board", or_none(&health.board)),
        ("kernel", format!("{} ({})", health.kernel, health.machine)),
        ("wireguard", if health.wireguard { "yes".into() } else { "the kernel has none".into() }),
        ("interfaces", or_none(&health.interfaces.join(", "))),
        ("agent", format!("postwired {}", health.router.agent())),
        ("running for", span(health.uptime.into())),
        ("peak memory", format!("{} KiB", health.peak_memory)),
        ("pushes", format!("{} applied, {} failed", health.applied, health.failed)),
        ("line", format!("{} broken frames, {} bytes of text", health.garbage, health.text)),
    ])
}
