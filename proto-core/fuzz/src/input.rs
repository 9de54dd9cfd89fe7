//! Choices taken from the front of an input. After its end every choice is zero, so any input is
//! complete.

/// The rest of an input.
#[derive(Clone, Debug)]
pub struct Input<'d>(pub &'d [u8]);

impl<'d> Input<'d> {
    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `len` bytes.
    pub fn bytes(&mut self, len: usize) -> &'d [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }

    /// Exactly `N` bytes, with zeros after the end of the input.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let head = self.bytes(N);
        array[..head.len()].copy_from_slice(head);
        array
    }

    pub fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Bytes with a length prefix.
    pub fn chunk(&mut self) -> &'d [u8] {
        let len = self.u16();
        self.bytes(len.into())
    }
}

/// The bytes that [`Input::chunk`] reads as this chunk.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a seed is short");
    [&len.to_le_bytes(), bytes].concat()
}
