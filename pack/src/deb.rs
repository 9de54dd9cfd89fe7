//! The Debian package: an `ar` archive of `debian-binary`, `control.tar.gz` and `data.tar.gz`.

use crate::Error;
use crate::ipk::{gzip, tar};
use crate::tree::{Node, Tree};

/// A package.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Package {
    /// The file `control`, with the line `Installed-Size: 0`, which the writer fills in.
    pub control: String,
    /// The files of the package.
    pub tree: Tree,
    /// The time of all files, in seconds since 1970.
    pub mtime: u64,
}

impl Package {
    /// The bytes of the package.
    ///
    /// # Errors
    /// A control file without `Installed-Size: 0`, or a path that is too long.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        if !self.control.contains("Installed-Size: 0\n") {
            return Err(Error::Invalid("the control file has no line `Installed-Size: 0`".into()));
        }
        let (mut kibibytes, mut sums) = (0, String::new());
        for (path, entry) in self.tree.iter() {
            match &entry.node {
                Node::File(bytes) => {
                    kibibytes += bytes.len().div_ceil(1024);
                    sums += &format!("{}  {path}\n", md5(bytes));
                }
                // Debian counts a KiB for everything that is no file.
                Node::Dir | Node::Link(_) => kibibytes += 1,
            }
        }
        let size = format!("Installed-Size: {kibibytes}\n");
        let mut control = Tree::default();
        control.file("control", 0o644, self.control.replace("Installed-Size: 0\n", &size))?;
        control.file("md5sums", 0o644, sums)?;
        let mut out = b"!<arch>\n".to_vec();
        self.member(&mut out, "debian-binary", b"2.0\n");
        self.member(&mut out, "control.tar.gz", &gzip(&tar(&control, self.mtime, true)?)?);
        self.member(&mut out, "data.tar.gz", &gzip(&tar(&self.tree, self.mtime, true)?)?);
        Ok(out)
    }

    fn member(&self, out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
        let (time, size) = (self.mtime, bytes.len());
        out.extend(
            format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 100_644).bytes(),
        );
        out.extend(bytes);
        // Members begin at even places.
        if size % 2 == 1 {
            out.push(b'\n');
        }
    }
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_begin_at_even_places_and_the_size_is_filled_in() {
        let mut tree = Tree::default();
        tree.file("usr/bin/a", 0o755, vec![1; 1025]).unwrap();
        let control = "Package: a\nInstalled-Size: 0\n".to_owned();
        let bytes = Package { control, tree, mtime: 7 }.write().unwrap();
        assert_eq!(
            &bytes[..68],
            b"!<arch>\ndebian-binary   7           0     0     100644  4         `\n"
        );
        let mut at = 8;
        let mut names = Vec::new();
        while at < bytes.len() {
            assert_eq!(&bytes[at + 58..at + 60], b"`\n", "the end of a header at {at}");
            let text = |from: usize, to: usize| {
                String::from_utf8_lossy(&bytes[at + from..at + to]).trim().to_owned()
            };
            names.push(text(0, 16));
            at += 60 + text(48, 58).parse::<usize>().unwrap().next_multiple_of(2);
        }
        assert_eq!(names, ["debian-binary", "control.tar.gz", "data.tar.gz"]);
        let error = Package { control: "Package: a\n".into(), ..Package::default() }.write();
        assert!(error.is_err());
    }
}
