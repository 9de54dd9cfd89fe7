//! The part of the `newc` cpio format that an initramfs needs: directories, files and symlinks
//! owned by root. Our own code, because it is smaller than a dependency and builds a machine from
//! bytes in memory, without a staging directory or root rights.

use std::collections::BTreeSet;

/// Writes an archive. Parent directories are added automatically.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

impl Archive {
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY | 0o755, &[]);
    }

    /// Adds a file. A file added later replaces an earlier one at the same path, because the kernel
    /// unpacks them in order.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.parents(path);
        self.entry(path.trim_matches('/'), FILE | mode, bytes);
    }

    pub fn symlink(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.entry(path.trim_matches('/'), SYMLINK | 0o777, target.as_bytes());
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.trim_matches('/').rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        self.bytes.extend(b"070701");
        let fields = [
            self.entries, // inode
            mode,
            0, // user
            0, // group
            links,
            0, // time
            content.len() as u32,
            0, // device, major and minor
            0,
            0, // device that a node stands for, major and minor
            0,
            path.len() as u32 + 1,
            0, // checksum, which newc does not use
        ];
        for field in fields {
            self.bytes.extend(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    /// Pads the header with its name, or the content, to a multiple of four.
    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: path, mode and content of each entry.
    fn list(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let (header, rest) = bytes.split_at(110);
            assert_eq!(&header[..6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&header[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name) = (field(1), field(6) as usize, field(11) as usize);
            let path = String::from_utf8(rest[..name - 1].to_vec()).unwrap();
            assert_eq!(rest[name - 1], 0);
            let rest = &rest[(110 + name).next_multiple_of(4) - 110..];
            if path == "TRAILER!!!" {
                assert!(rest.is_empty());
                return entries;
            }
            entries.push((path, mode, rest[..size].to_vec()));
            bytes = &rest[size.next_multiple_of(4)..];
        }
    }

    #[test]
    fn round_trip_with_parents_made_once() {
        let mut archive = Archive::default();
        archive.file("/usr/bin/a", 0o755, b"12345");
        archive.symlink("/usr/bin/b", "a");
        archive.directory("/usr/bin/");
        assert_eq!(
            list(&archive.finish()),
            [
                ("usr".to_owned(), 0o040_755, vec![]),
                ("usr/bin".to_owned(), 0o040_755, vec![]),
                ("usr/bin/a".to_owned(), 0o100_755, b"12345".to_vec()),
                ("usr/bin/b".to_owned(), 0o120_777, b"a".to_vec()),
            ]
        );
    }

    #[test]
    fn every_length_of_name_and_content_is_padded() {
        let mut archive = Archive::default();
        for len in 1..9 {
            archive.file(&"n".repeat(len), 0o644, &vec![7; len]);
        }
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let entries = list(&bytes);
        assert!(entries.iter().all(|(path, _, content)| path.len() == content.len()));
        assert_eq!(entries.len(), 8);
    }

    #[test]
    fn first_header_is_as_the_format_says() {
        let mut archive = Archive::default();
        archive.file("init", 0o755, b"x");
        let bytes = archive.finish();
        assert_eq!(
            std::str::from_utf8(&bytes[..114]).unwrap(),
            "07070100000001000081ed000000000000000000000001000000000000000100000000\
             00000000000000000000000000000005\
             00000000init"
        );
    }
}
