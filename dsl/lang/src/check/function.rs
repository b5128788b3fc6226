//! Calls of `fn` and `indicator`: the body is copied into the graph at every call, with the units, clocks and literals of
//! that call, so every call remembers for itself. Where it is defined a body is checked once with arguments that stand for
//! any, so that its mistakes are told there.
use super::{Checker, Entity, Frame, InstrumentInfo, Memory, Place, Record, Traits, Ty, Value};
use crate::ast::{self, Action, Arg, BodyItem, ExprKind, Name};
use crate::diagnostic::{Diagnostic, Severity, nearest};
use crate::library::{Function, Library};
use crate::span::Span;
use crate::unit::Unit;
use std::collections::BTreeMap;
use std::rc::Rc;
use tercel_event::ClockSource;
use tercel_graph::{Action as Step, ClockSet, Event, NodeId, Op, Rule, Trigger};

/// Copies of bodies in one strategy; equal calls are one.
const CALLS_MAX: usize = 4_096;
/// Calls inside calls.
const DEPTH_MAX: usize = 32;

/// An argument as the caller gives it.
#[derive(Clone)]
enum Given {
    Value(Value, Span),
    Instrument(u16),
}

/// Checks every function of one's own where it is defined, callees first. A function with errors is marked broken, so that
/// its calls stay silent.
pub(crate) fn definitions(library: &mut Library) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for idx in library.callees_first() {
        let module = library.functions[idx].module;
        if library.functions[idx].broken || library.modules[module].is_standard {
            continue;
        }
        let found = definition(library, idx);
        library.functions[idx].broken = found.iter().any(|d| d.severity() == Severity::Error);
        let file = library.modules[module].file.clone();
        findings.extend(found.into_iter().map(|d| if module == 0 { d } else { d.in_file(&file) }));
    }
    findings
}

/// What is wrong with one function, whatever it is called with.
pub(crate) fn definition(library: &Library, idx: usize) -> Vec<Diagnostic> {
    let function = &library.functions[idx];
    let mut checker = Checker::new(library, function.module);
    checker.generic = true;
    checker.frame = Frame::new(function.module, Some(idx));
    for (at, formal) in function.tree.formals.iter().enumerate() {
        checker.any_argument(at, formal);
    }
    checker.body(&function.tree);
    checker.findings
}

impl<'a> Checker<'a> {
    /// Whether the body of a `fn` is being read, which may not remember.
    pub fn in_fn(&self) -> bool {
        self.frame.function.is_some_and(|idx| !self.library.functions[idx].tree.is_indicator)
    }

    /// A call of a function of one's own or of the library, in the caller's frame.
    pub fn inline(&mut self, idx: usize, args: &[Arg], span: Span) -> Value {
        let library = self.library;
        let function = &library.functions[idx];
        let name = &function.tree.name.text;
        if function.broken {
            return self.poison();
        }
        if self.in_fn() && function.tree.is_indicator {
            let message = format!("a `fn` has no memory, and `{name}` is an indicator");
            let finding = Diagnostic::new("E0216", span, message).label("remembers");
            self.report(finding.help("write `indicator` instead of `fn`"));
            return self.poison();
        }
        let Some(given) = self.given(function, args, span) else { return self.poison() };
        let Some(unit_variables) = self.unit_variables(function, &given) else { return self.poison() };
        let mut frame = Frame::new(function.module, Some(idx));
        frame.unit_variables = unit_variables;
        for (formal, given) in function.tree.formals.iter().zip(&given) {
            if let Some(Given::Instrument(x)) = given {
                frame.scopes[0].insert(formal.name.text.clone(), (Entity::Instrument(*x), formal.name.span));
            }
        }
        let before = self.findings.len();
        let (tys, frame) = self.within(frame, |c| c.formal_tys(function));
        self.attribute(before, function, span);
        for ((formal, ty), given) in function.tree.formals.iter().zip(&tys).zip(&given) {
            if let Some(Given::Value(value, at)) = given {
                self.expect_ty(value, ty, *at, &format!("`{}` of `{name}` is", formal.name.text));
            }
        }
        if self.findings[before..].iter().any(|d| d.severity() == Severity::Error) {
            return self.poison();
        }
        let key = call_key(idx, &given);
        if let Some(known) = self.calls_known.get(&key) {
            return known.clone();
        }
        if let Some(finding) = self.too_much(name, span) {
            self.report(finding);
            return self.poison();
        }
        let value = self.copy(function, frame, &tys, &given, span);
        if !value.is_poison() {
            self.calls_known.insert(key, value.clone());
        }
        value
    }

