//! The line: routers that come one after the other at many serial ports, each found, claimed, configured, read back and
//! recorded while others are plugged in and out.
//!
//! - `ports`: which ports there are;
//! - `port`: what happens at one of them;
//! - `rows`: which router becomes which unit of the manifest;
//! - `board`, `screen`, `terminal`: what the person sees.
//!
//! Not here: routers that are reached over UDP ([`crate::fleet`]).

mod board;
mod port;
mod ports;
mod rows;
mod screen;
mod terminal;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use proto_core::protocol::message::OwnerName;

use crate::fleet::{How, Operation, is_settled};
use crate::home::{Home, Operator};
use crate::interrupt;
use crate::manifest::Manifest;
use crate::records::{self, Outcome, Record, UNKNOWN_UNIT, Writer};

use board::{Board, Look, Tile};
use port::{Shared, Worker};
pub use ports::{Pattern, Ports};
pub use rows::{Assign, Rows};
use terminal::Display;

/// Pause between two looks for ports and frames.
const TURN: Duration = Duration::from_millis(100);

/// How a line works.
#[derive(Debug)]
pub struct Options {
    /// Its ports.
    pub ports: Vec<Pattern>,
    /// The name of the run in records.
    pub run: String,
    /// How routers are configured.
    pub how: How,
    /// What to set the DTR line of ports to.
    pub dtr: Option<bool>,
    /// The operator's name in the routers' lists of owners.
    pub owner: OwnerName,
    /// How units are chosen for routers.
    pub assign: Assign,
    /// How long a router may take to answer, from its cable on.
    pub patience: Duration,
    /// A program to run for each unit that was done, with its record.
    pub on_done: Option<String>,
    /// End when every unit is done.
    pub until_done: bool,
    /// Plain lines on a terminal too.
    pub plain: bool,
    /// Ring the bell of the terminal when a unit has ended.
    pub bell: bool,
    /// Print nothing.
    pub silent: bool,
}

/// What a port or a scanner tells the line.
enum Message {
    /// The new state of a tile.
    Tile(usize, Box<Tile>),
    /// A unit has ended. The reply says whether the record is on the disk.
    Record(Box<Record>, Sender<bool>),
    /// One of the operator's own files cannot be used, for this reason: no other unit can avoid it.
    Stopped(String),
    /// The person is to look.
    Ring,
    /// A line from standard input.
    Scanned(String),
    /// A sentence for the person.
    Note(String),
    /// A port has stopped.
    Ended,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// The last outcome of each unit in this run.
    pub units: HashMap<String, Outcome>,
    /// Units that are done, in this run and before.
    pub done: usize,
    /// Why records could not be written.
    pub unwritten: Option<String>,
    /// Why one of the operator's own files could not be used.
    pub own: Option<String>,
}

impl Summary {
    /// The units of this run that are not done, in order of their names.
    #[must_use]
    pub fn failed(&self) -> Vec<&str> {
        let mut failed: Vec<&str> = self
            .units
            .iter()
            .filter(|(_, outcome)| !outcome.is_done())
            .map(|(unit, _)| unit.as_str())
            .collect();
        failed.sort_unstable();
        failed
    }
}

/// The main thread's side of a run.
struct Line<'l> {
    records: &'l mut Writer,
    board: Board,
    display: Display,
    summary: Summary,
    /// Units that are done, by name.
    done: HashMap<String, bool>,
    silent: bool,
}

/// Runs a line until it is stopped, or until every unit is done. `before` is what earlier runs have recorded.
#[must_use]
pub fn run(
    manifest: &Manifest,
    options: &Options,
    (home, operator): (&Home, &Operator),
    rows: Rows,
    before: &[Record],
    records: &mut Writer,
) -> Summary {
    let (told, mut done) = (records::told(before), HashMap::new());
    let mut programs = HashMap::new();
    for (row, unit) in manifest.units.iter().enumerate() {
        let Some(key) = rows.router(row) else { continue };
        let router = key.to_string();
        let is_due = told.get(&*unit.name).is_none_or(|told| told.is_program_due(&router));
        if is_settled(&told, unit, Some(key), Operation::Push) {
            done.insert(unit.name.clone(), options.on_done.is_none() || !is_due);
        }
        programs.insert(unit.name.clone(), (router, is_due));
    }
    let shared = Shared {
        manifest,
        options,
        home,
        operator,
        rows: Mutex::new(rows),
        devices: Mutex::default(),
        programs: Mutex::new(programs),
        stop: AtomicBool::new(false),
    };
    let title = manifest.path.file_stem().unwrap_or_default().to_string_lossy();
    let board = Board {
        title: format!("postwire line {title}"),
        units: manifest.units.len(),
        done: done.values().filter(|done| **done).count(),
        ..Board::default()
    };
    let display = Display::new(options.plain || options.silent, options.bell && !options.silent);
    let silent = options.silent;
    let mut line = Line { records, board, display, summary: Summary::default(), done, silent };
    let (sender, receiver) = mpsc::channel();
    if options.assign == Assign::Scan {
        read_codes(sender.clone());
    }
    line.run(&shared, &sender, &receiver);
    line.summary.done = line.done.values().filter(|done| **done).count();
    line.summary
}

/// Passes on the lines of standard input, in a thread that ends with the program.
fn read_codes(sender: Sender<Message>) {
    std::thread::spawn(move || {
        let end =
            codes(std::io::stdin().lock(), &mut |code| sender.send(Message::Scanned(code)).is_ok());
        let _ = sender.send(Message::Note(format!("no more codes can be scanned: {end}")));
    });
}

