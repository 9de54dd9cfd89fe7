//! `postwire`, the host tool. All of its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(postwire::run(std::env::args_os()))
}