    fn too_much(&mut self, name: &str, span: Span) -> Option<Diagnostic> {
        self.calls_count += 1;
        let (what, help) = if self.calls_depth >= DEPTH_MAX {
            (format!("calls nest deeper than {DEPTH_MAX}"), "call fewer functions inside functions")
        } else if self.calls_count > CALLS_MAX {
            (format!("more than {CALLS_MAX} calls of functions"), "name shared results once with `let`")
        } else if self.program.nodes.len() > tercel_graph::limits::NODES_MAX {
            let most = tercel_graph::limits::NODES_MAX;
            let message = format!("the copy of `{name}` makes more than {most} nodes");
            return Some(Diagnostic::new("E0501", span, message).help("make the strategy smaller"));
        } else {
            return None;
        };
        Some(Diagnostic::new("E0217", span, what).label("not followed any further").help(help))
    }

    /// The body, copied for this call.
    fn copy(&mut self, function: &'a Function, frame: Frame, tys: &[Ty], given: &[Option<Given>], span: Span) -> Value {
        let (before, remembered) = (self.findings.len(), self.stateful.len());
        let is_outermost = self.call_site.is_none();
        self.call_site.get_or_insert(span);
        self.calls_depth += 1;
        let (value, _) = self.within(frame, |c| {
            for ((formal, ty), given) in function.tree.formals.iter().zip(tys).zip(given) {
                c.argument(formal, ty, given.as_ref());
            }
            c.body(&function.tree)
        });
        self.calls_depth -= 1;
        self.attribute(before, function, span);
        if is_outermost {
            self.call_site = None;
            if self.stateful.len() > remembered {
                self.stateful.truncate(remembered);
                let operands = given.iter().flatten().filter_map(|g| match g {
                    Given::Value(value, _) => Some(value),
                    Given::Instrument(_) => None,
                });
                let operands = operands.map(|v| v.node).collect();
                self.stateful.push(Memory { nodes: nodes_of(&value), operands, span });
            }
        }
        if self.findings[before..].iter().any(|d| d.severity() == Severity::Error) { self.poison() } else { value }
    }

    fn within<T>(&mut self, frame: Frame, run: impl FnOnce(&mut Self) -> T) -> (T, Frame) {
        let caller = std::mem::replace(&mut self.frame, frame);
        let result = run(self);
        (result, std::mem::replace(&mut self.frame, caller))
    }

    /// What a body finds wrong about the arguments of one call is told at the call: the definition itself is right.
    fn attribute(&mut self, before: usize, function: &Function, span: Span) {
        let found = self.findings.split_off(before);
        let Some(first) = found.into_iter().find(|d| d.severity() == Severity::Error) else { return };
        let name = &function.tree.name.text;
        let mut finding = Diagnostic::new(first.code, span, format!("in `{name}`: {}", first.message))
            .label("because of this call")
            .help(first.help);
        if function.module == self.frame.module && first.related.is_empty() {
            finding = finding.related(first.span, first.label);
        }
        self.report(finding);
    }

