//! The apk v3 package, the index `packages.adb`, and the signature of both.
//!
//! An uncompressed package has the same bytes as one that apk-tools 3.0.6 writes for the same files
//! (`tests/golden.rs`).

use std::collections::BTreeMap;
use std::io::{Read, Write};

use p256::SecretKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{DerSignature, Signature, SigningKey};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256, Sha512};

use crate::adb::{self, Reader, Value, Writer, block, blocks};
use crate::tree::{Entry, Node, Tree};
use crate::{Error, MAX_UNPACKED};

const PACKAGE: &[u8; 4] = b"pckg";
const INDEX: &[u8; 4] = b"indx";
/// The type of a symbolic link in a file's target.
const LINK: [u8; 2] = 0o120_000_u16.to_le_bytes();
/// The names of scripts, in the order of their fields.
pub const SCRIPTS: [&str; 7] = [
    "trigger",
    "pre-install",
    "post-install",
    "pre-deinstall",
    "post-deinstall",
    "pre-upgrade",
    "post-upgrade",
];

/// The compression of a file. OpenWrt's apk supports no other kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// No compression.
    None,
    /// Raw deflate.
    Deflate,
}

/// The metadata of a package.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// The name.
    pub name: String,
    /// The version, such as `0.1.0-r1`.
    pub version: String,
    /// A one-line description.
    pub description: String,
    /// The architecture of OpenWrt's packages, or `noarch`.
    pub arch: String,
    /// The license.
    pub license: String,
    /// The source package.
    pub origin: String,
    /// The maintainer.
    pub maintainer: String,
    /// The home page.
    pub url: String,
    /// Names of required packages; `!NAME` is a conflict.
    pub depends: Vec<String>,
    /// Further names of the package, `NAME` or `NAME=VERSION`.
    pub provides: Vec<String>,
}

/// A package.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Package {
    /// The metadata.
    pub info: Info,
    /// The files.
    pub tree: Tree,
    /// Scripts by the names of [`SCRIPTS`].
    pub scripts: BTreeMap<String, Vec<u8>>,
    /// The time of all files, in seconds since 1970.
    pub mtime: u64,
}

fn malformed<T>(why: &'static str) -> Result<T, Error> {
    Err(Error::Malformed("apk", why))
}

