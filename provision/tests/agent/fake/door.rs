//! The fake router's access control: its owners, their sessions, and the contents of sessions.

use std::collections::{BTreeSet, HashMap};

use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::message::{
    Answer, Ask, Code, Failure, MAX_OWNERS, Owner, OwnerName, Role,
};
use proto_core::protocol::session::{
    Channel, Gatekeys, Initiation, LabelKey, Seek, StaticKey, Wire, receiver,
};
use proto_core::protocol::{MAX_OUTER, MAX_PACKET};

/// The key of the operator at every bench, unless a test generates another.
pub(crate) const OPERATOR: SecretKey = SecretKey::new([0x31; 32]);
/// The key of every router, unless a test says otherwise.
pub(crate) const ROUTER: SecretKey = SecretKey::new([0x32; 32]);

/// The public key of a private key.
pub(crate) fn public(secret: &SecretKey) -> PublicKey {
    postwire::conf::public_key(secret)
}

/// The owner of the router.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Belongs {
    /// The operator, as an admin.
    #[default]
    Us,
    /// Another owner is the admin, and the operator is read-only.
    OthersAndWeLook,
    /// Another owner only.
    Others,
    /// Unowned. There may be a secret on its label.
    Nobody(Option<&'static str>),
}

pub(super) struct Door {
    key: StaticKey,
    gate: Gatekeys,
    wire: Wire,
    lies: bool,
    label: Option<LabelKey>,
    pub(super) owners: Vec<Owner>,
    stamps: HashMap<PublicKey, BTreeSet<u64>>,
    sessions: Vec<Session>,
    random: u8,
}

struct Session {
    client: PublicKey,
    channel: Channel,
}

/// The result of a packet.
pub(super) enum Heard {
    Nothing,
    /// An answer to send back.
    Answer(Vec<u8>),
    /// The contents of a packet in this session.
    Packet(usize, Vec<u8>),
}

fn owner(key: SecretKey, role: Role, name: &str) -> Owner {
    Owner { key: public(&key), role, name: name.try_into().unwrap() }
}

/// An owner with a role that the tool does not know.
pub(super) fn of_tomorrow() -> Owner {
    owner(SecretKey::new([0x34; 32]), Role::Unknown(7), "tomorrow@bench")
}

impl Door {
    pub(super) fn new(key: SecretKey, belongs: Belongs, lies: bool, wire: Wire) -> Self {
        let key = StaticKey::new(key);
        let us = |role| owner(OPERATOR, role, "us@bench");
        let other = owner(SecretKey::new([0x33; 32]), Role::Admin, "other@bench");
        let owners = match belongs {
            Belongs::Us => vec![us(Role::Admin)],
            Belongs::OthersAndWeLook => vec![other, us(Role::ReadOnly)],
            Belongs::Others => vec![other],
            Belongs::Nobody(_) => vec![],
        };
        let label = match belongs {
            Belongs::Nobody(Some(text)) => Some(LabelKey::of(text).unwrap()),
            _ => None,
        };
        Self {
            gate: Gatekeys::of(&key.public()),
            key,
            wire,
            lies,
            label,
            owners,
            stamps: HashMap::new(),
            sessions: Vec::new(),
            random: 0,
        }
    }

    /// The key of the session's client.
    pub(super) fn client(&self, session: usize) -> PublicKey {
        self.sessions[session].client
    }

    /// The key and name of the session's owner.
    pub(super) fn who(&self, session: usize) -> (PublicKey, OwnerName) {
        let key = self.sessions[session].client;
        let owner = self.owners.iter().find(|owner| owner.key == key).unwrap();
        (key, owner.name.clone())
    }

    /// Number of sessions so far.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Drops the state that does not survive a restart.
    pub(super) fn restart(&mut self) {
        self.sessions.clear();
    }

    fn admits(&self, client: &PublicKey) -> bool {
        match self.owners.as_slice() {
            [] => self.wire == Wire::Serial || self.label.is_some(),
            owners => owners.iter().any(|owner| owner.key == *client),
        }
    }

