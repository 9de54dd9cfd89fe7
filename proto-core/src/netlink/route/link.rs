//! Network interfaces: find, list, create and remove them, set them up and down, set their MTU.
//!
//! Sources: `linux/rtnetlink.h` (`struct ifinfomsg`), `linux/if_link.h`, `linux/if.h`.

use core::str;

use super::{AF_UNSPEC, CHANGE, LIST};
use crate::ifname::{IFNAME_MAX, IfName};
use crate::ip::AF_INET;
use crate::netlink::read::{
    Attribute, AttributeError, Attributes, Fields, Message, ParseError, Wrong,
};
use crate::netlink::{Full, NLM_F_CREATE, NLM_F_EXCL, Writer};

/// The type of a message that adds or reports a link.
pub const RTM_NEWLINK: u16 = 16;
/// The type of a message that removes a link.
pub const RTM_DELLINK: u16 = 17;
/// The type of a request for a link.
pub const RTM_GETLINK: u16 = 18;
/// The type of a message that changes a link.
pub const RTM_SETLINK: u16 = 19;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INET_CONF: u16 = 1;
/// `linux/ip.h`: the number of a setting of an interface.
const IPV4_DEVCONF_PROMOTE_SECONDARIES: u16 = 20;

/// Leaves out the counters, which are half of a link's message.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// `ifi_flags`: the interface is administratively up.
pub const IFF_UP: u32 = 1;
/// `linux/if_arp.h`: the `ifi_type` of Ethernet and Wi-Fi interfaces, and of programs' imitations of them.
const ARPHRD_ETHER: u16 = 1;
/// The kind of a port of a switch, which is hardware although it has a kind.
const KIND_DSA: &str = "dsa";
/// The kind of a WireGuard interface.
pub const KIND_WIREGUARD: &str = "wireguard";

/// The longest alias in bytes (`linux/if.h`: `IFALIASZ`, minus the NUL).
pub const ALIAS_MAX: usize = 255;

/// One interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Link<'b> {
    /// `ifi_index`.
    pub index: u32,
    /// `ifi_flags`, [`IFF_UP`] and others.
    pub flags: u32,
    /// `IFLA_IFNAME`.
    pub name: IfName,
    /// `IFLA_MTU`, in bytes.
    pub mtu: u32,
    /// `IFLA_INFO_KIND`: the driver, if interfaces of this driver can be created on request.
    pub kind: Option<&'b str>,
    /// `IFLA_IFALIAS`: a text of at most [`ALIAS_MAX`] bytes that programs and administrators can
    /// set. Empty if there is none.
    pub alias: &'b [u8],
    /// Whether secondary IPv4 addresses survive the removal of their network's primary address.
    pub promote_secondaries: bool,
}

impl<'b> Link<'b> {
    /// Whether `wg` would treat it as a WireGuard interface.
    #[must_use]
    pub fn is_wireguard(&self) -> bool {
        self.kind == Some(KIND_WIREGUARD)
    }

    /// Returns `true` if the link is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// Reads an `RTM_NEWLINK`. A name that [`IfName`] refuses is [`Wrong::Value`]: in a list, skip
    /// that interface.
    ///
    /// # Errors
    /// [`ParseError`] for a malformed message.
    pub fn parse(message: &Message<'b>) -> Result<Self, ParseError> {
        if message.ty == RTM_NEWLINK {
            Self::read(message)
        } else {
            Err(ParseError::Type(message.ty))
        }
    }

