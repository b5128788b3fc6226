//! Windows over the last n present values: straight-line code, the ways up a tree unrolled.
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData};
use tercel_graph::{Op, Ty};

use super::Emit;
use crate::planted::Planted;

impl Emit<'_, '_> {
    /// A tick. Words: output, ring position, count, then accumulators and ring, or the trees.
    pub(super) fn roll_values(&mut self, op: Op, x: ir::Value, first: usize) -> ir::Value {
        let present = self.present(x, Ty::F64);
        self.branch(
            present,
            Ty::F64,
            |e| match op {
                Op::RollSum { n } | Op::RollWeighted { n } | Op::RollSquares { n } => e.sums(op, x, n, first),
                Op::RollMax { n } => e.extreme(x, n, first, FloatCC::GreaterThan, false),
                Op::RollMin { n } => e.extreme(x, n, first, FloatCC::LessThan, false),
                Op::RollSinceMax { n } => e.extreme(x, n, first, FloatCC::GreaterThan, true),
                Op::RollSinceMin { n } => e.extreme(x, n, first, FloatCC::LessThan, true),
                _ => unreachable!("`{}` is no window of values", op.name()),
            },
            |e| e.absent(Ty::F64),
        )
    }

    /// The two accumulators that slide stand before the two that are rebuilt, then the ring.
    fn sums(&mut self, op: Op, x: ir::Value, n: u32, first: usize) -> ir::Value {
        let [slid_a, slid_b, rebuilt_a, rebuilt_b] = [3, 4, 5, 6].map(|i| first + i);
        let ring = first + 7;
        let pos = self.load(first + 1, Ty::Time);
        let slot = self.word_address(pos);
        let oldest = self.b.ins().load(F64, MemFlagsData::trusted(), slot, super::offset(ring));
        self.store_at(slot, ring, x, Ty::F64);
        let is_first = self.b.ins().icmp_imm_s(IntCC::Equal, pos, 0);
        let in_block = self.b.ins().iadd_imm_s(pos, 1);
        let in_block = self.b.ins().fcvt_from_sint(F64, in_block);
        let len = self.number(f64::from(n));
        let [a, b, c, d] = [slid_a, slid_b, rebuilt_a, rebuilt_b].map(|word| self.load(word, Ty::F64));
        let (slid, rebuilt) = if let Op::RollSquares { .. } = op {
            let off = self.b.ins().fsub(x, c);
            let share = self.b.ins().fdiv(off, in_block);
            let mean = self.b.ins().fadd(c, share);
            let mean = self.b.ins().select(is_first, x, mean);
            let rest = self.b.ins().fsub(x, mean);
            let square = self.b.ins().fmul(off, rest);
            let squares = self.b.ins().fadd(d, square);
            let zero = self.number(0.0);
            let squares = self.b.ins().select(is_first, zero, squares);
            let change = self.b.ins().fsub(x, oldest);
            let share = self.b.ins().fdiv(change, len);
            let moved = self.b.ins().fadd(a, share);
            let of_new = self.b.ins().fsub(x, moved);
            let of_old = self.b.ins().fsub(oldest, a);
            let of_both = self.b.ins().fadd(of_new, of_old);
            let change = self.b.ins().fmul(change, of_both);
            let spread = self.b.ins().fadd(b, change);
            let spread = self.finite(spread);
            let negative = self.b.ins().fcmp(FloatCC::LessThan, spread, zero);
            let spread = self.b.ins().select(negative, zero, spread);
            ([moved, spread], [mean, squares])
        } else {
            let plain = self.b.ins().fadd(c, x);
            let plain = self.b.ins().select(is_first, x, plain);
            let weighted = self.b.ins().fmul(in_block, x);
            let weighted = self.b.ins().fadd(d, weighted);
            let weighted = self.b.ins().select(is_first, x, weighted);
            let with_new = self.b.ins().fadd(a, x);
            let sum = self.b.ins().fsub(with_new, oldest);
            let newest = self.b.ins().fmul(len, x);
            let heavier = self.b.ins().fadd(b, newest);
            let heavier = self.b.ins().fsub(heavier, a);
            ([sum, heavier], [plain, weighted])
        };
        let next = self.wrapped(pos, i64::from(n));
        self.store(first + 1, next, Ty::Time);
        let ends = self.b.ins().icmp_imm_s(IntCC::Equal, next, 0);
        let mut totals = [x; 2];
        for (idx, (slid, rebuilt)) in slid.into_iter().zip(rebuilt).enumerate() {
            let (slid, rebuilt) = (self.finite(slid), self.finite(rebuilt));
            self.store([rebuilt_a, rebuilt_b][idx], rebuilt, Ty::F64);
            let keeps_drift = self.planted(Planted::SumsNeverRebuilt);
            totals[idx] = if keeps_drift { slid } else { self.b.ins().select(ends, rebuilt, slid) };
            self.store([slid_a, slid_b][idx], totals[idx], Ty::F64);
        }
        let shows = self.full(first + 2, n);
        let total = totals[usize::from(!matches!(op, Op::RollSum { .. }))];
        self.or_absent(shows, total, Ty::F64)
    }

