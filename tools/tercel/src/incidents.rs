//! What did not happen and why: refused orders, latched verdicts, halts. Collected from the notes that the core leaves beside
//! its commands, and put into words with the strategies' own texts.
use crate::config::RunConfig;
use crate::operator;
use crate::report::{control_word, utc};
use crate::strategies::{self, Named};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tercel_core::{LogSink, NO_INSTRUMENT, NO_STRATEGY, STRATEGY_LIMIT};
use tercel_event::{Frame, FrameHeader, FrameKind, Kill, Metric, Mode, Note, Reason, Scope, Verdict};
use tercel_types::{Instrument, InstrumentId, TimeNs};

/// Kept events; a run that has more has said what it has to say.
const EVENTS_MAX: usize = 1_000;

/// Collects; cheap enough for every frame of a run.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    /// By strategy and control; controls from `STRATEGY_LIMIT` are the strategy's own limits.
    refused: BTreeMap<(u16, u16), Refused>,
    events: Vec<Event>,
    more: u64,
    /// Scope and number of an operator action that its note has not followed yet, and whether it only begins or ends a run.
    asked: Option<(Option<Scope>, u16, bool)>,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    /// Times that it began to refuse: the core notes a change, not every repetition.
    times: u64,
    instrument: InstrumentId,
    /// The largest value that was asked for, and its bound.
    value: i64,
    bound: i64,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: TimeNs,
    note: Note,
    scope: Option<Scope>,
    id: u16,
}

impl Incidents {
    pub fn take(&mut self, frame: &Frame<'_>) {
        match frame.kind() {
            Ok(FrameKind::Note) => {
                if let Ok(note) = frame.body::<Note>() {
                    self.note(frame.header.ts_seq, note);
                }
            }
            Ok(FrameKind::Kill) => {
                if let Ok(kill) = frame.body::<Kill>() {
                    self.asked = Some((Scope::from_code(kill.scope), kill.id, operator::is_end(&kill)));
                }
            }
            Ok(FrameKind::Mode) => {
                if let Ok(mode) = frame.body::<Mode>() {
                    self.asked = Some((Scope::from_code(mode.scope), mode.id, operator::is_own(&mode)));
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, at: TimeNs, note: Note) {
        let is = |reason: Reason| note.reason == reason as u16;
        if is(Reason::RiskRefused) {
            // Without a control it is a leg that waits after a refusal.
            if note.control == 0 {
                return;
            }
            let found = self.refused.entry((note.strategy.0, note.control)).or_insert(Refused {
                times: 0,
                instrument: note.instrument,
                value: note.value,
                bound: note.limit,
            });
            found.times += 1;
            if note.value > found.value {
                (found.value, found.bound, found.instrument) = (note.value, note.limit, note.instrument);
            }
            return;
        }
        // Of the operator's notes only those of trading states and the kill word are about orders.
        let is_state = is(Reason::Operator) && matches!(note.control, 20 | 22);
        if !(is(Reason::Verdict) || is_state || note.strategy == NO_STRATEGY && is(Reason::Reconcile)) {
            return;
        }
        // A leg that is held back by a verdict is no event of its own.
        if note.control == 0 && note.value == 0 && note.instrument != NO_INSTRUMENT {
            return;
        }
        let (scope, id) = match (is_state && note.control == 20, self.asked.take()) {
            (false, _) => (None, 0),
            (true, Some((scope, id, false))) => (scope, id),
            // The end of a run, or what follows a halt that has its own note.
            (true, _) => return,
        };
        if self.events.len() == EVENTS_MAX {
            self.more += 1;
        } else {
            self.events.push(Event { at, note, scope, id });
        }
    }

    /// `{refused, events, events_more}` for the report.
    pub fn json(&self, config: &RunConfig) -> Value {
        let named = strategies::named(config);
        let words = Words { config, named: &named };
        let refused: Vec<Value> = self.refused.iter().map(|(key, refused)| words.refused(*key, refused)).collect();
        let events: Vec<Value> = self.events.iter().map(|event| words.event(event)).collect();
        json!({ "refused": refused, "events": events, "events_more": self.more })
    }
}

struct Words<'a> {
    config: &'a RunConfig,
    named: &'a [Named],
}

/// Value and bound as texts in one unit.
type Amounts = (Value, Value, Value);

impl Words<'_> {
    fn strategy(&self, id: u16) -> Option<&Named> {
        self.named.get(usize::from(id))
    }

    fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.config.core.instruments.get(id)
    }

