//! Rules: what changes mode and state, and when.
use super::{Checker, Entity, Place, RuleFact, Traits};
use crate::ast::{self, Arg, ExprKind, Name};
use crate::diagnostic::{Diagnostic, nearest};
use crate::span::Span;
use tercel_event::ClockSource;
use tercel_graph::{Action, ClockSet, Event, NodeId, Rule, Trigger};

impl Checker<'_> {
    pub fn rule(&mut self, rule: &ast::Rule) {
        let (trigger, traits) = match &rule.trigger {
            ast::Trigger::When(condition) => {
                let value = self.condition(condition, "`when`");
                (Some(Trigger::When(value.node)), value.traits)
            }
            ast::Trigger::On { event, guard } => {
                let guard = guard.as_ref().map(|g| self.condition(g, "`if`"));
                let mut traits = guard.as_ref().map_or(Traits::default(), |g| g.traits);
                traits.pulse = true;
                let clocks = self.event(event);
                let guard = guard.map(|g| g.node);
                (clocks.map(|c| Trigger::On { event: Event::Clocks(c), guard }), traits)
            }
        };
        let mut actions = Vec::new();
        let mut goes_to = None;
        for action in &rule.actions {
            if let Some(action) = self.action(action) {
                if let (Action::Go { mode, .. }, None) = (&action, goes_to) {
                    goes_to = Some(*mode);
                }
                actions.push(action);
            }
        }
        let Some(trigger) = trigger else { return };
        let name = self.text(rule.span);
        self.program.rules.push(Rule { name, mode: self.frame.mode, trigger, actions });
        self.rules.push(RuleFact { mode: self.frame.mode, goes_to, traits, span: rule.span });
    }

    /// `every 1s`, `book(x)`, `signal(alpha)`.
    fn event(&mut self, event: &ast::Event) -> Option<ClockSet> {
        let (kind, of, span) = match event {
            ast::Event::Every(period) => {
                let ns = self.constant_span(period, "the period")?;
                return self.timer(ns, period.span);
            }
            ast::Event::Source { kind, of, span } => (kind, of, *span),
        };
        let word = match kind.as_slice() {
            [one] => one.text.as_str(),
            _ => "",
        };
        let subject = of.as_ref().and_then(|path| if let [one] = path.as_slice() { Some(one) } else { None });
        let source = match (word, subject) {
            ("book" | "trades" | "quality" | "exec", Some(name)) => {
                let x = self.instrument_named(name)?;
                Some(match word {
                    "book" => ClockSource::Book(x),
                    "trades" => ClockSource::Trades(x),
                    "quality" => ClockSource::Quality(x),
                    _ => ClockSource::Exec(x),
                })
            }
            ("signal", Some(name)) => match self.lookup(&name.text) {
                Some(Entity::Signal(idx)) => Some(ClockSource::Signal(idx)),
                _ => {
                    self.unknown_name(name);
                    return None;
                }
            },
            ("param", None) => Some(ClockSource::Param),
            _ => None,
        };
        match source {
            Some(source) => Some(self.base_clock(source)),
            None => {
                let known = ["every 1s", "book(x)", "trades(x)", "quality(x)", "exec(x)", "signal(s)", "param"];
                let message = format!("expected an event, found `{}`", self.text(span));
                self.report(Diagnostic::new("E0204", span, message).help(format!("events are {}", known.join(", "))));
                None
            }
        }
    }

    fn action(&mut self, action: &ast::Action) -> Option<Action> {
        match action {
            ast::Action::Go { mode, args, span } => self.go(mode, args, *span),
            ast::Action::Next { name, value, span } => self.next(name, value, *span),
            ast::Action::Halt { message, .. } => Some(Action::Halt { message: self.message(message) }),
            ast::Action::Finish { message, .. } => Some(Action::Finish { message: self.message(message) }),
            ast::Action::Note { span } => {
                self.unsupported("`note`", *span);
                None
            }
        }
    }

    /// Index of a text of the manifest.
    pub fn message(&mut self, text: &str) -> u16 {
        let messages = &mut self.manifest.messages;
        let idx = messages.iter().position(|m| m == text).unwrap_or_else(|| {
            messages.push(text.to_string());
            messages.len() - 1
        });
        idx as u16
    }

    fn go(&mut self, name: &Name, args: &[Arg], span: Span) -> Option<Action> {
        let Some(idx) = self.modes.iter().position(|m| m.name == name.text) else {
            // A mode that could not be read, or one whose head is misspelt, may be the one that is meant.
            if self.is_partial {
                return None;
            }
            let known: Vec<String> = self.modes.iter().map(|m| m.name.clone()).collect();
            let help = match nearest(&name.text, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("define it: `mode {} {{ … }}`", name.text),
                None => format!("modes are {}", known.join(", ")),
            };
            self.report(Diagnostic::new("E0401", name.span, format!("unknown mode `{}`", name.text)).help(help));
            return None;
        };
        let values = self.modes[idx].values.clone();
        let form = {
            let list: Vec<String> = values.iter().map(|(n, ty)| format!("{n}: {}", self.show(ty))).collect();
            if list.is_empty() { name.text.clone() } else { format!("{}({})", name.text, list.join(", ")) }
        };
        if args.len() != values.len() {
            let message = format!("mode `{form}` takes {} values, found {}", values.len(), args.len());
            let finding = Diagnostic::new("E0403", span, message)
                .related(self.modes[idx].span, "the mode")
                .help(format!("write `go {form}`"));
            self.report(finding);
            return None;
        }
        if let Some(named) = args.iter().find_map(|a| a.name.as_ref()) {
            self.report(
                Diagnostic::new("E0403", named.span, "values of a mode are given by place")
                    .help("delete the name and the colon"),
            );
        }
        let before = std::mem::replace(&mut self.frame.place, Place::Timed);
        let mut nodes: Vec<NodeId> = Vec::new();
        for (arg, (value_name, ty)) in args.iter().zip(&values) {
            let value = self.expr(&arg.value);
            if value.traits.pulse {
                self.report(
                    Diagnostic::new("E0213", arg.value.span, "a pulse cannot be frozen").help("freeze a level instead"),
                );
            }
            self.expect_ty(&value, ty, arg.value.span, &format!("`{value_name}` of mode `{}` is", name.text));
            nodes.push(value.node);
        }
        self.frame.place = before;
        Some(Action::Go { mode: idx as u16, args: nodes })
    }

    pub(super) fn next(&mut self, name: &Name, value: &ast::Expr, span: Span) -> Option<Action> {
        let state = match self.lookup(&name.text) {
            Some(Entity::State(state)) => state,
            Some(_) => {
                let message = format!("expected a `state`, found `{}`", name.text);
                let help = format!("declare `state {}: UNIT = VALUE`, or name a new value with `let`", name.text);
                self.report(Diagnostic::new("E0206", span, message).help(help));
                return None;
            }
            None => {
                self.unknown_name(name);
                return None;
            }
        };
        if let ExprKind::Path(path) = &value.kind
            && path.len() == 1
            && path[0].text == "none"
        {
            return Some(Action::Clear { state });
        }
        let before = std::mem::replace(&mut self.frame.place, Place::Timed);
        let result = self.expr(value);
        self.frame.place = before;
        let ty = self.state_tys[state as usize].0.clone();
        self.expect_ty(&result, &ty, value.span, &format!("`{}` is", name.text));
        if result.traits.pulse {
            self.report(
                Diagnostic::new("E0213", value.span, "a pulse cannot be kept in a state").help("keep a level instead"),
            );
        }
        Some(Action::Next { state, value: result.node })
    }
}
