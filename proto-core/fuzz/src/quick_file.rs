//! The file of wg-quick(8), split into reads at any place.
//!
//! Promised: the split makes no difference; lines are reported in order; the columns are those of name and value; the rest for wg(8) is
//! unchanged when it is read again; no value has white space around it.

use proto_core::conf::quick::QUICK_VALUE_MAX;
use proto_core::conf::{ConfError, Field, Part, QuickFile, Span};

use super::Seeds;
use super::input::Input;

/// The settings, and the rest for wg(8).
type Read = (Vec<(u32, Field, String)>, Vec<u8>);

fn read(text: &[u8], mut cut: impl FnMut() -> usize) -> Result<Read, ConfError> {
    let (mut settings, mut left) = (Vec::new(), Vec::new());
    let mut last = 1;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let mut take = |at: Span, part: &Part<'_>| {
        let line = at.line;
        assert!(line >= last, "lines out of order");
        last = line;
        let bytes = lines[line as usize - 1];
        match part {
            Part::Setting(setting, value) => {
                assert_eq!(value.trim_ascii(), *value);
                assert!(!value.contains('\0') && !value.contains('\n'));
                let without_nuls = |text: &[u8]| {
                    text.iter().copied().filter(|byte| *byte != 0).collect::<Vec<_>>()
                };
                assert_eq!(without_nuls(&bytes[at.text.from..at.text.to]), value.as_bytes());
                let name = without_nuls(&bytes[at.name.from..at.name.to]);
                assert!(name.eq_ignore_ascii_case(setting.name().as_bytes()));
                settings.push((line, *setting, (*value).to_owned()));
            }
            Part::Wg(piece) => {
                assert!(at.text.from <= bytes.len());
                left.extend_from_slice(piece);
            }
        }
        Ok(())
    };
    let mut value = [0; QUICK_VALUE_MAX];
    let mut file = QuickFile::new(&mut value);
    let mut rest = text;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
        file.feed(now, &mut take)?;
        rest = later;
    }
    file.end(&mut take)?;
    Ok((settings, left))
}

/// A byte for the size of the reads, and the file.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let seed = input.byte();
    let text = input.0;
    let whole = read(text, || usize::MAX);
    let mut n = u32::from(seed);
    let cut = read(text, || {
        n = n.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (n >> 24) as usize % (usize::from(seed) + 1)
    });
    assert_eq!(whole, cut);
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    match whole {
        Ok((settings, left)) => {
            assert!(settings.iter().all(|(line, ..)| (1..=lines + 1).contains(&(*line as usize))));
            let ends = left.iter().filter(|byte| **byte == b'\n').count() + settings.len();
            assert!((lines..=lines + 1).contains(&ends), "{ends} of {lines} lines");
            assert_eq!(read(&left, || usize::MAX), Ok((Vec::new(), left)));
        }
        Err(error) => assert!((1..=lines + 1).contains(&(error.line as usize)), "{error}"),
    }
}

/// Valid files, and some unusual ones.
pub fn seeds() -> Seeds {
    let files = [
        (
            "full",
            "# one\n[Interface]\nPrivateKey = a=\nAddress = 10.0.0.1/24, fd00::1/64 # two\nDNS=1.1.1.1\n\
             MTU = 1280\nTable = off\nSaveConfig = true\nPreUp = a '#' b\nPostUp = %i\nPreDown=\n\
             PostDown = x\n\n[Peer]\r\nMTU = 7\nAllowedIPs = ::/0",
        ),
        ("empty", ""),
        ("blanks", " \t\n  [interface] \t# x\n mtu\t=\t1 \t\n\ta = b \t "),
        ("nul", "[Inter\0face]\nMT\0U = 1\0\n\0\n"),
        ("name-alone", "[Interface]\nAddress\nMTU # = 1\n= 1\n"),
        ("section-again", "[Interface]\n[x\nMTU = 1\n[INTERFACE]=\nMTU = 2\n"),
    ];
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), [&[7], text.as_bytes()].concat()))
        .collect()
}
