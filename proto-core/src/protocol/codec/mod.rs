//! Messages read and written without serde: the agent's side.
//!
//! Messages are defined once, by `wire!` (`table`), from which this codec and serde's implementations both come. The
//! bytes are the same, and are those of postcard; `tests` and the fuzz targets compare the two.
//!
//! The agent does not use serde, because derived code returns every field through a `Result` as
//! large as the whole message: 17 KB of program there, 4 KB here. Reads and writes here do not fail
//! one by one: an [`Input`] that runs out returns zeros, an [`Output`] that is full drops bytes,
//! and both report the first error at the end.

mod read;
mod table;
mod write;

pub use read::{Input, Misread, Open, StepHead, Take, head, record, request, step};
pub(crate) use table::wire;
pub use write::{ItemChange, Output, Put, write, write_record};

#[cfg(test)]
mod tests;
