//! A person at a terminal: keys become lines, output is paged, and input during output waits.
//!
//! The terminal sleeps until a person presses Enter: a sleeping terminal echoes nothing, so that
//! two ends that echo, or a boot loader or another console at the other end, do not answer each
//! other endlessly. A line that is a command wakes the terminal too; several lines in a row that are
//! not commands put it to sleep until the line has been silent.
//!
//! Not here: the execution of lines ([`Host`]), and the line itself.

use heapless::Vec;
use proto_core::protocol::message::ConsoleMode;

use super::Reply;
use super::editor::{Echo, Editor, Manner, Typed};
use super::words::{self, TABLE, takes};

/// Rows of a page, without the row of `--More--`.
const ROWS: u8 = 23;
/// Columns of a row.
const COLUMNS: u8 = 80;
/// Number of bytes that wait during output.
pub(super) const AHEAD: usize = 128;
/// Weights of consecutive lines that are not commands: of a line with text, of an empty line, and
/// the sum at which the terminal falls asleep.
const STRANGE: (u8, u8, u8) = (4, 1, 20);
/// Milliseconds after which noise on an otherwise empty line is dropped.
const FORGET: u64 = 1_000;
/// Milliseconds of silence after which no echo of the terminal's output is expected any more.
const QUIET: u64 = 1_000;

const MORE: &[u8] = b"--More--";
const NO_MORE: &[u8] = b"\r        \r";

/// The executor of lines.
pub trait Host {
    /// Executes a line. A line that is not `whole` is the front of a longer line of a pasted file.
    fn line(&mut self, line: &[u8], whole: bool) -> Reply;
    /// Starts a conversation: returns the kind of the next line and the prompt. Has no output.
    fn greet(&mut self) -> Reply;
    /// Reads output of the last line. Returns the number of bytes.
    fn output(&mut self, offset: u32, buf: &mut [u8]) -> usize;
    /// Passes the names of interfaces to `take`.
    fn names(&mut self, take: &mut dyn FnMut(&str));
    /// Milliseconds of a monotonic clock.
    fn now(&mut self) -> u64;
}

/// The next action of the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// No action.
    Nothing,
    /// Run a shell.
    Shell,
    /// The person left.
    Exit,
}

/// The state of the output.
#[derive(Clone, Copy, Debug)]
struct Output {
    at: u32,
    length: u32,
    /// Row and column on the page.
    row: u8,
    column: u8,
    /// Whether a page is full, so that the next key continues.
    more: bool,
    then: Wish,
}

/// The terminal.
#[derive(Debug)]
pub struct Terminal {
    editor: Editor,
    mode: ConsoleMode,
    output: Option<Output>,
    ahead: Vec<u8, AHEAD>,
    pages: bool,
    awake: bool,
    /// Sum of the weights of the last lines, which were not commands.
    strange: u8,
    /// Until this time, input is treated as the echo of output before the terminal fell asleep.
    deaf_until: u64,
    /// Whether other output is on the row of the line.
    dirty: bool,
    /// Time of the last disturbance.
    disturbed: u64,
    /// Whether a person started the terminal, which then never sleeps.
    attended: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new(false)
    }
}

/// The rows of the welcome, in two parts around the host's prompt.
const WELCOME: &[u8] = b"\r\nPostwire console; `help` lists the commands\r\n";
const ASLEEP: &[u8] = b"\r\nPress Enter for the Postwire console\r\n";

impl Terminal {
    /// A terminal, asleep unless a person has started it.
    #[must_use]
    pub const fn new(attended: bool) -> Self {
        Self {
            editor: Editor::new(),
            mode: ConsoleMode::Command,
            output: None,
            ahead: Vec::new(),
            pages: true,
            awake: attended,
            strange: 0,
            deaf_until: 0,
            dirty: false,
            disturbed: 0,
            attended,
        }
    }

    /// Whether the terminal is in use.
    #[must_use]
    pub const fn is_awake(&self) -> bool {
        self.awake
    }

    /// Whether output waits to be sent.
    #[must_use]
    pub const fn has_output(&self) -> bool {
        matches!(self.output, Some(Output { more: false, .. }))
    }

