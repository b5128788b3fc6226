//! Rules, modes and sinks as tables over the slab: what happens to the values that the machine code left there.
use tercel_event::{Control, Manifest, NO_OWNER};
use tercel_graph::{ABSENT_BITS, ABSENT_TIME, Action, Event, NodeId, Program, Trigger, Ty, Value};

use crate::layout::{ENTRY, Layout, MODE, NOW, Place};

/// `Bool` words.
const FALSE: u64 = 0;
const TRUE: u64 = 2;

/// No mode.
const NONE: u64 = u64::MAX;

/// A word of the slab that is absent when it has this value.
#[derive(Clone, Copy)]
struct Operand {
    word: usize,
    absent: u64,
}

enum When {
    Condition(usize),
    Clocks(u64, Option<usize>),
    Pulse(usize, Option<usize>),
}

enum Effect {
    /// Words to freeze, in the order of the mode's values.
    Go(u16, Box<[usize]>),
    /// State variable, and the word of its next value.
    Next(u16, usize),
    Clear(u16),
    Stop(Control),
}

struct Rule {
    when: When,
    needs: Box<[Operand]>,
    effects: Box<[Effect]>,
}

/// A mode, or the one a program without modes is always in.
struct Mode {
    /// Its rules, then the strategy's.
    rules: Box<[u16]>,
    own_rules: Box<[u16]>,
    /// Its sinks, then the strategy's; the first whose guard holds owns its instrument.
    sinks: Box<[u16]>,
    /// The same by instrument.
    owned: Box<[Owned]>,
    refresh: Refresh,
    first_value: usize,
    /// Its values while it is not active.
    absent: Box<[u64]>,
}

/// The sinks of a mode that name one instrument, in their order.
struct Owned {
    instrument: usize,
    sinks: Box<[u16]>,
}

/// A slot of the desired state, and the word written to it.
type Output = (usize, usize);

/// What an instant leaves to write when mode and owners are those of before.
enum Refresh {
    /// Nothing: the code of the round writes it (`Layout::direct`).
    Done,
    /// The owners are always the same: everything that a round can change, bounds of limits included.
    Outputs(Box<[Output]>),
    /// A guard decides who owns an instrument.
    Owners,
}

struct Sink {
    instrument: usize,
    guard: Option<usize>,
    outputs: Outputs,
}

/// Outputs that change from round to round, and those that change with a parameter alone.
struct Outputs {
    round: Box<[Output]>,
    fixed: Box<[Output]>,
}

impl Outputs {
    fn new(outputs: impl Iterator<Item = (usize, NodeId)>, layout: &Layout) -> Self {
        let (mut round, mut fixed) = (Vec::new(), Vec::new());
        for (slot, node) in outputs {
            let list = if matches!(layout.place[node.idx()], Place::Round(_)) { &mut round } else { &mut fixed };
            list.push((slot, word(layout, node)));
        }
        Self { round: round.into(), fixed: fixed.into() }
    }
}

/// Everything that follows the evaluation of a round. Allocates in `new` alone.
pub(crate) struct Tables {
    rules: Box<[Rule]>,
    modes: Box<[Mode]>,
    sinks: Box<[Sink]>,
    limits: Outputs,
    /// The mode whose fixed outputs stand in the desired state; `NONE` before the first, and when they have changed.
    written: u64,
    /// First word of the state variables, and what each is when absent.
    states: usize,
    state_absent: Box<[u64]>,
    /// Per rule: the last present value of a `when` condition.
    pub edges: Box<[bool]>,
    /// Per rule: how often it fired, and how often an absent operand kept it from firing.
    pub fired: Box<[u64]>,
    pub blocked: Box<[u64]>,
    next: Box<[Option<u64>]>,
    /// The winning `go`: its rule and its place among the effects.
    go: Option<(u16, u16)>,
    stop: Option<Control>,
}

