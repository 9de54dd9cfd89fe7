//! Writing: messages and attributes into a buffer of the caller.
//!
//! A [`Writer`] is a cursor. Each call adds one piece, or reports [`Full`] and leaves the buffer
//! unchanged, so a caller that runs out of room can send what it has and add the piece again.
//!
//! Not here: the meaning of attributes.

use core::fmt;
use core::net::IpAddr;

use super::{NLA_F_NESTED, NLA_HDRLEN, NLMSG_HDRLEN, padded};

/// A piece did not fit: into the buffer, or into the 65,535 bytes that an attribute or a nest can
/// have. Nothing of it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message does not fit into its buffer")
    }
}

impl core::error::Error for Full {}

/// The start of an open nest, for [`Writer::nest_end`].
#[derive(Debug)]
#[must_use = "a nest that is not ended has no length"]
pub(super) struct Nest(usize);

/// Writes messages one after another.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut [u8],
    /// Number of bytes written. Always a multiple of [`ALIGNTO`](super::ALIGNTO), unless it is
    /// text.
    len: usize,
    /// Start of the current message. Before the first one, attributes can be written alone.
    message: Option<usize>,
    /// Start of the outermost open nest. It is the longest nest, so if its length fits, the lengths
    /// of all nests inside fit.
    outermost: Option<usize>,
    /// Number of bytes of `buf` that may be written, so that all lengths fit.
    limit: usize,
    /// Number of bytes of `buf` that were ever written.
    reach: usize,
}

/// The maximum number of bytes of messages: their lengths have 32 bits.
const MESSAGES_MAX: usize = u32::MAX as usize;

impl<'b> Writer<'b> {
    /// Starts at the beginning of `buf`, whose content is ignored.
    #[must_use]
    pub const fn new(buf: &'b mut [u8]) -> Self {
        Self { buf, len: 0, message: None, outermost: None, limit: MESSAGES_MAX, reach: 0 }
    }

    /// Number of bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops what is written and starts over. The bytes stay in the buffer.
    pub const fn clear(&mut self) {
        self.len = 0;
        self.message = None;
        self.close();
    }

