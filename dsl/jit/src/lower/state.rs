//! Operators with state. Words are in the order of the digest (`tercel_graph::interp`); `w(i)` is word i of the node.
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, MemFlagsData};
use tercel_graph::{ABSENT_TIME, NodeId, Op, Ty};

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
            Op::Hysteresis => self.hysteresis(x, args[1], args[2], w(0)),
            Op::Changed => {
                let of = self.src.program.ty(node.args[0]);
                self.changed(x, of, w(0))
            }
            Op::WindowSum { panes, pane_ns, full } => self.window(id, x, panes as usize, pane_ns, full),
            op => {
                let ticks = self.ticking(node.clocks);
                let held = if matches!(op, Op::History { .. } | Op::Delta) { w(1) } else { w(0) };
                self.branch(
                    ticks,
                    ty,
                    |e| {
                        let value = e.advance(op, args, ty, first);
                        e.store(held, value);
                        value
                    },
                    |e| e.load(held, ty),
                )
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
                self.store(first, x);
                let change = self.b.ins().fsub(x, last);
                self.finite(change)
            }
            Op::Ema { alpha, ready } => {
                let alpha = self.number(alpha);
                self.mean(x, alpha, [first + 1, first + 2], None, ready)
            }
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
            self.b.ins().store(MemFlagsData::trusted(), recorded, at, ring);
        } else {
            self.b.ins().store(MemFlagsData::trusted(), x, at, ring);
        }
        self.store(first, next);
        oldest
    }

    /// The position after `pos` in a ring of this length.
    fn wrapped(&mut self, pos: ir::Value, len: i64) -> ir::Value {
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
        self.store(count, now);
        let enough = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, now, i64::from(ready));
        self.b.ins().band(enough, advances)
    }

    /// Stores `next` over the word when `advances`.
    fn update(&mut self, word: usize, ty: Ty, advances: ir::Value, next: ir::Value) {
        let was = self.load(word, ty);
        let next = self.b.ins().select(advances, next, was);
        self.store(word, next);
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
                        e.store(last_ns, e.now);
                        let kept = e.or_absent(advances, x, Ty::F64);
                        e.store(last, kept);
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
                    e.store(last, x);
                }
                e.store(last_ns, e.now);
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
            self.store(first + 1 + idx, arg);
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
        self.store(memory, word);
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
        self.store(memory, next);
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
        self.store(memory, next);
        let fires = self.truth(fires);
        self.or_absent(present, fires, Ty::Bool)
    }

    /// Words: current pane, sum of full panes, ring, end of the current pane, first present tick, start of the
    /// absence, ring position.
    fn window(&mut self, id: NodeId, x: ir::Value, panes: usize, pane_ns: i64, full: bool) -> ir::Value {
        let first = self.src.layout.state[id.idx()];
        let [current, sum, ring] = [first, first + 1, first + 2];
        let [next_ns, first_ns, absent_ns, pos] = [0, 1, 2, 3].map(|i| ring + panes + i);
        let width = panes as i64 * pane_ns;

        let end = self.load(next_ns, Ty::Time);
        let ended = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, self.now, end);
        let end = self.branch(ended, Ty::Time, |e| e.roll(end, [current, sum, ring, pos], panes, pane_ns), |_| end);
        self.store(next_ns, end);
        self.keep_deadline(id, end);

        let ticks = self.ticking(self.src.program.node(id).clocks);
        let since = self.branch(
            ticks,
            Ty::Time,
            |e| {
                let present = e.present(x, Ty::F64);
                e.branch(
                    present,
                    Ty::Time,
                    |e| e.add_to_pane(x, [current, first_ns, absent_ns], width),
                    |e| {
                        let since = e.load(absent_ns, Ty::Time);
                        let already = e.present(since, Ty::Time);
                        e.b.ins().select(already, since, e.now)
                    },
                )
            },
            |e| e.load(absent_ns, Ty::Time),
        );
        self.store(absent_ns, since);

        let (a, b) = (self.load(sum, Ty::F64), self.load(current, Ty::F64));
        let total = self.b.ins().fadd(a, b);
        let total = self.finite(total);
        let none = self.int(ABSENT_TIME);
        let mut shows = self.b.ins().icmp(IntCC::Equal, since, none);
        if full {
            let from = self.load(first_ns, Ty::Time);
            let known = self.present(from, Ty::Time);
            let live = self.b.ins().isub(self.now, from);
            let wide = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, live, width);
            let ready = self.b.ins().band(known, wide);
            shows = self.b.ins().band(shows, ready);
        }
        self.or_absent(shows, total, Ty::F64)
    }

    /// Adds a present value; gives the start of the absence, which is none.
    fn add_to_pane(&mut self, x: ir::Value, [current, first_ns, absent_ns]: [usize; 3], width: i64) -> ir::Value {
        let since = self.load(absent_ns, Ty::Time);
        let was_absent = self.present(since, Ty::Time);
        let gap = self.b.ins().isub(self.now, since);
        let emptied = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, gap, width);
        let emptied = self.b.ins().band(emptied, was_absent);
        let from = self.load(first_ns, Ty::Time);
        let from = self.b.ins().select(emptied, self.now, from);
        let known = self.present(from, Ty::Time);
        let from = self.b.ins().select(known, from, self.now);
        self.store(first_ns, from);
        let pane = self.load(current, Ty::F64);
        let pane = self.b.ins().fadd(pane, x);
        let pane = self.finite(pane);
        self.store(current, pane);
        self.int(ABSENT_TIME)
    }

    /// Closes the panes that have ended and adds up the full ones; gives the end of the new current pane.
    fn roll(&mut self, end: ir::Value, words: [usize; 4], panes: usize, pane_ns: i64) -> ir::Value {
        let [current, sum, ring, pos] = words;
        let late = self.b.ins().isub(self.now, end);
        let length = self.int(pane_ns);
        let whole = self.b.ins().sdiv(late, length);
        let ended = self.b.ins().iadd_imm_s(whole, 1);
        let most = self.int(panes as i64 + 1);
        let rolls = self.b.ins().smin(ended, most);
        let len = if self.planted(Planted::PaneOffByOne) { (panes as i64 - 1).max(1) } else { panes as i64 };

        self.repeat(rolls, &[], |e, _, _| {
            let (pane, zero) = (e.load(current, Ty::F64), e.number(0.0));
            let at = e.load(pos, Ty::Time);
            let address = e.word_address(at);
            e.b.ins().store(MemFlagsData::trusted(), pane, address, super::offset(ring));
            e.store(current, zero);
            let next = e.wrapped(at, len);
            e.store(pos, next);
            vec![]
        });

        let (from, zero, count) = (self.load(pos, Ty::Time), self.number(0.0), self.int(panes as i64));
        let totals = self.repeat(count, &[zero], |e, left, carried| {
            // Oldest first: the ring from the position that is overwritten next.
            let done = e.b.ins().isub(count, left);
            let done = if e.planted(Planted::PanesNewestFirst) { e.b.ins().iadd_imm_s(left, -1) } else { done };
            let at = e.b.ins().iadd(from, done);
            let past = e.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, at, count);
            let around = e.b.ins().isub(at, count);
            let at = e.b.ins().select(past, around, at);
            let address = e.word_address(at);
            let pane = e.b.ins().load(F64, MemFlagsData::trusted(), address, super::offset(ring));
            let total = e.b.ins().fadd(carried[0], pane);
            vec![e.finite(total)]
        });
        self.store(sum, totals[0]);
        let passed = self.b.ins().imul(ended, length);
        self.b.ins().iadd(end, passed)
    }

    fn word_address(&mut self, idx: ir::Value) -> ir::Value {
        let bytes = self.b.ins().ishl_imm_u(idx, 3);
        self.b.ins().iadd(self.state, bytes)
    }

    /// Runs the body `times` (>= 1) times, carrying F64 values; the body also sees how many runs are left, its own included.
    fn repeat(
        &mut self,
        times: ir::Value,
        carried: &[ir::Value],
        body: impl FnOnce(&mut Self, ir::Value, &[ir::Value]) -> Vec<ir::Value>,
    ) -> Vec<ir::Value> {
        let (head, done) = (self.b.create_block(), self.b.create_block());
        let left = self.b.append_block_param(head, I64);
        let inside: Vec<_> = carried.iter().map(|_| self.b.append_block_param(head, F64)).collect();
        let outside: Vec<_> = carried.iter().map(|_| self.b.append_block_param(done, F64)).collect();
        let args = |first: ir::Value, rest: &[ir::Value]| -> Vec<BlockArg> {
            core::iter::once(first).chain(rest.iter().copied()).map(BlockArg::Value).collect()
        };
        self.b.ins().jump(head, &args(times, carried));
        self.b.switch_to_block(head);
        let results = body(self, left, &inside);
        let fewer = self.b.ins().iadd_imm_s(left, -1);
        let again = args(fewer, &results);
        let leave: Vec<_> = results.iter().copied().map(BlockArg::Value).collect();
        self.b.ins().brif(fewer, head, &again, done, &leave);
        self.b.seal_block(head);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        outside
    }
}
