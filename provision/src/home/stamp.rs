//! The stamp of a handshake: milliseconds since 1970, greater each time. A router drops a handshake
//! whose stamp is not greater than the last one of its key. So no stamp may be used twice, not by
//! two parallel runs and not after the clock was set back.
//!
//! A router tells an owner its last stamp, so the file need not survive a power cut: it is
//! overwritten in place and not synced, and invalid contents count as no stamp.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use proto_core::protocol::session::MAX_STAMP_STEP;

use super::{Home, HomeError, failed, read, write};

/// The time in milliseconds since 1970, by this machine's clock.
pub(crate) fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    u64::try_from(now).unwrap_or(u64::MAX)
}

/// How many stamps are reserved at a time, unless more are asked for: enough for the handshakes of one session, so that
/// a wait for other runs is over before the router's answers are waited for.
const BLOCK: u32 = 8;

/// Stamps of one operator in this process, reserved in blocks, so that thousands of handshakes do not each take the
/// lock and write the file.
#[derive(Debug)]
pub(super) struct Stamps(Mutex<Block>);

#[derive(Debug)]
struct Block {
    /// How many stamps to reserve at a time.
    size: u32,
    next: u64,
    left: u32,
}

impl Default for Stamps {
    fn default() -> Self {
        Self(Mutex::new(Block { size: BLOCK, next: 0, left: 0 }))
    }
}

impl Stamps {
    /// Reserves blocks of this size from now on.
    pub(super) fn set_block(&self, size: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size = size;
    }

    /// Reserves as many stamps as `count` if fewer are left.
    pub(super) fn prepare(&self, count: u32, home: &Home) -> Result<(), HomeError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(count, home)
    }

    /// A stamp that was never given out before.
    pub(super) fn take(&self, home: &Home) -> Result<u64, HomeError> {
        let mut block = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        block.fill(1, home)?;
        let stamp = block.next;
        block.next = stamp.saturating_add(1);
        block.left -= 1;
        Ok(stamp)
    }

    /// Makes the next stamps greater than `last`.
    pub(super) fn follow(&self, last: u64, home: &Home) -> Result<(), HomeError> {
        let mut block = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last >= block.next {
            block.left = 0;
            home.stamp_after(last)?;
        }
        Ok(())
    }
}

impl Block {
    /// Reserves a block if fewer stamps than `count` are left.
    fn fill(&mut self, count: u32, home: &Home) -> Result<(), HomeError> {
        if self.left < count {
            let size = self.size.max(count);
            self.next = home.reserve_at(clock(), size)?;
            self.left = size;
        }
        Ok(())
    }
}

