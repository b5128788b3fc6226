//! Units, clocks, pulses and names, one fact per line: what is accepted, and what is refused with which code.
use tercel_event::{ClockSource, Field, Input, LimitSpec, Metric, SinkSpec, Verdict, Via};
use tercel_lang::{Compiled, compile};
use tercel_types::DurationNs;

const HEAD: &str = "edition 1\nuse std.micro.{microprice, queue_imbalance, ofi}\nuse std.stat.{ewmean, ewstd, ewvar_rate}\n\
use std.ta.{ema, hysteresis}\nstrategy t version 1 {\n  instrument x: perp(BTC/USDT)\n  instrument e: perp(ETH/USDT)\n  \
signal alpha: bps from \"m\" max_age 20ms schema 3\n  param clip: qty[x] = 0.01 BTC in 0.001 BTC .. 0.1 BTC\n  \
param n: int = 3 in 1 .. 9\n  param tau: duration = 60s in 5s .. 600s\n  param gamma: 1/price[x] = 0.002 in 0.0001 .. 0.05\n";
const TAIL: &str = "  target x = 0 BTC via aggressive(max_slip: 3 bps)\n}\n";

fn build(body: &str) -> Result<Compiled, Vec<&'static str>> {
    let source = format!("{HEAD}{body}\n{TAIL}");
    compile(&source, "t.strat").map_err(|found| found.items.iter().map(|d| d.code).collect())
}

fn accepts(body: &str) {
    let source = format!("{HEAD}{body}\n{TAIL}");
    if let Err(found) = compile(&source, "t.strat") {
        panic!("refused: {body}\n{found}");
    }
}

fn refuses(body: &str, code: &str) {
    match build(body) {
        Ok(_) => panic!("accepted: {body}"),
        Err(codes) => assert!(codes.contains(&code), "{body}: expected {code}, found {codes:?}"),
    }
}

#[test]
fn sums_need_one_unit_and_products_make_units() {
    accepts("  let a: price[x] = x.mid + x.tick");
    accepts("  let a: money[USDT] = x.mid * clip");
    accepts("  let a: qty[x]/qty[e] = e.mid / x.mid");
    accepts("  let a: ratio = x.spread / x.mid");
    accepts("  let a: price[x]^2/s = ewvar_rate(x.mid @ every 1s, halflife: 2s)");
    accepts(
        "  let v = ewvar_rate(x.mid @ every 1s, halflife: 2s)\n  let a: price[x] = gamma * v * tau / 2 + ln(1 + gamma / (0.15 / x.tick * x.tick * gamma)) / gamma",
    );
    accepts("  let v = ewvar_rate(x.mid @ every 1s, halflife: 2s)\n  let a: price[x] = sqrt(v * tau)");
    accepts("  let a: ratio = 1.5 bps + 3% + 0.1 + n");
    accepts("  let a: price[x] = x.mid ^ 2 / x.mid");
    refuses("  let a = x.mid + 1.5", "E0207");
    refuses("  let a = x.mid + clip", "E0207");
    refuses("  let a = x.mid - e.mid", "E0207");
    refuses("  let a = min(x.mid, clip)", "E0207");
    refuses("  let a = x.mid ?? clip", "E0207");
    refuses("  let a = if x.flat then x.mid else 1.0", "E0207");
    refuses("  let a = x.mid < 60_000", "E0207");
    refuses("  let a = ln(clip)", "E0207");
    refuses("  let a = clamp(x.mid, 0, 1)", "E0207");
    refuses("  let a: price[e] = x.mid", "E0207");
    refuses("  let a = tau + 1", "E0207");
}

#[test]
fn a_literal_zero_fits_every_unit() {
    accepts("  let a: price[x] = max(x.mid - x.last, 0)");
    accepts("  let a = x.position > 0 and x.spread >= 0.0");
    accepts("  let a: qty[x] = if x.flat then 0 else clip");
    refuses("  let a = x.position > 1", "E0207");
}

#[test]
fn counts_mix_with_ratios_and_stay_counts_among_themselves() {
    accepts("  let a: int = n * 2 + 1 - n");
    accepts("  let a: ratio = n / 2");
    accepts("  let a: price[x] = n * x.tick");
    refuses("  let a: int = n / 2", "E0207");
    refuses("  param k: int = 1.5 in 1 .. 2", "E0208");
}

#[test]
fn bare_numbers_take_the_declared_unit_in_declarations_only() {
    let compiled = build("  param edge: bps = 1.2 in 0.2 .. 5\n  param g2: 1/price[x] = 0.5 in 0 .. 1").unwrap();
    let edge = compiled.manifest.params.iter().find(|p| p.name == "edge").unwrap();
    assert_eq!((edge.default, edge.lo, edge.hi, edge.unit.as_str()), (0.00012, 0.00002, 0.0005, "bps"));
    refuses("  param d: duration = 3 in 1s .. 5s", "E0207");
    refuses("  let a: qty[x] = 0.01", "E0207");
}

