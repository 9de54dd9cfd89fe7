//! Appends records to a file. Several units that end together are written and synced together.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Record;

/// Bytes that are written to try a file: more than one record.
const TRIAL: usize = 4_096;

/// A file with records.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
    /// The file ends in the middle of a line, which a crash left.
    torn: bool,
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

    /// Adds a record to those that [`Writer::sync`] writes.
    pub fn add(&mut self, record: &Record) {
        if std::mem::take(&mut self.torn) {
            self.waiting.push(b'\n');
        }
        // A structure of texts and numbers can always be written.
        if let Ok(mut line) = serde_json::to_vec(record) {
            line.push(b'\n');
            self.waiting.append(&mut line);
        }
    }

    /// Writes what was added, and returns when it is on the disk.
    ///
    /// # Errors
    /// What failed, in words. The records are still to be written.
    pub fn sync(&mut self) -> Result<(), String> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written =
            self.file.write_all(&self.waiting).and_then(|()| match self.file.sync_data() {
                // A pipe or a device has nothing to sync.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                synced => synced,
            });
        written
            .map_err(|error| format!("cannot write records to {}: {error}", self.path.display()))?;
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Outcome, Record, read};
    use super::*;

    pub(in crate::records) fn record(unit: &str, outcome: Outcome) -> Record {
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
            assert_eq!(read(&path).unwrap().len(), nth, "the trial leaves nothing");
            writer.add(&record(&format!("u{nth}"), Outcome::Applied));
            writer.sync().unwrap();
            writer.sync().unwrap();
            // A crash in the middle of a line.
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"{\"version\":1,\"run\":\"r\",\"sh").unwrap();
        }
        let units: Vec<String> = read(&path).unwrap().into_iter().map(|r| r.unit).collect();
        assert_eq!(units, ["u0", "u1", "u2"]);
        std::fs::write(&path, "{\"version\":1}\n").unwrap();
        assert!(read(&path).unwrap_err().contains("r.jsonl:1: this is no record"));
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
