//! Limits and their verdicts, the operator's words, timers. Every test ends with a replay of its own log.
mod common;
use common::*;
use tercel_core::*;
use tercel_event::*;
use tercel_types::*;

const BUY: u8 = Side::Buy as u8;
const SELL: u8 = Side::Sell as u8;
use CommandKind::{Cancel, New, Resync};

fn opened(s: &Script) -> Vec<Command> {
    s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect()
}

/// Acknowledged quotes on both sides.
fn quoting(make: fn() -> Core) -> (Script, Vec<Command>) {
    let mut s = Script::started(make);
    let open = opened(&s);
    assert_eq!(open.len(), 2, "{:?}", s.notes());
    for order in &open {
        s.ack(order);
    }
    s.wait(1);
    (s, open)
}

fn silent() -> Core {
    let limits = vec![limit(Metric::FeedSilence(0), 0, &[Verdict::Pull(0)])];
    core(config(1), vec![Quoter::boxed(limits, &[0.2])])
}

#[test]
fn silence_pulls_at_the_first_nanosecond_and_opening_waits_until_it_has_held_for_a_second() {
    let (mut s, _) = quoting(silent);
    s.bbo(BID, ASK);
    s.now += 200 * MS;
    s.batch.clear();
    s.seq.tick(TimeNs(s.now), &mut s.batch).unwrap();
    assert!(s.batch.is_empty(), "200 ms of silence are allowed");
    s.now += 1;
    s.batch.clear();
    s.seq.tick(TimeNs(s.now), &mut s.batch).unwrap();
    let pulled = s.batch.as_slice().to_vec();
    assert_eq!(kinds(&pulled), [(Cancel, BUY, BID, 10), (Cancel, SELL, ASK, 10)]);
    assert!(pulled.iter().all(|c| c.reason == Reason::Verdict as u16));
    s.canceled(&pulled[0], 0);
    s.canceled(&pulled[1], 0);
    for _ in 0..10 {
        s.now += 100 * MS - 1;
        assert!(s.bbo(BID, ASK).is_empty(), "held for less than a second");
        s.now += 1;
    }
    s.now += 100 * MS;
    let back = s.bbo(BID, ASK);
    assert_eq!(kinds(&back), [(New, BUY, BID, 10), (New, SELL, ASK, 10)]);
    s.end();
}

#[test]
fn a_second_silence_starts_the_hold_again() {
    let (mut s, _) = quoting(silent);
    let pulled = s.wait(201);
    s.canceled(&pulled[0], 0);
    s.canceled(&pulled[1], 0);
    s.bbo(BID, ASK);
    s.wait(500);
    s.bbo(BID, ASK);
    assert!(s.wait(199).is_empty());
    s.bbo(BID, ASK);
    assert!(s.wait(199).is_empty());
    s.bbo(BID, ASK);
    assert!(s.wait(199).is_empty(), "one second after the first sign of life, not after the second one");
    s.end();
}

fn losing() -> Core {
    let verdicts = [Verdict::Flatten(0), Verdict::Halt(0)];
    core(config(1), vec![Quoter::boxed(vec![limit(Metric::LossPerDay, 0, &verdicts)], &[1.0])])
}

#[test]
fn a_loss_flattens_and_holds_until_the_operator_rearms() {
    let (mut s, open) = quoting(losing);
    // Long 10 lots at 60,000, then the market falls by 150: a loss of 1.50 and 0.12 of fees.
    s.fill(&open[0], 10, 10);
    let more = opened(&s);
    assert_eq!(kinds(&more[2..]), [(New, BUY, BID, 10)]);
    s.ack(&more[2]);
    let fell = s.bbo(BID - 1_500, ASK - 1_500);
    assert_eq!(kinds(&fell), [(Cancel, SELL, ASK, 10), (Cancel, BUY, BID, 10)], "nothing else while quotes may fill");
    s.canceled(&fell[0], 0);
    let closing = s.canceled(&fell[1], 0);
    assert!(closing.len() == 1, "{:?}", s.notes());
    assert_eq!(kinds(&closing), [(New, SELL, BID - 1_500, 10)]);
    assert_eq!(closing[0].tif, Tif::Ioc as u8);
    s.fill(&closing[0], 10, 10);
    assert_eq!(s.position(0), 0);
    s.wait(5_000);
    assert!(s.bbo(BID, ASK).is_empty(), "flat and halted, whatever the strategy wants");
    assert!(s.core().report().strategies[0].halted);
    let back = s.operator(&Rearm::default());
    assert!(back.is_empty(), "the loss of the day still stands, so it latches again");
    s.end();
}

fn small() -> Core {
    let limits = vec![
        limit(Metric::Position(0), 0, &[Verdict::Refuse]),
        limit(Metric::OrderRate { per: DurationNs::from_secs(1) }, 1, &[Verdict::Refuse]),
    ];
    core(config(1), vec![Quoter::boxed(limits, &[0.012, 5.0])])
}

