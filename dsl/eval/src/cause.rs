//! Why a value is absent: a walk over the graph beside the engine, operands first, once per instant.
//!
//! A pure node is absent because of its first absent operand, or because of what it does itself. A node with memory keeps the
//! cause of its latest tick. `a ?? b` names the cause of `b`: the one of `a` is what `??` is there to answer.
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use tercel_event::{Field, Input, Manifest};
use tercel_graph::{ClockSet, Node, NodeId, Op, Program, TimeBase, Value};

/// Why a value is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The book is not live.
    BookNotLive,
    /// The book is live and has nothing at this level, or the trade does not say.
    NoQuote,
    NoTrade,
    /// The account is not reconciled.
    Unreconciled,
    /// No open position, so no average price.
    LedgerEmpty,
    /// The model has published nothing yet.
    NoSignal,
    /// The model says that it has no value.
    SignalWithdrawn,
    /// Older than `max_age`.
    SignalExpired,
    Division,
    /// Outside of what a function takes.
    Domain,
    /// Too large for a number.
    Overflow,
    /// Not enough ticks or time yet.
    NotReady,
    /// The tick before had no value.
    Gap,
    /// Written so: `none`, or a leg whose `while` does not hold.
    None,
    /// A value of a mode that is not active.
    Inactive,
    /// The strategy has stopped.
    Stopped,
}

