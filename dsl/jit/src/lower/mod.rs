//! Lowering of nodes to Cranelift IR. Straight-line code; a branch only where an operator with state may hold.
//!
//! Invariants  an `F64` value is finite or NaN, and has the canonical bits of absent whenever it is not finite;
//!             a `Bool` is an i64 of 0 (false), 1 (absent) or 2 (true), so that Kleene `and` is a minimum;
//!             operands are fetched before an operator branches, so each value dominates its later uses.
mod pure;
mod state;
mod time;

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, BlockArg, FuncRef, InstBuilder, MemFlagsData};
use cranelift_frontend::FunctionBuilder;
use tercel_event::Manifest;
use tercel_graph::{ABSENT_BITS, ABSENT_TIME, ClockSet, NodeId, Op, Program, Ty, Value};

use crate::layout::{Layout, NOW};
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

/// One function under construction.
pub(crate) struct Emit<'a, 'f> {
    src: Source<'a>,
    b: FunctionBuilder<'f>,
    callees: Callees,
    state: ir::Value,
    ticks: ir::Value,
    now: ir::Value,
    /// Per node: its value, once emitted or loaded in this function.
    values: Vec<Option<ir::Value>>,
}

impl<'a, 'f> Emit<'a, 'f> {
    /// Opens a function `(slab: *mut u64, ticks: u64)`.
    pub(crate) fn new(src: Source<'a>, mut b: FunctionBuilder<'f>, callees: Callees) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let (state, ticks) = (b.block_params(entry)[0], b.block_params(entry)[1]);
        let now = b.ins().load(I64, MemFlagsData::trusted(), state, offset(NOW));
        let values = vec![None; src.program.nodes.len()];
        Self { src, b, callees, state, ticks, now, values }
    }

    /// Emits a node and keeps its value where others read it.
    pub(crate) fn node(&mut self, id: NodeId) {
        let node = self.src.program.node(id);
        let mut args = [self.now; 4];
        for (arg, id) in args.iter_mut().zip(&node.args) {
            *arg = self.value(*id);
        }
        let value = if node.op.state_words() > 0 {
            self.with_state(id, node.op, args)
        } else {
            match node.op {
                Op::Signal { .. } | Op::Deadline { .. } => self.timed(id, node.op, args[0]),
                op => self.source(id, op).unwrap_or_else(|| self.pure(op, &node.args, args)),
            }
        };
        self.values[id.idx()] = Some(value);
        if let Some(word) = self.src.layout.value[id.idx()] {
            self.store(word, value);
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

    fn value(&mut self, id: NodeId) -> ir::Value {
        if let Some(value) = self.values[id.idx()] {
            return value;
        }
        let node = self.src.program.node(id);
        let value = match (node.op, self.src.layout.value[id.idx()]) {
            (Op::Const(value), _) => self.number(value),
            (Op::ConstBool(value), _) => self.int(Value::Bool(Some(value)).word() as i64),
            (Op::Absent(ty), _) => self.absent(ty),
            (_, Some(word)) => self.load(word, node.ty),
            (op, None) => unreachable!("`{}` is read by another function and not kept", op.name()),
        };
        self.values[id.idx()] = Some(value);
        value
    }

    fn source(&mut self, id: NodeId, op: Op) -> Option<ir::Value> {
        let layout = self.src.layout;
        Some(match op {
            Op::Param(idx) => self.load(layout.params + idx as usize, Ty::F64),
            Op::Input(idx) => self.load(layout.inputs + idx as usize, Ty::F64),
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
                let time = self.load(layout.times + signal as usize, Ty::Time);
                let known = self.present(time, Ty::Time);
                let age = self.b.ins().isub(self.now, time);
                let age = self.seconds(age);
                self.or_absent(known, age, Ty::F64)
            }
            _ => return None,
        })
    }

    // Small pieces

    fn load(&mut self, word: usize, ty: Ty) -> ir::Value {
        let ty = if ty == Ty::F64 { F64 } else { I64 };
        self.b.ins().load(ty, MemFlagsData::trusted(), self.state, offset(word))
    }

    fn store(&mut self, word: usize, value: ir::Value) {
        self.b.ins().store(MemFlagsData::trusted(), value, self.state, offset(word));
    }

    fn number(&mut self, value: f64) -> ir::Value {
        self.b.ins().f64const(value)
    }

    fn int(&mut self, value: i64) -> ir::Value {
        self.b.ins().iconst(I64, value)
    }

    fn absent(&mut self, ty: Ty) -> ir::Value {
        match ty {
            Ty::F64 => self.b.ins().f64const(ir::immediates::Ieee64::with_bits(ABSENT_BITS)),
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
        self.b.ins().select(present, value, absent)
    }

    /// The value when finite, else absent, with its canonical bits.
    fn finite(&mut self, value: ir::Value) -> ir::Value {
        let size = self.b.ins().fabs(value);
        let infinity = self.number(f64::INFINITY);
        let finite = self.b.ins().fcmp(FloatCC::LessThan, size, infinity);
        self.or_absent(finite, value, Ty::F64)
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

    fn arm(&mut self, block: ir::Block, join: ir::Block, body: impl FnOnce(&mut Self) -> ir::Value) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
        let value = body(self);
        self.b.ins().jump(join, &[BlockArg::Value(value)]);
    }
}

/// Offset of a word in bytes. The slab is far below 2 GiB: `limits` bound every part of it.
fn offset(word: usize) -> i32 {
    (word * 8) as i32
}