    /// The arguments in the order of the formals; `None`: take the default. Says what is wrong with their number or names.
    fn given(&mut self, function: &Function, args: &[Arg], span: Span) -> Option<Vec<Option<Given>>> {
        let (name, formals) = (&function.tree.name.text, &function.tree.formals);
        let form = self.signature(function);
        let wrong =
            |at: Span, message: String| Some(Diagnostic::new("E0205", at, message).help(format!("write `{form}`")));
        let mut given: Vec<Option<Given>> = vec![None; formals.len()];
        let mut finding = None;
        let mut next = 0;
        let mut poisoned = false;
        for arg in args {
            let at = match &arg.name {
                Some(word) => match formals.iter().position(|f| f.name.text == word.text) {
                    Some(at) if given[at].is_none() => at,
                    Some(_) => {
                        finding = wrong(word.span, format!("argument `{}` of `{name}` is given twice", word.text));
                        break;
                    }
                    None => {
                        finding = wrong(word.span, format!("`{name}` has no argument `{}`", word.text));
                        break;
                    }
                },
                None => next,
            };
            let Some(formal) = formals.get(at) else {
                let plural = if formals.len() == 1 { "" } else { "s" };
                finding =
                    wrong(arg.value.span, format!("`{name}` takes {} argument{plural}, found more", formals.len()));
                break;
            };
            if is_market(&formal.ty) {
                given[at] = self.instrument_arg(name, &form, &arg.value).map(Given::Instrument);
                poisoned |= given[at].is_none();
                next = at + 1;
                continue;
            }
            if is_word(&formal.ty) {
                given[at] = self.word_given(function, formal, &arg.value);
                poisoned |= given[at].is_none();
                next = at + 1;
                continue;
            }
            let value = self.whole(&arg.value);
            poisoned |= value.is_poison();
            if let Ty::Record(record) = &value.ty {
                // Bars and other records fill the arguments that are named like their fields.
                let from = at;
                next = at;
                while let Some(formal) = formals.get(next)
                    && let Some((_, field)) = record.fields.iter().find(|(n, _)| *n == formal.name.text)
                {
                    given[next] = Some(Given::Value(field.clone(), arg.value.span));
                    next += 1;
                }
                if next == from {
                    let message =
                        format!("`{}` of `{name}` is one value, found {}", formal.name.text, self.show(&value.ty));
                    finding = wrong(arg.value.span, message);
                    break;
                }
                continue;
            }
            given[at] = Some(Given::Value(value, arg.value.span));
            next = at + 1;
        }
        if finding.is_none() {
            let missing = formals.iter().zip(&given).find(|(f, g)| g.is_none() && f.default.is_none());
            if let Some((formal, _)) = missing.filter(|_| !poisoned) {
                finding = wrong(span, format!("`{name}` needs `{}`", formal.name.text));
            }
        }
        if let Some(finding) = finding {
            self.report(finding);
            return None;
        }
        (!poisoned).then_some(given)
    }

    /// `kind: ema`: one of the words that the body asks for.
    fn word_given(&mut self, function: &Function, formal: &ast::Formal, arg: &ast::Expr) -> Option<Given> {
        let words = self.library.words_of(function, &formal.name.text);
        let word = match &arg.kind {
            ExprKind::Str(text) => text.clone(),
            ExprKind::Path(path) if path.len() == 1 => match self.lookup(&path[0].text) {
                // A word that the caller was given itself.
                Some(Entity::Value(value)) if matches!(value.ty, Ty::Word(_)) => {
                    let Ty::Word(word) = value.ty else { return None };
                    word
                }
                _ => path[0].text.clone(),
            },
            _ => String::new(),
        };
        if words.contains(&word) {
            let node = self.poison().node;
            let value = Value { node, ty: Ty::Word(word), traits: Traits::default(), constant: None, bare: false };
            return Some(Given::Value(value, arg.span));
        }
        let (name, found) = (&function.tree.name.text, self.text(arg.span));
        let message = format!("`{}` of `{name}` is one of {}, found `{found}`", formal.name.text, words.join(", "));
        let help = match nearest(&word, words.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `{}: {}`", formal.name.text, words.first().map_or("", String::as_str)),
        };
        self.report(Diagnostic::new("E0205", arg.span, message).help(help));
        None
    }

    /// `rsi(x: num, n: int = 14): real`, as written.
    fn signature(&self, function: &Function) -> String {
        let text = function.tree.head.text(&self.library.modules[function.module].file.text);
        let words: Vec<&str> = text.split_whitespace().skip(1).collect();
        words.join(" ")
    }