    /// A present value takes the place of the one n before it. Words: output, ring position, count, ring.
    pub(super) fn lag(&mut self, x: ir::Value, n: u32, first: usize) -> ir::Value {
        let ring = first + 3;
        let pos = self.load(first + 1, Ty::Time);
        let slot = self.word_address(pos);
        let before = self.b.ins().load(F64, MemFlagsData::trusted(), slot, super::offset(ring));
        self.store_at(slot, ring, x, Ty::F64);
        let next = self.wrapped(pos, i64::from(n));
        self.store(first + 1, next, Ty::Time);
        let shows = self.full(first + 2, n + 1);
        self.or_absent(shows, before, Ty::F64)
    }

    /// Counts a value; whether there were n.
    fn full(&mut self, count: usize, n: u32) -> ir::Value {
        let seen = self.load(count, Ty::Time);
        let seen = self.b.ins().iadd_imm_s(seen, 1);
        self.store(count, seen, Ty::Time);
        self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, seen, i64::from(n))
    }

    /// Node i of the tree is word i - 1 of its values, and of its numbers behind them.
    fn extreme(&mut self, x: ir::Value, n: u32, first: usize, wins: FloatCC, gives_age: bool) -> ir::Value {
        let leaves = n.next_power_of_two() as usize;
        let values = first + 2;
        let numbers = values + 2 * leaves - 1;
        let pos = self.load(first + 1, Ty::Time);
        let newest = self.load(first + 2, Ty::Time);
        let mut node = self.b.ins().iadd_imm_s(pos, leaves as i64);
        let (mut best, mut number) = (x, newest);
        self.put(node, best, values, number, gives_age.then_some(numbers));
        for _ in 0..leaves.trailing_zeros() {
            let neighbour = self.b.ins().bxor_imm_u(node, 1);
            let at = self.word_address(neighbour);
            let other = self.b.ins().load(F64, MemFlagsData::trusted(), at, super::offset(values));
            let mut takes = self.b.ins().fcmp(wins, other, best);
            if gives_age {
                let other_number = self.b.ins().load(I64, MemFlagsData::trusted(), at, super::offset(numbers));
                let equal = self.b.ins().fcmp(FloatCC::Equal, other, best);
                let newer = self.b.ins().icmp(IntCC::UnsignedGreaterThan, other_number, number);
                if !self.planted(Planted::OldestOfEqual) {
                    let ties = self.b.ins().band(equal, newer);
                    takes = self.b.ins().bor(takes, ties);
                }
                number = self.b.ins().select(takes, other_number, number);
            }
            best = self.b.ins().select(takes, other, best);
            node = self.b.ins().ushr_imm_u(node, 1);
            self.put(node, best, values, number, gives_age.then_some(numbers));
        }
        let next = self.wrapped(pos, i64::from(n));
        self.store(first + 1, next, Ty::Time);
        let shows = self.full(first + 2, n);
        let result = if gives_age {
            let age = self.b.ins().isub(newest, number);
            self.b.ins().fcvt_from_sint(F64, age)
        } else {
            best
        };
        self.or_absent(shows, result, Ty::F64)
    }

    /// Writes a node of the tree; what stands there is never absent.
    fn put(&mut self, node: ir::Value, value: ir::Value, values: usize, number: ir::Value, numbers: Option<usize>) {
        let at = self.word_address(node);
        self.b.ins().store(MemFlagsData::trusted(), value, at, super::offset(values));
        if let Some(numbers) = numbers {
            self.b.ins().store(MemFlagsData::trusted(), number, at, super::offset(numbers));
        }
    }
}
