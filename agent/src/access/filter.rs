//! The packet filter of the UDP socket: a program for the kernel (classic BPF, `linux/filter.h`) that drops
//! datagrams before they cost a place in the queue or wake the agent.
//!
//! | datagram | passes |
//! |---|---|
//! | `TO_ROUTER` | always, if its receiver is an open session |
//! | `INITIATION` with a cookie | if its token is that of its address and port; thinned out by chance while there are too many |
//! | `INITIATION` without one | unless its address is denied; thinned out while there are too many, except from
//! addresses that had a session |
//! | `SEEK` | as an initiation without a cookie, while the label may open the router |
//! | anything else | no |
//!
//! This module only writes the program; the binary hands it to the kernel. The door checks every packet again, so a
//! kernel without the filter only costs time in a flood.

use heapless::Vec;
use proto_core::protocol::frame::CRC_LEN;
use proto_core::protocol::session::{
    INITIATION, INITIATION_LEN, OVERHEAD, SEEK, SEEK_LEN, SESSION_VERSION, TO_ROUTER, TOKEN_AT,
};

/// One instruction: `struct sock_filter`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// Number of instructions that a jump skips if its comparison is true.
    pub jt: u8,
    /// Number of instructions that a jump skips if its comparison is false.
    pub jf: u8,
    /// A constant or an offset.
    pub k: u32,
}

/// The most instructions of a program; a test makes the longest one.
pub const MAX_PROGRAM: usize = 440;

/// A whole program.
pub type Program = Vec<Instruction, MAX_PROGRAM>;

/// Source of a datagram, as the limits count it: the IPv4 address, or the /64 network of the IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// Whether the datagram came over IPv4; then only the first half of `net` is used.
    pub v4: bool,
    /// The address.
    pub net: [u32; 2],
}

/// The key of tokens: a start value and an odd factor.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenKey(pub [u32; 2]);

impl TokenKey {
    fn factor(self) -> u32 {
        self.0[1] | 1
    }

    /// The token of an address and port: `words` are the words of the address, then the port. The lowest bit of a
    /// token is `parity`, which selects the key.
    ///
    /// The hash is weak, so that a packet filter can compute it. Initiations with a forged token escape the thinning,
    /// and are dropped later because the cookie's mac is wrong.
    #[must_use]
    pub fn token(self, words: &[u32], parity: bool) -> u32 {
        let mut hash = self.0[0];
        for word in words {
            hash = (hash ^ word).wrapping_mul(self.factor());
            hash ^= hash >> 15;
        }
        hash & !1 | 2 | u32::from(parity)
    }
}

/// The rules of what passes.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// The receiver indices of our sessions.
    pub sessions: &'r [u32],
    /// Whether `SEEK` passes.
    pub seek: bool,
    /// The keys of tokens, by their parity.
    pub tokens: [TokenKey; 2],
    /// Denied addresses: for initiations without a cookie, and with one.
    pub denied: [&'r [Origin]; 2],
    /// Addresses whose initiations without a cookie are not thinned out.
    pub friends: &'r [Origin],
    /// Initiations without and with a cookie pass if a random number is at most this.
    pub keep: [u32; 2],
}

// linux/bpf_common.h
const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const LD_LEN: u16 = 0x80;
const LD_IMM: u16 = 0x00;
const LDX_MEM: u16 = 0x61;
const ST: u16 = 0x02;
const AND_K: u16 = 0x54;
const OR_K: u16 = 0x44;
const RSH_K: u16 = 0x74;
const MUL_X: u16 = 0x2c;
const XOR_X: u16 = 0xac;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const TAX: u16 = 0x07;
const RET: u16 = 0x06;

// linux/filter.h: where the headers of the network layer begin, and a random number.
const NET: u32 = 0xfff0_0000;
const RANDOM: u32 = 0xffff_f000 + 56;

/// The filter sees the UDP header first.
const UDP: u32 = 8;
const SOURCE_V4: u32 = NET + 12;
const SOURCE_V6: u32 = NET + 8;

// Slots of the scratch memory.
const HASH: u32 = 0;
const FACTOR: u32 = 1;
const TOKEN: u32 = 2;

/// The length of a datagram with a packet of `packet` bytes, counted from its UDP header.
const fn datagram(packet: usize) -> u32 {
    (packet as u32).saturating_add(CRC_LEN as u32).saturating_add(UDP)
}

/// Kind and version.
const fn head(kind: u8) -> u32 {
    u16::from_be_bytes([kind, SESSION_VERSION]) as u32
}

/// Writes a program, instruction by instruction.
struct Assembler {
    program: Program,
    /// Set when the program ran out of room and cannot be used.
    full: bool,
}

impl Assembler {
    #[inline(never)]
    fn put(&mut self, code: u16, k: u32) {
        self.jump(code, k, 0, 0);
    }

    fn jump(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.full |= self.program.push(Instruction { code, jt, jf, k }).is_err();
    }

    fn drop(&mut self) {
        self.put(RET, 0);
    }

    fn pass(&mut self) {
        self.put(RET, u32::MAX);
    }

    /// Drops the datagram unless the comparison holds.
    fn expect(&mut self, code: u16, k: u32) {
        self.jump(code, k, 1, 0);
        self.drop();
    }

    /// Ends with `verdict` if the value is `k`.
    fn case(&mut self, k: u32, verdict: u32) {
        self.jump(JEQ, k, 0, 1);
        self.put(RET, verdict);
    }

