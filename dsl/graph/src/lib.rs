//! The typed graph of a strategy: the one meaning that the language front end lowers into, the interpreter defines and the
//! machine code must equal bit for bit.
//!
//!   text ──▶ tercel-lang ──▶ Program ──┬──▶ Interp (this crate): the reference
//!                                      └──▶ tercel-jit: Cranelift
//!
//! Thread      whichever runs the strategy; nothing here is shared.
//! Memory      `Program` is built once; `Interp` allocates in `new` and never in `on_instant`.
//! Never       reads a clock, calls the host's libm, or iterates a hash map.
#![forbid(unsafe_code)]

mod check;
pub mod clock;
pub mod error;
pub mod interp;
pub mod limits;
pub mod math;
pub mod op;
pub mod program;
pub mod report;
pub mod value;

pub use clock::ClockSet;
pub use error::GraphError;
pub use interp::Interp;
pub use op::{Cmp, Op, TimeBase, Ty};
pub use program::{Action, Event, Init, Mode, Node, NodeId, Program, Rule, Sink, StateVar, Trigger};
pub use report::{Readiness, Report};
pub use value::Value;

/// The one bit pattern of an absent `F64`, wherever a value is stored or leaves.
pub const ABSENT_BITS: u64 = 0x7ff8_0000_0000_0000;
/// An absent `Time`.
pub const ABSENT_TIME: i64 = i64::MIN;
