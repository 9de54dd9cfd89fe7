//! A kernel that follows a script.

use proto_core::netlink::genl::{
    CTRL_ATTR_FAMILY_ID, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL, GenlHeader,
};
use proto_core::netlink::{Errno, Messages, Writer};

use crate::system::{Datagram, NetlinkSocket};

const NLMSG_ERROR: u16 = 2;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;

/// A kernel that has WireGuard and no interface, and refuses to create one.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Which of the two sockets this is: their messages have the same numbers.
    pub(crate) generic: bool,
    pub(crate) answers: Vec<Vec<u8>>,
    /// The kernel has no WireGuard.
    pub(crate) bare: bool,
}

impl Script {
    fn ack(&mut self, seq: u32, errno: i32, words: &str) {
        let mut buf = [0; 256];
        let mut writer = Writer::new(&mut buf);
        writer.message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, seq, 7).unwrap();
        writer.header(&[&(-errno).to_ne_bytes()[..], &[0; 16]].concat()).unwrap();
        if !words.is_empty() {
            writer.string(NLMSGERR_ATTR_MSG, words).unwrap();
        }
        self.answers.push(writer.finish().to_vec());
    }

    fn family(&mut self, seq: u32) {
        let mut buf = [0; 256];
        let mut writer = Writer::new(&mut buf);
        writer.message(GENL_ID_CTRL, 0, seq, 7).unwrap();
        GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(&mut writer).unwrap();
        writer.u16(CTRL_ATTR_FAMILY_ID, 0x1e).unwrap();
        self.answers.push(writer.finish().to_vec());
        self.ack(seq, 0, "");
    }
}

impl NetlinkSocket for Script {
    fn port(&self) -> u32 {
        7
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        let message = Messages::new(datagram).next().unwrap().unwrap();
        match (self.generic, message.ty) {
            (true, GENL_ID_CTRL) if self.bare => self.ack(message.seq, Errno::ENOENT.0, ""),
            (true, GENL_ID_CTRL) => self.family(message.seq),
            (false, RTM_GETLINK) => self.ack(message.seq, Errno::ENODEV.0, ""),
            (false, RTM_NEWLINK) => self.ack(message.seq, Errno::EPERM.0, "not on my watch"),
            // An empty dump: addresses, routes or rules.
            _ => {
                let mut buf = [0; 64];
                let mut writer = Writer::new(&mut buf);
                writer.message(3, 2, message.seq, 7).unwrap();
                writer.header(&[0; 4]).unwrap();
                self.answers.push(writer.finish().to_vec());
            }
        }
        Ok(())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        deliver(&mut self.answers, buf)
    }
}

/// Takes the first of the waiting answers, as a socket does.
pub(crate) fn deliver(answers: &mut Vec<Vec<u8>>, buf: &mut [u8]) -> Result<Datagram, Errno> {
    if answers.is_empty() {
        return Err(Errno::EAGAIN);
    }
    let answer = answers.remove(0);
    buf[..answer.len()].copy_from_slice(&answer);
    Ok(Datagram { len: answer.len(), full_len: answer.len(), sender: 0 })
}
