//! Ownership of an instrument (S8, decisions 18, 19).
use tercel_graph::{Action, Cmp, NodeId, Op};

use crate::harness::{Graph, play};

fn truth(g: &mut Graph, name: &str) -> NodeId {
    let (x, zero) = (g.input(name), g.number(0.0));
    g.op(Op::Cmp(Cmp::Ne), &[x, zero])
}

#[test]
fn the_first_owner_whose_guard_holds_wins() {
    play(
        |g| {
            let (a, b) = (truth(g, "a"), truth(g, "b"));
            let (one, two, three) = (g.number(1.0), g.number(2.0), g.number(3.0));
            g.target("first", None, Some(a), one);
            g.target("second", None, Some(b), two);
            g.target("rest", None, None, three);
        },
        "
        at ticks a  b  |  owner  first  second  rest
        0  b     1  1  |  0      1      -       -
        1  b     0  1  |  1      -      2       -
        2  b     0  0  |  2      -      -       3
        3  b     -  1  |  1      -      2       -
        ",
    );
}

#[test]
fn a_sink_of_the_mode_goes_before_the_strategys() {
    play(
        |g| {
            let (flat, long) = (g.mode("flat", &[]), g.mode("long", &[]));
            let enter = truth(g, "enter");
            g.when(Some(flat), enter, &[Action::Go { mode: long, args: vec![] }]);
            let (one, two) = (g.number(1.0), g.number(2.0));
            g.target("ever", None, None, one);
            g.target("long", Some(long), None, two);
        },
        "
        at ticks enter  |  mode  owner  ever  long
        0  b     0      |  flat  0      1     -
        1  b     1      |  long  1      -     2
        ",
    );
}

#[test]
fn desired_state_is_that_of_the_final_mode() {
    // Entered and left within one instant: only the last mode's sink counts.
    play(
        |g| {
            let (a, b, c) = (g.mode("a", &[]), g.mode("b", &[]), g.mode("c", &[]));
            let (enter, yes) = (truth(g, "enter"), g.op(Op::ConstBool(true), &[]));
            g.when(Some(a), enter, &[Action::Go { mode: b, args: vec![] }]);
            g.when(Some(b), yes, &[Action::Go { mode: c, args: vec![] }]);
            let (one, two) = (g.number(1.0), g.number(2.0));
            g.target("in_b", Some(b), None, one);
            g.target("in_c", Some(c), None, two);
        },
        "
        at ticks enter  |  mode  owner  in_b  in_c
        0  b     0      |  a     .      -     -
        1  b     1      |  c     1      -     2
        ",
    );
}

#[test]
fn an_absent_value_keeps_its_owner() {
    // The core reads an owned NaN target as: hold the position, cancel opening orders.
    play(
        |g| {
            let x = g.input("x");
            g.target("t", None, None, x);
        },
        "
        at ticks x  |  owner  t
        0  b     2  |  0      2
        1  b     -  |  0      -
        ",
    );
}