/// A dependency: `[!]NAME[=VERSION]`.
fn dependency(writer: &mut Writer, text: &str) -> Result<Value, Error> {
    let (conflict, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (name, version) = rest.split_once('=').unwrap_or((rest, ""));
    if name.is_empty() || name.contains(['<', '>', '~', ' ', '!']) {
        return Err(Error::Invalid(format!(
            "`{text}` is not a dependency: write NAME, !NAME or NAME=VERSION"
        )));
    }
    let (name, number) = (writer.blob(name.as_bytes()), writer.blob(version.as_bytes()));
    // Equal is 1, and the default; any is 7; a conflict adds 16.
    let how = match (conflict, version.is_empty()) {
        (false, _) => 0,
        (true, true) => writer.int(23),
        (true, false) => writer.int(17),
    };
    Ok(writer.object(&[name, number, how]))
}

/// Writes a list of dependencies: the values in the given order, the list sorted by name.
fn dependencies(writer: &mut Writer, all: &[String]) -> Result<Value, Error> {
    let mut values = Vec::new();
    for text in all {
        let value = dependency(writer, text)?;
        let name = text.trim_start_matches('!').split('=').next().unwrap_or_default();
        values.push((name, value));
    }
    values.sort();
    values.dedup();
    let values: Vec<Value> = values.into_iter().map(|(_, value)| value).collect();
    Ok(writer.object(&values))
}

/// The fields of a package's information; the caller fills in hashes (2) and sizes (11, 12).
fn info(writer: &mut Writer, info: &Info) -> Result<[Value; 16], Error> {
    for (field, text) in [("name", &info.name), ("version", &info.version), ("arch", &info.arch)] {
        let wrong = |c: char| !c.is_ascii_alphanumeric() && !"._+-~".contains(c);
        if text.is_empty() || text.contains(wrong) {
            return Err(Error::Invalid(format!("the package's {field} cannot be `{text}`")));
        }
    }
    let mut fields = [0; 16];
    let texts = [
        (0, &info.name),
        (1, &info.version),
        (3, &info.description),
        (4, &info.arch),
        (5, &info.license),
        (6, &info.origin),
        (7, &info.maintainer),
        (8, &info.url),
    ];
    for (at, text) in texts {
        fields[at] = writer.blob(text.as_bytes());
    }
    fields[14] = dependencies(writer, &info.depends)?;
    fields[15] = dependencies(writer, &info.provides)?;
    Ok(fields)
}

fn acl(writer: &mut Writer, mode: u32) -> Value {
    let (mode, root) = (writer.int(mode.into()), writer.blob(b"root"));
    writer.object(&[mode, root, root])
}

impl Package {
    /// The uncompressed bytes of the package.
    fn plain(&self) -> Result<Vec<u8>, Error> {
        let mut writer = Writer::new();
        let mut fields = info(&mut writer, &self.info)?;
        let (mut size, mut data, mut paths) = (0, Vec::new(), Vec::new());
        let root = Entry { mode: 0o755, node: Node::Dir };
        let mut folders: Vec<_> =
            self.tree.iter().filter(|(_, entry)| entry.node == Node::Dir).collect();
        folders.insert(0, ("", &root));
        for (path_index, (folder, entry)) in (1_u32..).zip(folders) {
            let mut files = Vec::new();
            for (path, file) in self.tree.iter() {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                if above != folder || file.node == Node::Dir {
                    continue;
                }
                let name = writer.blob(name.as_bytes());
                let (mut hash, mut target) = (0, 0);
                let len = match &file.node {
                    Node::Dir => continue,
                    Node::File(bytes) => {
                        hash = writer.blob(&Sha256::digest(bytes));
                        size += bytes.len();
                        if !bytes.is_empty() {
                            data.push((path_index, files.len() as u32 + 1, bytes));
                        }
                        bytes.len()
                    }
                    Node::Link(to) => {
                        target = writer.blob(&[&LINK, to.as_bytes()].concat());
                        to.len()
                    }
                };
                let (time, len) = (writer.int(self.mtime), writer.int(len as u64));
                let acl = acl(&mut writer, file.mode);
                files.push(writer.object(&[name, acl, len, time, hash, target]));
            }
            let (name, acl) = (writer.blob(folder.as_bytes()), acl(&mut writer, entry.mode));
            let files = writer.object(&files);
            paths.push(writer.object(&[name, acl, files]));
        }
        fields[11] = writer.int(size.max(1) as u64);
        let (hashes, at) = writer.hole(20);
        fields[2] = hashes;
        let (fields, paths) = (writer.object(&fields), writer.object(&paths));
        let mut scripts = [0; SCRIPTS.len()];
        for (name, script) in &self.scripts {
            let known = SCRIPTS.iter().position(|known| known == name);
            let known =
                known.ok_or_else(|| Error::Invalid(format!("apk has no script `{name}`")))?;
            scripts[known] = writer.blob(script);
        }
        let scripts = writer.object(&scripts);
        let root = writer.object(&[fields, paths, scripts]);
        let mut adb = writer.finish(root)?;
        let digest = Sha256::digest(&adb);
        adb[at..at + 20].copy_from_slice(&digest[..20]);
        let mut out = [b"ADB.".as_slice(), PACKAGE].concat();
        block(&mut out, adb::ADB, &[&adb])?;
        for (path, file, bytes) in data {
            block(&mut out, adb::DATA, &[&path.to_le_bytes(), &file.to_le_bytes(), bytes])?;
        }
        Ok(out)
    }

    /// Writes the package.
    ///
    /// # Errors
    /// A name, version, dependency or script that apk does not accept.
    pub fn write(&self, compression: Compression) -> Result<Vec<u8>, Error> {
        compress(&self.plain()?, compression)
    }

    /// Reads a package, and checks every file against its digest.
    ///
    /// # Errors
    /// A file that is not a package, or a damaged one.
    pub fn read(file: &[u8]) -> Result<Self, Error> {
        let plain = decompress(file)?;
        let Some((schema, rest)) = plain.split_first_chunk::<4>() else {
            return malformed("no schema");
        };
        if schema != PACKAGE {
            return malformed("no package");
        }
        let blocks = blocks(rest)?;
        let Some(((adb::ADB, adb), rest)) = blocks.split_first() else {
            return malformed("no description at the start");
        };
        let mut data = rest.iter().filter(|(kind, _)| *kind == adb::DATA).map(|(_, bytes)| *bytes);
        let reader = Reader(adb);
        let root = reader.object(reader.root()?, 3)?;
        let mut package = Self { info: read_info(reader, root[0])?, ..Self::default() };
        for (path_index, folder) in (1_u32..).zip(reader.object(root[1], 0)?) {
            let folder = reader.object(folder, 3)?;
            let name = reader.text(folder[0])?;
            if !name.is_empty() {
                package
                    .tree
                    .add(&name, Entry { mode: mode(reader, folder[1])?, node: Node::Dir })?;
            }
            for (file_index, file) in (1_u32..).zip(reader.object(folder[2], 0)?) {
                let file = reader.object(file, 6)?;
                let leaf = reader.text(file[0])?;
                let path = if name.is_empty() { leaf } else { format!("{name}/{leaf}") };
                package.mtime = reader.int(file[3])?;
                let target = reader.blob(file[5])?;
                let node = if let Some(to) = target.strip_prefix(&LINK) {
                    let to = String::from_utf8(to.to_vec());
                    Node::Link(to.or(malformed("a link that is not UTF-8"))?)
                } else if !target.is_empty() {
                    return malformed("a device or a hard link");
                } else if reader.int(file[2])? == 0 {
                    Node::File(Vec::new())
                } else {
                    let head = [path_index.to_le_bytes(), file_index.to_le_bytes()].concat();
                    let bytes = data.next().and_then(|bytes| bytes.strip_prefix(head.as_slice()));
                    let Some(bytes) = bytes else { return malformed("a file without its data") };
                    if Sha256::digest(bytes)[..] != *reader.blob(file[4])? {
                        return malformed("a file whose digest does not match");
                    }
                    Node::File(bytes.to_vec())
                };
                package.tree.add(&path, Entry { mode: mode(reader, file[1])?, node })?;
            }
        }
        if data.next().is_some() {
            return malformed("data without a file");
        }
        for (name, script) in SCRIPTS.iter().zip(reader.object(root[2], 0)?) {
            if script != 0 {
                package.scripts.insert((*name).to_owned(), reader.blob(script)?.to_vec());
            }
        }
        Ok(package)
    }
}

fn mode(reader: Reader<'_>, acl: Value) -> Result<u32, Error> {
    let mode = reader.int(reader.object(acl, 1)?[0])?;
    u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777).ok_or(Error::Malformed("apk", "a mode"))
}

