//! Functions of the library: signature, unit, clock class, and the nodes each one becomes.
use super::field::MAX_LEVELS;
use super::{Checker, Entity, Traits, Ty, Value};
use crate::ast::{Arg, Expr, ExprKind, Name};
use crate::diagnostic::{Diagnostic, nearest};
use crate::library::{CORE, Callee, LATER, STANDARD};
use crate::span::Span;
use crate::unit::Unit;
use tercel_event::Field;
use tercel_graph::{NodeId, Op};

const DEFAULT_PANES: u32 = 10;

/// Arguments of a call, by place and by name.
pub(super) struct Args<'a> {
    pub positional: Vec<&'a Expr>,
    pub named: Vec<(&'a Name, &'a Expr)>,
}

impl<'a> Args<'a> {
    pub fn named(&self, name: &str) -> Option<&'a Expr> {
        self.named.iter().find(|(n, _)| n.text == name).map(|(_, e)| *e)
    }
}

impl Checker<'_> {
    pub fn call(&mut self, path: &[Name], args: &[Arg], span: Span) -> Value {
        let [name] = path else {
            let message =
                format!("unknown function `{}`", path.iter().map(|n| n.text.as_str()).collect::<Vec<_>>().join("."));
            self.report(Diagnostic::new("E0204", span, message).help("functions are called by their last name"));
            return self.poison();
        };
        if let Some(family) = args.iter().find_map(|a| a.family) {
            self.unsupported("`for … in` inside a call", family);
            return self.poison();
        }
        let Some(callee) = self.known_function(name) else { return self.poison() };
        if let Callee::Function(idx) = callee {
            return self.inline(idx, args, span);
        }
        let args = Args {
            positional: args.iter().filter(|a| a.name.is_none()).map(|a| &a.value).collect(),
            named: args.iter().filter_map(|a| a.name.as_ref().map(|n| (n, &a.value))).collect(),
        };
        let word = name.text.as_str();
        let (form, named): (&str, &[&str]) = match word {
            "abs" | "ln" | "exp" | "sqrt" | "present" | "changed" | "delta" => ("(value)", &[]),
            "floor" | "ceil" | "round" => ("(value)", &[]),
            "min" | "max" => ("(a, b)", &[]),
            "clamp" => ("(value, low, high)", &[]),
            "value" => ("(x, qty, price)", &[]),
            "microprice" | "ofi" => ("(x)", &[]),
            "queue_imbalance" => ("(x, levels: 5)", &["levels"]),
            "sum" => ("(value, 250ms)", &["panes", "min_fill"]),
            "ewmean" | "ewstd" | "ewvar_rate" => ("(value, halflife: 2s)", &["halflife", "ready"]),
            "where" => ("(value, condition)", &[]),
            "adapt" => ("(value, weight)", &[]),
            "total" | "hold" => ("(value)", &[]),
            "smooth" => ("(value, 0.1, seed: 20)", &["seed", "ready"]),
            word if super::series::BY_COUNT.contains(&word) => ("(value, 20)", &[]),
            _ => ("(value, on_above: a, off_below: b)", &["on_above", "off_below"]),
        };
        let wanted = match word {
            "min" | "max" | "sum" | "where" | "smooth" => 2,
            word if super::series::BY_COUNT.contains(&word) || word == "adapt" => 2,
            "clamp" | "value" => 3,
            _ => 1,
        };
        if let Some((unknown, _)) = args.named.iter().find(|(n, _)| !named.contains(&n.text.as_str())) {
            let message = format!("`{word}` has no argument `{}`", unknown.text);
            self.report(Diagnostic::new("E0205", unknown.span, message).help(format!("write `{word}{form}`")));
            return self.poison();
        }
        if args.positional.len() != wanted {
            let plural = if wanted == 1 { "" } else { "s" };
            let message = format!("`{word}` takes {wanted} argument{plural} by place, found {}", args.positional.len());
            self.report(Diagnostic::new("E0205", span, message).help(format!("write `{word}{form}`")));
            return self.poison();
        }
        self.apply(word, form, &args, span)
    }

    fn known_function(&mut self, name: &Name) -> Option<Callee> {
        let word = name.text.as_str();
        let module = &self.library.modules[self.frame.module];
        if CORE.contains(&word) {
            return Some(Callee::Builtin);
        }
        if let Some((callee, _)) = module.names.get(word) {
            return Some(*callee);
        }
        if module.broken.contains(&name.text) || self.lookup(word).is_some_and(|e| e.is_poison()) {
            return None;
        }
        let home = STANDARD.iter().find(|s| s.names().any(|n| n == word));
        if let Some(home) = home {
            let message = format!("`{word}` is not brought in");
            self.report(
                Diagnostic::new("E0204", name.span, message)
                    .label("stands in a module")
                    .help(format!("add `use {}.{{{word}}}` at the top of the file", home.name)),
            );
            return None;
        }
        if LATER.contains(&word) {
            self.unsupported(&format!("`{word}`"), name.span);
            return None;
        }
        let known = STANDARD.iter().flat_map(|s| s.names()).chain(CORE.iter().copied());
        let known = known.chain(module.names.keys().map(String::as_str));
        let help = match nearest(word, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("functions are {}", CORE.join(", ")),
        };
        self.report(
            Diagnostic::new("E0204", name.span, format!("unknown function `{word}`"))
                .label("not in the library of this version")
                .help(help),
        );
        None
    }

    fn apply(&mut self, word: &str, form: &str, args: &Args<'_>, span: Span) -> Value {
        let first = args.positional[0];
        match word {
            "abs" => self.unary(Op::Abs, first, span, |ty| Some(ty.clone())),
            "ln" | "exp" => self.unary(if word == "ln" { Op::Ln } else { Op::Exp }, first, span, |ty| match ty {
                Ty::Int => Some(Ty::Num(Unit::ratio())),
                Ty::Num(unit) if unit.is_ratio() => Some(ty.clone()),
                _ => None,
            }),
            "sqrt" => self.unary(Op::Sqrt, first, span, |ty| match ty {
                Ty::Num(unit) => Some(Ty::Num(unit.power(1, 2))),
                _ => Some(Ty::Num(Unit::ratio())),
            }),
            "floor" | "ceil" | "round" => self.whole_number(word, first, span),
            "min" | "max" => self.min_max(if word == "min" { Op::Min } else { Op::Max }, word, args, span),
            "clamp" => self.clamp(args, span),
            "present" => self.present(first, span),
            "changed" => self.changed(first, span),
            "value" => self.value_of(args, span),
            "microprice" | "ofi" | "queue_imbalance" => self.book_function(word, form, args, span),
            "sum" if self.is_count(args.positional[1]) => self.by_count("sum", args, span),
            "sum" => self.window_sum(args, span),
            "where" => self.where_(args, span),
            "adapt" => self.adapt(args, span),
            "smooth" => self.smooth(args, span),
            "hold" => self.hold(first, span),
            "total" => self.counting(first, "`total` counts ticks", span, |_, _| Some(Op::Total)),
            word if super::series::BY_COUNT.contains(&word) => self.by_count(word, args, span),
            "delta" => self.counting(first, "`delta` counts ticks", span, |_, _| Some(Op::Delta)),
            "hysteresis" => self.hysteresis(args, form, span),
            _ => self.by_halflife(word, form, args, span),
        }
    }

    fn unary(&mut self, op: Op, arg: &Expr, span: Span, result: impl Fn(&Ty) -> Option<Ty>) -> Value {
        let value = self.number(arg);
        if value.is_poison() {
            return value;
        }
        match result(&value.ty) {
            Some(ty) => {
                let root = value.constant.filter(|c| op == Op::Sqrt && *c >= 0.0).map(f64::sqrt);
                if let Some(root) = root.filter(|_| !self.generic) {
                    return self.constant(root, ty, span);
                }
                let node = self.push(op, &[value.node], span);
                let constant = if op == Op::Sqrt { value.constant.map(|c| c.abs().sqrt()) } else { None };
                Value { node, ty, traits: Traits { escapes: false, ..value.traits }, constant, bare: false }
            }
            None => {
                let found = self.show(&value.ty);
                self.report(
                    Diagnostic::new("E0207", arg.span, format!("expected ratio for `{}`, found {found}", op.name()))
                        .label(format!("this is {found}"))
                        .help("divide it by a reference value of the same unit first"),
                );
                self.poison()
            }
        }
    }

    /// `floor`, `ceil`, `round` of a ratio: a count.
    fn whole_number(&mut self, word: &str, arg: &Expr, span: Span) -> Value {
        let op = match word {
            "floor" => Op::Floor,
            "ceil" => Op::Ceil,
            _ => Op::Round,
        };
        let value = self.number(arg);
        if value.is_poison() {
            return value;
        }
        if value.unit().is_some_and(|unit| !unit.is_ratio()) {
            let found = self.show(&value.ty);
            self.report(
                Diagnostic::new("E0207", arg.span, format!("expected ratio for `{word}`, found {found}"))
                    .label(format!("this is {found}"))
                    .help("divide it by the step first, such as `x.tick`"),
            );
            return self.poison();
        }
        // Ties to even, as `Op::Round`.
        let constant = value.constant.map(|c| match op {
            Op::Floor => c.floor(),
            Op::Ceil => c.ceil(),
            _ => c.round_ties_even(),
        });
        match constant {
            Some(whole) if !self.generic => self.constant(whole, Ty::Int, span),
            _ => {
                let node = self.push(op, &[value.node], span);
                Value { constant, ..self.result(node, Ty::Int, value.traits, span) }
            }
        }
    }

    fn min_max(&mut self, op: Op, word: &str, args: &Args<'_>, span: Span) -> Value {
        let (a, b) = (self.number(args.positional[0]), self.number(args.positional[1]));
        if a.is_poison() || b.is_poison() {
            return self.poison();
        }
        let Some(ty) = self.common(&a, &b) else {
            return self.mismatch(word, span, (&a, args.positional[0].span), (&b, args.positional[1].span));
        };
        let constant = a.constant.zip(b.constant).map(|(a, b)| match op {
            Op::Min => a.min(b),
            _ => a.max(b),
        });
        if let Some(constant) = constant.filter(|_| !self.generic) {
            return self.constant(constant, ty, span);
        }
        let node = self.push(op, &[a.node, b.node], span);
        Value { node, ty, traits: a.traits.join(b.traits), constant, bare: false }
    }

    fn clamp(&mut self, args: &Args<'_>, span: Span) -> Value {
        let parts: Vec<Value> = args.positional.iter().map(|e| self.number(e)).collect();
        if parts.iter().any(Value::is_poison) {
            return self.poison();
        }
        let (x, lo, hi) = (&parts[0], &parts[1], &parts[2]);
        for (bound, at) in [(lo, 1), (hi, 2)] {
            if self.common(x, bound).is_none() {
                return self.mismatch("clamp", span, (x, args.positional[0].span), (bound, args.positional[at].span));
            }
        }
        let ty = self.common(x, lo).unwrap_or(x.ty.clone());
        let node = self.push(Op::Clamp, &[x.node, lo.node, hi.node], span);
        let traits = x.traits.join(lo.traits).join(hi.traits);
        Value { node, ty, traits, constant: None, bare: false }
    }

    fn present(&mut self, arg: &Expr, span: Span) -> Value {
        let value = self.expr(arg);
        if value.is_poison() {
            return value;
        }
        if value.traits.pulse {
            self.report(
                Diagnostic::new("E0213", arg.span, "a pulse is never absent")
                    .help("use the pulse in a `when` condition"),
            );
            return self.poison();
        }
        let node = self.push(Op::Present, &[value.node], span);
        Value { node, ty: Ty::Bool, traits: Traits { escapes: false, ..value.traits }, constant: None, bare: false }
    }

    fn changed(&mut self, arg: &Expr, span: Span) -> Value {
        let value = self.expr(arg);
        if value.is_poison() {
            return value;
        }
        if value.ty == Ty::Time || value.traits.pulse {
            let message = format!("expected a number or a bool for `changed`, found {}", self.show(&value.ty));
            self.report(Diagnostic::new("E0206", arg.span, message).help("compare numbers or conditions"));
            return self.poison();
        }
        let node = self.push(Op::Changed, &[value.node], span);
        let traits = Traits { pulse: true, escapes: false, ..value.traits };
        Value { node, ty: Ty::Bool, traits, constant: None, bare: false }
    }

    /// `value(x, qty, price)`: money of a quantity at a price.
    fn value_of(&mut self, args: &Args<'_>, span: Span) -> Value {
        let Some(x) = self.instrument_arg("value", "(x, qty, price)", args.positional[0]) else { return self.poison() };
        let (qty, price) = (self.number(args.positional[1]), self.number(args.positional[2]));
        let (qty_ty, price_ty) = (Ty::Num(self.qty_unit(x)), Ty::Num(self.price_unit(x)));
        let fits = self.expect_ty(&qty, &qty_ty, args.positional[1].span, "`value` takes")
            & self.expect_ty(&price, &price_ty, args.positional[2].span, "`value` takes");
        if !fits || qty.is_poison() || price.is_poison() {
            return self.poison();
        }
        let node = self.push(Op::Mul, &[qty.node, price.node], span);
        let ty = Ty::Num(super::declare::money_unit(&self.instruments[x as usize]));
        Value { node, ty, traits: qty.traits.join(price.traits), constant: None, bare: false }
    }

    pub(super) fn instrument_arg(&mut self, word: &str, form: &str, arg: &Expr) -> Option<u16> {
        if let ExprKind::Path(path) = &arg.kind
            && let [name] = path.as_slice()
            && let Some(Entity::Instrument(idx)) = self.lookup(&name.text)
        {
            return Some(idx);
        }
        let message = format!("expected an instrument for `{word}`, found `{}`", self.text(arg.span));
        self.report(Diagnostic::new("E0206", arg.span, message).help(format!("write `{word}{form}`")));
        None
    }

    fn book_function(&mut self, word: &str, form: &str, args: &Args<'_>, span: Span) -> Value {
        let Some(x) = self.instrument_arg(word, form, args.positional[0]) else { return self.poison() };
        match word {
            "microprice" => {
                let [bid_px, bid_qty, ask_px, ask_qty] = self.touch(x, span);
                // (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty): the side with less behind it is nearer.
                let bid_part = self.push(Op::Mul, &[bid_px, ask_qty], span);
                let ask_part = self.push(Op::Mul, &[ask_px, bid_qty], span);
                let over = self.push(Op::Add, &[bid_part, ask_part], span);
                let under = self.push(Op::Add, &[bid_qty, ask_qty], span);
                let node = self.push(Op::Div, &[over, under], span);
                self.plain(node, Ty::Num(self.price_unit(x)))
            }
            "ofi" => {
                let touch = self.touch(x, span);
                let clocks = self.base_clock(tercel_event::ClockSource::Book(x));
                let node = self.push_on(Op::Ofi, &touch, clocks, span);
                self.remember(node, span);
                self.plain(node, Ty::Num(self.qty_unit(x)))
            }
            _ => {
                let Some(levels) = args.named("levels") else {
                    let message = "`queue_imbalance` needs `levels:`";
                    self.report(Diagnostic::new("E0205", span, message).help("write `queue_imbalance(x, levels: 5)`"));
                    return self.poison();
                };
                let Some(levels) = self.constant_count(levels, MAX_LEVELS, "`levels`") else { return self.poison() };
                self.queue_imbalance(x, levels as u8, span)
            }
        }
    }

    /// (sum of bid quantities - sum of ask quantities) / (both), summed from the best level down.
    fn queue_imbalance(&mut self, x: u16, levels: u8, span: Span) -> Value {
        let mut side = |field: fn(u8) -> Field| {
            let mut total = self.level(x, field(0), span).node;
            for level in 1..levels {
                let qty = self.level(x, field(level), span).node;
                total = self.push(Op::Add, &[total, qty], span);
            }
            total
        };
        let (bids, asks) = (side(Field::BidQty), side(Field::AskQty));
        let over = self.push(Op::Sub, &[bids, asks], span);
        let under = self.push(Op::Add, &[bids, asks], span);
        let node = self.push(Op::Div, &[over, under], span);
        self.plain(node, Ty::Num(Unit::ratio()))
    }

    /// Best bid price and quantity, best ask price and quantity.
    fn touch(&mut self, x: u16, span: Span) -> [NodeId; 4] {
        [Field::BidPx(0), Field::BidQty(0), Field::AskPx(0), Field::AskQty(0)]
            .map(|field| self.level(x, field, span).node)
    }

    fn plain(&self, node: NodeId, ty: Ty) -> Value {
        Value { node, ty, traits: Traits::default(), constant: None, bare: false }
    }

    /// `sum(e, 250ms)`, with `panes:` and `min_fill: 0%`.
    fn window_sum(&mut self, args: &Args<'_>, span: Span) -> Value {
        let value = self.number(args.positional[0]);
        let Some(width) = self.constant_span(args.positional[1], "the width of the window") else {
            return self.poison();
        };
        let panes = match args.named("panes") {
            Some(expr) => self.constant_count(expr, tercel_graph::limits::PANES_MAX, "`panes`"),
            None => Some(DEFAULT_PANES),
        };
        let full = match args.named("min_fill") {
            None => true,
            Some(expr) => match self.constant_in(expr, &Ty::Num(Unit::ratio()), 1.0, "`min_fill`") {
                Some(0.0) => false,
                Some(1.0) => true,
                Some(_) => {
                    self.unsupported("`min_fill` other than 0% and 100%", expr.span);
                    return self.poison();
                }
                None => return self.poison(),
            },
        };
        let Some(panes) = panes else { return self.poison() };
        if value.is_poison() {
            return value;
        }
        if width % i64::from(panes) != 0 {
            let message = format!(
                "expected a width that {panes} panes divide evenly, found `{}`",
                self.text(args.positional[1].span)
            );
            self.report(
                Diagnostic::new("E0208", args.positional[1].span, message).help("choose another width, or `panes:`"),
            );
            return self.poison();
        }
        let Some(clocks) = self.one_clock(&value, args.positional[0].span, "`sum` adds up ticks") else {
            return self.poison();
        };
        let op = Op::WindowSum { panes, pane_ns: width / i64::from(panes), full };
        let node = self.push_on(op, &[value.node], clocks, span);
        self.remember(node, span);
        let traits = Traits { panes: true, escapes: false, ..value.traits };
        Value { node, ty: value.ty, traits, constant: None, bare: false }
    }

    /// A counting operator of one operand that keeps its unit.
    pub(super) fn counting(
        &mut self,
        arg: &Expr,
        what: &str,
        span: Span,
        op: impl FnOnce(&mut Self, tercel_graph::ClockSet) -> Option<Op>,
    ) -> Value {
        let value = self.number(arg);
        if value.is_poison() {
            return value;
        }
        let Some(clocks) = self.one_clock(&value, arg.span, what) else { return self.poison() };
        let Some(op) = op(self, clocks) else { return self.poison() };
        let node = self.push_on(op, &[value.node], clocks, span);
        self.remember(node, span);
        let ty = if value.ty == Ty::Int && op != Op::Delta { Ty::Num(Unit::ratio()) } else { value.ty };
        Value { node, ty, traits: Traits { escapes: false, ..value.traits }, constant: None, bare: false }
    }

    /// `ewmean`, `ewstd`, `ewvar_rate`: weights halve per half-life of time. Ready after one half-life of ticks of a
    /// periodic clock (at least 2), after 20 ticks of any other, unless `ready:` says otherwise.
    fn by_halflife(&mut self, word: &str, form: &str, args: &Args<'_>, span: Span) -> Value {
        let Some(halflife) = args.named("halflife") else {
            let message = format!("`{word}` needs `halflife:`");
            self.report(Diagnostic::new("E0205", span, message).help(format!("write `{word}{form}`")));
            return self.poison();
        };
        let Some(halflife_ns) = self.constant_span(halflife, "`halflife`") else { return self.poison() };
        let ready = match args.named("ready") {
            Some(expr) => match self.constant_count(expr, 1_000_000, "`ready`") {
                Some(ready) => Some(ready),
                None => return self.poison(),
            },
            None => None,
        };
        let value = self.counting(args.positional[0], &format!("`{word}` counts ticks"), span, |checker, clocks| {
            let period = checker
                .program
                .timers
                .iter()
                .enumerate()
                .find_map(|(idx, period)| (clocks == tercel_graph::ClockSet::timer(idx)).then_some(period.0));
            let per_halflife = period.map_or(20, |p| (halflife_ns / p).clamp(2, 1_000_000)) as u32;
            let ready = ready.unwrap_or(per_halflife);
            Some(match word {
                "ewmean" => Op::EwMean { halflife_ns, ready },
                "ewstd" => Op::EwStd { halflife_ns, ready },
                _ => Op::EwVarRate { halflife_ns, ready },
            })
        });
        match (&value.ty, word) {
            (Ty::Num(unit), "ewvar_rate") => {
                let ty = Ty::Num(unit.power(2, 1).per(&Unit::second()));
                Value { ty, ..value }
            }
            _ => value,
        }
    }

    fn hysteresis(&mut self, args: &Args<'_>, form: &str, span: Span) -> Value {
        let (Some(on), Some(off)) = (args.named("on_above"), args.named("off_below")) else {
            let message = "`hysteresis` needs `on_above:` and `off_below:`";
            self.report(Diagnostic::new("E0205", span, message).help(format!("write `hysteresis{form}`")));
            return self.poison();
        };
        let (x, a, b) = (self.number(args.positional[0]), self.number(on), self.number(off));
        if x.is_poison() || a.is_poison() || b.is_poison() {
            return self.poison();
        }
        for (bound, at) in [(&a, on.span), (&b, off.span)] {
            if self.common(&x, bound).is_none() {
                return self.mismatch("hysteresis", span, (&x, args.positional[0].span), (bound, at));
            }
        }
        let node = self.push(Op::Hysteresis, &[x.node, a.node, b.node], span);
        let traits = x.traits.join(a.traits).join(b.traits);
        Value { node, ty: Ty::Bool, traits, constant: None, bare: false }
    }
}