    /// The units that `num` and `num[k]` stand for in this call.
    fn unit_variables(&mut self, function: &Function, given: &[Option<Given>]) -> Option<BTreeMap<String, Unit>> {
        let mut bound: BTreeMap<String, (Unit, &Name)> = BTreeMap::new();
        for (formal, given) in function.tree.formals.iter().zip(given) {
            let (Some(variable), Some(Given::Value(value, at))) = (unit_variable(&formal.ty), given) else { continue };
            let Some(unit) = value.unit().filter(|_| !value.is_bare_zero()) else { continue };
            match bound.get(&variable) {
                None => {
                    bound.insert(variable, (unit, &formal.name));
                }
                Some((first, _)) if *first == unit => {}
                Some((first, of)) => {
                    let (wanted, found) = (self.names.show(first), self.names.show(&unit));
                    let help = self.unit_advice(&wanted, &found);
                    let message = format!(
                        "`{}` of `{}` has the unit of `{}`, {wanted}, found {found}",
                        formal.name.text, function.tree.name.text, of.text
                    );
                    let label = format!("this is {found}");
                    self.report(Diagnostic::new("E0207", *at, message).label(label).help(help));
                    return None;
                }
            }
        }
        Some(bound.into_iter().map(|(name, (unit, _))| (name, unit)).collect())
    }

    fn formal_tys(&mut self, function: &Function) -> Vec<Ty> {
        let formals = &function.tree.formals;
        let ty = |formal: &ast::Formal| {
            if is_market(&formal.ty) || is_word(&formal.ty) {
                Ty::Poison
            } else {
                self.ty(&formal.ty).map_or(Ty::Poison, |(ty, _)| ty)
            }
        };
        formals.iter().map(ty).collect()
    }

    /// Defines a formal in the copy: as given, or by its default.
    fn argument(&mut self, formal: &ast::Formal, ty: &Ty, given: Option<&Given>) {
        let value = match (given, &formal.default) {
            (Some(Given::Instrument(_)), _) => return,
            (Some(Given::Value(value, _)), _) => value.clone(),
            (None, Some(default)) => self.default_of(default, formal, ty),
            (None, None) => self.poison(),
        };
        let ty = match &value.ty {
            Ty::Poison | Ty::Word(_) => value.ty.clone(),
            _ => ty.clone(),
        };
        self.define(&formal.name, Entity::Value(Box::new(Value { ty, bare: false, ..value })));
    }

    /// A default is a literal in the unit of its argument.
    fn default_of(&mut self, default: &ast::Expr, formal: &ast::Formal, ty: &Ty) -> Value {
        if is_word(&formal.ty) {
            let node = self.poison().node;
            let word = if let ExprKind::Str(text) = &default.kind { text.clone() } else { String::new() };
            if word.is_empty() {
                let message = format!("expected a word in quotes, found `{}`", self.text(default.span));
                self.report(Diagnostic::new("E0206", default.span, message).help("write `\"ema\"`"));
            }
            return Value { node, ty: Ty::Word(word), traits: Traits::default(), constant: None, bare: false };
        }
        if matches!(ty, Ty::Bool | Ty::Time) {
            let value = self.expr(default);
            self.expect_ty(&value, ty, default.span, &format!("`{}` is", formal.name.text));
            return value;
        }
        let scale = self.ty(&formal.ty).map_or(1.0, |(_, scale)| scale);
        match self.constant_in(default, ty, scale, "the default") {
            Some(value) => self.constant(value, ty.clone(), default.span),
            None => self.poison(),
        }
    }

    /// Defines a formal as a value of its type about which nothing else is known: it ticks, and it is a literal where one
    /// is needed.
    fn any_argument(&mut self, at: usize, formal: &ast::Formal) {
        let span = formal.name.span;
        if is_market(&formal.ty) {
            let alias = formal.name.text.clone();
            let (base, quote) = (format!("{alias}.base"), format!("{alias}.quote"));
            self.names.instruments.push((alias.clone(), base.clone(), quote.clone()));
            self.instruments.push(InstrumentInfo { alias, base, quote });
            self.define(&formal.name, Entity::Instrument((self.instruments.len() - 1) as u16));
            return;
        }
        let ty = self.ty(&formal.ty).map_or(Ty::Poison, |(ty, _)| ty);
        let default = formal.default.as_ref().filter(|_| ty != Ty::Poison).map(|d| self.default_of(d, formal, &ty));
        if let Ty::Word(_) = ty {
            let value = default.unwrap_or_else(|| Value { ty, ..self.poison() });
            self.define(&formal.name, Entity::Value(Box::new(value)));
            return;
        }
        let clocks = self.base_clock(ClockSource::Control);
        let number = self.push_on(Op::Input(at as u16), &[], clocks, span);
        let node = match ty {
            Ty::Bool => self.push(Op::Present, &[number], span),
            Ty::Time => self.push_on(Op::Now, &[], clocks, span),
            _ => number,
        };
        let is_free = unit_variable(&formal.ty).is_some();
        let constant = (!is_free && matches!(ty, Ty::Num(_) | Ty::Int)).then_some(10.0);
        let value = Value { node, ty, traits: Traits::default(), constant, bare: false };
        self.define(&formal.name, Entity::Value(Box::new(value)));
    }

