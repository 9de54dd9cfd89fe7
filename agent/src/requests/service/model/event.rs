//! The events of the model: everything that can happen to a router.

use std::vec::Vec;

/// An event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Event {
    /// Anne pushes an interface with a port.
    Push {
        face: usize,
        port: u16,
        confirm: u16,
    },
    /// Ben starts a push, and sends nothing more.
    Begin,
    Confirm {
        fresh: bool,
    },
    Revert,
    Rollback {
        confirm: u16,
    },
    Remove {
        face: usize,
        confirm: u16,
    },
    Repair {
        face: usize,
        confirm: u16,
    },
    /// This many milliseconds pass.
    Tick(u64),
    /// The agent ends, and is restarted.
    Restart,
    /// The power is cut; after the restart of the machine the kernel refuses all changes, or none.
    Boot {
        broken: bool,
    },
    /// Another program deletes all interfaces, and the kernel announces it.
    Meddle,
    /// Another program takes all peers of an interface, which the kernel does not announce.
    TakePeers(usize),
    /// Another program sets an interface down, and the announcement is lost.
    Down(usize),
    /// The kernel refuses the request for a change with this number from now on.
    Refuse(usize),
    /// The kernel refuses every request for a change.
    Break,
    /// The kernel and the disk work again.
    Mend,
    /// The disk refuses the step with this number from now on.
    Keep(usize),
    /// The snapshots' folder loses its contents.
    Lose,
    /// The snapshots' disk refuses the step with this number from now on.
    Snapshots(usize),
    /// The agent ends at the step with this number from now on, and is restarted.
    Kill(u64),
    /// The power is cut at the step with this number from now on. Unsynced data is there, or is
    /// lost.
    Cut(u64, bool),
}

use Event::*;

/// The events that are possible at every moment.
pub(super) fn events() -> Vec<Event> {
    let mut events = vec![
        Push { face: 0, port: 1, confirm: 0 },
        Push { face: 0, port: 2, confirm: 0 },
        Push { face: 0, port: 3, confirm: 60 },
        Push { face: 1, port: 9, confirm: 0 },
        Begin,
        Confirm { fresh: true },
        Confirm { fresh: false },
        Revert,
        Rollback { confirm: 0 },
        Rollback { confirm: 60 },
        Remove { face: 0, confirm: 0 },
        Remove { face: 0, confirm: 60 },
        Repair { face: 0, confirm: 0 },
        Repair { face: 0, confirm: 60 },
        Tick(2_000),
        Tick(61_000),
        Restart,
        Boot { broken: true },
        Boot { broken: false },
        Meddle,
        TakePeers(0),
        Down(1),
        Break,
        Mend,
        Lose,
    ];
    events.extend([0, 1, 3].map(Refuse));
    events.extend([0, 3, 6].map(Keep));
    events.extend([0, 2].map(Snapshots));
    events.extend([3, 9, 17, 24, 40].map(Kill));
    events.extend([(9, false), (24, true), (40, false)].map(|(at, there)| Cut(at, there)));
    events
}

/// The starts of paths: from these, every order of events is tried.
pub(super) const SCENES: [&[Event]; 5] = [
    &[],
    &[Push { face: 0, port: 1, confirm: 0 }, Push { face: 1, port: 9, confirm: 0 }],
    &[Push { face: 0, port: 1, confirm: 0 }, Push { face: 0, port: 3, confirm: 60 }],
    &[Push { face: 0, port: 1, confirm: 0 }, Boot { broken: true }, Mend],
    &[Push { face: 0, port: 1, confirm: 0 }, Push { face: 0, port: 3, confirm: 60 }, Break, Revert],
];
