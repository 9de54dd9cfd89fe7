//! Appends records to a file. Several units that end together are written and synced together.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Record;

/// Bytes that are written to try a file: more than one record.
const TRIAL: usize = 4_096;

/// What records are appended to.
pub trait Sink: io::Write {
    /// Returns when all that was written is on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;

    /// The length, if it can be cut.
    fn length(&self) -> Option<u64>;

    /// Takes away what is behind this length.
    ///
    /// # Errors
    /// The system's.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // A pipe or a device has nothing to sync.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    fn length(&self) -> Option<u64> {
        self.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.len())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// A file with records.
#[derive(Debug)]
pub struct Writer<S = File> {
    path: PathBuf,
    file: S,
    waiting: Vec<u8>,
    /// The file ends in the middle of a line, which a crash left.
    torn: bool,
}

/// Whether a file that is not empty has records: a manifest named by mistake would be spoiled. What a crash has left of
/// the first record is one too.
fn begins_with_record(file: &mut File) -> io::Result<bool> {
    let mut front = [0; 1_024];
    file.seek(SeekFrom::Start(0))?;
    let length = file.read(&mut front)?;
    let mut lines = front[..length].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    // Whole lines of zeros or spaces are what a crash leaves too.
    let first = lines.find(|line| !line.iter().all(|byte| matches!(byte, 0 | b' ')));
    let begin = b"{\"version\":";
    Ok(first.is_none_or(|line| line.starts_with(begin) || begin.starts_with(line)))
}

impl Writer {
    /// Opens a file for appending and tries it: bytes are written, synced and taken away again. So a full disk or a
    /// file system that is read-only shows before the first unit.
    ///
    /// # Errors
    /// What failed, in words.
    pub fn open(path: &Path) -> Result<Self, String> {
        let open = || -> io::Result<(File, bool)> {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(path)?;
            // Two runs that append to one file would each resume from half of the records. A file system without
            // locks still takes records.
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(io::Error::other("another run writes to the file"));
            }
            let length = file.metadata()?.len();
            let mut torn = false;
            if length > 0 && file.metadata()?.is_file() {
                if !begins_with_record(&mut file)? {
                    return Err(io::Error::other("it has other content than records"));
                }
                let mut last = [0];
                file.seek(SeekFrom::Start(length - 1))?;
                file.read_exact(&mut last)?;
                torn = last != *b"\n";
            }
            if file.metadata()?.is_file() {
                file.write_all(&[b' '; TRIAL])?;
                file.sync_all()?;
                // A file that can only be appended to keeps the spaces, which no reader minds.
                let _ = file.set_len(length);
            }
            Ok((file, torn))
        };
        let (file, torn) = open()
            .map_err(|error| format!("cannot write records to {}: {error}", path.display()))?;
        Ok(Self { path: path.into(), file, waiting: Vec::new(), torn })
    }
}

impl<S: Sink> Writer<S> {
    /// Adds a record to those that [`Writer::sync`] writes.
    pub fn add(&mut self, record: &Record) {
        // A structure of texts and numbers can always be written.
        if let Ok(mut line) = serde_json::to_vec(record) {
            line.push(b'\n');
            self.waiting.append(&mut line);
        }
    }