    /// Prints welcome and prompt.
    pub fn welcome(&mut self, host: &mut dyn Host, echo: &mut Echo<'_>) {
        self.awake = true;
        self.strange = 0;
        self.editor.clear();
        echo(WELCOME);
        let reply = host.greet();
        self.ask(&reply);
        self.editor.redraw(echo);
    }

    /// Falls asleep.
    pub fn sleep(&mut self, echo: &mut Echo<'_>) {
        if self.awake {
            echo(ASLEEP);
        }
        self.forget();
    }

    /// Resets the terminal without output: the line hung up.
    pub fn forget(&mut self) {
        self.editor.forget();
        self.ahead.clear();
        (self.output, self.awake, self.dirty) = (None, self.attended, false);
        self.pages = true;
        self.mode = ConsoleMode::Command;
        // The keys of the next person are no longer those of a file.
        self.editor.set_prompt("", Manner::Command);
    }

    /// Records that other output was sent to the terminal, on the row of the line.
    pub const fn soil(&mut self) {
        self.dirty = true;
    }

    /// Writes prompt and line again after another program printed whole lines.
    pub fn redraw(&mut self, echo: &mut Echo<'_>) {
        if self.awake && self.output.is_none() {
            self.editor.redraw(echo);
        }
    }

    /// Closes what the person had open, and tells why: output ends, and the next person finds no line of this one.
    pub fn interrupt(&mut self, words: &str, reply: &Reply, echo: &mut Echo<'_>) {
        if !self.awake {
            return;
        }
        self.output = None;
        self.ahead.clear();
        self.editor.forget();
        echo(b"\r\x1b[K");
        echo(words.as_bytes());
        echo(b"\r\n");
        self.ask(reply);
        self.editor.redraw(echo);
    }

    /// Records that bytes of the line may be lost: those of a broken frame.
    pub fn disturb(&mut self, now: u64, echo: &mut Echo<'_>) {
        self.disturbed = now;
        if self.awake { self.editor.disturb(echo) } else { self.editor.disturb(&mut |_| {}) }
    }

    /// Prepares for the next line.
    fn ask(&mut self, reply: &Reply) {
        self.mode = reply.mode;
        let manner = match reply.mode {
            ConsoleMode::Paste => Manner::Paste,
            ConsoleMode::Question => Manner::Answer,
            _ => Manner::Command,
        };
        self.editor.set_prompt(&reply.prompt, manner);
    }

    /// Takes input of the person.
    pub fn feed(&mut self, bytes: &[u8], host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        let mut wish = Wish::Nothing;
        for byte in bytes {
            match self.key(*byte, host, echo) {
                Wish::Nothing => {}
                other => wish = other,
            }
        }
        wish
    }

    fn key(&mut self, byte: u8, host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        match &mut self.output {
            Some(output) if output.more => {
                echo(NO_MORE);
                output.more = false;
                output.row = match byte {
                    b'\r' | b'\n' => ROWS.saturating_sub(1),
                    _ => 0,
                };
                if matches!(byte, b'q' | b'Q' | 3) {
                    output.at = output.length;
                }
                return Wish::Nothing;
            }
            Some(output) if byte == 3 => {
                output.at = output.length;
                self.ahead.clear();
                echo(b"^C\r\n");
                return Wish::Nothing;
            }
            Some(_) => {
                if self.ahead.push(byte).is_err() {
                    echo(b"\x07");
                    // A damaged line must not look like a whole line.
                    if let Some(last) = self.ahead.last_mut() {
                        *last = super::editor::SUBSTITUTE;
                    }
                }
                return Wish::Nothing;
            }
            None => {}
        }
        if !self.awake {
            return self.key_asleep(byte, host, echo);
        }
        if core::mem::take(&mut self.dirty) {
            echo(b"\r\n");
            self.editor.redraw(echo);
        }
        if self.editor.is_noise()
            && !self.editor.line().is_empty()
            && host.now().saturating_sub(self.disturbed) >= FORGET
        {
            self.editor.clear();
            self.editor.redraw(echo);
        }
        match self.editor.byte(byte, echo) {
            Typed::Nothing => Wish::Nothing,
            Typed::Line => {
                echo(b"\r\n");
                self.execute(host, echo)
            }
            Typed::Piece => {
                let reply = host.line(self.editor.line(), false);
                self.editor.clear();
                // The line continues, unless the host refused it.
                if reply.length > 0 {
                    echo(b"\r\n");
                    return self.begin(&reply, host, echo);
                }
                // The next piece is shown in place of this one: the row has no more columns.
                echo(b"\r\x1b[K");
                self.editor.byte(byte, echo);
                Wish::Nothing
            }
            Typed::Interrupt => {
                echo(b"^C\r\n");
                self.editor.clear();
                let reply = host.line(&[3], true);
                self.begin(&reply, host, echo)
            }
            Typed::End => {
                echo(b"\r\n");
                let reply = host.line(&[4], true);
                self.begin(&reply, host, echo)
            }
            Typed::Tab => {
                self.complete(false, host, echo);
                Wish::Nothing
            }
            Typed::Help => {
                self.complete(true, host, echo);
                Wish::Nothing
            }
        }
    }

