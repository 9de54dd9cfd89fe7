//! `postwire`, the bench's side of Postwire. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(postwire::run(std::env::args_os()))
}
