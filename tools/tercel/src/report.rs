//! The final report of a run, as JSON and as text.
use crate::config::RunConfig;
use crate::engine::Ended;
use crate::incidents::{self, Incidents};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tercel_core::{Pnl, Report};
use tercel_runtime::LatencyNs;
use tercel_types::{Decimal, InstrumentId, TimeNs};

/// Words of the controls, by number.
pub fn control_word(control: u16) -> &'static str {
    match control {
        0 => "strategy limit",
        1 => "C1 attribution",
        3 => "C3 form",
        4 => "C4 max quantity",
        5 => "C5 max value",
        6 => "C6 price collar",
        8 => "C8 message rate",
        10 => "C10 duplicate",
        11 => "C11 open exposure",
        12 => "C12 position",
        14 => "C14 loss",
        15 => "C15 self-trade",
        20 => "C20 trading state",
        33 => "C33 start gate",
        _ => "other",
    }
}

fn pnl(pnl: &Pnl, currency: &str) -> Value {
    json!({
        "currency": currency,
        "realised": pnl.realised.to_string(),
        "unrealised": pnl.unrealised.to_string(),
        "fees": pnl.fees.to_string(),
        "net": pnl.net.to_string(),
    })
}

/// Samples that a quantile needs to say anything: a hundred for the highest hundredth, a thousand for the highest thousandth.
const P99_SAMPLES: u64 = 100;
const P999_SAMPLES: u64 = 1_000;

/// Percentiles in ns, each `null` with too few samples; `null` altogether when nothing was measured.
pub fn latency(histogram: &LatencyNs) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let of = |quantile: f64, least: u64| (histogram.len() >= least).then(|| histogram.value_at_quantile(quantile));
    json!({
        "p50": of(0.5, 1),
        "p99": of(0.99, P99_SAMPLES),
        "p999": of(0.999, P999_SAMPLES),
        "max": histogram.max(),
        "count": histogram.len(),
    })
}

