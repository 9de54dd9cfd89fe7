//! The file: its text, and the settings that are needed as a whole. Settings that are lists, and
//! the hooks, are read again from the text each time they are needed.

use proto_core::conf::quick::QUICK_VALUE_MAX;
use proto_core::conf::setting::{boolean, next_word};
use proto_core::conf::{ConfError, Field, Part, Problem, QuickFile, Span, Stop, shown};
use proto_core::text::Text;

use super::process::QuickProcess;
use super::{Exit, FAILED};
use crate::system::File;
use crate::wg::Wg;
use crate::wg::out::Out;
use crate::wg::spool::Spool;

/// Bytes of one read.
const PIECE: usize = 16 * 1024;

/// The file.
pub(super) struct Conf<'w, F> {
    /// Its settings.
    pub(super) text: Spool<'w, F>,
    /// `MTU`, or empty.
    pub(super) mtu: Text<16>,
    /// `Table`, or empty.
    pub(super) table: Text<64>,
    /// `SaveConfig`.
    pub(super) saves: bool,
    /// Whether the configuration has a name server.
    pub(super) has_dns: bool,
}

/// Whether a word of `DNS` is a name server rather than a search domain.
pub(super) fn is_name_server(word: &str) -> bool {
    word.contains(':') || word.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
}

impl<'w, F: File> Conf<'w, F> {
    /// Reads a file into `text`.
    pub(super) fn read<P: QuickProcess<File = F>>(
        wg: &Wg<'_, P>,
        path: &str,
        mut text: Spool<'w, F>,
    ) -> Result<Self, Exit> {
        let refused = |errno| wg.say(format_args!("{}: {errno}", shown(path)));
        let mut input = wg.process.open(Some(path)).map_err(refused)?;
        let mut piece = [0; PIECE];
        loop {
            let got = wg.process.read(&mut input, &mut piece).map_err(refused)?;
            if got == 0 {
                break;
            }
            let kept = text.append(piece.get(..got).unwrap_or_default());
            kept.map_err(|fault| wg.tell("the configuration", "", fault))?;
        }
        zeroize::Zeroize::zeroize(piece.as_mut_slice());
        let (mtu, table) = (Text::cut(""), Text::cut(""));
        let (mut saves, mut has_dns) = (false, false);
        let mut this = Self { text, mtu, table, saves, has_dns };
        let (mut mtu, mut table) = (mtu, table);
        this.each(wg, &mut |line, setting, value| {
            let wrong = |words: &str| {
                let (name, value) = (setting.name(), shown(value));
                wg.say(format_args!("line {line}: {name} `{value}' {words}"))
            };
            match setting {
                Field::Mtu => {
                    mtu = Text::cut(value);
                    if &*mtu != value {
                        return Err(wrong("is too long").into());
                    }
                }
                Field::Table => {
                    table = Text::cut(value);
                    if &*table != value {
                        return Err(wrong("is too long").into());
                    }
                }
                Field::SaveConfig => {
                    let read = boolean(value).ok_or_else(|| wrong("is neither true nor false"));
                    saves = read?;
                }
                Field::Dns => {
                    let mut rest = value;
                    while let Some(word) = next_word(&mut rest) {
                        has_dns |= is_name_server(word);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { mtu, table, saves, has_dns, ..this })
    }

    /// Visits all parts of the file.
    fn parts<P: QuickProcess<File = F>>(
        &mut self,
        wg: &Wg<'_, P>,
        take: &mut dyn FnMut(u32, &Part<'_>) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let mut value = [0; QUICK_VALUE_MAX];
        let mut file = QuickFile::new(&mut value);
        let mut outcome = Ok(());
        let mut at = 0_u32;
        loop {
            let piece = self.text.piece(at, PIECE);
            let piece = piece.map_err(|fault| wg.tell("the configuration", "", fault))?;
            let mut part = |at: Span, part: &Part<'_>| {
                outcome = take(at.line, part);
                outcome.map_err(|_| Stop)
            };
            let read = match piece.len() {
                0 => file.end(&mut part),
                _ => file.feed(piece, &mut part),
            };
            match read {
                Err(ConfError { problem: Problem::Stopped, .. }) => return outcome,
                Err(error) => return Err(wg.say(format_args!("{error}")).into()),
                Ok(()) if piece.is_empty() => return Ok(()),
                Ok(()) => at = at.saturating_add(piece.len() as u32),
            }
        }
    }

    /// Visits all settings with their lines.
    pub(super) fn each<P: QuickProcess<File = F>>(
        &mut self,
        wg: &Wg<'_, P>,
        take: &mut dyn FnMut(u32, Field, &str) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        self.parts(wg, &mut |line, part| match part {
            Part::Setting(setting, value) => take(line, *setting, value),
            Part::Wg(_) => Ok(()),
        })
    }

    /// Prints the part for wg(8).
    pub(super) fn strip<P: QuickProcess<File = F>>(&mut self, wg: &Wg<'_, P>) -> Result<(), Exit> {
        let mut page = [0; 4096];
        let mut out = Out::new(wg, &mut page);
        self.parts(wg, &mut |_, part| {
            if let Part::Wg(bytes) = part {
                out.bytes(bytes);
            }
            Ok(())
        })?;
        out.bytes(b"\n");
        out.finish().map(|_| ()).map_err(|_| FAILED)
    }
}
