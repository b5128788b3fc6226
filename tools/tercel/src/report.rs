//! The final report of a run, as JSON and as text.
use crate::engine::Ended;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tercel_core::{Pnl, Report};
use tercel_runtime::LatencyNs;
use tercel_types::Instruments;

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

fn pnl(pnl: &Pnl) -> Value {
    json!({
        "realised": pnl.realised.to_string(),
        "unrealised": pnl.unrealised.to_string(),
        "fees": pnl.fees.to_string(),
        "net": pnl.net.to_string(),
    })
}

/// Percentiles in ns, or `null` when nothing was measured.
pub fn latency(histogram: &LatencyNs) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    json!({
        "p50": histogram.value_at_quantile(0.5),
        "p99": histogram.value_at_quantile(0.99),
        "p999": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
        "count": histogram.len(),
    })
}

/// What the core counted: the part that live runs, backtests and replays share.
pub fn of_core(report: &Report, instruments: &Instruments) -> Value {
    let c = &report.counters;
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
        json!({
            "symbol": p.symbol,
            "qty": lot.map(|lot| lot.text_of(p.qty.0).to_string()),
            "bought": lot.map(|lot| lot.text_of(p.bought.0).to_string()),
            "sold": lot.map(|lot| lot.text_of(p.sold.0).to_string()),
            "fills": p.fills,
            "pnl": pnl(&p.pnl),
        })
    };
    let strategies: Vec<Value> = report
        .strategies
        .iter()
        .map(|s| {
            json!({
                "name": s.name,
                "hash": format!("{:016x}", s.hash),
                "mode": s.mode,
                "instants": s.instants,
                "halted": s.halted,
                "positions": s.positions.iter().map(position).collect::<Vec<_>>(),
                "pnl": pnl(&s.pnl),
            })
        })
        .collect();
    let accounts: Vec<Value> = report
        .accounts
        .iter()
        .map(|a| json!({"name": a.name, "positions": a.positions.iter().map(position).collect::<Vec<_>>(), "pnl": pnl(&a.pnl)}))
        .collect();
    let quality: serde_json::Map<String, Value> = report
        .feeds
        .iter()
        .map(|f| (f.symbol.clone(), json!({"live": f.live, "live_share": f.live_share, "faults": f.faults})))
        .collect();
    let positions: serde_json::Map<String, Value> = report
        .accounts
        .iter()
        .flat_map(|a| &a.positions)
        .map(|p| {
            let qty = instruments.get(p.instrument).map(|i| i.lot.text_of(p.qty.0).to_string());
            (p.symbol.clone(), json!(qty))
        })
        .collect();
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
        "position": positions,
        "pnl": pnl(&total),
        "feed": {"gaps": gaps, "resyncs": resyncs, "quality": quality},
        "signals": {"used": c.signals_used, "absent": c.signals_absent},
        "strategies": strategies,
        "accounts": accounts,
        "frames": c.frames,
        "state_hash": format!("{:016x}", report.state_hash),
    })
}

/// The report of a live run, without the replay's verdict.
pub fn of_run(ended: &Ended, instruments: &Instruments, topology: &str, speed: u32) -> Value {
    let mut value = of_core(&ended.report, instruments);
    value["feed"]["messages"] = json!(ended.feed.messages);
    value["feed"]["counters"] = ended
        .feed
        .list()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    value["latency"] = json!({ "tick_to_trade_ns": if speed == 1 { latency(&ended.latency) } else { Value::Null } });
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

/// The same for people.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    let show = |v: &Value| match v {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
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
    if let Some(positions) = value["position"].as_object() {
        let words: Vec<String> = positions.iter().map(|(symbol, qty)| format!("{} {symbol}", show(qty))).collect();
        let _ = writeln!(out, "position    {}", if words.is_empty() { "flat".into() } else { words.join(", ") });
    }
    let pnl = &value["pnl"];
    let _ = writeln!(
        out,
        "P&L         net {}  (realised {}, unrealised {}, fees {})",
        money(&pnl["net"]),
        money(&pnl["realised"]),
        money(&pnl["unrealised"]),
        money(&pnl["fees"])
    );
    for strategy in value["strategies"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  {:<24} net {:>12}  hash {}{}{}",
            show(&strategy["name"]),
            money(&strategy["pnl"]["net"]),
            show(&strategy["hash"]),
            if strategy["mode"] == "" { String::new() } else { format!("  mode {}", show(&strategy["mode"])) },
            if strategy["halted"] == true { "  HALTED" } else { "" },
        );
    }
    let feed = &value["feed"];
    if let Some(messages) = feed["messages"].as_u64() {
        let _ = writeln!(out, "feed        {messages} messages, {} gaps, {} resyncs", feed["gaps"], feed["resyncs"]);
    }
    let _ = writeln!(out, "signals     {} used, {} absent", value["signals"]["used"], value["signals"]["absent"]);
    let ticks = &value["latency"]["tick_to_trade_ns"];
    if ticks.is_object() {
        let us = |key: &str| ticks[key].as_f64().unwrap_or(0.0) / 1e3;
        let _ = writeln!(
            out,
            "latency     receive to order on the socket: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, max {:.1} us over {} orders",
            us("p50"),
            us("p99"),
            us("p999"),
            us("max"),
            ticks["count"]
        );
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

/// Two decimals of an exact amount, for people.
fn money(value: &Value) -> String {
    let Some(text) = value.as_str() else { return "?".into() };
    match text.split_once('.') {
        // Cut for display only; the JSON has every digit.
        Some((whole, fraction)) => format!("{whole}.{}", &fraction[..fraction.len().min(4)]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_the_json_says() {
        let value = json!({
            "orders": 3, "replaces": 1, "cancels": 2, "fills": 2, "fills_passive": 1, "fills_partial": 0, "orders_open": 0,
            "rejects": {"C6 price collar": 4}, "position": {"BTCUSDT": "0.010"},
            "pnl": {"net": "-1.234567", "realised": "0.00", "unrealised": "0.00", "fees": "1.234567"},
            "strategies": [], "feed": {}, "signals": {"used": 5, "absent": 6},
            "replay": {"identical": false, "frames": 9, "state_hash": "ab", "difference": "seq 7: x"},
        });
        let text = text(&value);
        for part in
            ["orders      3", "C6 price collar: 4", "0.010 BTCUSDT", "net -1.2345 ", "DIFFERENT: 9 frames", "seq 7: x"]
        {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }
}
