//! `postwire check`.

use std::time::Duration;

use serde::Serialize;

use super::load::load;
use crate::cli::{Check, Own};
use crate::exit;
use crate::image::Counts;
use crate::report::{Context, Done, Failed};
use crate::show::table;
use crate::ui::Ui;

/// What `--json` says of a file.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    interface: String,
    public_key: Option<String>,
    counts: Counts,
    image_bytes: usize,
}

/// How long host names are looked up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(own: &Own, args: &Check, context: &mut Context) -> Result<Done<Checked>, Failed> {
    let ui = Ui::new(own.json, false);
    let loaded = load(&args.file, PATIENCE, &|line| ui.tell(line), context)?;
    let image = &loaded.image;
    let checked = Checked {
        interface: image.interface.to_string(),
        public_key: image.public_key().map(|key| key.to_string()),
        counts: image.counts,
        image_bytes: image.bytes.len(),
    };
    let Counts { addresses, routes, rules, peers, allowed_ips, host_names } = image.counts;
    let names = match host_names {
        0 => String::new(),
        1 => " and 1 host name".into(),
        count => format!(" and {count} host names"),
    };
    let text = table(&[
        ("interface", checked.interface.clone()),
        (
            "public key",
            match (&checked.public_key, image.generates()) {
                (Some(key), _) => key.clone(),
                (None, true) => "(the router makes the key)".into(),
                (None, false) => "(none)".into(),
            },
        ),
        ("addresses", addresses.to_string()),
        ("routes", routes.to_string()),
        ("rules", rules.to_string()),
        ("peers", format!("{peers}, with {allowed_ips} allowed IPs{names}")),
        ("image", format!("{} bytes", checked.image_bytes)),
    ]);
    Ok(Done { code: exit::DONE, text, result: checked })
}
