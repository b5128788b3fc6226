//! Modes: entry, frozen values, edges at entry, priority (S7, decisions 15 to 19).
use tercel_graph::{Action, Cmp, Init, NodeId, Op, TimeBase, Ty};

use crate::harness::{BOOK, Graph, play};

fn truth(g: &mut Graph, name: &str) -> NodeId {
    let (x, zero) = (g.input(name), g.number(0.0));
    g.op(Op::Cmp(Cmp::Ne), &[x, zero])
}

fn go(mode: u16) -> Action {
    Action::Go { mode, args: vec![] }
}

#[test]
fn go_freezes_values_at_entry() {
    play(
        |g| {
            let (flat, long) = (g.mode("flat", &[]), g.mode("long", &[Ty::F64]));
            let (enter, leave) = (truth(g, "enter"), truth(g, "leave"));
            let price = g.input("price");
            g.when(Some(flat), enter, &[Action::Go { mode: long, args: vec![price] }]);
            g.when(Some(long), leave, &[go(flat)]);
            let cap = g.op(Op::ModeValue { mode: long, idx: 0 }, &[]);
            g.show("cap", cap);
        },
        "
        at ticks enter  leave  price  |  mode  cap
        0  b     0      0      100    |  flat  -
        1  b     1      0      101    |  long  101
        2  b     1      0      102    |  long  101
        3  b     0      1      103    |  flat  -
        4  b     1      0      104    |  long  104
        ",
    );
}

#[test]
fn an_absent_go_argument_keeps_the_mode() {
    play(
        |g| {
            let (flat, long) = (g.mode("flat", &[]), g.mode("long", &[Ty::F64]));
            let enter = truth(g, "enter");
            let price = g.input("price");
            g.when(Some(flat), enter, &[Action::Go { mode: long, args: vec![price] }]);
        },
        "
        at ticks enter  price  |  mode  left
        0  b     0      -      |  flat  0,0
        1  b     1      -      |  flat  0,1
        2  b     1      100    |  flat  0,1
        3  b     0      100    |  flat  0,1
        4  b     1      100    |  long  1,1
        ",
    );
}

#[test]
fn a_cold_start_wants_an_observed_false_in_the_initial_mode() {
    play(
        |g| {
            let (flat, long) = (g.mode("flat", &[]), g.mode("long", &[]));
            let c = truth(g, "c");
            g.when(Some(flat), c, &[go(long)]);
        },
        "
        at ticks c  |  mode
        0  b     1  |  flat
        1  b     -  |  flat
        2  b     1  |  flat
        3  b     0  |  flat
        4  b     1  |  long
        ",
    );
}

#[test]
fn a_condition_true_on_entry_fires_in_the_first_round() {
    play(
        |g| {
            let (flat, long, left) = (g.mode("flat", &[]), g.mode("long", &[]), g.mode("left", &[]));
            let (enter, exit) = (truth(g, "enter"), truth(g, "exit"));
            g.when(Some(flat), enter, &[go(long)]);
            g.when(Some(long), exit, &[go(left)]);
        },
        "
        at ticks enter  exit  |  mode
        0  b     0      1     |  flat
        1  b     1      1     |  left
        ",
    );
}

#[test]
fn absent_on_entry_then_true_fires() {
    play(
        |g| {
            let (flat, long, left) = (g.mode("flat", &[]), g.mode("long", &[]), g.mode("left", &[]));
            let (enter, exit) = (truth(g, "enter"), truth(g, "exit"));
            g.when(Some(flat), enter, &[go(long)]);
            g.when(Some(long), exit, &[go(left)]);
        },
        "
        at ticks enter  exit  |  mode
        0  b     0      0     |  flat
        1  b     1      -     |  long
        2  b     1      1     |  left
        ",
    );
}

#[test]
fn two_modes_that_hand_over_for_ever_are_a_livelock() {
    play(
        |g| {
            let (a, b) = (g.mode("a", &[]), g.mode("b", &[]));
            let c = truth(g, "c");
            g.when(Some(a), c, &[go(b)]);
            g.when(Some(b), c, &[go(a)]);
        },
        "
        at ticks c  |  control
        0  b     0  |  run
        1  b     1  |  livelock
        ",
    );
}

#[test]
fn rules_of_the_mode_go_before_those_of_the_strategy() {
    play(
        |g| {
            let (a, b, c) = (g.mode("a", &[]), g.mode("b", &[]), g.mode("c", &[]));
            g.on_clock(None, BOOK, None, &[go(c)]);
            g.on_clock(Some(a), BOOK, None, &[go(b)]);
        },
        "
        at ticks |  mode  left
        0  t     |  a     0,0
        1  b     |  b     2,0
        2  b     |  c     3,0
        ",
    );
}

#[test]
fn rules_of_other_modes_are_silent() {
    play(
        |g| {
            let (a, b) = (g.mode("a", &[]), g.mode("b", &[]));
            let (state, read) = g.state(Ty::F64, Init::F64(0.0));
            let one = g.number(1.0);
            g.on_clock(Some(b), BOOK, None, &[Action::Next { state, value: one }]);
            let enter = truth(g, "enter");
            g.when(Some(a), enter, &[go(b)]);
            g.show("s", read);
        },
        "
        at ticks enter  |  mode  s
        0  b     0      |  a     0
        1  b     1      |  b     0
        2  t     =      |  b     0
        3  b     1      |  b     1
        ",
    );
}

#[test]
fn elapsed_starts_anew_with_each_entry() {
    play(
        |g| {
            let (a, b) = (g.mode("a", &[]), g.mode("b", &[]));
            let second = g.number(1.0);
            let late = g.op(Op::Deadline { base: TimeBase::Elapsed, cmp: Cmp::Gt }, &[second]);
            g.when(Some(a), late, &[go(b)]);
            g.when(Some(b), late, &[go(a)]);
            let elapsed = g.op(Op::Elapsed, &[]);
            g.show("elapsed", elapsed);
        },
        "
        at           ticks |  mode  elapsed  deadline
        0            b     |  a     0        1s+1
        500ms        b     |  a     0.5      1s+1
        1s           b     |  a     1        1s+1
        1s+1         T     |  b     0        2s+2
        2s+1         b     |  b     1        2s+2
        2s+2         T     |  a     0        3s+3
        ",
    );
}

#[test]
fn go_to_the_active_mode_enters_it_anew() {
    play(
        |g| {
            let a = g.mode("a", &[]);
            g.on_clock(Some(a), BOOK, None, &[go(a)]);
            let elapsed = g.op(Op::Elapsed, &[]);
            g.show("elapsed", elapsed);
        },
        "
        at  ticks |  elapsed
        0   t     |  0
        1s  t     |  1
        2s  b     |  0
        3s  t     |  1
        ",
    );
}

#[test]
fn state_advances_whatever_the_mode() {
    play(
        |g| {
            let (a, b) = (g.mode("a", &[]), g.mode("b", &[]));
            let x = g.input("x");
            let before = g.on(Op::History { k: 1 }, &[x], BOOK);
            let inside = g.op(Op::InMode(b), &[]);
            let absent = g.op(Op::Absent(Ty::F64), &[]);
            let chosen = g.op(Op::If, &[inside, before, absent]);
            let enter = truth(g, "enter");
            g.when(Some(a), enter, &[go(b)]);
            g.show("before", chosen);
        },
        "
        at ticks x  enter  |  mode  before
        0  b     1  0      |  a     -
        1  b     2  0      |  a     -
        2  b     3  1      |  b     2
        ",
    );
}
