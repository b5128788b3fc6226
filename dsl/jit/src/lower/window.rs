//! The sliding sum by panes: the only operator with loops, over its own ring.
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, MemFlagsData};
use tercel_graph::{ABSENT_TIME, NodeId, Ty};

use super::Emit;
use crate::planted::Planted;

impl Emit<'_, '_> {
    /// Words: current pane, sum of full panes, ring, end of the current pane, first present tick, start of the
    /// absence, ring position.
    pub(super) fn window(&mut self, id: NodeId, x: ir::Value, panes: usize, pane_ns: i64, full: bool) -> ir::Value {
        let first = self.src.layout.state[id.idx()];
        let [current, sum, ring] = [first, first + 1, first + 2];
        let [next_ns, first_ns, absent_ns, pos] = [0, 1, 2, 3].map(|i| ring + panes + i);
        let width = panes as i64 * pane_ns;

        let end = self.load(next_ns, Ty::Time);
        let ended = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, self.now, end);
        let end = self.branch(ended, Ty::Time, |e| e.roll(end, [current, sum, ring, pos], panes, pane_ns), |_| end);
        self.store(next_ns, end, Ty::Time);
        self.keep_deadline(id, end);

        let clocks = self.src.program.node(id).clocks;
        let since = self.when_ticking(clocks, Ty::Time, absent_ns, |e| {
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
        });
        self.store(absent_ns, since, Ty::Time);

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
        self.store(first_ns, from, Ty::Time);
        let pane = self.load(current, Ty::F64);
        let pane = self.b.ins().fadd(pane, x);
        let pane = self.finite(pane);
        self.store(current, pane, Ty::F64);
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
            e.store_at(address, ring, pane, Ty::F64);
            e.store(current, zero, Ty::F64);
            let next = e.wrapped(at, len);
            e.store(pos, next, Ty::Time);
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
        self.store(sum, totals[0], Ty::F64);
        let passed = self.b.ins().imul(ended, length);
        self.b.ins().iadd(end, passed)
    }

    pub(super) fn word_address(&mut self, idx: ir::Value) -> ir::Value {
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