    fn body(&mut self, tree: &ast::Function) -> Value {
        self.frame.place = Place::Plain;
        for item in &tree.body {
            match item {
                BodyItem::State(state) => self.state(state),
                BodyItem::Let(item) => {
                    self.frame.later.insert(item.name.text.clone(), item.name.span);
                }
                _ => {}
            }
        }
        for item in &tree.body {
            match item {
                BodyItem::Let(item) => self.let_(item),
                BodyItem::State(_) => {}
                BodyItem::Rule(rule) => self.body_rule(rule),
                BodyItem::Next { name, value, span } => self.body_next(name, value, *span),
                BodyItem::Unsupported(item) => self.refused(item),
            }
        }
        self.results(tree)
    }

    /// A rule inside an indicator writes its own state, and nothing else.
    fn body_rule(&mut self, rule: &ast::Rule) {
        for action in &rule.actions {
            let (word, span) = match action {
                Action::Next { .. } | Action::Note { .. } => continue,
                Action::Go { span, .. } => ("go", *span),
                Action::Halt { span, .. } => ("halt", *span),
                Action::Finish { span, .. } => ("finish", *span),
            };
            self.report(
                Diagnostic::new("E0219", span, format!("`{word}` acts on the strategy, an indicator only remembers"))
                    .help("return the condition, and act on it in the strategy: `when … => …`"),
            );
            return;
        }
        self.rule(rule);
    }

    /// `next s = e` alone: at every tick of `e`.
    fn body_next(&mut self, name: &Name, value: &ast::Expr, span: Span) {
        let Some(step) = self.next(name, value, span) else { return };
        let clocks = match &step {
            Step::Next { value, .. } => self.program.node(*value).clocks.0 & !ClockSet::COMMIT.0,
            _ => 0,
        };
        if clocks == 0 {
            let message = format!("`next {}` alone happens at every tick of its value, which has no clock", name.text);
            self.report(
                Diagnostic::new("E0211", span, message)
                    .label("when?")
                    .help(format!("say when: `on every 1s => {}`", self.text(span))),
            );
            return;
        }
        let trigger = Trigger::On { event: Event::Clocks(ClockSet(clocks)), guard: None };
        let name = self.text(span);
        self.program.rules.push(Rule { name, mode: None, trigger, actions: vec![step] });
    }

    /// What the body returns, in the declared units: one value, or a record in the declared order.
    fn results(&mut self, tree: &ast::Function) -> Value {
        let name = &tree.name.text;
        if let ([result], [(None, expr)]) = (tree.results.as_slice(), tree.returned.as_slice()) {
            return self.returned(name, result, expr);
        }
        let declared: Vec<&str> =
            tree.results.iter().map(|r| r.name.as_ref().map_or("", |n| n.text.as_str())).collect();
        let form: Vec<String> = declared.iter().map(|n| format!("{n}: …")).collect();
        let form =
            if tree.results.len() == 1 { "return VALUE".into() } else { format!("return ({})", form.join(", ")) };
        let mut findings = Vec::new();
        let mut fields: Vec<(String, Value)> = Vec::new();
        for (at, (word, expr)) in tree.returned.iter().enumerate() {
            let repeats =
                tree.returned[..at].iter().any(|(w, _)| w.as_ref().map(|w| &w.text) == word.as_ref().map(|w| &w.text));
            let known = word.as_ref().filter(|w| declared.contains(&w.text.as_str()) && !repeats);
            if known.is_none() || tree.results.len() == 1 {
                let (at, found) = word.as_ref().map_or((expr.span, "one value".to_string()), |w| {
                    (w.span, format!("`{}`{}", w.text, if repeats { " again" } else { "" }))
                });
                findings.push(
                    Diagnostic::new("E0220", at, format!("`{name}` does not declare this result: found {found}"))
                        .label("not declared")
                        .help(format!("write `{form}`")),
                );
            }
        }
        for result in &tree.results {
            let Some(word) = &result.name else { continue };
            let expr = tree.returned.iter().find(|(w, _)| w.as_ref().is_some_and(|w| w.text == word.text));
            match expr {
                Some((_, expr)) => {
                    let value = self.returned(name, result, expr);
                    fields.push((word.text.clone(), value));
                }
                None => findings.push(
                    Diagnostic::new("E0220", word.span, format!("`{name}` never returns `{}`", word.text))
                        .label("declared here")
                        .help(format!("write `{form}`")),
                ),
            }
        }
        if let Some(first) = findings.into_iter().next() {
            self.report(first);
            return self.poison();
        }
        let repeated = (1..declared.len()).find(|at| declared[..*at].contains(&declared[*at]));
        if let Some(at) = repeated {
            let span = tree.results[at].name.as_ref().map_or(tree.head, |n| n.span);
            let message = format!("`{name}` declares the result `{}` twice", declared[at]);
            self.report(Diagnostic::new("E0202", span, message).help("give one of them another name"));
            return self.poison();
        }
        let node = self.poison().node;
        let ty = Ty::Record(Record { of: name.clone(), fields: Rc::new(fields) });
        Value { node, ty, traits: Traits::default(), constant: None, bare: false }
    }

