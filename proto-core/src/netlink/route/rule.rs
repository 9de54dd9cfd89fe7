//! Policy rules, which select the routing table of a packet.
//!
//! Source: `linux/fib_rules.h` (`struct fib_rule_hdr`, `FRA_*`).

use super::{CHANGE, LIST};
use crate::netlink::read::{Fields, Message, ParseError};
use crate::netlink::{Full, NLM_F_CREATE, NLM_F_EXCL, Writer};

/// The type of a message that adds or reports a rule.
pub const RTM_NEWRULE: u16 = 32;
/// The type of a message that removes a rule.
pub const RTM_DELRULE: u16 = 33;
/// The type of a request for a rule.
pub const RTM_GETRULE: u16 = 34;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
/// The first selector that was added after `FRA_PROTOCOL`: ports, DSCP, flow label and so on.
const FRA_IP_PROTO: u16 = 22;

/// `flags`: the rule is for packets that do not match.
const FIB_RULE_INVERT: u32 = 2;
/// `action`: use a table.
const FR_ACT_TO_TBL: u8 = 1;
/// The kernel's value for a suppressor that is not set: minus one.
const UNSET: u32 = u32::MAX;

/// A rule that selects a table. A rule that was added is read back equal, unless the kernel chose
/// the priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `family`: [`AF_INET`](crate::ip::AF_INET) or [`AF_INET6`](crate::ip::AF_INET6).
    pub family: u8,
    /// `FRA_PRIORITY`: the smallest comes first. Without a priority the kernel chooses one just
    /// before the existing rules, and accepts the same rule twice.
    pub priority: Option<u32>,
    /// `FRA_TABLE` or `table`: the table. 0 for another action.
    pub table: u32,
    /// `FRA_FWMARK`: packets with this mark.
    pub fwmark: Option<u32>,
    /// `FRA_FWMASK`: the bits of the mark that are compared. `None` compares all bits, except for a
    /// mark of 0, which then matches any mark: a rule for packets without a mark has a mark of 0
    /// and a mask.
    pub fwmask: Option<u32>,
    /// `FIB_RULE_INVERT`: packets that do *not* match.
    pub invert: bool,
    /// `FRA_SUPPRESS_PREFIXLEN`: routes with this prefix length or a shorter one are ignored.
    pub suppress_prefixlen: Option<u32>,
    /// `FRA_PROTOCOL`: the origin of the rule, numbered like `rtm_protocol`; 0 is unspecified.
    /// Kernels before 4.17 do not keep it.
    pub protocol: u8,
    /// Only when read: the rule has selectors that have no field here, or another action than
    /// selecting a table. Writing it would lose these, so such a rule is never one of ours.
    pub other: bool,
}

impl Rule {
    /// A rule for all packets of a family.
    #[must_use]
    pub const fn new(family: u8, table: u32) -> Self {
        Self {
            family,
            priority: None,
            table,
            fwmark: None,
            fwmask: None,
            invert: false,
            suppress_prefixlen: None,
            protocol: 0,
            other: false,
        }
    }

    /// Reads an `RTM_NEWRULE`.
    ///
    /// # Errors
    /// [`ParseError`] for a malformed message.
    pub fn parse(message: &Message<'_>) -> Result<Self, ParseError> {
        if message.ty == RTM_NEWRULE {
            Self::read(message)
        } else {
            Err(ParseError::Type(message.ty))
        }
    }

