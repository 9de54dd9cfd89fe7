//! The stamp of a handshake: milliseconds since 1970, greater each time. A router drops a handshake
//! whose stamp is not greater than the last one of its key, so none may ever be given out twice,
//! not by two runs at once and not after the clock was set back.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Home, HomeError, read, write};

impl Home {
    /// A stamp that is greater than any before.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn stamp(&self) -> Result<u64, HomeError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.stamp_at(u64::try_from(now).unwrap_or(u64::MAX))
    }

    fn stamp_at(&self, now: u64) -> Result<u64, HomeError> {
        let _lock = self.lock()?;
        let path = self.folder.join("stamp");
        let last = match read(&path)? {
            None => 0,
            Some(text) => {
                text.trim().parse::<u64>().map_err(|_| HomeError::NotAStamp(path.clone()))?
            }
        };
        let stamp = now.max(last.saturating_add(1));
        write(&path, format!("{stamp}\n").as_bytes())?;
        Ok(stamp)
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
        assert!(error.to_string().ends_with("stamp holds no number"), "{error}");
    }

    /// The other half of `two_runs_never_share_a_stamp`, in a process of its own.
    #[test]
    #[ignore = "run by two_runs_never_share_a_stamp"]
    fn print_stamps() {
        let Some(folder) = std::env::var_os("POSTWIRE_TEST_STAMPS") else { return };
        let home = Home::find(Some(folder.as_ref()), None).unwrap();
        for _ in 0..100 {
            // A clock that stands still leaves it all to the file.
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