fn absent(ty: Ty) -> u64 {
    match ty {
        Ty::F64 => ABSENT_BITS,
        Ty::Bool => Value::Bool(None).word(),
        Ty::Time => ABSENT_TIME as u64,
    }
}

impl Tables {
    pub(crate) fn new(program: &Program, manifest: &Manifest, layout: &Layout) -> Self {
        let word = |node: NodeId| word(layout, node);
        let rules = program.rules.iter().map(|rule| Rule {
            when: match &rule.trigger {
                Trigger::When(condition) => When::Condition(word(*condition)),
                Trigger::On { event: Event::Clocks(clocks), guard } => When::Clocks(clocks.0, guard.map(word)),
                Trigger::On { event: Event::Pulse(pulse), guard } => When::Pulse(word(*pulse), guard.map(word)),
            },
            needs: rule
                .actions
                .iter()
                .flat_map(needs)
                .map(|n| Operand { word: word(n), absent: absent(program.ty(n)) })
                .collect(),
            effects: rule.actions.iter().filter_map(|action| effect(action, word)).collect(),
        });
        let sinks = program.sinks.iter().zip(&manifest.sinks).map(|(sink, spec)| Sink {
            instrument: spec.instrument().into(),
            guard: sink.guard.map(word),
            outputs: Outputs::new(sink.outputs.iter().copied(), layout),
        });
        // Indices of the parts of one scope, in textual order; `validate` keeps them within u16.
        let rules_of = |scope: Option<u16>| indices(program.rules.iter().map(move |r| r.mode == scope));
        let sinks_of = |scope: Option<u16>| indices(program.sinks.iter().map(move |s| s.mode == scope));
        let sinks: Box<[Sink]> = sinks.collect();
        let limits = Outputs::new(program.limits.iter().zip(&manifest.limits).map(|(n, l)| (l.bound_slot, *n)), layout);
        let modes = (0..program.modes.len().max(1)).map(|idx| {
            let scope = Some(idx as u16);
            let values = program.modes.get(idx).map_or(&[][..], |m| &m.values);
            let own_sinks: Box<[u16]> = sinks_of(scope).chain(sinks_of(None)).collect();
            let owned = owned(&own_sinks, manifest);
            Mode {
                rules: rules_of(scope).chain(rules_of(None)).collect(),
                own_rules: rules_of(scope).collect(),
                refresh: refresh(&owned, &sinks, &limits, layout),
                owned,
                sinks: own_sinks,
                first_value: layout.mode_values.get(idx).copied().unwrap_or(0),
                absent: values.iter().map(|ty| absent(*ty)).collect(),
            }
        });
        Self {
            rules: rules.collect(),
            modes: modes.collect(),
            sinks,
            limits,
            written: NONE,
            states: layout.states,
            state_absent: program.states.iter().map(|s| absent(s.ty)).collect(),
            edges: vec![true; program.rules.len()].into(),
            fired: vec![0; program.rules.len()].into(),
            blocked: vec![0; program.rules.len()].into(),
            next: vec![None; program.states.len()].into(),
            go: None,
            stop: None,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.edges.fill(true);
        self.fired.fill(0);
        self.blocked.fill(0);
        self.forget();
    }

    /// Values that only parameters change have changed.
    pub(crate) fn forget(&mut self) {
        self.written = NONE;
    }

    /// Whether `apply` has anything to do in this mode.
    #[inline]
    pub(crate) fn has_rules(&self, mode: u64) -> bool {
        !self.modes[mode as usize].rules.is_empty()
    }

    /// Rules of the active mode, then the strategy's; whether one fired, so that there is something to commit.
    #[inline]
    pub(crate) fn apply(&mut self, slab: &[u64], ticks: u64) -> bool {
        let mut any = false;
        let mode = &self.modes[slab[MODE] as usize];
        for &idx in &mode.rules {
            let at = idx as usize;
            let rule = &self.rules[at];
            let guarded = |guard: Option<usize>| guard.is_none_or(|word| slab[word] == TRUE);
            let triggers = match rule.when {
                When::Condition(word) => {
                    let was = self.edges[at];
                    match slab[word] {
                        TRUE => self.edges[at] = true,
                        FALSE => self.edges[at] = false,
                        _ => {}
                    }
                    slab[word] == TRUE && !was
                }
                When::Clocks(clocks, guard) => clocks & ticks != 0 && guarded(guard),
                When::Pulse(pulse, guard) => slab[pulse] == TRUE && guarded(guard),
            };
            if !triggers {
                continue;
            }
            if rule.needs.iter().any(|operand| slab[operand.word] == operand.absent) {
                self.blocked[at] += 1;
                continue;
            }
            any = true;
            self.fired[at] += 1;
            for (place, effect) in rule.effects.iter().enumerate() {
                match effect {
                    Effect::Go(..) => drop(self.go.get_or_insert((idx, place as u16))),
                    Effect::Next(state, word) => drop(self.next[*state as usize].get_or_insert(slab[*word])),
                    Effect::Clear(state) => {
                        let at = *state as usize;
                        self.next[at].get_or_insert(self.state_absent[at]);
                    }
                    Effect::Stop(control) => drop(self.stop.get_or_insert(*control)),
                }
            }
        }
        any
    }

    /// Takes over what the rules asked for; whether anything changed.
    pub(crate) fn commit(&mut self, slab: &mut [u64], control: &mut Control) -> bool {
        let mut changed = false;
        for (word, next) in slab[self.states..].iter_mut().zip(&mut self.next) {
            if let Some(next) = next.take() {
                changed |= *word != next;
                *word = next;
            }
        }
        if let Some((rule, place)) = self.go.take()
            && let Effect::Go(to, frozen) = &self.rules[rule as usize].effects[place as usize]
        {
            changed = true;
            let left = &self.modes[slab[MODE] as usize];
            slab[left.first_value..][..left.absent.len()].copy_from_slice(&left.absent);
            let entered = &self.modes[*to as usize];
            frozen.iter().enumerate().for_each(|(idx, word)| slab[entered.first_value + idx] = slab[*word]);
            slab[MODE] = (*to).into();
            slab[ENTRY] = slab[NOW];
            entered.own_rules.iter().for_each(|rule| self.edges[*rule as usize] = false);
        }
        if let Some(stop) = self.stop.take() {
            *control = stop;
        }
        changed
    }

    /// Writes the desired state: values of the owning sinks, and the bounds of the limits.
    ///
    /// `out` is what the last call left. While the mode and the owners are the same, what is absent in it still is, and what
    /// only parameters change still stands: only values of the round are written.
    #[inline]
    pub(crate) fn write(&mut self, slab: &[u64], owners: &mut [u16], values: &mut [f64]) {
        let mode = &self.modes[slab[MODE] as usize];
        let same = self.written == slab[MODE];
        match &mode.refresh {
            Refresh::Done if same => {}
            Refresh::Outputs(outputs) if same => put(outputs, slab, values),
            Refresh::Owners if same && self.renew(&mode.owned, slab, owners, values) => {}
            _ => self.write_all(slab, owners, values),
        }
    }

    /// Whether the owners are the same as before; the values are written then.
    #[inline(never)]
    fn renew(&self, owned: &[Owned], slab: &[u64], owners: &[u16], values: &mut [f64]) -> bool {
        for plan in owned {
            let owner = plan.sinks.iter().copied().find(|idx| self.shows(*idx, slab)).unwrap_or(NO_OWNER);
            match owners.get(plan.instrument) {
                Some(before) if *before == owner => {}
                Some(_) => return false,
                None => continue,
            }
            if let Some(sink) = self.sinks.get(owner as usize) {
                put(&sink.outputs.round, slab, values);
            }
        }
        put(&self.limits.round, slab, values);
        true
    }

    #[inline]
    fn shows(&self, sink: u16, slab: &[u64]) -> bool {
        self.sinks[sink as usize].guard.is_none_or(|word| slab[word] == TRUE)
    }

    /// Another mode, other owners, or other parameters.
    #[inline(never)]
    fn write_all(&mut self, slab: &[u64], owners: &mut [u16], values: &mut [f64]) {
        self.withdraw(owners, values);
        for &idx in &self.modes[slab[MODE] as usize].sinks {
            let sink = &self.sinks[idx as usize];
            let Some(owner) = owners.get_mut(sink.instrument) else { continue };
            if *owner == NO_OWNER && self.shows(idx, slab) {
                *owner = idx;
                put(&sink.outputs.round, slab, values);
                put(&sink.outputs.fixed, slab, values);
            }
        }
        put(&self.limits.round, slab, values);
        put(&self.limits.fixed, slab, values);
        self.written = slab[MODE];
    }

    /// Nothing is desired.
    #[inline(never)]
    pub(crate) fn withdraw(&mut self, owners: &mut [u16], values: &mut [f64]) {
        owners.fill(NO_OWNER);
        values.fill(f64::from_bits(ABSENT_BITS));
        self.written = NONE;
    }
}

#[inline]
fn put(outputs: &[Output], slab: &[u64], values: &mut [f64]) {
    for &(slot, word) in outputs {
        if let Some(value) = values.get_mut(slot) {
            *value = f64::from_bits(slab[word]);
        }
    }
}

fn word(layout: &Layout, node: NodeId) -> usize {
    layout.value[node.idx()].expect("`Layout` keeps every node that the tables read")
}

fn owned(sinks: &[u16], manifest: &Manifest) -> Box<[Owned]> {
    let instrument = |sink: u16| usize::from(manifest.sinks[sink as usize].instrument());
    let of = |at: usize| sinks.iter().copied().filter(move |sink| instrument(*sink) == at).collect::<Box<[u16]>>();
    let count = sinks.iter().map(|sink| instrument(*sink) + 1).max().unwrap_or(0);
    let all = (0..count).map(|at| Owned { instrument: at, sinks: of(at) });
    all.filter(|owned| !owned.sinks.is_empty()).collect()
}

fn refresh(owned: &[Owned], sinks: &[Sink], limits: &Outputs, layout: &Layout) -> Refresh {
    let first = |owned: &Owned| &sinks[owned.sinks[0] as usize];
    if owned.iter().any(|owned| first(owned).guard.is_some()) {
        return Refresh::Owners;
    }
    let outputs = owned.iter().flat_map(|owned| &first(owned).outputs.round);
    let outputs: Box<[Output]> = outputs.chain(&limits.round).copied().collect();
    if layout.direct.iter().map(Vec::len).sum::<usize>() == outputs.len() {
        Refresh::Done
    } else {
        Refresh::Outputs(outputs)
    }
}

fn indices(mine: impl Iterator<Item = bool>) -> impl Iterator<Item = u16> {
    mine.enumerate().filter_map(|(idx, mine)| mine.then_some(idx as u16))
}

/// Operands whose absence blocks the whole rule.
fn needs(action: &Action) -> impl Iterator<Item = NodeId> {
    let nodes: &[NodeId] = match action {
        Action::Go { args, .. } => args,
        Action::Next { value, .. } => core::slice::from_ref(value),
        Action::Clear { .. } | Action::Halt { .. } | Action::Finish { .. } | Action::Note { .. } => &[],
    };
    nodes.iter().copied()
}

fn effect(action: &Action, word: impl Fn(NodeId) -> usize) -> Option<Effect> {
    match action {
        Action::Go { mode, args } => Some(Effect::Go(*mode, args.iter().map(|a| word(*a)).collect())),
        Action::Next { state, value } => Some(Effect::Next(*state, word(*value))),
        Action::Clear { state } => Some(Effect::Clear(*state)),
        Action::Halt { message } => Some(Effect::Stop(Control::Halt(*message))),
        Action::Finish { message } => Some(Effect::Stop(Control::Finish(*message))),
        Action::Note { .. } => None,
    }
}
