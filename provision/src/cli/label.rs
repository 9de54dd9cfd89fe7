//! Options for labels.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::label::{Dpi, is_number};

/// The largest number of a label, for which a prefix has room.
pub const MAX_LAST: u32 = 99_999_999;

/// `labels`.
#[derive(Args, Debug)]
pub struct Labels {
    /// The action.
    #[command(subcommand)]
    pub what: LabelsCommand,
}

/// Actions on labels.
#[derive(Subcommand, Debug)]
pub enum LabelsCommand {
    /// Make labels with new secrets, for routers that will be claimed over UDP
    ///
    /// Writes to a new folder: `labels.csv` with the number, the secret and the text of the QR code of each label; for each
    /// label NUMBER.secret, which is the file of `postwired serve --label-secret` on its router, and the label of 50 by
    /// 25 mm in each format. The secrets are nowhere else: keep the folder until all routers are claimed.
    #[command(after_help = "Examples:\n  postwire labels make --count 100 --out batch-7\n  \
                            postwire labels make --count 10 --prefix ATTIC- --from 31 --format zpl --dpi 300 --out attic")]
    Make(MakeLabels),
}

/// `labels make`.
#[derive(Args, Debug)]
pub struct MakeLabels {
    /// How many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
    /// The folder to make
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// What the numbers begin with: letters, digits, `-` and `.`, first a letter or a digit
    #[arg(long, value_name = "TEXT", default_value = "UNIT-", value_parser = prefix)]
    pub prefix: String,
    /// The first number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_LAST)))]
    pub from: u32,
    /// The formats, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Format::Svg, Format::Png, Format::Zpl])]
    pub format: Vec<Format>,
    /// The resolution of the printer, in dots per inch, for PNG and ZPL
    #[arg(long, value_enum, default_value_t = Dpi::D203)]
    pub dpi: Dpi,
}

/// The format of a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For office printers
    Svg,
    /// Pixels, one for each dot of the printer
    Png,
    /// The language of label printers, ZPL II
    Zpl,
}

/// A prefix with room for eight digits.
fn prefix(text: &str) -> Result<String, String> {
    // The number is the name of files, and of a router on command lines.
    if is_number(&format!("{text}{MAX_LAST}")) && !text.starts_with(['-', '.']) {
        Ok(text.to_ascii_uppercase())
    } else {
        Err("expected up to 23 letters, digits, `-` and `.`, first a letter or a digit".into())
    }
}
