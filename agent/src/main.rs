//! `postwired`: the library's agent on a Linux machine. This crate has the system calls and the
//! event loop; the library has everything that handles bytes.
//!
//! | module | holds |
//! |---|---|
//! | `linux` | the machine: system calls, wires, log, names |
//! | `serve` | the event loop, and the commands of root on the router |
#![no_std]
#![no_main]
#![deny(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

mod linux;
mod serve;

use core::fmt::Write;

use postwired::options::{self, Command, Options, OptionsError};
#[cfg(feature = "wg-quick")]
use postwired::quick;
use postwired::store::keep::KeepError;
#[cfg(feature = "wg")]
use postwired::wg;
use proto_core::text::split_last;

use linux::log::{Stream, log};
#[cfg(any(feature = "wg", feature = "wg-quick"))]
use linux::shell;
use linux::{holders, machine, sys};
#[cfg(feature = "console")]
use serve::client;
#[cfg(not(feature = "console"))]
use serve::port;
use serve::{event_loop, local};

/// Executes the command line, as the program by whose name it was called. Returns the exit code.
fn run(mut args: sys::Args) -> i32 {
    sys::report_bugs();
    // A non-UTF-8 argument cannot name a command.
    let text = |word: Option<&'static str>| word.unwrap_or("\u{fffd}");
    let program = args.next().map_or("", text);
    let name = split_last(program, b'/').map_or(program, |(_, name)| name);
    let mut words = args.clone().map(text);
    let (command, skipped) = match name {
        "wg" | "wg-quick" => (name, 0),
        _ => (words.next().unwrap_or_default(), 1),
    };
    #[cfg_attr(not(feature = "wg"), allow(unused_variables, reason = "its messages name it"))]
    let program = if skipped == 0 { program } else { command };
    #[cfg(any(feature = "wg", feature = "wg-quick"))]
    let words = &mut args.clone().map(text).skip(skipped);
    // Used only once.
    #[cfg(any(feature = "wg", feature = "wg-quick"))]
    let memory = || sys::memory().unwrap_or_else(|| sys::abort());
    match command {
        #[cfg(feature = "wg")]
        "wg" => wg::run(&shell::Shell, memory(), program, words),
        // The name without the folder.
        #[cfg(feature = "wg-quick")]
        "wg-quick" => quick::run(&shell::Shell, memory(), command, words),
        #[cfg(not(all(feature = "wg", feature = "wg-quick")))]
        #[allow(unreachable_patterns, reason = "one of the two may be there")]
        "wg" | "wg-quick" => {
            machine::open_standard_streams();
            log(format_args!(
                "this build has no `{command}`: install wireguard-tools, or the full variant of postwired"
            ));
            127
        }
        _ => serve_or_help(args),
    }
}

/// Executes the command line of `postwired`.
fn serve_or_help(args: sys::Args) -> i32 {
    // `wg` keeps a closed standard input closed: reading from it must fail.
    machine::open_standard_streams();
    #[cfg(feature = "console")]
    if let Some(code) = client::run(args.clone()) {
        return code;
    }
    #[cfg(not(feature = "console"))]
    if let Some(code) = port::run(args.clone()) {
        return code;
    }
    let board = machine::board_name();
    let mut text = true;
    let words = args.filter_map(|word| {
        text &= word.is_some();
        word
    });
    let command = options::parse(words, &board);
    let command = if text { command } else { Err(OptionsError::NotText) };
    // If the output cannot be written, there is no reader for an error either.
    match command {
        Ok(Command::Help) => {
            let _ = Stream(sys::stdout()).write_str(options::HELP);
            0
        }
        Ok(Command::Version) => {
            let _ = Stream(sys::stdout()).write_str(concat!(
                "postwired ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ));
            0
        }
        Ok(Command::Identity { keep }) => finish(keep, local::identity(keep)),
        Ok(Command::ResetOwner { keep, key }) => finish(keep, local::reset_owner(keep, key)),
        Ok(Command::Check(options)) => check(&options),
        Ok(Command::Serve(options)) => {
            machine::keep_secrets();
            // The loop runs until it cannot continue.
            event_loop::serve(options)
        }
        Err(error) => {
            log(format_args!("{error}"));
            log(format_args!("see postwired --help"));
            2
        }
    }
}

/// Prints what the options open, one in a line: `serial DEVICE BAUD`, `led NAME` and `udp PLACE
/// PORT`. The init script reads this. A third word after `serial` is the program that uses the port
/// as the router's console.
fn check(options: &Options<'_>) -> i32 {
    let mut out = Stream(sys::stdout());
    if let Some(port) = &options.serial {
        let _ = write!(out, "serial {} {}", port.device, port.baud);
        let holder = holders::console(port);
        if let Some(holder) = &holder {
            let _ = write!(out, " {}", holder.name);
        }
        let _ = out.write_str("\n");
        if let Some(holder) = &holder {
            holders::complain(port, holder);
        }
    }
    if let Some(led) = options.led {
        let _ = writeln!(out, "led {led}");
    }
    for place in &options.udp {
        let _ = writeln!(out, "udp {place} {}", place.port());
    }
    0
}

/// The exit code for the result of a command.
fn finish(keep: &str, outcome: Result<(), KeepError>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            log(format_args!("{keep}: {error}"));
            1
        }
    }
}

// A debug build can unwind, like the tests that share its dependencies, and only std has what
// unwinding needs.
#[cfg(panic = "unwind")]
extern crate std;

/// Only builds for tests print this: see `sys::report_bugs`.
#[cfg(not(panic = "unwind"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log(format_args!("a bug in postwired: {info}"));
    sys::abort()
}
