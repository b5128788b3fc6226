//! Operators with state: seeds, readiness, holes (S5, S6, decision 16).
use tercel_graph::Op;

use crate::harness::{BOOK, Graph, play};

fn averaged(g: &mut Graph, op: Op) {
    let x = g.input("x");
    let y = g.on(op, &[x], BOOK);
    g.show("y", y);
}

#[test]
fn ema_starts_at_the_first_value_and_waits_until_ready() {
    play(
        |g| averaged(g, Op::Ema { alpha: 0.5, seed: 1, ready: 2 }),
        "
        at ticks x  |  y
        0  b     8  |  -
        1  b     4  |  6
        2  t     0  |  6
        3  b     2  |  4
        ",
    );
}

#[test]
fn two_ticks_at_one_time_make_one_change() {
    play(
        |g| averaged(g, Op::EwVarRate { halflife_ns: 1_000_000_000, ready: 1 }),
        "
        at  ticks x   |  y
        0   b     10  |  -
        0   b     50  |  -
        1s  b     12  |  4
        1s  b     99  |  4
        2s  b     14  |  4
        ",
    );
}
