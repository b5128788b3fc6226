//! What flows through Tercel: frames in, commands out, and the `Strategy` contract between them.
//!
//! Layouts are `repr(C)`, little-endian, without implicit padding (`bytemuck::Pod` proves it); `docs/reference/event.md` is
//! generated from `layout::describe`.
#![forbid(unsafe_code)]

mod body;
mod command;
mod frame;
mod hash;
pub mod layout;
mod status;
mod strategy;

pub use body::*;
pub use command::{COMMAND_LEN, Command, CommandKind, OrdType, Reason, Tif};
pub use frame::{
    Frame, FrameBuf, FrameError, FrameFlags, FrameHeader, FrameKind, HEADER_LEN, LINE_LEN, MAX_FRAME_LEN, stamp,
    write_frame,
};
pub use hash::{Chain, StateDigest, hash_words, mix64};
pub use status::is_terminal;
pub use strategy::*;

#[cfg(not(target_endian = "little"))]
compile_error!("frames are little-endian; a big-endian host would need a conversion at every edge");