    /// A jump whose distance is not known yet. Returns its position, for [`Self::land`].
    fn far(&mut self) -> usize {
        self.put(JA, 0);
        self.program.len()
    }

    /// Sets the distance of the jump at `from`: to here.
    fn land(&mut self, from: usize) {
        let distance = self.program.len().saturating_sub(from);
        if let Some(jump) = from.checked_sub(1).and_then(|at| self.program.get_mut(at)) {
            jump.k = u32::try_from(distance).unwrap_or(0);
        }
    }

    /// Runs what follows if the datagram came over IPv4; otherwise jumps to where it [lands](Self::land).
    fn if_v4(&mut self) -> usize {
        self.put(LD_B_ABS, NET);
        self.put(AND_K, 0xf0);
        self.jump(JEQ, 0x40, 1, 0);
        self.far()
    }

    /// Ends with `verdict` if the datagram comes from one of these addresses.
    #[inline(never)]
    fn any_of(&mut self, origins: &[Origin], verdict: u32) {
        if origins.is_empty() {
            return;
        }
        let v6 = self.if_v4();
        self.put(LD_W_ABS, SOURCE_V4);
        origins
            .iter()
            .filter(|origin| origin.v4)
            .for_each(|origin| self.case(origin.net[0], verdict));
        let done = self.far();
        self.land(v6);
        for Origin { net: [high, low], .. } in origins.iter().filter(|origin| !origin.v4) {
            self.put(LD_W_ABS, SOURCE_V6);
            self.jump(JEQ, *high, 0, 3);
            self.put(LD_W_ABS, SOURCE_V6 + 4);
            self.case(*low, verdict);
        }
        self.land(done);
    }

    /// Ends; the datagram passes with the given probability.
    fn chance(&mut self, keep: u32) {
        if keep != u32::MAX {
            self.put(LD_W_ABS, RANDOM);
            self.jump(JGT, keep, 0, 1);
            self.drop();
        }
        self.pass();
    }

    /// Mixes the loaded word into the hash.
    fn mix(&mut self) {
        self.put(LDX_MEM, HASH);
        self.put(XOR_X, 0);
        self.put(LDX_MEM, FACTOR);
        self.put(MUL_X, 0);
        self.put(TAX, 0);
        self.put(RSH_K, 15);
        self.put(XOR_X, 0);
        self.put(ST, HASH);
    }

    fn key(&mut self, key: TokenKey) {
        self.put(LD_IMM, key.0[0]);
        self.put(ST, HASH);
        self.put(LD_IMM, key.factor());
        self.put(ST, FACTOR);
    }

    /// Drops the datagram unless the loaded token belongs to its address and port.
    fn check_token(&mut self, [even, odd]: [TokenKey; 2]) {
        self.put(ST, TOKEN);
        self.jump(JSET, 1, 5, 0);
        self.key(even);
        let known = self.far();
        self.key(odd);
        self.land(known);
        let v6 = self.if_v4();
        self.put(LD_W_ABS, SOURCE_V4);
        self.mix();
        let done = self.far();
        self.land(v6);
        for word in [SOURCE_V6, SOURCE_V6 + 4, SOURCE_V6 + 8, SOURCE_V6 + 12] {
            self.put(LD_W_ABS, word);
            self.mix();
        }
        self.land(done);
        // The port.
        self.put(LD_H_ABS, 0);
        self.mix();
        self.put(OR_K, 2);
        self.put(LDX_MEM, TOKEN);
        self.put(XOR_X, 0);
        // The parity selected the key, so it need not be compared.
        self.put(AND_K, !1);
        self.expect(JEQ, 0);
    }
}

impl Rules<'_> {
    /// The program for the kernel. `None` if there are more sessions or addresses than it has room for.
    #[must_use]
    #[inline(never)]
    pub fn program(&self) -> Option<Program> {
        let mut to = Assembler { program: Vec::new(), full: false };
        // A load past the end would drop the datagram too, but the kernel does not document it.
        to.put(LD_LEN, 0);
        to.expect(JGE, datagram(OVERHEAD));
        to.put(LD_H_ABS, UDP);
        to.jump(JEQ, head(TO_ROUTER), 1, 0);
        let other = to.far();
        to.put(LD_W_ABS, UDP + 2);
        self.sessions.iter().for_each(|session| to.case(session.swap_bytes(), u32::MAX));
        to.drop();
        to.land(other);
        let mut bare = [0, 0];
        if self.seek {
            to.jump(JEQ, head(SEEK), 0, 4);
            to.put(LD_LEN, 0);
            to.expect(JEQ, datagram(SEEK_LEN));
            bare[0] = to.far();
        }
        to.expect(JEQ, head(INITIATION));
        to.put(LD_LEN, 0);
        to.expect(JEQ, datagram(INITIATION_LEN));
        to.put(LD_W_ABS, UDP.saturating_add(TOKEN_AT as u32));
        to.jump(JEQ, 0, 0, 1);
        bare[1] = to.far();
        to.check_token(self.tokens);
        let [denied, denied_proven] = self.denied;
        let [keep, keep_proven] = self.keep;
        to.any_of(denied_proven, 0);
        to.chance(keep_proven);
        bare.iter().for_each(|from| to.land(*from));
        to.any_of(denied, 0);
        to.any_of(self.friends, u32::MAX);
        to.chance(keep);
        (!to.full).then_some(to.program)
    }
}

#[cfg(test)]
pub(crate) mod tests;
