//! `genkey`, `genpsk` and `pubkey`.

use core::fmt::Write;

use proto_core::key::public;
use proto_core::key::{KEY_LEN, SecretKey};

use super::out::Out;
use super::process::Process;
use super::read::{KeyText, WRONG_KEY};
use super::{Failed, Wg};

impl<P: Process> Wg<'_, P> {
    /// Prints a new key. A private key is clamped, a preshared key is not.
    pub(super) fn generate(&self, private: bool) -> Result<i32, Failed> {
        if self.process.is_exposed() {
            let _ = self.say(format_args!(
                "warning: every user can access the output file; try again after `umask 077`"
            ));
        }
        let mut key = SecretKey::ZERO;
        let random = self.process.random(key.as_mut_bytes());
        random.map_err(|errno| self.say(format_args!("random numbers: {errno}")))?;
        if private {
            key = key.clamped();
        }
        self.print_key(key.as_bytes())
    }

    /// Prints the public key of the private key on standard input.
    pub(super) fn public_key(&self) -> Result<i32, Failed> {
        let refused = |errno| self.say(format_args!("standard input: {errno}"));
        let mut input = self.process.open(None).map_err(refused)?;
        match self.read_key(&mut input, true).map_err(refused)? {
            KeyText::Key(key) => self.print_key(&public(&key).0),
            _ => Err(self.say(format_args!("standard input: {WRONG_KEY}"))),
        }
    }

    fn print_key(&self, key: &[u8; KEY_LEN]) -> Result<i32, Failed> {
        let mut page = [0; 64];
        let mut out = Out::new(self, &mut page);
        super::text::key(&mut out, key);
        let _ = out.write_str("\n");
        out.finish()
    }
}
