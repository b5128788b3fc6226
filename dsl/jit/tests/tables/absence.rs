//! Absence through logic, choice and rules (S5, decision 7).
use tercel_graph::Op;

use crate::harness::play;

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