    fn currency(&self) -> &str {
        self.config.core.instruments.0.first().map_or("", |instrument| instrument.settle.as_str())
    }

    fn refused(&self, (strategy, control): (u16, u16), refused: &Refused) -> Value {
        let named = self.strategy(strategy);
        let limit = control.checked_sub(STRATEGY_LIMIT).map(usize::from);
        let instrument = self.instrument(refused.instrument);
        let amounts = match limit {
            Some(at) => self.of_limit(named, at, instrument, refused.value, refused.bound),
            None => self.of_control(control, instrument, refused.value, refused.bound),
        };
        let (value, bound, unit) = amounts.unwrap_or_default();
        json!({
            "strategy": named.map(|named| named.name.clone()),
            "control": control_word(if limit.is_some() { 0 } else { control }),
            "limit": limit.and_then(|at| named?.limits.get(at)),
            "symbol": instrument.map(|instrument| instrument.symbol.clone()),
            "value": value,
            "bound": bound,
            "unit": unit,
            "times": refused.times,
        })
    }

    fn of_limit(
        &self,
        named: Option<&Named>,
        at: usize,
        instrument: Option<&Instrument>,
        value: i64,
        bound: i64,
    ) -> Option<Amounts> {
        match named?.manifest.limits.get(at)?.metric {
            Metric::Position(_) | Metric::OrderSize(_) => lots(instrument, value, bound),
            // What happened before, and the order that would have been one more.
            Metric::OrderRate { .. } => Some((json!(value.saturating_add(1)), json!(bound), json!("orders"))),
            Metric::Notional(_) => Some((json!(value), json!(bound), json!(self.currency()))),
            Metric::FeedSilence(_) | Metric::LossPerDay => None,
        }
    }

    /// Controls whose two numbers have one meaning; the others count different things from case to case.
    fn of_control(&self, control: u16, instrument: Option<&Instrument>, value: i64, bound: i64) -> Option<Amounts> {
        match control {
            4 | 12 => lots(instrument, value, bound),
            5 => Some(self.micros(value, bound)),
            8 => Some((json!(value), json!(bound), json!("messages"))),
            _ => None,
        }
    }

    fn micros(&self, value: i64, bound: i64) -> Amounts {
        let text = |micros: i64| {
            let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
            json!(format!("{}{whole}.{part:06}", if micros < 0 { "-" } else { "" }))
        };
        (text(value), text(bound), json!(self.currency()))
    }

