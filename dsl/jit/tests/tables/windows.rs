//! Sliding sums by panes and order flow (decision 24, §5 of the semantics).
use tercel_graph::Op;

use crate::harness::{BOOK, Graph, TRADES, play};

fn sum(g: &mut Graph, full: bool) {
    let x = g.input_on("x", TRADES);
    let sum = g.on(Op::WindowSum { panes: 2, pane_ns: 10, full }, &[x], TRADES);
    g.show("sum", sum);
}

#[test]
fn a_window_is_ready_after_a_full_width_of_live_time() {
    play(
        |g| sum(g, true),
        "
        at   ticks x  |  sum  deadline
        100  t     1  |  -    110
        105  t     2  |  -    110
        110  T     =  |  -    120
        119  b     =  |  -    120
        120  T     =  |  3    130
        125  t     4  |  7    130
        ",
    );
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
fn a_value_on_a_boundary_belongs_to_the_new_pane() {
    play(
        |g| sum(g, false),
        "
        at   ticks x  |  sum
        100  t     1  |  1
        110  Tt    2  |  3
        120  T     =  |  3
        130  T     =  |  2
        140  T     =  |  0
        ",
    );
}

#[test]
fn a_long_silence_empties_the_window_at_once() {
    play(
        |g| sum(g, false),
        "
        at    ticks x  |  sum  deadline
        100   t     1  |  1    110
        111   t     2  |  3    120
        1000  b     =  |  0    1010
        1005  t     5  |  5    1010
        ",
    );
}

#[test]
fn an_absent_tick_is_skipped_and_shows_absent_until_the_next() {
    play(
        |g| sum(g, true),
        "
        at   ticks x  |  sum
        100  t     1  |  -
        120  t     2  |  3
        121  t     -  |  -
        122  b     =  |  -
        125  t     4  |  7
        ",
    );
}

#[test]
fn an_absence_of_a_whole_width_starts_live_time_anew() {
    play(
        |g| sum(g, true),
        "
        at   ticks x  |  sum
        100  t     1  |  -
        120  t     2  |  3
        125  t     -  |  -
        145  t     4  |  -
        155  t     1  |  -
        165  t     1  |  6
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

fn flow(g: &mut Graph) {
    let args = ["bid", "bid_qty", "ask", "ask_qty"].map(|name| g.input(name));
    let flow = g.on(Op::Ofi, &args, BOOK);
    g.show("ofi", flow);
}

#[test]
fn order_flow_counts_what_came_to_the_best_level() {
    // e = [Pb >= Pb'] qb - [Pb <= Pb'] qb' - [Pa <= Pa'] qa + [Pa >= Pa'] qa'
    play(
        flow,
        "
        at ticks bid  bid_qty ask  ask_qty |  ofi
        0  b     100  5       101  7       |  -
        1  b     100  8       101  7       |  3
        2  b     100  8       101  4       |  3
        3  b     101  2       102  6       |  6
        4  b     100  9       102  6       |  -2
        5  b     100  9       101  3       |  -3
        ",
    );
}

#[test]
fn order_flow_is_absent_on_the_first_tick_after_a_gap() {
    play(
        flow,
        "
        at ticks bid  bid_qty ask  ask_qty |  ofi
        0  b     100  5       101  7       |  -
        1  b     100  6       101  7       |  1
        2  b     -    -       -    -       |  -
        3  b     100  9       101  7       |  -
        4  b     100  9       101  6       |  1
        5  t     =    =       =    =       |  1
        ",
    );
}
