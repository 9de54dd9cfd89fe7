//! Replaces values that differ in every run by those that the test expects.
//!
//! | value | replaced by |
//! |---|---|
//! | sequence number of every message | 1 |
//! | port of every message that has one | 2 |
//! | number of the family `wireguard` | 0x1234 |
//! | time of the latest handshake, if there was one | 1700000000 s, 123456789 ns |
//! | bytes received and sent, if there were any | 4660 and 22136 |
//!
//! An error repeats the request, whose header is treated in the same way. All other bytes are
//! unchanged, including padding.

use anyhow::{Context, Result, ensure};
use std::ops::Range;

const SEQ: u32 = 1;
const PORT: u32 = 2;
const FAMILY: u16 = 0x1234;
const SECONDS: u64 = 1_700_000_000;
const NANOSECONDS: u64 = 123_456_789;
const RECEIVED: u64 = 4660;
const SENT: u64 = 22136;

// linux/netlink.h, linux/genetlink.h and linux/wireguard.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
const GENL_HEADER: usize = 4;
const GENL_ID_CTRL: u16 = 16;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_A_LAST_HANDSHAKE_TIME: u16 = 6;
const WGPEER_A_RX_BYTES: u16 = 7;
const WGPEER_A_TX_BYTES: u16 = 8;

/// The byte order of the machine that sent the bytes.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Little,
    Big,
}

/// Normalizes the datagrams of one run of `wg`.
pub(super) struct Normal {
    order: Order,
    /// The number of the family `wireguard`, once it was looked up.
    family: Option<u16>,
}

impl Normal {
    pub(super) fn new(order: Order) -> Self {
        Self { order, family: None }
    }

