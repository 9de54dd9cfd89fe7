//! Signatures and keys of usign, in the format of OpenBSD's signify: Ed25519, and files of a
//! comment and a line of base64.

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha512};

use crate::Error;

/// The algorithm, which starts every file: Ed25519.
const ALGORITHM: [u8; 2] = *b"Ed";
/// Size in bytes of a secret key's file: algorithm, key derivation and its rounds, salt, checksum,
/// number, seed, public key.
const SECRET: usize = 2 + 2 + 4 + 16 + 8 + 8 + 64;

/// A secret key.
pub struct Key {
    number: [u8; 8],
    key: SigningKey,
}

/// Splits a file into its comment and its bytes.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut lines = text.lines();
    lines.next().filter(|line| line.starts_with("untrusted comment: "))?;
    let bytes = Base64::decode_vec(lines.next()?.trim_end()).ok()?;
    lines.all(str::is_empty).then_some(bytes)
}

/// A file with a comment and bytes.
fn encode(comment: &str, parts: &[&[u8]]) -> String {
    format!("untrusted comment: {comment}\n{}\n", Base64::encode_string(&parts.concat()))
}

impl Key {
    /// Reads the file of a secret key.
    ///
    /// # Errors
    /// Text that is not a secret key, a damaged key, and a key that is protected by a passphrase.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let make = "generate one with: usign -G -s NAME.sec -p NAME.pub (or: signify-openbsd -G -n -s NAME.sec -p NAME.pub)";
        let no_key =
            |why: &str| Error::Invalid(format!("not a secret key of usign: {why}; {make}"));
        let bytes =
            decode(text).ok_or_else(|| no_key("not a comment line and a line of base64"))?;
        if bytes.get(..2) != Some(&ALGORITHM) {
            return Err(no_key("not an Ed25519 key"));
        }
        if bytes.len() == 2 + 8 + 32 {
            return Err(no_key("this is the public key"));
        }
        let bytes: &[u8; SECRET] =
            bytes.as_slice().try_into().map_err(|_| no_key("not as long as a secret key"))?;
        // A field by its offset and length.
        fn field<const N: usize>(bytes: &[u8; SECRET], at: usize) -> [u8; N] {
            std::array::from_fn(|nth| bytes[at + nth])
        }
        if field(bytes, 2) != *b"BK" {
            return Err(no_key("the file is damaged (key derivation)"));
        }
        if field(bytes, 4) != [0; 4] {
            return Err(no_key("the key is protected by a passphrase"));
        }
        let pair: [u8; 64] = field(bytes, 40);
        if Sha512::digest(pair)[..8] != field::<8>(bytes, 24) {
            return Err(no_key("the file is damaged (checksum)"));
        }
        let key = SigningKey::from_keypair_bytes(&pair)
            .map_err(|_| no_key("its public key does not belong to its secret"))?;
        Ok(Self { number: field(bytes, 32), key })
    }

    /// The name of the public key in a router's `/etc/opkg/keys`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.number.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The file of the public key.
    #[must_use]
    pub fn public(&self) -> String {
        let comment = format!("public key {}", self.fingerprint());
        encode(&comment, &[&ALGORITHM, &self.number, self.key.verifying_key().as_bytes()])
    }

    /// The file with the signature of `bytes`.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        let comment = format!("signed by key {}", self.fingerprint());
        encode(&comment, &[&ALGORITHM, &self.number, &self.key.sign(bytes).to_bytes()])
    }
}
