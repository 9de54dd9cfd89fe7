//! Writes the initial inputs of fuzzing into a directory, one folder per target: `cargo xtask fuzz
//! --seed-corpus`.

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).expect("a directory to write to").into();
    let folder = corpus.join("service");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in postwired::requests::service::fuzz::seeds() {
        fs::write(folder.join(name), bytes)?;
    }
    let folder = corpus.join("console");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in postwired::console::fuzz::seeds() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
