//! Sliding sums by panes and order flow (decision 24, §5 of the semantics).
use tercel_graph::Op;

use crate::harness::{Graph, TRADES, play};

fn sum(g: &mut Graph, full: bool) {
    let x = g.input_on("x", TRADES);
    let sum = g.on(Op::WindowSum { panes: 2, pane_ns: 10, full }, &[x], TRADES);
    g.show("sum", sum);
}

#[test]
fn panes_fall_out_one_width_after_they_end() {
    play(
        |g| sum(g, false),
        "
        at   ticks x  |  sum
        100  t     1  |  1
        109  t     2  |  3
        110  T     =  |  3
        115  t     4  |  7
        120  T     =  |  7
        125  t     8  |  15
        130  T     =  |  12
        140  T     =  |  8
        150  T     =  |  0
        ",
    );
}

#[test]
fn only_ticks_of_its_clock_add_to_a_window() {
    play(
        |g| sum(g, false),
        "
        at   ticks x  |  sum
        100  t     1  |  1
        101  b     5  |  1
        102  t     5  |  6
        ",
    );
}

#[test]
fn an_overflow_is_absent_until_its_pane_leaves() {
    play(
        |g| sum(g, false),
        "
        at   ticks x      |  sum
        100  t     1e308  |  1e308
        101  t     1e308  |  -
        111  t     1      |  -
        121  t     1      |  -
        131  t     1      |  3
        ",
    );
}
