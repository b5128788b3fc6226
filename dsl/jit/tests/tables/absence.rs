//! Absence through logic, choice and rules (S5, decision 7).
use tercel_graph::{Action, Cmp, Init, Op, Ty};

use crate::harness::{Graph, play};

/// A Bool input: 1 is true, 0 false, absent absent.
fn truth(g: &mut Graph, name: &str) -> tercel_graph::NodeId {
    let (x, zero) = (g.input(name), g.number(0.0));
    g.op(Op::Cmp(Cmp::Ne), &[x, zero])
}

#[test]
fn and_or_not_are_kleene() {
    play(
        |g| {
            let (a, b) = (truth(g, "a"), truth(g, "b"));
            let (and, or, not) = (g.op(Op::And, &[a, b]), g.op(Op::Or, &[a, b]), g.op(Op::Not, &[a]));
            g.show("and", and);
            g.show("or", or);
            g.show("not", not);
        },
        "
        at ticks a  b  |  and  or  not
        0  b     0  0  |  F    F   T
        1  b     0  1  |  F    T   T
        2  b     0  -  |  F    -   T
        3  b     1  0  |  F    T   F
        4  b     1  1  |  T    T   F
        5  b     1  -  |  -    T   F
        6  b     -  0  |  F    -   -
        7  b     -  1  |  -    T   -
        8  b     -  -  |  -    -   -
        ",
    );
}

#[test]
fn if_takes_the_absence_of_the_chosen_branch_alone() {
    play(
        |g| {
            let c = truth(g, "c");
            let (a, b) = (g.input("a"), g.input("b"));
            let node = g.op(Op::If, &[c, a, b]);
            g.show("if", node);
        },
        "
        at ticks c  a  b  |  if
        0  b     1  5  -  |  5
        1  b     0  -  6  |  6
        2  b     1  -  6  |  -
        3  b     0  5  -  |  -
        4  b     -  5  6  |  -
        5  b     -  5  5  |  -
        ",
    );
}

#[test]
fn coalesce_and_present_never_propagate() {
    play(
        |g| {
            let (a, b) = (g.input("a"), g.input("b"));
            let (or, is) = (g.op(Op::Coalesce, &[a, b]), g.op(Op::Present, &[a]));
            g.show("or", or);
            g.show("is", is);
        },
        "
        at ticks a    b  |  or  is
        0  b     1    2  |  1   T
        1  b     -    2  |  2   F
        2  b     -    -  |  -   F
        3  b     inf  3  |  3   F
        4  b     0    3  |  0   T
        ",
    );
}

#[test]
fn zero_times_absent_is_absent() {
    play(
        |g| {
            let (beta, zero) = (g.input("beta"), g.number(0.0));
            let hedge = g.op(Op::Mul, &[zero, beta]);
            g.show("hedge", hedge);
        },
        "
        at ticks beta  |  hedge
        0  b     3     |  0
        1  b     -     |  -
        ",
    );
}

#[test]
fn a_rule_with_an_absent_next_does_not_fire_and_is_counted() {
    play(
        |g| {
            let go = truth(g, "go");
            let v = g.input("v");
            let (state, read) = g.state(Ty::F64, Init::F64(1.0));
            g.when(None, go, &[Action::Next { state, value: v }]);
            g.show("s", read);
        },
        "
        at ticks go  v  |  s  left
        0  b     0   5  |  1  0,0
        1  b     1   -  |  1  0,1
        2  b     1   5  |  1  0,1
        3  b     0   5  |  1  0,1
        4  b     1   5  |  5  1,1
        ",
    );
}

#[test]
fn one_absent_operand_stops_every_action_of_its_rule() {
    play(
        |g| {
            let go = truth(g, "go");
            let v = g.input("v");
            let one = g.number(1.0);
            let (a, read_a) = g.state(Ty::F64, Init::F64(0.0));
            let (b, read_b) = g.state(Ty::F64, Init::F64(0.0));
            g.when(None, go, &[Action::Next { state: a, value: one }, Action::Next { state: b, value: v }]);
            g.show("a", read_a);
            g.show("b", read_b);
        },
        "
        at ticks go  v  |  a  b  left
        0  b     0   -  |  0  0  0,0
        1  b     1   -  |  0  0  0,1
        2  b     0   7  |  0  0  0,1
        3  b     1   7  |  1  7  1,1
        ",
    );
}

#[test]
fn clear_is_the_only_way_to_an_absent_state() {
    play(
        |g| {
            let (set, clear) = (truth(g, "set"), truth(g, "clear"));
            let (state, read) = g.state(Ty::F64, Init::Absent);
            let two = g.number(2.0);
            g.when(None, set, &[Action::Next { state, value: two }]);
            g.when(None, clear, &[Action::Clear { state }]);
            g.show("s", read);
        },
        "
        at ticks set  clear  |  s
        0  b     0    0      |  -
        1  b     1    0      |  2
        2  b     1    1      |  -
        3  b     0    0      |  -
        ",
    );
}

#[test]
fn an_absent_guard_is_false() {
    play(
        |g| {
            let c = truth(g, "c");
            let one = g.number(1.0);
            g.target("t", None, Some(c), one);
        },
        "
        at ticks c  |  owner  t
        0  b     1  |  0      1
        1  b     -  |  .      -
        2  b     0  |  .      -
        ",
    );
}