    /// Takes a byte while the terminal is asleep: there is no echo.
    fn key_asleep(&mut self, byte: u8, host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        if self.deaf_until > 0 {
            let now = host.now();
            if now < self.deaf_until {
                self.deaf_until = now.saturating_add(QUIET);
                return Wish::Nothing;
            }
            self.deaf_until = 0;
        }
        match self.editor.byte(byte, &mut |_| {}) {
            Typed::Line => {}
            Typed::Nothing => return Wish::Nothing,
            _ => {
                self.editor.clear();
                return Wish::Nothing;
            }
        }
        let line = self.editor.line();
        let command = core::str::from_utf8(line).is_ok_and(|line| words::parse(line).is_ok());
        if line.is_empty() {
            self.welcome(host, echo);
        } else if command && self.editor.is_whole() {
            self.welcome_with(host, echo);
            return self.execute(host, echo);
        } else {
            self.editor.clear();
        }
        Wish::Nothing
    }

    /// As [`Self::welcome`], when a line exists already.
    fn welcome_with(&mut self, host: &mut dyn Host, echo: &mut Echo<'_>) {
        (self.awake, self.strange) = (true, 0);
        let reply = host.greet();
        self.ask(&reply);
        self.editor.redraw(echo);
        echo(b"\r\n");
    }

    /// Executes the line of the editor.
    fn execute(&mut self, host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        let whole = self.editor.is_whole();
        let is_command = self.mode == ConsoleMode::Command && whole;
        let reply = match whole || self.mode == ConsoleMode::Paste {
            true => host.line(self.editor.line(), true),
            // The host reports the reason.
            false if self.editor.is_overlong() => host.line(self.editor.line(), false),
            false => host.line(&[super::editor::SUBSTITUTE], true),
        };
        // No command has a `=` except at the end of a key: it may be a line of a file that came too late, with a key.
        if is_command && !(reply.unknown && self.editor.line().contains(&b'=')) {
            self.editor.remember();
        }
        let (says, empty, most) = STRANGE;
        let weight = match (reply.unknown, self.editor.line().is_empty()) {
            (true, _) => says,
            (false, true) if self.mode == ConsoleMode::Command => empty,
            (false, _) => 0,
        };
        self.strange = if weight > 0 { self.strange.saturating_add(weight) } else { 0 };
        self.editor.clear();
        if self.strange >= most && !self.attended {
            self.sleep(echo);
            self.deaf_until = host.now().saturating_add(QUIET);
            return Wish::Nothing;
        }
        if let Some(pages) = reply.more {
            self.pages = pages;
        }
        self.begin(&reply, host, echo)
    }

    /// Starts the output of a line.
    fn begin(&mut self, reply: &Reply, host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        let then = match (reply.mode, reply.shell) {
            (_, true) => Wish::Shell,
            (ConsoleMode::Exit, _) => Wish::Exit,
            _ => Wish::Nothing,
        };
        self.ask(reply);
        if reply.length == 0 {
            return self.end(then, host, echo);
        }
        let (at, length, row, column, more) = (0, reply.length, 0, 0, false);
        self.output = Some(Output { at, length, row, column, more, then });
        Wish::Nothing
    }

    /// Ends the output of a line.
    fn end(&mut self, then: Wish, host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        self.output = None;
        if then != Wish::Nothing {
            self.ahead.clear();
            return then;
        }
        self.dirty = false;
        if self.mode != ConsoleMode::Paste {
            self.editor.redraw(echo);
        }
        let ahead = core::mem::take(&mut self.ahead);
        self.feed(&ahead, host, echo)
    }