    /// Writes what was added, and returns when it is on the disk.
    ///
    /// # Errors
    /// What failed, in words. The records are still to be written, and the file is as it was before: what was written of
    /// them is taken away again, or left in a line of its own.
    pub fn sync(&mut self) -> Result<(), String> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let before = self.file.length();
        let end: &[u8] = if self.torn { b"\n" } else { b"" };
        let written = self.file.write_all(end).and_then(|()| self.file.write_all(&self.waiting));
        if let Err(error) = written.and_then(|()| self.file.sync()) {
            let is_cut = before.is_some_and(|length| self.file.cut(length).is_ok());
            self.torn |= !is_cut;
            return Err(format!("cannot write records to {}: {error}", self.path.display()));
        }
        self.torn = false;
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Outcome, Record, read};
    use super::*;

    pub(crate) fn record(unit: &str, outcome: Outcome) -> Record {
        Record {
            version: 1,
            run: "r".into(),
            shard: None,
            operation: "push".into(),
            unit: unit.into(),
            row: 1,
            address: None,
            port: None,
            router_key: None,
            fingerprint: None,
            hostname: None,
            board: None,
            serial_number: None,
            macs: None,
            agent: None,
            tool: "0".into(),
            operator: "k".into(),
            interface: "wg0".into(),
            image: None,
            public_key: None,
            number: None,
            outcome,
            code: None,
            state: None,
            program: None,
            message: "line\nwith \"quotes\"".into(),
            started: "2026-11-29T08:00:00Z".into(),
            ended: "2026-11-29T08:00:01Z".into(),
            milliseconds: 1_000,
        }
    }

    #[test]
    fn records_are_appended_and_a_torn_line_harms_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        for nth in 0..3 {
            let mut writer = Writer::open(&path).unwrap();
            assert_eq!(read(&path).unwrap().records.len(), nth, "the trial leaves nothing");
            writer.add(&record(&format!("u{nth}"), Outcome::Applied));
            writer.sync().unwrap();
            writer.sync().unwrap();
            // A crash in the middle of a line.
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"{\"version\":1,\"run\":\"r\",\"sh").unwrap();
        }
        let units: Vec<String> = read(&path).unwrap().records.into_iter().map(|r| r.unit).collect();
        assert_eq!(units, ["u0", "u1", "u2"]);
        let warnings = read(&path).unwrap().warnings;
        let lines = warnings.iter().map(|warning| warning.split(':').nth(1).unwrap());
        assert_eq!(lines.collect::<Vec<_>>(), ["2", "4", "6"], "{warnings:?}");
        std::fs::write(&path, "{\"version\":1}\n").unwrap();
        assert_eq!(
            read(&path).unwrap_err().rsplit_once('/').unwrap().1,
            "r.jsonl:1: this is no record: missing field `run`"
        );
    }

    /// A disk with room for so many bytes, whose files can be cut or not.
    struct Small {
        bytes: Vec<u8>,
        room: usize,
        can_cut: bool,
        can_sync: bool,
    }

    impl io::Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room - self.bytes.len());
            self.bytes.extend_from_slice(&bytes[..fits]);
            match fits {
                0 if !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
                fits => Ok(fits),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Small {
        fn sync(&mut self) -> io::Result<()> {
            if self.can_sync { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        }

        fn length(&self) -> Option<u64> {
            Some(self.bytes.len() as u64)
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if !self.can_cut {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    /// Wherever a disk is full, the file can be read, and each record is in it once when there is room again.
    #[test]
    fn a_record_that_was_written_in_part_harms_no_other_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let line = serde_json::to_vec(&record("u1", Outcome::Applied)).unwrap().len() + 1;
        for can_cut in [true, false] {
            for room in line..=2 * line {
                let file = Small { bytes: Vec::new(), room, can_cut, can_sync: true };
                let mut writer =
                    Writer { path: path.clone(), file, waiting: Vec::new(), torn: false };
                writer.add(&record("u1", Outcome::Applied));
                writer.sync().unwrap();
                writer.add(&record("u2", Outcome::Applied));
                // The last byte is in its place, and may be lost.
                writer.file.can_sync = room < 2 * line;
                for _ in 0..2 {
                    writer.sync().unwrap_err();
                    std::fs::write(&path, &writer.file.bytes).unwrap();
                    assert!(read(&path).unwrap().records.len() <= 2 + 2 * usize::from(!can_cut));
                }
                (writer.file.room, writer.file.can_sync) = (usize::MAX, true);
                writer.sync().unwrap();
                writer.add(&record("u3", Outcome::Applied));
                writer.sync().unwrap();
                std::fs::write(&path, &writer.file.bytes).unwrap();
                let mut units: Vec<String> =
                    read(&path).unwrap().records.into_iter().map(|record| record.unit).collect();
                if can_cut {
                    assert_eq!(units, ["u1", "u2", "u3"], "{room}");
                }
                units.dedup();
                assert_eq!(units, ["u1", "u2", "u3"], "{room}");
            }
        }
    }

    #[test]
    fn zeros_that_a_power_cut_has_left_are_no_record_and_no_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        for (nth, zeros) in
            [&[0_u8; 700][..], b"{\"version\":1,\"ru\0\0\0", b"  \0"].iter().enumerate()
        {
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .unwrap()
                .write_all(zeros)
                .unwrap();
            let mut writer = Writer::open(&path).unwrap();
            writer.add(&record("u", Outcome::Applied));
            writer.sync().unwrap();
            let found = read(&path).unwrap();
            assert_eq!((found.records.len(), found.warnings.len()), (nth + 1, nth + 1));
        }
    }

    #[test]
    fn a_file_that_has_no_records_is_not_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        for text in ["version = 1\n", "{\"units\":[]}\n", "\n\nname,address\n", "x", "\u{feff}{}"] {
            std::fs::write(&path, text).unwrap();
            let why = Writer::open(&path).unwrap_err();
            assert!(why.contains("it has other content than records"), "{why}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        for text in ["", "\n", "{", "{\"version\":1,\"ru"] {
            std::fs::write(&path, text).unwrap();
            Writer::open(&path).unwrap();
        }
    }

    #[test]
    fn records_of_other_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        let line = serde_json::to_string(&record("u", Outcome::Applied)).unwrap();
        // Fields may be added to this version.
        std::fs::write(&path, line.replace("{\"version\"", "{\"colour\":\"red\",\"version\""))
            .unwrap();
        assert_eq!(read(&path).unwrap().records, [record("u", Outcome::Applied)]);
        for later in [line.replace("\"version\":1", "\"version\":2"), "{\"version\":2}".into()] {
            std::fs::write(&path, later).unwrap();
            let why = read(&path).unwrap_err();
            assert!(why.contains("r.jsonl:1: a record of version 2, and"), "{why}");
        }
    }

    #[test]
    fn a_file_that_takes_nothing_is_told_before_the_first_unit() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Writer::open(&dir.path().join("no/r")).unwrap_err().contains("cannot write records")
        );
        assert!(Writer::open(dir.path()).is_err());
        // It can be opened, and every write fails.
        let mut full = Writer::open(Path::new("/dev/full"));
        if let Ok(writer) = &mut full {
            writer.add(&record("u", Outcome::Applied));
            assert!(writer.sync().unwrap_err().contains("No space left"));
        }
    }
}
