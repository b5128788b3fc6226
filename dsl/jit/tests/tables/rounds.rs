//! Rounds and commits (S2, S6, decision 1).
use tercel_graph::{Action, ClockSet, Cmp, Event, Init, NodeId, Op, Trigger, Ty};

use crate::harness::{BOOK, Graph, TRADES, play};

fn truth(g: &mut Graph, name: &str) -> NodeId {
    let (x, zero) = (g.input(name), g.number(0.0));
    g.op(Op::Cmp(Cmp::Ne), &[x, zero])
}

#[test]
fn a_committed_state_is_seen_in_the_same_instant() {
    play(
        |g| {
            let x = g.input("x");
            let (state, read) = g.state(Ty::F64, Init::F64(0.0));
            g.on_clock(None, BOOK, None, &[Action::Next { state, value: x }]);
            let two = g.number(2.0);
            let twice = g.op(Op::Mul, &[read, two]);
            g.show("twice", twice);
        },
        "
        at ticks x  |  twice
        0  b     3  |  6
        1  b     4  |  8
        2  t     9  |  8
        ",
    );
}

#[test]
fn next_reads_old_values() {
    play(
        |g| {
            let (a, read_a) = g.state(Ty::F64, Init::F64(1.0));
            let (b, read_b) = g.state(Ty::F64, Init::F64(2.0));
            let swap = [Action::Next { state: a, value: read_b }, Action::Next { state: b, value: read_a }];
            g.on_clock(None, BOOK, None, &swap);
            g.show("a", read_a);
            g.show("b", read_b);
        },
        "
        at ticks |  a  b
        0  t     |  1  2
        1  b     |  2  1
        2  b     |  1  2
        ",
    );
}

#[test]
fn the_first_next_of_a_variable_wins() {
    play(
        |g| {
            let (state, read) = g.state(Ty::F64, Init::F64(0.0));
            let (one, two) = (g.number(1.0), g.number(2.0));
            g.on_clock(None, BOOK, None, &[Action::Next { state, value: one }]);
            g.on_clock(None, BOOK | TRADES, None, &[Action::Next { state, value: two }]);
            g.show("s", read);
        },
        "
        at ticks |  s  left
        0  b     |  1  2,0
        1  t     |  2  3,0
        2  bt    |  1  5,0
        ",
    );
}

#[test]
fn a_chain_of_commits_settles_within_four_rounds() {
    // Each rule waits for the one before it: three commit rounds after the first.
    play(
        |g| {
            let go = truth(g, "go");
            let one = g.number(1.0);
            let mut condition = go;
            for name in ["a", "b", "c"] {
                let (state, read) = g.state(Ty::F64, Init::F64(0.0));
                g.when(None, condition, &[Action::Next { state, value: one }]);
                condition = g.op(Op::Cmp(Cmp::Eq), &[read, one]);
                g.show(name, read);
            }
        },
        "
        at ticks go  |  a  b  c  control
        0  b     0   |  0  0  0  run
        1  b     1   |  1  1  1  run
        ",
    );
}

/// A counter that moves in every commit round until it reaches `top`.
fn counter(g: &mut Graph, top: f64) {
    let (state, read) = g.state(Ty::F64, Init::F64(0.0));
    let (one, top) = (g.number(1.0), g.number(top));
    let next = g.op(Op::Add, &[read, one]);
    let below = g.op(Op::Cmp(Cmp::Lt), &[read, top]);
    let event = Event::Clocks(BOOK | ClockSet::COMMIT);
    g.rule(None, Trigger::On { event, guard: Some(below) }, &[Action::Next { state, value: next }]);
    g.show("n", read);
    g.target("t", None, None, read);
}

#[test]
fn four_commit_rounds_are_allowed() {
    play(
        |g| counter(g, 4.0),
        "
        at ticks |  n  control  owner
        0  b     |  4  run      0
        1  b     |  4  run      0
        ",
    );
}

#[test]
fn a_fifth_commit_round_is_a_livelock_and_final() {
    play(
        |g| counter(g, 5.0),
        "
        at ticks |  n  control   owner  deadline
        0  b     |  -  livelock  .      -
        1  b     |  -  livelock  .      -
        ",
    );
}

#[test]
fn a_next_to_the_same_value_is_no_change() {
    // Without this a rule on `commit` would never settle.
    play(
        |g| {
            let (state, read) = g.state(Ty::F64, Init::F64(7.0));
            g.on_clock(None, BOOK | ClockSet::COMMIT, None, &[Action::Next { state, value: read }]);
            g.show("s", read);
        },
        "
        at ticks |  s  left  control
        0  b     |  7  1,0   run
        1  b     |  7  2,0   run
        ",
    );
}

#[test]
fn outside_clocks_do_not_tick_again_in_commit_rounds() {
    play(
        |g| {
            let x = g.input("x");
            let before = g.on(Op::History { k: 1 }, &[x], BOOK);
            let (state, read) = g.state(Ty::F64, Init::F64(0.0));
            g.on_clock(None, BOOK, None, &[Action::Next { state, value: x }]);
            g.show("before", before);
            g.show("s", read);
        },
        "
        at ticks x  |  before  s
        0  b     1  |  -       1
        1  b     2  |  1       2
        2  b     3  |  2       3
        ",
    );
}

#[test]
fn history_of_a_state_ticks_on_commit() {
    play(
        |g| {
            let x = g.input("x");
            let (state, read) = g.state(Ty::F64, Init::F64(0.0));
            g.on_clock(None, BOOK, None, &[Action::Next { state, value: x }]);
            let before = g.on(Op::History { k: 1 }, &[read], ClockSet::COMMIT);
            g.show("s", read);
            g.show("before", before);
        },
        "
        at ticks x  |  s  before
        0  b     1  |  1  -
        1  t     =  |  1  -
        2  b     2  |  2  1
        3  b     2  |  2  1
        4  b     5  |  5  2
        ",
    );
}

#[test]
fn halt_ends_everything_and_keeps_its_message() {
    play(
        |g| {
            let bad = truth(g, "bad");
            g.when(None, bad, &[Action::Halt { message: 1 }]);
            let one = g.number(1.0);
            g.target("t", None, None, one);
        },
        "
        at ticks bad  |  control  owner  t
        0  b     0    |  run      0      1
        1  b     1    |  halt1    .      -
        2  b     0    |  halt1    .      -
        ",
    );
}

#[test]
fn the_first_of_halt_and_finish_wins() {
    play(
        |g| {
            g.on_clock(None, BOOK, None, &[Action::Finish { message: 0 }]);
            g.on_clock(None, BOOK, None, &[Action::Halt { message: 1 }]);
        },
        "
        at ticks |  control
        0  t     |  run
        1  b     |  finish0
        ",
    );
}

#[test]
fn a_parameter_takes_effect_at_the_next_instant() {
    play(
        |g| {
            let (x, p) = (g.input("x"), g.param("p", 2.0));
            let (state, read) = g.state(Ty::F64, Init::Param(0));
            let one = g.number(1.0);
            let edge = g.op(Op::Add, &[p, one]);
            let product = g.op(Op::Mul, &[x, edge]);
            g.on_clock(None, TRADES, None, &[Action::Next { state, value: p }]);
            g.show("product", product);
            g.show("s", read);
        },
        "
        at ticks x   p  |  product  s
        0  b     10  =  |  30       2
        1  p     =   4  |  50       2
        2  t     =   =  |  50       4
        ",
    );
}