    /// Sends output, at most `room` bytes of text.
    pub fn pump(&mut self, mut room: usize, host: &mut dyn Host, echo: &mut Echo<'_>) -> Wish {
        while let Some(mut output) = self.output {
            if output.more {
                break;
            }
            if output.at >= output.length {
                match self.end(output.then, host, echo) {
                    Wish::Nothing => continue,
                    other => return other,
                }
            }
            // An LF becomes two bytes, and `--More--` may follow.
            let most = room.saturating_sub(MORE.len()).div_euclid(2).min(128);
            if most == 0 {
                break;
            }
            let mut buf = [0; 128];
            let left = usize::try_from(output.length.saturating_sub(output.at)).unwrap_or(most);
            let got = host.output(output.at, buf.get_mut(..most.min(left)).unwrap_or_default());
            if got == 0 {
                // The file no longer exists.
                output.length = output.at;
            }
            for byte in buf.get(..got).unwrap_or_default() {
                output.at = output.at.saturating_add(1);
                room = room.saturating_sub(2);
                if *byte == b'\n' {
                    echo(b"\r\n");
                    (output.row, output.column) = (output.row.saturating_add(1), 0);
                } else {
                    if output.column == COLUMNS {
                        (output.row, output.column) = (output.row.saturating_add(1), 0);
                    }
                    output.column = output.column.saturating_add(1);
                    echo(core::slice::from_ref(byte));
                }
                if self.pages && output.row >= ROWS && output.at < output.length {
                    echo(MORE);
                    output.more = true;
                    break;
                }
            }
            self.output = Some(output);
        }
        Wish::Nothing
    }

    /// Completes the word at the cursor as far as it is unique, or lists the candidates.
    #[inline(never)]
    fn complete(&mut self, list: bool, host: &mut dyn Host, echo: &mut Echo<'_>) {
        let mut before = Vec::<u8, { super::editor::LINE }>::new();
        let _ = before.extend_from_slice(self.editor.before_cursor());
        let line = core::str::from_utf8(&before).unwrap_or_default().trim_start_matches(' ');
        let (front, word) = proto_core::text::split_last(line, b' ').unwrap_or(("", line));
        let entry = match front.is_empty() {
            true => None,
            false => words::find(front.split(' ').next().unwrap_or_default()).ok(),
        };
        let names = entry.is_some_and(|entry| {
            let first = !front.trim_end_matches(' ').contains(' ');
            first && entry.takes & (takes::INTERFACE | takes::ONE_INTERFACE) != 0
        });
        // The common prefix of all candidates, and their number.
        let mut common = heapless::String::<32>::new();
        let mut count = 0_u32;
        let mut listed = 0_usize;
        if list {
            echo(b"?\r\n");
        }
        {
            let mut take = |name: &str, about: &str| {
                if !words::begins(name, word) {
                    return;
                }
                count = count.saturating_add(1);
                if count == 1 {
                    let _ = common.push_str(name);
                } else {
                    let same = common.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
                    common.truncate(same);
                }
                if list {
                    echo(b"  ");
                    echo(name.as_bytes());
                    if about.is_empty() {
                        listed = listed.saturating_add(1);
                    } else {
                        for _ in name.len()..10 {
                            echo(b" ");
                        }
                        echo(about.as_bytes());
                    }
                    echo(b"\r\n");
                }
            };
            if front.is_empty() {
                TABLE.iter().for_each(|entry| take(entry.name, entry.about));
            } else if names {
                host.names(&mut |name| take(name, ""));
            }
        }
        if list {
            match entry {
                Some(entry) if listed == 0 => {
                    echo(b"  ");
                    echo(entry.name.as_bytes());
                    echo(b" ");
                    echo(entry.usage.as_bytes());
                    echo(b"\r\n");
                }
                _ => {}
            }
            self.editor.redraw(echo);
            return;
        }
        let rest = common.get(word.len()..).unwrap_or_default();
        if count == 0 || (count > 1 && rest.is_empty()) {
            echo(b"\x07");
        }
        self.editor.insert(rest.as_bytes(), echo);
        if count == 1 {
            self.editor.insert(b" ", echo);
        }
    }
}