    /// Reads a message of a type that was checked.
    pub(super) fn read(message: &Message<'b>) -> Result<Self, ParseError> {
        let (header, attributes) = message.split::<16>()?;
        let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *header;
        let (mut name, mut mtu, mut kind, mut promotes, mut alias) =
            (None, 0, None, false, &[][..]);
        let mut fields = Fields::new(attributes);
        while let Some(ty) = fields.advance() {
            match ty {
                IFLA_IFNAME => name = fields.name(),
                IFLA_MTU => mtu = fields.u32(),
                IFLA_IFALIAS => alias = fields.text(),
                IFLA_AF_SPEC => promotes = promotes_secondaries(fields.nested()),
                IFLA_LINKINFO => {
                    let mut info = Fields::new(fields.nested());
                    while let Some(ty) = info.advance() {
                        if ty == IFLA_INFO_KIND {
                            kind = info.str();
                        }
                    }
                    fields.nest(info);
                }
                _ => {}
            }
        }
        fields.end()?;
        Ok(Self {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            name: name.ok_or(AttributeError { ty: IFLA_IFNAME, wrong: Wrong::Missing })?,
            mtu,
            kind,
            alias,
            promote_secondaries: promotes,
        })
    }
}

fn find<'b>(attributes: Attributes<'b>, ty: u16) -> Option<Attribute<'b>> {
    attributes.flatten().find(|attribute| attribute.ty == ty)
}

/// The name of a WireGuard interface whose name is not UTF-8, for display: `?` stands for each byte
/// that is not ASCII. No request can name this interface. `None` for another interface, or a name
/// that cannot be shown.
#[must_use]
pub fn name_to_show(message: &Message<'_>) -> Option<IfName> {
    let (_, attributes) = message.split::<16>().ok()?;
    let info = find(attributes.clone(), IFLA_LINKINFO)?;
    if find(info.nested(), IFLA_INFO_KIND)?.str() != Ok(KIND_WIREGUARD) {
        return None;
    }
    let mut name = [0; IFNAME_MAX];
    let payload = find(attributes, IFLA_IFNAME)?.payload;
    let bytes = payload.strip_suffix(&[0]).unwrap_or(payload);
    let name = name.get_mut(..bytes.len())?;
    for (to, from) in name.iter_mut().zip(bytes) {
        *to = if from.is_ascii() { *from } else { b'?' };
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

/// The MAC address of a device's own Ethernet or Wi-Fi interface; `None` for every other link. Links that programs create
/// have a kind, such as `bridge`.
#[must_use]
pub fn hardware_address(message: &Message<'_>) -> Option<[u8; 6]> {
    let (header, attributes) = message.split::<16>().ok()?;
    let [_, _, t0, t1, ..] = *header;
    let info = find(attributes.clone(), IFLA_LINKINFO);
    let kind = info.and_then(|info| find(info.nested(), IFLA_INFO_KIND));
    if u16::from_ne_bytes([t0, t1]) != ARPHRD_ETHER
        || kind.is_some_and(|kind| kind.str() != Ok(KIND_DSA))
    {
        return None;
    }
    find(attributes, IFLA_ADDRESS)?.array().ok().filter(|address| *address != [0; 6])
}

/// Writes the request for all interfaces. Expects a dump.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn list(buf: &mut [u8], seq: u32) -> Result<&[u8], Full> {
    let mut writer = start(buf, RTM_GETLINK, LIST, seq, 0, None)?;
    writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)?;
    Ok(writer.finish())
}

/// Writes the request for the interface called `name`. Expects a reply; `ENODEV` if it does not
/// exist.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn get(buf: &mut [u8], seq: u32, name: IfName) -> Result<&[u8], Full> {
    let mut writer = start(buf, RTM_GETLINK, CHANGE, seq, 0, None)?;
    writer.string(IFLA_IFNAME, name.as_str())?;
    writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)?;
    Ok(writer.finish())
}

/// Writes the request to create an interface of a kind, such as [`KIND_WIREGUARD`]. Expects an
/// acknowledgement; `EEXIST` if the name is in use, `EOPNOTSUPP` if the kernel does not know the
/// kind.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn create<'b>(buf: &'b mut [u8], seq: u32, name: IfName, kind: &str) -> Result<&'b [u8], Full> {
    create_at(buf, seq, name, kind, 0)
}

