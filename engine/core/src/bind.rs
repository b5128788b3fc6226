//! Binding of strategies to the run: names become numbers once, before the first frame; every mistake is listed at once.
use crate::{CoreConfig, StrategyConfig, TIMERS_MAX};
use tercel_event::{ClockSource, Input, InstrumentBinding, Manifest, Metric, SinkSpec, Strategy, Verdict, Via};
use tercel_types::{Instrument, InstrumentId, InstrumentKind, Instruments, Problem};

/// Numbers that a manifest's names stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    /// Per `Manifest::instruments`.
    pub instruments: Vec<InstrumentId>,
    /// Per `Manifest::signals`: index of the run's signal.
    pub signals: Vec<usize>,
}

/// A strategy names at most this many instruments and signals: their dirty sets are one word.
pub(crate) const NAMES_MAX: usize = 64;

impl CoreConfig {
    /// Everything wrong with the configuration that can be seen without the strategies.
    pub fn validate(&self) -> Vec<Problem> {
        let mut list = Vec::new();
        let mut check = |ok: bool, key: &str, seen: String, allowed: &str, help: &str| {
            if !ok {
                let (key, allowed, help) = (key.into(), allowed.into(), help.into());
                list.push(Problem { key, seen, allowed, help });
            }
        };
        let instruments = self.instruments.len();
        check(instruments > 0, "instruments", "none".into(), "at least one", "name the instruments of the run");
        let feeds = self.feeds.len();
        check(feeds == instruments, "feeds", format!("{feeds}"), "one per instrument", "give each instrument its feed");
        check(
            !self.accounts.is_empty(),
            "accounts",
            "none".into(),
            "at least one",
            "name the account that orders are for",
        );
        for (idx, instrument) in self.instruments.0.iter().enumerate() {
            let dense = instrument.id.idx() == idx;
            check(
                dense,
                "instruments",
                format!("{} at {idx}", instrument.id.0),
                "dense ids from 0",
                "number them in order",
            );
        }
        for (key, seen, allowed) in [
            ("risk.strategies", self.risk.strategies.len(), self.strategies.len()),
            ("risk.accounts", self.risk.accounts.len(), self.accounts.len()),
        ] {
            let (help, seen, same) = ("give each one its limits", format!("{seen} entries"), seen == allowed);
            check(same, key, seen, &format!("{allowed} entries"), help);
        }
        for (idx, strategy) in self.strategies.iter().enumerate() {
            let known = strategy.account.idx() < self.accounts.len();
            let key = format!("strategies[{idx}].account");
            check(known, &key, format!("{}", strategy.account.0), "an account of the run", "use a listed account");
        }
        for (key, span) in [
            ("outcome_timeout", self.outcome_timeout),
            ("status_retry", self.status_retry),
            ("resync_retry", self.resync_retry),
        ] {
            check(span.0 > 0, key, format!("{} ns", span.0), "more than 0", "give a positive duration, such as 2s");
        }
        list.extend(self.exec.validate());
        list
    }
}

/// Binds one strategy and applies its parameters.
pub(crate) fn bind(config: &CoreConfig, idx: usize, strategy: &mut dyn Strategy, problems: &mut Vec<Problem>) -> Bound {
    let Some(own) = config.strategies.get(idx) else { return Bound::default() };
    let manifest = strategy.manifest().clone();
    let mut out = Problems { prefix: format!("strategies.{}", own.name), list: problems };
    let mut bound = Bound::default();
    for binding in &manifest.instruments {
        match find_instrument(&config.instruments, own, binding) {
            Ok(instrument) => bound.instruments.push(instrument.id),
            Err((seen, allowed)) => {
                bound.instruments.push(InstrumentId(0));
                out.add(
                    &format!("instrument.{}", binding.alias),
                    seen,
                    allowed,
                    "name the symbol in the configuration",
                );
            }
        }
    }
    for signal in &manifest.signals {
        let found = config.signals.iter().position(|s| s.name == signal.model && s.schema == signal.schema);
        bound.signals.push(found.unwrap_or(0));
        if found.is_none() {
            let seen = format!("model `{}` schema {}", signal.model, signal.schema);
            out.add(&format!("signal.{}", signal.name), seen, "a signal of the run".into(), "declare the signal");
        }
    }
    check_shape(&manifest, &mut out);
    if manifest.limits.iter().any(|limit| limit.metric == Metric::LossPerDay) {
        let mut settle: Vec<&str> =
            bound.instruments.iter().filter_map(|&id| config.instruments.get(id)).map(|i| i.settle.as_str()).collect();
        settle.sort_unstable();
        settle.dedup();
        if settle.len() > 1 {
            let (seen, allowed) = (format!("{settle:?}"), "one settlement currency".to_string());
            out.add("limits.loss", seen, allowed, "split the strategy, or trade contracts of one currency");
        }
    }
    for (name, value) in &own.params {
        let found = manifest.params.iter().enumerate().find(|(_, spec)| &spec.name == name);
        // The range is checked here too: a strategy that takes any value is still held to what it declared.
        let set = found.map(|(at, spec)| match strategy.set_param(at, *value) {
            Ok(()) if (spec.lo..=spec.hi).contains(value) => Ok(()),
            _ => Err((value.to_string(), format!("{} .. {} {}", spec.lo, spec.hi, spec.unit))),
        });
        match set {
            Some(Ok(())) => {}
            Some(Err((seen, allowed))) => {
                out.add(&format!("params.{name}"), seen, allowed, "choose a value inside the declared range");
            }
            None => {
                let names: Vec<&str> = manifest.params.iter().map(|spec| spec.name.as_str()).collect();
                out.add(&format!("params.{name}"), "no such parameter".into(), names.join(", "), "check the spelling");
            }
        }
    }
    bound
}

