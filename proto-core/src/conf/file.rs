//! The file that `wg setconf` reads and `wg showconf` writes: sections, `Key = value` lines and
//! comments. White space means nothing anywhere, keys are in any case.

use super::value::allowed_ip;
use super::{ConfError, Field, Item, Problem, Section, Take, text_of};

/// The longest value, other than a list: a host name has at most 253 bytes.
pub const VALUE_MAX: usize = 320;

const FIELDS: &[(&str, Section, Field)] = &[
    ("PrivateKey", Section::Interface, Field::PrivateKey),
    ("ListenPort", Section::Interface, Field::ListenPort),
    ("FwMark", Section::Interface, Field::Fwmark),
    ("PublicKey", Section::Peer, Field::PublicKey),
    ("PresharedKey", Section::Peer, Field::PresharedKey),
    ("AllowedIPs", Section::Peer, Field::AllowedIps),
    ("Endpoint", Section::Peer, Field::Endpoint),
    ("PersistentKeepalive", Section::Peer, Field::PersistentKeepalive),
];

/// Whether it is this name, which has nothing but letters, in any case.
#[cfg_attr(feature = "small", inline(never))]
fn is_name(text: &[u8], name: &str) -> bool {
    // The two cases of a letter differ in one bit.
    let same = |(a, b): (&u8, &u8)| (a ^ b) & !0x20 == 0;
    text.len() == name.len() && text.iter().zip(name.as_bytes()).all(same)
}

/// Whether a byte can only mean itself: neither `=`, nor `,` or whatever has a smaller number.
const fn is_plain(byte: u8) -> bool {
    byte > b',' && byte != b'='
}

/// How many bytes there are before the first that is not plain. Eight at a time, because a file has
/// little else to be looked at.
#[cfg_attr(feature = "small", inline(never))]
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut at = 0_usize;
    for eight in eights {
        let eight = u64::from_le_bytes(*eight);
        // The high bit of each byte that is small, or zero, and of none before the first of them.
        let small = eight.wrapping_sub(EACH.wrapping_mul(0x2d)) & !eight;
        let equals = eight ^ EACH.wrapping_mul(0x3d);
        let equals = equals.wrapping_sub(EACH) & !equals;
        let found = (small | equals) & HIGH;
        if found != 0 {
            return at.saturating_add((found.trailing_zeros() / 8) as usize);
        }
        at = at.saturating_add(8);
    }
    let more = rest.iter().take_while(|byte| is_plain(**byte)).count();
    at.saturating_add(more)
}