/// Passes on the lines of a scanner, until `take` returns `false`. Returns why there are no more. A scanner may send any
/// bytes: a code that is not UTF-8 belongs to no unit, and other codes follow.
fn codes(scanner: impl std::io::BufRead, take: &mut dyn FnMut(String) -> bool) -> String {
    for line in scanner.split(b'\n') {
        let line = match line {
            Ok(line) => line,
            Err(error) => return format!("cannot read standard input: {error}"),
        };
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() && !take(line.into_owned()) {
            break;
        }
    }
    "standard input has ended".into()
}

impl Line<'_> {
    fn run(&mut self, shared: &Shared<'_>, sender: &Sender<Message>, receiver: &Receiver<Message>) {
        let options = shared.options;
        let mut ports = Ports::new(options.ports.clone());
        let (mut working, mut first, mut waits, mut told) = (0, true, false, false);
        let mut looked: Option<Instant> = None;
        std::thread::scope(|scope| {
            loop {
                let stops = shared.stop.load(Ordering::SeqCst) || interrupt::stopping();
                if interrupt::stopping() && !told {
                    told = true;
                    self.note("stopping: no more routers are begun; Ctrl-C again stops at once");
                }
                // Ports at work send more messages than there are reasons to look for new ports.
                let looks = !stops && looked.is_none_or(|looked| looked.elapsed() >= TURN);
                let fresh = if looks { ports.look() } else { Vec::new() };
                if looks {
                    looked = Some(Instant::now());
                }
                if first && fresh.is_empty() {
                    let patterns: Vec<String> =
                        options.ports.iter().map(ToString::to_string).collect();
                    waits = true;
                    self.note(&format!("no port yet that matches {}", patterns.join(", ")));
                } else if waits && !fresh.is_empty() {
                    waits = false;
                    self.board.note.clear();
                }
                for port in fresh {
                    let number = self.board.tiles.len();
                    self.board.tiles.push(Tile::new(port.label()));
                    let worker = Worker::new(shared, number, port, !first, sender.clone());
                    working += 1;
                    scope.spawn(move || worker.work());
                }
                first = false;
                let mut message = receiver.recv_timeout(TURN);
                while let Ok(next) = message {
                    if matches!(next, Message::Ended) {
                        working -= 1;
                    }
                    self.take(next, shared);
                    message = receiver.try_recv().map_err(|_| RecvTimeoutError::Timeout);
                }
                self.display.show(&self.board);
                if options.until_done && self.board.done >= self.board.units {
                    shared.stop.store(true, Ordering::SeqCst);
                }
                if stops && working == 0 {
                    return;
                }
            }
        });
    }

    fn note(&mut self, text: &str) {
        self.board.note = text.into();
        if !self.silent {
            self.display.line(text);
        }
    }

    fn take(&mut self, message: Message, shared: &Shared<'_>) {
        match message {
            Message::Tile(number, tile) => {
                let Some(old) = self.board.tiles.get_mut(number) else { return };
                let is_news = (&old.text, old.look) != (&tile.text, tile.look);
                *old = *tile;
                if is_news && !self.silent {
                    self.display.line(&words(number, old));
                }
            }
            Message::Record(record, reply) => {
                self.records.add(&record);
                let written = self.records.sync();
                let is_written = written.is_ok();
                if let Err(why) = written {
                    shared.stop.store(true, Ordering::SeqCst);
                    self.note(&format!("stopping: {why}"));
                    self.summary.unwritten = Some(why);
                }
                if record.unit != UNKNOWN_UNIT {
                    let is_over = record.operation == Operation::Program.name();
                    let is_done = record.outcome.is_done() && (is_over || record.program.is_none());
                    self.done.insert(record.unit.clone(), is_done);
                    self.summary.units.insert(record.unit.clone(), record.outcome);
                }
                self.board.done = self.done.values().filter(|done| **done).count();
                self.board.failed = self.summary.failed().len();
                // A port that stopped meanwhile does not wait.
                let _ = reply.send(is_written);
            }
            Message::Stopped(why) => {
                self.note(&format!("stopping: {why}"));
                self.summary.own.get_or_insert(why);
            }
            Message::Ring => self.display.ring(),
            Message::Note(text) => self.note(&text),
            Message::Scanned(code) => {
                let ports = self.board.tiles.len();
                let scanned =
                    shared.rows().scan(&code, ports, |unit| &shared.manifest.units[unit].name);
                if scanned.is_err() {
                    self.display.ring();
                }
                self.note(&scanned.unwrap_or_else(|why| why));
            }
            Message::Ended => {}
        }
    }
}

/// The state of a tile as a line.
fn words(number: usize, tile: &Tile) -> String {
    let Tile { label, look, unit, text, took, .. } = tile;
    let number = number + 1;
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}:") };
    let took = match (look, took) {
        (Look::Done | Look::Failed, Some(took)) => format!(" ({:.1} s)", took.as_secs_f32()),
        _ => String::new(),
    };
    let look = match look {
        Look::Done | Look::Failed | Look::Asks => format!(" {}", look.word()),
        Look::Empty | Look::Busy => String::new(),
    };
    format!("port {number} {label}:{look}{unit} {text}{took}")
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// A byte that is no UTF-8 ended all scanning, in silence.
    #[test]
    fn a_scanner_may_send_any_bytes() {
        for size in [1, 3, 100] {
            let bytes = &b"a\r\n\xff\xfe9\n\n \nb\xc3\nc"[..];
            let mut seen = Vec::new();
            let end = codes(BufReader::with_capacity(size, bytes), &mut |code| {
                seen.push(code);
                true
            });
            assert_eq!(seen, ["a\r", "\u{fffd}\u{fffd}9", "b\u{fffd}", "c"]);
            assert_eq!(end, "standard input has ended");
        }
    }
}