    pub(super) fn hear(&mut self, packet: &[u8]) -> Heard {
        let mut out = vec![0; MAX_OUTER];
        if let Some((_, index)) = receiver(packet) {
            let at = self.sessions.iter().position(|session| session.channel.local() == index);
            let Some(at) = at else { return Heard::Nothing };
            let mut plain = vec![0; MAX_PACKET];
            // A removed owner has no access any more, also in existing sessions.
            let admitted = self.admits(&self.sessions[at].client);
            let session = &mut self.sessions[at];
            return match session.channel.open(packet, &mut plain).filter(|_| admitted) {
                Some(len) => Heard::Packet(at, plain[..len].to_vec()),
                None => Heard::Nothing,
            };
        }
        if let Some(seek) = Seek::parse(packet).filter(|_| self.owners.is_empty()) {
            let label = self.label.as_ref().filter(|label| seek.knows(label));
            if label.is_none() && self.wire == Wire::Udp && !self.lies {
                return Heard::Nothing;
            }
            let len = seek.answer(&self.key.public(), label, &mut out).unwrap();
            return Heard::Answer(out[..len].to_vec());
        }
        self.random = self.random.wrapping_add(1);
        let opened = Initiation::parse(packet, &self.gate)
            .and_then(|found| found.open(&self.key, self.wire, &SecretKey::new([self.random; 32])))
            .filter(|opened| self.admits(&opened.client));
        let Some(opened) = opened else { return Heard::Nothing };
        let stamps = self.stamps.entry(opened.client).or_default();
        // Two parallel runs may overtake one another, but never use the same stamp.
        assert!(stamps.insert(opened.stamp), "a stamp was used twice");
        if let Some(last) = stamps.last().filter(|last| **last != opened.stamp) {
            let nonce = [self.random; 16];
            let len = opened.wrong_stamp(*last, &nonce, &mut out).unwrap();
            return Heard::Answer(out[..len].to_vec());
        }
        let client = opened.client;
        let (len, channel) = opened.respond(&mut out).unwrap();
        self.sessions.push(Session { client, channel });
        Heard::Answer(out[..len].to_vec())
    }

    pub(super) fn seal(&mut self, session: usize, plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0; MAX_OUTER];
        let len = self.sessions[session].channel.seal(plain, &mut out).unwrap();
        out[..len].to_vec()
    }

    /// The reason why this session's owner may not send the request, if any.
    pub(super) fn refuses(&self, session: usize, ask: &Ask<'_>) -> Option<Failure> {
        use Ask::{Changes, Claim, Drift, Hello, History, Owners, Read, Show, Status};
        let client = self.sessions[session].client;
        let code = match self.owners.iter().find(|owner| owner.key == client) {
            None if matches!(ask, Hello { .. } | Status | Claim { .. }) => return None,
            None => Code::Unclaimed,
            Some(owner) if owner.role == Role::Admin => return None,
            Some(_)
                if matches!(
                    ask,
                    Hello { .. }
                        | Status
                        | Show { .. }
                        | History { .. }
                        | Drift { .. }
                        | Changes { .. }
                        | Read { .. }
                        | Owners
                ) =>
            {
                return None;
            }
            Some(_) => Code::Forbidden,
        };
        Some(Failure::new(code, ""))
    }

    /// Answers requests about owners.
    pub(super) fn answer(&mut self, session: usize, ask: &Ask<'_>) -> Answer<'static> {
        match self.change(session, ask) {
            Ok(answer) => answer,
            Err(code) => Answer::Failed(Failure::new(code, "")),
        }
    }

    fn change(&mut self, session: usize, ask: &Ask<'_>) -> Result<Answer<'static>, Code> {
        let Session { client, channel } = &self.sessions[session];
        match ask {
            Ask::Owners => return Ok(Answer::Owners(self.owners.iter().cloned().collect())),
            Ask::Claim { .. } if !self.owners.is_empty() => return Err(Code::Claimed),
            Ask::Claim { name, proof } => {
                let proves = |label: &LabelKey| {
                    proof.is_some_and(|proof| label.proves(channel.handshake_hash(), &proof))
                };
                if self.wire == Wire::Udp && !self.label.as_ref().is_some_and(proves) {
                    return Err(Code::Proof);
                }
                self.owners.push(Owner { key: *client, role: Role::Admin, name: name.clone() });
                self.label = None;
            }
            Ask::AddOwner { key, role, name } => {
                let new = Owner { key: *key, role: *role, name: name.clone() };
                match self.owners.iter().position(|owner| owner.key == *key) {
                    Some(at) => self.owners[at] = new,
                    None if self.owners.len() == MAX_OWNERS => return Err(Code::Full),
                    None => self.owners.push(new),
                }
            }
            Ask::RemoveOwner { key } => {
                let left: Vec<Owner> =
                    self.owners.iter().filter(|owner| owner.key != *key).cloned().collect();
                if left.len() == self.owners.len() {
                    return Err(Code::NoOwner);
                }
                if !left.iter().any(|owner| owner.role == Role::Admin) {
                    return Err(Code::LastAdmin);
                }
                self.owners = left;
            }
            other => panic!("{other:?} is not about owners"),
        }
        Ok(Answer::Owned { owners: u8::try_from(self.owners.len()).unwrap() })
    }
}
