//! Effects: `quote` and `target`, the only two. Each writes its part of the desired state into slots of its own.
use super::{Checker, Place, SinkFact, Ty, Value};
use crate::ast::{self, ExprKind, Quote, Target};
use crate::diagnostic::{Diagnostic, nearest};
use crate::unit::Unit;
use tercel_event::{Field, LegSpec, QuoteWith, SinkSpec, Via};
use tercel_graph::{NodeId, Op, Sink};
use tercel_types::Side;

/// Orders that one quote may keep in the market.
const MAX_LEGS: usize = 16;
const MAX_TRIES: u32 = 1_000;

impl Checker<'_> {
    pub fn sink(&mut self, item: &ast::Sink) {
        match item {
            ast::Sink::Rule(rule) => self.rule(rule),
            ast::Sink::Quote(quote) => self.quote(quote),
            ast::Sink::Target(target) => self.target(target),
        }
    }

    pub fn slot(&mut self) -> usize {
        self.manifest.values_len += 1;
        self.manifest.values_len - 1
    }

    fn guard(&mut self, guard: Option<&ast::Expr>) -> Option<NodeId> {
        let expr = guard?;
        let value = self.condition(expr, "`while`");
        if value.traits.pulse {
            self.report(
                Diagnostic::new("E0213", expr.span, "a pulse would hold the order for one instant only")
                    .label("a pulse is true at its own instant only")
                    .help("go to a mode on the pulse, and put the order into that mode"),
            );
        }
        self.no_plain_state(&value, expr.span);
        Some(value.node)
    }

    /// E0415: what an order depends on must survive a restart.
    fn no_plain_state(&mut self, value: &Value, span: crate::span::Span) {
        if value.traits.plain_state {
            self.report(
                Diagnostic::new("E0415", span, "an order depends on a `state` that a restart forgets")
                    .label("reads a plain `state`")
                    .help("write `persist state …`, or freeze the value in a mode: `go m(value)`"),
            );
        }
    }

    /// An expression of a sink in the unit that its slot needs.
    fn sink_value(&mut self, expr: &ast::Expr, wanted: &Ty, lead: &str) -> Value {
        let before = std::mem::replace(&mut self.frame.place, Place::Plain);
        let value = self.expr(expr);
        self.frame.place = before;
        self.expect_ty(&value, wanted, expr.span, lead);
        self.no_plain_state(&value, expr.span);
        value
    }

    fn quote(&mut self, quote: &Quote) {
        let Some(x) = self.instrument_named(&quote.instrument) else { return };
        let guard = self.guard(quote.guard.as_ref());
        if quote.legs.is_empty() || quote.legs.len() > MAX_LEGS {
            let message = format!("expected 1 to {MAX_LEGS} legs, found {}", quote.legs.len());
            self.report(
                Diagnostic::new("E0303", quote.span, message).help("write `bid QTY at PRICE` or `ask QTY at PRICE`"),
            );
        }
        let (price, qty) = (Ty::Num(self.price_unit(x)), Ty::Num(self.qty_unit(x)));
        let first_slot = self.manifest.values_len;
        let (mut legs, mut outputs) = (Vec::new(), Vec::new());
        for leg in &quote.legs {
            if let Some(family) = leg.family {
                self.unsupported("legs with `for … in`", family);
            }
            let word = if leg.is_bid { "bid" } else { "ask" };
            let px = self.sink_value(&leg.px, &price, &format!("a price of `{word}` is"));
            if px.traits.public_touch & (1 << x.min(63)) != 0 {
                let alias = &quote.instrument.text;
                let finding = Diagnostic::new(
                    "W0511",
                    leg.px.span,
                    format!("the price follows the public touch, our own {word} included"),
                )
                .label("alone at the top it would quote against itself")
                .help(format!("use `{alias}.others.best_bid` and `{alias}.others.best_ask`"));
                self.report(finding);
            }
            let mut size = self.sink_value(&leg.qty, &qty, &format!("a quantity of `{word}` is"));
            if let Some(node) = self.guard(leg.guard.as_ref()) {
                let absent = self.push(Op::Absent(tercel_graph::Ty::F64), &[], leg.span);
                let is_usable = self.program.ty(node) == tercel_graph::Ty::Bool && !size.is_poison();
                if is_usable {
                    size.node = self.push(Op::If, &[node, size.node, absent], leg.span);
                }
            }
            legs.push(LegSpec { side: if leg.is_bid { Side::Buy } else { Side::Sell } });
            let (px_slot, qty_slot) = (self.slot(), self.slot());
            outputs.push((px_slot, px.node));
            outputs.push((qty_slot, size.node));
        }
        let with = self.quote_with(x, &quote.with, &mut outputs);
        let spec = SinkSpec::Quote { instrument: x, legs, first_slot, with };
        self.add_sink(spec, guard, outputs, quote.guard.is_some(), quote.span);
    }

    fn quote_with(&mut self, x: u16, items: &[ast::WithItem], outputs: &mut Vec<(usize, NodeId)>) -> QuoteWith {
        let mut with = QuoteWith::default();
        for item in items {
            match (item.name.text.as_str(), item.args.as_slice()) {
                ("post_only", []) => with.post_only = true,
                ("keep", [arg]) => {
                    let value = match ticks(&arg.value) {
                        Some(_) => self.ticks_value(x, &arg.value),
                        None => {
                            let price = Ty::Num(self.price_unit(x));
                            self.sink_value(&arg.value, &price, "`keep` is")
                        }
                    };
                    let slot = self.slot();
                    with.keep_slot = Some(slot);
                    outputs.push((slot, value.node));
                }
                ("keep_qty", [arg]) => {
                    let qty = Ty::Num(self.qty_unit(x));
                    let value = self.sink_value(&arg.value, &qty, "`keep_qty` is");
                    let slot = self.slot();
                    with.keep_qty_slot = Some(slot);
                    outputs.push((slot, value.node));
                }
                ("amend" | "max_age", _) => self.unsupported(&format!("`with {}`", item.name.text), item.span),
                (word, args) => {
                    let help = match nearest(word, ["post_only", "keep", "keep_qty"]) {
                        Some(near) if near != word => format!("did you mean `{near}`?"),
                        _ => "write `with post_only, keep(1 tick), keep_qty(QTY)`".into(),
                    };
                    let message = if matches!(word, "keep" | "keep_qty" | "post_only") {
                        format!("wrong number of arguments for `{word}`: {}", args.len())
                    } else {
                        format!("unknown option `{word}` of a quote")
                    };
                    self.report(Diagnostic::new("E0205", item.span, message).help(help));
                }
            }
        }
        with
    }

    /// `keep(1 tick)`: the count times the instrument's step.
    fn ticks_value(&mut self, x: u16, expr: &ast::Expr) -> Value {
        let count = ticks(expr).unwrap_or(0.0);
        let count = self.constant(count, Ty::Num(Unit::ratio()), expr.span);
        let tick = self.field_node(x, Field::Tick, tercel_graph::ClockSet::NONE, expr.span);
        let node = self.push(Op::Mul, &[count.node, tick], expr.span);
        Value { node, ty: Ty::Num(self.price_unit(x)), ..count }
    }

    fn target(&mut self, target: &Target) {
        let Some(x) = self.instrument_named(&target.instrument) else { return };
        let guard = self.guard(target.guard.as_ref());
        let (price, qty) = (Ty::Num(self.price_unit(x)), Ty::Num(self.qty_unit(x)));
        let value = self.sink_value(&target.value, &qty, &format!("a target of `{}` is", target.instrument.text));
        let slot = self.slot();
        let mut outputs = vec![(slot, value.node)];
        if let Some(item) = target.with.first() {
            self.unsupported(&format!("`with {}` of a target", item.name.text), item.span);
        }
        let words: Vec<&str> = target.via.iter().map(|n| n.text.as_str()).collect();
        let at = target.via.first().map_or(target.span, |n| n.span);
        let named = |name: &str| {
            target.via_args.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text == name)).map(|a| &a.value)
        };
        let known: &[&str] = if words == ["ioc"] { &["limit", "tries"] } else { &["max_slip"] };
        for arg in &target.via_args {
            let name = arg.name.as_ref().map_or("", |n| n.text.as_str());
            if !known.contains(&name) && matches!(words.as_slice(), ["ioc"] | ["aggressive"]) {
                let span = arg.name.as_ref().map_or(arg.value.span, |n| n.span);
                let message = format!("`{}` takes {}, found `{}`", words[0], known.join(" and "), self.text(span));
                self.report(Diagnostic::new("E0205", span, message).help(format!("write `{}: …`", known[0])));
            }
        }
        let via = match words.as_slice() {
            ["aggressive"] => match named("max_slip") {
                Some(expr) => {
                    let slip = self.sink_value(expr, &Ty::Num(Unit::ratio()), "`max_slip` is");
                    let max_slip_slot = self.slot();
                    outputs.push((max_slip_slot, slip.node));
                    Some(Via::Aggressive { max_slip_slot })
                }
                None => {
                    self.report(
                        Diagnostic::new("E0205", at, "`aggressive` needs `max_slip:`")
                            .label("without a bound it would pay any price")
                            .help("write `via aggressive(max_slip: 3 bps)`"),
                    );
                    None
                }
            },
            ["ioc"] => match (named("limit"), named("tries")) {
                (Some(limit), Some(tries)) => {
                    let limit = self.sink_value(limit, &price, "`limit` is");
                    let limit_slot = self.slot();
                    outputs.push((limit_slot, limit.node));
                    self.constant_count(tries, MAX_TRIES, "`tries`").map(|tries| Via::Ioc { limit_slot, tries })
                }
                _ => {
                    let message = "`ioc` needs `limit:` and `tries:`";
                    self.report(Diagnostic::new("E0205", at, message).help("write `via ioc(limit: PRICE, tries: 1)`"));
                    None
                }
            },
            ["passive" | "auction" | "route"] => {
                self.unsupported(&format!("`via {}`; `aggressive` and `ioc` run", words[0]), at);
                None
            }
            _ => {
                let found = words.join(".");
                let help = match nearest(&found, ["aggressive", "ioc"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write `via aggressive(max_slip: 3 bps)`".into(),
                };
                self.report(
                    Diagnostic::new("E0204", at, format!("unknown way to reach a target: `{found}`")).help(help),
                );
                None
            }
        };
        if let Some(via) = via {
            let spec = SinkSpec::Target { instrument: x, slot, via };
            self.add_sink(spec, guard, outputs, target.guard.is_some(), target.span);
        }
    }

    fn add_sink(
        &mut self,
        spec: SinkSpec,
        guard: Option<NodeId>,
        outputs: Vec<(usize, NodeId)>,
        guarded: bool,
        span: crate::span::Span,
    ) {
        let instrument = spec.instrument();
        self.manifest.sinks.push(spec);
        self.program.sinks.push(Sink { mode: self.frame.mode, guard, outputs });
        self.sinks.push(SinkFact { mode: self.frame.mode, instrument, guarded, span });
    }
}

/// The count of `3 ticks`.
fn ticks(expr: &ast::Expr) -> Option<f64> {
    match &expr.kind {
        ExprKind::Quantity { digits, unit: Some(unit) } if matches!(unit.text.as_str(), "tick" | "ticks") => {
            digits.parse().ok()
        }
        _ => None,
    }
}