    /// Reads a message of a type that was checked.
    pub(super) fn read(message: &Message<'_>) -> Result<Self, ParseError> {
        let (header, attributes) = message.split::<12>()?;
        let [family, _, _, tos, table, _, _, action, f0, f1, f2, f3] = *header;
        let mut rule = Self::new(family, u32::from(table));
        // The kernel leaves out this attribute when it is zero.
        rule.priority = Some(0);
        rule.invert = u32::from_ne_bytes([f0, f1, f2, f3]) & FIB_RULE_INVERT != 0;
        rule.other = action != FR_ACT_TO_TBL || tos != 0;
        let mut fields = Fields::new(attributes);
        while let Some(ty) = fields.advance() {
            match ty {
                FRA_PRIORITY => rule.priority = Some(fields.u32()),
                FRA_TABLE => rule.table = fields.u32(),
                FRA_FWMARK => rule.fwmark = Some(fields.u32()),
                FRA_FWMASK => rule.fwmask = Some(fields.u32()),
                FRA_PROTOCOL => rule.protocol = fields.u8(),
                FRA_SUPPRESS_PREFIXLEN => {
                    rule.suppress_prefixlen = Some(fields.u32()).filter(|len| *len != UNSET);
                }
                FRA_SUPPRESS_IFGROUP => rule.other |= fields.u32() != UNSET,
                FRA_DST
                | FRA_SRC
                | FRA_IIFNAME
                | FRA_FLOW
                | FRA_TUN_ID
                | FRA_OIFNAME
                | FRA_L3MDEV
                | FRA_UID_RANGE
                | FRA_IP_PROTO.. => rule.other = true,
                _ => {}
            }
        }
        fields.end()?;
        match rule.fwmark {
            Some(0) => {}
            Some(_) => rule.fwmask = rule.fwmask.filter(|mask| *mask != u32::MAX),
            // The kernel leaves out the mark when it is 0, and then the mask alone selects packets
            // without a mark.
            None => rule.fwmark = rule.fwmask.map(|_| 0),
        }
        Ok(rule)
    }

    /// Writes the request to add it. Expects an acknowledgement; `EEXIST` if an equal rule with the
    /// same priority exists.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn add<'b>(&self, buf: &'b mut [u8], seq: u32) -> Result<&'b [u8], Full> {
        self.write(buf, RTM_NEWRULE, CHANGE | NLM_F_CREATE | NLM_F_EXCL, seq)
    }

    /// Writes the request to remove the first matching rule; fields that are not set match any
    /// value. Expects an acknowledgement; `ENOENT` if no rule matches.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn delete<'b>(&self, buf: &'b mut [u8], seq: u32) -> Result<&'b [u8], Full> {
        self.write(buf, RTM_DELRULE, CHANGE, seq)
    }

    fn write<'b>(
        &self,
        buf: &'b mut [u8],
        ty: u16,
        flags: u16,
        seq: u32,
    ) -> Result<&'b [u8], Full> {
        let mut writer = Writer::new(buf);
        writer.message(ty, flags, seq, 0)?;
        let short = u8::try_from(self.table);
        let invert = if self.invert { FIB_RULE_INVERT } else { 0 };
        writer.header(&rule_header(self.family, short.unwrap_or(0), FR_ACT_TO_TBL, invert))?;
        let table = short.is_err().then_some(self.table);
        for (ty, value) in [
            (FRA_PRIORITY, self.priority),
            (FRA_FWMARK, self.fwmark),
            (FRA_FWMASK, self.fwmask),
            (FRA_TABLE, table),
            (FRA_SUPPRESS_PREFIXLEN, self.suppress_prefixlen),
        ] {
            if let Some(value) = value {
                writer.u32(ty, value)?;
            }
        }
        if self.protocol != 0 {
            writer.u8(FRA_PROTOCOL, self.protocol)?;
        }
        Ok(writer.finish())
    }
}

/// Writes the request for the rules of a family. Expects a dump.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn list(buf: &mut [u8], seq: u32, family: u8) -> Result<&[u8], Full> {
    let mut writer = Writer::new(buf);
    writer.message(RTM_GETRULE, LIST, seq, 0)?;
    writer.header(&rule_header(family, 0, 0, 0))?;
    Ok(writer.finish())
}