#[test]
fn an_order_beyond_the_position_limit_is_refused_and_the_reducing_side_stays() {
    let (mut s, open) = quoting(small);
    let after = s.fill(&open[0], 10, 10);
    assert!(after.is_empty(), "another 10 would make 20, 12 are allowed");
    assert_eq!(s.core().report().rejects, [(0, 1)]);
    assert!(s.notes().contains(&(Reason::RiskRefused, STRATEGY_LIMIT, 20)));
    assert_eq!(s.open_orders(), 1, "the ask reduces");
    s.end();
}

#[test]
fn the_order_rate_refuses_orders_and_lets_cancels_pass() {
    let (mut s, open) = quoting(small);
    // Two new orders and three amends make five; the sixth message within the second is refused.
    let mut counts = Vec::new();
    for at in 1..3 {
        let moved = s.bbo(BID - 50 * at, ASK + 50 * at);
        counts.push(moved.len());
        for command in &moved {
            s.replaced(command, 0);
        }
    }
    assert_eq!(counts, [2, 1]);
    assert!(s.notes().contains(&(Reason::RiskRefused, STRATEGY_LIMIT + 1, 5)));
    // The leg that could not follow leaves the market, and so does the other one when the book dies.
    s.feed_status(FeedEvent::Disconnected);
    assert_eq!(s.core().counters().cancels, 2, "cancels are not counted");
    assert_eq!(open.len(), 2);
    s.end();
}

#[test]
fn a_kill_cancels_everything_of_its_scope_and_blocks_it() {
    fn two() -> Core {
        core(config(2), vec![Quoter::boxed(vec![], &[]), Taker::aggressive()])
    }
    let (mut s, _) = quoting(two);
    let killed = s.operator(&Kill { scope: Scope::Strategy as u8, id: 0, ..Default::default() });
    assert_eq!(kinds(&killed), [(Cancel, BUY, BID, 10), (Cancel, SELL, ASK, 10)]);
    assert!(killed.iter().all(|c| c.reason == Reason::Operator as u16));
    s.canceled(&killed[0], 0);
    s.canceled(&killed[1], 0);
    assert!(s.bbo(BID + 5, ASK + 5).is_empty());
    let taken = s.param(1, 0.01);
    assert_eq!(kinds(&taken), [(New, BUY, ASK + 5, 10)], "the other strategy goes on");
    s.fill(&taken[0], 10, 10);
    s.operator(&Rearm::default());
    assert!(s.bbo(BID, ASK).is_empty(), "rearming does not undo a kill");
    let active = Mode { state: TradingState::Active as u8, scope: Scope::Strategy as u8, ..Default::default() };
    s.wait(1);
    assert_eq!(s.operator(&active).len(), 2);
    s.end();
}

#[test]
fn reducing_lets_only_the_closing_side_work() {
    let (mut s, open) = quoting(quoter);
    s.fill(&open[0], 4, 4);
    let reducing = Mode { state: TradingState::Reducing as u8, scope: Scope::All as u8, ..Default::default() };
    let commands = s.operator(&reducing);
    assert!(commands.iter().all(|c| c.side == SELL || c.kind == Cancel as u8), "{commands:?}");
    s.end();
}

#[test]
fn a_strategy_that_halts_itself_stays_halted_until_it_is_rearmed() {
    let (mut s, _) = quoting(quoter);
    let halted = s.param(0, 0.5);
    assert_eq!(kinds(&halted), [(Cancel, BUY, BID, 10), (Cancel, SELL, ASK, 10)]);
    s.canceled(&halted[0], 0);
    s.canceled(&halted[1], 0);
    assert!(s.param(0, 0.0).is_empty());
    s.wait(1);
    assert_eq!(s.operator(&Rearm::default()).len(), 2);
    s.end();
}

#[test]
fn values_outside_their_range_change_nothing() {
    let (mut s, _) = quoting(quoter);
    assert!(s.param(0, 7.0).is_empty());
    assert!(s.param(0, f64::NAN).is_empty());
    s.operator(&LimitSet { control: 4, value: -1, ..Default::default() });
    s.operator(&LimitSet { control: 99, value: 1, ..Default::default() });
    s.operator(&StrategySwap { hash: 1, ..Default::default() });
    let counters = s.core().counters();
    assert_eq!((counters.params_refused, counters.limits_refused, counters.swaps_refused), (2, 2, 1));
    s.operator(&LimitSet { control: 4, value: 3, ..Default::default() });
    s.bbo(BID - 100, ASK + 100);
    assert_eq!(s.core().report().rejects, [(4, 2)], "amends to 10 lots where 3 are allowed");
    s.end();
}

