//! Declarations: instruments, parameters, signals, state and the heads of modes. They may stand anywhere in the strategy.
use super::{Checker, Entity, InstrumentInfo, ModeInfo, Ty};
use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::unit::Unit;
use tercel_event::{InstrumentBinding, ParamSpec, SignalBinding};
use tercel_graph::program::{Init, StateVar};
use tercel_types::DurationNs;

const MAX_INSTRUMENTS: usize = 16;

impl Checker<'_> {
    pub(super) fn declarations(&mut self, strategy: &ast::Strategy) {
        // Instruments first: units are made of them.
        for member in &strategy.members {
            if let ast::Member::Instrument(item) = member {
                self.instrument(item);
            }
        }
        for member in &strategy.members {
            match member {
                ast::Member::Param(item) => self.param(item),
                ast::Member::Signal(item) => self.signal(item),
                ast::Member::State(item) => self.state(item),
                ast::Member::Mode(mode) => self.mode_head(mode),
                ast::Member::Let(item) => {
                    self.frame.later.insert(item.name.text.clone(), item.name.span);
                }
                ast::Member::Unsupported(item) => self.refused(item),
                _ => {}
            }
        }
        self.initial_mode();
        if self.instruments.is_empty() && !self.broken_declarations {
            self.report(
                Diagnostic::new("E0303", strategy.name.span, "expected an instrument, the strategy has none")
                    .help("add `instrument x: perp(BTC/USDT)`"),
            );
        }
    }

    fn instrument(&mut self, item: &ast::Instrument) {
        if !matches!(item.kind.text.as_str(), "perp" | "spot") {
            self.unsupported(
                &format!("instruments of kind `{}`; `perp` and `spot` run", item.kind.text),
                item.kind.span,
            );
            self.poison_name(&item.name);
            return;
        }
        if let Some(extra) = item.extra {
            self.unsupported("arguments of an instrument besides BASE/QUOTE", extra);
            self.poison_name(&item.name);
            return;
        }
        let Some(quote) = &item.quote else {
            let message = format!("expected BASE/QUOTE, found `{}`", item.base.text);
            let help = format!("write `{}({}/USDT)`", item.kind.text, item.base.text);
            self.report(Diagnostic::new("E0206", item.base.span, message).help(help));
            self.poison_name(&item.name);
            return;
        };
        if self.instruments.len() == MAX_INSTRUMENTS {
            let message = format!("more than {MAX_INSTRUMENTS} instruments");
            self.report(Diagnostic::new("E0501", item.span, message).help("split the strategy"));
            return;
        }
        let idx = self.instruments.len() as u16;
        self.instruments.push(InstrumentInfo {
            alias: item.name.text.clone(),
            base: item.base.text.clone(),
            quote: quote.text.clone(),
        });
        self.names.instruments.push((item.name.text.clone(), item.base.text.clone(), quote.text.clone()));
        self.manifest.instruments.push(InstrumentBinding {
            alias: item.name.text.clone(),
            kind: item.kind.text.clone(),
            base: item.base.text.clone(),
            quote: quote.text.clone(),
        });
        self.define(&item.name, Entity::Instrument(idx));
    }

    fn param(&mut self, item: &ast::Param) {
        let Some((ty, scale)) = self.ty(&item.ty) else {
            self.poison_name(&item.name);
            return;
        };
        if matches!(ty, Ty::Bool | Ty::Time) {
            self.unsupported("parameters of type `bool` or `time`", item.ty.span);
            self.poison_name(&item.name);
            return;
        }
        if let Some(word) = &item.scale
            && !matches!(word.text.as_str(), "log" | "linear")
        {
            let message = format!("expected `log` or `linear`, found `{}`", word.text);
            self.report(Diagnostic::new("E0205", word.span, message).help("write `scale log`"));
        }
        let default = self.constant_in(&item.default, &ty, scale, "the default");
        let range = item.range.as_ref().map(|(lo, hi)| {
            let lo = self.constant_in(lo, &ty, scale, "the lower end");
            (lo, self.constant_in(hi, &ty, scale, "the upper end"))
        });
        let unit = if scale == 1e-4 { "bps".into() } else { self.text(item.ty.span) };
        if let (Some(default), Some((Some(lo), Some(hi)))) = (default, range) {
            let (written, span) = (self.text(item.default.span), item.default.span);
            if lo > hi {
                let range_span = item.range.as_ref().map_or(span, |(l, h)| l.span.to(h.span));
                let message = format!("expected LOW .. HIGH, found `{}`", self.text(range_span));
                self.report(Diagnostic::new("E0209", range_span, message).help("swap the two ends"));
            } else if default < lo || default > hi {
                let range_span = item.range.as_ref().map_or(span, |(l, h)| l.span.to(h.span));
                let message = format!("expected a default within {}, found `{written}`", self.text(range_span));
                let nearer = if default < lo { "low" } else { "high" };
                self.report(
                    Diagnostic::new("E0209", span, message)
                        .label(format!("too {nearer}"))
                        .help("choose a default inside the range, or widen the range"),
                );
            }
        }
        let value = default.unwrap_or(0.0);
        let (lo, hi) = match range {
            Some((Some(lo), Some(hi))) => (lo, hi),
            _ => (value, value),
        };
        let idx = self.manifest.params.len() as u16;
        self.manifest.params.push(ParamSpec { name: item.name.text.clone(), unit, default: value, lo, hi });
        self.param_tys.push(ty);
        self.define(&item.name, Entity::Param(idx));
        self.unused_candidates.push(("param", item.name.clone()));
    }

    fn signal(&mut self, item: &ast::Signal) {
        let Some((ty, scale)) = self.ty(&item.ty) else {
            self.poison_name(&item.name);
            return;
        };
        if matches!(ty, Ty::Bool | Ty::Time | Ty::Int) {
            self.unsupported("signals of type `bool`, `int` or `time`", item.ty.span);
            self.poison_name(&item.name);
            return;
        }
        let max_age = self.constant_span(&item.max_age, "`max_age`");
        let schema = match item.schema {
            None => 0,
            Some((value, span)) => u32::try_from(value).unwrap_or_else(|_| {
                self.report(Diagnostic::new("E0208", span, "expected a schema below 2^32").help("write `schema 1`"));
                0
            }),
        };
        let idx = self.manifest.signals.len() as u16;
        self.manifest.signals.push(SignalBinding {
            name: item.name.text.clone(),
            model: item.model.text.clone(),
            schema,
            max_age: DurationNs(max_age.unwrap_or(0)),
        });
        self.signal_tys.push((ty, scale));
        self.define(&item.name, Entity::Signal(idx));
    }

    pub(super) fn state(&mut self, item: &ast::State) {
        let Some((ty, scale)) = self.ty(&item.ty) else {
            self.poison_name(&item.name);
            return;
        };
        let init = match (&ty, &item.value.kind) {
            (_, ast::ExprKind::Path(path)) if path.len() == 1 && path[0].text == "none" => Some(Init::Absent),
            (Ty::Bool, ast::ExprKind::Path(path)) if path.len() == 1 && path[0].text == "true" => {
                Some(Init::Bool(true))
            }
            (Ty::Bool, ast::ExprKind::Path(path)) if path.len() == 1 && path[0].text == "false" => {
                Some(Init::Bool(false))
            }
            (Ty::Bool | Ty::Time, _) => {
                let wanted = if ty == Ty::Bool { "`true`, `false` or `none`" } else { "`none`" };
                let message = format!("expected {wanted}, found `{}`", self.text(item.value.span));
                self.report(Diagnostic::new("E0206", item.value.span, message).help(format!("write {wanted}")));
                None
            }
            _ => self.constant_in(&item.value, &ty, scale, "the first value").map(Init::F64),
        };
        let idx = self.program.states.len() as u16;
        self.program.states.push(StateVar {
            name: match self.frame.function {
                None => item.name.text.clone(),
                // One per copy of the body.
                Some(function) => {
                    format!("{}.{}#{idx}", self.library.functions[function].tree.name.text, item.name.text)
                }
            },
            ty: graph_ty(&ty),
            init: init.unwrap_or(Init::Absent),
            persist: item.persist,
        });
        self.state_tys.push((ty, item.persist));
        self.define(&item.name, Entity::State(idx));
    }

    fn mode_head(&mut self, mode: &ast::Mode) {
        if let Some(first) = self.modes.iter().find(|m| m.name == mode.name.text) {
            let finding =
                Diagnostic::new("E0202", mode.name.span, format!("mode `{}` is already defined", mode.name.text))
                    .related(first.span, "first definition")
                    .help("give one of them another name");
            self.report(finding);
            return;
        }
        let mut values = Vec::new();
        for formal in &mode.values {
            if let Some(default) = &formal.default {
                self.unsupported("a default of a mode value", default.span);
            }
            let ty = self.ty(&formal.ty).map_or(Ty::Poison, |(ty, _)| ty);
            values.push((formal.name.text.clone(), ty));
        }
        self.program.modes.push(tercel_graph::Mode {
            name: mode.name.text.clone(),
            values: values.iter().map(|(_, ty)| graph_ty(ty)).collect(),
        });
        if mode.initial && !mode.values.is_empty() {
            self.report(
                Diagnostic::new(
                    "E0402",
                    mode.name.span,
                    format!("the initial mode `{}` cannot have values", mode.name.text),
                )
                .label("nothing enters it with `go` at the start")
                .help("move the values to another mode, or make another mode initial"),
            );
        }
        self.modes.push(ModeInfo { name: mode.name.text.clone(), span: mode.name.span, values, initial: mode.initial });
    }

    fn initial_mode(&mut self) {
        let initial: Vec<usize> = (0..self.modes.len()).filter(|&i| self.modes[i].initial).collect();
        match initial.as_slice() {
            [] if self.modes.is_empty() || self.is_partial => {}
            [one] => self.program.initial_mode = *one as u16,
            [] => {
                let first = &self.modes[0];
                let finding = Diagnostic::new("E0402", first.span, "expected one mode with `initial`, found none")
                    .help(format!("write `mode {} initial {{`", first.name));
                self.report(finding);
            }
            [first, second, ..] => {
                let (first, second) = (&self.modes[*first], &self.modes[*second]);
                let finding = Diagnostic::new("E0402", second.span, "expected one mode with `initial`, found two")
                    .related(first.span, "the first one")
                    .help("delete one `initial`");
                self.report(finding);
            }
        }
    }

    /// Budgets: operations allowed per entry point, compared with the count of the graph.
    pub fn budget(&mut self, item: &ast::Budget, counts: &[(String, u64)]) {
        let entry: Vec<&str> = item.entry.iter().map(|n| n.text.as_str()).collect();
        let entry = entry.join(".");
        let allowed: f64 = item.operations.parse().unwrap_or(0.0);
        let word = |name: &str| name.split(['(', ' ']).next().unwrap_or("").to_string();
        let matching: Vec<&(String, u64)> =
            counts.iter().filter(|(name, _)| entry == "event" || word(name) == entry).collect();
        let Some((name, count)) = matching.iter().max_by_key(|(_, count)| *count) else {
            let known: Vec<String> = counts.iter().map(|(name, _)| word(name)).collect();
            let message = format!("`{entry}` is no entry point of this strategy");
            let help = format!("entry points are event, {}", known.join(", "));
            self.report(Diagnostic::new("E0502", item.span, message).help(help));
            return;
        };
        if *count as f64 > allowed {
            let message = format!("expected at most {} operations per {name}, found {count}", item.operations);
            self.report(
                Diagnostic::new("E0502", item.span, message)
                    .label("over budget")
                    .help(format!("raise the budget to {count}, or name shared parts once with `let`")),
            );
        }
    }
}

pub(super) fn graph_ty(ty: &Ty) -> tercel_graph::Ty {
    match ty {
        Ty::Bool => tercel_graph::Ty::Bool,
        Ty::Time => tercel_graph::Ty::Time,
        _ => tercel_graph::Ty::F64,
    }
}

/// The unit of money that an instrument settles in.
pub(super) fn money_unit(info: &InstrumentInfo) -> Unit {
    Unit::currency(&info.quote)
}