#[test]
fn time_is_affine_over_duration() {
    accepts("  state since: time = none\n  on every 1s => next since = now\n  let a = now > since + 3s");
    accepts("  state since: time = none\n  let a: duration = now - since @ every 1s");
    refuses("  state since: time = none\n  let a = since + since", "E0207");
    refuses("  state since: time = none\n  let a = now - since > 3s", "E0212");
    refuses("  let a = now + 3s", "E0212");
}

#[test]
fn precedence_is_the_one_of_the_reference() {
    accepts("  let a: bool = not x.mid > x.last and x.flat or x.settled");
    accepts("  let a: bool = alpha ?? 0 bps > 1 bps");
    accepts("  let a: price[x] = -x.tick ^ 2 / x.tick");
    accepts("  let a: ratio = if x.flat then 1 else 2 + 3");
    accepts("  let a: duration = elapsed * 2 @ every 1s");
    refuses("  let a = 1 < 2 < 3", "E0214");
    refuses("  let a = x.flat == x.settled", "E0206");
}

#[test]
fn counting_operators_need_exactly_one_clock() {
    accepts("  let a = delta(x.mid)");
    accepts("  let a = x.mid[3]");
    accepts("  let a = ema(x.last, 20)");
    accepts("  let a = ewmean((x.mid @ every 1s) - (x.mid @ every 2s), halflife: 2s)");
    refuses("  let a = ewmean((x.mid @ every 2s) - (x.mid @ every 3s), halflife: 2s)", "E0211");
    refuses("  let a = delta(x.mid - x.last)", "E0211");
    refuses("  let a = delta(x.tick)", "E0211");
    refuses("  let a = ewstd(sum(ofi(x), 250ms), halflife: 2s)", "E0211");
    accepts("  let a = ewstd(sum(ofi(x), 250ms) @ every 250ms, halflife: 2s)");
    refuses("  let a = x.mid[0]", "E0208");
    refuses("  let a = x.mid[n]", "E0210");
}

#[test]
fn stutter_invariant_operators_take_any_clocks() {
    accepts("  when x.mid crosses_above x.last => halt \"up\"");
    accepts("  let late = hysteresis(x.mid - x.last, on_above: x.tick, off_below: 0)");
    accepts("  when changed(x.position) and x.spread > 0 => halt \"moved\"");
}

#[test]
fn pulses_are_conditions_and_nothing_else() {
    for body in [
        "  let a = (x.mid crosses_above x.last) @ every 1s",
        "  let a = not (x.mid crosses_above x.last)",
        "  let a = if x.mid crosses_above x.last then 1 else 0",
        "  let a = x.mid crosses_above x.last or x.flat",
        "  let a = present(changed(x.mid))",
        "  state s: bool = false\n  when x.flat => next s = changed(x.mid)",
        "  quote e while changed(e.mid) {\n    bid 1 ETH at e.others.best_bid\n  }",
    ] {
        refuses(body, "E0213");
    }
}

#[test]
fn deadlines_take_bounds_that_stay() {
    accepts("  when elapsed > tau => halt \"done\"");
    accepts("  when tau < elapsed => halt \"done\"");
    accepts("  let a = alpha.age > 200ms");
    accepts("  state bound: duration = 5s\n  when elapsed > bound => next bound = 10s");
    refuses("  let a = alpha.age > x.book_age", "E0212");
    refuses("  let a = elapsed == 3s", "E0212");
    refuses("  let a = elapsed > 3", "E0207");
    refuses("  let a = alpha.age * 2", "E0212");
}

#[test]
fn names_have_one_meaning_and_one_place() {
    refuses("  let a = nope", "E0201");
    refuses("  let a = b\n  let b = 1", "E0201");
    refuses("  let x = 1", "E0202");
    refuses("  let elapsed = 1", "E0202");
    refuses("  let a = x.nope", "E0203");
    refuses("  let a = alpha.value", "E0203");
    refuses("  let a = clip.mid", "E0203");
    refuses("  let a = x", "E0206");
    refuses("  let a = x.bid[0]", "E0203");
    refuses("  let a = x.bid[20].px", "E0208");
    refuses("  let a = nope(1)", "E0204");
    refuses("  let a = rsi(x.mid, 14)", "E0204");
    refuses("  let a = garch11(x.mid)", "E0900");
    accepts("  let a = x.bid[19].px + x.ask[0].px");
}

#[test]
fn what_is_not_in_this_version_is_refused_by_name() {
    for body in [
        "  bars m1 = x.trades every 1min",
        "  basket u: perp from \"f.toml\" max 20",
        "  plot x.mid as \"mid\"",
        "  invariant x.flat else halt \"no\"",
        "  let f[i in u] = 1",
        "  let a = sum(x.bid[l].qty for l in 0 .. 9)",
        "  when x.flat => note \"flat\"",
        "  let a = x.mid @ m1",
        "  let a: ratio? = 1",
        "  instrument o: option(BTC/USDT)",
    ] {
        refuses(body, "E0900");
    }
}

