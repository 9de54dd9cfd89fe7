//! Packets in, packets out, over files in memory and a kernel that follows a script.

use super::*;
use crate::kernel::{Buffers, Kernel};
use crate::system::Datagram;
use crate::testing::Memory;
use proto_core::netlink::genl::{
    CTRL_ATTR_FAMILY_ID, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL, GenlHeader,
};
use proto_core::netlink::{Messages, Writer};
use proto_core::protocol::message::{Name, Reply, Request, Status};
use proto_core::protocol::{config, digest};
use std::cell::{Cell, RefCell};
use std::string::String;
use std::vec::Vec;

const NLMSG_ERROR: u16 = 2;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;

/// A kernel that has WireGuard and no interface, and lets nobody make one.
#[derive(Default)]
struct Script {
    /// Which of the two sockets it is: their messages have the same numbers.
    generic: bool,
    answers: Vec<Vec<u8>>,
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
            (true, GENL_ID_CTRL) => self.family(message.seq),
            (false, RTM_GETLINK) => self.ack(message.seq, Errno::ENODEV.0, ""),
            (false, RTM_NEWLINK) => self.ack(message.seq, Errno::EPERM.0, "not on my watch"),
            // A dump of nothing: addresses, routes or rules.
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
        if self.answers.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let answer = self.answers.remove(0);
        buf[..answer.len()].copy_from_slice(&answer);
        Ok(Datagram { len: answer.len(), full_len: answer.len(), sender: 0 })
    }
}

#[derive(Default)]
struct Bench {
    now: Cell<u64>,
    log: RefCell<Vec<String>>,
}

impl Machine for &Bench {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn unix_time(&self) -> u64 {
        0
    }

    fn random(&self, buf: &mut [u8]) -> Result<(), Errno> {
        buf.fill(5);
        Ok(())
    }

    fn identify(&self, status: &mut Status) {
        status.hostname = cut("bench");
    }

    fn set_src_valid_mark(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        self.log.borrow_mut().push(line.to_string());
    }
}

#[derive(Default)]
struct Wire(Vec<Vec<u8>>);

impl Outlet for Wire {
    fn send(&mut self, packet: &mut [u8; SCRATCH], len: usize) {
        self.0.push(packet[..len].to_vec());
    }

    fn in_flight(&self) -> u32 {
        1000
    }

    fn from(&self) -> &dyn fmt::Display {
        &"the wire"
    }
}

type Agent<'b> = Service<'b, Script, Memory, &'b Bench>;

