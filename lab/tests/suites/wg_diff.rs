//! Our `wg` against Debian's: the written cases, and some generated ones.

use super::lanes::Part;
use lab::wg_diff::{Bench, broken, same};

/// Number of generated cases in the tests.
const CASES: u32 = 50;

pub(super) fn part(seed: u64) -> Part {
    let names = ["wg-diff: ours does what Debian's does", "wg-diff: a broken wg is found"];
    Part::new("wg-diff", names.map(str::to_owned), move |tally| {
        let bench = Bench::boot(false)?;
        tally.test(names[0], || same(&bench, seed, CASES));
        tally.test(names[1], || broken(&bench));
        Ok(())
    })
}
