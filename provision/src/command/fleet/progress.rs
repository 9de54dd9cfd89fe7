//! A run while it goes on.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ran::stop_words;
use crate::fleet::{Event, Reporter, Stopped};
use crate::records::Record;
use crate::ui::say;

/// Shows a run: a bar on a terminal, a line for each unit elsewhere, nothing with `--json`.
pub(super) struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
    ended: usize,
    total: usize,
}

impl Progress {
    pub(super) fn new(json: bool, total: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = (is_terminal && !json).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { json, bar, ended: 0, total }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None if self.json => {}
            None => say(line),
        }
    }

    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

const BAR: &str = "{msg:>12} [{wide_bar}] {pos}/{len} {elapsed}";

impl Reporter for Progress {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Batch { number, of, units } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("batch {number}/{of}"));
                } else if of > 1 {
                    self.say(&format!("batch {number} of {of}: {units} units"));
                }
            }
            Event::Finished(record) => {
                self.ended += 1;
                // On a terminal the bar counts those that are done.
                if self.bar.is_none() || !record.outcome.is_done() {
                    self.say(&line(record, self.ended, self.total));
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(self.ended as u64);
                }
            }
            Event::Unrecorded(record) => {
                self.ended += 1;
                let line = line(record, self.ended, self.total);
                self.say(&format!("{line}; its record could not be written"));
            }
            Event::Stopping(why) => {
                let words = match why {
                    Stopped::Interrupted => {
                        "stopping: no more routers are begun, and changes under way are finished; Ctrl-C again stops \
                         at once"
                            .into()
                    }
                    why => format!("stopping: {}", stop_words(why)),
                };
                self.say(&words);
            }
        }
    }
}

fn line(record: &Record, ended: usize, total: usize) -> String {
    let Record { unit, outcome, message, milliseconds, .. } = record;
    let message = message.replace('\n', " ");
    let (seconds, tenths) = (milliseconds / 1_000, milliseconds % 1_000 / 100);
    format!("{ended}/{total} {unit}: {}: {message} ({seconds}.{tenths} s)", outcome.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