    /// Starts a message (`struct nlmsghdr`) and ends the previous one. `port` is zero in a request;
    /// open nests of the previous message stay without a length.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn message(&mut self, ty: u16, flags: u16, seq: u32, port: u32) -> Result<(), Full> {
        let start = self.len;
        let [t0, t1] = ty.to_ne_bytes();
        let [f0, f1] = flags.to_ne_bytes();
        let [s0, s1, s2, s3] = seq.to_ne_bytes();
        let [p0, p1, p2, p3] = port.to_ne_bytes();
        let header: [u8; NLMSG_HDRLEN] =
            [0, 0, 0, 0, t0, t1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3];
        let (outermost, limit) = (self.outermost, self.limit);
        self.close();
        match self.room(NLMSG_HDRLEN) {
            Ok(room) => room.copy_from_slice(&header),
            Err(full) => {
                (self.outermost, self.limit) = (outermost, limit);
                return Err(full);
            }
        }
        self.count(start);
        self.message = Some(start);
        Ok(())
    }

    /// Wipes all bytes ever written, for callers that write keys.
    #[cfg(feature = "wireguard")]
    pub(super) fn wipe(&mut self) {
        if let Some(written) = self.buf.get_mut(..self.reach) {
            zeroize::Zeroize::zeroize(written);
        }
    }

    /// Changes the sequence number of the current message.
    pub fn set_seq(&mut self, seq: u32) {
        if let Some(message) = self.message {
            self.patch(message.saturating_add(8), seq.to_ne_bytes());
        }
    }

    /// Adds a family's own header after the message header, padded with zeros.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    pub fn header(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.room(padded(bytes.len()))?;
        let (front, padding) = room.split_at_mut_checked(bytes.len()).ok_or(Full)?;
        front.copy_from_slice(bytes);
        padding.fill(0);
        Ok(())
    }

    /// Adds bytes that are neither message nor attribute, without padding.
    #[cfg_attr(feature = "small", inline(never))]
    #[cfg(feature = "wireguard")]
    pub(crate) fn text(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Adds an attribute with any payload, padded with zeros.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    pub fn bytes(&mut self, ty: u16, payload: &[u8]) -> Result<(), Full> {
        self.attribute(ty, payload, 0)
    }

    /// Adds an attribute of one byte.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn u8(&mut self, ty: u16, value: u8) -> Result<(), Full> {
        self.bytes(ty, &[value])
    }

    /// Adds a number of 16 bits in host order.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn u16(&mut self, ty: u16, value: u16) -> Result<(), Full> {
        self.bytes(ty, &value.to_ne_bytes())
    }

    /// Adds a number of 32 bits in host order.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn u32(&mut self, ty: u16, value: u32) -> Result<(), Full> {
        self.bytes(ty, &value.to_ne_bytes())
    }

    /// Adds a number of 64 bits in host order, at any alignment.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    pub fn u64(&mut self, ty: u16, value: u64) -> Result<(), Full> {
        self.bytes(ty, &value.to_ne_bytes())
    }

    /// Adds a number of 16 bits in network order. The type is not flagged `NLA_F_NET_BYTEORDER`: in
    /// these families the type alone implies the order.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    pub fn be16(&mut self, ty: u16, value: u16) -> Result<(), Full> {
        self.bytes(ty, &value.to_be_bytes())
    }

    /// Adds a number of 32 bits in network order, like [`Writer::be16`].
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    pub fn be32(&mut self, ty: u16, value: u32) -> Result<(), Full> {
        self.bytes(ty, &value.to_be_bytes())
    }

    /// Adds an address: 4 or 16 bytes in network order.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn ip(&mut self, ty: u16, addr: IpAddr) -> Result<(), Full> {
        match addr {
            IpAddr::V4(a) => self.bytes(ty, &a.octets()),
            IpAddr::V6(a) => self.bytes(ty, &a.octets()),
        }
    }

    /// Adds a text and its terminating NUL. For the kernel, a NUL inside the text would end it.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the buffer is then unchanged.
    #[cfg_attr(feature = "small", inline(never))]
    pub fn string(&mut self, ty: u16, text: &str) -> Result<(), Full> {
        self.attribute(ty, text.as_bytes(), 1)
    }

    /// Adds a nest with the attributes that `put` writes: all of it or nothing. The type is flagged
    /// [`NLA_F_NESTED`]. A message that `put` starts is outside the nest, and ends it.
    ///
    /// # Errors
    /// [`Full`] if there is no room, and that of `put`; the buffer is then unchanged.
    pub fn nest<T>(
        &mut self,
        ty: u16,
        put: impl FnOnce(&mut Self) -> Result<T, Full>,
    ) -> Result<T, Full> {
        self.all(|writer| {
            let nest = writer.nest_start(ty)?;
            let done = put(writer)?;
            writer.nest_end(nest);
            Ok(done)
        })
    }

    /// Opens a nest of the current message that stays open between calls; attributes go into it
    /// until [`Writer::nest_end`].
    pub(super) fn nest_start(&mut self, ty: u16) -> Result<Nest, Full> {
        let start = self.len;
        self.bytes(ty | NLA_F_NESTED, &[])?;
        if self.outermost.is_none() {
            self.outermost = Some(start);
            self.limit = start.saturating_add(usize::from(u16::MAX));
        }
        Ok(Nest(start))
    }

    /// Closes the nest that was opened last.
    pub(super) fn nest_end(&mut self, nest: Nest) {
        let Nest(start) = nest;
        if self.message.is_some_and(|message| message >= start) {
            return;
        }
        // Pieces that would overflow this length were refused before.
        let length = self.len.saturating_sub(start);
        self.patch(start, u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
        if self.outermost == Some(start) {
            self.close();
        }
    }

    /// No nest is open.
    const fn close(&mut self) {
        (self.outermost, self.limit) = (None, MESSAGES_MAX);
    }

    /// Adds several pieces, all of them or none.
    ///
    /// # Errors
    /// [`Full`] of `put`; the buffer is then unchanged.
    pub fn all<T>(&mut self, put: impl FnOnce(&mut Self) -> Result<T, Full>) -> Result<T, Full> {
        let (len, message, outermost, limit) = (self.len, self.message, self.outermost, self.limit);
        put(self).inspect_err(|Full| {
            (self.len, self.message, self.outermost, self.limit) = (len, message, outermost, limit);
        })
    }

    /// The bytes written so far.
    #[must_use]
    pub fn as_bytes(&mut self) -> &[u8] {
        self.count(self.len);
        self.buf.get(..self.len).unwrap_or_default()
    }

    /// All messages, ready to send.
    #[must_use]
    #[cfg_attr(feature = "small", inline(never))]
    pub fn finish(mut self) -> &'b [u8] {
        self.count(self.len);
        self.buf.get(..self.len).unwrap_or_default()
    }

    /// An attribute whose payload is some bytes followed by at most one zero byte.
    #[cfg_attr(feature = "small", inline(never))]
    fn attribute(&mut self, ty: u16, bytes: &[u8], zeros: usize) -> Result<(), Full> {
        let end = NLA_HDRLEN.checked_add(bytes.len()).ok_or(Full)?;
        let length = end.saturating_add(zeros);
        let [l0, l1] = u16::try_from(length).map_err(|_| Full)?.to_ne_bytes();
        let [t0, t1] = ty.to_ne_bytes();
        let room = self.room(padded(length))?;
        // Zero the last word first: it holds the padding.
        *room.last_chunk_mut().ok_or(Full)? = [0; NLA_HDRLEN];
        *room.first_chunk_mut().ok_or(Full)? = [l0, l1, t0, t1];
        room.get_mut(NLA_HDRLEN..end).ok_or(Full)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Room for attributes that the caller lays out: `want` bytes, a multiple of
    /// [`ALIGNTO`](super::ALIGNTO), all of which the caller must write.
    pub(super) fn room(&mut self, want: usize) -> Result<&mut [u8], Full> {
        let end = self.len.saturating_add(want);
        if end > self.limit {
            return Err(Full);
        }
        let room = self.buf.get_mut(self.len..end).ok_or(Full)?;
        self.len = end;
        self.reach = self.reach.max(end);
        Ok(room)
    }

    /// Sets the current message's length (`nlmsg_len`) so that it ends at `end`.
    fn count(&mut self, end: usize) {
        if let Some(message) = self.message {
            let length = end.saturating_sub(message);
            // `room` refuses lengths that do not fit into 32 bits.
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.patch(message, length.to_ne_bytes());
        }
    }

    fn patch<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        if let Some(place) = self.buf.get_mut(at..).and_then(|place| place.first_chunk_mut()) {
            *place = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::fixture::datagram;

    #[test]
    fn writes_fields_where_the_kernel_reads_them() {
        let bytes = datagram(|w| {
            w.message(0x1234, 0x5678, 0x9abc_def0, 7)?;
            w.header(&[1, 2])?;
            w.u8(1, 0xab)?;
            w.be16(2, 0x0102)?;
            w.string(3, "wg0")?;
            w.nest(4, |w| w.u32(5, 6))
        });
        let ne16 = |n: u16| n.to_ne_bytes().to_vec();
        let ne32 = |n: u32| n.to_ne_bytes().to_vec();
        let expected = [
            [ne32(56), ne16(0x1234), ne16(0x5678), ne32(0x9abc_def0), ne32(7)].concat(),
            vec![1, 2, 0, 0],
            [ne16(5), ne16(1), vec![0xab, 0, 0, 0]].concat(),
            [ne16(6), ne16(2), vec![1, 2, 0, 0]].concat(),
            [ne16(8), ne16(3), b"wg0\0".to_vec()].concat(),
            [ne16(12), ne16(0x8004), ne16(8), ne16(5), ne32(6)].concat(),
        ];
        assert_eq!(bytes, expected.concat());
    }

    /// Wherever the buffer ends, a piece that did not fit left no trace.
    #[test]
    fn full_leaves_everything_as_it_was() {
        type Piece = fn(&mut Writer<'_>) -> Result<(), Full>;
        let pieces: [Piece; 6] = [
            |w| w.message(16, 0, 1, 0),
            |w| w.header(&[1; 5]),
            |w| w.u64(1, u64::MAX),
            |w| w.string(2, "abcd"),
            |w| w.nest(3, |_| Ok(())),
            |w| w.ip(4, IpAddr::from([1; 16])),
        ];
        for size in 0..80 {
            let mut buf = [0x55; 80];
            let (room, _) = buf.split_at_mut(size);
            let mut writer = Writer::new(room);
            for piece in pieces {
                let before = writer.buf.to_vec();
                let len = writer.len();
                match piece(&mut writer) {
                    Ok(()) => assert!(writer.len() > len && writer.len() <= size),
                    Err(Full) => assert_eq!((writer.len(), writer.buf.to_vec()), (len, before)),
                }
            }
        }
    }

    #[test]
    fn padding_is_zero_in_a_used_buffer() {
        let bytes = datagram(|w| {
            w.message(16, 0, 0, 0)?;
            w.bytes(1, &[1])
        });
        assert_eq!(bytes[20..], [1, 0, 0, 0]);
    }

    #[test]
    fn an_attribute_counts_no_further_than_65535() {
        let mut buf = vec![0; 1 << 18];
        let mut writer = Writer::new(&mut buf);
        writer.message(16, 0, 0, 0).unwrap();
        assert_eq!(writer.bytes(1, &[0; 65532]), Err(Full));
        assert_eq!(writer.string(1, &"x".repeat(65531)), Err(Full));
        writer.bytes(1, &[0; 65531]).unwrap();

        // Nests inside nests: the outermost overflows first.
        let start = writer.len();
        writer
            .nest(2, |w| {
                w.nest(3, |w| {
                    w.bytes(1, &[0; 40_000])?;
                    assert_eq!(w.bytes(1, &[0; 25_524]), Err(Full));
                    w.bytes(1, &[0; 25_516])?;
                    assert_eq!(w.nest(4, |_| Ok(())), Err(Full));
                    Ok(())
                })
            })
            .unwrap();
        let counted = u16::from_ne_bytes([writer.as_bytes()[start], writer.as_bytes()[start + 1]]);
        assert_eq!((usize::from(counted), counted), (writer.len() - start, 65_532));
        writer.u8(1, 1).unwrap();
    }

    /// A nest could be ended out of order, or in another message, which wrote a length over other
    /// bytes.
    #[test]
    fn a_message_inside_a_nest_ends_it() {
        let bytes = datagram(|w| {
            w.message(16, 0, 1, 0)?;
            w.nest(1, |w| {
                w.u8(2, 1)?;
                w.message(17, 0, 2, 0)?;
                w.nest(3, |w| w.u32(4, 5))
            })
        });
        let lengths: Vec<_> = crate::netlink::fixture::messages(&bytes)
            .iter()
            .map(|m| (m.ty, m.seq, m.payload.len()))
            .collect();
        assert_eq!(lengths, [(16, 1, 12), (17, 2, 12)]);
        assert_eq!(bytes[44..48], [[12_u16, 0x8003].map(u16::to_ne_bytes).concat()].concat());
    }

    #[test]
    fn messages_follow_one_another() {
        let bytes = datagram(|w| {
            w.message(16, 0, 1, 0)?;
            w.u8(1, 1)?;
            w.message(17, 0, 2, 0)?;
            w.set_seq(3);
            w.message(18, 0, 4, 0)
        });
        let lengths: Vec<_> = crate::netlink::fixture::messages(&bytes)
            .iter()
            .map(|m| (m.ty, m.seq, m.payload.len()))
            .collect();
        assert_eq!(lengths, [(16, 1, 8), (17, 3, 0), (18, 4, 0)]);
    }

    #[test]
    fn all_is_all_or_nothing() {
        let mut buf = [0; 40];
        let mut writer = Writer::new(&mut buf);
        writer.message(16, 0, 0, 0).unwrap();
        let tried = writer.all(|w| {
            w.nest(1, |w| w.bytes(2, &[0; 12]))?;
            w.nest(2, |w| w.u8(3, 0))
        });
        assert_eq!((tried, writer.len()), (Err(Full), 16));
        assert_eq!(writer.as_bytes()[..4], 16u32.to_ne_bytes());
        assert_eq!(writer.outermost, None);
    }
}
