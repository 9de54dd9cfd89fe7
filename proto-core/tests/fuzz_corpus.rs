//! The committed inputs of the fuzz targets as an ordinary test, so that they also run where there
//! is no fuzzer: 32-bit and big-endian (`cargo xtask cross`).

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a library of its own")]
mod fuzz;

use std::path::Path;

#[test]
fn every_input_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in fuzz::TARGETS {
        let mut count = 0;
        for entry in std::fs::read_dir(corpus.join(target.name)).expect(target.name) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            (target.run)(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} has no inputs", target.name);
    }
}

/// The inputs as real encoders write them here and now: on a big-endian machine, other bytes.
#[test]
fn every_seed_keeps_the_promises() {
    for target in fuzz::TARGETS {
        for (name, bytes) in (target.seeds)() {
            println!("{} {name}", target.name);
            (target.run)(&bytes);
        }
    }
}
