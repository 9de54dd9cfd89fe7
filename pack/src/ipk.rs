//! The ipk file of opkg: a gzip'ed tar of `debian-binary`, `data.tar.gz` and `control.tar.gz`.

use std::io::{Read, Write};

use crate::tree::{Entry, Node, Tree};
use crate::{Error, MAX_UNPACKED};

/// A package.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Package {
    /// The file `control`, with the line `Installed-Size: 0`, which the writer fills in.
    pub control: String,
    /// The other files of the control part: conffiles (0644), postinst and prerm (0755).
    pub extra: Tree,
    /// The files of the package.
    pub tree: Tree,
    /// The time of all files, in seconds since 1970.
    pub mtime: u64,
}

/// Compresses bytes, with no name and no time in the header.
///
/// # Errors
/// None: the compressor writes to memory.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).take(MAX_UNPACKED).read_to_end(&mut plain)?;
    Ok(plain)
}

/// A tar of a tree in GNU's format, with the directory `./` first if `root`.
pub(crate) fn tar(tree: &Tree, mtime: u64, root: bool) -> Result<Vec<u8>, Error> {
    let mut out = tar::Builder::new(Vec::new());
    let dir = Entry { mode: 0o755, node: Node::Dir };
    for (path, entry) in root.then_some(("", &dir)).into_iter().chain(tree.iter()) {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime);
        header.set_size(0);
        let (kind, slash) = match &entry.node {
            Node::Dir => (tar::EntryType::Directory, if path.is_empty() { "" } else { "/" }),
            Node::File(_) => (tar::EntryType::Regular, ""),
            Node::Link(_) => (tar::EntryType::Symlink, ""),
        };
        header.set_entry_type(kind);
        // The crate's setters remove the `./` that opkg's own packages have.
        let name = format!("./{path}{slash}");
        let gnu = header.as_gnu_mut().ok_or(Error::Malformed("ipk", "a header"))?;
        let room = gnu.name.get_mut(..name.len()).filter(|room| room.len() < 100);
        let long = || Error::Invalid(format!("`{path}` is too long for an ipk"));
        room.ok_or_else(long)?.copy_from_slice(name.as_bytes());
        match &entry.node {
            Node::Link(to) => header.set_link_name_literal(to)?,
            Node::File(bytes) => header.set_size(bytes.len() as u64),
            Node::Dir => {}
        }
        header.set_cksum();
        match &entry.node {
            Node::File(bytes) => out.append(&header, bytes.as_slice())?,
            _ => out.append(&header, std::io::empty())?,
        }
    }
    Ok(out.into_inner()?)
}

/// A compressed tar of a tree, the same bytes for the same tree.
///
/// # Errors
/// A path that is too long.
pub fn tar_gz(tree: &Tree, mtime: u64) -> Result<Vec<u8>, Error> {
    gzip(&tar(tree, mtime, false)?)
}

/// The tree in a tar, and the time of its last entry.
fn untar(bytes: &[u8]) -> Result<(Tree, u64), Error> {
    let (mut tree, mut mtime) = (Tree::default(), 0);
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        mtime = entry.header().mtime()?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path).trim_end_matches('/');
        let node = match entry.header().entry_type() {
            tar::EntryType::Directory if path.is_empty() || path == "." => continue,
            tar::EntryType::Directory => Node::Dir,
            tar::EntryType::Regular => {
                let mut bytes = Vec::new();
                entry.by_ref().take(MAX_UNPACKED).read_to_end(&mut bytes)?;
                Node::File(bytes)
            }
            tar::EntryType::Symlink => {
                let to = entry
                    .link_name_bytes()
                    .ok_or(Error::Malformed("ipk", "a link without a target"))?;
                Node::Link(String::from_utf8_lossy(&to).into_owned())
            }
            _ => {
                return Err(Error::Malformed(
                    "ipk",
                    "an entry that is not a file, link or directory",
                ));
            }
        };
        tree.add(path, Entry { mode: entry.header().mode()? & 0o7777, node })?;
    }
    Ok((tree, mtime))
}

impl Package {
    /// Writes the package.
    ///
    /// # Errors
    /// A control file without `Installed-Size: 0`, or a path that is too long.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let data = tar(&self.tree, self.mtime, true)?;
        if !self.control.contains("Installed-Size: 0\n") {
            return Err(Error::Invalid("the control file has no line `Installed-Size: 0`".into()));
        }
        let size = format!("Installed-Size: {}\n", data.len());
        let mut extra = self.extra.clone();
        extra.file("control", 0o644, self.control.replace("Installed-Size: 0\n", &size))?;
        let control = tar(&extra, self.mtime, true)?;
        // opkg reads the members in this order.
        let mut out = Vec::new();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("data.tar.gz", gzip(&data)?),
            ("control.tar.gz", gzip(&control)?),
        ] {
            let mut member = Tree::default();
            member.file(name, 0o644, bytes)?;
            // Two empty blocks end a tar; only those of the last member are kept.
            out.truncate(out.len().saturating_sub(1024));
            out.extend(tar(&member, self.mtime, false)?);
        }
        gzip(&out)
    }

    /// Reads a package. `control` has the real `Installed-Size`.
    ///
    /// # Errors
    /// A file that is not a package, or a damaged one.
    pub fn read(file: &[u8]) -> Result<Self, Error> {
        let (outer, _) = untar(&gunzip(file)?)?;
        let member = |name: &str| match outer.get(name).map(|entry| &entry.node) {
            Some(Node::File(bytes)) => Ok(bytes),
            _ => Err(Error::Malformed(
                "ipk",
                "debian-binary, data.tar.gz or control.tar.gz is missing",
            )),
        };
        if member("debian-binary")? != b"2.0\n" {
            return Err(Error::Malformed("ipk", "a version that is not 2.0"));
        }
        let (tree, mtime) = untar(&gunzip(member("data.tar.gz")?)?)?;
        let (all, _) = untar(&gunzip(member("control.tar.gz")?)?)?;
        let mut package = Self { tree, mtime, ..Self::default() };
        for (path, entry) in all.iter() {
            match &entry.node {
                Node::File(bytes) if path == "control" => {
                    package.control = String::from_utf8_lossy(bytes).into_owned();
                }
                _ => package.extra.add(path, entry.clone())?,
            }
        }
        Ok(package)
    }
}