#[test]
fn timers_are_sequenced_before_a_later_frame_one_frame_per_due_time() {
    let mut s = Script::started(taker);
    s.now += 350 * MS;
    s.bbo(BID + 1, ASK + 1);
    let frames: Vec<(u16, i64)> = s
        .seq
        .sink()
        .frames()
        .filter(|f| !f.is_derived())
        .map(|f| (f.header.kind, (f.header.ts_seq.0 - START) / MS))
        .collect();
    let last = &frames[frames.len() - 4..];
    let timer = FrameKind::Timer as u16;
    assert_eq!(last, [(timer, 100), (timer, 200), (timer, 300), (FrameKind::Bbo as u16, 350)]);
    assert_eq!(s.seq.next_deadline(), Some(TimeNs(START + 400 * MS)));
    s.end();
}

#[test]
fn nothing_is_sequenced_between_the_parts_of_one_message() {
    let mut s = Script::started(taker);
    s.now += 99 * MS;
    let levels = [Level { px: Price(BID - 1), qty: Qty(1) }];
    let head = BookDelta {
        instrument: X,
        bids_count: 1,
        first_update_id: 111,
        last_update_id: 112,
        prev_update_id: 110,
        ..Default::default()
    };
    let mut part = FrameBuf::new();
    assert!(part.write(FEED, 900, FrameFlags::MORE, &head, bytemuck::cast_slice(&levels)));
    s.feed_bytes(part.bytes());
    let instants = s.core().report().strategies[0].instants;
    s.wait(2);
    assert!(part.write(FEED, 901, 0, &head, bytemuck::cast_slice(&levels)));
    s.feed_bytes(part.bytes());
    assert_eq!(s.core().report().strategies[0].instants, instants + 1, "one instant, at the end of the message");
    let inputs: Vec<u16> = s.seq.sink().frames().filter(|f| !f.is_derived()).map(|f| f.header.kind).collect();
    let delta = FrameKind::BookDelta as u16;
    assert_eq!(inputs[inputs.len() - 2..], [delta, delta]);
    s.end();
}

#[test]
fn a_broken_book_is_asked_for_again_but_not_at_every_frame() {
    let mut s = Script::started(quoter);
    let head = |first, last, prev| BookDelta {
        instrument: X,
        first_update_id: first,
        last_update_id: last,
        prev_update_id: prev,
        ..Default::default()
    };
    s.feed(FEED, &head(111, 112, 110), &[]);
    let asked = s.feed(FEED, &head(120, 121, 119), &[]);
    assert_eq!(kinds(&asked)[0].0, Resync);
    assert_eq!((asked[0].dest, asked[0].instrument), (FEED, X));
    s.feed(FEED, &head(130, 131, 129), &[]);
    assert_eq!(s.core().report().feeds[0].counters.resyncs_asked, 1);
    s.now += 10 * MS;
    s.book(BID, ASK);
    let feed = &s.core().report().feeds[0];
    assert!(feed.live && feed.counters.gaps == 1 && feed.counters.resyncs_done == 2, "{feed:?}");
    assert!(feed.live_share.is_some());
    s.end();
}

#[test]
fn two_strategies_run_in_configuration_order_and_do_not_trade_with_each_other() {
    fn two() -> Core {
        core(config(2), vec![Quoter::boxed(vec![], &[]), Taker::aggressive()])
    }
    let (mut s, _) = quoting(two);
    assert!(s.param(1, 0.010).is_empty(), "its buy would meet the quoter's ask");
    assert_eq!(s.core().report().rejects, [(15, 1)]);
    s.end();
}

#[test]
fn every_mistake_of_a_configuration_is_listed_at_once() {
    let mut bad = config(2);
    bad.feeds.clear();
    bad.strategies[0].params = vec![("q".into(), 1.0), ("p".into(), 9.0)];
    bad.strategies[1].bindings = vec![("x".into(), "NONE".into())];
    bad.outcome_timeout = DurationNs(0);
    bad.risk.accounts.clear();
    let problems = Core::new(bad, vec![Quoter::boxed(vec![], &[]), Taker::aggressive()]).err().unwrap();
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    for key in
        ["feeds", "strategies.s0.params.q", "strategies.s0.params.p", "strategies.s1.instrument.x", "outcome_timeout"]
    {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
}

#[test]
fn a_signal_reaches_the_report_and_an_invalid_one_is_absent() {
    let mut s = Script::started(quoter);
    let signal = Signal { valid: 1, value: 1.5, ts_features: TimeNs(5), ..Default::default() };
    s.feed(sources::SIGNALS, &signal, &[]);
    assert_eq!(s.core().signal(0), Some((1.5, TimeNs(5))));
    s.feed(sources::SIGNALS, &Signal { valid: 0, ..signal }, &[]);
    s.feed(sources::SIGNALS, &Signal { value: f64::INFINITY, ..signal }, &[]);
    assert!(s.core().signal(0).unwrap().0.is_nan());
    s.feed(sources::SIGNALS, &Signal { signal: 9, ..signal }, &[]);
    let counters = s.core().counters();
    assert_eq!((counters.signals_used, counters.signals_absent, counters.bad_frames), (1, 2, 1));
    s.end();
}
