//! The files of a package, in memory, in the order of their paths. All belong to root.

use std::collections::BTreeMap;

use crate::Error;

/// The content of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A directory.
    Dir,
    /// A file and its bytes.
    File(Vec<u8>),
    /// A symbolic link and its target.
    Link(String),
}

/// An entry of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The permission bits.
    pub mode: u32,
    /// The contents.
    pub node: Node,
}

/// Entries by their paths, which are relative and without `.` or `..`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Adds a file and its parent directories.
    ///
    /// # Errors
    /// A path that is absolute, not normalized, or already in the tree.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.add(path, Entry { mode, node: Node::File(bytes.into()) })
    }

    /// Adds a symbolic link and its parent directories.
    ///
    /// # Errors
    /// A path that is absolute, not normalized, or already in the tree.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), Error> {
        self.add(path, Entry { mode: 0o777, node: Node::Link(target.to_owned()) })
    }

    /// Adds an entry and its parent directories (0755).
    ///
    /// # Errors
    /// A path that is absolute, not normalized, or already in the tree.
    pub fn add(&mut self, path: &str, entry: Entry) -> Result<(), Error> {
        let bad = |part: &str| part.is_empty() || part == "." || part == "..";
        if path.split('/').any(bad) || path.contains(['\0', '\n']) {
            return Err(Error::Invalid(format!("`{path}` is not a path inside a package")));
        }
        for (at, _) in path.match_indices('/') {
            let parent = Entry { mode: 0o755, node: Node::Dir };
            if self.0.entry(path[..at].to_owned()).or_insert(parent).node != Node::Dir {
                return Err(Error::Invalid(format!("`{}` is not a directory", &path[..at])));
            }
        }
        let same_dir = |old: &Entry| old.node == Node::Dir && entry.node == Node::Dir;
        if self.0.get(path).is_some_and(|old| !same_dir(old)) {
            return Err(Error::Invalid(format!("`{path}` is in the package twice")));
        }
        self.0.insert(path.to_owned(), entry);
        Ok(())
    }

    /// The entry at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// All entries in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// One line for each entry: mode, size, path, target.
    #[must_use]
    pub fn list(&self) -> String {
        let line = |(path, entry): (&str, &Entry)| match &entry.node {
            Node::Dir => format!("d{:04o} {:>8} /{path}/\n", entry.mode, ""),
            Node::File(bytes) => format!("-{:04o} {:>8} /{path}\n", entry.mode, bytes.len()),
            Node::Link(target) => format!("l{:04o} {:>8} /{path} -> {target}\n", entry.mode, ""),
        };
        self.iter().map(line).collect()
    }
}
