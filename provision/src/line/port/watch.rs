//! The events of an operation, as steps of a tile.

use std::sync::mpsc::Sender;

use super::super::Message;
use super::super::board::{Look, Tile};
use crate::observe::{Event, Observer};
use crate::ui;

/// Shows the events of an operation in a tile.
pub(super) struct Watcher<'w> {
    pub(super) tile: &'w mut Tile,
    pub(super) sender: &'w Sender<Message>,
    pub(super) number: usize,
    /// Whether text was heard.
    pub(super) heard: bool,
}

impl Watcher<'_> {
    pub(super) fn step(&mut self, text: &str, progress: Option<(u32, u32)>) {
        let progress = progress.filter(|&(_, total)| total > 0).map(|(done, total)| {
            let share = u64::from(done.min(total)) * 1_000 / u64::from(total);
            u16::try_from(share).unwrap_or(1_000)
        });
        if self.tile.text != text || self.tile.progress != progress {
            self.tile.text = text.into();
            self.tile.progress = progress;
            let _ = self.sender.send(Message::Tile(self.number, Box::new(self.tile.clone())));
        }
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Line(_) => self.heard = true,
            Event::Detail(_) => {}
            // A search shows no steps.
            _ if self.tile.look != Look::Busy => {}
            Event::Uploading { done, total } => self.step("uploading", Some((done, total))),
            Event::Reading { done, total } => self.step("reading back", Some((done, total))),
            Event::Working { phase, done, total } => {
                self.step(&ui::phase(phase), Some((done, total)));
            }
            Event::Committing => self.step("applying", None),
            Event::Waiting { .. } | Event::Confirming | Event::Idle | Event::Note(_) => {}
        }
    }

    fn wants_details(&self) -> bool {
        true
    }
}
