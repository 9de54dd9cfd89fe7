//! A configuration as an image, compared with the kernel and applied.
//!
//! | module | holds |
//! |---|---|
//! | [`from_text`] | the image of a wg-quick file that was typed |
//! | [`image`] | the staged records in order, checked, and the index built from them |
//! | [`index`] | the items of an image in a file, found by binary search |
//! | [`records`] | sequences of records in files |
//! | [`set_sum`] | sets of networks compared in fixed memory |
//! | [`plan`] | what differs between an image and the kernel |
//! | [`claims`] | which interface a policy rule belongs to |
//! | [`clash`] | routes that are in use by another interface or program |
//! | [`peers`] | the engine for peers: the comparison with a device, and the sender; `wg` and `wg-quick` use it too |
//! | [`apply`] | sends the changes to the kernel |
//! | [`differences`] | what differs, in words |
//!
//! Not here: the order of compare, snapshot, apply and store ([`crate::store::commit`]).

pub mod apply;
pub mod claims;
pub mod clash;
pub mod differences;
pub mod from_text;
pub mod image;
pub mod index;
pub mod peers;
pub mod plan;
pub mod records;
pub mod set_sum;
