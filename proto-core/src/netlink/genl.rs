//! Generic netlink: its header, and the look-up of a family's number by name.
//!
//! Source: `linux/genetlink.h`.
//!
//! Not here: the messages of a family ([`wireguard`](super::wireguard)).

use core::fmt;

use super::exchange::ExchangeError;
use super::read::{Attributes, Fields, Message, ParseError, Wrong};
use super::{
    AttributeError, Errno, Full, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_MIN_TYPE, Writer,
};

/// The family of families: its messages have this type.
pub const GENL_ID_CTRL: u16 = NLMSG_MIN_TYPE;
/// The command of an answer about a family.
pub const CTRL_CMD_NEWFAMILY: u8 = 1;
/// The command that requests a family.
pub const CTRL_CMD_GETFAMILY: u8 = 3;
/// The number of a family, u16.
pub const CTRL_ATTR_FAMILY_ID: u16 = 1;
/// The name of a family, text.
pub const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// The version of a family, u32.
pub const CTRL_ATTR_VERSION: u16 = 3;
/// The highest attribute type of a family at the top level of its messages, u32.
pub const CTRL_ATTR_MAXATTR: u16 = 5;

/// The version of the control family's own messages.
const CTRL_VERSION: u8 = 1;

/// `struct genlmsghdr` without its reserved bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GenlHeader {
    /// Command number, defined by the family.
    pub cmd: u8,
    /// Version of the family.
    pub version: u8,
}

impl GenlHeader {
    /// Writes the header after the message header.
    ///
    /// # Errors
    /// [`Full`] if there is no room.
    pub fn write(self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.header(&[self.cmd, self.version, 0, 0])
    }

    /// Splits the header off a message.
    ///
    /// # Errors
    /// [`ParseError`] for a message without the header.
    pub fn parse<'b>(message: &Message<'b>) -> Result<(Self, Attributes<'b>), ParseError> {
        let ([cmd, version, ..], attributes) = message.split::<4>()?;
        Ok((Self { cmd: *cmd, version: *version }, attributes))
    }
}

/// A generic netlink family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// The type of the family's messages.
    pub id: u16,
    /// Its version; `None` if the kernel did not send one.
    pub version: Option<u32>,
    /// The highest attribute type of its messages; `None` if the kernel did not send one.
    pub maxattr: Option<u32>,
}

impl Family {
    /// Writes the request for the family called `name`. Expects a reply.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn get<'b>(buf: &'b mut [u8], seq: u32, name: &str) -> Result<&'b [u8], Full> {
        let mut writer = Writer::new(buf);
        writer.message(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, seq, 0)?;
        GenlHeader { cmd: CTRL_CMD_GETFAMILY, version: CTRL_VERSION }.write(&mut writer)?;
        writer.string(CTRL_ATTR_FAMILY_NAME, name)?;
        Ok(writer.finish())
    }

    /// Writes the request for the list of all families. Unlike [`Family::get`] it never makes the kernel load
    /// a module.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn list(buf: &mut [u8], seq: u32) -> Result<&[u8], Full> {
        let mut writer = Writer::new(buf);
        writer.message(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_DUMP, seq, 0)?;
        GenlHeader { cmd: CTRL_CMD_GETFAMILY, version: CTRL_VERSION }.write(&mut writer)?;
        Ok(writer.finish())
    }

    /// Reads a family of the list; `None` unless it is the one called `name`.
    #[must_use]
    pub fn named(message: &Message<'_>, name: &str) -> Option<Self> {
        let (_, mut attributes) = GenlHeader::parse(message).ok()?;
        let named = attributes.find_map(|attribute| {
            attribute.ok().filter(|attribute| attribute.ty == CTRL_ATTR_FAMILY_NAME)
        })?;
        let is_name = named.str().is_ok_and(|found| found == name);
        Self::parse(message).ok().filter(|_| is_name)
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// [`ParseError`] for a malformed answer.
    pub fn parse(message: &Message<'_>) -> Result<Self, ParseError> {
        let (header, attributes) = GenlHeader::parse(message)?;
        if message.ty != GENL_ID_CTRL || header.cmd != CTRL_CMD_NEWFAMILY {
            return Err(ParseError::Type(message.ty));
        }
        let mut id = None;
        let mut family = Self { id: 0, version: None, maxattr: None };
        let mut fields = Fields::new(attributes);
        while let Some(ty) = fields.advance() {
            match ty {
                CTRL_ATTR_FAMILY_ID => id = Some(fields.u16()),
                CTRL_ATTR_VERSION => family.version = Some(fields.u32()),
                CTRL_ATTR_MAXATTR => family.maxattr = Some(fields.u32()),
                _ => {}
            }
        }
        fields.end()?;
        // A family in the range of netlink's own messages could not be distinguished from them.
        match id {
            Some(id) if id >= NLMSG_MIN_TYPE => Ok(Self { id, ..family }),
            Some(_) => Err(AttributeError { ty: CTRL_ATTR_FAMILY_ID, wrong: Wrong::Value }.into()),
            None => Err(AttributeError { ty: CTRL_ATTR_FAMILY_ID, wrong: Wrong::Missing }.into()),
        }
    }
}

