//! The typed graph of one strategy: nodes, state, modes, rules, sinks and limits. Built by the language front end through
//! [`Program::push`], read by both engines.
use tercel_types::DurationNs;

use crate::clock::ClockSet;
use crate::error::GraphError;
use crate::op::{Op, Ty};

/// Index of a node. Operands always have a smaller index than their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    pub args: Vec<NodeId>,
    pub ty: Ty,
    /// For an operator that needs clocks: the ticks on which it advances. Otherwise the union over its operands.
    pub clocks: ClockSet,
    /// Where in the text it came from, in the front end's own numbering; no engine reads it.
    pub origin: u32,
}

/// A strategy as meant. `sinks[i]` and `limits[i]` belong to `Manifest::sinks[i]` and `Manifest::limits[i]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// In evaluation order: operands first, ties as in the text.
    pub nodes: Vec<Node>,
    /// Periods of the periodic timers; `ClockSet::timer(i)` ticks on each multiple of `timers[i]` since 1970.
    pub timers: Vec<DurationNs>,
    pub states: Vec<StateVar>,
    pub modes: Vec<Mode>,
    /// The mode a cold start begins in, when there are modes.
    pub initial_mode: u16,
    /// In textual order. The active mode's rules go before the strategy's.
    pub rules: Vec<Rule>,
    /// In textual order, as in the manifest. The active mode's sinks go before the strategy's.
    pub sinks: Vec<Sink>,
    /// Bound (F64) of each limit of the manifest; written to its `bound_slot` after every instant.
    pub limits: Vec<NodeId>,
    /// Nodes whose value somebody outside asks for, in any order: both engines keep them readable. They change no result.
    pub probes: Vec<NodeId>,
    /// Given to the nodes pushed next.
    pub origin: u32,
}

/// A state variable: written by `Action::Next`, committed after the rules of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct StateVar {
    pub name: String,
    pub ty: Ty,
    pub init: Init,
    pub persist: bool,
}

/// First value of a state variable, taken at the first instant. Its type must be the variable's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Absent,
    F64(f64),
    Bool(bool),
    /// Nanoseconds since 1970.
    Time(i64),
    /// Value of an F64 parameter at the first instant.
    Param(u16),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    pub name: String,
    /// Types of the values that `go` freezes. The initial mode has none.
    pub values: Vec<Ty>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// As written, for people.
    pub name: String,
    /// The mode it belongs to; `None`: the strategy's.
    pub mode: Option<u16>,
    pub trigger: Trigger,
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Fires when the condition turns true against its last present value. In a mode entered by `go` that memory starts
    /// as false, so a condition true in the mode's first round fires; after a cold start it starts as true, so an
    /// observed false comes first. Absent is not true and leaves the memory alone.
    When(NodeId),
    /// Fires in each round in which the event happens and the guard, if any, is true.
    On { event: Event, guard: Option<NodeId> },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// One of these clocks ticks.
    Clocks(ClockSet),
    /// This pulse is true.
    Pulse(NodeId),
}

/// What a rule does. A rule with an absent operand in a `Go` or a `Next` does nothing at all and is counted as blocked;
/// its edge is consumed. In a round the first `Go` wins, and the first `Next` or `Clear` per variable, and the first of
/// `Halt` and `Finish`.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Enter a mode (also the active one, anew), freezing the values.
    Go {
        mode: u16,
        args: Vec<NodeId>,
    },
    Next {
        state: u16,
        value: NodeId,
    },
    /// `next s = none`.
    Clear {
        state: u16,
    },
    /// Index into `Manifest::messages`. Final: nothing is evaluated any more, no instrument has an owner.
    Halt {
        message: u16,
    },
    /// The same with success.
    Finish {
        message: u16,
    },
    /// For replay and explanation; without effect on a run. Absent operands do not block.
    Note {
        message: u16,
        args: Vec<NodeId>,
    },
}

/// Where desired state is written when this sink owns its instrument: the first sink of the instrument, those of the
/// active mode before the strategy's, whose guard is absent from the text or true. Slots of the others hold NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub mode: Option<u16>,
    pub guard: Option<NodeId>,
    /// Slot in `Desires::values`, and the F64 written to it. A leg's `while g` is `If(g, qty, Absent)`.
    pub outputs: Vec<(usize, NodeId)>,
}

impl Program {
    /// Adds a node; type and clocks follow from the operands. For a source with a clock of its own or an operator that
    /// advances on clocks use [`Program::push_on`].
    pub fn push(&mut self, op: Op, args: &[NodeId]) -> Result<NodeId, GraphError> {
        let clocks = args.iter().filter_map(|a| self.nodes.get(a.idx())).fold(op.own_clock(), |set, n| set | n.clocks);
        self.push_on(op, args, clocks)
    }

    /// Adds a node with these clocks: when an `Input` or `Signal` ticks, on what an operator with state advances.
    pub fn push_on(&mut self, op: Op, args: &[NodeId], clocks: ClockSet) -> Result<NodeId, GraphError> {
        let ty = crate::check::result_type(self, op, args, clocks)?;
        let id =
            NodeId(u32::try_from(self.nodes.len()).map_err(|_| GraphError::TooMany { what: "nodes", max: 1 << 16 })?);
        self.nodes.push(Node { op, args: args.to_vec(), ty, clocks, origin: self.origin });
        Ok(id)
    }

    /// The clock of `every period`, shared by equal periods.
    pub fn timer(&mut self, period: DurationNs) -> Result<ClockSet, GraphError> {
        if period.0 <= 0 {
            return Err(GraphError::Structural { op: "timer", what: "the period must be positive" });
        }
        let idx = match self.timers.iter().position(|p| *p == period) {
            Some(idx) => idx,
            None if self.timers.len() == ClockSet::TIMER_COUNT => {
                return Err(GraphError::TooMany { what: "timer periods", max: ClockSet::TIMER_COUNT });
            }
            None => {
                self.timers.push(period);
                self.timers.len() - 1
            }
        };
        Ok(ClockSet::timer(idx))
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.idx()]
    }

    pub fn ty(&self, id: NodeId) -> Ty {
        self.node(id).ty
    }
}