    fn event(&self, event: &Event) -> Value {
        let note = &event.note;
        let named = self.strategy(note.strategy.0);
        let instrument = self.instrument(note.instrument);
        let message = |at: i64| named.and_then(|named| named.manifest.messages.get(usize::try_from(at).ok()?).cloned());
        let limit_at = usize::try_from(note.limit).unwrap_or(usize::MAX);
        let limit = named.and_then(|named| named.manifest.limits.get(limit_at));
        let limit_text = || named.and_then(|named| named.limits.get(limit_at).cloned());
        let halts = limit.and_then(|limit| {
            limit.verdicts.iter().find_map(|verdict| match verdict {
                Verdict::Halt(at) => Some(i64::from(*at)),
                _ => None,
            })
        });
        let mut value = json!({
            "at": utc(event.at),
            "strategy": named.map(|named| named.name.clone()),
            "account": null,
            "symbol": instrument.map(|instrument| instrument.symbol.clone()),
            "reason": null, "limit": null, "message": null, "value": null, "bound": null, "unit": null,
        });
        let mut set = |what: &str, reason: &str| {
            value["what"] = json!(what);
            value["reason"] = json!(reason);
        };
        let by_limit = "a limit of the strategy";
        match (note.control, note.value, instrument.is_some()) {
            _ if note.reason == Reason::Operator as u16 && note.control == 20 => {
                let state = ["", "active", "reducing", "halted"].get(note.value as usize).copied().unwrap_or("");
                set(state, "an operator's word");
                if event.scope == Some(Scope::Account) {
                    let account = self.config.core.accounts.get(usize::from(event.id));
                    value["account"] = json!(account.map(|account| account.name.clone()));
                }
            }
            (0, 1, false) => {
                set("halted", "the strategy's own `halt`");
                value["message"] = json!(message(note.limit));
            }
            (0, 2, false) => {
                set("finished", "the strategy's own `finish`");
                value["message"] = json!(message(note.limit));
            }
            (0, 3, false) if halts.is_none() => set("halted", "modes that change without end in one instant"),
            (0, code @ 0..=4, _) => {
                set(["released", "pulled", "flattened", "halted", "refused"][code as usize], by_limit);
                value["limit"] = json!(limit_text());
                if code == 3 {
                    value["message"] = json!(halts.and_then(message));
                }
            }
            (control, seen, _) => {
                set(if control == 12 { "reducing" } else { "halted" }, halt_word(control));
                let amounts = match control {
                    14 => Some(self.micros(seen, note.limit)),
                    8 => Some((json!(seen), json!(note.limit), json!("runs into the message rate"))),
                    _ => None,
                };
                if let Some((seen, bound, unit)) = amounts {
                    (value["value"], value["bound"], value["unit"]) = (seen, bound, unit);
                }
            }
        }
        value
    }
}

/// Why risk or the core halted by itself.
fn halt_word(control: u16) -> &'static str {
    match control {
        10 => "order ids are used up",
        11 => "reconciliation found an order that does not fit",
        12 => "a late fill beyond the position limit",
        22 => "the kill word",
        32 => "risk and order table disagree",
        other => control_word(other),
    }
}

fn lots(instrument: Option<&Instrument>, value: i64, bound: i64) -> Option<Amounts> {
    let instrument = instrument?;
    let text = |lots: i64| json!(instrument.lot.text_of(lots).to_string());
    Some((text(value), text(bound), json!(instrument.base)))
}

/// One refusal for people, where it says more than the count.
pub fn refused_line(value: &Value) -> Option<String> {
    let text = |key: &str| shown(&value[key]);
    let what = value["limit"].as_str().or_else(|| value["control"].as_str())?;
    let bound = value["bound"].is_null();
    (!bound || value["limit"].is_string()).then(|| {
        let mut line = format!("{}: {what}", text("strategy"));
        if !bound {
            line +=
                &format!("; asked for {} {unit}, bound {} {unit}", text("value"), text("bound"), unit = text("unit"));
        }
        line
    })
}

/// One event for people.
pub fn event_line(value: &Value) -> String {
    let who = match (value["strategy"].as_str(), value["account"].as_str()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(account)) => format!("account {account}"),
        (None, None) => "everything".to_owned(),
    };
    // Milliseconds are enough for people.
    let at = shown(&value["at"]);
    let mut line = format!("{}Z {who} {}", at.get(..23).unwrap_or(&at), shown(&value["what"]));
    if let Some(symbol) = value["symbol"].as_str() {
        line += &format!(" {symbol}");
    }
    if let Some(message) = value["message"].as_str() {
        line += &format!(": \"{message}\"");
    }
    match value["limit"].as_str() {
        Some(limit) => line += &format!(", by `{limit}`"),
        None => line += &format!(", by {}", shown(&value["reason"])),
    }
    if !value["bound"].is_null() {
        line += &format!(
            ": {} {unit}, bound {} {unit}",
            shown(&value["value"]),
            shown(&value["bound"]),
            unit = shown(&value["unit"])
        );
    }
    line
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A log that keeps nothing but the incidents: for a backtest.
#[derive(Default)]
pub struct IncidentLog {
    pub incidents: Incidents,
}

impl LogSink for IncidentLog {
    fn room(&self) -> usize {
        usize::MAX
    }

    fn append(&mut self, header: &FrameHeader, body: &[u8]) -> bool {
        self.incidents.take(&Frame { header: *header, body });
        true
    }
}
