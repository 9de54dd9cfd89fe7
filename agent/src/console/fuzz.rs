//! Any bytes as the keys of a person, on the editor, the pages, and the parsers of commands and of codes to unlock.
//!
//! Promised: no panic; a line that is executed as a command is printable text, was typed whole, and has at most
//! [`LINE`] bytes; the echo has no zero, which would begin a frame, and ends; a code that is read is shown as it was meant.

use proto_core::protocol::message::ConsoleMode;
use proto_core::protocol::unlock::{Challenge, Code};
use std::string::ToString as _;
use std::vec::Vec;

use super::Reply;
use super::editor::{LINE, SUBSTITUTE};
use super::terminal::{AHEAD, Host, Terminal, Wish};
use super::words::{self, TABLE, Wrong};

/// The most bytes that a key may echo: some redrawn rows, and the list of `?`. A key that ends output also echoes the
/// keys that were typed meanwhile.
const ECHO: usize = 2 * 1024 * (1 + AHEAD);

/// Executes lines: the first letter of a line says what becomes of it.
struct Lines {
    mode: ConsoleMode,
    output: u32,
    now: u64,
}

impl Host for Lines {
    fn line(&mut self, line: &[u8], whole: bool) -> Reply {
        assert!(line.len() <= LINE);
        let paste = self.mode == ConsoleMode::Paste;
        assert!(whole || paste || line.len() == LINE, "only a paste has pieces");
        let control = matches!(line, [3 | 4 | SUBSTITUTE]);
        let is_text = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(paste || control || is_text, "{line:?} is executed");
        let text = core::str::from_utf8(line).unwrap_or_default();
        let parsed = words::parse(text);
        if let Ok(command) = &parsed {
            assert!(TABLE.contains(command.entry));
        }
        if let Err(wrong) = &parsed {
            let _ = std::format!("{wrong}");
        }
        if let Ok(code) = text.parse::<Code>() {
            assert!(code.to_string().parse() == Ok(code), "{code}");
        }
        if let Ok(challenge) = text.parse::<Challenge>() {
            assert_eq!(challenge.to_string().parse(), Ok(challenge));
        }
        self.mode = match (self.mode, line) {
            (ConsoleMode::Paste, b"." | [3 | 4]) => ConsoleMode::Command,
            (ConsoleMode::Paste, _) => ConsoleMode::Paste,
            (_, [b'l', ..]) => ConsoleMode::Paste,
            (_, [b'r', ..]) => ConsoleMode::Question,
            (_, [b'e', ..]) => ConsoleMode::Exit,
            _ => ConsoleMode::Command,
        };
        self.output = match (paste, line) {
            (false, [b's', ..]) => 20 * line.len() as u32,
            _ => 0,
        };
        let mut reply = Reply { mode: self.mode, length: self.output, ..Reply::default() };
        reply.unknown = matches!(parsed, Err(Wrong::Unknown(_)));
        reply.shell = line == b"shell";
        reply.more = (text.len() == 7).then_some(text.ends_with('n'));
        let _ = reply.prompt.push_str("router# ");
        if self.mode == ConsoleMode::Exit {
            self.mode = ConsoleMode::Command;
        }
        reply
    }

    fn greet(&mut self) -> Reply {
        self.mode = ConsoleMode::Command;
        Reply::default()
    }

    fn output(&mut self, offset: u32, buf: &mut [u8]) -> usize {
        let left = self.output.saturating_sub(offset) as usize;
        let got = left.min(buf.len());
        buf.iter_mut().take(got).zip(offset..).for_each(|(byte, at)| {
            *byte = if at % 9 == 8 { b'\n' } else { b'x' };
        });
        got
    }

    fn names(&mut self, take: &mut dyn FnMut(&str)) {
        ["wg0", "wg1", "wg-office"].into_iter().for_each(take);
    }

    fn now(&mut self) -> u64 {
        self.now
    }
}

/// Runs one input: the first byte says who sits there, and a byte over 0xf7 is an event in place of a key.
pub fn run(data: &[u8]) {
    let Some((first, keys)) = data.split_first() else { return };
    let mut terminal = Terminal::new(first & 1 == 1);
    let mut host = Lines { mode: ConsoleMode::Command, output: 0, now: 1_000 };
    for key in keys {
        let mut echoed = Vec::new();
        let mut echo = |bytes: &[u8]| echoed.extend_from_slice(bytes);
        let wish = match key {
            0xf8 => {
                host.now += 600;
                Wish::Nothing
            }
            0xf9 => {
                terminal.soil();
                Wish::Nothing
            }
            0xfa => {
                terminal.disturb(host.now, &mut echo);
                Wish::Nothing
            }
            0xfb => {
                terminal.redraw(&mut echo);
                Wish::Nothing
            }
            0xfc => {
                terminal.sleep(&mut echo);
                Wish::Nothing
            }
            0xfd => terminal.pump(64, &mut host, &mut echo),
            key => terminal.feed(core::slice::from_ref(key), &mut host, &mut echo),
        };
        if wish != Wish::Nothing {
            terminal.welcome(&mut host, &mut echo);
        }
        // As much as the port takes.
        let mut steps = 0;
        while first & 2 == 2 && terminal.has_output() {
            if terminal.pump(200, &mut host, &mut echo) != Wish::Nothing {
                terminal.welcome(&mut host, &mut echo);
            }
            steps += 1;
            assert!(steps < 1_000, "the output does not end");
        }
        assert!(echoed.len() <= ECHO, "{} bytes of echo", echoed.len());
        assert!(!echoed.contains(&0));
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<(&'static str, &'static [u8])> {
    std::vec![
        ("serial", b"\x02\rstatus\rshow wg0\r more off\rlog\rq"),
        ("keys", b"\x03one\rtwo\r\x1b[A\x1b[A\x1bOB\x01\x05\x0b\x15\x17\x7f\x08\x0c\x1b[3~\x1b[H\x1b[F?hi\t \t?\r"),
        ("paste", b"\x03load wg0\r[Interface]\r\nListenPort = 7\n\tMTU\x7fU = 1400\r.\r"),
        ("noise", b"\x02\r\xfa\xf8remove wg0\xfa\r\xf9re\xfbmove wg0\ryes\r\x00\x80\x1b\r"),
        ("ahead", b"\x01show\r????????????????????????????????????????\xfd\xfd\xfd"),
        (
            "many-keys-during-output",
            b"\x01\x03\x00\x00\x00s\r*o\r\xa0\xfd \xfds\x03\x00\x00s\ro\r\x83\n/\n\n\ne\n@'\n\n\n\n???????????????????????????????????w x\xfdq",
        ),
        ("unlock", b"\x02unlock\r7C1Q-0ZK2-M8TD-4XWA\rK7QB-29XB-M4T5\r"),
        ("sleep-in-a-paste", b"\x03l\r\xfc\xff\r\x03\x10\r"),
        ("pages", b"\x01show show show show\r \r\xfd\xfd x\xfdq"),
    ]
}

#[cfg(test)]
mod tests {
    /// The seeds keep the promises; what else does is the business of `cargo xtask fuzz console`.
    #[test]
    fn the_first_inputs_keep_the_promises() {
        super::seeds().iter().for_each(|(_, seed)| super::run(seed));
    }
}
