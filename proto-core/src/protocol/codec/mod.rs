//! The agent's side of the codec, written out: requests and image records are read, replies and
//! report records are written.
//!
//! The bytes are those of serde and postcard, which stay the definition of the format and are what
//! the host uses; `tests` hold the two against each other. They are not used on the router because
//! derived code hands every field up through a `Result` as large as the whole message: 17 KB of
//! program there, 4 KB here. What makes the difference is that nothing here can fail half-way: an
//! [`Input`] that runs out gives zeros and remembers it, an [`Output`] that is full drops bytes and
//! remembers it, and both are asked once, at the end.

mod read;
mod write;

pub use read::{Input, Misread, StepHead, head, record, request, step};
pub use write::{ItemChange, Output, Put, write, write_record};

#[cfg(test)]
mod tests;
