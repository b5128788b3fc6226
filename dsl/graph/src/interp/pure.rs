//! Operators without state: the value of a node from the values of its operands.
use super::cell::finite;
use crate::math;
use crate::op::{Cmp, Op, Ty};
use crate::value::Value;

const INT_MAX: f64 = (1u64 << 53) as f64;
/// Times are kept below this magnitude, so that sums and differences of two fit an `i64`.
const TIME_BOUND: i64 = 1 << 62;

fn compare<T: PartialOrd>(cmp: Cmp, a: T, b: T) -> bool {
    match cmp {
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
        Cmp::Eq => a == b,
        Cmp::Ne => a != b,
    }
}

/// Whether `elapsed cmp bound`, and the first nanosecond after which the answer differs for good.
pub(super) fn deadline(cmp: Cmp, base_ns: i64, now: i64, bound_ns: i64) -> (bool, i64) {
    let flips = base_ns + bound_ns + i64::from(matches!(cmp, Cmp::Gt | Cmp::Le));
    (compare(cmp, now - base_ns, bound_ns), flips)
}

/// x to the power n by squaring from the top bit down.
fn power(x: f64, n: i32) -> f64 {
    let size = n.unsigned_abs();
    let Some(top) = size.checked_ilog2() else { return 1.0 };
    let mut power = x;
    for bit in (0..top).rev() {
        power *= power;
        if size >> bit & 1 == 1 {
            power *= x;
        }
    }
    if n < 0 { 1.0 / power } else { power }
}

/// The value of a pure operator with operands; sources and operators with state are not seen here.
pub(super) fn eval(op: Op, args: [Value; 4]) -> Value {
    let x = args[0].f64();
    let xy = x.zip(args[1].f64());
    let number = |v: Option<f64>| Value::F64(v.and_then(finite));
    match op {
        Op::Neg => number(x.map(|x| -x)),
        Op::Abs => number(x.map(f64::abs)),
        Op::Sqrt => number(x.map(f64::sqrt)),
        Op::Ln => number(x.map(math::ln)),
        Op::Exp => number(x.map(math::exp)),
        Op::Floor => number(x.map(libm::floor)),
        Op::Ceil => number(x.map(libm::ceil)),
        Op::Round => number(x.map(libm::rint)),
        Op::CheckInt => number(x.filter(|x| libm::floor(*x) == *x && x.abs() <= INT_MAX)),
        Op::PowI(n) => number(x.map(|x| power(x, n))),
        Op::Add => number(xy.map(|(a, b)| a + b)),
        Op::Sub => number(xy.map(|(a, b)| a - b)),
        Op::Mul => number(xy.map(|(a, b)| a * b)),
        Op::Div => number(xy.map(|(a, b)| a / b)),
        Op::Min => number(xy.map(|(a, b)| if b < a { b } else { a })),
        Op::Max => number(xy.map(|(a, b)| if b > a { b } else { a })),
        Op::Clamp => number(xy.zip(args[2].f64()).and_then(|((x, lo), hi)| {
            if lo > hi {
                return None;
            }
            Some(if x < lo {
                lo
            } else if hi < x {
                hi
            } else {
                x
            })
        })),
        Op::Cmp(cmp) => Value::Bool(match args[0] {
            Value::Time(a) => a.zip(args[1].time()).map(|(a, b)| compare(cmp, a, b)),
            _ => xy.map(|(a, b)| compare(cmp, a, b)),
        }),
        Op::Not => Value::Bool(args[0].bool().map(|b| !b)),
        Op::And => Value::Bool(match (args[0].bool(), args[1].bool()) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }),
        Op::Or => Value::Bool(match (args[0].bool(), args[1].bool()) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }),
        Op::If => match (args[0].bool(), args[1]) {
            (Some(true), then) => then,
            (Some(false), _) => args[2],
            (None, Value::F64(_)) => Value::absent(Ty::F64),
            (None, Value::Bool(_)) => Value::absent(Ty::Bool),
            (None, Value::Time(_)) => Value::absent(Ty::Time),
        },
        Op::Coalesce if args[0].is_present() => args[0],
        Op::Coalesce => args[1],
        Op::Present => Value::Bool(Some(args[0].is_present())),
        Op::TimeAdd => Value::Time(args[0].time().zip(args[1].f64()).and_then(|(time, span)| {
            let sum = time + math::span_ns(span)?;
            (sum.abs() < TIME_BOUND).then_some(sum)
        })),
        Op::TimeSub => number(args[0].time().zip(args[1].time()).map(|(a, b)| math::seconds(a - b))),
        _ => Value::absent(Ty::F64),
    }
}
