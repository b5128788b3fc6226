//! The static report of a strategy: what it costs and when it is ready, known before it runs.
use crate::check::{Checker, Memory};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use tercel_event::{Manifest, SinkSpec};
use tercel_graph::{ClockSet, NodeId, Program, Readiness};

/// Costs and readiness of one strategy. Operations are counted, not timed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticReport {
    pub strategy: String,
    pub version: u32,
    pub nodes: usize,
    /// Bytes of state in the engine, inputs and code excluded.
    pub state_bytes: usize,
    /// Operations of an instant in which only this clock ticks: "book(x)", "every 1s".
    pub entries: Vec<(String, u64)>,
    /// Operations of the dearest possible instant, all commit rounds included.
    pub operations_max: u64,
    /// Periods of periodic clocks, in ns.
    pub timers: Vec<i64>,
    /// One timer slot each: deadlines, expiries, panes.
    pub deadlines: usize,
    /// Most orders that the strategy can want in the market at once.
    pub orders_max: usize,
    pub warm_up: Vec<WarmUp>,
    /// Live time after which every operator is ready; operators that count ticks of the feed add their ticks.
    pub ready_after_ns: i64,
    pub ready_after_ticks: u32,
}

/// Readiness of one operator with memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// As written.
    pub text: String,
    pub line: usize,
    /// Live time, when a periodic clock or the width of a window gives one.
    pub ready_after_ns: Option<i64>,
    /// Ticks of its clock otherwise.
    pub ready_after_ticks: u32,
    /// Until the seed weighs less than 1e-6; information only.
    pub settles_after_ns: Option<i64>,
}

impl StaticReport {
    pub(crate) fn new(checker: &Checker<'_>) -> Self {
        let (program, manifest) = (&checker.program, &checker.manifest);
        let counts = program.report(manifest);
        let lines = crate::span::Lines::new(checker.source());
        let names = manifest.clocks.iter().map(|c| checker.clock_name(*c));
        let timers: Vec<i64> = program.timers.iter().map(|t| t.0).collect();
        let names = names.chain(timers.iter().map(|t| format!("every {}", span_text(*t))));
        let mut warm_up: Vec<WarmUp> = Vec::new();
        for memory in &checker.stateful {
            let ready = lag(program, memory);
            if ready == Readiness::default() {
                continue;
            }
            let clocks = memory.nodes.iter().fold(ClockSet::NONE, |set, n| set | program.node(*n).clocks);
            let period = (0..timers.len()).find(|&i| clocks == ClockSet::timer(i)).map(|i| timers[i]);
            let by_ticks = period.map(|p| p.saturating_mul(i64::from(ready.ready_after_ticks)));
            let one = WarmUp {
                text: checker.text(memory.span),
                line: lines.position(checker.source(), memory.span.start).0,
                ready_after_ns: if ready.ready_after_ns > 0 { Some(ready.ready_after_ns) } else { by_ticks },
                ready_after_ticks: if period.is_some() { 0 } else { ready.ready_after_ticks },
                settles_after_ns: (ready.settles_after_ns > 0).then_some(ready.settles_after_ns),
            };
            if !warm_up.contains(&one) {
                warm_up.push(one);
            }
        }
        Self {
            strategy: manifest.name.clone(),
            version: manifest.version,
            nodes: counts.nodes,
            state_bytes: counts.state_bytes,
            entries: names.zip(counts.ops_per_clock.iter().copied()).collect(),
            operations_max: counts.ops_per_instant_max,
            timers,
            deadlines: counts.deadlines,
            orders_max: orders_max(manifest),
            ready_after_ns: warm_up.iter().filter_map(|w| w.ready_after_ns).max().unwrap_or(0),
            ready_after_ticks: warm_up.iter().map(|w| w.ready_after_ticks).max().unwrap_or(0),
            warm_up,
        }
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let quoted = crate::diagnostic::json_string;
        let _ = write!(
            out,
            "{{\"strategy\":{},\"version\":{},\"nodes\":{},\"state_bytes\":{},\"operations_max\":{},\"deadlines\":{},\
             \"orders_max\":{},\"ready_after_ns\":{},\"ready_after_ticks\":{},\"timers_ns\":{:?},\"entries\":{{",
            quoted(&self.strategy),
            self.version,
            self.nodes,
            self.state_bytes,
            self.operations_max,
            self.deadlines,
            self.orders_max,
            self.ready_after_ns,
            self.ready_after_ticks,
            self.timers,
        );
        for (idx, (name, count)) in self.entries.iter().enumerate() {
            let _ = write!(out, "{}{}:{count}", if idx == 0 { "" } else { "," }, quoted(name));
        }
        out.push_str("}}");
        out
    }
}

