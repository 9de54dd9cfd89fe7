//! A socket that fails, a module that is reloaded, and a list that keeps changing.

use core::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::system::Datagram;
use proto_core::netlink::genl::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL, GenlHeader,
};
use proto_core::netlink::{Messages, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, Writer};

/// The result of waiting for an answer.
#[derive(Clone, Copy, Debug)]
enum Comes {
    /// The socket fails.
    Fails(Errno),
    /// A datagram longer than any buffer.
    TooLong,
    /// Bytes that are not a message.
    Nonsense,
    /// The request is refused.
    Refused(Errno),
    /// The list ends, and it changed meanwhile.
    Changed,
    /// The list ends.
    Done,
    /// The name and number of a family.
    Family(u16),
}

#[derive(Debug, Default)]
struct Seen {
    comes: Vec<Comes>,
    /// The flags of each request.
    asked: Vec<u16>,
    reopened: u32,
    paused: Vec<u32>,
}

/// A socket that follows a script.
#[derive(Clone, Debug, Default)]
struct Socket(Rc<RefCell<Seen>>, u32);

impl NetlinkSocket for Socket {
    fn port(&self) -> u32 {
        7
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        let message = Messages::new(datagram).next().unwrap().unwrap();
        self.0.borrow_mut().asked.push(message.flags);
        self.1 = message.seq;
        Ok(())
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<Datagram, Errno> {
        let comes = self.0.borrow_mut().comes.remove(0);
        let mut writer = Writer::new(buf);
        let mut end = |ty, flags, errno: i32| {
            writer.message(ty, flags, self.1, 7).unwrap();
            writer.header(&(-errno).to_ne_bytes()).unwrap();
            writer.header(&[0; 16]).unwrap();
        };
        match comes {
            Comes::Fails(errno) => return Err(errno),
            Comes::TooLong => return Ok(Datagram { len: 16, full_len: 1 << 20, sender: 0 }),
            Comes::Nonsense => {
                buf[..20].fill(0xee);
                return Ok(Datagram { len: 20, full_len: 20, sender: 0 });
            }
            Comes::Refused(errno) => end(NLMSG_ERROR, 0, errno.0),
            Comes::Changed => end(NLMSG_DONE, NLM_F_DUMP_INTR, 0),
            Comes::Done => end(NLMSG_DONE, 0, 0),
            Comes::Family(id) => {
                writer.message(GENL_ID_CTRL, 0, self.1, 7).unwrap();
                GenlHeader { cmd: CTRL_CMD_NEWFAMILY, version: 2 }.write(&mut writer).unwrap();
                writer.string(CTRL_ATTR_FAMILY_NAME, "wireguard").unwrap();
                writer.u16(CTRL_ATTR_FAMILY_ID, id).unwrap();
            }
        }
        let len = writer.finish().len();
        Ok(Datagram { len, full_len: len, sender: 0 })
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        self.0.borrow_mut().reopened += 1;
        Ok(())
    }

    fn pause(&self, millis: u32) {
        self.0.borrow_mut().paused.push(millis);
    }
}

/// Runs a test with a kernel whose two sockets follow scripts, generic netlink first.
fn with(comes: &[Comes], test: impl FnOnce(&mut Kernel<'_, Socket>, &Socket)) {
    let (slot, mut buffers) = (Slot::default(), Buffers::default());
    let socket = Socket::default();
    socket.0.borrow_mut().comes = comes.to_vec();
    test(&mut Kernel::new(socket.clone(), socket.clone(), &slot, &mut buffers), &socket);
}

#[expect(clippy::result_large_err, reason = "a test returns it once")]
fn list(kernel: &mut Kernel<'_, Socket>, protocol: Protocol) -> Result<bool, Failure> {
    let slot = kernel.slot;
    let listed = kernel.dump(protocol, Subject::None, &Family::list, &mut |_| Ok(()));
    listed.map_err(|fault| slot.take(fault))
}

use proto_core::protocol::message::Failure;

#[test]
fn a_dump_that_is_left_half_way_leaves_no_socket_that_is_busy_with_it() {
    let half_way = [
        Comes::Fails(Errno::EAGAIN),
        Comes::Fails(Errno::ENOBUFS),
        Comes::TooLong,
        Comes::Nonsense,
    ];
    for comes in half_way {
        with(&[comes, Comes::Done], |kernel, socket| {
            list(kernel, Protocol::Route).unwrap_err();
            assert_eq!(socket.0.borrow().reopened, 1, "{comes:?}");
            assert_eq!(list(kernel, Protocol::Route), Ok(true));
            assert_eq!(socket.0.borrow().reopened, 1, "{comes:?}");
        });
    }
    // A request that the kernel answered is over.
    with(&[Comes::Refused(Errno::EBUSY)], |kernel, socket| {
        list(kernel, Protocol::Route).unwrap_err();
        assert_eq!(socket.0.borrow().reopened, 0);
    });
}

#[test]
fn a_module_that_was_loaded_again_is_found_under_its_new_number() {
    let ack = Comes::Refused(Errno(0));
    let comes = [Comes::Family(30), ack, Comes::Refused(Errno::ENOENT), Comes::Family(31), ack];
    with(&comes, |kernel, _| {
        assert_eq!(kernel.wireguard().ok(), Some(30));
        assert_eq!(kernel.wireguard().ok(), Some(30));
        assert_eq!(list(kernel, Protocol::Generic).unwrap_err().code, Code::Kernel);
        assert_eq!(kernel.wireguard().ok(), Some(31));
    });
}

#[test]
fn only_the_first_status_makes_the_kernel_load_a_module() {
    let comes =
        [Comes::Refused(Errno::ENOENT), Comes::Done, Comes::Family(30), Comes::Done, Comes::Done];
    with(&comes, |kernel, socket| {
        // Without a module, with it, and when it is unloaded.
        let has = [(); 4].map(|()| kernel.has_wireguard());
        assert_eq!(has, [false, false, true, false]);
        let asked = socket.0.borrow().asked.clone();
        let listed: Vec<bool> =
            asked.iter().map(|flags| flags & NLM_F_DUMP == NLM_F_DUMP).collect();
        assert_eq!(listed, [false, true, true, true]);
    });
}

#[test]
fn a_list_that_changes_is_read_again_after_pauses_that_grow() {
    with(&[Comes::Changed; 8], |kernel, socket| {
        let slot = kernel.slot;
        let fault = steady(slot, Subject::None, &mut || {
            kernel.dump(Protocol::Route, Subject::None, &Family::list, &mut |_| Ok(()))
        });
        assert_eq!(slot.take(fault.unwrap_err()).code, Code::Unsteady);
        let paused = socket.0.borrow().paused.clone();
        assert_eq!(paused, [5, 10, 20, 40, 80, 160, 320, 640]);
    });
}
