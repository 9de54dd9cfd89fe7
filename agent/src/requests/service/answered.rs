//! Kept answers: a repeated request gets the same answer and is not executed twice.
//!
//! Each owner has a share of its own: the requests of one owner never evict the answers of another.
//! A client is unknown if the agent was restarted, or if its owner has had too many clients since.
//! An unknown client may read, but must send `Hello` before it changes anything, because it may
//! have requested the change before.

use heapless::Vec;
use proto_core::key::PublicKey;
use proto_core::protocol::message::{Ask, ClientId, MAX_OWNERS};

/// Number of shares: one for each owner, and one for a client that claims an unowned router.
pub(super) const SHARES: usize = MAX_OWNERS + 1;
/// Number of an owner's clients whose numbers are known.
const CLIENTS: usize = 4;
/// Number of an owner's answers that are kept.
const ANSWERS: usize = 2;
/// The longest answer that is kept, in bytes. The number of a request with a longer answer is known,
/// so that the request is not executed again.
const KEPT: usize = 448;

/// How a request may be repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// Executed each time, in any order; its answer is not kept.
    Free,
    /// Changes neither the running nor the stored state. Its answer is kept.
    Look,
    /// Changes the running or stored state, and is executed once. Its answer is kept.
    Change,
}

impl Class {
    pub(super) const fn of(ask: &Ask<'_>) -> Self {
        match ask {
            Ask::Hello { .. }
            | Ask::Status
            | Ask::Owners
            | Ask::Piece { .. }
            | Ask::Read { .. }
            | Ask::Ranges { .. }
            | Ask::Changes { .. } => Self::Free,
            Ask::Begin { .. }
            | Ask::Plan { .. }
            | Ask::Show { .. }
            | Ask::History { .. }
            | Ask::Drift { .. } => Self::Look,
            Ask::Commit { .. }
            | Ask::Abort { .. }
            | Ask::Remove { .. }
            | Ask::Claim { .. }
            | Ask::AddOwner { .. }
            | Ask::RemoveOwner { .. }
            | Ask::Confirm
            | Ask::Revert
            | Ask::Repair { .. }
            | Ask::Console { .. }
            | Ask::Rollback { .. } => Self::Change,
        }
    }
}

/// The name of a request, for the longest turn in `status`.
pub(super) const fn name(ask: &Ask<'_>) -> &'static str {
    match ask {
        Ask::Hello { .. } => "hello",
        Ask::Status => "status",
        Ask::Owners => "owners",
        Ask::Piece { .. } => "piece",
        Ask::Read { .. } => "read",
        Ask::Ranges { .. } => "ranges",
        Ask::Changes { .. } => "changes",
        Ask::Begin { .. } => "begin",
        Ask::Plan { .. } => "plan",
        Ask::Show { .. } => "show",
        Ask::History { .. } => "history",
        Ask::Drift { .. } => "drift",
        Ask::Commit { .. } => "commit",
        Ask::Abort { .. } => "abort",
        Ask::Remove { .. } => "remove",
        Ask::Claim { .. } | Ask::AddOwner { .. } | Ask::RemoveOwner { .. } => "owner change",
        Ask::Confirm => "confirm",
        Ask::Revert => "revert",
        Ask::Repair { .. } => "repair",
        Ask::Rollback { .. } => "rollback",
        Ask::Console { .. } => "console",
    }
}

/// The state of a request.
#[derive(Debug)]
pub(super) enum Past<'a> {
    /// A new request of a known client.
    New,
    /// The client is unknown.
    Unknown,
    /// Answered before, with this packet.
    Answered(&'a [u8]),
    /// Answered before, or older than an answered one; the answer is not kept any more.
    Gone,
}

/// A client, and its last request.
#[derive(Clone, Copy, Debug)]
struct Client {
    client: ClientId,
    last: u32,
}

/// An answer.
#[derive(Clone, Debug)]
struct Kept {
    client: ClientId,
    id: u32,
    class: Class,
    packet: Vec<u8, KEPT>,
}

/// The share of one key, oldest answer first.
#[derive(Clone, Debug)]
struct Share {
    key: PublicKey,
    clients: Vec<Client, CLIENTS>,
    answers: Vec<Kept, ANSWERS>,
}

/// All shares.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    shares: Vec<Share, SHARES>,
}

impl Answered {
    fn share(&self, key: &PublicKey) -> Option<&Share> {
        self.shares.iter().find(|share| share.key == *key)
    }

