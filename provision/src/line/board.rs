//! What a line shows: one tile for each port, and the sums.

use std::time::{Duration, Instant};

/// The state of a port, which is the colour of its tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// No router: grey.
    Empty,
    /// Something is being done: blue.
    Busy,
    /// A person has to do something, such as scan a code: yellow.
    Asks,
    /// The unit is right: green.
    Done,
    /// The unit is not right: red.
    Failed,
}

impl Look {
    /// The word in the tile, and at the begin of a line.
    #[must_use]
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Busy => "working",
            Self::Asks => "WAITS",
            Self::Done => "PASS",
            Self::Failed => "FAIL",
        }
    }
}

/// A port.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    /// Its name.
    pub(super) label: String,
    /// Its state.
    pub(super) look: Look,
    /// The unit at it; empty if there is none.
    pub(super) unit: String,
    /// What is being done, or what has become of the unit.
    pub(super) text: String,
    /// How far the step is, in thousandths; `None` for a step without an end in sight.
    pub(super) progress: Option<u16>,
    /// The last error at this port, in words; empty if there was none.
    pub(super) error: String,
    /// When the unit was begun.
    pub(super) since: Option<Instant>,
    /// How long it took, once it has ended.
    pub(super) took: Option<Duration>,
}

impl Tile {
    /// A port at which nothing happened yet.
    #[must_use]
    pub(super) fn new(label: String) -> Self {
        Self {
            label,
            look: Look::Empty,
            unit: String::new(),
            text: "no cable".into(),
            progress: None,
            error: String::new(),
            since: None,
            took: None,
        }
    }

    /// The time to show.
    #[must_use]
    pub(super) fn time(&self, now: Instant) -> Option<Duration> {
        self.took.or_else(|| self.since.map(|since| now.saturating_duration_since(since)))
    }
}

/// All ports and the sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    /// The name of the manifest and of the run.
    pub(super) title: String,
    /// The ports, in the order of their numbers.
    pub(super) tiles: Vec<Tile>,
    /// Units that are done, in this run and before.
    pub(super) done: usize,
    /// Units that failed in this run.
    pub(super) failed: usize,
    /// Units of the manifest.
    pub(super) units: usize,
    /// A sentence for the person; empty if there is none.
    pub(super) note: String,
}