impl Home {
    /// A stamp that is greater than every earlier one.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn stamp(&self) -> Result<u64, HomeError> {
        self.stamp_at(clock())
    }

    /// Makes the next stamps greater than `last`, the last stamp that a router has of this
    /// operator.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn stamp_after(&self, last: u64) -> Result<(), HomeError> {
        let _lock = self.lock()?;
        let known = self.last_stamp(clock())?;
        if last > known { self.put_stamp(last) } else { Ok(()) }
    }

    fn stamp_at(&self, now: u64) -> Result<u64, HomeError> {
        self.reserve_at(now, 1)
    }

    /// Reserves as many stamps as `count`, one after the other, each greater than any before: the first of them.
    /// Stamps that are not used are lost, which does no harm.
    fn reserve_at(&self, now: u64, count: u32) -> Result<u64, HomeError> {
        let _lock = self.lock()?;
        let first = now.max(self.last_stamp(now)?.saturating_add(1));
        self.put_stamp(first.saturating_add(u64::from(count.max(1)) - 1))?;
        Ok(first)
    }

    fn stamp_file(&self) -> PathBuf {
        self.folder.join("stamp")
    }

    fn last_stamp(&self, now: u64) -> Result<u64, HomeError> {
        let path = self.stamp_file();
        let Some(text) = read(&path)? else { return Ok(0) };
        // Contents that a power cut may leave.
        let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        if text.is_empty() {
            return Ok(0);
        }
        let last: u64 = text.parse().map_err(|_| HomeError::NotAStamp(path))?;
        // A router would accept no later stamp.
        Ok(if last > now.saturating_add(MAX_STAMP_STEP) { 0 } else { last })
    }

    fn put_stamp(&self, stamp: u64) -> Result<(), HomeError> {
        let path = self.stamp_file();
        // Always of the same length, so that the file is never without a number.
        let line = format!("{stamp:020}\n");
        match OpenOptions::new().write(true).open(&path) {
            Ok(mut file) => {
                let written = file.write_all(line.as_bytes());
                let written = written.and_then(|()| file.set_len(line.len() as u64));
                written.map_err(|error| failed("write", &path, error))
            }
            // Also for a file of another user: it is replaced, if possible.
            Err(_) => write(&path, line.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::home;
    use super::*;

    #[test]
    fn stamps_follow_the_clock_and_never_go_back() {
        let (_dir, home) = home();
        assert_eq!(home.stamp_at(1_000).unwrap(), 1_000);
        assert_eq!(home.stamp_at(1_000).unwrap(), 1_001);
        assert_eq!(home.stamp_at(5).unwrap(), 1_002);
        assert_eq!(home.stamp_at(2_000).unwrap(), 2_000);
        // 2026 and later: this is not the first second of 1970.
        assert!(home.stamp().unwrap() > 1_700_000_000_000);
        write(&home.folder.join("stamp"), b"soon").unwrap();
        let error = home.stamp().unwrap_err();
        assert!(error.to_string().ends_with("stamp contains no number"), "{error}");
    }

    #[test]
    fn a_stamp_that_cannot_be_starts_again_from_the_clock() {
        let (_dir, home) = home();
        let path = home.folder.join("stamp");
        home.stamp_at(1_000).unwrap();
        for odd in ["", "\n", "\0\0\0\0", "18446744073709551615\n", "9223372036854775808"] {
            write(&path, odd.as_bytes()).unwrap();
            assert_eq!(home.stamp_at(2_000).unwrap(), 2_000, "{odd:?}");
            assert_eq!(home.stamp_at(2_000).unwrap(), 2_001, "{odd:?}");
        }
        // Ten years ahead is unusual, but possible.
        write(&path, b"315360002001").unwrap();
        assert_eq!(home.stamp_at(2_000).unwrap(), 315_360_002_002);
        assert_eq!(read(&path).unwrap().unwrap(), "00000000315360002002\n");
    }

    #[test]
    fn blocks_of_two_operators_never_meet() {
        let (_dir, home) = home();
        let (one, other) = (Stamps::default(), Stamps::default());
        one.set_block(10);
        other.set_block(7);
        let mut all = Vec::new();
        let mut last = [0, 0];
        for nth in 0..1_000_usize {
            let stamps = if nth % 3 == 0 { &one } else { &other };
            let at = usize::from(nth % 3 == 0);
            let stamp = match nth % 11 {
                // Now and then alone, as a single command does.
                10 => home.stamp().unwrap(),
                _ => stamps.take(&home).unwrap(),
            };
            if nth % 11 != 10 {
                assert!(stamp > last[at]);
                last[at] = stamp;
            }
            all.push(stamp);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        // A stamp of a router is followed, also if it is the very next one, and in the middle of a block.
        let next = one.take(&home).unwrap() + 1;
        one.follow(next, &home).unwrap();
        assert!(one.take(&home).unwrap() > next);
        let ahead = all[count - 1] + 1_000_000;
        one.follow(ahead, &home).unwrap();
        assert!(one.take(&home).unwrap() > ahead);
        assert!(other.take(&home).unwrap() < ahead);
        other.follow(ahead, &home).unwrap();
        assert!(other.take(&home).unwrap() > ahead + 1);
    }

    #[test]
    fn stamps_go_on_behind_what_a_router_knows() {
        let (_dir, home) = home();
        let ahead = clock() + 3_600_000;
        home.stamp_after(ahead).unwrap();
        assert_eq!(home.stamp().unwrap(), ahead + 1);
        home.stamp_after(ahead - 5).unwrap();
        assert_eq!(home.stamp().unwrap(), ahead + 2);
    }

    /// The other half of `two_runs_never_share_a_stamp`, in a process of its own.
    #[test]
    #[ignore = "run by two_runs_never_share_a_stamp"]
    fn print_stamps() {
        let Some(folder) = std::env::var_os("POSTWIRE_TEST_STAMPS") else { return };
        let home = Home::find(Some(folder.as_ref()), None).unwrap();
        for _ in 0..100 {
            // With a stopped clock, the stamps come from the file alone.
            println!("stamp {}", home.stamp_at(1_000).unwrap());
        }
    }

    #[test]
    fn two_runs_never_share_a_stamp() {
        let (_dir, home) = home();
        let run = || {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["print_stamps", "--ignored", "--nocapture"])
                .env("POSTWIRE_TEST_STAMPS", &home.folder)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let runs = [run(), run()];
        let mut all = Vec::new();
        for run in runs {
            let output = run.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let stamps: Vec<u64> =
                text.lines().filter_map(|line| line.split_once("stamp ")?.1.parse().ok()).collect();
            assert_eq!(stamps.len(), 100, "{text}");
            assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
            all.extend(stamps);
        }
        all.sort_unstable();
        assert_eq!(all, (1_000..1_200).collect::<Vec<u64>>());
    }
}
