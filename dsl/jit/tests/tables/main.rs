//! Event tables of what the typed graph can say and the language cannot, or says less directly; those of the language are in
//! `dsl/tables`. Worked out by hand, run on the interpreter and on machine code.
//!
//! A table is a graph and a text. The first line names the columns; `|` parts what happens from what must be seen.
//!   at        time of the instant: `1s`, `250ms`, `1s+1` (one nanosecond more)
//!   ticks     b book, t trades, e exec, s signal, T timer, p parameter, `.` none
//!   an input  its value from now on; `-` absent, `=` as before; `s.t` is the feature time of signal s
//!   a shown   its value: a number (`~` to 1e-12), T, F, or `-` for absent
//!   mode, control, deadline, owner (index of the sink that owns x, `.` for none)
//!   left      rules fired, blocked: `2,0`
mod absence;
mod arithmetic;
mod deadlines;
mod edges;
mod harness;
mod rolls;
mod rounds;
mod sinks;
mod state;
mod windows;

/// The tables can fail: a wrong cell is named with its engine, row and column.
#[test]
fn a_wrong_cell_is_named() {
    let wrong = std::panic::catch_unwind(|| {
        harness::play(
            |g| {
                let x = g.input("x");
                g.show("y", x);
            },
            "
            at ticks x  |  y
            0  b     1  |  1
            1  b     2  |  3
            ",
        );
    });
    let message = wrong.expect_err("a wrong cell").downcast::<String>().expect("a message");
    assert!(message.contains("interpreter, `1  b     2  |  3`, column `y`"), "{message}");
}
