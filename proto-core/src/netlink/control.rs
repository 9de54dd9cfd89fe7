//! Netlink's own messages: no-op, acknowledgement or error, end of a dump, data lost.
//!
//! Source: `linux/netlink.h` (`struct nlmsgerr`, `enum nlmsgerr_attrs`) and `netlink_ack`,
//! `netlink_dump_done` in `net/netlink/af_netlink.c`.
//!
//! Not here: their effect on the pending request ([`exchange`](super::exchange)).

use super::read::{Attribute, Attributes, Malformed, Message, header};
use super::{
    Errno, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN, NLMSG_MIN_TYPE,
    NLMSG_OVERRUN,
};

/// `NLMSGERR_ATTR_MSG`: the kernel's own message.
pub const NLMSGERR_ATTR_MSG: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`: offset of the offending attribute in the request.
pub const NLMSGERR_ATTR_OFFS: u16 = 2;
/// `NLMSGERR_ATTR_MISS_TYPE`: the type of an attribute that is missing.
pub const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;
/// `NLMSGERR_ATTR_MISS_NEST`: offset in the request of the nest in which it is missing.
pub const NLMSGERR_ATTR_MISS_NEST: u16 = 6;

/// What the kernel adds to an error under `NETLINK_EXT_ACK`. Offsets are in bytes from the start of
/// the request's header.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ExtAck<'b> {
    /// The kernel's message; on success, a warning.
    pub message: Option<&'b str>,
    /// Offset of the offending attribute.
    pub offset: Option<u32>,
    /// The type of an attribute that is missing.
    pub missing_type: Option<u32>,
    /// Offset of the nest in which it is missing; `None` if that is the message itself.
    pub missing_nest: Option<u32>,
}

/// The result of a request, from [`NLMSG_ERROR`] or [`NLMSG_DONE`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Ack<'b> {
    /// The error; `None` on success.
    pub errno: Option<Errno>,
    /// The kernel's explanation.
    pub ext: ExtAck<'b>,
}

/// A message, classified by who handles it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Control<'b> {
    /// Not netlink's own: a message of a family.
    Data,
    /// Nothing to do: `NLMSG_NOOP` and reserved types.
    Noop,
    /// An acknowledgement or an error.
    Ack(Ack<'b>),
    /// The end of a dump, and its result.
    Done(Ack<'b>),
    /// The kernel lost data that it was sending.
    Overrun,
}

impl<'b> Control<'b> {
    /// Classifies `message`. An acknowledgement too short for its error number is [`Malformed`].
    pub fn parse(message: &Message<'b>) -> Result<Self, Malformed> {
        Ok(match message.ty {
            NLMSG_MIN_TYPE.. => Self::Data,
            NLMSG_ERROR => Self::Ack(ack(message)?),
            NLMSG_DONE => Self::Done(done(message)?),
            NLMSG_OVERRUN => Self::Overrun,
            _ => Self::Noop,
        })
    }
}

fn errno(bytes: [u8; 4]) -> Option<Errno> {
    match i32::from_ne_bytes(bytes) {
        0 => None,
        number => Some(Errno::from_signed(number)),
    }
}

/// `struct nlmsgerr`: the error, the request's header, the rest of the request unless it was
/// capped, and the attributes.
fn ack<'b>(message: &Message<'b>) -> Result<Ack<'b>, Malformed> {
    let (number, rest) = message.payload.split_first_chunk().ok_or(Malformed)?;
    let (echo, after) = rest.split_first_chunk::<NLMSG_HDRLEN>().ok_or(Malformed)?;
    let tlvs = if message.flags & NLM_F_CAPPED != 0 {
        Some(after)
    } else {
        let (length, _) = header(echo);
        usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_next_multiple_of(super::ALIGNTO))
            .and_then(|length| rest.get(length.max(NLMSG_HDRLEN)..))
    };
    // If the end of the echo cannot be found, the explanation is lost, but never the error itself.
    Ok(Ack { errno: errno(*number), ext: ext_ack(message, tlvs.unwrap_or_default()) })
}

/// The error number, if present, and the attributes.
fn done<'b>(message: &Message<'b>) -> Result<Ack<'b>, Malformed> {
    if message.payload.is_empty() {
        return Ok(Ack::default());
    }
    let (number, tlvs) = message.payload.split_first_chunk().ok_or(Malformed)?;
    Ok(Ack { errno: errno(*number), ext: ext_ack(message, tlvs) })
}

#[cfg_attr(feature = "small", inline(never))]
fn number(attribute: &Attribute<'_>) -> Option<u32> {
    attribute.u32().ok()
}

/// Reads what can be read: an error stays an error, even if its explanation is malformed.
fn ext_ack<'b>(message: &Message<'b>, tlvs: &'b [u8]) -> ExtAck<'b> {
    let mut ext = ExtAck::default();
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return ext;
    }
    let mut attributes = Attributes::new(tlvs);
    while let Some(Ok(attribute)) = attributes.next() {
        match attribute.ty {
            NLMSGERR_ATTR_MSG => ext.message = attribute.str().ok(),
            NLMSGERR_ATTR_OFFS => ext.offset = number(&attribute),
            NLMSGERR_ATTR_MISS_TYPE => ext.missing_type = number(&attribute),
            NLMSGERR_ATTR_MISS_NEST => ext.missing_nest = number(&attribute),
            _ => {}
        }
    }
    ext
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::fixture::{datagram, messages};

    fn parse(datagram: &[u8]) -> Result<Control<'_>, Malformed> {
        Control::parse(&messages(datagram)[0])
    }

    /// Adding an address twice, with `NETLINK_CAP_ACK` and `NETLINK_EXT_ACK` (Linux 6.18, x86_64).
    #[cfg(target_endian = "little")]
    #[test]
    fn capped_error_of_a_real_kernel() {
        let bytes = crate::netlink::fixture::hex(
            "48000000 0200 0003 70000000 a83f0000 efffffff \
             28000000 1400 0506 70000000 00000000 2300 0100 \
             69707634 3a204164 64726573 7320616c 72656164 79206173 7369676e 65640000",
        );
        let Ok(Control::Ack(ack)) = parse(&bytes) else { panic!() };
        assert_eq!(ack.errno, Some(Errno::EEXIST));
        assert_eq!(ack.ext.message, Some("ipv4: Address already assigned"));
    }

    /// Listing the addresses of an interface that does not exist (Linux 6.18, x86_64).
    #[cfg(target_endian = "little")]
    #[test]
    fn failed_dump_of_a_real_kernel() {
        let bytes = crate::netlink::fixture::hex("14000000 0300 2200 78000000 a83f0000 edffffff");
        let Ok(Control::Done(ack)) = parse(&bytes) else { panic!() };
        assert_eq!(ack.errno, Some(Errno::ENODEV));
    }

    /// An error as the kernel writes it: `echo` bytes of the request, including its header.
    fn error(flags: u16, echo: &[u8]) -> Vec<u8> {
        datagram(|w| {
            w.message(NLMSG_ERROR, flags, 1, 1)?;
            w.header(&(-Errno::EINVAL.0).to_ne_bytes())?;
            w.header(echo)?;
            w.string(NLMSGERR_ATTR_MSG, "words")?;
            w.u32(NLMSGERR_ATTR_OFFS, 24)?;
            w.bytes(4, &[1, 2, 3])?;
            w.u32(NLMSGERR_ATTR_MISS_TYPE, 3)?;
            w.u32(NLMSGERR_ATTR_MISS_NEST, 20)
        })
    }

    fn request(len: u32) -> Vec<u8> {
        let mut bytes = vec![0xee; usize::try_from(len).unwrap().next_multiple_of(4)];
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes
    }

    #[test]
    fn words_are_found_behind_any_echo() {
        let ext = ExtAck {
            message: Some("words"),
            offset: Some(24),
            missing_type: Some(3),
            missing_nest: Some(20),
        };
        let ack = Ack { errno: Some(Errno::EINVAL), ext };
        let capped = error(NLM_F_CAPPED | NLM_F_ACK_TLVS, &request(400)[..16]);
        assert_eq!(parse(&capped), Ok(Control::Ack(ack)));
        for len in [16, 17, 20, 39] {
            let whole = error(NLM_F_ACK_TLVS, &request(len));
            assert_eq!(parse(&whole), Ok(Control::Ack(ack)), "{len}");
        }
        // Without the flag, the rest is not an explanation.
        let silent = error(NLM_F_CAPPED, &request(16));
        let ack = Ack { errno: Some(Errno::EINVAL), ext: ExtAck::default() };
        assert_eq!(parse(&silent), Ok(Control::Ack(ack)));
    }

    #[test]
    fn an_echo_without_end_leaves_the_error() {
        for len in [0, 15, 4000, u32::MAX] {
            let mut echo = request(16);
            echo[..4].copy_from_slice(&len.to_ne_bytes());
            let bytes = error(NLM_F_ACK_TLVS, &echo);
            let Ok(Control::Ack(ack)) = parse(&bytes) else { panic!() };
            assert_eq!(ack.errno, Some(Errno::EINVAL), "{len}");
        }
    }

    #[test]
    fn done_carries_an_error_and_words() {
        let bytes = datagram(|w| {
            w.message(NLMSG_DONE, NLM_F_ACK_TLVS, 1, 1)?;
            w.header(&(-Errno::EMSGSIZE.0).to_ne_bytes())?;
            w.string(NLMSGERR_ATTR_MSG, "too long")
        });
        let Ok(Control::Done(ack)) = parse(&bytes) else { panic!() };
        assert_eq!((ack.errno, ack.ext.message), (Some(Errno::EMSGSIZE), Some("too long")));
    }

    #[test]
    fn short_control_messages() {
        let message = |ty, payload: &[u8]| {
            datagram(|w| {
                w.message(ty, 0, 1, 1)?;
                w.header(payload)
            })
        };
        assert_eq!(parse(&message(NLMSG_ERROR, &[])), Err(Malformed));
        assert_eq!(parse(&message(NLMSG_ERROR, &[0; 16])), Err(Malformed));
        assert_eq!(parse(&message(NLMSG_ERROR, &[0; 20])), Ok(Control::Ack(Ack::default())));
        assert_eq!(parse(&message(NLMSG_DONE, &[])), Ok(Control::Done(Ack::default())));
        assert_eq!(parse(&message(crate::netlink::NLMSG_NOOP, &[])), Ok(Control::Noop));
        assert_eq!(parse(&message(9, &[])), Ok(Control::Noop));
        assert_eq!(parse(&message(NLMSG_OVERRUN, &[])), Ok(Control::Overrun));
        assert_eq!(parse(&message(NLMSG_MIN_TYPE, &[])), Ok(Control::Data));
    }
}
