//! Windows over the last n present values, seeded means, and what counts from the start.
use tercel_graph::Op;

use crate::harness::{BOOK, Graph, play};

fn of(g: &mut Graph, op: Op) {
    let x = g.input("x");
    let y = g.on(op, &[x], BOOK);
    g.show("y", y);
}

#[test]
fn a_seeded_mean_starts_at_the_plain_mean_of_its_seed() {
    play(
        |g| of(g, Op::Ema { alpha: 0.5, seed: 3, ready: 1 }),
        "
        at ticks x  |  y
        0  b     3  |  -
        1  b     4  |  -
        2  b     -  |  -
        3  b     8  |  5
        4  t     0  |  5
        5  b     9  |  7
        6  b     -  |  -
        7  b     7  |  7
        ",
    );
}

#[test]
fn a_sum_of_values_skips_holes_and_needs_n_of_them() {
    play(
        |g| of(g, Op::RollSum { n: 3 }),
        "
        at ticks x  |  y
        0  b     1  |  -
        1  b     2  |  -
        2  b     -  |  -
        3  b     4  |  7
        4  t     9  |  7
        5  b     8  |  14
        6  b     16 |  28
        7  b     -  |  -
        8  b     1  |  25
        ",
    );
}

#[test]
fn an_overflow_of_a_sum_of_values_heals_when_it_is_rebuilt() {
    play(
        |g| of(g, Op::RollSum { n: 2 }),
        "
        at ticks x      |  y
        0  b     1e308  |  -
        1  b     1e308  |  -
        2  b     1      |  -
        3  b     2      |  3
        4  b     4      |  6
        ",
    );
}

#[test]
fn a_rebuilt_sum_forgets_the_rounding_of_a_large_value() {
    // 1e17 + 1 is 1e17, so sliding alone says 0 for {1 1}, and would go on saying it.
    play(
        |g| of(g, Op::RollSum { n: 2 }),
        "
        at ticks x     |  y
        0  b     1e17  |  -
        1  b     1     |  1e17
        2  b     1     |  0
        3  b     1     |  2
        4  b     1     |  2
        ",
    );
}

#[test]
fn the_newest_value_weighs_n() {
    play(
        |g| of(g, Op::RollWeighted { n: 3 }),
        "
        at ticks x  |  y
        0  b     1  |  -
        1  b     2  |  -
        2  b     4  |  17
        3  b     8  |  34
        4  b     -  |  -
        5  b     1  |  23
        6  b     0  |  10
        ",
    );
}

#[test]
fn squares_are_taken_from_the_mean_of_the_window() {
    // {1 3}: 2, {3 9}: 18, {9 9}: 0, {9 5}: 8.
    play(
        |g| of(g, Op::RollSquares { n: 2 }),
        "
        at ticks x  |  y
        0  b     1  |  -
        1  b     3  |  2
        2  b     9  |  18
        3  b     9  |  0
        4  b     5  |  8
        ",
    );
}

#[test]
fn extremes_leave_with_their_value() {
    play(
        |g| {
            let x = g.input("x");
            for (name, op) in [
                ("max", Op::RollMax { n: 3 }),
                ("min", Op::RollMin { n: 3 }),
                ("up", Op::RollSinceMax { n: 3 }),
                ("down", Op::RollSinceMin { n: 3 }),
            ] {
                let y = g.on(op, &[x], BOOK);
                g.show(name, y);
            }
        },
        "
        at ticks x  |  max min up down
        0  b     5  |  -   -   -  -
        1  b     2  |  -   -   -  -
        2  b     3  |  5   2   2  1
        3  b     3  |  3   2   0  2
        4  b     -  |  -   -   -  -
        5  b     3  |  3   3   0  0
        6  t     9  |  3   3   0  0
        7  b     1  |  3   1   1  0
        8  b     7  |  7   1   0  1
        ",
    );
}

#[test]
fn a_window_of_one_is_the_value_itself() {
    play(
        |g| {
            let x = g.input("x");
            for (name, op) in
                [("sum", Op::RollSum { n: 1 }), ("max", Op::RollMax { n: 1 }), ("sq", Op::RollSquares { n: 1 })]
            {
                let y = g.on(op, &[x], BOOK);
                g.show(name, y);
            }
        },
        "
        at ticks x  |  sum max sq
        0  b     5  |  5   5   0
        1  b     2  |  2   2   0
        ",
    );
}

#[test]
fn skip_counts_present_values() {
    play(
        |g| of(g, Op::Skip { n: 2 }),
        "
        at ticks x  |  y
        0  b     1  |  -
        1  b     -  |  -
        2  b     2  |  -
        3  b     3  |  3
        4  b     -  |  -
        5  t     8  |  -
        6  b     4  |  4
        ",
    );
}

#[test]
fn a_lag_counts_present_values() {
    play(
        |g| of(g, Op::Lag { n: 2 }),
        "
        at ticks x  |  y
        0  b     1  |  -
        1  b     2  |  -
        2  b     -  |  -
        3  b     3  |  1
        4  t     9  |  1
        5  b     4  |  2
        ",
    );
}

#[test]
fn hold_keeps_the_last_present_value_at_once() {
    play(
        |g| {
            let x = g.input("x");
            let y = g.op(Op::Hold, &[x]);
            g.show("y", y);
        },
        "
        at ticks x  |  y
        0  b     -  |  -
        1  b     2  |  2
        2  b     -  |  2
        3  t     -  |  2
        4  t     5  |  5
        ",
    );
}

#[test]
fn a_total_grows_from_the_start() {
    play(
        |g| of(g, Op::Total),
        "
        at ticks x     |  y
        0  b     1     |  1
        1  b     -     |  -
        2  b     -3    |  -2
        3  t     5     |  -2
        4  b     1e308 |  1e308
        5  b     1e308 |  -
        6  b     0     |  1e308
        ",
    );
}

#[test]
fn an_adaptive_mean_follows_until_it_is_told_how_far() {
    play(
        |g| {
            let (x, w) = (g.input("x"), g.input("w"));
            let y = g.on(Op::Adapt, &[x, w], BOOK);
            g.show("y", y);
        },
        "
        at ticks x   w    |  y
        0  b     1   -    |  -
        1  b     4   -    |  -
        2  b     8   0.5  |  6
        3  b     -   0.5  |  -
        4  b     10  0.25 |  7
        5  b     9   -    |  -
        6  b     9   1    |  9
        ",
    );
}