impl Cause {
    pub const ALL: [Self; 16] = [
        Self::BookNotLive,
        Self::NoQuote,
        Self::NoTrade,
        Self::Unreconciled,
        Self::LedgerEmpty,
        Self::NoSignal,
        Self::SignalWithdrawn,
        Self::SignalExpired,
        Self::Division,
        Self::Domain,
        Self::Overflow,
        Self::NotReady,
        Self::Gap,
        Self::None,
        Self::Inactive,
        Self::Stopped,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::BookNotLive => "book_not_live",
            Self::NoQuote => "no_quote",
            Self::NoTrade => "no_trade",
            Self::Unreconciled => "unreconciled",
            Self::LedgerEmpty => "ledger_empty",
            Self::NoSignal => "no_signal",
            Self::SignalWithdrawn => "signal_withdrawn",
            Self::SignalExpired => "signal_expired",
            Self::Division => "division",
            Self::Domain => "domain",
            Self::Overflow => "overflow",
            Self::NotReady => "not_ready",
            Self::Gap => "gap",
            Self::None => "none",
            Self::Inactive => "inactive",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the walk asks about the world outside the graph.
pub(crate) trait World {
    fn book_is_live(&self, instrument: u16) -> bool;
    fn reconciled(&self) -> bool;
    fn has_traded(&self, instrument: u16) -> bool;
    /// Value and feature time of a signal; the value is `None` while withdrawn.
    fn signal(&self, signal: u16) -> (Option<f64>, Option<i64>);
}

/// Causes of all nodes that the probes depend on.
pub(crate) struct Causes {
    /// Positions in `Program::nodes`, ascending.
    nodes: Vec<usize>,
    /// Place of a node among the probes.
    place: BTreeMap<usize, usize>,
    /// Per node of `nodes`: its cause, and what its memory needs.
    of: BTreeMap<usize, Memory>,
}

#[derive(Default)]
struct Memory {
    cause: Option<Cause>,
    /// The operands of the latest tick were all present; `None` before the first.
    was_present: Option<bool>,
    /// Causes of the last k operands of `x[k]`.
    ring: VecDeque<Option<Cause>>,
}

/// Every node that these depend on, themselves included, ascending.
pub(crate) fn closure(program: &Program, roots: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut wanted = vec![false; program.nodes.len()];
    for root in roots {
        wanted[root.idx()] = true;
    }
    for idx in (0..program.nodes.len()).rev() {
        if wanted[idx] {
            program.nodes[idx].args.iter().for_each(|arg| wanted[arg.idx()] = true);
        }
    }
    let nodes = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
    nodes.map(|(idx, _)| NodeId(idx as u32)).collect()
}

impl Causes {
    /// `program.probes` is a [`closure`].
    pub fn new(program: &Program) -> Self {
        let nodes: Vec<_> = program.probes.iter().map(|probe| probe.idx()).collect();
        let place = nodes.iter().enumerate().map(|(place, node)| (*node, place)).collect();
        let of = nodes.iter().map(|node| (*node, Memory::default())).collect();
        Self { nodes, place, of }
    }

    /// Cause of a probe that is absent.
    pub fn of(&self, node: NodeId) -> Cause {
        self.of.get(&node.idx()).and_then(|memory| memory.cause).unwrap_or(Cause::NotReady)
    }

    /// One instant: values of the probes after it, clocks that ticked in it.
    pub fn instant(
        &mut self,
        program: &Program,
        manifest: &Manifest,
        values: &[Value],
        ticks: ClockSet,
        world: &impl World,
    ) {
        for at in 0..self.nodes.len() {
            let idx = self.nodes[at];
            let node = &program.nodes[idx];
            let value = |node: NodeId| values[self.place[&node.idx()]];
            let cause_of = |node: NodeId| self.of[&node.idx()].cause;
            let first = node.args.iter().find(|arg| !value(**arg).is_present()).map(|arg| cause_of(*arg));
            let first = first.map(|cause| cause.unwrap_or(Cause::NotReady));
            let operand = node.args.first().map(|arg| cause_of(*arg).filter(|_| !value(*arg).is_present()));
            let is_present = values[at].is_present();
            let is_pure = node.op.state_words() == 0;
            let own =
                if is_present || !is_pure { None } else { own_cause(node, manifest, first, &value, &cause_of, world) };
            let memory = self.of.get_mut(&idx).expect("every node of the walk has its memory");
            if is_pure {
                memory.cause = own;
                continue;
            }
            let ticked = !node.op.needs_clock() || node.clocks.intersects(ticks);
            if ticked {
                let gap = memory.was_present == Some(false);
                memory.was_present = Some(first.is_none());
                memory.cause = match node.op {
                    Op::History { k } => {
                        memory.ring.push_back(operand.flatten());
                        let before = if memory.ring.len() > k as usize { memory.ring.pop_front() } else { None };
                        Some(before.flatten().unwrap_or(Cause::NotReady))
                    }
                    _ if first.is_some() => first,
                    Op::Delta | Op::Ofi | Op::EwVarRate { .. } if gap => Some(Cause::Gap),
                    _ => Some(Cause::NotReady),
                };
            }
            if is_present {
                memory.cause = None;
            }
        }
    }
}

/// The cause of an absent node without memory, as its operands and the world have it.
fn own_cause(
    node: &Node,
    manifest: &Manifest,
    first: Option<Cause>,
    value: &impl Fn(NodeId) -> Value,
    cause_of: &impl Fn(NodeId) -> Option<Cause>,
    world: &impl World,
) -> Option<Cause> {
    let signal_cause = |signal: u16| match world.signal(signal) {
        (_, None) => Cause::NoSignal,
        (None, _) => Cause::SignalWithdrawn,
        _ => Cause::SignalExpired,
    };
    let zero = |arg: usize| matches!(value(node.args[arg]), Value::F64(Some(x)) if x == 0.0);
    Some(match node.op {
        Op::Absent(_) | Op::State(_) => Cause::None,
        Op::ModeValue { .. } => Cause::Inactive,
        Op::Input(idx) => match manifest.inputs.get(idx as usize) {
            Some(Input::Instrument { instrument, field }) => field_cause(*instrument, *field, world),
            Some(Input::Signal { signal }) => signal_cause(*signal),
            None => Cause::NoQuote,
        },
        Op::Signal { signal, .. } | Op::SignalAge(signal) => signal_cause(signal),
        Op::Deadline { base: TimeBase::Age(_), .. } if first.is_none() => Cause::NoSignal,
        Op::If => match value(node.args[0]) {
            Value::Bool(Some(yes)) => cause_of(node.args[if yes { 1 } else { 2 }]).unwrap_or(Cause::None),
            _ => cause_of(node.args[0]).unwrap_or(Cause::None),
        },
        Op::Coalesce => cause_of(node.args[1]).unwrap_or(Cause::None),
        _ if first.is_some() => return first,
        Op::Div if zero(1) => Cause::Division,
        Op::PowI(n) if n < 0 && zero(0) => Cause::Division,
        Op::Sqrt | Op::Ln | Op::Clamp | Op::CheckInt | Op::TimeAdd => Cause::Domain,
        _ => Cause::Overflow,
    })
}

fn field_cause(instrument: u16, field: Field, world: &impl World) -> Cause {
    match field {
        Field::LastPx | Field::LastQty | Field::LastSide if !world.has_traded(instrument) => Cause::NoTrade,
        Field::LastPx | Field::LastQty | Field::LastSide => Cause::NoQuote,
        Field::AvgPrice if world.reconciled() => Cause::LedgerEmpty,
        Field::Position | Field::AvgPrice | Field::Bought | Field::Sold | Field::Settled | Field::Flat => {
            Cause::Unreconciled
        }
        _ if !world.book_is_live(instrument) => Cause::BookNotLive,
        _ => Cause::NoQuote,
    }
}
