//! Numbers: what an operator gives, and what makes a result absent (S5, S11).
use tercel_graph::Op;

use crate::harness::play;

#[test]
fn division_by_zero_overflow_and_domain_are_absent() {
    play(
        |g| {
            let (a, b) = (g.input("a"), g.input("b"));
            for (name, op) in [("div", Op::Div), ("mul", Op::Mul)] {
                let node = g.op(op, &[a, b]);
                g.show(name, node);
            }
            for (name, op) in [("sqrt", Op::Sqrt), ("ln", Op::Ln), ("exp", Op::Exp)] {
                let node = g.op(op, &[a]);
                g.show(name, node);
            }
        },
        "
        at ticks a      b      |  div  mul    sqrt  ln   exp
        0  b     4      0      |  -    0      2     ~1.3862943611198906  ~54.598150033144236
        1  b     0      0      |  -    0      0     -    1
        2  b     -1     0      |  -    -0     -     -    ~0.36787944117144233
        3  b     1e308  1e308  |  1    -      1e154  ~709.1962086421661  -
        4  b     inf    1      |  -    -      -     -    -
        ",
    );
}

#[test]
fn rounding_goes_to_even_and_keeps_negative_zero() {
    play(
        |g| {
            let x = g.input("x");
            for (name, op) in [("round", Op::Round), ("floor", Op::Floor), ("ceil", Op::Ceil), ("int", Op::CheckInt)] {
                let node = g.op(op, &[x]);
                g.show(name, node);
            }
        },
        "
        at ticks x                 |  round  floor  ceil  int
        0  b     0.5               |  0      0      1     -
        1  b     1.5               |  2      1      2     -
        2  b     2.5               |  2      2      3     -
        3  b     -0.5              |  -0     -1     -0    -
        4  b     3                 |  3      3      3     3
        5  b     9007199254740992  |  9007199254740992  9007199254740992  9007199254740992  9007199254740992
        6  b     9007199254740994  |  9007199254740994  9007199254740994  9007199254740994  -
        7  b     -                 |  -      -      -     -
        ",
    );
}

#[test]
fn a_power_is_absent_only_when_its_base_is_or_it_overflows() {
    play(
        |g| {
            let x = g.input("x");
            for (name, n) in [("zero", 0), ("two", 2), ("five", 5), ("inverse", -2)] {
                let node = g.op(Op::PowI(n), &[x]);
                g.show(name, node);
            }
        },
        "
        at ticks x      |  zero  two  five  inverse
        0  b     2      |  1     4    32    0.25
        1  b     -3     |  1     9    -243  ~0.1111111111111111
        2  b     0      |  1     0    0     -
        3  b     1e200  |  1     -    -     0
        4  b     -      |  -     -    -     -
        ",
    );
}
