//! The checked meaning of a tree: names, units, clocks, ownership, and in the same walk the typed graph and the manifest.
//!
//! A part with an error becomes the poison value, about which every later check stays silent, so that one mistake gives one
//! finding.
mod call;
mod constant;
mod declare;
mod expr;
mod field;
mod function;
mod limit;
mod lint;
mod rule;
mod series;
mod sink;

#[cfg(test)]
pub(crate) use function::definition;
pub(crate) use function::definitions;

use crate::ast::{self, Name};
use crate::diagnostic::{Diagnostic, nearest};
use crate::library::Library;
use crate::span::Span;
use crate::unit::{Unit, UnitNames};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tercel_event::{ClockSource, Field, Input, Manifest};
use tercel_graph::{ClockSet, NodeId, Op, Program};

/// Type of a value, as people think of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Num(Unit),
    /// A count; mixes with `ratio`.
    Int,
    Bool,
    /// A point in time; durations are `Num(second)`.
    Time,
    /// A word that an argument chooses: `kind: ema`.
    Word(String),
    /// Several results with names: one is chosen with `.name`.
    Record(Record),
    /// Reported already.
    Poison,
}

/// The results of an indicator. Two are never of one type: they are no values.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The indicator, as people know it.
    pub of: String,
    pub fields: Rc<Vec<(String, Value)>>,
}

impl PartialEq for Record {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

/// What a value depends on, beyond its clocks; joined over operands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// True in its own instant only.
    pub pulse: bool,
    /// Also changes at the pane boundaries of a time window.
    pub panes: bool,
    /// Reads a `state` that is not `persist`.
    pub plain_state: bool,
    /// Reads `x.best_bid` or `x.best_ask`, our own orders included: bit per instrument.
    pub public_touch: u64,
    /// Has `elapsed > d` among its atoms.
    pub elapsed: bool,
    /// Turns true by `elapsed` alone, whatever else is absent.
    pub escapes: bool,
}

impl Traits {
    fn join(self, other: Self) -> Self {
        Self {
            pulse: self.pulse || other.pulse,
            panes: self.panes || other.panes,
            plain_state: self.plain_state || other.plain_state,
            public_touch: self.public_touch | other.public_touch,
            elapsed: self.elapsed || other.elapsed,
            escapes: false,
        }
    }
}

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub node: NodeId,
    pub ty: Ty,
    pub traits: Traits,
    /// Its value, when it follows from literals alone.
    pub constant: Option<f64>,
    /// A literal without a unit: takes the unit of its place where places give one; 0 fits every unit anywhere.
    pub bare: bool,
}

impl Value {
    pub fn is_poison(&self) -> bool {
        self.ty == Ty::Poison
    }

    /// The unit of arithmetic: counts are ratios.
    pub fn unit(&self) -> Option<Unit> {
        match &self.ty {
            Ty::Num(unit) => Some(unit.clone()),
            Ty::Int => Some(Unit::ratio()),
            _ => None,
        }
    }

