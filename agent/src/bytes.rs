//! A byte cursor for records of fixed layout: fields are put one behind another into a buffer, and taken from the
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

/// Appends a text of at most `longest` bytes (fewer than 256) to a record: its length, the text, and zeros up to
/// `longest`.
#[inline(never)]
pub fn put_text(record: &mut [u8], at: &mut usize, text: &str, longest: usize) {
    put(record, at, &[text.len() as u8]);
    let end = at.saturating_add(longest);
    put(record, at, text.as_bytes());
    *at = end;
}

/// Takes the next text, written by [`put_text`], of a record.
#[inline(never)]
pub fn text<'b>(rest: &mut &'b [u8], longest: usize) -> Option<&'b str> {
    let [len] = *take(rest)?;
    let (bytes, left) = rest.split_at_checked(longest)?;
    *rest = left;
    core::str::from_utf8(bytes.get(..len.into())?).ok()
}
