//! Operators over the last n present values of a series: what `std.core` and `std.ta` are made of.
use super::call::Args;
use super::{Checker, Entity, Traits, Ty, Value};
use crate::ast::{Expr, ExprKind};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::unit::Unit;
use tercel_graph::limits::ROLL_MAX;
use tercel_graph::{ClockSet, Op};

/// Called as `f(value, n)`.
pub(super) const BY_COUNT: &[&str] =
    &["highest", "lag", "lowest", "skip", "squares", "ticks_since_highest", "ticks_since_lowest", "weighted_sum"];

impl Checker<'_> {
    /// Whether the second argument of `sum` is a count of ticks and not a span of time: it names no duration.
    pub(super) fn is_count(&self, expr: &Expr) -> bool {
        let second = Ty::Num(Unit::second());
        let mut names_time = false;
        expr.walk(&mut |e| {
            names_time |= match &e.kind {
                ExprKind::Quantity { unit: Some(unit), .. } => {
                    matches!(unit.text.as_str(), "ns" | "us" | "ms" | "s" | "min" | "h" | "d")
                }
                ExprKind::Path(path) => match path.as_slice() {
                    [name] => match self.peek(&name.text) {
                        Some(Entity::Value(value)) => value.ty == second,
                        Some(Entity::Param(param)) => self.param_tys[param as usize] == second,
                        _ => false,
                    },
                    _ => false,
                },
                _ => false,
            }
        });
        !names_time
    }

    pub(super) fn by_count(&mut self, word: &str, args: &Args<'_>, span: Span) -> Value {
        if let Some((name, _)) = args.named.first() {
            let message = format!("`{word}` over ticks has no argument `{}`", name.text);
            self.report(Diagnostic::new("E0205", name.span, message).help(format!("write `{word}(value, 20)`")));
            return self.poison();
        }
        let what = format!("the length of `{word}`");
        let least = u32::from(!matches!(word, "skip" | "lag"));
        let Some(n) = self.constant_within(args.positional[1], least, ROLL_MAX, &what) else { return self.poison() };
        if n == 0 {
            return self.number(args.positional[0]);
        }
        let op = match word {
            "sum" => Op::RollSum { n },
            "weighted_sum" => Op::RollWeighted { n },
            "squares" => Op::RollSquares { n },
            "highest" => Op::RollMax { n },
            "lowest" => Op::RollMin { n },
            "ticks_since_highest" => Op::RollSinceMax { n },
            "ticks_since_lowest" => Op::RollSinceMin { n },
            "lag" => Op::Lag { n },
            _ => Op::Skip { n },
        };
        let value = self.counting(args.positional[0], &format!("`{word}` counts ticks"), span, |_, _| Some(op));
        match (word, &value.ty) {
            ("squares", Ty::Num(unit)) => Value { ty: Ty::Num(unit.power(2, 1)), ..value },
            ("ticks_since_highest" | "ticks_since_lowest", Ty::Num(_)) => Value { ty: Ty::Int, ..value },
            _ => value,
        }
    }

    /// `smooth(e, alpha, seed: n)`: alpha is the share of each new value, 0 to 1, a literal; the first value is the plain mean
    /// of the first `seed` (1), shown from `ready` (`seed`) values on.
    pub(super) fn smooth(&mut self, args: &Args<'_>, span: Span) -> Value {
        let share = args.positional[1];
        let ratio = Ty::Num(Unit::ratio());
        let Some(alpha) = self.constant_in(share, &ratio, 1.0, "the share of a new value") else {
            return self.poison();
        };
        let alpha = if self.generic { alpha.clamp(0.5, 1.0) } else { alpha };
        if !(alpha > 0.0 && alpha <= 1.0) {
            let message = format!("expected a share above 0 and up to 1, found `{}`", self.text(share.span));
            self.report(Diagnostic::new("E0208", share.span, message).help("write `2 / (n + 1)` for n ticks"));
            return self.poison();
        }
        let mut counts = [1; 2];
        for (at, name) in ["seed", "ready"].into_iter().enumerate() {
            if let Some(expr) = args.named(name) {
                let Some(count) = self.constant_count(expr, ROLL_MAX, &format!("`{name}`")) else {
                    return self.poison();
                };
                counts[at] = count;
            }
        }
        let [seed, ready] = counts;
        self.counting(args.positional[0], "`smooth` counts ticks", span, |_, _| Some(Op::Ema { alpha, seed, ready }))
    }

    /// `adapt(e, w)`: the value so far moves by the share `w` of its distance to `e`.
    pub(super) fn adapt(&mut self, args: &Args<'_>, span: Span) -> Value {
        let (value, weight) = (self.number(args.positional[0]), self.number(args.positional[1]));
        if value.is_poison() || weight.is_poison() {
            return self.poison();
        }
        let ratio = Ty::Num(Unit::ratio());
        if !self.expect_ty(&weight, &ratio, args.positional[1].span, "the weight of `adapt` is") {
            return self.poison();
        }
        let both = self.push(Op::Add, &[value.node, weight.node], span);
        let joined = Value { node: both, traits: value.traits.join(weight.traits), ..value.clone() };
        let Some(clocks) = self.one_clock(&joined, span, "`adapt` counts ticks") else { return self.poison() };
        let node = self.push_on(Op::Adapt, &[value.node, weight.node], clocks, span);
        self.remember(node, span);
        let ty = if value.ty == Ty::Int { ratio } else { value.ty };
        Value { node, ty, traits: Traits { escapes: false, ..joined.traits }, constant: None, bare: false }
    }

    /// `hold(e)`: the last present value of e.
    pub(super) fn hold(&mut self, arg: &Expr, span: Span) -> Value {
        let value = self.expr(arg);
        if value.is_poison() {
            return value;
        }
        if value.traits.pulse {
            let finding = Diagnostic::new("E0213", arg.span, "a pulse is never absent, and not kept");
            self.report(finding.help("use the pulse in a `when` condition"));
            return self.poison();
        }
        let node = self.push(Op::Hold, &[value.node], span);
        Value { node, constant: None, bare: false, ..value }
    }

    /// `where(e, c)`: e while c is true, else absent.
    pub(super) fn where_(&mut self, args: &Args<'_>, span: Span) -> Value {
        let value = self.expr(args.positional[0]);
        let condition = self.condition(args.positional[1], "`where`");
        if value.is_poison() || condition.is_poison() {
            return self.poison();
        }
        if value.traits.pulse || condition.traits.pulse {
            self.report(
                Diagnostic::new("E0213", span, "`where` would hold a pulse")
                    .help("use the pulse in a `when` condition"),
            );
            return self.poison();
        }
        let ty = self.program.ty(value.node);
        let none = self.push_on(Op::Absent(ty), &[], ClockSet::NONE, span);
        let node = self.push(Op::If, &[condition.node, value.node, none], span);
        let traits = Traits { escapes: false, ..value.traits.join(condition.traits) };
        Value { node, traits, constant: None, bare: false, ..value }
    }
}
