//! Received data that is not a packet: the kernel's log, a login prompt, noise. It is counted, for
//! the hint when nothing answers, and kept as lines for `-v`.

use proto_core::text::misleads;

/// The maximum length of a line that is kept.
const MAX_LINE: usize = 400;
/// The maximum number of lines that are kept.
const MAX_LINES: usize = 1_000;

/// Bytes outside packets.
#[derive(Clone, Debug, Default)]
pub struct Stray {
    /// Number of bytes of text.
    pub text: u64,
    /// Number of those that cannot be text.
    pub noise: u64,
    /// Number of frames or datagrams that were damaged.
    pub garbage: u64,
    line: String,
    lines: Vec<String>,
}

impl Stray {
    pub(crate) fn take_text(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.text += c.len_utf8() as u64;
                self.noise += u64::from(
                    c.is_control() && !matches!(c, '\t' | '\r' | '\n' | '\x1b' | '\x08' | '\x07'),
                );
                match c {
                    '\n' => self.end_line(),
                    '\r' => {}
                    '\t' => self.line.push(' '),
                    // They are shown as symbols, so that the terminal does not execute them.
                    c if misleads(c) => self.line.extend(c.escape_default()),
                    c => self.line.push(c),
                }
                if self.line.len() >= MAX_LINE {
                    self.end_line();
                }
            }
            let broken = chunk.invalid().len();
            self.text += broken as u64;
            self.noise += broken as u64;
            if broken > 0 {
                self.line.push('\u{fffd}');
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() && self.lines.len() < MAX_LINES {
            self.lines.push(line);
        }
    }

    /// Takes the complete lines, and at the end of a session also an incomplete one.
    pub fn take_lines(&mut self, all: bool) -> Vec<String> {
        if all {
            self.end_line();
        }
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_harmless() {
        let mut stray = Stray::default();
        stray.take_text(b"[ 1.0] usb 1-1\r\n\r\nlo");
        stray.take_text(b"gin: \x1b[2J\xff\xfe\x01");
        assert_eq!(stray.take_lines(false), ["[ 1.0] usb 1-1"]);
        assert_eq!(stray.take_lines(true), ["login: \\u{1b}[2J\u{fffd}\u{fffd}\\u{1}"]);
        assert_eq!(stray.take_lines(true), [""; 0]);
        assert_eq!((stray.text, stray.noise), (18 + 14, 3));
    }

    #[test]
    fn endless_text_stays_small() {
        let mut stray = Stray::default();
        for _ in 0..100_000 {
            stray.take_text(b"xxxxxxxxxxxxxxxxxxxxxxxx");
        }
        assert!(stray.take_lines(true).len() <= MAX_LINES);
    }
}
