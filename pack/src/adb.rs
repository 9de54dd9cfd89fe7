//! The container of apk v3: tagged 32-bit values that point into one buffer, and the blocks of a file.
//!
//! Every read checks its bounds: a damaged file is an error. Equal bytes are written once.

use std::collections::HashMap;

use crate::Error;

/// The tags of values.
const INT: u32 = 1 << 28;
const INT32: u32 = 2 << 28;
const INT64: u32 = 3 << 28;
const BLOB8: u32 = 8 << 28;
const BLOB16: u32 = 9 << 28;
const BLOB32: u32 = 10 << 28;
const OBJECT: u32 = 14 << 28;
/// The bits of a value below its tag.
const LOW: u32 = (1 << 28) - 1;

/// The types of blocks.
pub(crate) const ADB: u32 = 0;
pub(crate) const SIG: u32 = 1;
pub(crate) const DATA: u32 = 2;

/// A value: a small number, or an offset in the buffer. Zero is the absent value.
pub(crate) type Value = u32;

/// Writes values.
pub(crate) struct Writer {
    buffer: Vec<u8>,
    seen: HashMap<Vec<u8>, usize>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 8], seen: HashMap::new() }
    }

    fn raw(&mut self, bytes: &[u8], align: usize) -> usize {
        self.buffer.resize(self.buffer.len().next_multiple_of(align), 0);
        let at = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        at
    }

    fn data(&mut self, bytes: Vec<u8>, align: usize) -> Value {
        let at = match self.seen.get(&bytes) {
            Some(at) if at % align == 0 => *at,
            _ => {
                let at = self.raw(&bytes, align);
                self.seen.insert(bytes, at);
                at
            }
        };
        // `finish` refuses a buffer whose offsets do not fit.
        at as Value & LOW
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> Value {
        let len = bytes.len();
        let (tag, head, align) = match len {
            0 => return 0,
            1..=0xff => (BLOB8, vec![len as u8], 1),
            0x100..=0xffff => (BLOB16, (len as u16).to_le_bytes().to_vec(), 2),
            _ => (BLOB32, (len as u32).to_le_bytes().to_vec(), 4),
        };
        tag | self.data([head.as_slice(), bytes].concat(), align)
    }

    /// A blob of `len` zeros to be filled in later. Returns the value, and the offset of its bytes.
    pub(crate) fn hole(&mut self, len: u8) -> (Value, usize) {
        let at = self.raw(&[&[len][..], &vec![0; len.into()]].concat(), 1);
        (BLOB8 | (at as Value & LOW), at + 1)
    }

    pub(crate) fn int(&mut self, number: u64) -> Value {
        match u32::try_from(number) {
            Ok(small) if small <= LOW => INT | small,
            Ok(number) => INT32 | self.data(number.to_le_bytes().to_vec(), 4),
            Err(_) => INT64 | self.data(number.to_le_bytes().to_vec(), 4),
        }
    }

    /// An object, or a list of objects, which has the same tag. Trailing absent values are omitted.
    pub(crate) fn object(&mut self, values: &[Value]) -> Value {
        let len = values.iter().rposition(|value| *value != 0).map_or(0, |last| last + 1);
        if len == 0 {
            return 0;
        }
        let mut bytes = (len as u32 + 1).to_le_bytes().to_vec();
        for value in &values[..len] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        OBJECT | self.data(bytes, 4)
    }

    pub(crate) fn finish(mut self, root: Value) -> Result<Vec<u8>, Error> {
        if self.buffer.len() > LOW as usize {
            return Err(Error::Invalid("the description of the package is too long".into()));
        }
        self.buffer[4..8].copy_from_slice(&root.to_le_bytes());
        Ok(self.buffer)
    }
}

