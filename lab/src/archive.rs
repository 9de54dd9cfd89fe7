//! The archive of an initramfs: directories, files and symbolic links of root, from bytes in memory.

use anyhow::Result;
use cpio::newc::{self, Builder, ModeFileType};
use std::{collections::BTreeSet, io::Write as _};

/// Writes an archive. Parent directories are added automatically.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    pub fn directory(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return Ok(());
        }
        self.parents(path)?;
        self.directories.insert(path.to_owned());
        self.entry(path, ModeFileType::Directory, 0o755, &[])
    }

    /// Adds a file. A file added later replaces an earlier one at the same path, because the kernel
    /// unpacks them in order.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.parents(path)?;
        self.entry(path, ModeFileType::Regular, mode, bytes)
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.parents(path)?;
        self.entry(path, ModeFileType::Symlink, 0o777, target.as_bytes())
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(newc::trailer(self.bytes)?)
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        match path.trim_matches('/').rsplit_once('/') {
            Some((parent, _)) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let entry = Builder::new(path.trim_matches('/')).ino(self.entries).mode(mode);
        let mut writer =
            entry.set_mode_file_type(kind).write(&mut self.bytes, content.len().try_into()?);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::NewcReader;
    use std::io::Read as _;

    #[test]
    fn entries_come_in_order_with_parents_made_once() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/a", 0o755, b"12345").unwrap();
        archive.symlink("/usr/bin/b", "a").unwrap();
        archive.directory("/usr/bin/").unwrap();
        archive.file("init", 0o700, b"").unwrap();
        let bytes = archive.finish().unwrap();

        let (mut rest, mut found) = (&bytes[..], Vec::new());
        loop {
            let mut reader = NewcReader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                break;
            }
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            rest = reader.finish().unwrap();
            assert_eq!((entry.ino(), entry.uid()), (found.len() as u32 + 1, 0));
            found.push((entry.name().to_owned(), entry.mode(), content));
        }
        let expected = [
            ("usr", 0o040_755, ""),
            ("usr/bin", 0o040_755, ""),
            ("usr/bin/a", 0o100_755, "12345"),
            ("usr/bin/b", 0o120_777, "a"),
            ("init", 0o100_700, ""),
        ];
        assert_eq!(found, expected.map(|(path, mode, to)| (path.to_owned(), mode, to.to_owned())));
    }
}
