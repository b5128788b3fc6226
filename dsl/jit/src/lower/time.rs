//! Times, spans and deadlines, in integer nanoseconds.
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, InstBuilder};
use tercel_graph::{Cmp, NodeId, Op, TimeBase, Ty};

use super::Emit;
use super::pure::int_cc;
use crate::layout::{ENTRY, NEVER};
use crate::planted::Planted;

impl Emit<'_, '_> {
    /// Nanoseconds to seconds.
    pub(super) fn seconds(&mut self, ns: ir::Value) -> ir::Value {
        let ns = self.b.ins().fcvt_from_sint(F64, ns);
        let per_second = self.number(1e9);
        self.b.ins().fdiv(ns, per_second)
    }

    /// Seconds to nanoseconds, as `tercel_graph::math::span_ns`; anything for NaN.
    fn span_ns(&mut self, seconds: ir::Value) -> ir::Value {
        let per_second = self.number(1e9);
        let ns = self.b.ins().fmul(seconds, per_second);
        let ns = self.b.ins().nearest(ns);
        let bound = (1u64 << 61) as f64;
        let (hi, lo) = (self.number(bound), self.number(-bound));
        let above = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, ns, hi);
        let ns = self.b.ins().select(above, hi, ns);
        let below = self.b.ins().fcmp(FloatCC::LessThanOrEqual, ns, lo);
        let ns = self.b.ins().select(below, lo, ns);
        self.b.ins().fcvt_to_sint_sat(I64, ns)
    }

    pub(super) fn time_add(&mut self, time: ir::Value, seconds: ir::Value) -> ir::Value {
        let span = self.span_ns(seconds);
        let sum = self.b.ins().iadd(time, span);
        let bound = self.int(1 << 62);
        let low = self.int(-(1 << 62));
        let below = self.b.ins().icmp(IntCC::SignedLessThan, sum, bound);
        let above = self.b.ins().icmp(IntCC::SignedGreaterThan, sum, low);
        let in_range = self.b.ins().band(below, above);
        let (a, b) = (self.present(time, Ty::Time), self.present(seconds, Ty::F64));
        let both = self.b.ins().band(a, b);
        let fits = self.b.ins().band(both, in_range);
        self.or_absent(fits, sum, Ty::Time)
    }

    /// Arms the node's deadline when it is still to come.
    fn arm_deadline(&mut self, id: NodeId, valid: ir::Value, at: ir::Value) {
        let ahead = self.b.ins().icmp(IntCC::SignedGreaterThan, at, self.now);
        let armed = self.b.ins().band(valid, ahead);
        let never = self.int(NEVER);
        let at = self.b.ins().select(armed, at, never);
        self.keep_deadline(id, at);
    }

    pub(super) fn keep_deadline(&mut self, id: NodeId, at: ir::Value) {
        if let Some(word) = self.src.layout.deadline[id.idx()] {
            self.store(word, at, Ty::Time);
        }
    }

    pub(super) fn timed(&mut self, id: NodeId, op: Op, bound: ir::Value) -> ir::Value {
        match op {
            Op::Signal { input, signal } => self.signal(id, input, signal),
            Op::Deadline { base, cmp } => self.deadline(id, base, cmp, bound),
            _ => unreachable!("`{}` has no deadline", op.name()),
        }
    }

    fn signal(&mut self, id: NodeId, input: u16, signal: u16) -> ir::Value {
        let mut max_age = self.src.manifest.signals[signal as usize].max_age.0;
        if self.planted(Planted::ExpiryLate) {
            max_age += 1;
        }
        let value = self.input(input);
        let (time, known) = self.signal_time(signal);
        let age = self.b.ins().isub(self.now, time);
        let fresh = self.b.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, age, max_age);
        let expires = self.b.ins().iadd_imm_s(time, max_age + 1);
        self.arm_deadline(id, known, expires);
        let valid = self.b.ins().band(known, fresh);
        self.or_absent(valid, value, Ty::F64)
    }

    fn deadline(&mut self, id: NodeId, base: TimeBase, cmp: Cmp, bound: ir::Value) -> ir::Value {
        let (base_ns, bound_ns, valid) = match base {
            TimeBase::Now => {
                let valid = self.present(bound, Ty::Time);
                (self.int(0), bound, valid)
            }
            TimeBase::Elapsed => {
                let valid = self.present(bound, Ty::F64);
                (self.load(ENTRY, Ty::Time), self.span_ns(bound), valid)
            }
            TimeBase::Age(signal) => {
                let (time, known) = self.signal_time(signal);
                let bounded = self.present(bound, Ty::F64);
                let valid = self.b.ins().band(known, bounded);
                (time, self.span_ns(bound), valid)
            }
        };
        let since = self.b.ins().isub(self.now, base_ns);
        let cmp_now = if self.planted(Planted::DeadlineEarly) && cmp == Cmp::Gt { Cmp::Ge } else { cmp };
        let holds = self.b.ins().icmp(int_cc(cmp_now), since, bound_ns);
        let flips = self.b.ins().iadd(base_ns, bound_ns);
        let flips = self.b.ins().iadd_imm_s(flips, i64::from(matches!(cmp, Cmp::Gt | Cmp::Le)));
        self.arm_deadline(id, valid, flips);
        let holds = self.truth(holds);
        self.or_absent(valid, holds, Ty::Bool)
    }
}