/// As [`create`], with an index for the interface; 0 lets the kernel choose. Also `EBUSY` or
/// `EEXIST` if the index is in use.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn create_at<'b>(
    buf: &'b mut [u8],
    seq: u32,
    name: IfName,
    kind: &str,
    index: u32,
) -> Result<&'b [u8], Full> {
    let flags = CHANGE | NLM_F_CREATE | NLM_F_EXCL;
    let mut writer = start(buf, RTM_NEWLINK, flags, seq, index, None)?;
    writer.string(IFLA_IFNAME, name.as_str())?;
    writer.nest(IFLA_LINKINFO, |info| info.string(IFLA_INFO_KIND, kind))?;
    Ok(writer.finish())
}

/// Writes the request to remove the interface. Expects an acknowledgement; `ENODEV` if it does not
/// exist.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn delete(buf: &mut [u8], seq: u32, index: u32) -> Result<&[u8], Full> {
    Ok(start(buf, RTM_DELLINK, CHANGE, seq, index, None)?.finish())
}

/// Writes the request to set the interface up or down. Expects an acknowledgement.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn set_up(buf: &mut [u8], seq: u32, index: u32, up: bool) -> Result<&[u8], Full> {
    Ok(start(buf, RTM_SETLINK, CHANGE, seq, index, Some(up))?.finish())
}

/// Writes the request to set the MTU, in bytes. Expects an acknowledgement.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn set_mtu(buf: &mut [u8], seq: u32, index: u32, mtu: u32) -> Result<&[u8], Full> {
    let mut writer = start(buf, RTM_SETLINK, CHANGE, seq, index, None)?;
    writer.u32(IFLA_MTU, mtu)?;
    Ok(writer.finish())
}

/// Writes the request to set the alias of the interface; an empty text removes it. Expects an acknowledgement; `EINVAL`
/// for more than [`ALIAS_MAX`] bytes.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn set_alias<'b>(
    buf: &'b mut [u8],
    seq: u32,
    index: u32,
    alias: &[u8],
) -> Result<&'b [u8], Full> {
    let mut writer = start(buf, RTM_SETLINK, CHANGE, seq, index, None)?;
    writer.bytes(IFLA_IFALIAS, alias)?;
    Ok(writer.finish())
}

/// The setting in `IFLA_AF_SPEC`, where the kernel sends all IPv4 settings as an array.
fn promotes_secondaries(families: Attributes<'_>) -> bool {
    let inet = find(families, u16::from(AF_INET));
    let settings = inet.and_then(|inet| find(inet.nested(), IFLA_INET_CONF));
    let at = usize::from(IPV4_DEVCONF_PROMOTE_SECONDARIES).saturating_sub(1);
    settings
        .and_then(|settings| settings.payload.chunks_exact(4).nth(at))
        .is_some_and(|value| value != [0; 4])
}

/// Writes the request to keep the secondary IPv4 addresses of an interface when the primary address of their network is
/// removed, or to remove them too (`net.ipv4.conf.IFACE.promote_secondaries`). Expects an acknowledgement.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn set_promote_secondaries(
    buf: &mut [u8],
    seq: u32,
    index: u32,
    on: bool,
) -> Result<&[u8], Full> {
    let mut writer = start(buf, RTM_SETLINK, CHANGE, seq, index, None)?;
    writer.nest(IFLA_AF_SPEC, |families| {
        families.nest(u16::from(AF_INET), |inet| {
            inet.nest(IFLA_INET_CONF, |settings| {
                settings.u32(IPV4_DEVCONF_PROMOTE_SECONDARIES, on.into())
            })
        })
    })?;
    Ok(writer.finish())
}

