//! The fake router's stored configuration, by ranges and as the base of a patch, in simple code.

use proto_core::protocol::codec;
use proto_core::protocol::config::Checker;
use proto_core::protocol::digest;
use proto_core::protocol::patch::{Step, range, split_bound};

/// The bytes after the first record.
fn rest(image: &[u8]) -> &[u8] {
    codec::record(image).unwrap().1
}

/// The router's answer about the ranges between bounds.
pub(super) fn ranges(image: &[u8], mut bounds: &[u8]) -> Vec<u8> {
    let (mut checker, mut left) = (Checker::default(), image);
    let mut all: Vec<Vec<u8>> = vec![Vec::new()];
    while !left.is_empty() {
        let (record, behind) = codec::record(left).unwrap();
        if let Some(item) = checker.record(&record).unwrap() {
            let key = item.key().0;
            while let Some((_, more)) = split_bound(bounds).filter(|(bound, _)| key[..] >= **bound)
            {
                bounds = more;
                all.push(Vec::new());
            }
        }
        if left.len() <= rest(image).len() {
            all.last_mut().unwrap().extend(&left[..left.len() - behind.len()]);
        }
        left = behind;
    }
    while let Some((_, more)) = split_bound(bounds) {
        bounds = more;
        all.push(Vec::new());
    }
    let said = |bytes: &Vec<u8>| range(&digest(bytes), bytes.len() as u32);
    all.iter().flat_map(said).collect()
}

/// The image that a patch produces.
pub(super) fn applied(mut patch: &[u8], base: &[u8]) -> Vec<u8> {
    let (base, mut image) = (rest(base), Vec::new());
    while !patch.is_empty() {
        let (step, left) = postcard::take_from_bytes::<Step<'_>>(patch).unwrap();
        patch = left;
        match step {
            Step::Put(bytes) => image.extend_from_slice(bytes),
            Step::Copy { from, length } => {
                image.extend_from_slice(&base[from as usize..][..length as usize]);
            }
        }
    }
    image
}
