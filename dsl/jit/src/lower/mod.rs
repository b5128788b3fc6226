//! Lowering of nodes to Cranelift IR. Straight-line code; a branch only where an operator with state may hold.
//!
//! Invariants  an `F64` value is finite, or NaN of any bits, which is absent; where it is stored it has the bits of
//!             absent. An infinite input, sum, difference, product or quotient stays non-finite under further sums,
//!             products and numerators, so it is made absent only where something else reads it (`Num::Raw`);
//!             a `Bool` is an i64 of 0 (false), 1 (absent) or 2 (true), so that Kleene `and` is a minimum;
//!             operands are fetched before an operator branches, so each value dominates its later uses.
mod pure;
mod roll;
mod state;
mod time;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, BlockArg, FuncRef, InstBuilder, MemFlagsData};
use cranelift_frontend::FunctionBuilder;
use tercel_event::Manifest;
use tercel_graph::{ABSENT_BITS, ABSENT_TIME, ClockSet, NodeId, Op, Program, Ty, Value};

use crate::layout::{Layout, NOW, Place, TIME_BOUND};
use crate::planted::Planted;

/// The pinned functions, as callees of one function.
#[derive(Clone, Copy)]
pub(crate) struct Callees {
    pub ln: FuncRef,
    pub exp: FuncRef,
    pub ew_weight: FuncRef,
}

/// What a lowering reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub program: &'a Program,
    pub manifest: &'a Manifest,
    pub layout: &'a Layout,
    pub planted: Option<Planted>,
}

/// A value of a node, and whether an infinity in it still has to be made absent.
#[derive(Clone, Copy)]
enum Num {
    Raw(ir::Value),
    Done(ir::Value),
}

/// One function under construction.
pub(crate) struct Emit<'a, 'f> {
    src: Source<'a>,
    b: FunctionBuilder<'f>,
    callees: Callees,
    state: ir::Value,
    ticks: ir::Value,
    /// Addresses of the instant's inputs and signal times.
    inputs: ir::Value,
    times: ir::Value,
    /// Address of the desired values.
    desires: ir::Value,
    now: ir::Value,
    /// Per node: its value, once emitted or loaded in this function.
    values: Vec<Option<Num>>,
    /// Numbers that have the bits of absent when they are absent.
    canonical: BTreeSet<ir::Value>,
    /// `Bool`s of this function: the condition that they are true.
    truths: BTreeMap<ir::Value, ir::Value>,
}

