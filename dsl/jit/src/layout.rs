//! The slab: one array of words that holds everything the machine code reads and writes. Offsets are in words.
//!
//!   fixed ─ params ─ states ─ mode values ─ deadlines ─ node values ─ node state
//!
//! Compiled code gets the slab's address, and those of the instant's inputs and signal times, which it only reads: see
//! `backend`.
use std::collections::BTreeSet;

use tercel_event::Manifest;
use tercel_graph::{Action, Event, Init, Interp, NodeId, Op, Program, Trigger, Ty, Value};

/// Time of the instant, in nanoseconds.
pub(crate) const NOW: usize = 0;
/// Time of entry into the active mode.
pub(crate) const ENTRY: usize = 1;
/// Index of the active mode.
pub(crate) const MODE: usize = 2;
const FIXED: usize = 3;

/// Engine times lie in `0 .. TIME_BOUND`; a feature time outside counts as missing.
pub(crate) const TIME_BOUND: i64 = 1 << 62;

/// A deadline that is not armed.
pub(crate) const NEVER: i64 = i64::MAX;

/// Where things lie, and which nodes are evaluated where.
pub(crate) struct Layout {
    pub params: usize,
    pub states: usize,
    /// First frozen value, per mode.
    pub mode_values: Vec<usize>,
    pub deadlines: core::ops::Range<usize>,
    /// Per node with a deadline.
    pub deadline: Vec<Option<usize>>,
    /// Per node: where its value is kept when another function or the driver reads it.
    pub value: Vec<Option<usize>>,
    /// Per node: first word of its state, in the order of the digest.
    pub state: Vec<usize>,
    pub node_state: core::ops::Range<usize>,
    pub len: usize,
    pub place: Vec<Place>,
    /// Per node: the slots of the desired state that its code writes at every round. Empty where owners can change.
    pub direct: Vec<Vec<usize>>,
    /// Least length of the desired values for the code that writes them.
    pub values_len: usize,
}

/// Where a node is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A literal: emitted where it is used.
    Literal,
    /// Depends on literals and parameters alone: evaluated when a parameter changes, in chunk `.0` of those.
    Static(usize),
    /// Evaluated in every round, in chunk `.0`.
    Round(usize),
}

fn absent(ty: Ty) -> u64 {
    Value::absent(ty).word()
}

impl Layout {
    /// `chunk`: nodes per function.
    pub(crate) fn new(program: &Program, manifest: &Manifest, chunk: usize) -> Self {
        let place = places(program, chunk);
        let kept = kept(program, &place);
        let direct = direct(program, manifest, &place);
        let values_len = direct.iter().flatten().map(|slot| slot + 1).max().unwrap_or(0);
        let mut len = FIXED;
        let mut take = |words: usize| {
            len += words;
            len - words
        };
        let params = take(manifest.params.len());
        let states = take(program.states.len());
        let mode_values = program.modes.iter().map(|m| take(m.values.len())).collect();
        let first_deadline = take(0);
        let deadline: Vec<_> = program.nodes.iter().map(|n| n.op.has_deadline().then(|| take(1))).collect();
        let deadlines = first_deadline..take(0);
        let value = kept.iter().map(|kept| kept.then(|| take(1))).collect();
        let first_state = take(0);
        let state = program.nodes.iter().map(|n| take(n.op.state_words())).collect();
        let node_state = first_state..take(0);
        Self {
            params,
            states,
            mode_values,
            deadlines,
            deadline,
            value,
            state,
            node_state,
            len,
            place,
            direct,
            values_len,
        }
    }

    /// The slab before the first instant.
    pub(crate) fn slab(&self, program: &Program, manifest: &Manifest) -> Box<[u64]> {
        let mut slab = vec![0; self.len].into_boxed_slice();
        slab[MODE] = program.initial_mode.into();
        for (word, param) in slab[self.params..].iter_mut().zip(&manifest.params) {
            *word = param.default.to_bits();
        }
        for (word, state) in slab[self.states..].iter_mut().zip(&program.states) {
            *word = absent(state.ty);
        }
        for (first, mode) in self.mode_values.iter().zip(&program.modes) {
            slab[*first..].iter_mut().zip(&mode.values).for_each(|(word, ty)| *word = absent(*ty));
        }
        slab[self.deadlines.clone()].fill(NEVER as u64);
        for (idx, node) in program.nodes.iter().enumerate() {
            let state = &mut slab[self.state[idx]..][..node.op.state_words()];
            state.copy_from_slice(&Interp::first_words(program, NodeId(idx as u32)));
            if let (Some(word), Some(literal)) = (self.value[idx], literal(node.op)) {
                slab[word] = literal;
            }
        }
        slab
    }

