//! What a person at the router sees of the door: the console on its port or socket, and the LED.

use core::fmt;

use proto_core::key::PublicKey;
use proto_core::protocol::session::{StaticKey, Wire};

use super::{Door, wipe_stack};
use crate::access::owners::Standing;
use crate::access::unlock::{Closed, Unlock};
use crate::console::words::Need;
use crate::console::{NO_KEY, Person, Reply, Talk, Way};
use crate::led::Activity;
use crate::requests::service::{Counters, Visitor};
use crate::system::{Machine, System, sooner};

/// Milliseconds for which the LED shows a session after each of its packets.
const SESSION_SHOWN: u64 = 5_000;

impl<S: System> Door<'_, S> {
    /// What the agent is doing, the number of pushes that ended, and when that may change without an event.
    #[must_use]
    pub fn activity(&self, now: u64) -> (Activity, u32, Option<u64>) {
        let (mut activity, mut until) = self.service.activity(now);
        if !self.has_identity() || self.ownership.trouble().is_some() {
            activity = activity.max(Activity::Trouble);
        }
        let proven = self.sessions.iter().filter(|session| !session.waiting);
        let shown = proven.map(|session| session.heard.saturating_add(SESSION_SHOWN)).max();
        if let Some(shown) = shown.filter(|shown| now < *shown) {
            activity = activity.max(Activity::Session);
            until = sooner(until, Some(shown));
        }
        let Counters { applied, failed, .. } = self.service.counters;
        (activity, applied.wrapping_add(failed), until)
    }

    /// Executes a line of a console on this router, and writes its output into the first file; the
    /// second is for pasted text. A line on the socket is root's. A line on the serial port is that
    /// of the owner who opened the console with a code; of any person while the router is unowned;
    /// and otherwise of a guest.
    #[inline(never)]
    pub fn console(
        &mut self,
        (line, whole): (&[u8], bool),
        talk: &mut Talk,
        unlock: Option<&mut Unlock>,
        from: &dyn fmt::Display,
        files: (&mut S::File, &mut S::File),
    ) -> Reply {
        let seek = self.ownership.label_is_good();
        let way = if unlock.is_some() { Way::Serial } else { Way::Socket };
        let mut unlock = unlock;
        let (key, standing) = self.console_standing(unlock.as_deref_mut());
        let identity = self.identity.as_ref().map(|(identity, _)| identity);
        let mut visitor = Visitor {
            key,
            standing,
            wire: Wire::Serial,
            // A person who types a command here and now has reached the router.
            nth: self.opened.wrapping_add(1),
            newest: self.opened,
            handshake_hash: [0; 32],
            router: identity.map_or(NO_KEY, StaticKey::public),
            rejected: false,
            ownership: &mut self.ownership,
        };
        let mut person = Person { visitor: &mut visitor, way, unlock, identity, from };
        let reply = self.service.console_line(line, whole, talk, &mut person, files);
        self.sifted &= seek == self.ownership.label_is_good();
        wipe_stack();
        reply
    }

    /// The person at a console of this router: root on the socket (without `unlock`), otherwise as
    /// the codes say.
    fn console_standing(&mut self, unlock: Option<&mut Unlock>) -> (PublicKey, Standing) {
        let now = self.machine().now();
        self.ownership.refresh();
        match unlock {
            Some(unlock) if !self.ownership.is_empty() => {
                match unlock.standing(now, &mut self.ownership) {
                    Some((key, role)) => (key, Standing::Owner(role)),
                    None => (NO_KEY, Standing::Stranger),
                }
            }
            _ => (NO_KEY, Standing::Local),
        }
    }

    /// Closes a console that was opened by a code, when it is time. Returns the reason.
    pub fn tick_console(&mut self, unlock: &mut Unlock) -> Option<Closed> {
        let now = self.machine().now();
        unlock.tick(now, &mut self.ownership)
    }

    /// As [`Service::link_names`](crate::requests::service::Service::link_names), for a console that may see them.
    pub fn link_names(&mut self, unlock: Option<&mut Unlock>, take: &mut dyn FnMut(&str)) {
        let (_, standing) = self.console_standing(unlock);
        if Need::Look.allows(standing) {
            self.service.link_names(take);
        }
    }
}
