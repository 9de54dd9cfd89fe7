//! A disk that outlives the machines that use it: a router's flash. A machine's other files end
//! with it.
//!
//! A power cut ends QEMU. Bytes that the machine had sent to its disk are then in the image,
//! because the host continues to run; bytes in the machine's page cache are lost, as on a router.

use crate::apt;
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Large enough for a journal, and small enough to create in no time.
const BYTES: u64 = 16 << 20;

/// An image file with an ext4 file system.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
    /// Writes per second, if there is a limit.
    writes: Option<u32>,
}

impl Disk {
    /// Creates an empty disk at `path`, and replaces an existing file.
    pub(super) fn create(path: &Path) -> Result<Self> {
        apt::ensure_packages(&["e2fsprogs"])?;
        let image = File::create(path).with_context(|| format!("making {}", path.display()))?;
        image.set_len(BYTES)?;
        // Debian installs it in a folder that only root's PATH has.
        apt::run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F"]).arg(path))?;
        Ok(Self { path: fs::canonicalize(path)?, writes: None })
    }

    /// Limits the disk's writes, so that a power cut often interrupts one.
    pub fn slow(self, writes_a_second: u32) -> Self {
        Self { writes: Some(writes_a_second), ..self }
    }

    /// The value of QEMU's `-drive`, in which a comma is doubled.
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