    pub(super) fn datagram(&mut self, bytes: &mut [u8]) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let length = self.u32(bytes, at)? as usize;
            let end = at + length;
            ensure!(length >= NLMSG_HEADER && end <= bytes.len(), "a message of {length} bytes");
            self.message(bytes, at..end)?;
            at = end.next_multiple_of(4);
        }
        Ok(())
    }

    fn message(&mut self, bytes: &mut [u8], message: Range<usize>) -> Result<()> {
        let ty = self.header(bytes, message.start)?;
        let body = message.start + NLMSG_HEADER;
        if ty == NLMSG_ERROR {
            // `struct nlmsgerr`: the error, then the header of the request.
            self.header(bytes, body + 4)?;
        } else if ty == GENL_ID_CTRL {
            for (ty, value) in self.attributes(bytes, body + GENL_HEADER..message.end)? {
                if ty == CTRL_ATTR_FAMILY_ID {
                    self.family = Some(self.u16(bytes, value.start)?);
                    self.put(bytes, value, u64::from(FAMILY));
                    // The type of this message is that of the control family, and is not replaced.
                }
            }
        } else if Some(ty) == self.family {
            self.device(bytes, body + GENL_HEADER..message.end)?;
        }
        Ok(())
    }

    /// Normalizes the header at `at`, and returns the type it had.
    fn header(&self, bytes: &mut [u8], at: usize) -> Result<u16> {
        let ty = self.u16(bytes, at + 4)?;
        if Some(ty) == self.family {
            self.put(bytes, at + 4..at + 6, u64::from(FAMILY));
        }
        self.put(bytes, at + 8..at + 12, u64::from(SEQ));
        if self.u32(bytes, at + 12)? != 0 {
            self.put(bytes, at + 12..at + 16, u64::from(PORT));
        }
        Ok(ty)
    }

    fn device(&self, bytes: &mut [u8], device: Range<usize>) -> Result<()> {
        for (ty, peers) in self.attributes(bytes, device)? {
            if ty != WGDEVICE_A_PEERS {
                continue;
            }
            for (_, peer) in self.attributes(bytes, peers)? {
                for (ty, value) in self.attributes(bytes, peer)? {
                    self.counter(bytes, ty, value);
                }
            }
        }
        Ok(())
    }

    /// Normalizes the attributes that only the kernel writes.
    fn counter(&self, bytes: &mut [u8], ty: u16, value: Range<usize>) {
        if bytes.get(value.clone()).is_none_or(|value| value.iter().all(|byte| *byte == 0)) {
            return;
        }
        match (ty, value.len()) {
            (WGPEER_A_LAST_HANDSHAKE_TIME, 16) => {
                self.put(bytes, value.start..value.start + 8, SECONDS);
                self.put(bytes, value.start + 8..value.end, NANOSECONDS);
            }
            (WGPEER_A_RX_BYTES, 8) => self.put(bytes, value, RECEIVED),
            (WGPEER_A_TX_BYTES, 8) => self.put(bytes, value, SENT),
            _ => {}
        }
    }

    /// The types, without their flags, and the ranges of the values.
    fn attributes(&self, bytes: &[u8], within: Range<usize>) -> Result<Vec<(u16, Range<usize>)>> {
        let mut found = Vec::new();
        let mut at = within.start;
        while at < within.end {
            let length = usize::from(self.u16(bytes, at)?);
            let end = at + length;
            ensure!(
                length >= ATTRIBUTE_HEADER && end <= within.end,
                "an attribute of {length} bytes"
            );
            found.push((self.u16(bytes, at + 2)? & 0x3fff, at + ATTRIBUTE_HEADER..end));
            at = end.next_multiple_of(4);
        }
        Ok(found)
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Result<u16> {
        let bytes =
            *bytes.get(at..).and_then(<[u8]>::first_chunk).context("a message too short")?;
        Ok(match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Result<u32> {
        let bytes =
            *bytes.get(at..).and_then(<[u8]>::first_chunk).context("a message too short")?;
        Ok(match self.order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }

    /// Writes a number into a range of any width that was read before.
    fn put(&self, bytes: &mut [u8], place: Range<usize>, number: u64) {
        let width = place.len().min(8);
        match self.order {
            Order::Little => bytes[place].copy_from_slice(&number.to_le_bytes()[..width]),
            Order::Big => bytes[place].copy_from_slice(&number.to_be_bytes()[8 - width..]),
        }
    }
}

/// Normalizes a line of `wg show ... dump` like the message it comes from: the line of a peer has
/// eight fields, and the fifth to seventh are the handshake, bytes received and bytes sent.
pub(super) fn printed(line: &str) -> String {
    let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
    if let [_, _, _, _, handshake, received, sent, _] = &mut fields[..] {
        for (field, number) in [(handshake, SECONDS), (received, RECEIVED), (sent, SENT)] {
            if field != "0" {
                *field = number.to_string();
            }
        }
    }
    fields.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with its length prefix.
    fn message(ty: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(NLMSG_HEADER + rest.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(ty.to_be_bytes());
        bytes.extend([0, 5, 9, 9, 9, 9, 8, 8, 8, 8]);
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn the_family_is_written_over_wherever_it_stands() {
        let mut normal = Normal::new(Order::Big);
        // The reply about the family, followed by an error about a request to it.
        let mut bytes = message(GENL_ID_CTRL, &[1, 2, 0, 0, 0, 6, 0, 1, 0, 28, 0, 0]);
        let request = message(28, &[]);
        bytes.extend(message(NLMSG_ERROR, &[&[0xff; 4], &request[..]].concat()));
        normal.datagram(&mut bytes).unwrap();
        assert_eq!(bytes[24..26], FAMILY.to_be_bytes());
        assert_eq!(bytes[4..6], GENL_ID_CTRL.to_be_bytes());
        let echo = &bytes[28 + 20..];
        assert_eq!(echo[4..6], FAMILY.to_be_bytes());
        assert_eq!(echo[8..16], [0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let mut normal = Normal::new(Order::Big);
        assert!(normal.datagram(&mut [0; 3]).is_err());
        assert!(normal.datagram(&mut message(GENL_ID_CTRL, &[])[..15]).is_err());
        assert!(normal.datagram(&mut message(NLMSG_ERROR, &[0; 4])).is_err());
    }

    #[test]
    fn only_what_happened_is_written_over() {
        assert_eq!(printed("key\t(none)\t0\toff"), "key\t(none)\t0\toff");
        let peer = |numbers| format!("key\t(none)\t(none)\t(none)\t{numbers}\toff");
        assert_eq!(printed(&peer("0\t0\t148")), peer("0\t0\t22136"));
        assert_eq!(printed(&peer("5\t6\t7")), peer("1700000000\t4660\t22136"));
    }
}
