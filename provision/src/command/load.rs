//! From FILE to an image.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use proto_core::protocol::message::Name;

use crate::cli::{self, Resolve};
use crate::conf::{self, Problem, Source};
use crate::image::Image;
use crate::interrupt;
use crate::name;
use crate::report::{Context, Failed, Kind};

/// The most bytes to read from a file: far more than the peers of any interface need.
const MAX_FILE: u64 = 64 << 20;

/// A file that can be pushed.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) source: Source,
    pub(super) image: Image,
}

/// Reads and checks a file. Warnings go to the context.
///
/// Looks up host names for no longer than `budget`, after a message through `tell`.
pub(super) fn load(
    file: &cli::File,
    budget: Duration,
    tell: &dyn Fn(&str),
    context: &mut Context,
) -> Result<Loaded, Failed> {
    let stdin = file.path == Path::new("-");
    let interface = match file.reading.interface {
        Some(interface) => interface,
        None if stdin => {
            return Err(Failed::usage(
                "standard input has no file name: name the interface with --interface",
            ));
        }
        None => name::of_file(&file.path).map_err(|error| Failed::usage(error.to_string()))?,
    };
    let shown = if stdin { "(stdin)".into() } else { file.path.display().to_string() };
    let path = file.path.clone();
    let read = move || {
        let mut bytes = Vec::new();
        match stdin {
            true => std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes),
            false => std::fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes),
        }
        .map(|_| bytes)
    };
    let bytes = interrupt::unless_requested(read)
        .ok_or_else(Failed::interrupted)?
        .map_err(|error| Failed::new(Kind::File, format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 == MAX_FILE {
        let message = format!("{shown} is too large for a configuration file");
        return Err(Failed::new(Kind::File, message));
    }
    let lookup = (file.reading.resolve == Resolve::Bench).then(conf::system_lookup);
    from_bytes(&shown, &bytes, &interface, &LookUp { lookup, budget, tell }, context)
}

/// Options for looking up host names.
struct LookUp<'t> {
    /// `None` leaves them to the router.
    lookup: Option<conf::Lookup>,
    /// The time for all host names together.
    budget: Duration,
    /// Prints a message for the user.
    tell: &'t dyn Fn(&str),
}

fn from_bytes(
    shown: &str,
    bytes: &[u8],
    interface: &Name,
    look_up: &LookUp<'_>,
    context: &mut Context,
) -> Result<Loaded, Failed> {
    let (source, problem) = Source::new(shown, bytes);
    if let Some(problem) = problem {
        return Err(Failed::file(&source, &[problem]));
    }
    let (mut config, mut problems) = conf::parse(&source);
    // A file with errors is not pushed, so its host names need no lookup.
    let names = conf::count_names(&config);
    if let Some(lookup) = &look_up.lookup
        && names > 0
        && !problems.iter().any(Problem::is_error)
    {
        let what = if names == 1 { "1 host name".into() } else { format!("{names} host names") };
        (look_up.tell)(&format!("looking up {what}"));
        problems.extend(conf::resolve(&mut config, lookup, look_up.budget));
        if interrupt::requested() {
            return Err(Failed::interrupted());
        }
    }
    let (errors, rest): (Vec<Problem>, Vec<Problem>) =
        problems.into_iter().partition(Problem::is_error);
    context.warn(&source, &rest);
    if !errors.is_empty() {
        return Err(Failed::file(&source, &errors));
    }
    let image = Image::new(interface, config).map_err(|error| {
        let message = error.to_string();
        let problem = match error.place {
            Some(place) => Problem::error(place, message),
            None => Problem::whole(message),
        };
        Failed::file(&source, &[problem])
    })?;
    Ok(Loaded { source, image })
}