fn read_dependencies(reader: Reader<'_>, list: Value) -> Result<Vec<String>, Error> {
    let one = |value| {
        let fields = reader.object(value, 3)?;
        let sign = if reader.int(fields[2])? & 16 == 0 { "" } else { "!" };
        let (name, version) = (reader.text(fields[0])?, reader.text(fields[1])?);
        let equals = if version.is_empty() { "" } else { "=" };
        Ok(format!("{sign}{name}{equals}{version}"))
    };
    reader.object(list, 0)?.into_iter().map(one).collect()
}

fn read_info(reader: Reader<'_>, value: Value) -> Result<Info, Error> {
    let fields = reader.object(value, 16)?;
    let text = |at: usize| reader.text(fields[at]);
    Ok(Info {
        name: text(0)?,
        version: text(1)?,
        description: text(3)?,
        arch: text(4)?,
        license: text(5)?,
        origin: text(6)?,
        maintainer: text(7)?,
        url: text(8)?,
        depends: read_dependencies(reader, fields[14])?,
        provides: read_dependencies(reader, fields[15])?,
    })
}

/// Compresses a file, which starts with `ADB.`.
fn compress(plain: &[u8], compression: Compression) -> Result<Vec<u8>, Error> {
    if compression == Compression::None {
        return Ok(plain.to_vec());
    }
    let level = flate2::Compression::best();
    let mut encoder = flate2::write::DeflateEncoder::new(b"ADBd".to_vec(), level);
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

/// The schema and the blocks of a file, compressed or not.
fn decompress(file: &[u8]) -> Result<Vec<u8>, Error> {
    let plain = match file.split_first_chunk::<4>() {
        Some((b"ADBd", rest)) => {
            let mut plain = Vec::new();
            let decoder = flate2::read::DeflateDecoder::new(rest);
            decoder.take(MAX_UNPACKED).read_to_end(&mut plain)?;
            plain
        }
        _ => file.to_vec(),
    };
    match plain.strip_prefix(b"ADB.") {
        Some(plain) => Ok(plain.to_vec()),
        None => malformed("neither an apk v3 file nor a known compression (none, deflate)"),
    }
}

/// An EC key (prime256v1) from a PEM file, as `openssl ecparam -name prime256v1 -genkey -noout` writes it.
pub struct Key(SecretKey);

impl Key {
    /// Reads the key.
    ///
    /// # Errors
    /// Text that is not such a key.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let key =
            SecretKey::from_sec1_pem(pem).or_else(|_| SecretKey::from_pkcs8_pem(pem).map_err(drop));
        key.map(Self).map_err(|()| {
            Error::Invalid(
                "no EC key of the curve prime256v1 in PEM; make one with: \
                 openssl ecparam -name prime256v1 -genkey -noout -out FILE"
                    .into(),
            )
        })
    }

    /// The public key in PEM, as `openssl ec -pubout` writes it.
    ///
    /// # Errors
    /// A key that cannot be encoded, which is not known to happen.
    pub fn public(&self) -> Result<String, Error> {
        let pem = self.0.public_key().to_public_key_pem(LineEnding::LF);
        pem.map_err(|_| Error::Invalid("the public key cannot be written".into()))
    }

    /// The bytes to sign for a description, and the head of its signature block.
    #[must_use]
    pub fn message(&self, schema: &[u8; 4], adb: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let point = self.0.public_key().to_sec1_point(false);
        let id = Sha512::digest(point.as_bytes());
        let head = [&[0, 4][..], &id[..16]].concat();
        (head.clone(), [schema.as_slice(), &head, &Sha512::digest(adb)].concat())
    }

    fn sign(&self, schema: &[u8; 4], adb: &[u8]) -> Result<Vec<u8>, Error> {
        let (head, message) = self.message(schema, adb);
        let signature: Result<Signature, _> =
            SigningKey::from(&self.0).sign_prehash(&Sha512::digest(message));
        let signature: DerSignature =
            signature.map_err(|_| Error::Invalid("the key does not sign".into()))?.to_der();
        Ok([head.as_slice(), signature.as_bytes()].concat())
    }
}