/// An instant as people and programs read it: `2024-08-08T12:00:00.123456789Z`.
pub fn utc(at: TimeNs) -> String {
    let (seconds, ns) = (at.0.div_euclid(1_000_000_000), at.0.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date of a day number: Howard Hinnant, chrono-compatible low-level date algorithms.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}

/// What the core counted: the part that live runs, backtests and replays share.
pub fn of_core(report: &Report, config: &RunConfig, incidents: &Incidents) -> Value {
    let (c, instruments) = (&report.counters, &config.core.instruments);
    // One settlement currency per run, which the configuration has been checked for.
    let currency = instruments.0.first().map_or("", |instrument| instrument.settle.as_str());
    let rejects: serde_json::Map<String, Value> =
        report.rejects.iter().map(|(control, count)| (control_word(*control).to_owned(), json!(count))).collect();
    let total = report.accounts.iter().fold(Pnl::default(), |sum, account| Pnl {
        realised: sum.realised + account.pnl.realised,
        unrealised: sum.unrealised + account.pnl.unrealised,
        fees: sum.fees + account.pnl.fees,
        net: sum.net + account.pnl.net,
    });
    let position = |p: &tercel_core::PositionReport| {
        let lot = instruments.get(p.instrument).map(|i| i.lot);
        let base = instruments.get(p.instrument).map(|i| i.base.clone());
        json!({
            "symbol": p.symbol,
            "unit": base,
            "qty": lot.map(|lot| lot.text_of(p.qty.0).to_string()),
            "bought": lot.map(|lot| lot.text_of(p.bought.0).to_string()),
            "sold": lot.map(|lot| lot.text_of(p.sold.0).to_string()),
            "fills": p.fills,
            "pnl": pnl(&p.pnl, &p.settle),
        })
    };
    let strategies: Vec<Value> = report
        .strategies
        .iter()
        .map(|s| {
            json!({
                "name": s.name,
                "file": config.strategies.get(s.id.idx()).map(|entry| entry.file.clone()),
                "hash": format!("{:016x}", s.hash),
                "mode": s.mode,
                "instants": s.instants,
                "halted": s.halted,
                "positions": s.positions.iter().map(position).collect::<Vec<_>>(),
                "pnl": pnl(&s.pnl, currency),
            })
        })
        .collect();
    let accounts: Vec<Value> = report
        .accounts
        .iter()
        .map(|a| json!({"name": a.name, "positions": a.positions.iter().map(position).collect::<Vec<_>>(), "pnl": pnl(&a.pnl, currency)}))
        .collect();
    let quality: serde_json::Map<String, Value> = report
        .feeds
        .iter()
        .map(|f| (f.symbol.clone(), json!({"live": f.live, "live_share": f.live_share, "faults": f.faults})))
        .collect();
    let mut held: BTreeMap<u32, i64> = BTreeMap::new();
    for position in report.accounts.iter().flat_map(|account| &account.positions) {
        *held.entry(position.instrument.0).or_default() += position.qty.0;
    }
    let positions: serde_json::Map<String, Value> = held
        .iter()
        .filter_map(|(id, qty)| instruments.get(InstrumentId(*id)).map(|i| (i, *qty)))
        .map(|(i, qty)| (i.symbol.clone(), json!(i.lot.text_of(qty).to_string())))
        .collect();
    let bases: serde_json::Map<String, Value> =
        instruments.0.iter().map(|i| (i.symbol.clone(), json!(i.base))).collect();
    let fees: serde_json::Map<String, Value> = instruments
        .0
        .iter()
        .map(|i| {
            let (maker, taker) = (bps(i.fees.maker_e8), bps(i.fees.taker_e8));
            (i.symbol.clone(), json!({ "maker_bps": maker, "taker_bps": taker }))
        })
        .collect();
    let incidents = incidents.json(config);
    let gaps: u64 = report.feeds.iter().map(|f| f.counters.gaps).sum();
    let resyncs: u64 = report.feeds.iter().map(|f| f.counters.resyncs_done).sum();
    let not_sent: u64 = c.not_sent.iter().sum();
    json!({
        "orders": c.orders,
        "fills": c.fills,
        "fills_passive": c.fills_passive,
        "fills_partial": c.fills_partial,
        "replaces": c.replaced,
        "cancels": c.cancels,
        "orders_open": report.orders_open,
        "sent": c.sent,
        "not_sent": not_sent,
        "venue_rejects": c.venue_rejects,
        "cancel_rejects": c.cancel_rejects,
        "message_rejects": c.message_rejects,
        "order_breaches": c.order_breaches,
        "unreadable_reports": c.unreadable_reports,
        "status_asked": c.status_asked,
        "session_losses": c.session_losses,
        "epochs": c.epochs,
        "bad_frames": c.bad_frames,
        "rejects": rejects,
        "refused": incidents["refused"],
        "events": incidents["events"],
        "events_more": incidents["events_more"],
        "currency": currency,
        "position": positions,
        "position_unit": bases,
        "fee_rates": fees,
        "pnl": pnl(&total, currency),
        "feed": {"gaps": gaps, "resyncs": resyncs, "quality": quality},
        "signals": {"used": c.signals_used, "absent": c.signals_absent},
        "strategies": strategies,
        "accounts": accounts,
        "frames": c.frames,
        "state_hash": format!("{:016x}", report.state_hash),
    })
}

/// A rate in 10^-8 as basis points.
fn bps(rate_e8: i64) -> String {
    let text = Decimal { mantissa: rate_e8, scale: 4 }.to_string();
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The report of a live run, without the replay's verdict.
pub fn of_run(ended: &Ended, config: &RunConfig, incidents: &Incidents, topology: &str) -> Value {
    let mut value = of_core(&ended.report, config, incidents);
    value["speed"] = json!(config.speed);
    value["feed"]["messages"] = json!(ended.feed.messages);
    value["feed"]["counters"] = ended
        .feed
        .list()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    value["latency"] =
        json!({ "tick_to_trade_ns": if config.speed == 1 { latency(&ended.latency) } else { Value::Null } });
    value["signals"]["slots_read"] = json!(ended.signals.values.get());
    value["signals"]["withdrawn"] = json!(ended.signals.withdrawn.get());
    value["signals"]["faults"] = json!(ended.signals.faults.get());
    value["topology"] = json!(topology);
    value["book_of_orders"] = ended.orders.clone();
    value["clock_offset_ns_max"] = json!(ended.max_clock_offset_ns);
    value["duration_s"] = json!((ended.duration.as_secs_f64() * 1e3).round() / 1e3);
    if let Some((error, lost)) = &ended.journal_failure {
        value["journal_failure"] = json!({"error": error, "frames_lost": lost});
    }
    if !ended.wedged.is_empty() {
        value["wedged"] = json!(ended.wedged);
    }
    value
}

/// Lines of incidents that are shown; the JSON has all.
const SHOWN: usize = 12;

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The same for people.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "orders      {} ({} replaced, {} cancels), fills {} ({} passive, {} partial), open {}",
        value["orders"],
        value["replaces"],
        value["cancels"],
        value["fills"],
        value["fills_passive"],
        value["fills_partial"],
        value["orders_open"]
    );
    if let Some(rejects) = value["rejects"].as_object() {
        let words: Vec<String> = rejects.iter().map(|(control, count)| format!("{control}: {count}")).collect();
        let _ = writeln!(out, "refused     {}", if words.is_empty() { "nothing".into() } else { words.join(", ") });
    }
    let refused: Vec<String> = list(&value["refused"]).iter().filter_map(incidents::refused_line).collect();
    lines(&mut out, "", &refused, 0);
    let events: Vec<String> = list(&value["events"]).iter().map(incidents::event_line).collect();
    lines(&mut out, "events", &events, value["events_more"].as_u64().unwrap_or(0) as usize);
    if let Some(positions) = value["position"].as_object() {
        let word = |(symbol, qty): (&String, &Value)| {
            let base = value["position_unit"][symbol.as_str()].as_str().unwrap_or("");
            format!("{} {base} in {symbol}", show(qty))
        };
        let is_open = |(_, qty): &(&String, &Value)| show(qty).bytes().any(|digit| (b'1'..=b'9').contains(&digit));
        let words: Vec<String> = positions.iter().filter(is_open).map(word).collect();
        let _ = writeln!(out, "position    {}", if words.is_empty() { "flat".into() } else { words.join(", ") });
    }
    let pnl = &value["pnl"];
    let _ = writeln!(
        out,
        "P&L         net {}  (realised {}, unrealised {}, fees {})",
        money(pnl, "net"),
        money(pnl, "realised"),
        money(pnl, "unrealised"),
        money(pnl, "fees")
    );
    for strategy in list(&value["strategies"]) {
        let _ = writeln!(
            out,
            "  {:<24} net {:>17}  hash {}{}{}",
            show(&strategy["name"]),
            money(&strategy["pnl"], "net"),
            show(&strategy["hash"]),
            if strategy["mode"] == "" { String::new() } else { format!("  mode {}", show(&strategy["mode"])) },
            if strategy["halted"] == true { "  HALTED" } else { "" },
        );
    }
    data_lines(value, &mut out);
    let _ = writeln!(out, "signals     {} used, {} absent", value["signals"]["used"], value["signals"]["absent"]);
    let ticks = &value["latency"]["tick_to_trade_ns"];
    if ticks.is_object() {
        let us = |key: &str| match ticks[key].as_f64() {
            Some(ns) => format!("{:.1} us", ns / 1e3),
            None => format!("n/a ({} samples)", ticks["count"]),
        };
        let _ = writeln!(
            out,
            "latency     receive to order on the socket: p50 {}, p99 {}, p99.9 {}, max {} over {} orders",
            us("p50"),
            us("p99"),
            us("p999"),
            us("max"),
            ticks["count"]
        );
    } else if let Some(speed) = value["speed"].as_u64().filter(|speed| *speed > 1) {
        let _ =
            writeln!(out, "latency     not measured at {speed}x: engine time runs {speed} times as fast as the clock");
    }
    if let Some(topology) = value["topology"].as_str() {
        let _ = writeln!(out, "topology    {topology}");
    }
    if let Some(replay) = value["replay"].as_object() {
        let identical = replay.get("identical") == Some(&Value::Bool(true));
        let _ = writeln!(
            out,
            "replay      {}: {} frames, state hash {}",
            if identical { "identical" } else { "DIFFERENT" },
            replay.get("frames").map_or("?".into(), show),
            replay.get("state_hash").map_or("?".into(), show)
        );
        if let Some(difference) = replay.get("difference").filter(|d| !d.is_null()) {
            let _ = writeln!(out, "            {}", show(difference));
        }
    }
    if let Some(failure) = value["journal_failure"].as_object() {
        let _ = writeln!(out, "JOURNAL     {}", failure.get("error").map_or(String::new(), show));
    }
    out
}

