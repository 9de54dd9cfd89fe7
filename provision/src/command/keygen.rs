//! `postwire keygen` and `postwire key`.

use std::path::Path;

use serde::Serialize;

use crate::cli::Own;
use crate::exit;
use crate::home::{Operator, Replaced};
use crate::report::{Done, Failed};
use crate::show::table;

/// A generated key, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    key: Shown,
    /// The fingerprint of the old key.
    replaced: Option<String>,
    /// The file that has the old key now.
    old_file: Option<String>,
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
        Some(Replaced { fingerprint: Some(old), file }) => {
            format!(" and replaces {old}, which is now in {}", file.display())
        }
        Some(Replaced { fingerprint: None, file }) => {
            format!("; the file that was there is now {}", file.display())
        }
        None => String::new(),
    };
    let old_file = replaced.as_ref().map(|old| old.file.display().to_string());
    let replaced = replaced.and_then(|old| old.fingerprint);
    let text = format!("your key is in {}{instead}: keep a backup\n{}", key.file, key.text());
    Ok(Done { code: exit::DONE, text, result: Made { key, replaced, old_file } })
}

pub(super) fn show(own: &Own) -> Result<Done<Shown>, Failed> {
    let home = own.find().map_err(|error| Failed::own(&error))?;
    let operator = home.operator().map_err(|error| Failed::own(&error))?;
    let key = Shown::new(home.key_file(), &operator);
    Ok(Done { code: exit::DONE, text: key.text(), result: key })
}