    pub fn is_bare_zero(&self) -> bool {
        self.bare && self.constant == Some(0.0)
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Entity {
    Instrument(u16),
    Signal(u16),
    Param(u16),
    State(u16),
    /// A `let`, or a value of the mode.
    Value(Box<Value>),
}

impl Entity {
    pub fn is_poison(&self) -> bool {
        matches!(self, Self::Value(value) if value.is_poison())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct InstrumentInfo {
    pub alias: String,
    pub base: String,
    pub quote: String,
}

#[derive(Clone, Debug)]
pub(crate) struct ModeInfo {
    pub name: String,
    pub span: Span,
    pub values: Vec<(String, Ty)>,
    pub initial: bool,
}

/// Facts that the lints look at after the walk.
#[derive(Clone, Debug)]
pub(crate) struct SinkFact {
    pub mode: Option<u16>,
    pub instrument: u16,
    pub guarded: bool,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct RuleFact {
    pub mode: Option<u16>,
    pub goes_to: Option<u16>,
    pub traits: Traits,
    pub span: Span,
}

/// Where an expression stands, which decides what it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Plain,
    /// Under `@ every d`, or an argument of `go` or `next`: `now`, `elapsed` and ages may be used as values.
    Timed,
}

/// Where the walk stands: in the strategy, or in a copy of a function's body, which sees nothing of the caller.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Whose names and whose text.
    pub module: usize,
    /// Names of the strategy, then of the mode under check; in a function its own.
    pub scopes: Vec<BTreeMap<String, (Entity, Span)>>,
    /// Every `let` with its place, to tell "later" from "unknown".
    pub later: BTreeMap<String, Span>,
    pub place: Place,
    pub mode: Option<u16>,
    /// What `num` and `num[k]` stand for.
    pub unit_variables: BTreeMap<String, Unit>,
    /// The function whose body it is; `None` in the strategy.
    pub function: Option<usize>,
}

impl Frame {
    fn new(module: usize, function: Option<usize>) -> Self {
        Self {
            module,
            scopes: vec![BTreeMap::new()],
            later: BTreeMap::new(),
            place: Place::Plain,
            mode: None,
            unit_variables: BTreeMap::new(),
            function,
        }
    }
}

/// Something with memory: an operator, or a call of an indicator as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub nodes: Vec<NodeId>,
    /// Its readiness counts from these on.
    pub operands: Vec<NodeId>,
    pub span: Span,
}

/// A value that the text gives a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// As written; `name.result` for one of several results.
    pub name: String,
    /// The mode whose `let` it is.
    pub mode: Option<String>,
    pub node: NodeId,
}

pub(crate) struct Checker<'a> {
    pub library: &'a Library,
    pub findings: Vec<Diagnostic>,
    pub program: Program,
    pub manifest: Manifest,
    pub names: UnitNames,
    pub instruments: Vec<InstrumentInfo>,
    /// Types of parameters, signals and state, by index.
    pub param_tys: Vec<Ty>,
    pub signal_tys: Vec<(Ty, f64)>,
    pub state_tys: Vec<(Ty, bool)>,
    pub modes: Vec<ModeInfo>,
    /// Places of the strategy's names that were looked up.
    pub used: BTreeSet<Span>,
    /// Parameters and `let`s of the strategy, in the order of their definition.
    pub unused_candidates: Vec<(&'static str, Name)>,
    /// A part of the text could not be read, so nothing is said about the strategy as a whole.
    pub is_partial: bool,
    /// A declaration failed, so an unknown currency may be its fault.
    pub broken_declarations: bool,
    pub frame: Frame,
    /// A function is checked where it is defined: its arguments stand for any.
    pub generic: bool,
    /// The outermost call whose body is being copied.
    pub call_site: Option<Span>,
    pub calls_depth: usize,
    pub calls_count: usize,
    /// Results of calls by function and arguments: equal calls are one.
    pub calls_known: BTreeMap<String, Value>,
    pub sinks: Vec<SinkFact>,
    pub rules: Vec<RuleFact>,
    /// What remembers, in the order of the text, for the readiness report.
    pub stateful: Vec<Memory>,
    /// Every `let` of the strategy, and each result of those that have several.
    pub named: Vec<Named>,
    /// A strategy that orders nothing is as good as another: it is only looked at.
    pub may_only_watch: bool,
    interned: BTreeMap<(String, Vec<u32>, u64), NodeId>,
}

impl<'a> Checker<'a> {
    /// For the file of the strategy, or a module.
    pub fn new(library: &'a Library, module: usize) -> Self {
        Self {
            library,
            findings: Vec::new(),
            program: Program::default(),
            manifest: Manifest::default(),
            names: UnitNames::default(),
            instruments: Vec::new(),
            param_tys: Vec::new(),
            signal_tys: Vec::new(),
            state_tys: Vec::new(),
            modes: Vec::new(),
            used: BTreeSet::new(),
            unused_candidates: Vec::new(),
            is_partial: false,
            broken_declarations: false,
            frame: Frame::new(module, None),
            generic: false,
            call_site: None,
            calls_depth: 0,
            calls_count: 0,
            calls_known: BTreeMap::new(),
            sinks: Vec::new(),
            rules: Vec::new(),
            stateful: Vec::new(),
            named: Vec::new(),
            may_only_watch: false,
            interned: BTreeMap::new(),
        }
    }

    /// The text that spans point into.
    pub fn source(&self) -> &'a str {
        &self.library.modules[self.frame.module].file.text
    }