/// Readiness of something with memory from its operands on: along the longest way through the graph each operator waits
/// for the first value of the one before it. `sum` counts its ticks and its time separately.
fn lag(program: &Program, memory: &Memory) -> Readiness {
    let none = Readiness::default();
    // Ticks before the first value, time, settling.
    let mut known: BTreeMap<NodeId, (u32, i64, i64)> =
        memory.operands.iter().map(|operand| (*operand, (0, 0, 0))).collect();
    let mut open: Vec<NodeId> = memory.nodes.clone();
    while let Some(&node) = open.last() {
        let of = program.node(node);
        let missing: Vec<NodeId> = of.args.iter().filter(|a| !known.contains_key(a)).copied().collect();
        if known.contains_key(&node) || missing.is_empty() {
            open.pop();
            let own = of.op.readiness().unwrap_or(none);
            let mut wait = (0, 0, 0);
            for arg in &of.args {
                let (ticks, ns, settles) = known[arg];
                wait = (wait.0.max(ticks), wait.1.max(ns), wait.2.max(settles));
            }
            let here = (
                wait.0.saturating_add(own.ready_after_ticks.saturating_sub(1)),
                wait.1.saturating_add(own.ready_after_ns),
                wait.2.max(own.settles_after_ns),
            );
            known.entry(node).or_insert(here);
        } else {
            open.extend(missing);
        }
    }
    let mut ready = none;
    let mut remembers = false;
    for node in &memory.nodes {
        let (ticks, ns, settles) = known[node];
        remembers |= ticks > 0 || ns > 0;
        ready.ready_after_ticks = ready.ready_after_ticks.max(ticks);
        ready.ready_after_ns = ready.ready_after_ns.max(ns);
        ready.settles_after_ns = ready.settles_after_ns.max(settles);
    }
    if remembers && (ready.ready_after_ticks > 0 || ready.ready_after_ns == 0) {
        ready.ready_after_ticks += 1;
    }
    ready
}

/// Per instrument the most legs of any of its sinks: one sink owns it at a time, and a target works one order.
fn orders_max(manifest: &Manifest) -> usize {
    let legs = |sink: &SinkSpec| match sink {
        SinkSpec::Quote { legs, .. } => legs.len(),
        SinkSpec::Target { .. } => 1,
    };
    (0..manifest.instruments.len())
        .map(|x| manifest.sinks.iter().filter(|s| s.instrument() as usize == x).map(legs).max().unwrap_or(0))
        .sum()
}

impl fmt::Display for StaticReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "strategy {} version {}", self.strategy, self.version)?;
        writeln!(f, "  nodes {}, state {} bytes", self.nodes, self.state_bytes)?;
        for (name, count) in &self.entries {
            writeln!(f, "  {name:<16} {count:>6} operations")?;
        }
        writeln!(f, "  {:<16} {:>6} operations", "worst instant", self.operations_max)?;
        writeln!(
            f,
            "  periodic clocks {}, timer slots {}, orders at most {}",
            self.timers.len(),
            self.deadlines,
            self.orders_max
        )?;
        for w in &self.warm_up {
            let ready = match w.ready_after_ns {
                Some(ns) => span_text(ns),
                None => format!("{} ticks", w.ready_after_ticks),
            };
            let settles =
                w.settles_after_ns.map_or_else(String::new, |ns| format!(", settles after {}", span_text(ns)));
            writeln!(f, "  line {}: `{}` is ready after {ready}{settles}", w.line, w.text)?;
        }
        Ok(())
    }
}

/// `250ms`, `1s`, `2min`: the largest unit that divides evenly, milliseconds at least for odd figures.
pub(crate) fn span_text(ns: i64) -> String {
    const UNITS: [(i64, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    if ns > 1_000_000_000 && ns % 1_000_000 != 0 {
        return format!("{:.3}s", ns as f64 / 1e9);
    }
    let (size, word) = UNITS.into_iter().find(|(size, _)| ns % size == 0).unwrap_or((1, "ns"));
    format!("{}{word}", ns / size)
}