/// A file that is being read.
#[derive(Debug)]
pub struct File {
    line: u32,
    section: Section,
    /// The setting whose value is under way, by its place in [`FIELDS`].
    field: Option<(&'static str, Field)>,
    /// Everything up to the end of the line is passed over.
    comment: bool,
    /// The line that the last peer began in, until its key is known.
    keyless: Option<u32>,
    text: [u8; VALUE_MAX],
    len: usize,
}

impl Default for File {
    fn default() -> Self {
        Self {
            line: 1,
            section: Section::None,
            field: None,
            comment: false,
            keyless: None,
            text: [0; VALUE_MAX],
            len: 0,
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl File {
    /// Before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last value, which may be a key.
    fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(self.text.as_mut_slice());
    }

    /// Takes the next bytes, as many or few as there are.
    ///
    /// # Errors
    /// The first thing that is wrong. The rest is not read.
    pub fn feed(&mut self, bytes: &[u8], take: &mut Take<'_>) -> Result<(), ConfError> {
        let mut rest = bytes;
        while let Some((byte, behind)) = rest.split_first() {
            if is_plain(*byte) {
                // Most bytes mean nothing but themselves, and go together.
                let (run, behind) = rest.split_at_checked(plain(rest)).unwrap_or_default();
                rest = behind;
                if !self.comment {
                    self.put(run)?;
                }
                continue;
            }
            rest = behind;
            match byte {
                b'\n' => {
                    self.end_line(take)?;
                    self.line = self.line.saturating_add(1);
                }
                _ if self.comment => {}
                // As `wg` does, which reads lines as C strings.
                b'#' | 0 => self.comment = true,
                b'\t'..=b'\r' | b' ' => {}
                b'=' if self.field.is_none() => self.begin_value(take)?,
                b',' if self.in_list() => self.end_entry(take)?,
                byte => self.put(&[*byte])?,
            }
        }
        Ok(())
    }

    /// Adds to the name or value under way.
    #[cfg_attr(feature = "small", inline(never))]
    fn put(&mut self, bytes: &[u8]) -> Result<(), ConfError> {
        let end = self.len.saturating_add(bytes.len());
        match self.text.get_mut(self.len..end) {
            Some(place) => place.copy_from_slice(bytes),
            // Without the part that fitted, which depends on how the file was cut.
            None => {
                let name = self.field.map_or("", |(name, _)| name);
                return Err(ConfError::new(self.line, name, Problem::TooLong));
            }
        }
        self.len = end;
        Ok(())
    }

    /// Takes note of the end of the file.
    ///
    /// # Errors
    /// What is wrong with its last line, or with the last peer.
    pub fn end(&mut self, take: &mut Take<'_>) -> Result<(), ConfError> {
        self.end_line(take)?;
        self.peer_is_known()
    }

    const fn in_list(&self) -> bool {
        matches!(self.field, Some((_, Field::AllowedIps)))
    }

    /// What was read of the name or value under way.
    fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// The error about what is under way.
    #[cfg_attr(feature = "small", inline(never))]
    fn wrong(&self, problem: Problem) -> ConfError {
        let Some((name, field)) = self.field else {
            return ConfError::new(self.line, text_of(self.text()), problem);
        };
        let error = ConfError::new(self.line, name, problem);
        if field.is_secret() { error } else { error.with(text_of(self.text())) }
    }

    /// An `=`: what came before it is the name of a setting.
    fn begin_value(&mut self, take: &mut Take<'_>) -> Result<(), ConfError> {
        let text = self.text();
        let named = |(name, ..): &&(&str, _, _)| is_name(text, name);
        let problem = match FIELDS.iter().find(named) {
            None => Problem::Unknown,
            Some(_) if self.section == Section::None => Problem::NoSection,
            Some((_, section, _)) if *section != self.section => Problem::Misplaced,
            Some((name, _, field)) => {
                self.field = Some((name, *field));
                self.len = 0;
                return if self.in_list() { self.tell(take, &Item::AllowedIps) } else { Ok(()) };
            }
        };
        Err(self.wrong(problem))
    }

    fn tell(&self, take: &mut Take<'_>, item: &Item<'_>) -> Result<(), ConfError> {
        take(self.line, item).map_err(|stop| self.wrong(stop.into()))
    }

    /// The end of an entry of a list.
    fn end_entry(&mut self, take: &mut Take<'_>) -> Result<(), ConfError> {
        let item = allowed_ip(self.text(), false).map_err(|problem| self.wrong(problem))?;
        self.tell(take, &item)?;
        self.len = 0;
        Ok(())
    }

    fn end_line(&mut self, take: &mut Take<'_>) -> Result<(), ConfError> {
        match self.field {
            Some((_, field)) if field != Field::AllowedIps => {
                if self.len == 0 {
                    return Err(self.wrong(Problem::NoValue));
                }
                let item = field.item(self.text()).map_err(|problem| self.wrong(problem))?;
                self.tell(take, &item)?;
                match field {
                    Field::PublicKey => self.keyless = None,
                    _ if field.is_secret() => self.wipe(),
                    _ => {}
                }
            }
            Some(_) => self.end_entry(take)?,
            None if self.len == 0 => {}
            None => self.begin_section(take)?,
        }
        (self.field, self.len, self.comment) = (None, 0, false);
        Ok(())
    }

    fn begin_section(&mut self, take: &mut Take<'_>) -> Result<(), ConfError> {
        let text = self.text();
        let [b'[', name @ .., b']'] = text else { return Err(self.wrong(Problem::Unknown)) };
        if is_name(name, "Interface") {
            self.section = Section::Interface;
        } else if is_name(name, "Peer") {
            self.peer_is_known()?;
            self.keyless = Some(self.line);
            self.section = Section::Peer;
            self.tell(take, &Item::Peer)?;
        } else {
            return Err(self.wrong(Problem::Unknown));
        }
        Ok(())
    }

    fn peer_is_known(&self) -> Result<(), ConfError> {
        match self.keyless {
            Some(line) => Err(ConfError::new(line, "", Problem::NoPublicKey)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