/// Timer slots by class; `None` when the run would need more than the sequencer's frame can carry.
pub(crate) fn timer_counts(config: &CoreConfig, manifests: &[Manifest], sessions: usize) -> Option<[usize; 8]> {
    let strategies = manifests.len();
    let limits: usize = manifests.iter().map(|m| m.limits.len()).sum();
    let pairs: usize = manifests.iter().map(|m| m.instruments.len()).sum();
    let instruments = config.instruments.len();
    let counts = [strategies, limits, limits, pairs, 1, sessions, instruments, instruments];
    (counts.iter().sum::<usize>() <= TIMERS_MAX).then_some(counts)
}

struct Problems<'a> {
    prefix: String,
    list: &'a mut Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, key: &str, seen: String, allowed: String, help: &str) {
        self.list.push(Problem { key: format!("{}.{key}", self.prefix), seen, allowed, help: help.into() });
    }
}

fn find_instrument<'a>(
    master: &'a Instruments,
    own: &StrategyConfig,
    binding: &InstrumentBinding,
) -> Result<&'a Instrument, (String, String)> {
    let symbols = || master.0.iter().map(|i| i.symbol.as_str()).collect::<Vec<_>>().join(", ");
    if let Some((_, symbol)) = own.bindings.iter().find(|(alias, _)| alias == &binding.alias) {
        let found = master.by_symbol(symbol).ok_or_else(|| (format!("symbol `{symbol}`"), symbols()))?;
        let wanted = format!("{}({}/{})", binding.kind, binding.base, binding.quote);
        return if !kind_matches(found, &binding.kind) {
            Err((format!("`{symbol}`, which is {:?}", found.kind), wanted))
        } else if found.base != binding.base || found.quote != binding.quote {
            // The units of the whole strategy hang on these two words.
            Err((format!("`{symbol}`, which is {}/{}", found.base, found.quote), wanted))
        } else {
            Ok(found)
        };
    }
    let mut fitting = master
        .0
        .iter()
        .filter(|i| i.base == binding.base && i.quote == binding.quote && kind_matches(i, &binding.kind));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err((format!("no {}({}/{})", binding.kind, binding.base, binding.quote), symbols())),
        (Some(_), Some(_)) => {
            Err((format!("several {}({}/{})", binding.kind, binding.base, binding.quote), "exactly one".into()))
        }
    }
}

fn kind_matches(instrument: &Instrument, kind: &str) -> bool {
    match instrument.kind {
        InstrumentKind::Spot => kind == "spot",
        InstrumentKind::LinearPerp | InstrumentKind::InversePerp => kind == "perp",
    }
}

/// Indices of a manifest stay inside it, whoever wrote it.
fn check_shape(manifest: &Manifest, out: &mut Problems<'_>) {
    let (names, signals) = (manifest.instruments.len(), manifest.signals.len());
    if names > NAMES_MAX || signals > NAMES_MAX || manifest.clocks.len() > 64 {
        let seen = format!("{names} instruments, {signals} signals, {} clocks", manifest.clocks.len());
        out.add("manifest", seen, "at most 64 of each".into(), "split the strategy");
    }
    let instrument = |idx: u16| usize::from(idx) < names;
    let signal = |idx: u16| usize::from(idx) < signals;
    let slot = |idx: usize| idx < manifest.values_len;
    let inputs = manifest.inputs.iter().all(|input| match *input {
        Input::Instrument { instrument: idx, .. } => instrument(idx),
        Input::Signal { signal: idx } => signal(idx),
    });
    let clocks = manifest.clocks.iter().all(|clock| match *clock {
        ClockSource::Book(i) | ClockSource::Trades(i) | ClockSource::Quality(i) | ClockSource::Exec(i) => instrument(i),
        ClockSource::Signal(i) => signal(i),
        ClockSource::Timer | ClockSource::Param | ClockSource::Control => true,
    });
    let sinks = manifest.sinks.len() < 0xFE
        && manifest.sinks.iter().all(|sink| {
            instrument(sink.instrument())
                && match sink {
                    SinkSpec::Quote { legs, first_slot, with, .. } => {
                        legs.len() <= tercel_exec::MAX_LEGS
                            && (legs.is_empty() || slot(first_slot + 2 * legs.len() - 1))
                            && with.keep_slot.is_none_or(slot)
                            && with.keep_qty_slot.is_none_or(slot)
                    }
                    SinkSpec::Target { slot: at, via, .. } => {
                        slot(*at)
                            && match *via {
                                Via::Aggressive { max_slip_slot } => slot(max_slip_slot),
                                Via::Ioc { limit_slot, .. } => slot(limit_slot),
                            }
                    }
                }
        });
    let limits = manifest.limits.iter().all(|limit| {
        slot(limit.bound_slot)
            && match limit.metric {
                Metric::Position(i) | Metric::Notional(i) | Metric::OrderSize(i) | Metric::FeedSilence(i) => {
                    instrument(i)
                }
                Metric::OrderRate { per } => per.0 > 0,
                Metric::LossPerDay => true,
            }
            && limit.verdicts.iter().all(|verdict| match *verdict {
                Verdict::Pull(i) | Verdict::Flatten(i) => instrument(i),
                Verdict::Refuse | Verdict::Halt(_) => true,
            })
    });
    for (ok, part) in [(inputs, "inputs"), (clocks, "clocks"), (sinks, "sinks"), (limits, "limits")] {
        if !ok {
            let help = "the compiler that made the strategy is wrong; report it";
            out.add("manifest", format!("{part} point outside"), "indices inside the manifest".into(), help);
        }
    }
}
