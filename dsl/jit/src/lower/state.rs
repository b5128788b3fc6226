//! Operators with state. Words are in the order of the digest (`tercel_graph::interp`); `w(i)` is word i of the node.
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData};
use tercel_graph::{NodeId, Op, Ty};

use super::Emit;
use crate::planted::Planted;

impl Emit<'_, '_> {
    pub(super) fn with_state(&mut self, id: NodeId, op: Op, args: [ir::Value; 4]) -> ir::Value {
        let first = self.src.layout.state[id.idx()];
        let w = |idx: usize| first + idx;
        let x = args[0];
        let node = self.src.program.node(id);
        let ty = node.ty;
        match op {
            Op::CrossesAbove | Op::CrossesBelow => self.cross(op, x, args[1], w(0)),
            Op::Hold => {
                let present = self.present(x, ty);
                let last = self.load(w(0), ty);
                let last = self.b.ins().select(present, x, last);
                self.store(w(0), last, ty);
                last
            }
            Op::Hysteresis => self.hysteresis(x, args[1], args[2], w(0)),
            Op::Changed => {
                let of = self.src.program.ty(node.args[0]);
                self.changed(x, of, w(0))
            }
            Op::WindowSum { panes, pane_ns, full } => self.window(id, x, panes as usize, pane_ns, full),
            op => {
                // Histories and differences keep their memory before their output.
                let held = if matches!(op, Op::History { .. } | Op::Delta) { w(1) } else { w(0) };
                self.when_ticking(node.clocks, ty, held, |e| {
                    let value = e.advance(op, args, ty, first);
                    e.store(held, value, ty);
                    value
                })
            }
        }
    }

