//! Operators without state.
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder};
use tercel_graph::{Cmp, NodeId, Op, Ty};

use super::Emit;
use crate::layout::Place;
use crate::planted::Planted;

fn float_cc(cmp: Cmp) -> FloatCC {
    match cmp {
        Cmp::Lt => FloatCC::LessThan,
        Cmp::Le => FloatCC::LessThanOrEqual,
        Cmp::Gt => FloatCC::GreaterThan,
        Cmp::Ge => FloatCC::GreaterThanOrEqual,
        Cmp::Eq => FloatCC::Equal,
        Cmp::Ne => FloatCC::NotEqual,
    }
}

pub(super) fn int_cc(cmp: Cmp) -> IntCC {
    match cmp {
        Cmp::Lt => IntCC::SignedLessThan,
        Cmp::Le => IntCC::SignedLessThanOrEqual,
        Cmp::Gt => IntCC::SignedGreaterThan,
        Cmp::Ge => IntCC::SignedGreaterThanOrEqual,
        Cmp::Eq => IntCC::Equal,
        Cmp::Ne => IntCC::NotEqual,
    }
}

impl Emit<'_, '_> {
    pub(super) fn pure(&mut self, op: Op, ids: &[NodeId], [x, y, z, _]: [ir::Value; 4]) -> ir::Value {
        let tys = |idx: usize| self.src.program.ty(ids[idx]);
        match op {
            Op::Neg => self.b.ins().fneg(x),
            Op::Abs => self.b.ins().fabs(x),
            Op::Floor => self.b.ins().floor(x),
            Op::Ceil => self.b.ins().ceil(x),
            Op::Round => self.b.ins().nearest(x),
            Op::Sqrt => {
                let root = self.b.ins().sqrt(x);
                self.finite(root)
            }
            Op::Ln => self.call(self.callees.ln, x),
            Op::Exp => self.call(self.callees.exp, x),
            Op::CheckInt => {
                let floor = self.b.ins().floor(x);
                let whole = self.b.ins().fcmp(FloatCC::Equal, floor, x);
                let size = self.b.ins().fabs(x);
                let max = self.number((1u64 << 53) as f64);
                let exact = self.b.ins().fcmp(FloatCC::LessThanOrEqual, size, max);
                let fits = self.b.ins().band(whole, exact);
                self.ordered_or_absent(fits, x)
            }
            Op::Add => {
                let (x, y) = self.literal_last(ids, x, y);
                self.b.ins().fadd(x, y)
            }
            Op::Sub => self.b.ins().fsub(x, y),
            Op::Mul => {
                let (x, y) = self.literal_last(ids, x, y);
                self.b.ins().fmul(x, y)
            }
            Op::Div => self.b.ins().fdiv(x, y),
            Op::PowI(n) => self.power(x, n),
            Op::Min | Op::Max => {
                // `a < b` selecting a or b is one instruction; written so that the first operand is kept when equal.
                let (a, b) = if op == Op::Min { (y, x) } else { (x, y) };
                let (a, b) = if self.planted(Planted::MinSwapped) { (b, a) } else { (a, b) };
                let less = self.b.ins().fcmp(FloatCC::LessThan, a, b);
                let chosen = self.b.ins().select(less, y, x);
                let both = match (self.is_raw(ids[0]), self.is_raw(ids[1])) {
                    (false, false) => self.both(x, y),
                    (x_raw, y_raw) => {
                        let x = if x_raw { self.zero_of(x) } else { x };
                        let y = if y_raw { self.zero_of(y) } else { y };
                        self.both(x, y)
                    }
                };
                self.ordered_or_absent(both, chosen)
            }
            Op::Clamp => self.clamp(x, y, z),
            Op::Cmp(cmp) if tys(0) == Ty::Time => {
                let holds = self.b.ins().icmp(int_cc(cmp), x, y);
                let holds = self.truth(holds);
                let (a, b) = (self.present(x, Ty::Time), self.present(y, Ty::Time));
                let both = self.b.ins().band(a, b);
                self.or_absent(both, holds, Ty::Bool)
            }
            Op::Cmp(cmp) => {
                let holds = self.b.ins().fcmp(float_cc(cmp), x, y);
                let both = self.both(x, y);
                let word = self.truth(holds);
                let word = self.or_absent(both, word, Ty::Bool);
                if cmp != Cmp::Ne {
                    // False for an absent operand already.
                    self.truths.insert(word, holds);
                }
                word
            }
            Op::Not => {
                let top = self.int(2);
                self.b.ins().isub(top, x)
            }
            Op::And => self.b.ins().umin(x, y),
            Op::Or if self.planted(Planted::OrNotKleene) => {
                let most = self.b.ins().umax(x, y);
                let (a, b) = (self.present(x, Ty::Bool), self.present(y, Ty::Bool));
                let both = self.b.ins().band(a, b);
                self.or_absent(both, most, Ty::Bool)
            }
            Op::Or => self.b.ins().umax(x, y),
            Op::If => {
                let otherwise = if matches!(self.src.program.node(ids[2]).op, Op::Absent(_)) {
                    z
                } else {
                    let is_false = self.b.ins().icmp_imm_s(IntCC::Equal, x, 0);
                    self.or_absent(is_false, z, tys(1))
                };
                let is_true = match self.truths.get(&x) {
                    Some(holds) => *holds,
                    None => self.b.ins().icmp_imm_s(IntCC::Equal, x, 2),
                };
                self.either(is_true, y, otherwise)
            }
            Op::Coalesce => {
                let ty = tys(0);
                let present = self.is_present(ids[0], x);
                let value = self.b.ins().select(present, x, y);
                if ty == Ty::F64 && self.canonical.contains(&y) {
                    // `x` is taken where it is present alone.
                    self.canonical.insert(value);
                }
                value
            }
            Op::Present => {
                let present = self.is_present(ids[0], x);
                self.truth(present)
            }
            Op::TimeAdd => self.time_add(x, y),
            Op::TimeSub => {
                let span = self.b.ins().isub(x, y);
                let span = self.seconds(span);
                let (a, b) = (self.present(x, Ty::Time), self.present(y, Ty::Time));
                let both = self.b.ins().band(a, b);
                self.or_absent(both, span, Ty::F64)
            }
            _ => unreachable!("`{}` is lowered elsewhere", op.name()),
        }
    }