/// Runs a test with an agent that has done nothing yet.
fn agent(test: impl FnOnce(&mut Agent<'_>, &Bench)) {
    let (bench, slot) = (Bench::default(), Slot::default());
    let (mut buffers, mut set) = (Buffers::default(), [0; SET]);
    let generic = Script { generic: true, ..Script::default() };
    let kernel = Kernel::new(Script::default(), generic, &slot, &mut buffers);
    let files = Files {
        stage: Memory::default(),
        index: Memory::default(),
        extras: Memory::default(),
        report: Memory::default(),
    };
    let mut agent = Service::new(kernel, files, &bench, Policy::default(), &mut set).unwrap();
    test(&mut agent, &bench);
}

fn packet(client: u8, id: u32, ask: Ask<'_>) -> Vec<u8> {
    let version = if matches!(ask, Ask::Hello { .. }) { HELLO_VERSION } else { VERSION };
    let mut buf = [0; MAX_PACKET];
    let request = Request { client: [client; 8], id, ask };
    let len = envelope::write(version, &request, &mut buf).unwrap();
    buf[..len].to_vec()
}

/// What an agent answers to a packet, at most once.
fn answer(agent: &mut Agent<'_>, packet: &[u8]) -> Option<Answer<'static>> {
    let mut wire = Wire::default();
    agent.packet(packet, &mut wire);
    assert!(wire.0.len() <= 1);
    let packet = wire.0.pop()?.leak();
    let (_, reply) = envelope::read::<Reply<'_>>(packet, |_| true).unwrap();
    Some(reply.answer)
}

fn failure(answer: Option<Answer<'_>>) -> Failure {
    match answer {
        Some(Answer::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn image() -> Vec<u8> {
    let record = config::Record::Interface(config::Interface {
        name: name(),
        private_key: config::PrivateKey::Generate,
        listen_port: None,
        fwmark: 0,
        mtu: 1420,
    });
    let mut buf = [0; 64];
    postcard::to_slice(&record, &mut buf).unwrap().to_vec()
}

fn name() -> Name {
    Name::try_from("wg0").unwrap()
}

fn begin(image: &[u8]) -> Ask<'static> {
    Ask::Begin {
        interface: name(),
        length: image.len() as u32,
        digest: digest(image),
        piece_size: 100,
    }
}

/// Uploads an image and returns its stage.
fn upload(agent: &mut Agent<'_>, client: u8, announced: Ask<'_>, image: &[u8]) -> u32 {
    let Some(Answer::Received { stage, .. }) = answer(agent, &packet(client, 1, announced)) else {
        panic!("not taken");
    };
    let piece = Ask::Piece { stage, index: 0, data: image };
    assert!(matches!(answer(agent, &packet(client, 2, piece)), Some(Answer::Received { .. })));
    stage
}

#[test]
fn an_echo_is_not_answered() {
    // A router that answered its own answers would never stop on a line that echoes.
    agent(|agent, _| {
        for ask in [Ask::Hello { min: 1, max: 1 }, Ask::Status, Ask::Abort { stage: 1 }] {
            let mut wire = Wire::default();
            agent.packet(&packet(1, 1, ask), &mut wire);
            let [reply] = &wire.0[..] else { panic!("one answer") };
            assert_eq!(answer(agent, reply), None);
        }
    });
}

#[test]
fn the_words_of_the_kernel_arrive() {
    agent(|agent, _| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let failure = failure(answer(agent, &packet(1, 3, Ask::Commit { stage })));
        assert_eq!(failure.text, "not on my watch");
        assert_eq!((failure.code, failure.subject), (Code::Permission, Subject::Interface));
        assert_eq!((failure.errno, failure.state), (Errno::EPERM.0 as u16, State::Unchanged));
    });
}

#[test]
fn a_repeated_request_is_done_once() {
    agent(|agent, bench| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let commit = packet(1, 3, Ask::Commit { stage });
        let first = answer(agent, &commit);
        let said = bench.log.borrow().len();
        assert_eq!(answer(agent, &commit), first);
        assert_eq!(bench.log.borrow().len(), said, "it was done again");
        assert_eq!(agent.counters.failed, 1);
        // One that was overtaken by a later request is not wanted any more.
        assert_eq!(answer(agent, &packet(1, 1, begin(&image))), None);
    });
}

#[test]
fn another_configuration_waits_and_the_same_goes_on() {
    agent(|agent, bench| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let other = [image.clone(), image.clone()].concat();
        let busy = failure(answer(agent, &packet(2, 1, begin(&other))));
        assert_eq!(busy.code, Code::Busy);
        // Client 1 was ended and comes back under another name.
        let same = answer(agent, &packet(3, 1, begin(&image)));
        let Some(Answer::Received { stage: taken, arrived }) = same else { panic!("{same:?}") };
        assert_eq!((taken, arrived.base), (stage, 1));
        assert_eq!(failure(answer(agent, &packet(1, 9, Ask::Commit { stage }))).code, Code::Gone);
        bench.now.set(crate::stage::PATIENCE + 1);
        let free = answer(agent, &packet(2, 2, begin(&other)));
        assert!(matches!(free, Some(Answer::Received { .. })), "{free:?}");
    });
}

#[test]
fn what_is_not_whole_is_not_applied() {
    agent(|agent, _| {
        let image = image();
        let missing = answer(agent, &packet(1, 1, begin(&image)));
        let Some(Answer::Received { stage, .. }) = missing else { panic!("{missing:?}") };
        let commit = failure(answer(agent, &packet(1, 2, Ask::Commit { stage })));
        assert_eq!(commit.code, Code::Incomplete);

        let announced = Ask::Begin {
            interface: name(),
            length: image.len() as u32,
            digest: [9; 32],
            piece_size: 100,
        };
        agent.drop_stage().unwrap();
        let stage = upload(agent, 2, announced, &image);
        let commit = failure(answer(agent, &packet(2, 3, Ask::Commit { stage })));
        assert_eq!(commit.code, Code::Digest);
    });
}

#[test]
fn another_version_is_told_so() {
    agent(|agent, _| {
        let hello = failure(answer(agent, &packet(1, 1, Ask::Hello { min: 2, max: 9 })));
        assert_eq!(hello.code, Code::Version);
        let mut later = packet(1, 2, Ask::Status);
        later[1] = 9;
        assert_eq!(failure(answer(agent, &later)).code, Code::Version);
        // What has no head to answer to is dropped.
        assert_eq!(answer(agent, &later[..4]), None);
        assert_eq!(answer(agent, &[]), None);
    });
}

#[test]
fn an_interface_that_is_not_allowed_is_not_touched() {
    agent(|agent, _| {
        let ask = Ask::Remove { interface: Name::try_from("eth0").unwrap() };
        assert_eq!(failure(answer(agent, &packet(1, 1, ask))).code, Code::NotAllowed);
    });
}
