//! Manifests: many routers, and the configuration of each, in one TOML file.
//!
//! ```toml
//! version = 1
//! csv = "units.csv"              # units in a table; the header names keys and variables
//!
//! [defaults]
//! template = "site.conf"         # a wg-quick file with {{variables}}
//! interface = "wg0"
//! confirm_within = "60s"
//! jobs = 64
//!
//! [vars]                         # variables of every unit that does not set its own
//! gateway = "vpn.example.com:51820"
//!
//! [[unit]]
//! name = "shed"
//! key = "..."                    # the router's key; or its name is in your list of routers
//! udp = "10.0.0.7"
//! tags = ["north", "pilot"]
//! vars = { address = "10.7.0.2/24" }
//! ```
//!
//! A manifest is read as a whole, and checked as a whole: every mistake is found before the first byte is sent.
//!
//! - `read`: TOML to units, with the place of every value;
//! - `csv`: the table of units;
//! - `template`: variables in wg-quick files;
//! - `check`: what has to hold in units, and between them;
//! - `images`: the image of each unit.
//!
//! Not here: which units a run takes, and how they are reached ([`crate::fleet`]).

mod check;
mod csv;
mod images;
mod read;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto_core::key::PublicKey;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Mac, Name};
use serde::Serialize;

use crate::conf::{Found, Lookup};
use crate::image::Image;
use crate::problem::Source;
use crate::units::UdpAddress;

/// The longest time for looking up the host names of a manifest.
pub const LOOKUP: Duration = Duration::from_secs(10);

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At {
    /// The file, as the person names it.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// Something wrong in a manifest or in a file that it names.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, from 1, if the mistake has one.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake at a place.
    pub(crate) fn at(at: &At, message: impl Into<String>) -> Self {
        let place = |number: usize| (at.line > 0).then_some(number);
        Self {
            file: at.file.to_string(),
            line: place(at.line),
            column: place(at.column),
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": error: {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n      = help: {help}"))
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) at: At,
}

/// A router of a manifest.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Its place in the manifest, from 1.
    pub row: usize,
    /// Its key, if the manifest has it.
    pub key: Option<PublicKey>,
    /// Where it is reached over UDP, if the manifest says so.
    pub udp: Option<UdpAddress>,
    /// The serial number of its device, if the manifest says so.
    pub serial_number: Option<String>,
    /// A MAC address of its device, if the manifest says so.
    pub mac: Option<Mac>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The interface to configure.
    pub interface: Name,
    /// The digest of its image.
    pub digest: Digest,
    /// The public key of its interface, if the private key is in the file.
    pub public_key: Option<PublicKey>,
    /// Where it stands.
    pub at: At,
    /// Its file, and whether there are variables in it.
    file: Arc<File>,
    vars: Vec<(String, Text)>,
}

/// A wg-quick file that units have.
#[derive(Debug)]
struct File {
    shown: Arc<str>,
    bytes: Vec<u8>,
    is_template: bool,
}

/// A manifest without mistakes.
#[derive(Debug)]
pub struct Manifest {
    /// The file.
    pub path: PathBuf,
    /// The units, in the order of the manifest: those of the TOML file first.
    pub units: Vec<Unit>,
    /// How many units at a time, if the manifest says so.
    pub jobs: Option<usize>,
    /// Seconds until an unconfirmed change is reverted, if the manifest says so.
    pub confirm_within: Option<u16>,
    /// Sentences about files that can be pushed, each once.
    pub warnings: Vec<String>,
    /// The host names of endpoints.
    names: BTreeMap<String, Found>,
}

impl Manifest {
    /// A manifest without units.
    fn empty(path: &Path) -> Self {
        Self {
            path: path.into(),
            units: Vec::new(),
            jobs: None,
            confirm_within: None,
            warnings: Vec::new(),
            names: BTreeMap::new(),
        }
    }

    /// Reads a manifest and checks all of it. Host names of endpoints are looked up side by side, unless `lookup` is
    /// `None`; `tell` says so to the person first.
    ///
    /// # Errors
    /// All mistakes that were found.
    pub fn load(
        path: &Path,
        lookup: Option<&Lookup>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self, Vec<Mistake>> {
        Self::load_for(path, lookup, tell, &mut |_| true)
    }

    /// As [`Manifest::load`], with the host names looked up only if `is_ready` says of the units that the rest of the
    /// command is right too: a wait for a name server must not come before a mistake.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn load_for(
        path: &Path,
        lookup: Option<&Lookup>,
        tell: &mut dyn FnMut(&str),
        is_ready: &mut dyn FnMut(&[Unit]) -> bool,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let read = read::read(path, &mut mistakes);
        let names = images::Names { lookup, tell, is_ready };
        let manifest = check::check(path, read, names, &mut mistakes);
        match mistakes.is_empty() {
            true => Ok(manifest),
            false => Err(mistakes),
        }
    }

    /// The file of a unit, and its image. It was checked, so it can be made whenever it is needed, and need not be kept.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn image(&self, unit: &Unit) -> Result<(Source, Image), String> {
        images::image(unit, &self.names)
    }
}
