//! `postwire labels`.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Format, LabelsCommand, MakeLabels};
use crate::exit;
use crate::label::{self, Label};
use crate::report::{Done, Failed, Kind};

/// The list of all labels in the folder.
const LIST: &str = "labels.csv";

/// Labels that were made, as `--json` prints them. Not the secrets.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    folder: String,
    list: String,
    numbers: Vec<String>,
}

pub(super) fn run(what: &LabelsCommand) -> Result<Done<Made>, Failed> {
    match what {
        LabelsCommand::Make(args) => make(args),
    }
}

fn make(args: &MakeLabels) -> Result<Done<Made>, Failed> {
    let folder = args.out.as_path();
    let failed = |error: &dyn std::fmt::Display| {
        Failed::new(Kind::File, format!("cannot write labels to {}: {error}", folder.display()))
    };
    if folder.exists() {
        return Err(Failed::usage(format!("{} exists already", folder.display()))
            .hint(Some("choose a new folder: the secrets of old labels must not be lost".into())));
    }
    let last = args.from.saturating_add(args.count - 1);
    let digits = last.to_string().len().max(4);
    let labels: Vec<Label> = (args.from..=last)
        .map(|number| Label::generate(&format!("{}{number:0digits$}", args.prefix)))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))?;

    // Under another name until all is written, for the operator's eyes only.
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let partial = builder.prefix(".labels").tempdir_in(parent);
    // The message of `tempfile` has the folder's temporary name, which says nothing to the operator.
    let partial = partial.map_err(|error| failed(&error.kind()))?;
    let mut list = Zeroizing::new(String::from("number,secret,claim\n"));
    for label in &labels {
        *list += &format!("{},{},{}\n", label.number(), label.secret(), *label.claim());
        files(args, label, partial.path()).map_err(|error| failed(&error))?;
    }
    write(&partial.path().join(LIST), list.as_bytes()).map_err(|error| failed(&error))?;
    std::fs::rename(partial.keep(), folder).map_err(|error| failed(&error))?;

    let list = folder.join(LIST).display().to_string();
    let text = format!(
        "made {} labels in {}; {list} has their secrets, which are nowhere else",
        labels.len(),
        folder.display()
    );
    let numbers = labels.iter().map(|label| label.number().to_owned()).collect();
    let result = Made { folder: folder.display().to_string(), list, numbers };
    Ok(Done { code: exit::DONE, text, result })
}

/// Writes the files of a label.
fn files(
    args: &MakeLabels,
    label: &Label,
    folder: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let path = |end: &str| folder.join(format!("{}.{end}", label.number()));
    write(&path("secret"), format!("{}\n", label.secret()).as_bytes())?;
    for format in &args.format {
        match format {
            Format::Svg => write(&path("svg"), label::svg(label)?.as_bytes())?,
            Format::Png => write(&path("png"), &label::png(label, args.dpi)?)?,
            Format::Zpl => write(&path("zpl"), label::zpl(label, args.dpi)?.as_bytes())?,
        }
    }
    Ok(())
}

/// Writes a file and syncs it. A label has its secret in it: the file is the operator's alone, wherever it is copied to.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
