//! Values with a length prefix, for serde and postcard: records of files, and the subject of a
//! failure.
//!
//! A reader takes the known fields and ignores the bytes after them; for an unknown kind it keeps
//! the number. `codec` does the same without serde.

use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

/// Largest size of a value in bytes, without its length prefix.
const MOST: usize = 320;

pub use super::codec::Open;

/// Splits the first value, without its length prefix, from the bytes after it. `None` if the value
/// is truncated.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// Reads a value from all of `bytes`; bytes after its fields are ignored. An unknown number, or a
/// kind with malformed fields, gives [`Open::unknown`]. `None` if `bytes` is empty.
#[must_use]
pub fn read<'b, T: Deserialize<'b> + Open>(bytes: &'b [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, _)) => Some(value),
        Err(_) => bytes.first().copied().map(T::unknown),
    }
}

/// Writes a value with a length prefix.
///
/// # Errors
/// An error of the serializer, or a value that is too long.
pub fn serialize<T: Serialize + Open, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut buf = [0; MOST];
    let bytes = match value.unknown_number() {
        Some(number) => {
            buf = [number; MOST];
            buf.get(..1).unwrap_or_default()
        }
        None => postcard::to_slice(value, &mut buf).map_err(S::Error::custom)?,
    };
    serializer.serialize_bytes(bytes)
}

/// Reads a value with a length prefix.
///
/// # Errors
/// An error of the deserializer, or an empty value.
pub fn deserialize<'de, T: Deserialize<'de> + Open, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Bytes<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + Open> Visitor<'de> for Bytes<T> {
        type Value = T;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("a value with a length prefix")
        }

        fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<T, E> {
            read(bytes).ok_or_else(|| E::custom("an empty value"))
        }
    }

    deserializer.deserialize_bytes(Bytes(PhantomData))
}
