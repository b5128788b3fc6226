//! Operators with state: seeds, readiness, holes (S5, S6, decision 16).
use tercel_graph::Op;

use crate::harness::{BOOK, Graph, play};

fn averaged(g: &mut Graph, op: Op) {
    let x = g.input("x");
    let y = g.on(op, &[x], BOOK);
    g.show("y", y);
}

#[test]
fn history_counts_ticks_and_keeps_holes() {
    play(
        |g| averaged(g, Op::History { k: 2 }),
        "
        at ticks x  |  y
        0  b     1  |  -
        1  b     -  |  -
        2  b     3  |  1
        3  t     9  |  1
        4  b     4  |  -
        5  b     5  |  3
        ",
    );
}

#[test]
fn delta_is_absent_across_a_gap() {
    play(
        |g| averaged(g, Op::Delta),
        "
        at ticks x   |  y
        0  b     1   |  -
        1  b     3   |  2
        2  t     9   |  2
        3  b     -   |  -
        4  b     10  |  -
        5  b     11  |  1
        ",
    );
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
fn an_absent_tick_does_not_advance_a_mean() {
    play(
        |g| averaged(g, Op::Ema { alpha: 0.5, seed: 1, ready: 1 }),
        "
        at ticks x      |  y
        0  b     8      |  8
        1  b     -      |  -
        2  t     1      |  -
        3  b     4      |  6
        4  b     1e308  |  5e307
        5  b     -1e308 |  -2.5e307
        ",
    );
}

#[test]
fn a_mean_by_time_halves_the_distance_each_half_life() {
    play(
        |g| averaged(g, Op::EwMean { halflife_ns: 1_000, ready: 1 }),
        "
        at    ticks x   |  y
        0     b     8   |  8
        1us   b     16  |  12
        1us   b     99  |  12
        3us   b     0   |  ~3
        ",
    );
}

#[test]
fn variance_rate_is_squared_change_per_second() {
    play(
        |g| averaged(g, Op::EwVarRate { halflife_ns: 1_000_000_000, ready: 1 }),
        "
        at  ticks x   |  y
        0   b     10  |  -
        1s  b     12  |  4
        2s  b     12  |  2
        4s  b     16  |  ~6.5
        ",
    );
}

#[test]
fn variance_rate_does_not_span_a_gap() {
    play(
        |g| averaged(g, Op::EwVarRate { halflife_ns: 1_000_000_000, ready: 1 }),
        "
        at  ticks x    |  y
        0   b     10   |  -
        1s  b     12   |  4
        2s  b     -    |  -
        3s  b     900  |  -
        4s  b     900  |  2
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

#[test]
fn deviation_is_zero_for_a_constant_and_counts_values() {
    play(
        |g| averaged(g, Op::EwStd { halflife_ns: 1_000, ready: 2 }),
        "
        at   ticks x  |  y
        0    b     5  |  -
        1us  b     5  |  0
        2us  b     7  |  1
        3us  b     -  |  -
        4us  t     7  |  -
        ",
    );
}

#[test]
fn a_sample_holds_the_absence_of_its_instant() {
    play(
        |g| averaged(g, Op::Sample),
        "
        at ticks x  |  y
        0  t     1  |  -
        1  b     2  |  2
        2  t     3  |  2
        3  b     -  |  -
        4  t     5  |  -
        ",
    );
}
