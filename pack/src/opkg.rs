//! The index of a feed of ipk files: `Packages` and `Packages.gz`.

use sha2::{Digest, Sha256};

use crate::Error;
use crate::ipk::{Package, gzip};

/// Fields of a control file that an index does not repeat.
const LEFT_OUT: [&str; 6] =
    ["Maintainer", "LicenseFiles", "Source", "SourceName", "Require-User", "SourceDateEpoch"];

/// The index of a feed.
pub struct Index {
    /// The file `Packages`, which is signed.
    pub packages: Vec<u8>,
    /// The file `Packages.gz`.
    pub compressed: Vec<u8>,
}

/// Makes the index of packages, each a file name and its bytes.
///
/// # Errors
/// A file that is not a package, and a control file without a description.
pub fn index(files: &[(String, Vec<u8>)]) -> Result<Index, Error> {
    let mut stanzas = Vec::new();
    for (name, file) in files {
        let control = Package::read(file)?.control;
        let digest: String =
            Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut stanza = String::new();
        let mut described = false;
        for line in control.lines() {
            let field = line.split(':').next().unwrap_or_default();
            if LEFT_OUT.contains(&field) {
                continue;
            }
            if field == "Description" {
                described = true;
                let size = file.len();
                stanza += &format!("Filename: {name}\nSize: {size}\nSHA256sum: {digest}\n");
            }
            stanza += line;
            stanza.push('\n');
        }
        if !described {
            return Err(Error::Invalid(format!("the control file of {name} has no Description")));
        }
        stanzas.push(stanza);
    }
    stanzas.sort();
    let mut packages: Vec<u8> =
        stanzas.iter().flat_map(|stanza| [stanza.as_bytes(), b"\n"].concat()).collect();
    // An old usign computes a wrong hash for files of these lengths; OpenWrt's own feeds are padded
    // too.
    if matches!((packages.len() + 64) % 128, 110 | 111) {
        packages.extend_from_slice(b"\n\n");
    }
    let compressed = gzip(&packages)?;
    Ok(Index { packages, compressed })
}
