//! Writes the initial inputs of fuzzing into a directory, one folder per target: `cargo xtask fuzz
//! --seed-corpus`.

use std::path::{Path, PathBuf};
use std::{fs, io};

fn write<B: AsRef<[u8]>>(
    folder: &Path,
    seeds: impl IntoIterator<Item = (impl AsRef<Path>, B)>,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    seeds.into_iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

fn main() -> io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).expect("a directory to write to").into();
    write(&corpus.join("service"), postwired::requests::service::fuzz::seeds())?;
    write(&corpus.join("console"), postwired::console::fuzz::seeds())?;
    write(&corpus.join("dns"), postwired::names::fuzz::seeds())
}
