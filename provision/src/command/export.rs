//! `postwire export`.

use std::time::Duration;

use serde::Serialize;

use super::load::load;
use crate::cli::{self, Export, Resolve};
use crate::exit;
use crate::report::{Context, Done, Failed, Kind};
use crate::uci;

/// An exported file, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Exported {
    interface: String,
    uci: String,
}

pub(super) fn run(args: &Export, context: &mut Context) -> Result<Done<Exported>, Failed> {
    // netifd looks up host names itself.
    let reading = cli::Reading { interface: args.interface, resolve: Resolve::Router };
    let file = cli::File { path: args.path.clone(), reading };
    let loaded = load(&file, Duration::ZERO, &|_| {}, context)?;
    let text =
        uci::export(&loaded.image).map_err(|error| Failed::new(Kind::File, error.to_string()))?;
    let interface = loaded.image.interface.to_string();
    Ok(Done { code: exit::DONE, text: text.clone(), result: Exported { interface, uci: text } })
}