/// A `struct fib_rule_hdr`.
const fn rule_header(family: u8, table: u8, action: u8, flags: u32) -> [u8; 12] {
    let [f0, f1, f2, f3] = flags.to_ne_bytes();
    [family, 0, 0, 0, table, 0, 0, action, f0, f1, f2, f3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::{AF_INET, AF_INET6};
    use crate::netlink::fixture::{datagram, messages};

    /// The rules that `wg-quick up` adds for a default route, and the kernel's own rules (Linux
    /// 6.18, x86_64).
    #[cfg(target_endian = "little")]
    #[test]
    fn rules_of_a_real_kernel() {
        let bytes = crate::netlink::fixture::hex(
            "34000000 2000 0200 d3000000 a83f0000 02000000 ff000001 00000000 08000f00 ff000000 \
             08000e00 ffffffff 05001500 02000000 \
             4c000000 2000 0200 d3000000 a83f0000 02000000 fc000001 02000000 08000f00 6cca0000 \
             08000e00 ffffffff 05001500 04000000 08000600 61000000 08000a00 6cca0000 08001000 ffffffff \
             3c000000 2000 0200 d3000000 a83f0000 02000000 fe000001 00000000 08000f00 fe000000 \
             08000e00 00000000 05001500 04000000 08000600 62000000 \
             4c000000 2000 0200 d3000000 a83f0000 02000000 c8000001 00000000 08000f00 c8000000 \
             08000e00 ffffffff 05001500 00000000 08000600 63000000 08000a00 01000000 08001000 ff000000",
        );
        let read: Vec<_> = messages(&bytes).iter().map(|m| Rule::parse(m).unwrap()).collect();
        let new = |priority, table| Rule { priority: Some(priority), ..Rule::new(AF_INET, table) };
        assert_eq!(
            read,
            [
                Rule { protocol: 2, ..new(0, 255) },
                Rule { fwmark: Some(51820), invert: true, protocol: 4, ..new(97, 51820) },
                Rule { suppress_prefixlen: Some(0), protocol: 4, ..new(98, 254) },
                Rule { fwmark: Some(1), fwmask: Some(0xff), ..new(99, 200) },
            ]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buf = [0xaa; 128];
        for (family, table, invert) in [(AF_INET, 254, false), (AF_INET6, 51820, true)] {
            for value in [0, 1, 0x8000_0000] {
                let rule = Rule {
                    priority: Some(value),
                    fwmark: Some(value),
                    fwmask: Some(value),
                    invert,
                    suppress_prefixlen: Some(value),
                    protocol: 4,
                    ..Rule::new(family, table)
                };
                let request = messages(rule.add(&mut buf, 1).unwrap())[0];
                assert_eq!((request.ty, request.flags), (RTM_NEWRULE, 0x605));
                assert_eq!(Rule::parse(&request), Ok(rule));
                let request = messages(rule.delete(&mut buf, 1).unwrap())[0];
                assert_eq!((request.ty, request.flags), (RTM_DELRULE, 5));
            }
        }
        let bare = Rule::new(AF_INET, 254);
        let request = messages(bare.add(&mut buf, 1).unwrap())[0];
        assert_eq!(request.payload, [2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0]);
        let request = messages(list(&mut buf, 1, AF_INET6).unwrap())[0];
        assert_eq!((request.ty, request.flags, request.payload.len()), (RTM_GETRULE, 0x305, 12));
    }

    #[test]
    fn a_mask_alone_selects_packets_without_a_mark() {
        let parse = |mask| {
            let bytes = datagram(|w| {
                w.message(RTM_NEWRULE, 0, 1, 1)?;
                w.header(&rule_header(AF_INET, 254, 1, 0))?;
                w.u32(FRA_FWMASK, mask)
            });
            Rule::parse(&messages(&bytes)[0]).unwrap()
        };
        for mask in [u32::MAX, 0xff] {
            let rule = parse(mask);
            assert_eq!((rule.fwmark, rule.fwmask), (Some(0), Some(mask)));
            let mut buf = [0; 128];
            let request = messages(rule.add(&mut buf, 1).unwrap())[0];
            assert_eq!(Rule::parse(&request), Ok(rule));
        }
    }

    #[test]
    fn rules_with_more_to_them_are_marked() {
        let parse = |action, tos, put: fn(&mut Writer<'_>) -> Result<(), Full>| {
            let bytes = datagram(|w| {
                w.message(RTM_NEWRULE, 0, 1, 1)?;
                w.header(&[2, 0, 0, tos, 254, 0, 0, action, 0, 0, 0, 0])?;
                put(w)
            });
            Rule::parse(&messages(&bytes)[0]).unwrap().other
        };
        assert!(!parse(1, 0, |w| w.u32(FRA_SUPPRESS_IFGROUP, UNSET)));
        assert!(parse(7, 0, |_| Ok(())));
        assert!(parse(1, 8, |_| Ok(())));
        assert!(parse(1, 0, |w| w.be32(FRA_SRC, 1)));
        assert!(parse(1, 0, |w| w.string(FRA_OIFNAME, "eth0")));
        assert!(parse(1, 0, |w| w.u32(23, 1)));
        assert!(parse(1, 0, |w| w.u32(11, 1)));
        assert!(parse(1, 0, |w| w.u32(FRA_SUPPRESS_IFGROUP, 1)));
    }
}