    /// A tick of an operator that holds its output between ticks.
    fn advance(&mut self, op: Op, args: [ir::Value; 4], ty: Ty, first: usize) -> ir::Value {
        let x = args[0];
        match op {
            Op::Sample => x,
            Op::History { k } => self.history(x, ty, k, first),
            Op::Delta => {
                let last = self.load(first, Ty::F64);
                self.store(first, x, Ty::F64);
                let change = self.b.ins().fsub(x, last);
                self.finite(change)
            }
            Op::Ema { alpha, seed, ready } => self.seeded_mean(x, alpha, [first + 1, first + 2], seed, ready),
            Op::Adapt => self.adapt(x, args[1], first),
            Op::Skip { n } => {
                let count = self.load(first + 1, Ty::Time);
                let skipped = i64::from(n) - i64::from(self.planted(Planted::SkipsOneLess));
                let past = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, count, skipped);
                let present = self.present(x, Ty::F64);
                let more = self.b.ins().iadd_imm_s(count, 1);
                let count = self.b.ins().select(present, more, count);
                self.store(first + 1, count, Ty::Time);
                self.or_absent(past, x, Ty::F64)
            }
            Op::Lag { n } => {
                let present = self.present(x, Ty::F64);
                self.branch(present, Ty::F64, |e| e.lag(x, n, first), |e| e.absent(Ty::F64))
            }
            Op::Total => {
                let was = self.load(first + 1, Ty::F64);
                let sum = self.b.ins().fadd(was, x);
                let sum = self.finite(sum);
                let advances = self.present(sum, Ty::F64);
                self.update(first + 1, Ty::F64, advances, sum);
                sum
            }
            op if op.roll_len().is_some() => self.roll_values(op, x, first),
            Op::EwMean { halflife_ns, ready } => {
                let weight = self.weight(first + 2, halflife_ns);
                self.mean(x, weight, [first + 1, first + 3], Some(first + 2), ready)
            }
            Op::EwVarRate { halflife_ns, ready } => self.variance_rate(x, halflife_ns, ready, first),
            Op::EwStd { halflife_ns, ready } => self.deviation(x, halflife_ns, ready, first),
            Op::Ofi => self.order_flow(args, first),
            _ => unreachable!("`{}` does not advance on ticks", op.name()),
        }
    }

    /// A mean by count whose first value is the plain mean of `seed` values.
    fn seeded_mean(&mut self, x: ir::Value, alpha: f64, [y, count]: [usize; 2], seed: u32, ready: u32) -> ir::Value {
        let weight = self.number(alpha);
        if seed == 1 {
            return self.mean(x, weight, [y, count], None, ready);
        }
        let was = self.load(y, Ty::F64);
        let seen = self.load(count, Ty::Time);
        let away = self.b.ins().fsub(x, was);
        let step = self.b.ins().fmul(weight, away);
        let moved = self.b.ins().fadd(was, step);
        let first = self.is_first(count);
        let sum = self.b.ins().fadd(was, x);
        let sum = self.b.ins().select(first, x, sum);
        let divisor = self.number(f64::from(seed));
        let mean = self.b.ins().fdiv(sum, divisor);
        let last = i64::from(seed) - 1;
        let fills = self.b.ins().icmp_imm_s(IntCC::Equal, seen, last);
        let collects = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, seen, last);
        let next = self.b.ins().select(fills, mean, moved);
        let next = self.b.ins().select(collects, sum, next);
        let next = self.finite(next);
        let advances = self.present(next, Ty::F64);
        self.update(y, Ty::F64, advances, next);
        let shows = self.count(count, advances, ready.max(seed));
        self.or_absent(shows, next, Ty::F64)
    }

    /// Words: output, y, whether a weight was ever present.
    fn adapt(&mut self, x: ir::Value, weight: ir::Value, first: usize) -> ir::Value {
        let y = self.load(first + 1, Ty::F64);
        let known = self.present(y, Ty::F64);
        let before = self.b.ins().select(known, y, x);
        let away = self.b.ins().fsub(x, before);
        let step = self.b.ins().fmul(weight, away);
        let moved = self.b.ins().fadd(before, step);
        let moved = self.finite(moved);
        let advances = self.present(moved, Ty::F64);
        let started = self.load(first + 2, Ty::Time);
        let waits = self.b.ins().icmp_imm_s(IntCC::Equal, started, 0);
        let (x_present, w_present) = (self.present(x, Ty::F64), self.present(weight, Ty::F64));
        let weightless = self.b.ins().bxor_imm_u(w_present, 1);
        let follows = self.b.ins().band(waits, x_present);
        let follows = self.b.ins().band(follows, weightless);
        let kept = self.b.ins().select(follows, x, y);
        let kept = self.b.ins().select(advances, moved, kept);
        self.store(first + 1, kept, Ty::F64);
        let one = self.int(1);
        self.update(first + 2, Ty::Time, advances, one);
        moved
    }

    fn history(&mut self, x: ir::Value, ty: Ty, k: u32, first: usize) -> ir::Value {
        let pos = self.load(first, Ty::Time);
        let at = self.b.ins().ishl_imm_u(pos, 3);
        let at = self.b.ins().iadd(self.state, at);
        let ring = super::offset(first + 2);
        let clif = if ty == Ty::F64 { F64 } else { I64 };
        let oldest = self.b.ins().load(clif, MemFlagsData::trusted(), at, ring);
        let next = self.wrapped(pos, i64::from(k));
        if self.planted(Planted::HistorySkipsHoles) {
            let present = self.present(x, ty);
            let recorded = self.b.ins().select(present, x, oldest);
            self.store_at(at, first + 2, recorded, ty);
        } else {
            self.store_at(at, first + 2, x, ty);
        }
        self.store(first, next, Ty::Time);
        oldest
    }

    /// The position after `pos` in a ring of this length.
    pub(super) fn wrapped(&mut self, pos: ir::Value, len: i64) -> ir::Value {
        let next = self.b.ins().iadd_imm_s(pos, 1);
        let zero = self.int(0);
        let past = self.b.ins().icmp_imm_s(IntCC::Equal, next, len);
        self.b.ins().select(past, zero, next)
    }

    /// Weight of a new value by the time since the word `last`.
    fn weight(&mut self, last: usize, halflife_ns: i64) -> ir::Value {
        let last = self.load(last, Ty::Time);
        let dt = self.b.ins().isub(self.now, last);
        self.weight_of(dt, halflife_ns)
    }

    fn weight_of(&mut self, dt: ir::Value, halflife_ns: i64) -> ir::Value {
        let halflife = self.int(halflife_ns);
        let call = self.b.ins().call(self.callees.ew_weight, &[dt, halflife]);
        self.b.inst_results(call)[0]
    }

    /// Adds one to the word `count` when `advances`; the output is there once the count has reached `ready`.
    fn count(&mut self, count: usize, advances: ir::Value, ready: u32) -> ir::Value {
        let was = self.load(count, Ty::Time);
        let one = self.b.ins().uextend(I64, advances);
        let now = self.b.ins().iadd(was, one);
        self.store(count, now, Ty::Time);
        let enough = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, now, i64::from(ready));
        self.b.ins().band(enough, advances)
    }

    /// Stores `next` over the word when `advances`.
    fn update(&mut self, word: usize, ty: Ty, advances: ir::Value, next: ir::Value) {
        let was = self.load(word, ty);
        let next = self.b.ins().select(advances, next, was);
        self.store(word, next, ty);
    }

    /// Whether the word `count` is zero.
    fn is_first(&mut self, count: usize) -> ir::Value {
        let count = self.load(count, Ty::Time);
        self.b.ins().icmp_imm_s(IntCC::Equal, count, 0)
    }

    fn mean(
        &mut self,
        x: ir::Value,
        weight: ir::Value,
        [y, count]: [usize; 2],
        last: Option<usize>,
        ready: u32,
    ) -> ir::Value {
        let was = self.load(y, Ty::F64);
        let away = self.b.ins().fsub(x, was);
        let step = self.b.ins().fmul(weight, away);
        let moved = self.b.ins().fadd(was, step);
        let first = self.is_first(count);
        let next = self.b.ins().select(first, x, moved);
        let next = self.finite(next);
        let advances = self.present(next, Ty::F64);
        self.update(y, Ty::F64, advances, next);
        if let Some(last) = last {
            self.update(last, Ty::Time, advances, self.now);
        }
        let shows = self.count(count, advances, ready);
        self.or_absent(shows, next, Ty::F64)
    }

    fn deviation(&mut self, x: ir::Value, halflife_ns: i64, ready: u32, first: usize) -> ir::Value {
        let [mean, var, last, count] = [1, 2, 3, 4].map(|i| first + i);
        let weight = self.weight(last, halflife_ns);
        let (mean_was, var_was) = (self.load(mean, Ty::F64), self.load(var, Ty::F64));
        let away = self.b.ins().fsub(x, mean_was);
        let step = self.b.ins().fmul(weight, away);
        let mean_moved = self.b.ins().fadd(mean_was, step);
        let spread = self.b.ins().fmul(away, step);
        let spread = self.b.ins().fadd(var_was, spread);
        let one = self.number(1.0);
        let keep = self.b.ins().fsub(one, weight);
        let var_moved = self.b.ins().fmul(keep, spread);
        let is_first = self.is_first(count);
        let zero = self.number(0.0);
        let mean_next = self.b.ins().select(is_first, x, mean_moved);
        let var_next = self.b.ins().select(is_first, zero, var_moved);
        let (mean_next, var_next) = (self.finite(mean_next), self.finite(var_next));
        let advances = self.both(mean_next, var_next);
        self.update(mean, Ty::F64, advances, mean_next);
        self.update(var, Ty::F64, advances, var_next);
        self.update(last, Ty::Time, advances, self.now);
        let shows = self.count(count, advances, ready);
        let root = self.b.ins().sqrt(var_next);
        self.or_absent(shows, root, Ty::F64)
    }

    fn variance_rate(&mut self, x: ir::Value, halflife_ns: i64, ready: u32, first: usize) -> ir::Value {
        let [last, last_ns, v, count] = [1, 2, 3, 4].map(|i| first + i);
        let before = self.load(last, Ty::F64);
        let spans = self.both(x, before);
        self.branch(
            spans,
            Ty::F64,
            |e| {
                let was_ns = e.load(last_ns, Ty::Time);
                let dt = e.b.ins().isub(e.now, was_ns);
                e.branch(
                    dt,
                    Ty::F64,
                    |e| {
                        let change = e.b.ins().fsub(x, before);
                        let squared = e.b.ins().fmul(change, change);
                        let seconds = e.seconds(dt);
                        let rate = e.b.ins().fdiv(squared, seconds);
                        let weight = e.weight_of(dt, halflife_ns);
                        let was = e.load(v, Ty::F64);
                        let away = e.b.ins().fsub(rate, was);
                        let step = e.b.ins().fmul(weight, away);
                        let moved = e.b.ins().fadd(was, step);
                        let is_first = e.is_first(count);
                        let next = e.b.ins().select(is_first, rate, moved);
                        let next = e.finite(next);
                        let advances = e.present(next, Ty::F64);
                        e.update(v, Ty::F64, advances, next);
                        e.store(last_ns, e.now, Ty::Time);
                        let kept = e.or_absent(advances, x, Ty::F64);
                        e.store(last, kept, Ty::F64);
                        let shows = e.count(count, advances, ready);
                        e.or_absent(shows, next, Ty::F64)
                    },
                    |e| e.load(first, Ty::F64),
                )
            },
            |e| {
                if e.planted(Planted::VarianceSpansGap) {
                    let present = e.present(x, Ty::F64);
                    e.update(last, Ty::F64, present, x);
                } else {
                    e.store(last, x, Ty::F64);
                }
                e.store(last_ns, e.now, Ty::Time);
                e.absent(Ty::F64)
            },
        )
    }

    fn order_flow(&mut self, args: [ir::Value; 4], first: usize) -> ir::Value {
        let [bid, bid_qty, ask, ask_qty] = args;
        let was = [1, 2, 3, 4].map(|i| self.load(first + i, Ty::F64));
        let [bid_was, bid_qty_was, ask_was, ask_qty_was] = was;
        let pairs = [[bid, bid_qty], [ask, ask_qty], [bid_was, bid_qty_was], [ask_was, ask_qty_was]];
        let mut complete = self.both(pairs[0][0], pairs[0][1]);
        for [a, b] in &pairs[1..] {
            let both = self.both(*a, *b);
            complete = self.b.ins().band(complete, both);
        }
        for (idx, arg) in args.into_iter().enumerate() {
            self.store(first + 1 + idx, arg, Ty::F64);
        }
        let mut part = |cc, price, price_was, qty| {
            let counts = self.b.ins().fcmp(cc, price, price_was);
            let zero = self.number(0.0);
            self.b.ins().select(counts, qty, zero)
        };
        let bid_in = part(FloatCC::GreaterThanOrEqual, bid, bid_was, bid_qty);
        let bid_out = part(FloatCC::LessThanOrEqual, bid, bid_was, bid_qty_was);
        let ask_in = part(FloatCC::LessThanOrEqual, ask, ask_was, ask_qty);
        let ask_out = part(FloatCC::GreaterThanOrEqual, ask, ask_was, ask_qty_was);
        let flow = self.b.ins().fsub(bid_in, bid_out);
        let flow = self.b.ins().fsub(flow, ask_in);
        let flow = self.b.ins().fadd(flow, ask_out);
        let flow = self.finite(flow);
        self.or_absent(complete, flow, Ty::F64)
    }

    fn cross(&mut self, op: Op, a: ir::Value, b: ir::Value, memory: usize) -> ir::Value {
        let cc = if op == Op::CrossesAbove { FloatCC::GreaterThan } else { FloatCC::LessThan };
        let beyond = self.b.ins().fcmp(cc, a, b);
        let both = self.both(a, b);
        let was = self.load(memory, Ty::Bool);
        let was_not = self.b.ins().icmp_imm_s(IntCC::Equal, was, 0);
        let fires = self.b.ins().band(beyond, was_not);
        let word = self.truth(beyond);
        let word = if self.planted(Planted::CrossForgetsOnAbsent) {
            self.or_absent(both, word, Ty::Bool)
        } else {
            self.b.ins().select(both, word, was)
        };
        self.store(memory, word, Ty::Bool);
        let fires = self.truth(fires);
        self.or_absent(both, fires, Ty::Bool)
    }

    fn hysteresis(&mut self, x: ir::Value, above: ir::Value, below: ir::Value, memory: usize) -> ir::Value {
        let bounds = self.both(above, below);
        let present = self.present(x, Ty::F64);
        let complete = self.b.ins().band(bounds, present);
        let was = self.load(memory, Ty::Bool);
        let (on, off) = (self.int(2), self.int(0));
        let is_below = self.b.ins().fcmp(FloatCC::LessThan, x, below);
        let next = self.b.ins().select(is_below, off, was);
        let is_above = self.b.ins().fcmp(FloatCC::GreaterThan, x, above);
        let next = self.b.ins().select(is_above, on, next);
        let next = self.b.ins().select(complete, next, was);
        self.store(memory, next, Ty::Bool);
        self.or_absent(complete, next, Ty::Bool)
    }

    fn changed(&mut self, x: ir::Value, ty: Ty, memory: usize) -> ir::Value {
        let was = self.load(memory, ty);
        let present = self.present(x, ty);
        let (differs, known) = if ty == Ty::F64 {
            (self.b.ins().fcmp(FloatCC::NotEqual, x, was), self.both(x, was))
        } else {
            (self.b.ins().icmp(IntCC::NotEqual, x, was), self.present(was, ty))
        };
        let fires = self.b.ins().band(differs, known);
        let next = self.b.ins().select(present, x, was);
        self.store(memory, next, ty);
        let fires = self.truth(fires);
        self.or_absent(present, fires, Ty::Bool)
    }
}
