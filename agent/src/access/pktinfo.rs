//! The local address that a datagram was sent to, from the control messages that the kernel adds to it (`IP_PKTINFO`,
//! `IPV6_PKTINFO`). The answer has to leave from that address: a connected socket drops datagrams from any other.

/// `struct cmsghdr`: a length of the machine's word size, level and type.
const HEAD: usize = size_of::<usize>() + 8;

const SOL_IP: i32 = 0;
const IP_PKTINFO: i32 = 8;
const SOL_IPV6: i32 = 41;
const IPV6_PKTINFO: i32 = 50;

/// The most bytes that [`Asked::write`] needs, on 64-bit machines.
pub const MAX_REPLY: usize = 40;

/// The local address of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A local IPv4 address, and the index of the interface that the answer has to leave by, or 0.
    V4([u8; 4], u32),
    /// The same for IPv6. Without an address, the kernel chooses one of the interface.
    V6([u8; 16], u32),
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

impl Asked {
    /// Reads the control messages of a datagram. A dual-stack socket gets both kinds for a datagram over IPv4; the
    /// IPv4 one counts, because it has a local address even for a broadcast.
    #[must_use]
    pub fn read(control: &[u8]) -> Option<Self> {
        let (mut rest, mut found) = (control, None);
        while let Some(len) = rest.first_chunk().map(|len| usize::from_ne_bytes(*len)) {
            let message = rest.get(..len).filter(|message| message.len() >= HEAD)?;
            let level = word(message, size_of::<usize>())? as i32;
            let ty = word(message, size_of::<usize>().saturating_add(4))? as i32;
            let data = message.get(HEAD..)?;
            match (level, ty) {
                // The interface, our address, and the address in the header.
                (SOL_IP, IP_PKTINFO) => {
                    let address = *data.get(4..)?.first_chunk()?;
                    let local = matches!(address, [169, 254, _, _]);
                    return Some(Self::V4(address, if local { word(data, 0)? } else { 0 }));
                }
                // The address in the header, and the interface.
                (SOL_IPV6, IPV6_PKTINFO) => {
                    let (address, interface) = (*data.first_chunk::<16>()?, word(data, 16)?);
                    found = Some(match address {
                        [0xff, ..] => Self::V6([0; 16], interface),
                        [0xfe, 0x80..=0xbf, ..] => Self::V6(address, interface),
                        _ => Self::V6(address, 0),
                    });
                }
                _ => {}
            }
            rest = rest.get(aligned(len)..).unwrap_or_default();
        }
        found
    }

    /// Writes the control message for the answer. Returns its length.
    #[must_use]
    pub fn write(&self, out: &mut [u8; MAX_REPLY]) -> usize {
        let mut data = [0; 20];
        let (len, level, ty) = match self {
            Self::V4(address, interface) => {
                data[..4].copy_from_slice(&interface.to_ne_bytes());
                data[4..8].copy_from_slice(address);
                (12, SOL_IP, IP_PKTINFO)
            }
            Self::V6(address, interface) => {
                data[..16].copy_from_slice(address);
                data[16..].copy_from_slice(&interface.to_ne_bytes());
                (20, SOL_IPV6, IPV6_PKTINFO)
            }
        };
        let full: usize = HEAD.saturating_add(len);
        let parts: [&[u8]; 4] = [
            &full.to_ne_bytes(),
            &level.to_ne_bytes(),
            &ty.to_ne_bytes(),
            data.get(..len).unwrap_or_default(),
        ];
        out.fill(0);
        out.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
        aligned(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, ty: i32, data: &[u8]) -> Vec<u8> {
        let head =
            [&(HEAD + data.len()).to_ne_bytes()[..], &level.to_ne_bytes(), &ty.to_ne_bytes()];
        let mut all = [&head.concat(), data].concat();
        all.resize(aligned(all.len()), 0);
        all
    }

    fn v6(address: [u8; 16], interface: u32) -> Vec<u8> {
        message(SOL_IPV6, IPV6_PKTINFO, &[&address[..], &interface.to_ne_bytes()].concat())
    }

    fn v4(ours: [u8; 4], header: [u8; 4], interface: u32) -> Vec<u8> {
        message(SOL_IP, IP_PKTINFO, &[&interface.to_ne_bytes()[..], &ours, &header].concat())
    }

    #[test]
    fn the_address_that_was_asked_is_found() {
        let one = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let (mut local, mut all) = (one, one);
        (local[0], local[1], all[0]) = (0xfe, 0x80, 0xff);
        let other = message(1, 29, &[7; 13]);
        assert_eq!(
            Asked::read(&v4([192, 0, 2, 1], [192, 0, 2, 255], 3)),
            Some(Asked::V4([192, 0, 2, 1], 0))
        );
        assert_eq!(
            Asked::read(&v4([169, 254, 1, 1], [169, 254, 1, 1], 3)),
            Some(Asked::V4([169, 254, 1, 1], 3))
        );
        assert_eq!(Asked::read(&v6(one, 3)), Some(Asked::V6(one, 0)), "any way out will do");
        assert_eq!(Asked::read(&v6(local, 3)), Some(Asked::V6(local, 3)));
        assert_eq!(
            Asked::read(&v6(all, 3)),
            Some(Asked::V6([0; 16], 3)),
            "nobody answers from a group"
        );
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 255];
        let both = [other.clone(), v6(mapped, 3), v4([192, 0, 2, 1], [192, 0, 2, 255], 3)].concat();
        assert_eq!(Asked::read(&both), Some(Asked::V4([192, 0, 2, 1], 0)));
        assert_eq!(Asked::read(&other), None);
        assert_eq!(Asked::read(&[]), None);
        for end in 0..both.len() {
            let _ = Asked::read(&both[..end]);
        }
        assert_eq!(Asked::read(&[0; 64]), None, "a message of no length");
        assert_eq!(Asked::read(&[0xff; 64]), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for asked in [
            Asked::V4([169, 254, 0, 1], 7),
            Asked::V6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 7),
        ] {
            let mut out = [0xee; MAX_REPLY];
            let len = asked.write(&mut out);
            assert_eq!(Asked::read(&out[..len]), Some(asked));
        }
    }
}