impl<'a, 'f> Emit<'a, 'f> {
    /// Opens a function `(slab: *mut u64, ticks: u64, inputs: *const f64, times: *const i64, desires: *mut f64)`.
    pub(crate) fn new(src: Source<'a>, mut b: FunctionBuilder<'f>, callees: Callees) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let [state, ticks, inputs, times, desires] = core::array::from_fn(|idx| b.block_params(entry)[idx]);
        let now = b.ins().load(I64, MemFlagsData::trusted(), state, offset(NOW));
        let values = vec![None; src.program.nodes.len()];
        let (canonical, truths) = (BTreeSet::new(), BTreeMap::new());
        Self { src, b, callees, state, ticks, inputs, times, desires, now, values, canonical, truths }
    }

    /// Emits a node and keeps its value where others read it.
    pub(crate) fn node(&mut self, id: NodeId) {
        let node = self.src.program.node(id);
        let mut args = [self.now; 4];
        // Finite operands first: a node that is both sorts of operand is finite for both.
        for raw in [false, true] {
            for (idx, (arg, of)) in args.iter_mut().zip(&node.args).enumerate() {
                if takes_infinity(node.op, idx) == raw {
                    *arg = if raw { self.raw(*of) } else { self.value(*of) };
                }
            }
        }
        let value = if node.op.state_words() > 0 {
            self.with_state(id, node.op, args)
        } else {
            match node.op {
                Op::Signal { .. } | Op::Deadline { .. } => self.timed(id, node.op, args[0]),
                op => self.source(id, op).unwrap_or_else(|| self.pure(op, &node.args, args)),
            }
        };
        let shown = matches!(node.op, Op::Input(_) | Op::Signal { .. });
        let computed = keeps_infinity(node.op, 0) && !(node.op == Op::Mul && self.planted(Planted::MulInfinite));
        let num = if shown || computed { Num::Raw(value) } else { Num::Done(value) };
        self.values[id.idx()] = Some(num);
        if let Some(word) = self.src.layout.value[id.idx()] {
            let value = match num {
                Num::Raw(raw) if !self.planted(Planted::NotCanonical) => self.finite_or_absent(raw),
                Num::Raw(_) | Num::Done(_) => self.value(id),
            };
            self.values[id.idx()] = Some(Num::Done(value));
            self.store(word, value, node.ty);
            for slot in &self.src.layout.direct[id.idx()] {
                self.store_at(self.desires, *slot, value, Ty::F64);
            }
        }
    }

    /// Closes the function.
    pub(crate) fn finish(mut self, config: cranelift_codegen::isa::TargetFrontendConfig) {
        self.b.ins().return_(&[]);
        self.b.finalize(config);
    }

    fn planted(&self, defect: Planted) -> bool {
        self.src.planted == Some(defect)
    }

    /// The value of a node, absent when it is not finite.
    fn value(&mut self, id: NodeId) -> ir::Value {
        let value = match self.values[id.idx()] {
            Some(Num::Done(value)) => return value,
            Some(Num::Raw(raw)) => self.finite(raw),
            // A literal anew at each use: its bytes are an operand of the instruction, not a register held for long.
            None if self.src.layout.place[id.idx()] == Place::Literal => return self.fetch(id),
            None => self.fetch(id),
        };
        self.values[id.idx()] = Some(Num::Done(value));
        value
    }

    /// The value of a node for an operator under which an infinity stays one.
    fn raw(&mut self, id: NodeId) -> ir::Value {
        match self.values[id.idx()] {
            Some(Num::Raw(value) | Num::Done(value)) => value,
            None => self.value(id),
        }
    }

    /// A literal, or the value that another function kept.
    fn fetch(&mut self, id: NodeId) -> ir::Value {
        let node = self.src.program.node(id);
        match (node.op, self.src.layout.value[id.idx()]) {
            (Op::Const(value), _) => self.number(value),
            (Op::ConstBool(value), _) => self.int(Value::Bool(Some(value)).word() as i64),
            (Op::Absent(ty), _) => self.absent(ty),
            (_, Some(word)) => self.load(word, node.ty),
            (op, None) => unreachable!("`{}` is read by another function and not kept", op.name()),
        }
    }

    fn source(&mut self, id: NodeId, op: Op) -> Option<ir::Value> {
        let layout = self.src.layout;
        Some(match op {
            Op::Param(idx) => self.load(layout.params + idx as usize, Ty::F64),
            Op::Input(idx) => self.input(idx),
            Op::State(idx) => self.load(layout.states + idx as usize, self.src.program.ty(id)),
            Op::ModeValue { mode, idx } => {
                self.load(layout.mode_values[mode as usize] + idx as usize, self.src.program.ty(id))
            }
            Op::InMode(mode) => {
                let active = self.load(crate::layout::MODE, Ty::Time);
                let same = self.b.ins().icmp_imm_s(IntCC::Equal, active, i64::from(mode));
                self.truth(same)
            }
            Op::Tick => {
                let ticks = self.ticking(self.src.program.node(id).clocks);
                let ticks = self.b.ins().icmp_imm_s(IntCC::NotEqual, ticks, 0);
                self.truth(ticks)
            }
            Op::Now => self.now,
            Op::Elapsed => {
                let entry = self.load(crate::layout::ENTRY, Ty::Time);
                let elapsed = self.b.ins().isub(self.now, entry);
                self.seconds(elapsed)
            }
            Op::SignalAge(signal) => {
                let (time, known) = self.signal_time(signal);
                let age = self.b.ins().isub(self.now, time);
                let age = self.seconds(age);
                self.or_absent(known, age, Ty::F64)
            }
            _ => return None,
        })
    }

    // Small pieces

    fn load(&mut self, word: usize, ty: Ty) -> ir::Value {
        if ty != Ty::F64 {
            return self.b.ins().load(I64, MemFlagsData::trusted(), self.state, offset(word));
        }
        let value = self.b.ins().load(F64, MemFlagsData::trusted(), self.state, offset(word));
        self.canonical.insert(value);
        value
    }

    /// An input as it is shown: it may be infinite.
    fn input(&mut self, idx: u16) -> ir::Value {
        self.b.ins().load(F64, MemFlagsData::trusted(), self.inputs, offset(idx as usize))
    }

    /// A signal's feature time, and whether it is one.
    fn signal_time(&mut self, signal: u16) -> (ir::Value, ir::Value) {
        let time = self.b.ins().load(I64, MemFlagsData::trusted(), self.times, offset(signal as usize));
        let bound = self.int(TIME_BOUND);
        let known = self.b.ins().icmp(IntCC::UnsignedLessThan, time, bound);
        (time, known)
    }

    /// Stores a value, absent with its one bit pattern.
    fn store(&mut self, word: usize, value: ir::Value, ty: Ty) {
        let address = self.state;
        self.store_at(address, word, value, ty);
    }

    fn store_at(&mut self, address: ir::Value, word: usize, value: ir::Value, ty: Ty) {
        let mut value = value;
        if ty == Ty::F64 && !self.canonical.contains(&value) && !self.planted(Planted::NotCanonical) {
            let present = self.present(value, ty);
            value = self.ordered_or_absent(present, value);
        }
        self.b.ins().store(MemFlagsData::trusted(), value, address, offset(word));
    }

    fn number(&mut self, value: f64) -> ir::Value {
        debug_assert!(value.is_finite());
        let value = self.b.ins().f64const(value);
        self.canonical.insert(value);
        value
    }

    fn int(&mut self, value: i64) -> ir::Value {
        self.b.ins().iconst(I64, value)
    }

    fn absent(&mut self, ty: Ty) -> ir::Value {
        match ty {
            Ty::F64 => {
                let absent = self.b.ins().f64const(ir::immediates::Ieee64::with_bits(ABSENT_BITS));
                self.canonical.insert(absent);
                absent
            }
            Ty::Bool => self.int(Value::Bool(None).word() as i64),
            Ty::Time => self.int(ABSENT_TIME),
        }
    }

    /// A condition (i8) as a present `Bool`.
    fn truth(&mut self, condition: ir::Value) -> ir::Value {
        let wide = self.b.ins().uextend(I64, condition);
        self.b.ins().ishl_imm_u(wide, 1)
    }

    /// Whether a value is present, as a condition.
    fn present(&mut self, value: ir::Value, ty: Ty) -> ir::Value {
        match ty {
            Ty::F64 => self.b.ins().fcmp(FloatCC::Ordered, value, value),
            Ty::Bool => self.b.ins().icmp_imm_s(IntCC::NotEqual, value, Value::Bool(None).word() as i64),
            Ty::Time => {
                let absent = self.absent(Ty::Time);
                self.b.ins().icmp(IntCC::NotEqual, value, absent)
            }
        }
    }

    fn or_absent(&mut self, present: ir::Value, value: ir::Value, ty: Ty) -> ir::Value {
        let absent = self.absent(ty);
        self.either(present, value, absent)
    }

    /// The one value or the other.
    fn either(&mut self, condition: ir::Value, then: ir::Value, otherwise: ir::Value) -> ir::Value {
        let value = self.b.ins().select(condition, then, otherwise);
        if self.canonical.contains(&then) && self.canonical.contains(&otherwise) {
            self.canonical.insert(value);
        }
        value
    }

    /// A number where the condition holds, which it does for numbers that are present alone; else absent.
    fn ordered_or_absent(&mut self, present: ir::Value, value: ir::Value) -> ir::Value {
        let value = self.or_absent(present, value, Ty::F64);
        self.canonical.insert(value);
        value
    }

    /// The value when finite, else absent in its one form: for values that are kept.
    fn finite_or_absent(&mut self, value: ir::Value) -> ir::Value {
        let zero = self.zero_of(value);
        let finite = self.present(zero, Ty::F64);
        self.ordered_or_absent(finite, value)
    }

    /// The value when finite, else NaN: x − x is 0 for a finite x and NaN for any other, and x − 0 is x for both zeros.
    fn finite(&mut self, value: ir::Value) -> ir::Value {
        let zero = self.zero_of(value);
        self.b.ins().fsub(value, zero)
    }

    /// 0 for a finite value, NaN for any other.
    fn zero_of(&mut self, value: ir::Value) -> ir::Value {
        self.b.ins().fsub(value, value)
    }

    /// Whether the operand of an operator that takes infinities is present.
    fn is_present(&mut self, id: NodeId, value: ir::Value) -> ir::Value {
        let of = if self.is_raw(id) { self.zero_of(value) } else { value };
        self.present(of, self.src.program.ty(id))
    }

    fn is_raw(&self, id: NodeId) -> bool {
        matches!(self.values[id.idx()], Some(Num::Raw(_)))
    }

    fn both(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        self.b.ins().fcmp(FloatCC::Ordered, a, b)
    }

    /// Not zero when one of these clocks ticks.
    fn ticking(&mut self, clocks: ClockSet) -> ir::Value {
        self.b.ins().band_imm_s(self.ticks, clocks.0 as i64)
    }

    /// Runs `then` when the condition is not zero, `otherwise` if not; both give a value of this type.
    fn branch(
        &mut self,
        condition: ir::Value,
        ty: Ty,
        then: impl FnOnce(&mut Self) -> ir::Value,
        otherwise: impl FnOnce(&mut Self) -> ir::Value,
    ) -> ir::Value {
        let blocks = [self.b.create_block(), self.b.create_block()];
        let join = self.b.create_block();
        let value = self.b.append_block_param(join, if ty == Ty::F64 { F64 } else { I64 });
        self.b.ins().brif(condition, blocks[0], &[], blocks[1], &[]);
        self.arm(blocks[0], join, then);
        self.arm(blocks[1], join, otherwise);
        self.b.seal_block(join);
        self.b.switch_to_block(join);
        value
    }

    /// Advances when a clock ticks, else gives the held word.
    fn when_ticking(
        &mut self,
        clocks: ClockSet,
        ty: Ty,
        held: usize,
        advance: impl FnOnce(&mut Self) -> ir::Value,
    ) -> ir::Value {
        let ticks = self.ticking(clocks);
        self.branch(ticks, ty, advance, |e| e.load(held, ty))
    }

    fn arm(&mut self, block: ir::Block, join: ir::Block, body: impl FnOnce(&mut Self) -> ir::Value) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
        let value = body(self);
        self.b.ins().jump(join, &[BlockArg::Value(value)]);
    }
}

/// Operators whose result is not finite whenever this operand is not: inf stays inf or becomes NaN.
fn keeps_infinity(op: Op, operand: usize) -> bool {
    match op {
        Op::Neg | Op::Add | Op::Sub | Op::Mul => true,
        // x / inf is 0.
        Op::Div => operand == 0,
        _ => false,
    }
}

/// Operators that deal with an infinite operand themselves.
fn takes_infinity(op: Op, operand: usize) -> bool {
    match op {
        Op::Min | Op::Max => true,
        Op::Coalesce | Op::Present => operand == 0,
        op => keeps_infinity(op, operand),
    }
}

/// Offset of a word in bytes. The slab is far below 2 GiB: `limits` bound every part of it.
fn offset(word: usize) -> i32 {
    (word * 8) as i32
}
