//! Every atomic of Tercel: rings, the sequenced log, slots shared with other processes, counters, the kill word.
//!
//!   edge ──spsc / frames──▶ core ──log──▶ journal (gating), telemetry (lapped)
//!                                    └──▶ recovery, after a kill
//!
//! The two publication protocols (`spsc::Slots`, `publish::Words`) are generic over their memory, so that the code which
//! runs in production is the code which loom explores; every ordering is a constant of the trait, so that a test can
//! weaken one and see it caught. No allocation, lock or system call after construction, except where a type says so.

mod atomic;
mod cells;
mod frames;
mod kill;
pub mod log;
mod map;
mod power_of_two;
pub mod publish;
pub mod slot;
pub mod spsc;
mod wait;

pub use atomic::{Atomic, Padded};
pub use cells::{Counter, Flag, Gauge};
pub use frames::{FrameConsumer, FrameProducer, frames};
pub use kill::KillWord;
pub use log::{
    GatingReader, LagStep, LappedReader, LogConfig, LogError, LogFault, LogRecovery, LogWriter, Residency, Sighting,
};
pub use power_of_two::PowerOfTwo;
pub use publish::{LINE_LEN, MAX_FRAME_LEN, PREFIX_LEN, PushError};
pub use slot::{SLOT_LEN, Slot, SlotFault, SlotReader, SlotWriter};
pub use spsc::{Consumer, Full, Producer, spsc};
pub use wait::{WaitStrategy, Waiter};

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("frames are little-endian and positions are 64 bits wide");