    /// Operands of a commutative operator, a literal second: there it needs no register.
    fn literal_last(&self, ids: &[NodeId], x: ir::Value, y: ir::Value) -> (ir::Value, ir::Value) {
        if self.src.layout.place[ids[0].idx()] == Place::Literal { (y, x) } else { (x, y) }
    }

    fn call(&mut self, function: ir::FuncRef, x: ir::Value) -> ir::Value {
        let call = self.b.ins().call(function, &[x]);
        let result = self.b.inst_results(call)[0];
        self.finite(result)
    }

    fn clamp(&mut self, x: ir::Value, lo: ir::Value, hi: ir::Value) -> ir::Value {
        let above = self.b.ins().fcmp(FloatCC::LessThan, hi, x);
        let capped = self.b.ins().select(above, hi, x);
        let below = self.b.ins().fcmp(FloatCC::LessThan, x, lo);
        let clamped = self.b.ins().select(below, lo, capped);
        // `lo <= hi` is false when either is absent.
        let in_order = self.b.ins().fcmp(FloatCC::LessThanOrEqual, lo, hi);
        let present = self.present(x, Ty::F64);
        let fits = self.b.ins().band(in_order, present);
        self.ordered_or_absent(fits, clamped)
    }

    fn power(&mut self, x: ir::Value, n: i32) -> ir::Value {
        let one = self.number(1.0);
        let Some(top) = n.unsigned_abs().checked_ilog2() else {
            let present = self.present(x, Ty::F64);
            return self.or_absent(present, one, Ty::F64);
        };
        let mut power = x;
        for bit in (0..top).rev() {
            power = self.b.ins().fmul(power, power);
            if n.unsigned_abs() >> bit & 1 == 1 {
                power = self.b.ins().fmul(power, x);
            }
        }
        if n < 0 {
            power = self.b.ins().fdiv(one, power);
        }
        self.finite(power)
    }
}
