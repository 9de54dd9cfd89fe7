//! `postwire keygen` and `postwire key`.

use std::path::Path;

use serde::Serialize;

use crate::cli::Own;
use crate::exit;
use crate::home::Operator;
use crate::report::{Done, Failed};
use crate::show::table;

/// A generated key, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    key: Shown,
    replaced: Option<String>,
}

/// A key, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    file: String,
    public_key: String,
    fingerprint: String,
}

impl Shown {
    fn new(file: &Path, operator: &Operator) -> Self {
        Self {
            file: file.display().to_string(),
            public_key: operator.public().to_string(),
            fingerprint: operator.fingerprint(),
        }
    }

    fn text(&self) -> String {
        table(&[("public key", self.public_key.clone()), ("fingerprint", self.fingerprint.clone())])
    }
}

pub(super) fn make(own: &Own, force: bool) -> Result<Done<Made>, Failed> {
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let (operator, replaced) = home.generate(force).map_err(|error| Failed::own(&error))?;
    let key = Shown::new(home.key_file(), &operator);
    let instead = match &replaced {
        Some(old) => {
            format!(" and replaces {old}, which is now in {}", home.old_key_file().display())
        }
        None => String::new(),
    };
    let text = format!("your key is in {}{instead}: keep a backup\n{}", key.file, key.text());
    Ok(Done { code: exit::DONE, text, result: Made { key, replaced } })
}

pub(super) fn show(own: &Own) -> Result<Done<Shown>, Failed> {
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let operator = home.operator().map_err(|error| Failed::own(&error))?;
    let key = Shown::new(home.key_file(), &operator);
    Ok(Done { code: exit::DONE, text: key.text(), result: key })
}
