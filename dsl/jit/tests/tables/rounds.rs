//! Rounds and commits (S2, S6, decision 1).
use tercel_graph::{Action, ClockSet, Cmp, Event, Init, NodeId, Op, Trigger, Ty};

use crate::harness::{BOOK, Graph, TRADES, play};

fn truth(g: &mut Graph, name: &str) -> NodeId {
    let (x, zero) = (g.input(name), g.number(0.0));
    g.op(Op::Cmp(Cmp::Ne), &[x, zero])
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