    /// Checks one strategy in the order of its text: declarations first, since they may stand anywhere.
    pub fn strategy(&mut self, strategy: &ast::Strategy) {
        self.manifest.name = strategy.name.text.clone();
        self.manifest.version = u32::try_from(strategy.version).unwrap_or_else(|_| {
            self.report(
                Diagnostic::new("E0208", strategy.version_span, "expected a version below 2^32")
                    .help("write `version 1`"),
            );
            0
        });
        self.declarations(strategy);
        for member in &strategy.members {
            match member {
                ast::Member::Let(value) => self.let_(value),
                ast::Member::Sink(item) => self.sink(item),
                ast::Member::Risk(limits) => limits.iter().for_each(|l| self.limit(l)),
                ast::Member::Mode(mode) => self.mode(mode),
                _ => {}
            }
        }
        self.lint(strategy);
    }

    fn mode(&mut self, mode: &ast::Mode) {
        let Some(idx) = self.modes.iter().position(|m| m.span == mode.name.span) else { return };
        self.frame.mode = Some(idx as u16);
        self.frame.scopes.push(BTreeMap::new());
        for (at, formal) in mode.values.iter().enumerate() {
            let ty = self.modes[idx].values[at].1.clone();
            let node = self.push(Op::ModeValue { mode: idx as u16, idx: at as u16 }, &[], formal.name.span);
            let value = Value { node, ty, traits: Traits::default(), constant: None, bare: false };
            self.define(&formal.name, Entity::Value(Box::new(value)));
        }
        for item in &mode.body {
            match item {
                ast::ModeItem::Let(value) => self.let_(value),
                ast::ModeItem::Sink(item) => self.sink(item),
                ast::ModeItem::Unsupported(item) => self.refused(item),
            }
        }
        self.frame.scopes.pop();
        self.frame.mode = None;
    }

    fn let_(&mut self, item: &ast::Let) {
        let value = self.whole(&item.value);
        if let Some(ty) = &item.ty
            && let Some((wanted, _)) = self.ty(ty)
        {
            self.expect_ty(&value, &wanted, item.value.span, &format!("`{}` is declared as", item.name.text));
        }
        if self.frame.function.is_none() {
            self.name_value(&item.name.text, &value);
        }
        self.define(&item.name, Entity::Value(Box::new(value)));
        if self.frame.function.is_none() {
            self.unused_candidates.push(("let", item.name.clone()));
        }
    }

    fn name_value(&mut self, name: &str, value: &Value) {
        if let Ty::Record(record) = &value.ty {
            for (field, value) in record.fields.iter() {
                self.name_value(&format!("{name}.{field}"), value);
            }
        } else if !value.is_poison() {
            let mode = self.frame.mode.and_then(|mode| self.modes.get(mode as usize)).map(|mode| mode.name.clone());
            self.named.push(Named { name: name.into(), mode, node: value.node });
        }
    }