/// A message with a `struct ifinfomsg`.
fn start(
    buf: &mut [u8],
    ty: u16,
    flags: u16,
    seq: u32,
    index: u32,
    up: Option<bool>,
) -> Result<Writer<'_>, Full> {
    let mut writer = Writer::new(buf);
    writer.message(ty, flags, seq, 0)?;
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    let value = if up == Some(true) { IFF_UP } else { 0 };
    let change = if up.is_some() { IFF_UP } else { 0 };
    let [f0, f1, f2, f3] = value.to_ne_bytes();
    let [c0, c1, c2, c3] = change.to_ne_bytes();
    writer
        .header(&[AF_UNSPEC, 0, 0, 0, i0, i1, i2, i3, f0, f1, f2, f3, c0, c1, c2, c3])
        .map(|()| writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::fixture::{datagram, messages};

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    fn link(put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
        datagram(|w| {
            w.message(RTM_NEWLINK, 2, 1, 1)?;
            let index = 7u32.to_ne_bytes();
            let flags = 0x1_0001u32.to_ne_bytes();
            w.header(&[[0; 4], index, flags, [0; 4]].concat())?;
            put(w)
        })
    }

    #[test]
    fn a_name_that_is_no_text_can_be_shown() {
        let named = |name: &[u8], kind: &str| {
            let bytes = link(|w| {
                w.bytes(IFLA_IFNAME, name)?;
                w.nest(IFLA_LINKINFO, |info| info.string(IFLA_INFO_KIND, kind))
            });
            let message = messages(&bytes)[0];
            assert!(Link::parse(&message).is_err());
            name_to_show(&message)
        };
        assert_eq!(named(b"w\xff\xfe0\0", "wireguard"), Some(name("w??0")));
        assert_eq!(named(b"\xff23456789012345\0", "wireguard"), Some(name("?23456789012345")));
        assert_eq!(named(b"\xff234567890123456\0", "wireguard"), None);
        assert_eq!(named(b"w\xff\0", "dummy"), None);
    }

    #[test]
    fn only_hardware_has_a_hardware_address() {
        let of = |ty: u16, kind: Option<&str>, address: &[u8]| {
            let bytes = datagram(|w| {
                w.message(RTM_NEWLINK, 2, 1, 1)?;
                w.header(&[&[0; 2][..], &ty.to_ne_bytes(), &[0; 12]].concat())?;
                w.bytes(IFLA_ADDRESS, address)?;
                kind.map_or(Ok(()), |kind| {
                    w.nest(IFLA_LINKINFO, |info| info.string(IFLA_INFO_KIND, kind))
                })
            });
            hardware_address(&messages(&bytes)[0])
        };
        let mac = [0x94, 0x83, 0xc4, 1, 2, 3];
        assert_eq!(of(ARPHRD_ETHER, None, &mac), Some(mac));
        assert_eq!(of(ARPHRD_ETHER, Some("dsa"), &mac), Some(mac));
        assert_eq!(of(ARPHRD_ETHER, Some("bridge"), &mac), None);
        // The loopback interface, and an interface without an address of its own.
        assert_eq!(of(772, None, &mac), None);
        assert_eq!(of(ARPHRD_ETHER, None, &[0; 6]), None);
        assert_eq!(of(ARPHRD_ETHER, None, &mac[..4]), None);
    }

    #[test]
    fn reads_a_wireguard_link() {
        let bytes = link(|w| {
            w.string(IFLA_IFNAME, "wg0")?;
            w.u32(IFLA_MTU, 1420)?;
            w.u8(16, 2)?;
            // Kernels do not set NLA_F_NESTED here.
            let mut info = [0; 32];
            let mut inner = Writer::new(&mut info);
            inner.string(IFLA_INFO_KIND, "wireguard")?;
            let info = inner.finish();
            w.bytes(IFLA_LINKINFO, info)
        });
        let message = messages(&bytes)[0];
        let link = Link::parse(&message).unwrap();
        let kind = Some(KIND_WIREGUARD);
        let expected = Link {
            index: 7,
            flags: 0x1_0001,
            name: name("wg0"),
            mtu: 1420,
            kind,
            alias: &[],
            promote_secondaries: false,
        };
        assert_eq!(link, expected);
        assert!(link.is_wireguard() && link.is_up());
    }

    #[test]
    fn other_kinds_and_none_are_not_wireguard() {
        for kind in [None, Some("wireguar"), Some("wireguard2"), Some("")] {
            let bytes = link(|w| {
                w.string(IFLA_IFNAME, "eth0")?;
                w.nest(IFLA_LINKINFO, |info| match kind {
                    Some(kind) => info.string(IFLA_INFO_KIND, kind),
                    None => Ok(()),
                })
            });
            let message = messages(&bytes)[0];
            let link = Link::parse(&message).unwrap();
            assert_eq!((link.kind, link.is_wireguard()), (kind, false));
        }
    }

    /// wireguard-tools ignores the results of its callbacks for nested attributes.
    #[test]
    fn an_error_within_a_nest_was_swallowed() {
        let bytes = link(|w| {
            w.string(IFLA_IFNAME, "wg0")?;
            w.bytes(IFLA_LINKINFO, &[3, 0, 0, 0])
        });
        assert_eq!(Link::parse(&messages(&bytes)[0]), Err(ParseError::Malformed));
    }

    #[test]
    fn what_cannot_be_a_link_is_an_error() {
        let error = |wrong| Err(ParseError::Attribute(AttributeError { ty: IFLA_IFNAME, wrong }));
        let parse = |bytes: &[u8]| Link::parse(&messages(bytes)[0]).map(|link| link.index);
        assert_eq!(parse(&link(|_| Ok(()))), error(Wrong::Missing));
        assert_eq!(parse(&link(|w| w.string(IFLA_IFNAME, "a b"))), error(Wrong::Value));
        assert_eq!(parse(&link(|w| w.bytes(IFLA_IFNAME, &[0xff, 0]))), error(Wrong::Value));
        let short = datagram(|w| {
            w.message(RTM_NEWLINK, 0, 0, 0)?;
            w.header(&[0; 12])
        });
        assert_eq!(parse(&short), Err(ParseError::Header));
        assert_eq!(parse(&datagram(|w| w.message(20, 0, 0, 0))), Err(ParseError::Type(20)));
    }

    #[test]
    fn requests() {
        let mut buf = [0xaa; 128];
        let fields = |request: &[u8]| {
            let message = messages(request)[0];
            let (header, attributes) = message.split::<16>().unwrap();
            let word = |at: usize| u32::from_ne_bytes(*header[at..].first_chunk().unwrap());
            let types: Vec<_> = attributes.map(|a| a.unwrap().ty).collect();
            (message.ty, message.flags, [word(0), word(4), word(8), word(12)], types)
        };
        assert_eq!(fields(list(&mut buf, 1).unwrap()), (18, 0x305, [0; 4], vec![29]));
        assert_eq!(fields(get(&mut buf, 1, name("wg0")).unwrap()), (18, 5, [0; 4], vec![3, 29]));
        let made = create(&mut buf, 1, name("wg0"), KIND_WIREGUARD).unwrap();
        assert_eq!(fields(made), (16, 0x605, [0; 4], vec![3, 18]));
        assert_eq!(fields(delete(&mut buf, 1, 7).unwrap()), (17, 5, [0, 7, 0, 0], vec![]));
        assert_eq!(fields(set_up(&mut buf, 1, 7, true).unwrap()), (19, 5, [0, 7, 1, 1], vec![]));
        assert_eq!(fields(set_up(&mut buf, 1, 7, false).unwrap()), (19, 5, [0, 7, 0, 1], vec![]));
        assert_eq!(fields(set_mtu(&mut buf, 1, 7, 1420).unwrap()), (19, 5, [0, 7, 0, 0], vec![4]));
        assert_eq!(list(&mut [0; 32], 1), Err(Full));
    }
}