/// The description in a file, and the payload of its first signature.
///
/// # Errors
/// A damaged file.
pub fn signed(file: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
    let plain = decompress(file)?;
    let blocks = blocks(plain.get(4..).unwrap_or_default())?;
    let Some((adb::ADB, adb)) = blocks.first() else { return malformed("no description") };
    let signature = blocks.iter().find(|(kind, _)| *kind == adb::SIG);
    Ok((adb.to_vec(), signature.map(|(_, bytes)| bytes.to_vec())))
}

/// The index of packages, `packages.adb`, signed if there is a key.
///
/// # Errors
/// A package that cannot be read, or two packages with the same name and version.
pub fn index(files: &[Vec<u8>], description: &str, key: Option<&Key>) -> Result<Vec<u8>, Error> {
    let mut packages = Vec::new();
    for file in files {
        packages.push((Package::read(file)?, file));
    }
    packages.sort_by(|a, b| {
        (&a.0.info.name, &a.0.info.version).cmp(&(&b.0.info.name, &b.0.info.version))
    });
    let mut writer = Writer::new();
    let mut values = Vec::new();
    for (at, (package, file)) in packages.iter().enumerate() {
        let twice = |(before, _): &(Package, &Vec<u8>)| {
            before.info.name == package.info.name && before.info.version == package.info.version
        };
        if packages[..at].iter().any(twice) {
            let Info { name, version, .. } = &package.info;
            return Err(Error::Invalid(format!("{name}-{version} is in the feed twice")));
        }
        let mut fields = info(&mut writer, &package.info)?;
        let size = |(_, entry): (&str, &Entry)| match &entry.node {
            Node::File(bytes) => bytes.len(),
            _ => 0,
        };
        let size = package.tree.iter().map(size).sum::<usize>().max(1);
        fields[2] = writer.blob(&Sha256::digest(signed(file)?.0));
        fields[11] = writer.int(size as u64);
        fields[12] = writer.int(file.len() as u64);
        values.push(writer.object(&fields));
    }
    let (description, values) = (writer.blob(description.as_bytes()), writer.object(&values));
    let root = writer.object(&[description, values]);
    let adb = writer.finish(root)?;
    let mut out = [b"ADB.".as_slice(), INDEX].concat();
    block(&mut out, adb::ADB, &[&adb])?;
    if let Some(key) = key {
        block(&mut out, adb::SIG, &[&key.sign(INDEX, &adb)?])?;
    }
    compress(&out, Compression::Deflate)
}