    /// Takes over the first values of the state variables, and the first pane ends: part of the first instant.
    pub(crate) fn start(&self, program: &Program, slab: &mut [u64], now: i64) {
        slab[ENTRY] = now as u64;
        for (idx, state) in program.states.iter().enumerate() {
            slab[self.states + idx] = match state.init {
                Init::Absent => absent(state.ty),
                Init::F64(value) => value.to_bits(),
                Init::Bool(value) => Value::Bool(Some(value)).word(),
                Init::Time(ns) => ns as u64,
                Init::Param(param) => slab[self.params + param as usize],
            };
        }
        for (idx, node) in program.nodes.iter().enumerate() {
            if let Op::WindowSum { panes, pane_ns, .. } = node.op {
                slab[self.state[idx] + 2 + panes as usize] = next_multiple(now, pane_ns) as u64;
            }
        }
    }
}

/// The first multiple of `period` after `now`, both not negative.
pub(crate) fn next_multiple(now: i64, period: i64) -> i64 {
    (now / period + 1) * period
}

/// The word of a literal.
fn literal(op: Op) -> Option<u64> {
    match op {
        Op::Const(value) => Some(value.to_bits()),
        Op::ConstBool(value) => Some(Value::Bool(Some(value)).word()),
        Op::Absent(ty) => Some(absent(ty)),
        _ => None,
    }
}

fn places(program: &Program, chunk: usize) -> Vec<Place> {
    let (mut statics, mut rounds) = (0, 0);
    let mut place: Vec<Place> = Vec::with_capacity(program.nodes.len());
    for node in &program.nodes {
        let next = match node.op {
            Op::Const(_) | Op::ConstBool(_) | Op::Absent(_) => Place::Literal,
            op if is_static(op) && node.args.iter().all(|a| !matches!(place[a.idx()], Place::Round(_))) => {
                statics += 1;
                Place::Static((statics - 1) / chunk)
            }
            _ => {
                rounds += 1;
                Place::Round((rounds - 1) / chunk)
            }
        };
        place.push(next);
    }
    place
}

/// May depend on parameters alone.
fn is_static(op: Op) -> bool {
    !matches!(
        op,
        Op::Input(_)
            | Op::Signal { .. }
            | Op::SignalAge(_)
            | Op::Now
            | Op::Elapsed
            | Op::State(_)
            | Op::ModeValue { .. }
            | Op::InMode(_)
            | Op::Tick
            | Op::Deadline { .. }
    ) && op.state_words() == 0
}

/// Slots that machine code can write as it goes, by node: when no mode and no guard decides who owns an instrument, the first
/// sink of each does, for good.
fn direct(program: &Program, manifest: &Manifest, place: &[Place]) -> Vec<Vec<usize>> {
    let mut slots = vec![Vec::new(); program.nodes.len()];
    let mut owned = BTreeSet::new();
    let first: Vec<_> =
        program.sinks.iter().zip(&manifest.sinks).filter(|(_, spec)| owned.insert(spec.instrument())).collect();
    if !program.modes.is_empty() || first.iter().any(|(sink, _)| sink.guard.is_some()) {
        return slots;
    }
    let outputs = first.iter().flat_map(|(sink, _)| sink.outputs.iter().copied());
    let limits = program.limits.iter().zip(&manifest.limits).map(|(node, limit)| (limit.bound_slot, *node));
    let mut taken = BTreeSet::new();
    for (slot, node) in outputs.chain(limits) {
        let fits = slot < manifest.values_len && program.ty(node) == Ty::F64 && taken.insert(slot);
        if !fits {
            return vec![Vec::new(); program.nodes.len()];
        }
        if matches!(place[node.idx()], Place::Round(_)) {
            slots[node.idx()].push(slot);
        }
    }
    slots
}

/// Nodes whose value is read outside the function that computes it.
fn kept(program: &Program, place: &[Place]) -> Vec<bool> {
    let mut kept: Vec<bool> = place.iter().map(|p| matches!(p, Place::Static(_))).collect();
    for (node, here) in program.nodes.iter().zip(place) {
        for arg in &node.args {
            let there = place[arg.idx()];
            kept[arg.idx()] |= there != Place::Literal && there != *here;
        }
    }
    let mut keep = |node: &NodeId| kept[node.idx()] = true;
    for rule in &program.rules {
        match &rule.trigger {
            Trigger::When(condition) => keep(condition),
            Trigger::On { event, guard } => {
                guard.iter().for_each(&mut keep);
                if let Event::Pulse(pulse) = event {
                    keep(pulse);
                }
            }
        }
        for action in &rule.actions {
            match action {
                Action::Go { args, .. } => args.iter().for_each(&mut keep),
                Action::Next { value, .. } => keep(value),
                Action::Clear { .. } | Action::Halt { .. } | Action::Finish { .. } | Action::Note { .. } => {}
            }
        }
    }
    for sink in &program.sinks {
        sink.guard.iter().for_each(&mut keep);
        sink.outputs.iter().for_each(|(_, node)| keep(node));
    }
    program.limits.iter().chain(&program.probes).for_each(keep);
    kept
}