/// The reason why the WireGuard family was not found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FamilyError {
    /// The kernel has no such family: the module is not loaded, or does not exist.
    NoWireGuard,
    /// The request failed.
    Exchange(ExchangeError),
    /// The answer is malformed.
    Parse(ParseError),
}

impl From<ExchangeError> for FamilyError {
    fn from(error: ExchangeError) -> Self {
        if error.errno() == Some(Errno::ENOENT) { Self::NoWireGuard } else { Self::Exchange(error) }
    }
}

impl From<ParseError> for FamilyError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl fmt::Display for FamilyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWireGuard => f.write_str("this kernel has no WireGuard"),
            Self::Exchange(error) => fmt::Display::fmt(error, f),
            Self::Parse(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for FamilyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::exchange::KernelError;
    use crate::netlink::fixture::{datagram, messages};

    #[test]
    fn a_family_is_found_in_the_list_by_its_whole_name() {
        let mut buf = [0; 64];
        let request = messages(Family::list(&mut buf, 5).unwrap())[0];
        assert_eq!((request.ty, request.flags, request.seq), (16, 0x301, 5));
        let mut buf = [0; 128];
        let mut writer = Writer::new(&mut buf);
        writer.message(GENL_ID_CTRL, 0, 5, 0).unwrap();
        GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(&mut writer).unwrap();
        writer.string(CTRL_ATTR_FAMILY_NAME, "wireguard").unwrap();
        writer.u16(CTRL_ATTR_FAMILY_ID, 31).unwrap();
        let message = messages(writer.finish())[0];
        assert_eq!(Family::named(&message, "wireguard").map(|family| family.id), Some(31));
        assert_eq!(Family::named(&message, "wire"), None);
        assert_eq!(Family::named(&message, "wireguards"), None);
    }

    #[test]
    fn asks_by_name() {
        let mut buf = [0xaa; 64];
        let request = messages(Family::get(&mut buf, 5, "wireguard").unwrap())[0];
        assert_eq!((request.ty, request.flags, request.seq), (16, 5, 5));
        let (header, mut attributes) = GenlHeader::parse(&request).unwrap();
        assert_eq!(header, GenlHeader { cmd: 3, version: 1 });
        let name = attributes.next().unwrap().unwrap();
        assert_eq!((name.ty, name.payload), (2, &b"wireguard\0"[..]));
        assert_eq!(Family::get(&mut [0; 30], 5, "wireguard"), Err(Full));
    }

    fn answer(id: Option<u16>) -> Result<Family, ParseError> {
        let bytes = datagram(|w| {
            w.message(GENL_ID_CTRL, 0, 5, 1)?;
            GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(w)?;
            w.string(CTRL_ATTR_FAMILY_NAME, "wireguard")?;
            if let Some(id) = id {
                w.u16(CTRL_ATTR_FAMILY_ID, id)?;
            }
            w.u32(CTRL_ATTR_VERSION, 1)?;
            w.u32(4, 0)?;
            w.u32(CTRL_ATTR_MAXATTR, 8)?;
            // Newer than libmnl's copy in `wg`, which fails on unknown types.
            w.u32(99, 0)
        });
        Family::parse(&messages(&bytes)[0])
    }

    #[test]
    fn reads_the_number() {
        let family = Family { id: 28, version: Some(1), maxattr: Some(8) };
        assert_eq!(answer(Some(28)), Ok(family));
        let error = |wrong| Err(ParseError::Attribute(AttributeError { ty: 1, wrong }));
        assert_eq!(answer(None), error(Wrong::Missing));
        assert_eq!(answer(Some(3)), error(Wrong::Value));
    }

    #[test]
    fn no_family_is_no_wireguard() {
        let error = |errno| ExchangeError::Kernel(KernelError::new(errno, &Default::default()));
        let none = FamilyError::from(error(Errno::ENOENT));
        assert_eq!(none.to_string(), "this kernel has no WireGuard");
        assert_ne!(FamilyError::from(error(Errno::EPERM)), FamilyError::NoWireGuard);
        assert_ne!(FamilyError::from(ExchangeError::NoReply), FamilyError::NoWireGuard);
    }
}
