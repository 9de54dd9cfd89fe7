//! Transcripts: keys in, the screen of a terminal emulator out, over the whole service with a kernel and disks in memory.

mod json;
mod keys;
mod load;
mod noise;
mod rig;
mod roles;
mod transcripts;
mod width;
