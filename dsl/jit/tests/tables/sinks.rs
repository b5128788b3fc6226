//! Ownership of an instrument (S8, decisions 18, 19).

use crate::harness::play;

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