    /// Looks up the state of a request.
    pub(super) fn past(&self, key: &PublicKey, client: &ClientId, id: u32) -> Past<'_> {
        let Some(share) = self.share(key) else { return Past::Unknown };
        if let Some(kept) =
            share.answers.iter().find(|kept| kept.client == *client && kept.id == id)
        {
            return Past::Answered(&kept.packet);
        }
        match share.clients.iter().find(|known| known.client == *client) {
            None => Past::Unknown,
            // Request numbers wrap around.
            Some(known) if known.last.wrapping_sub(id) < u32::MAX / 2 => Past::Gone,
            Some(_) => Past::New,
        }
    }

    /// The share of a key. The share of a key that is not an owner makes room.
    #[inline(never)]
    fn make_share(
        &mut self,
        key: &PublicKey,
        owns: &dyn Fn(&PublicKey) -> bool,
    ) -> Option<&mut Share> {
        let at = match self.shares.iter().position(|share| share.key == *key) {
            Some(at) => at,
            None => {
                if self.shares.is_full() {
                    // There are more shares than owners.
                    let free = self.shares.iter().position(|share| !owns(&share.key))?;
                    self.shares.remove(free);
                }
                let share = Share { key: *key, clients: Vec::new(), answers: Vec::new() };
                let _ = self.shares.push(share);
                self.shares.len().saturating_sub(1)
            }
        };
        self.shares.get_mut(at)
    }

    /// Records a client, known from its request of this number. A known client is unchanged.
    #[inline(never)]
    pub(super) fn greet(
        &mut self,
        key: &PublicKey,
        (client, id): (&ClientId, u32),
        owns: &dyn Fn(&PublicKey) -> bool,
    ) {
        let Some(share) = self.make_share(key, owns) else { return };
        if share.clients.iter().any(|known| known.client == *client) {
            return;
        }
        if share.clients.is_full() {
            share.clients.remove(0);
        }
        let _ = share.clients.push(Client { client: *client, last: id });
    }

    /// Keeps an answer to a known client. Answers to changes are kept longer than others.
    #[inline(never)]
    pub(super) fn keep(
        &mut self,
        key: &PublicKey,
        (client, id): (&ClientId, u32),
        (class, packet): (Class, &[u8]),
        owns: &dyn Fn(&PublicKey) -> bool,
    ) {
        let Some(share) = self.make_share(key, owns) else { return };
        let known = share.clients.iter().position(|known| known.client == *client);
        let Some(known) = known else { return };
        share.clients.remove(known);
        let _ = share.clients.push(Client { client: *client, last: id });
        // The client has the answers to its requests before this one.
        share.answers.retain(|kept| kept.client != *client);
        if share.answers.is_full() {
            let look = share.answers.iter().position(|kept| kept.class != Class::Change);
            share.answers.remove(look.unwrap_or(0));
        }
        if let Ok(packet) = Vec::from_slice(packet) {
            let _ = share.answers.push(Kept { client: *client, id, class, packet });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Any order of requests of any clients of some owners: a change is executed at most once.
    #[test]
    fn no_change_is_done_twice_whatever_other_clients_ask_for() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut dice = move |sides: u64| rng.u64(..sides);
        let owns = |key: &PublicKey| key.0[0] < 16;
        let mut answered = Answered::default();
        let (mut done, mut repeated) = (HashSet::new(), 0);
        let mut numbers = std::collections::HashMap::<(u8, u8), u32>::new();
        for _ in 0..200_000 {
            let (key, client) = (dice(18) as u8, dice(7) as u8);
            let next = numbers.entry((key, client)).or_insert(0);
            // A new request, or one of the last requests again.
            let id = if dice(3) > 0 {
                *next += 1;
                *next
            } else {
                repeated += 1;
                next.saturating_sub(dice(3) as u32).max(1)
            };
            let (public, name) = (PublicKey([key; 32]), [client; 8]);
            let class = if dice(2) == 0 { Class::Look } else { Class::Change };
            match answered.past(&public, &name, id) {
                Past::Answered(_) | Past::Gone => continue,
                Past::Unknown if class == Class::Change => {
                    // The client says hello under a new number, and repeats the request.
                    *next += 1;
                    answered.greet(&public, (&name, *next), &owns);
                    assert!(matches!(answered.past(&public, &name, id), Past::Gone));
                    continue;
                }
                Past::Unknown => continue,
                Past::New => {}
            }
            if class == Class::Change {
                assert!(done.insert((key, client, id)), "done twice");
            }
            answered.keep(&public, (&name, id), (class, b"answer"), &owns);
            assert!(matches!(answered.past(&public, &name, id), Past::Answered(b"answer")));
        }
        println!("200000 requests, {} changes, {repeated} repeated", done.len());
    }

    #[test]
    fn what_one_owner_asks_for_makes_the_router_forget_nothing_of_another() {
        let owns = |_: &PublicKey| true;
        let mut answered = Answered::default();
        let (anne, ben) = (PublicKey([1; 32]), PublicKey([2; 32]));
        answered.greet(&anne, (&[1; 8], 1), &owns);
        answered.keep(&anne, (&[1; 8], 3), (Class::Change, b"done"), &owns);
        for n in 0..100 {
            answered.greet(&ben, (&[n; 8], 0), &owns);
            answered.keep(&ben, (&[n; 8], 1), (Class::Look, b"look"), &owns);
        }
        assert!(matches!(answered.past(&anne, &[1; 8], 3), Past::Answered(b"done")));
        assert!(matches!(answered.past(&ben, &[1; 8], 1), Past::Unknown));
    }
}
