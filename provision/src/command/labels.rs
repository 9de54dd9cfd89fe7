//! `postwire labels`.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Format, LabelsCommand, MAX_LAST, MakeLabels};
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
    // Also a link that leads nowhere.
    if folder.symlink_metadata().is_ok() {
        return Err(Failed::usage(format!("{} exists already", folder.display()))
            .hint(Some("choose a new folder: the secrets of old labels must not be lost".into())));
    }
    let last = args.from.saturating_add(args.count - 1);
    if last > MAX_LAST {
        return Err(Failed::usage(format!(
            "the last number would be {last}: numbers go to {MAX_LAST}"
        )));
    }
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
    sync(partial.path()).map_err(|error| failed(&error))?;
    std::fs::rename(partial.path(), folder).map_err(|error| failed(&error))?;
    // It has its own name now, and is not removed.
    let _ = partial.keep();

    let list = folder.join(LIST).display().to_string();
    let text = match labels.len() {
        1 => format!(
            "made 1 label in {}; {list} has its secret, which is nowhere else",
            folder.display()
        ),
        count => format!(
            "made {count} labels in {}; {list} has their secrets, which are nowhere else",
            folder.display()
        ),
    };
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
    for (nth, format) in args.format.iter().enumerate() {
        if args.format[..nth].contains(format) {
            continue;
        }
        match format {
            Format::Svg => write(&path("svg"), label::svg(label)?.as_bytes())?,
            Format::Png => write(&path("png"), &label::png(label, args.dpi)?)?,
            Format::Zpl => write(&path("zpl"), label::zpl(label, args.dpi)?.as_bytes())?,
        }
    }
    Ok(())
}

/// Returns when all files of a folder are on the disk. A sync for each of ten thousand labels would take minutes.
fn sync(folder: &Path) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(std::fs::File::open(folder)?)?;
    #[cfg(not(target_os = "linux"))]
    for entry in std::fs::read_dir(folder)? {
        std::fs::OpenOptions::new().append(true).open(entry?.path())?.sync_all()?;
    }
    Ok(())
}

/// Writes a file. A label has its secret in it: the file is the operator's alone, wherever it is copied to.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)?.write_all(bytes)
}
