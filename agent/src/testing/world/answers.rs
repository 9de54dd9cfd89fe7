//! What the kernel answers: lists, acknowledgements and refusals.

use std::collections::VecDeque;

use proto_core::netlink::genl::{
    CTRL_ATTR_FAMILY_ID, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL, GenlHeader,
};
use proto_core::netlink::wireguard::attr::*;
use proto_core::netlink::{Errno, Message, NLMSG_DONE, NLMSG_ERROR, Writer};

use super::device::{Device, public, put_peer};
use crate::system::Datagram;

/// The number of WireGuard's family.
pub(crate) const FAMILY: u16 = 0x1e;

/// What a socket of this kernel still has to deliver.
#[derive(Debug, Default)]
pub(crate) struct Answers(VecDeque<Vec<u8>>);

impl Answers {
    pub(crate) fn answer(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buf = vec![0; 32 * 1024];
        let mut writer = Writer::new(&mut buf);
        write(&mut writer);
        self.0.push_back(writer.finish().to_vec());
    }

    pub(crate) fn family(&mut self, message: &Message<'_>) {
        self.answer(|w| {
            w.message(GENL_ID_CTRL, 0, message.seq, 7).unwrap();
            GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(w).unwrap();
            w.u16(CTRL_ATTR_FAMILY_ID, FAMILY).unwrap();
        });
    }

    pub(crate) fn end(&mut self, message: &Message<'_>, ty: u16, errno: i32) {
        self.answer(|w| {
            w.message(ty, 0x100, message.seq, 7).unwrap();
            let rest = if ty == NLMSG_DONE { 0 } else { 16 };
            w.header(&[&(-errno).to_ne_bytes()[..], &[0; 16][..rest]].concat()).unwrap();
        });
    }

    /// A refusal with the kernel's words.
    pub(crate) fn refuse(&mut self, message: &Message<'_>, errno: Errno, words: &str) {
        const NLM_F_CAPPED: u16 = 0x100;
        const NLM_F_ACK_TLVS: u16 = 0x200;
        const NLMSGERR_ATTR_MSG: u16 = 1;
        self.answer(|w| {
            w.message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, message.seq, 7).unwrap();
            w.header(&[&(-errno.0).to_ne_bytes()[..], &[0; 16]].concat()).unwrap();
            w.string(NLMSGERR_ATTR_MSG, words).unwrap();
        });
    }

    /// Delivers the next answer, as a socket does.
    pub(crate) fn deliver(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        let answer = self.0.pop_front().ok_or(Errno::EAGAIN)?;
        buf[..answer.len()].copy_from_slice(&answer);
        Ok(Datagram { len: answer.len(), full_len: answer.len(), sender: 0 })
    }

    pub(crate) fn dump(
        &mut self,
        (name, index): (&str, u32),
        device: &Device,
        message: &Message<'_>,
        interrupted: bool,
    ) {
        let flags = if interrupted { 0x12 } else { 2 };
        let begin = |w: &mut Writer<'_>| {
            w.message(FAMILY, flags, message.seq, 7).unwrap();
            GenlHeader { cmd: WG_CMD_GET_DEVICE, version: 1 }.write(w).unwrap();
            w.u32(WGDEVICE_A_IFINDEX, index).unwrap();
            w.string(WGDEVICE_A_IFNAME, name).unwrap();
        };
        self.answer(|w| {
            begin(w);
            w.u16(WGDEVICE_A_LISTEN_PORT, device.port).unwrap();
            w.u32(WGDEVICE_A_FWMARK, device.fwmark).unwrap();
            if !device.private_key.is_empty() {
                w.bytes(WGDEVICE_A_PRIVATE_KEY, &device.private_key).unwrap();
                w.bytes(WGDEVICE_A_PUBLIC_KEY, &public(device)).unwrap();
            }
        });
        for peer in &device.peers {
            // One message, and a second one that continues it.
            let (head, tail) = peer.ips.split_at(peer.ips.len().min(300));
            let mut rest = tail.chunks(300);
            let mut part = Some(head);
            while let Some(ips) = part {
                self.answer(|w| {
                    begin(w);
                    w.nest(WGDEVICE_A_PEERS, |w| w.nest(0, |w| put_peer(w, peer, ips))).unwrap();
                });
                part = rest.next();
            }
        }
        self.end(message, NLMSG_DONE, 0);
    }
}