/// Reads values.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn root(self) -> Result<Value, Error> {
        if self.0.first() != Some(&0) {
            return Err(Error::Malformed("adb", "an unknown version"));
        }
        self.word(4)
    }

    fn slice(self, at: usize, len: usize) -> Result<&'a [u8], Error> {
        let end = at.checked_add(len).ok_or(Error::Malformed("adb", "a length"))?;
        self.0.get(at..end).ok_or(Error::Malformed("adb", "a value that points outside"))
    }

    fn word(self, at: usize) -> Result<u32, Error> {
        let bytes = self.slice(at, 4)?;
        Ok(bytes.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }

    pub(crate) fn blob(self, value: Value) -> Result<&'a [u8], Error> {
        let at = (value & LOW) as usize;
        let head = match value & !LOW {
            0 if value == 0 => return Ok(&[]),
            BLOB8 => 1,
            BLOB16 => 2,
            BLOB32 => 4,
            _ => return Err(Error::Malformed("adb", "a value that is not text")),
        };
        let len = self.slice(at, head)?.iter().rev();
        let len = len.fold(0usize, |all, byte| all << 8 | usize::from(*byte));
        self.slice(at.saturating_add(head), len)
    }

    pub(crate) fn text(self, value: Value) -> Result<String, Error> {
        String::from_utf8(self.blob(value)?.to_vec())
            .map_err(|_| Error::Malformed("adb", "text that is not UTF-8"))
    }

    pub(crate) fn int(self, value: Value) -> Result<u64, Error> {
        let at = (value & LOW) as usize;
        match value & !LOW {
            0 if value == 0 => Ok(0),
            INT => Ok(u64::from(value & LOW)),
            INT32 => self.word(at).map(u64::from),
            INT64 => {
                let high = u64::from(self.word(at.saturating_add(4))?);
                Ok(high << 32 | u64::from(self.word(at)?))
            }
            _ => Err(Error::Malformed("adb", "a value that is not a number")),
        }
    }

    /// The values of an object or a list, at least `least` of them.
    pub(crate) fn object(self, value: Value, least: usize) -> Result<Vec<Value>, Error> {
        let mut values = Vec::new();
        if value != 0 {
            // An object and a list differ in one of the tag's lower bits.
            if value & !LOW != OBJECT && value & !LOW != 13 << 28 {
                return Err(Error::Malformed("adb", "a value that is not an object"));
            }
            let at = (value & LOW) as usize;
            let slots = self.word(at)? as usize;
            let bytes = slots.checked_sub(1).and_then(|slots| slots.checked_mul(4));
            let bytes = bytes.ok_or(Error::Malformed("adb", "an object without a length"))?;
            let bytes = self.slice(at.saturating_add(4), bytes)?;
            values.extend(
                bytes
                    .chunks_exact(4)
                    .map(|word| word.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte))),
            );
        }
        values.resize(values.len().max(least), 0);
        Ok(values)
    }
}

/// Appends a block.
pub(crate) fn block(out: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) -> Result<(), Error> {
    let len = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    let head = u32::try_from(len).ok().filter(|len| *len < 1 << 30);
    let head = head.ok_or_else(|| Error::Invalid("a file of the package is too long".into()))?;
    out.extend_from_slice(&(kind << 30 | head).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.resize(out.len() + (len.next_multiple_of(8) - len), 0);
    Ok(())
}

/// Splits a file into its blocks: the type and the payload of each.
pub(crate) fn blocks(mut rest: &[u8]) -> Result<Vec<(u32, &[u8])>, Error> {
    const CUT: Error = Error::Malformed("adb", "a truncated block");
    let mut all = Vec::new();
    while let Some(head) = rest.first_chunk::<4>() {
        let head = u32::from_le_bytes(*head);
        let len = (head & ((1 << 30) - 1)) as usize;
        all.push((head >> 30, rest.get(4..len).ok_or(CUT)?));
        rest = rest.get(len.next_multiple_of(8)..).ok_or(CUT)?;
    }
    if rest.is_empty() { Ok(all) } else { Err(CUT) }
}
