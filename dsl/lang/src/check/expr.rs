//! Expressions: units, clocks, pulses, and the nodes that they become.
use super::{Checker, Place, Traits, Ty, Value};
use crate::ast::{BinaryOp, Clock, Expr, ExprKind, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use crate::unit::Unit;
use tercel_event::Field;
use tercel_graph::{ClockSet, Cmp, Op, TimeBase};
use tercel_types::DurationNs;

const MAX_POWER: i64 = 16;

impl Checker<'_> {
    /// One value.
    pub fn expr(&mut self, expr: &Expr) -> Value {
        let value = self.whole(expr);
        let Ty::Record(record) = &value.ty else { return value };
        let names: Vec<String> = record.fields.iter().map(|(name, _)| format!("`.{name}`")).collect();
        let message = format!("expected one value, found {} of `{}`", self.show(&value.ty), record.of);
        let help = format!("choose one of them: {}", names.join(", "));
        self.report(Diagnostic::new("E0220", expr.span, message).label("several results").help(help));
        self.poison()
    }

    /// One value, or the results of an indicator.
    pub fn whole(&mut self, expr: &Expr) -> Value {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Error => self.poison(),
            ExprKind::Quantity { digits, unit } => self.literal(digits, unit.as_ref(), span),
            ExprKind::Str(_) => {
                self.report(Diagnostic::new("E0206", span, "expected a value, found a text").help("delete the quotes"));
                self.poison()
            }
            ExprKind::Path(path) => self.path(path, span),
            ExprKind::Call { path, args } => self.call(path, args, span),
            ExprKind::Index { base, index } => self.index(base, index, span),
            ExprKind::Field { base, name, args } => {
                if args.is_some() {
                    self.unsupported("methods", name.span);
                    return self.poison();
                }
                self.level_field(base, &name.text, name.span, span)
            }
            ExprKind::Unary { op: UnaryOp::Neg, arg } => self.negate(arg, span),
            ExprKind::Unary { op: UnaryOp::Not, arg } => self.not(arg, span),
            ExprKind::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, span),
            ExprKind::If { condition, then, otherwise } => self.conditional(condition, then, otherwise, span),
            ExprKind::Sample { value, clock } => self.sample(value, clock, span),
        }
    }

    fn negate(&mut self, arg: &Expr, span: Span) -> Value {
        let value = self.expr(arg);
        if value.is_poison() {
            return value;
        }
        if value.unit().is_none() {
            return self.not_a_number(&value, arg.span);
        }
        match value.constant {
            Some(constant) if self.generic => {
                Value { node: self.push(Op::Neg, &[value.node], span), constant: Some(-constant), ..value }
            }
            Some(constant) => {
                let mut negated = self.constant(-constant, value.ty.clone(), span);
                negated.bare = value.bare;
                negated
            }
            None => Value { node: self.push(Op::Neg, &[value.node], span), ..value },
        }
    }

    fn not(&mut self, arg: &Expr, span: Span) -> Value {
        let value = self.condition(arg, "`not`");
        if value.is_poison() {
            return value;
        }
        if value.traits.pulse {
            return self.held_pulse(arg.span, "`not` of a pulse would be true nearly always");
        }
        let traits = Traits { escapes: false, ..value.traits };
        let node = self.push(Op::Not, &[value.node], span);
        Value { node, traits, constant: value.constant.map(|c| 1.0 - c), ..value }
    }

    /// An expression that must be a `bool`.
    pub fn condition(&mut self, expr: &Expr, what: &str) -> Value {
        let value = self.expr(expr);
        match value.ty {
            Ty::Bool | Ty::Poison => value,
            _ => {
                let message = format!("expected bool for {what}, found {}", self.show(&value.ty));
                let help = format!("compare it: `{} > 0`", self.text(expr.span));
                self.report(
                    Diagnostic::new("E0206", expr.span, message)
                        .label(format!("this is {}", self.show(&value.ty)))
                        .help(help),
                );
                self.poison()
            }
        }
    }

    /// An expression that must be a number.
    pub fn number(&mut self, expr: &Expr) -> Value {
        let value = self.expr(expr);
        match value.ty {
            Ty::Num(_) | Ty::Int | Ty::Poison => value,
            _ => self.not_a_number(&value, expr.span),
        }
    }

    fn not_a_number(&mut self, value: &Value, span: Span) -> Value {
        let found = self.show(&value.ty);
        let help = match value.ty {
            Ty::Bool => "choose numbers by it: `if c then 1 else 0`".to_string(),
            _ => "subtract two times to get a duration".to_string(),
        };
        self.report(
            Diagnostic::new("E0206", span, format!("expected a number, found {found}"))
                .label(format!("this is {found}"))
                .help(help),
        );
        self.poison()
    }

    fn held_pulse(&mut self, span: Span, message: &str) -> Value {
        self.report(
            Diagnostic::new("E0213", span, message.to_string())
                .label("a pulse is true at its own instant only")
                .help("use it as the condition of `when`, alone or with `and`"),
        );
        self.poison()
    }

    fn binary(&mut self, op: BinaryOp, op_span: Span, left: &Expr, right: &Expr, span: Span) -> Value {
        match op {
            BinaryOp::And | BinaryOp::Or => self.logic(op, left, right, span),
            BinaryOp::Pow => self.power(left, right, span),
            BinaryOp::Coalesce => self.coalesce(left, right, span),
            _ if op.is_comparison() => self.compare(op, op_span, left, right, span),
            _ => self.arithmetic(op, op_span, left, right, span),
        }
    }

    fn logic(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Value {
        let word = format!("`{}`", op.word());
        let (a, b) = (self.condition(left, &word), self.condition(right, &word));
        if a.is_poison() || b.is_poison() {
            return self.poison();
        }
        if op == BinaryOp::Or && a.traits.pulse != b.traits.pulse {
            let at = if a.traits.pulse { left.span } else { right.span };
            return self.held_pulse(at, "`pulse or level` is neither an instant nor a level");
        }
        let mut traits = a.traits.join(b.traits);
        traits.escapes = match op {
            BinaryOp::Or => a.traits.escapes || b.traits.escapes,
            _ => a.traits.escapes && b.traits.escapes,
        };
        let op = if op == BinaryOp::And { Op::And } else { Op::Or };
        Value { node: self.push(op, &[a.node, b.node], span), ty: Ty::Bool, traits, constant: None, bare: false }
    }

    fn power(&mut self, left: &Expr, right: &Expr, span: Span) -> Value {
        let base = self.number(left);
        let exponent = self.expr(right);
        if base.is_poison() || exponent.is_poison() {
            return self.poison();
        }
        let n = match (exponent.constant, &exponent.ty) {
            (Some(n), Ty::Int) if n.abs() <= MAX_POWER as f64 => n as i64,
            _ => {
                let message = format!("expected a whole number up to {MAX_POWER}, found `{}`", self.text(right.span));
                self.report(
                    Diagnostic::new("E0210", right.span, message)
                        .label("the exponent")
                        .help("write a literal, or use `sqrt`"),
                );
                return self.poison();
            }
        };
        let unit = base.unit().unwrap_or_default().power(n, 1);
        let ty = if base.ty == Ty::Int && n >= 0 { Ty::Int } else { Ty::Num(unit) };
        let node = self.push(Op::PowI(n as i32), &[base.node], span);
        self.result(node, ty, base.traits, span)
    }

    /// Keeps whole-number arithmetic exact: past 2^53 it is absent.
    pub fn result(&mut self, node: tercel_graph::NodeId, ty: Ty, traits: Traits, span: Span) -> Value {
        let node = if ty == Ty::Int { self.push(Op::CheckInt, &[node], span) } else { node };
        Value { node, ty, traits: Traits { escapes: false, ..traits }, constant: None, bare: false }
    }

    fn coalesce(&mut self, left: &Expr, right: &Expr, span: Span) -> Value {
        let (a, b) = (self.expr(left), self.expr(right));
        if a.is_poison() || b.is_poison() {
            return self.poison();
        }
        if a.traits.pulse || b.traits.pulse {
            return self.held_pulse(span, "a pulse is never absent");
        }
        let Some(ty) = self.common(&a, &b) else {
            return self.mismatch("??", span, (&a, left.span), (&b, right.span));
        };
        let node = self.push(Op::Coalesce, &[a.node, b.node], span);
        let escapes = a.traits.escapes || b.traits.escapes;
        Value { node, ty, traits: Traits { escapes, ..a.traits.join(b.traits) }, constant: None, bare: false }
    }

    fn arithmetic(&mut self, op: BinaryOp, op_span: Span, left: &Expr, right: &Expr, span: Span) -> Value {
        let (a, b) = (self.expr(left), self.expr(right));
        if a.is_poison() || b.is_poison() {
            return self.poison();
        }
        if a.ty == Ty::Time || b.ty == Ty::Time {
            return self.time_arithmetic(op, op_span, (&a, left.span), (&b, right.span), span);
        }
        for (value, at) in [(&a, left.span), (&b, right.span)] {
            if value.unit().is_none() {
                return self.not_a_number(value, at);
            }
        }
        let ty = match op {
            BinaryOp::Add | BinaryOp::Sub => match self.common(&a, &b) {
                Some(ty) => ty,
                None => return self.mismatch(op.word(), span, (&a, left.span), (&b, right.span)),
            },
            BinaryOp::Mul if a.ty == Ty::Int && b.ty == Ty::Int => Ty::Int,
            _ => {
                let (ua, ub) = (a.unit().unwrap_or_default(), b.unit().unwrap_or_default());
                Ty::Num(if op == BinaryOp::Mul { ua.times(&ub) } else { ua.per(&ub) })
            }
        };
        if let (Some(x), Some(y)) = (a.constant, b.constant) {
            let folded = match op {
                BinaryOp::Add => x + y,
                BinaryOp::Sub => x - y,
                BinaryOp::Mul => x * y,
                _ => x / y,
            };
            if self.generic {
                // Both the number and its clock may matter.
                let node = self.push(arithmetic_op(op), &[a.node, b.node], span);
                let value = self.result(node, ty, a.traits.join(b.traits), span);
                return Value { constant: Some(if folded.is_finite() { folded } else { 1.0 }), ..value };
            }
            if folded.is_finite() && (ty != Ty::Int || folded.abs() <= 9_007_199_254_740_992.0) {
                return self.constant(folded, ty, span);
            }
            let message = format!("`{}` has no finite value", self.text(span));
            self.report(
                Diagnostic::new("E0208", span, message).label("computed from literals").help("correct the literals"),
            );
            return self.poison();
        }
        let node = self.push(arithmetic_op(op), &[a.node, b.node], span);
        self.result(node, ty, a.traits.join(b.traits), span)
    }

    /// time - time = duration, time ± duration = time.
    fn time_arithmetic(
        &mut self,
        op: BinaryOp,
        op_span: Span,
        a: (&Value, Span),
        b: (&Value, Span),
        span: Span,
    ) -> Value {
        let second = Ty::Num(Unit::second());
        let traits = a.0.traits.join(b.0.traits);
        let (node, ty) = match (op, &a.0.ty, &b.0.ty) {
            (BinaryOp::Sub, Ty::Time, Ty::Time) => (self.push(Op::TimeSub, &[a.0.node, b.0.node], span), second),
            (BinaryOp::Add, Ty::Time, other) if *other == second => {
                (self.push(Op::TimeAdd, &[a.0.node, b.0.node], span), Ty::Time)
            }
            (BinaryOp::Add, other, Ty::Time) if *other == second => {
                (self.push(Op::TimeAdd, &[b.0.node, a.0.node], span), Ty::Time)
            }
            (BinaryOp::Sub, Ty::Time, other) if *other == second => {
                let back = self.push(Op::Neg, &[b.0.node], b.1);
                (self.push(Op::TimeAdd, &[a.0.node, back], span), Ty::Time)
            }
            _ => {
                let message = format!("cannot compute {} {} {}", self.show(&a.0.ty), op.word(), self.show(&b.0.ty));
                self.report(
                    Diagnostic::new("E0207", op_span, message)
                        .label("a point in time takes only durations")
                        .help("time - time is a duration, time + duration is a time"),
                );
                return self.poison();
            }
        };
        Value { node, ty, traits, constant: None, bare: false }
    }

    /// The one unit of two operands, if they have one. A bare 0 fits all.
    pub fn common(&self, a: &Value, b: &Value) -> Option<Ty> {
        match (&a.ty, &b.ty) {
            (x, y) if x == y => Some(x.clone()),
            (Ty::Num(_), Ty::Num(_) | Ty::Int) if b.is_bare_zero() => Some(a.ty.clone()),
            (Ty::Num(_) | Ty::Int, Ty::Num(_)) if a.is_bare_zero() => Some(b.ty.clone()),
            (Ty::Num(unit), Ty::Int) | (Ty::Int, Ty::Num(unit)) if unit.is_ratio() => Some(Ty::Num(unit.clone())),
            _ => None,
        }
    }

    /// "price[x] + ratio" and the like: both units are named.
    pub fn mismatch(&mut self, word: &str, span: Span, a: (&Value, Span), b: (&Value, Span)) -> Value {
        let (ua, ub) = (self.show(&a.0.ty), self.show(&b.0.ty));
        let numbers = a.0.unit().is_some() && b.0.unit().is_some();
        let code = if numbers { "E0207" } else { "E0206" };
        let help = if numbers { self.unit_advice(&ua, &ub) } else { "both sides must be of one type".into() };
        let finding = Diagnostic::new(code, span, format!("cannot compute {ua} {word} {ub}: both sides need one unit"))
            .label(format!("`{}` is {ua}, `{}` is {ub}", self.text(a.1), self.text(b.1)))
            .help(help);
        self.report(finding);
        self.poison()
    }

    fn compare(&mut self, op: BinaryOp, op_span: Span, left: &Expr, right: &Expr, span: Span) -> Value {
        if let Some(value) = self.deadline(op, op_span, left, right, span) {
            return value;
        }
        if let Some(value) = self.word_compared(op, left, right, span) {
            return value;
        }
        let (a, b) = (self.expr(left), self.expr(right));
        if a.is_poison() || b.is_poison() {
            return self.poison();
        }
        if self.common(&a, &b).is_none() {
            return self.mismatch(op.word(), span, (&a, left.span), (&b, right.span));
        }
        let graph_op = match op {
            BinaryOp::Lt => Op::Cmp(Cmp::Lt),
            BinaryOp::Le => Op::Cmp(Cmp::Le),
            BinaryOp::Gt => Op::Cmp(Cmp::Gt),
            BinaryOp::Ge => Op::Cmp(Cmp::Ge),
            BinaryOp::Eq => Op::Cmp(Cmp::Eq),
            BinaryOp::Ne => Op::Cmp(Cmp::Ne),
            BinaryOp::CrossesAbove => Op::CrossesAbove,
            _ => Op::CrossesBelow,
        };
        let crosses = matches!(op, BinaryOp::CrossesAbove | BinaryOp::CrossesBelow);
        if let (Some(x), Some(y), Op::Cmp(cmp), false) = (a.constant, b.constant, graph_op, self.generic) {
            let holds = match cmp {
                Cmp::Lt => x < y,
                Cmp::Le => x <= y,
                Cmp::Gt => x > y,
                Cmp::Ge => x >= y,
                Cmp::Eq => x == y,
                Cmp::Ne => x != y,
            };
            return self.known_condition(holds, span);
        }
        if a.ty == Ty::Bool {
            let message = format!("`{}` compares numbers and times, found bool", op.word());
            self.report(Diagnostic::new("E0206", op_span, message).help("use the condition itself, or `not`"));
            return self.poison();
        }
        if crosses && a.ty == Ty::Time {
            return self.not_a_number(&a, left.span);
        }
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne) && a.unit().is_some_and(|u| !u.is_ratio()) {
            let finding = Diagnostic::new(
                "W0510",
                op_span,
                format!("`{}` on {} is rarely true exactly", op.word(), self.show(&a.ty)),
            )
            .label("fees and rounding leave dust")
            .help("use `x.flat` for positions, or an inequality");
            self.report(finding);
        }
        let node = self.push(graph_op, &[a.node, b.node], span);
        let traits = Traits { pulse: crosses, ..a.traits.join(b.traits) };
        Value { node, ty: Ty::Bool, traits, constant: None, bare: false }
    }

    /// A condition whose answer is known when the strategy is compiled.
    fn known_condition(&mut self, holds: bool, span: Span) -> Value {
        let node = self.push(Op::ConstBool(holds), &[], span);
        let constant = Some(f64::from(u8::from(holds)));
        Value { node, ty: Ty::Bool, traits: Traits::default(), constant, bare: false }
    }

    /// `kind == "ema"`: an argument of type `word` and a text.
    fn word_compared(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Option<Value> {
        let (ExprKind::Path(path), ExprKind::Str(text)) = (&left.kind, &right.kind) else { return None };
        let [name] = path.as_slice() else { return None };
        let Some(super::Entity::Value(value)) = self.lookup(&name.text) else { return None };
        let Ty::Word(word) = &value.ty else { return None };
        let equal = word == text;
        match op {
            // In a definition the word is not known yet, and both sides of an `if` are read.
            BinaryOp::Eq | BinaryOp::Ne if self.generic => {
                let known = self.known_condition(equal, span);
                Some(Value { constant: None, ..known })
            }
            BinaryOp::Eq => Some(self.known_condition(equal, span)),
            BinaryOp::Ne => Some(self.known_condition(!equal, span)),
            _ => None,
        }
    }

    /// `elapsed > d`, `s.age > d`, `now > t`: one timer slot each.
    fn deadline(&mut self, op: BinaryOp, op_span: Span, left: &Expr, right: &Expr, span: Span) -> Option<Value> {
        let cmp = match op {
            BinaryOp::Lt => Cmp::Lt,
            BinaryOp::Le => Cmp::Le,
            BinaryOp::Gt => Cmp::Gt,
            BinaryOp::Ge => Cmp::Ge,
            _ => return None,
        };
        let (base, bound, cmp) = match (self.time_base(left), self.time_base(right)) {
            (Some(base), _) => (base, right, cmp),
            (None, Some(base)) => {
                let turned = match cmp {
                    Cmp::Lt => Cmp::Gt,
                    Cmp::Le => Cmp::Ge,
                    Cmp::Gt => Cmp::Lt,
                    _ => Cmp::Le,
                };
                (base, left, turned)
            }
            (None, None) => return None,
        };
        let value = self.expr(bound);
        let wanted = if base == TimeBase::Now { Ty::Time } else { Ty::Num(Unit::second()) };
        let what = if bound.span == right.span { self.text(left.span) } else { self.text(right.span) };
        if value.is_poison() || !self.expect_ty(&value, &wanted, bound.span, &format!("`{what}` is compared with")) {
            return Some(self.poison());
        }
        let clocks = self.program.node(value.node).clocks;
        if !ClockSet::COMMIT.contains(clocks) || value.traits.panes {
            let names = self.clock_names(clocks).join(", ");
            self.report(
                Diagnostic::new(
                    "E0212",
                    op_span,
                    format!("expected a bound without a clock, found one that ticks on {names}"),
                )
                .label("a deadline needs a bound that stays")
                .help("use a literal, a parameter or a value of the mode"),
            );
            return Some(self.poison());
        }
        let node = self.push(Op::Deadline { base, cmp }, &[value.node], span);
        let is_elapsed = base == TimeBase::Elapsed;
        let escapes = is_elapsed && matches!(cmp, Cmp::Gt | Cmp::Ge);
        let traits =
            Traits { elapsed: is_elapsed, escapes, plain_state: value.traits.plain_state, ..Traits::default() };
        Some(Value { node, ty: Ty::Bool, traits, constant: None, bare: false })
    }

    fn time_base(&mut self, expr: &Expr) -> Option<TimeBase> {
        let ExprKind::Path(path) = &expr.kind else { return None };
        let words: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
        match words.as_slice() {
            ["now"] => Some(TimeBase::Now),
            ["elapsed"] => Some(TimeBase::Elapsed),
            [signal, "age"] => match self.lookup(signal) {
                Some(super::Entity::Signal(idx)) => Some(TimeBase::Age(idx)),
                _ => None,
            },
            _ => None,
        }
    }

    fn conditional(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr, span: Span) -> Value {
        let c = self.condition(condition, "`if`");
        if let Some(holds) = c.constant {
            // Known already: the other side is not built.
            return self.expr(if holds == 1.0 { then } else { otherwise });
        }
        let (a, b) = (self.expr(then), self.expr(otherwise));
        if c.is_poison() || a.is_poison() || b.is_poison() {
            return self.poison();
        }
        if c.traits.pulse || a.traits.pulse || b.traits.pulse {
            return self.held_pulse(span, "`if` would hold a pulse");
        }
        let Some(ty) = self.common(&a, &b) else {
            return self.mismatch("else", span, (&a, then.span), (&b, otherwise.span));
        };
        let node = self.push(Op::If, &[c.node, a.node, b.node], span);
        let traits = c.traits.join(a.traits).join(b.traits);
        Value { node, ty, traits, constant: None, bare: false }
    }

    /// `e @ every d`.
    fn sample(&mut self, value: &Expr, clock: &Clock, span: Span) -> Value {
        let Clock::Every(period) = clock else {
            self.unsupported("`@` with a clock other than `every`", span);
            return self.poison();
        };
        let before = std::mem::replace(&mut self.frame.place, Place::Timed);
        let value_span = value.span;
        let value = self.expr(value);
        self.frame.place = before;
        let Some(period) = self.constant_span(period, "the period") else { return self.poison() };
        if value.is_poison() {
            return value;
        }
        if value.traits.pulse {
            return self.held_pulse(value_span, "a pulse cannot be sampled");
        }
        let Some(clocks) = self.timer(period, span) else { return self.poison() };
        let node = self.push_on(Op::Sample, &[value.node], clocks, span);
        Value { node, traits: Traits { panes: false, ..value.traits }, constant: None, bare: false, ..value }
    }

    pub fn timer(&mut self, period: i64, span: Span) -> Option<ClockSet> {
        match self.program.timer(DurationNs(period)) {
            Ok(clocks) => Some(clocks),
            Err(error) => {
                let message = format!("the graph refuses this clock: {error}");
                self.report(Diagnostic::new("E0501", span, message).help("use fewer different periods"));
                None
            }
        }
    }

    /// `e[k]`: e at the k-th tick before this one.
    fn index(&mut self, base: &Expr, index: &Expr, span: Span) -> Value {
        if self.levels_of(base).is_some() {
            let help = format!("write `{}.px` or `{}.qty`", self.text(span), self.text(span));
            self.report(Diagnostic::new("E0203", span, "a level has a price and a quantity").help(help));
            return self.poison();
        }
        let value = self.expr(base);
        if value.is_poison() {
            return value;
        }
        if value.traits.pulse {
            return self.held_pulse(base.span, "a pulse has no past values");
        }
        let Some(k) = self.constant_count(index, 4_096, "the number of ticks back") else { return self.poison() };
        let Some(clocks) = self.one_clock(&value, base.span, "`[k]` counts ticks") else { return self.poison() };
        let node = self.push_on(Op::History { k }, &[value.node], clocks, span);
        self.remember(node, span);
        Value { node, constant: None, bare: false, ..value }
    }

    /// `x.bid[2].px`.
    fn level_field(&mut self, base: &Expr, field: &str, field_span: Span, span: Span) -> Value {
        let Some((instrument, is_bid, index)) = self.levels_of(base) else {
            let value = self.whole(base);
            if let Ty::Record(record) = &value.ty {
                let name = crate::ast::Name { text: field.to_string(), span: field_span };
                return self.result_named(&record.clone(), &name);
            }
            if !value.is_poison() {
                let message = format!("{} has no field `{field}`", self.show(&value.ty));
                self.report(Diagnostic::new("E0203", field_span, message).help(format!("delete `.{field}`")));
            }
            return self.poison();
        };
        let level = match self.constant_in(index, &Ty::Int, 1.0, "the level") {
            Some(level) if (0.0..f64::from(super::field::MAX_LEVELS)).contains(&level) => level as u8,
            Some(_) => {
                let message = format!("levels go from 0 to {}", super::field::MAX_LEVELS - 1);
                self.report(Diagnostic::new("E0208", index.span, message).help("write a level in that range"));
                return self.poison();
            }
            None => return self.poison(),
        };
        let field = match (field, is_bid) {
            ("px", true) => Field::BidPx(level),
            ("px", false) => Field::AskPx(level),
            ("qty", true) => Field::BidQty(level),
            ("qty", false) => Field::AskQty(level),
            _ => {
                let message = format!("a level has no field `{field}`");
                self.report(Diagnostic::new("E0203", field_span, message).help("write `.px` or `.qty`"));
                return self.poison();
            }
        };
        self.level(instrument, field, span)
    }

    /// `x.bid[i]` or `x.ask[i]`: instrument, side, index.
    fn levels_of<'e>(&mut self, expr: &'e Expr) -> Option<(u16, bool, &'e Expr)> {
        // The index may be the outermost node (`x.bid[0]`) or the path itself may be what is indexed.
        let (path, index) = match &expr.kind {
            ExprKind::Index { base, index } => (&base.kind, index.as_ref()),
            ExprKind::Path(_) => (&expr.kind, expr),
            _ => return None,
        };
        let ExprKind::Path(path) = path else { return None };
        let [head, side] = path.as_slice() else { return None };
        if !matches!(side.text.as_str(), "bid" | "ask") {
            return None;
        }
        match self.lookup(&head.text) {
            Some(super::Entity::Instrument(idx)) => Some((idx, side.text == "bid", index)),
            _ => None,
        }
    }

    /// The one clock on which a counting operator advances (decision 8): multiples of one period count as the shortest.
    pub fn one_clock(&mut self, value: &Value, span: Span, what: &str) -> Option<ClockSet> {
        let clocks = self.program.node(value.node).clocks;
        if self.generic && !clocks.is_empty() && !value.traits.panes {
            // Which clocks they are is known where the function is called.
            return Some(ClockSet(1 << clocks.0.trailing_zeros()));
        }
        let periods: Vec<(usize, i64)> = self.program.timers.iter().enumerate().map(|(i, p)| (i, p.0)).collect();
        let timers: Vec<(usize, i64)> =
            periods.into_iter().filter(|(i, _)| clocks.intersects(ClockSet::timer(*i))).collect();
        let only_timers = timers.len() as u32 == clocks.count();
        let shortest = timers.iter().copied().min_by_key(|(_, period)| *period);
        let one = match shortest {
            Some((idx, period)) if only_timers && timers.iter().all(|(_, p)| p % period == 0) => {
                Some(ClockSet::timer(idx))
            }
            _ if clocks.count() == 1 => Some(clocks),
            _ => None,
        };
        if let Some(one) = one
            && !value.traits.panes
        {
            return Some(one);
        }
        let mut names = self.clock_names(clocks);
        if value.traits.panes {
            names.push("every pane of its window".into());
        }
        let text = self.text(span);
        let found =
            if names.is_empty() { "it has none".to_string() } else { format!("it ticks on {}", names.join(" and ")) };
        self.report(
            Diagnostic::new("E0211", span, format!("{what} and needs exactly one clock; {found}"))
                .label("which ticks should count?")
                .help(format!("sample it: `{text} @ every 1s`")),
        );
        None
    }
}

fn arithmetic_op(op: BinaryOp) -> Op {
    match op {
        BinaryOp::Add => Op::Add,
        BinaryOp::Sub => Op::Sub,
        BinaryOp::Mul => Op::Mul,
        _ => Op::Div,
    }
}
