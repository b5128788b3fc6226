//! Edges: crosses, changes, hysteresis and the memory of `when` (S5, S7, decisions 7, 9, 17).
use tercel_graph::{Action, ClockSet, Cmp, Event, Init, NodeId, Op, Trigger, Ty};

use crate::harness::{BOOK, Graph, play};

fn truth(g: &mut Graph, name: &str) -> NodeId {
    let (x, zero) = (g.input(name), g.number(0.0));
    g.op(Op::Cmp(Cmp::Ne), &[x, zero])
}

/// A rule that counts how often it fires, in column `n`.
fn counting(g: &mut Graph, trigger: impl FnOnce(&mut Graph) -> Trigger) {
    let (state, read) = g.state(Ty::F64, Init::F64(0.0));
    let one = g.number(1.0);
    let next = g.op(Op::Add, &[read, one]);
    let trigger = trigger(g);
    g.rule(None, trigger, &[Action::Next { state, value: next }]);
    g.show("n", read);
}

#[test]
fn the_first_comparison_never_crosses() {
    play(
        |g| {
            let (a, b) = (g.input("a"), g.input("b"));
            let up = g.op(Op::CrossesAbove, &[a, b]);
            g.show("up", up);
        },
        "
        at ticks a  b  |  up
        0  b     -  2  |  -
        1  b     3  2  |  F
        2  b     4  2  |  F
        ",
    );
}

#[test]
fn a_strategy_rule_wants_an_observed_false_first() {
    play(
        |g| {
            let c = truth(g, "c");
            counting(g, |_| Trigger::When(c));
        },
        "
        at ticks c  |  n
        0  b     1  |  0
        1  b     1  |  0
        2  b     0  |  0
        3  b     1  |  1
        4  b     1  |  1
        5  b     0  |  1
        6  b     1  |  2
        ",
    );
}

#[test]
fn a_pulse_fires_a_rule_in_its_own_round_only() {
    play(
        |g| {
            let (a, b) = (g.input("a"), g.input("b"));
            let up = g.op(Op::CrossesAbove, &[a, b]);
            counting(g, |_| Trigger::On { event: Event::Pulse(up), guard: None });
        },
        "
        at ticks a  b  |  n
        0  b     1  2  |  0
        1  b     3  2  |  1
        2  t     =  =  |  1
        3  b     3  2  |  1
        4  b     1  2  |  1
        5  b     3  2  |  2
        ",
    );
}

#[test]
fn tick_is_true_when_its_clock_ticks() {
    play(
        |g| {
            let every = g.every(10);
            let (book, timer) = (g.on(Op::Tick, &[], BOOK), g.on(Op::Tick, &[], every));
            let commit = g.on(Op::Tick, &[], ClockSet::COMMIT);
            g.show("book", book);
            g.show("timer", timer);
            g.show("commit", commit);
        },
        "
        at  ticks |  book  timer  commit
        1   b     |  T     F      F
        2   .     |  F     F      F
        10  T     |  F     T      F
        11  bt    |  T     F      F
        ",
    );
}