    fn returned(&mut self, name: &str, result: &ast::FunctionResult, expr: &ast::Expr) -> Value {
        let value = self.expr(expr);
        let ty = self.ty(&result.ty).map_or(Ty::Poison, |(ty, _)| ty);
        let lead = match &result.name {
            Some(field) => format!("`{}` of `{name}` is", field.text),
            None => format!("`{name}` returns"),
        };
        if value.is_poison() || !self.expect_ty(&value, &ty, expr.span, &lead) {
            return self.poison();
        }
        Value { ty, bare: false, ..value }
    }

    /// `macd(x).hist`.
    pub fn result_named(&mut self, record: &Record, name: &Name) -> Value {
        if let Some((_, value)) = record.fields.iter().find(|(n, _)| *n == name.text) {
            return value.clone();
        }
        let known: Vec<&str> = record.fields.iter().map(|(n, _)| n.as_str()).collect();
        let help = match nearest(&name.text, known.iter().copied()) {
            Some(near) => format!("did you mean `.{near}`?"),
            None => format!("its results are {}", known.join(", ")),
        };
        let message = format!("`{}` has no result `{}`", record.of, name.text);
        self.report(Diagnostic::new("E0203", name.span, message).label("unknown result").help(help));
        self.poison()
    }
}

/// `market`: the argument is an instrument of the strategy.
fn is_market(ty: &ast::Ty) -> bool {
    matches!(ty.factors.as_slice(), [factor] if factor.name.text == "market" && factor.index.is_none() && factor.exponent == 1)
}

/// `word`: the argument is one of the words that the body asks for.
fn is_word(ty: &ast::Ty) -> bool {
    matches!(ty.factors.as_slice(), [factor] if factor.name.text == "word" && factor.index.is_none() && factor.exponent == 1)
}

/// `num` or `num[k]` alone: the argument says what unit it stands for.
fn unit_variable(ty: &ast::Ty) -> Option<String> {
    match ty.factors.as_slice() {
        [factor] if factor.name.text == "num" && factor.exponent == 1 => {
            Some(factor.index.as_ref().map_or("num".to_string(), |i| format!("num[{}]", i.text)))
        }
        _ => None,
    }
}

fn nodes_of(value: &Value) -> Vec<NodeId> {
    match &value.ty {
        Ty::Record(record) => record.fields.iter().map(|(_, v)| v.node).collect(),
        _ => vec![value.node],
    }
}

/// Calls with the same key have the same results.
fn call_key(idx: usize, given: &[Option<Given>]) -> String {
    use std::fmt::Write;
    let mut key = format!("{idx}");
    for given in given {
        let _ = match given {
            None => write!(key, " -"),
            Some(Given::Instrument(x)) => write!(key, " x{x}"),
            Some(Given::Value(v, _)) => {
                write!(key, " {}:{:?}:{:?}:{:?}", v.node.0, v.constant.map(f64::to_bits), v.ty, v.traits)
            }
        };
    }
    key
}