#[test]
fn limits_become_metrics_bounds_and_verdicts() {
    let risk = "  risk {\n    limit position(x) <= 3 * clip\n    limit order_rate <= 40 per 1s\n    limit notional(e) <= 100 USDT else pull e\n    limit feed_silence(x) <= 2s else pull x\n    limit loss <= 300 USDT per day else { flatten x; halt \"daily loss\" }\n    limit order_size(x) <= clip\n  }";
    let compiled = build(risk).unwrap();
    let limits: Vec<(Metric, Vec<Verdict>)> =
        compiled.manifest.limits.iter().map(|LimitSpec { metric, verdicts, .. }| (*metric, verdicts.clone())).collect();
    assert_eq!(
        limits,
        [
            (Metric::Position(0), vec![Verdict::Refuse]),
            (Metric::OrderRate { per: DurationNs::from_secs(1) }, vec![Verdict::Refuse]),
            (Metric::Notional(1), vec![Verdict::Pull(1)]),
            (Metric::FeedSilence(0), vec![Verdict::Pull(0)]),
            (Metric::LossPerDay, vec![Verdict::Flatten(0), Verdict::Halt(0)]),
            (Metric::OrderSize(0), vec![Verdict::Refuse]),
        ]
    );
    assert_eq!(compiled.manifest.messages, ["daily loss"]);
}

#[test]
fn sinks_write_slots_of_their_own() {
    let quote = "  quote e while x.flat {\n    bid 1 ETH at e.others.best_bid while e.position < 5 ETH\n    ask 1 ETH at e.others.best_ask\n  } with post_only, keep(1 tick), keep_qty(0.1 ETH)";
    let compiled = build(quote).unwrap();
    let [
        SinkSpec::Quote { instrument: 1, legs, first_slot: 0, with },
        SinkSpec::Target { instrument: 0, slot: 6, via },
    ] = compiled.manifest.sinks.as_slice()
    else {
        panic!("{:?}", compiled.manifest.sinks)
    };
    assert_eq!(legs.len(), 2);
    assert!(with.post_only && with.keep_slot == Some(4) && with.keep_qty_slot == Some(5));
    assert_eq!(*via, Via::Aggressive { max_slip_slot: 7 });
    assert_eq!(compiled.manifest.values_len, 8);
    assert_eq!(compiled.report.orders_max, 3);
}

#[test]
fn inputs_and_clocks_are_what_the_text_reads() {
    let compiled =
        build("  let a = queue_imbalance(x, levels: 2) + (alpha ?? 0 bps)\n  when a > 1 => halt \"a\"").unwrap();
    let x = |field| Input::Instrument { instrument: 0, field };
    assert_eq!(
        compiled.manifest.inputs,
        [
            x(Field::BidQty(0)),
            x(Field::BidQty(1)),
            x(Field::AskQty(0)),
            x(Field::AskQty(1)),
            Input::Signal { signal: 0 },
        ]
    );
    assert_eq!(compiled.manifest.clocks, [ClockSource::Book(0), ClockSource::Signal(0)]);
}

#[test]
fn equal_expressions_are_one_node() {
    let once = build("  let a = x.mid * 2 + x.mid * 2").unwrap();
    let twice = build("  let a = x.mid * 2 + x.mid * 2\n  let b = x.mid * 2").unwrap();
    assert_eq!(once.report.nodes, twice.report.nodes);
}

#[test]
fn readiness_follows_from_the_graph() {
    let compiled =
        build("  let v = ewvar_rate(x.mid @ every 250ms, halflife: 2s)\n  let f = sum(ofi(x), 500ms)\n  let s = ewstd(f @ every 250ms, halflife: 1s, ready: 6)").unwrap();
    let ready: Vec<Option<i64>> = compiled.report.warm_up.iter().map(|w| w.ready_after_ns).collect();
    // 8 differences of 250 ms and the value before them; ofi counts ticks; a window's width; 6 samples as asked.
    assert_eq!(ready, [Some(2_250_000_000), None, Some(500_000_000), Some(1_500_000_000)]);
    assert_eq!(compiled.report.ready_after_ns, 2_250_000_000);
    assert_eq!(compiled.report.ready_after_ticks, 2);
    assert_eq!(compiled.report.timers, [250_000_000]);
}

#[test]
fn a_source_change_changes_the_hash() {
    let one = build("  let a = 1").unwrap();
    assert_eq!(one.source_hash, build("  let a = 1").unwrap().source_hash);
    assert_ne!(one.source_hash, build("  let a = 2").unwrap().source_hash);
    assert_eq!(one.manifest.hash, one.source_hash);
}

#[test]
fn behind_a_dot_any_word_is_a_field() {
    refuses("  let a = x.mode + x.state", "E0203");
    refuses("  let a = x.\n  let", "E0203");
}

#[test]
fn words_that_are_not_reserved_may_be_names() {
    accepts("  param target: qty[x] = 0.01 BTC\n  let quote = x.position +\n    target\n  let bid = quote");
    accepts(
        "  param limit: qty[x] = 0.01 BTC\n  risk {\n    limit position(x) <= 2 *\n      limit; limit order_size(x) <= limit\n  }",
    );
}
