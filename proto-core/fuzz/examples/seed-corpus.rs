//! Writes the inputs that fuzzing starts from into a directory, one folder per target:
//! `cargo xtask fuzz --seed-corpus`.

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).expect("a directory to write to").into();
    for target in proto_core_fuzz::TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in (target.seeds)() {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
