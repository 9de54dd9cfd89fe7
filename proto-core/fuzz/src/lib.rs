//! The fuzz targets: one module for each, with `run`, which panics when a promise is broken, and
//! `seeds`, the inputs to start from.
//!
//! The modules do not depend on libFuzzer, so the committed corpus also runs as an ordinary test,
//! on every architecture: `proto-core/tests/fuzz_corpus.rs`.

pub mod channel;
pub mod client;
pub mod connector;
pub mod deframer;
pub mod input;
pub mod netlink_reader;
pub mod protocol;
pub mod quick_file;
pub mod responder;
pub mod seek;
pub mod set_encoder;
pub mod uapi;
pub mod unlock;
pub mod wg_file;
pub mod wg_words;
pub mod wireguard_decoder;

/// Inputs with their names.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// A fuzz target.
pub struct Target {
    /// The name of its program and of its folder in the corpus.
    pub name: &'static str,
    /// Takes any bytes, and panics when a promise is broken.
    pub run: fn(&[u8]),
    /// The inputs to start from.
    pub seeds: fn() -> Seeds,
}

macro_rules! targets {
    ($($name:ident)*) => {
        /// All targets.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds },)*];
    };
}

targets! {
    netlink_reader wireguard_decoder set_encoder deframer protocol client
    responder channel seek connector unlock
    wg_file wg_words quick_file uapi
}