/// What was played or received, and by which rules it was traded.
fn data_lines(value: &Value, out: &mut String) {
    let feed = &value["feed"];
    let data = &value["data"];
    if data.is_object() {
        let span = data["span_s"].as_f64().unwrap_or(0.0);
        let (from, to) = (show(&data["from"]), show(&data["to"]));
        let _ = writeln!(
            out,
            "data        {span:.1} s of {}, {from} to {to}: {} messages, {} gaps, {} resyncs",
            show(&data["file"]),
            data["messages"],
            feed["gaps"],
            feed["resyncs"]
        );
        for (symbol, rates) in value["fee_rates"].as_object().into_iter().flatten() {
            let (maker, taker) = (show(&rates["maker_bps"]), show(&rates["taker_bps"]));
            let _ = writeln!(out, "fees        {symbol}: maker {maker} bps, taker {taker} bps of the value");
        }
        let _ = writeln!(out, "latency     {}", show(&value["latency_words"]));
        let _ = writeln!(out, "queue       {}: {}", show(&value["queue_model"]), show(&value["queue_words"]));
    } else if let Some(messages) = feed["messages"].as_u64() {
        let _ = writeln!(out, "feed        {messages} messages, {} gaps, {} resyncs", feed["gaps"], feed["resyncs"]);
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The first of `all` under a heading; how many are left out, `more` of them unlisted anywhere.
fn lines(out: &mut String, heading: &str, all: &[String], more: usize) {
    for (at, line) in all.iter().take(SHOWN).enumerate() {
        let _ = writeln!(out, "{:<11} {line}", if at == 0 { heading } else { "" });
    }
    let left = all.len().saturating_sub(SHOWN) + more;
    if left > 0 {
        let _ = writeln!(out, "            and {left} more; --json lists them");
    }
}

/// Four decimals of an exact amount with its currency, for people.
fn money(pnl: &Value, key: &str) -> String {
    let Some(text) = pnl[key].as_str() else { return "?".into() };
    let amount = match text.split_once('.') {
        // Cut for display only; the JSON has every digit.
        Some((whole, fraction)) => format!("{whole}.{}", &fraction[..fraction.len().min(4)]),
        None => text.to_owned(),
    };
    format!("{amount} {}", pnl["currency"].as_str().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_the_json_says() {
        let value = json!({
            "orders": 3, "replaces": 1, "cancels": 2, "fills": 2, "fills_passive": 1, "fills_partial": 0, "orders_open": 0,
            "rejects": {"C6 price collar": 4}, "position": {"BTCUSDT": "0.010"}, "position_unit": {"BTCUSDT": "BTC"},
            "pnl": {"currency": "USDT", "net": "-1.234567", "realised": "0.00", "unrealised": "0.00", "fees": "1.234567"},
            "refused": [{
                "strategy": "maker", "control": "strategy limit", "limit": "limit position(x) <= 1 BTC", "symbol": "BTCUSDT",
                "value": "1.200", "bound": "1.000", "unit": "BTC", "times": 3,
            }, {
                "strategy": "maker", "control": "C6 price collar", "limit": null, "symbol": "BTCUSDT",
                "value": null, "bound": null, "unit": null, "times": 1,
            }],
            "events": [{
                "at": "2024-08-08T12:00:00.000000000Z", "strategy": "maker", "account": null, "symbol": null, "what": "halted",
                "reason": "a limit of the strategy", "limit": "limit loss <= 5 USDT per day else { halt \"daily\" }",
                "message": "daily", "value": null, "bound": null, "unit": null,
            }],
            "strategies": [{"name": "maker", "pnl": {"currency": "USDT", "net": "-1.234567"}, "hash": "ab", "mode": "", "halted": true}],
            "feed": {}, "signals": {"used": 5, "absent": 6},
            "latency": {"tick_to_trade_ns": {"p50": 1500, "p99": 2500, "p999": null, "max": 9000, "count": 120}},
            "replay": {"identical": false, "frames": 9, "state_hash": "ab", "difference": "seq 7: x"},
        });
        let text = text(&value);
        for part in [
            "orders      3",
            "C6 price collar: 4",
            "maker: limit position(x) <= 1 BTC; asked for 1.200 BTC, bound 1.000 BTC",
            "events      2024-08-08T12:00:00.000Z maker halted: \"daily\", by `limit loss <= 5 USDT per day",
            "0.010 BTC in BTCUSDT",
            "net -1.2345 USDT  (realised 0.00 USDT, unrealised 0.00 USDT, fees 1.2345 USDT)",
            "  maker                    net      -1.2345 USDT  hash ab  HALTED",
            "p50 1.5 us, p99 2.5 us, p99.9 n/a (120 samples), max 9.0 us over 120 orders",
            "DIFFERENT: 9 frames",
            "seq 7: x",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert_eq!(text.matches("C6 price collar").count(), 1, "a refusal without numbers is in the counts alone");
    }

    #[test]
    fn a_quantile_needs_samples() {
        let of = |count: u64| {
            let mut histogram = LatencyNs::new(3).unwrap();
            (0..count).for_each(|ns| histogram.record(1_000 + ns).unwrap());
            latency(&histogram)
        };
        assert_eq!(of(0), Value::Null);
        for (count, p99, p999) in
            [(1, false, false), (99, false, false), (100, true, false), (999, true, false), (1_000, true, true)]
        {
            let found = of(count);
            let has = |key: &str| !found[key].is_null();
            assert_eq!((has("p50"), has("p99"), has("p999"), has("max")), (true, p99, p999, true), "{count}: {found}");
        }
    }

    #[test]
    fn instants_are_dates() {
        assert_eq!(utc(TimeNs(0)), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(utc(TimeNs(1_723_118_400_123_456_789)), "2024-08-08T12:00:00.123456789Z");
        assert_eq!(utc(TimeNs(951_782_399_000_000_000)), "2000-02-28T23:59:59.000000000Z");
        assert_eq!(utc(TimeNs(951_782_400_000_000_000)), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(utc(TimeNs(-1)), "1969-12-31T23:59:59.999999999Z");
    }
}
