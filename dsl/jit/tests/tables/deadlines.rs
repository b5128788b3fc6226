//! Deadlines, expiry and periodic clocks (S1, S4, decisions 10, 12).
use tercel_graph::{Action, Cmp, Init, Op, TimeBase, Ty};

use crate::harness::{BOOK, play};

#[test]
fn a_bound_that_changes_re_arms_and_absent_disarms() {
    play(
        |g| {
            let bound = g.input("bound");
            let late = g.op(Op::Deadline { base: TimeBase::Elapsed, cmp: Cmp::Ge }, &[bound]);
            g.show("late", late);
        },
        "
        at  ticks bound  |  late  deadline
        0   b     2      |  F     2s
        1s  b     3      |  F     3s
        2s  b     -      |  -     -
        3s  b     4      |  F     4s
        4s  T     =      |  T     -
        5s  b     6      |  F     6s
        ",
    );
}

#[test]
fn times_subtract_in_nanoseconds() {
    play(
        |g| {
            let (state, mark) = g.state(Ty::Time, Init::Absent);
            let now = g.op(Op::Now, &[]);
            g.on_clock(None, BOOK, None, &[Action::Next { state, value: now }]);
            let since = g.op(Op::TimeSub, &[now, mark]);
            let after = g.op(Op::Cmp(Cmp::Gt), &[now, mark]);
            g.show("since", since);
            g.show("after", after);
        },
        "
        at    ticks |  since       after
        0     t     |  -           -
        1s    b     |  0           F
        1s+1  t     |  0.000000001 T
        3s    t     |  2           T
        ",
    );
}

#[test]
fn an_invalid_signal_is_absent_and_its_age_stays() {
    play(
        |g| {
            let s = g.signal("s", 1_000);
            let zero = g.number(0.0);
            let or = g.op(Op::Coalesce, &[s, zero]);
            g.show("or", or);
            let bound = g.number(2e-6);
            let old = g.op(Op::Deadline { base: TimeBase::Age(0), cmp: Cmp::Gt }, &[bound]);
            g.show("old", old);
        },
        "
        at        ticks s  s.t |  or  old  deadline
        1s        b     -  -   |  0   -    -
        1s+100    s     5  1s  |  5   F    1s+1us+1
        1s+200    s     -  1s  |  0   F    1s+1us+1
        1s+1us+1  T     =  =   |  0   F    1s+2us+1
        1s+2us+1  T     =  =   |  0   T    -
        ",
    );
}

#[test]
fn a_feature_time_that_cannot_be_is_no_time() {
    play(
        |g| {
            let s = g.signal("s", 1_000_000_000);
            g.show("v", s);
        },
        "
        at  ticks s  s.t                  |  v  deadline
        1s  s     5  9223372036854775807  |  -  -
        2s  s     5  1s                   |  5  2s+1
        ",
    );
}

#[test]
fn missed_ticks_of_a_period_are_one_tick() {
    play(
        |g| {
            let every = g.every(1_000);
            let (state, read) = g.state(Ty::F64, Init::F64(0.0));
            let one = g.number(1.0);
            let next = g.op(Op::Add, &[read, one]);
            g.on_clock(None, every, None, &[Action::Next { state, value: next }]);
            g.show("n", read);
        },
        "
        at     ticks |  n  deadline
        0      b     |  0  1us
        1us    T     |  1  2us
        10us+5 b     |  2  11us
        ",
    );
}

#[test]
fn a_deadline_that_can_never_come_is_not_armed() {
    play(
        |g| {
            let bound = g.input("bound");
            let late = g.op(Op::Deadline { base: TimeBase::Elapsed, cmp: Cmp::Gt }, &[bound]);
            g.show("late", late);
        },
        "
        at ticks bound  |  late  deadline
        0  b     -1     |  T     -
        1  b     -      |  -     -
        2  b     1e9    |  F     1000000000s+1
        ",
    );
}
