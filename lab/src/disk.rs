//! A disk that outlives the machines it is put into: what a router has flashed, where a machine's
//! own files are gone with it.
//!
//! A cut of power is the end of QEMU. What the machine had handed to its disk is in the image then,
//! because this computer goes on; what was only in the machine's page cache is lost, as it would be
//! on a router.

use crate::apt;
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Enough for a journal, and small enough that making one takes no time.
const BYTES: u64 = 16 << 20;

/// An image file with an ext4 in it.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
    /// Writes in a second, where there is a limit.
    writes: Option<u32>,
}

impl Disk {
    /// A new and empty one at `path`, whatever was there.
    pub(super) fn create(path: &Path) -> Result<Self> {
        apt::ensure_packages(&["e2fsprogs"])?;
        let image = File::create(path).with_context(|| format!("making {}", path.display()))?;
        image.set_len(BYTES)?;
        // Debian has it where only root looks.
        apt::run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F"]).arg(path))?;
        Ok(Self { path: fs::canonicalize(path)?, writes: None })
    }

    /// The same one, so slow that a cut of power often finds it in the middle of something.
    pub fn slow(self, writes_a_second: u32) -> Self {
        Self { writes: Some(writes_a_second), ..self }
    }

    /// The value of QEMU's `-drive`. In it a comma is written twice.
    pub(super) fn drive(&self, id: &str) -> Result<String> {
        let path = self.path.to_str();
        let path = path.with_context(|| format!("{} is not UTF-8", self.path.display()))?;
        let path = path.replace(',', ",,");
        let limit = self.writes.map(|writes| format!(",throttling.iops-write={writes}"));
        let limit = limit.unwrap_or_default();
        Ok(format!("file={path},format=raw,if=none,id={id},cache=writeback{limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_the_path_does_not_end_it() {
        let disk = Disk { path: PathBuf::from("/a,b"), writes: None };
        assert_eq!(disk.drive("d").unwrap(), "file=/a,,b,format=raw,if=none,id=d,cache=writeback");
    }
}
