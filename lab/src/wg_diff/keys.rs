//! The keys of the cases, the same in every run: `$k1` to `$k9` are public keys, `$p1` to `$p4`
//! private keys and `$s1` to `$s4` preshared keys. `/diff/p1` and so on are files with the latter
//! two.

use fastrand::Rng;
use proto_core::key::PublicKey;
use std::fmt::Write;

/// Number of characters by which a secret is recognised.
const TELLING: usize = 12;

pub(super) const PUBLIC: usize = 9;
pub(super) const SECRET: usize = 4;

/// A key in base64, different for each `seed`.
fn key(seed: u64) -> String {
    let mut key = [0; 32];
    Rng::with_seed(seed).fill(&mut key);
    PublicKey(key).to_string()
}

pub(super) fn public(number: usize) -> String {
    key(100 + number as u64)
}

/// A secret of the kind `p` or `s`.
pub(super) fn secret(kind: &str, number: usize) -> String {
    key(u64::from(kind == "p") * 100 + 200 + number as u64)
}

/// The shell code that defines the keys.
pub(super) fn prelude() -> String {
    let mut text = String::new();
    for number in 1..=PUBLIC {
        let _ = writeln!(text, "k{number}={}", public(number));
    }
    for kind in ["p", "s"] {
        for number in 1..=SECRET {
            let key = secret(kind, number);
            let _ = writeln!(text, "{kind}{number}={key}; echo {key} >/diff/{kind}{number}");
        }
    }
    text
}

/// The start of each secret, which must not appear on standard error.
pub(super) fn secrets() -> Vec<String> {
    let numbers = 1..=SECRET;
    let all = numbers.flat_map(|number| [secret("p", number), secret("s", number)]);
    all.map(|key| key.chars().take(TELLING).collect()).collect()
}
