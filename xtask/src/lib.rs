//! The chores of the repository, for `cargo xtask` and for the crate `lab`.

pub mod arch;
pub mod build;
pub mod check;
pub mod cross;
pub mod fuzz;
pub mod openwrt;
pub mod packages;
pub mod python;
pub mod release;
pub mod size;

pub use arch::Arch;
pub mod lab;
pub mod test;