    pub fn report(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    pub fn unsupported(&mut self, what: &str, span: Span) {
        self.report(Diagnostic::refused(what, span));
    }

    /// A construct that this version refuses; what it would have defined stays silent.
    pub fn refused(&mut self, item: &ast::Unsupported) {
        self.unsupported(item.what, item.span);
        if let Some(name) = &item.name {
            self.poison_name(name);
        }
    }

    /// Defines a name whose declaration has failed, so that its uses stay silent.
    pub fn poison_name(&mut self, name: &Name) {
        self.broken_declarations = true;
        let value = self.poison();
        self.define(name, Entity::Value(Box::new(value)));
    }

    pub fn define(&mut self, name: &Name, entity: Entity) {
        let known = self.frame.scopes.iter().rev().find_map(|scope| scope.get(&name.text));
        let is_silent = entity.is_poison() || known.is_some_and(|(entity, _)| entity.is_poison());
        if let Some(first) = known.map(|(_, span)| *span).filter(|_| !is_silent) {
            let finding = Diagnostic::new("E0202", name.span, format!("`{}` is already defined", name.text))
                .label("second definition")
                .related(first, "first definition")
                .help("give one of them another name");
            self.report(finding);
            return;
        }
        if matches!(name.text.as_str(), "now" | "elapsed" | "none" | "true" | "false") {
            let message = format!("`{}` is a word of the language", name.text);
            self.report(Diagnostic::new("E0202", name.span, message).help("choose another name"));
            return;
        }
        if let Some(scope) = self.frame.scopes.last_mut() {
            scope.insert(name.text.clone(), (entity, name.span));
        }
    }

    /// What a name stands for; counts as a use of it.
    pub fn lookup(&mut self, name: &str) -> Option<Entity> {
        let (entity, span) = self.frame.scopes.iter().rev().find_map(|scope| scope.get(name))?;
        let (entity, span) = (entity.clone(), *span);
        if self.frame.function.is_none() {
            self.used.insert(span);
        }
        Some(entity)
    }

    /// The same without a use.
    pub fn peek(&self, name: &str) -> Option<Entity> {
        self.frame.scopes.iter().rev().find_map(|scope| scope.get(name)).map(|(entity, _)| entity.clone())
    }

    pub fn unknown_name(&mut self, name: &Name) {
        let mut finding = Diagnostic::new("E0201", name.span, format!("unknown name `{}`", name.text));
        let later = self.frame.later.get(&name.text).filter(|span| span.start > name.span.start).copied();
        finding = if let Some(span) = later {
            finding
                .label("used before it is defined")
                .related(span, "defined here")
                .help(format!("move the definition of `{}` above this line", name.text))
        } else {
            let known = self.frame.scopes.iter().flat_map(|scope| scope.keys().map(String::as_str));
            match nearest(&name.text, known.chain(["now", "elapsed"])) {
                Some(near) => finding.label("not defined").help(format!("did you mean `{near}`?")),
                None => finding.label("not defined").help(format!("define it with `let {} = …`", name.text)),
            }
        };
        self.report(finding);
    }

    /// The instrument that a name stands for, or a finding.
    pub fn instrument_named(&mut self, name: &Name) -> Option<u16> {
        match self.lookup(&name.text) {
            Some(Entity::Instrument(idx)) => Some(idx),
            Some(entity) if entity.is_poison() => None,
            Some(_) => {
                let message = format!("expected an instrument, found `{}`", name.text);
                let known = self.instruments.first().map_or("x".to_string(), |i| i.alias.clone());
                self.report(Diagnostic::new("E0206", name.span, message).help(format!("write `{known}`")));
                None
            }
            None if self.frame.function.is_some() => {
                let message = format!("unknown instrument `{}`: a function sees its arguments only", name.text);
                let help = format!("add an argument `{}: market`", name.text);
                self.report(Diagnostic::new("E0201", name.span, message).label("no argument").help(help));
                None
            }
            None => {
                self.unknown_name(name);
                None
            }
        }
    }

    /// Adds a node, or finds the equal one: the same operator on the same operands is one node with one state.
    pub fn push(&mut self, op: Op, args: &[NodeId], span: Span) -> NodeId {
        let clocks = args.iter().fold(ClockSet::NONE, |set, a| set | self.program.node(*a).clocks);
        // `Program::push` adds the clock that a source has of itself.
        self.intern(op, args, clocks, span, |program| program.push(op, args))
    }

    pub fn push_on(&mut self, op: Op, args: &[NodeId], clocks: ClockSet, span: Span) -> NodeId {
        self.intern(op, args, clocks, span, |program| program.push_on(op, args, clocks))
    }

    fn intern(
        &mut self,
        op: Op,
        args: &[NodeId],
        clocks: ClockSet,
        span: Span,
        make: impl FnOnce(&mut Program) -> Result<NodeId, tercel_graph::GraphError>,
    ) -> NodeId {
        let key = (format!("{op:?}"), args.iter().map(|a| a.0).collect(), clocks.0);
        if let Some(node) = self.interned.get(&key) {
            return *node;
        }
        if op.state_words() > 0 && self.in_fn() {
            let message = "a `fn` has no memory, and this remembers";
            self.report(
                Diagnostic::new("E0216", span, message).label("remembers").help("write `indicator` instead of `fn`"),
            );
            return self.absent_node();
        }
        self.program.origin = self.call_site.unwrap_or(span).start;
        match make(&mut self.program) {
            Ok(node) => {
                self.interned.insert(key, node);
                node
            }
            Err(error) => {
                self.report(
                    Diagnostic::new("E0501", span, format!("the graph refuses this: {error}"))
                        .help("use a smaller value"),
                );
                self.absent_node()
            }
        }
    }

    fn absent_node(&mut self) -> NodeId {
        // `Absent` takes no operands and has no bounds, so it can only fail when 2^32 nodes exist already.
        self.program.push(Op::Absent(tercel_graph::Ty::F64), &[]).unwrap_or(NodeId(0))
    }

    pub fn poison(&mut self) -> Value {
        let node = match self.interned.get(&("poison".to_string(), Vec::new(), 0)) {
            Some(node) => *node,
            None => {
                let node = self.absent_node();
                self.interned.insert(("poison".to_string(), Vec::new(), 0), node);
                node
            }
        };
        Value { node, ty: Ty::Poison, traits: Traits::default(), constant: None, bare: false }
    }

    /// Index of an input of the manifest, added at its first use.
    pub fn input(&mut self, input: Input) -> u16 {
        let inputs = &mut self.manifest.inputs;
        let idx = inputs.iter().position(|i| *i == input).unwrap_or_else(|| {
            inputs.push(input);
            inputs.len() - 1
        });
        idx as u16
    }

    /// The clock set of a base clock of the manifest, added at its first use.
    pub fn base_clock(&mut self, source: ClockSource) -> ClockSet {
        let clocks = &mut self.manifest.clocks;
        match clocks.iter().position(|c| *c == source) {
            Some(idx) => ClockSet::base(idx),
            None if clocks.len() < ClockSet::BASE_COUNT => {
                clocks.push(source);
                ClockSet::base(clocks.len() - 1)
            }
            None => {
                let message =
                    format!("more than {} clocks: instruments and signals are too many", ClockSet::BASE_COUNT);
                self.report(Diagnostic::new("E0501", Span::default(), message).help("split the strategy"));
                ClockSet::NONE
            }
        }
    }

    /// An operator of the language with memory, for the readiness report.
    pub fn remember(&mut self, node: NodeId, span: Span) {
        let operands = self.program.node(node).args.clone();
        self.stateful.push(Memory { nodes: vec![node], operands, span });
    }

    pub fn field_node(&mut self, instrument: u16, field: Field, clocks: ClockSet, span: Span) -> NodeId {
        let input = self.input(Input::Instrument { instrument, field });
        self.push_on(Op::Input(input), &[], clocks, span)
    }

    pub fn show(&self, ty: &Ty) -> String {
        match ty {
            Ty::Num(unit) => self.names.show(unit),
            Ty::Int => "int".into(),
            Ty::Bool => "bool".into(),
            Ty::Time => "time".into(),
            Ty::Word(word) => format!("the word `{word}`"),
            Ty::Record(record) => {
                let names: Vec<&str> = record.fields.iter().map(|(name, _)| name.as_str()).collect();
                format!("the results ({})", names.join(", "))
            }
            Ty::Poison => "?".into(),
        }
    }

    pub fn text(&self, span: Span) -> String {
        let text = span.text(self.source()).trim();
        if text.chars().count() > 40 || text.contains('\n') {
            let cut: String = text.lines().next().unwrap_or("").chars().take(36).collect();
            format!("{cut}…")
        } else {
            text.to_string()
        }
    }

    /// Readable names of the clocks in a set.
    pub fn clock_names(&self, clocks: ClockSet) -> Vec<String> {
        let mut names = Vec::new();
        for (idx, source) in self.manifest.clocks.iter().enumerate() {
            if clocks.intersects(ClockSet::base(idx)) {
                names.push(self.clock_name(*source));
            }
        }
        for (idx, period) in self.program.timers.iter().enumerate() {
            if clocks.intersects(ClockSet::timer(idx)) {
                names.push(format!("every {}", crate::report::span_text(period.0)));
            }
        }
        if clocks.intersects(ClockSet::COMMIT) {
            names.push("commit".into());
        }
        names
    }

    pub fn clock_name(&self, source: ClockSource) -> String {
        let alias = |i: u16| self.instruments.get(i as usize).map_or("?", |x| x.alias.as_str());
        match source {
            ClockSource::Book(i) => format!("book({})", alias(i)),
            ClockSource::Trades(i) => format!("trades({})", alias(i)),
            ClockSource::Quality(i) => format!("quality({})", alias(i)),
            ClockSource::Exec(i) => format!("exec({})", alias(i)),
            ClockSource::Signal(i) => {
                format!("signal({})", self.manifest.signals.get(i as usize).map_or("?", |s| s.name.as_str()))
            }
            ClockSource::Timer => "timer".into(),
            ClockSource::Param => "param".into(),
            ClockSource::Control => "control".into(),
        }
    }
}
