//! A byte cursor for records of fixed layout: fields are appended to a buffer, and taken from the
//! front of a slice. Every file of the agent is written and read with these functions.

/// Appends a field to a record. A field that does not fit is left out.
#[inline(never)]
pub fn put(record: &mut [u8], at: &mut usize, field: &[u8]) {
    for (to, from) in record.iter_mut().skip(*at).zip(field) {
        *to = *from;
    }
    *at = at.saturating_add(field.len());
}

/// Takes the next field of a record.
pub fn take<'b, const N: usize>(record: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (field, rest) = record.split_first_chunk()?;
    *record = rest;
    Some(field)
}

/// Appends a text of at most `longest` bytes (fewer than 256) to a record: its length, the text,
/// and zeros up to `longest`.
#[inline(never)]
pub fn put_text(record: &mut [u8], at: &mut usize, text: &str, longest: usize) {
    put(record, at, &[text.len() as u8]);
    let end = at.saturating_add(longest);
    put(record, at, text.as_bytes());
    *at = end;
}

/// Takes the next text of a record, written by [`put_text`].
#[inline(never)]
pub fn text<'b>(rest: &mut &'b [u8], longest: usize) -> Option<&'b str> {
    let [len] = *take(rest)?;
    let (bytes, left) = rest.split_at_checked(longest)?;
    *rest = left;
    core::str::from_utf8(bytes.get(..len.into())?).ok()
}

/// Appends fields, each by a copy of known length: for records that are written by the thousand.
#[derive(Debug)]
pub struct Put<'b>(pub &'b mut [u8]);

impl Put<'_> {
    /// Appends a field. A field that does not fit is left out.
    pub fn array<const N: usize>(&mut self, field: [u8; N]) {
        if let Some((place, rest)) = core::mem::take(&mut self.0).split_first_chunk_mut() {
            *place = field;
            self.0 = rest;
        }
    }
}

/// Takes the fields that [`Put`] appended. After the end, every read returns zeros.
#[derive(Debug)]
pub struct Get<'b>(pub &'b [u8]);

impl Get<'_> {
    /// Takes a field.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        take(&mut self.0).copied().unwrap_or([0; N])
    }

    /// Takes a byte.
    pub fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    /// Takes a little-endian number.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
}
