//! Cases made from a seed.

use super::case::Case;

pub(super) fn case(seed: u64, number: u32) -> Case {
    Case { name: format!("generated {number}"), script: format!("wg show # {seed}") }
}
