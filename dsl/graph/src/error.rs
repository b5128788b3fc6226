use thiserror::Error;

use crate::op::Ty;

/// Why a graph is not a program. A front end that checked its text never sees one.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum GraphError {
    #[error("`{op}` takes {want} operands, got {got}")]
    Arity { op: &'static str, want: usize, got: usize },
    #[error("operand {idx} of `{op}` is {got:?}, expected {want}")]
    Type { op: &'static str, idx: usize, got: Ty, want: &'static str },
    #[error("operand {idx} of `{op}` does not precede it")]
    Order { op: &'static str, idx: usize },
    #[error("`{op}` advances on clocks and its node has none")]
    NoClock { op: &'static str },
    #[error("`{op}`: {what}")]
    Structural { op: &'static str, what: &'static str },
    #[error("{what} {idx} does not exist; there are {count}")]
    Unknown { what: &'static str, idx: usize, count: usize },
    #[error("too many {what}: at most {max}")]
    TooMany { what: &'static str, max: usize },
    #[error("{what} {idx}: {problem}")]
    Part { what: &'static str, idx: usize, problem: &'static str },
}
