//! A serde serializer that writes postcard bytes with the name of each field beside them, for
//! authors of other implementations.
//!
//! It implements the rules of postcard independently, so its output also checks the other encoders.

use serde::ser::{self, Serialize};

/// Bytes of one field, with a label.
pub struct Line {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The label.
    pub label: String,
}

/// The bytes of `value`, field by field.
pub fn annotate<T: Serialize>(label: &str, value: &T) -> Vec<Line> {
    let mut annotator = Annotator { lines: Vec::new(), label: label.into(), octet: false };
    value.serialize(&mut annotator).expect("only what postcard has");
    annotator.lines
}

struct Annotator {
    lines: Vec<Line>,
    label: String,
    /// Whether the last line is a number of one byte: further numbers in an array are added to the
    /// same line.
    octet: bool,
}

#[derive(Debug)]
struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

type Done = Result<(), Error>;

impl Annotator {
    fn line(&mut self, bytes: Vec<u8>, what: &str) -> Done {
        let label = match what {
            "" => self.label.clone(),
            what => format!("{} = {what}", self.label),
        };
        self.lines.push(Line { bytes, label });
        self.octet = false;
        Ok(())
    }

    fn number(&mut self, number: u64) -> Done {
        self.line(varint(number), &number.to_string())
    }

    fn variant(&mut self, index: u32, name: &str) -> Done {
        self.line(varint(index.into()), name)
    }

    fn named<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Done {
        let outer = std::mem::replace(&mut self.label, name.into());
        value.serialize(&mut *self)?;
        self.label = outer;
        Ok(())
    }

    /// An element of a sequence. Consecutive bytes become one line.
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let before = self.lines.len();
        let joins = self.octet;
        value.serialize(&mut *self)?;
        if joins
            && self.octet
            && self.lines.len() == before + 1
            && let Some(line) = self.lines.pop()
            && let Some(row) = self.lines.last_mut()
        {
            row.bytes.extend(line.bytes);
            row.label.clone_from(&self.label);
        }
        Ok(())
    }
}

/// An unfinished sequence, struct or variant.
struct Compound<'a>(&'a mut Annotator);

impl<'a> ser::Serializer for &'a mut Annotator {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = ser::Impossible<(), Error>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, v: bool) -> Done {
        self.line(vec![v.into()], &v.to_string())
    }

    fn serialize_u8(self, v: u8) -> Done {
        self.line(vec![v], &v.to_string())?;
        self.octet = true;
        Ok(())
    }

    fn serialize_u16(self, v: u16) -> Done {
        self.number(v.into())
    }

    fn serialize_u32(self, v: u32) -> Done {
        self.number(v.into())
    }

    fn serialize_u64(self, v: u64) -> Done {
        self.number(v)
    }

    fn serialize_str(self, v: &str) -> Done {
        self.line([varint(v.len() as u64), v.into()].concat(), &format!("{v:?}"))
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Done {
        self.serialize_str(&value.to_string())
    }

    fn serialize_bytes(self, v: &[u8]) -> Done {
        self.line([varint(v.len() as u64), v.into()].concat(), "")
    }

    fn serialize_none(self) -> Done {
        self.line(vec![0], "none")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.line(vec![1], "some")?;
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, name: &'static str) -> Done {
        self.variant(index, name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Done {
        self.variant(index, name)?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>, Error> {
        let len = len.ok_or(Error("a sequence without a length".into()))?;
        self.line(varint(len as u64), &format!("{len} of them"))?;
        Ok(Compound(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, Error> {
        self.octet = false;
        Ok(Compound(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        Ok(Compound(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Error> {
        self.variant(index, name)?;
        Ok(Compound(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Error> {
        Ok(Compound(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, Error> {
        self.variant(index, name)?;
        Ok(Compound(self))
    }

    // Types that no message has.

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Err(Error("a map".into()))
    }

    fn serialize_i8(self, _: i8) -> Done {
        Err(Error("a signed number".into()))
    }

    fn serialize_i16(self, _: i16) -> Done {
        Err(Error("a signed number".into()))
    }

    fn serialize_i32(self, _: i32) -> Done {
        Err(Error("a signed number".into()))
    }

    fn serialize_i64(self, _: i64) -> Done {
        Err(Error("a signed number".into()))
    }

    fn serialize_f32(self, _: f32) -> Done {
        Err(Error("a fraction".into()))
    }

    fn serialize_f64(self, _: f64) -> Done {
        Err(Error("a fraction".into()))
    }

    fn serialize_char(self, _: char) -> Done {
        Err(Error("a character".into()))
    }

    fn serialize_unit(self) -> Done {
        Err(Error("a unit".into()))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Err(Error("a unit".into()))
    }
}

macro_rules! compound {
    ($($trait:ident $method:ident $inner:ident ($($name:ident: $ty:ty)?);)*) => {$(
        impl ser::$trait for Compound<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $ty,)? value: &T) -> Done {
                self.0.$inner($($name,)? value)
            }

            fn end(self) -> Done {
                self.0.octet = false;
                Ok(())
            }
        }
    )*};
}

compound! {
    SerializeSeq serialize_element element();
    SerializeTuple serialize_element element();
    SerializeTupleStruct serialize_field element();
    SerializeTupleVariant serialize_field element();
    SerializeStruct serialize_field named(name: &'static str);
    SerializeStructVariant serialize_field named(name: &'static str);
}
