//! How a run goes on: in batches, until too many units have failed, and in parts on several machines.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::units::digits;

/// The size of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Batch {
    /// So many units.
    Units(usize),
    /// So many of a hundred of all units, at least one.
    Percent(u8),
}

/// How many units may fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxFail {
    /// So many in the whole run.
    Units(usize),
    /// So many of a hundred in each batch.
    Percent(u8),
}

/// A part of a run: `2/3` is the second of three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// Which part, from 1.
    pub part: usize,
    /// Of how many.
    pub of: usize,
}

/// A number, or a number and `%`.
fn number(text: &str, least: u8) -> Result<(usize, bool), String> {
    let (digits, percent) = match text.trim().strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (text.trim(), false),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<usize>().ok().filter(|_| plain) {
        Some(count) if percent && count > 100 => Err("a share is at most 100%".into()),
        Some(count) if count >= usize::from(least) => Ok((count, percent)),
        _ => Err(format!("`{text}` is no number of units, such as 10, and no share, such as 10%")),
    }
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, percent) = number(text, 1)?;
        Ok(match percent {
            true => Self::Percent(u8::try_from(count).unwrap_or(100)),
            false => Self::Units(count),
        })
    }
}

impl FromStr for MaxFail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, percent) = number(text, 0)?;
        Ok(match percent {
            true => Self::Percent(u8::try_from(count).unwrap_or(100)),
            false => Self::Units(count),
        })
    }
}

impl MaxFail {
    /// Whether too many units have failed: so many in the run, and of a batch of so many.
    #[must_use]
    pub const fn is_exceeded(self, in_run: usize, in_batch: usize, batch: usize) -> bool {
        match self {
            Self::Units(most) => in_run > most,
            Self::Percent(most) => in_batch * 100 > most as usize * batch,
        }
    }
}

impl fmt::Display for MaxFail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}% of a batch"),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(part, of)| Some((digits(part)?, digits(of)?)));
        match parts {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => Err(format!("`{text}` is no part, such as 2/3 for the second of three")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl Shard {
    /// The units of this part: every so manieth, so that each unit is in one part.
    #[must_use]
    pub fn of<T>(self, units: Vec<T>) -> Vec<T> {
        let nth = units.into_iter().enumerate();
        nth.filter(|(nth, _)| nth % self.of == self.part - 1).map(|(_, unit)| unit).collect()
    }
}

/// The batches of so many units, in order. The last size is used again until no unit is left; without sizes there is one
/// batch.
#[must_use]
pub fn batches(sizes: &[Batch], units: usize) -> Vec<Range<usize>> {
    let (mut all, mut from) = (Vec::new(), 0);
    while from < units {
        let size = match sizes.get(all.len()).or(sizes.last()) {
            None => units,
            Some(Batch::Units(count)) => *count,
            Some(Batch::Percent(share)) => units * usize::from(*share) / 100,
        };
        let to = from.saturating_add(size.max(1)).min(units);
        all.push(from..to);
        from = to;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_take_every_unit_once() {
        let sizes =
            |text: &str| -> Vec<Batch> { text.split(',').map(|s| s.parse().unwrap()).collect() };
        assert_eq!(batches(&[], 300), std::slice::from_ref(&(0..300)));
        assert_eq!(batches(&sizes("1,10%,100%"), 300), [0..1, 1..31, 31..300]);
        assert_eq!(
            batches(&sizes("1,10%"), 25),
            [
                0..1,
                1..3,
                3..5,
                5..7,
                7..9,
                9..11,
                11..13,
                13..15,
                15..17,
                17..19,
                19..21,
                21..23,
                23..25
            ]
        );
        assert_eq!(batches(&sizes("1%"), 3), [0..1, 1..2, 2..3]);
        assert_eq!(batches(&sizes("500"), 3), std::slice::from_ref(&(0..3)));
        assert_eq!(batches(&[], 0), []);
        for bad in ["0", "0%", "101%", "x", "", "-1", "1.5", "%", "+1"] {
            assert!(bad.parse::<Batch>().is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        let limit = |text: &str| text.parse::<MaxFail>().unwrap();
        assert!(!limit("0").is_exceeded(0, 0, 10) && limit("0").is_exceeded(1, 0, 10));
        assert!(!limit("2").is_exceeded(2, 2, 10) && limit("2").is_exceeded(3, 1, 10));
        assert!(!limit("10%").is_exceeded(9, 1, 10) && limit("10%").is_exceeded(2, 2, 10));
        assert!(limit("10%").is_exceeded(1, 1, 1) && !limit("100%").is_exceeded(9, 9, 9));
        assert!("101%".parse::<MaxFail>().is_err() && "x".parse::<MaxFail>().is_err());
    }

    #[test]
    fn parts_are_the_whole() {
        let units: Vec<usize> = (0..10).collect();
        let part = |text: &str| text.parse::<Shard>().unwrap().of(units.clone());
        let mut all = [part("1/3"), part("2/3"), part("3/3")].concat();
        assert_eq!(part("1/3"), [0, 3, 6, 9]);
        all.sort_unstable();
        assert_eq!(all, units);
        for bad in ["0/3", "4/3", "1", "1/0", "a/b", "", "+2/3", "2/+3", "/3", "2/"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
