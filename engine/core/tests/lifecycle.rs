//! Event tables: frames in, commands out. Every test ends with a replay of its own log.
mod common;
use common::*;
use tercel_core::Gate;
use tercel_event::*;
use tercel_types::*;

const BUY: u8 = Side::Buy as u8;
const SELL: u8 = Side::Sell as u8;
use CommandKind::{Cancel, MassStatus, New, Replace, Status};

#[test]
fn no_order_leaves_before_the_session_is_reconciled() {
    let mut s = Script::new(quoter);
    s.epoch(1);
    s.connect_feed();
    assert!(s.book(BID, ASK).is_empty(), "no session");
    let asked = s.session(SessionEvent::LoggedOn);
    assert_eq!(kinds(&asked), [(MassStatus, 0, 0, 0)]);
    assert!(s.bbo(BID + 1, ASK + 1).is_empty(), "not answered yet");
    let wrong = Command { cl_ord_id: ClOrdId(99), ..asked[0] };
    assert!(s.mass_status_end(&wrong).is_empty(), "an answer to another question opens nothing");
    let opened = s.mass_status_end(&asked[0]);
    assert_eq!(kinds(&opened), [(New, BUY, BID + 1, 10), (New, SELL, ASK + 1, 10)]);
    assert_eq!(s.core().report().sessions, [(FIX, Gate::Open)]);
    s.end();
}

#[test]
fn a_mass_status_without_an_answer_is_asked_again() {
    let mut s = Script::new(quoter);
    s.epoch(1);
    s.session(SessionEvent::LoggedOn);
    assert!(s.wait(999).is_empty());
    let again = s.wait(1);
    assert_eq!(kinds(&again), [(MassStatus, 0, 0, 0)]);
    s.mass_status_end(&again[0]);
    assert_eq!(s.core().report().sessions, [(FIX, Gate::Open)]);
    s.end();
}

#[test]
fn a_quote_is_kept_replaced_and_withdrawn() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    assert_eq!(kinds(&open), [(New, BUY, BID, 10), (New, SELL, ASK, 10)]);
    assert!(open.iter().all(|c| c.flags & Command::POST_ONLY != 0 && c.tif == Tif::Gtc as u8));
    assert!(s.bbo(BID + 5, ASK + 5).is_empty(), "requests in flight are waited for");
    assert!(s.ack(&open[0]).is_empty(), "the bid would meet the own ask, which still stands");
    let moved_ask = s.ack(&open[1]);
    assert_eq!(kinds(&moved_ask), [(Replace, SELL, ASK + 5, 10)]);
    let moved = s.replaced(&moved_ask[0], 0);
    assert_eq!(kinds(&moved), [(Replace, BUY, BID + 5, 10)]);
    assert_eq!((moved[0].orig_cl_ord_id, moved[0].root_cl_ord_id), (open[0].cl_ord_id, open[0].cl_ord_id));
    s.replaced(&moved[0], 0);
    assert!(s.bbo(BID + 6, ASK + 6).is_empty(), "one step is within keep");
    let gone = s.feed_status(FeedEvent::Disconnected);
    assert_eq!(kinds(&gone), [(Cancel, BUY, BID + 5, 10), (Cancel, SELL, ASK + 5, 10)], "no book, no quote");
    assert_eq!(gone[0].orig_cl_ord_id, moved[0].cl_ord_id, "the id that the venue acknowledged last");
    s.canceled(&gone[0], 0);
    s.canceled(&gone[1], 0);
    assert_eq!(s.open_orders(), 0);
    let report = s.core().report();
    assert_eq!((report.counters.orders, report.counters.replaces, report.counters.replaced), (2, 2, 2));
    s.end();
}

#[test]
fn a_partial_fill_is_topped_up_and_counted_once() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    s.ack(&open[1]);
    let topped = s.fill(&open[0], 4, 4);
    assert_eq!(kinds(&topped), [(Replace, BUY, BID, 14)]);
    assert_eq!(s.position(0), 4);
    let counters = *s.core().counters();
    assert_eq!((counters.fills, counters.fills_passive, counters.fills_partial), (1, 1, 1));
    // The same ExecID again.
    s.report(&open[0], b'F', |r| {
        (r.last_qty, r.cum_qty, r.leaves_qty, r.last_px) = (Qty(4), Qty(4), Qty(6), open[0].px);
        r.exec_id = ExecId::new(b"E3").unwrap();
        r.poss_dup = 1;
    });
    assert_eq!(s.position(0), 4);
    let report = s.core().report();
    assert_eq!(report.strategies[0].positions[0].pnl.fees, Money(48_000_000_000), "4 lots at 60,000 and 0.02 %");
    s.end();
}

#[test]
fn a_target_sends_what_is_missing_and_tries_again_after_the_interval() {
    let mut s = Script::started(taker);
    let first = s.param(0, 0.010);
    assert_eq!(kinds(&first), [(New, BUY, ASK, 10)]);
    assert_eq!(first[0].tif, Tif::Ioc as u8);
    assert!(s.fill(&first[0], 3, 3).is_empty(), "seven are still in flight");
    assert!(s.canceled(&first[0], 3).is_empty(), "the interval has not passed");
    let second = s.wait(50);
    assert_eq!(kinds(&second), [(New, BUY, ASK, 7)]);
    s.fill(&second[0], 7, 7);
    assert_eq!(s.position(0), 10);
    s.now += 50 * MS;
    let out = s.param(0, -0.005);
    assert_eq!(kinds(&out), [(New, SELL, BID, 15)]);
    s.end();
}

#[test]
fn a_target_counts_what_a_quote_may_still_fill_with_an_amend_in_flight() {
    fn make() -> tercel_core::Core {
        core(config(1), vec![Switch::boxed()])
    }
    let mut s = Script::started(make);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    let topped = s.fill(&open[0], 4, 4);
    assert_eq!(kinds(&topped), [(Replace, BUY, BID, 14)], "ten more may fill from here");
    let switched = s.param(0, 0.014);
    assert_eq!(kinds(&switched), [(Cancel, BUY, BID, 10)], "4 held, 10 in flight: nothing is missing");
    s.replaced(&topped[0], 4);
    let rest = s.canceled(&switched[0], 4);
    assert_eq!(kinds(&rest), [(New, BUY, ASK, 10)]);
    s.end();
}

#[test]
fn ioc_tries_are_not_exceeded_while_the_sink_owns_the_instrument() {
    fn make() -> tercel_core::Core {
        core(config(1), vec![Taker::boxed(Via::Ioc { limit_slot: 1, tries: 2 })])
    }
    let mut s = Script::started(make);
    for _ in 0..2 {
        s.param(0, 0.010);
        s.wait(60);
        let commands: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).collect();
        s.canceled(commands.last().unwrap(), 0);
    }
    s.wait(1_000);
    assert_eq!(s.core().counters().orders, 2);
    assert!(s.notes().contains(&(Reason::TriesUsed, 0, 0)));
    s.end();
}

#[test]
fn a_fill_that_crosses_the_cancel_counts_and_a_late_one_too() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    s.ack(&open[1]);
    let cancels = s.feed_status(FeedEvent::Disconnected);
    s.fill(&open[0], 10, 10);
    assert_eq!(s.position(0), 10);
    let reject = CancelReject {
        cl_ord_id: cancels[0].cl_ord_id,
        orig_cl_ord_id: open[0].cl_ord_id,
        ord_status: b'2',
        response_to: b'1',
        reason: 1,
        ..Default::default()
    };
    s.feed(FIX, &reject, &[]);
    s.canceled(&cancels[1], 0);
    assert_eq!(s.open_orders(), 0);
    s.report(&open[1], b'F', |r| {
        (r.last_qty, r.cum_qty, r.leaves_qty, r.last_px) = (Qty(2), Qty(2), Qty(0), open[1].px);
        r.ord_status = b'4';
    });
    assert_eq!(s.position(0), 8, "a late fill is always applied");
    assert!(s.core().counters().order_breaches > 0);
    assert_eq!(s.core().counters().ledger_differences, 0);
    s.end();
}

#[test]
fn a_lost_session_makes_orders_unknown_until_the_venue_has_spoken() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    assert!(s.session(SessionEvent::Disconnected).is_empty(), "nothing can be sent");
    assert_eq!(s.core().orders().unknown_count(AccountId(0)), 2);
    assert!(s.bbo(BID + 1, ASK + 1).is_empty());
    let asked = s.session(SessionEvent::LoggedOn);
    assert_eq!(kinds(&asked), [(MassStatus, 0, 0, 0)]);
    // The mass status shows one order, filled in part while we were away; the fill itself is resent.
    s.report(&open[0], b'F', |r| {
        (r.last_qty, r.cum_qty, r.leaves_qty, r.last_px) = (Qty(4), Qty(4), Qty(6), open[0].px);
        (r.ord_status, r.poss_dup, r.liquidity) = (b'1', 1, 1);
    });
    s.report(&open[0], b'I', |r| {
        (r.cum_qty, r.leaves_qty, r.ord_status, r.mass_status) = (Qty(4), Qty(6), b'1', 1);
    });
    let after = s.mass_status_end(&asked[0]);
    assert_eq!(kinds(&after), [(Status, SELL, ASK, 10)], "the other one is asked for by name");
    assert_eq!(s.core().report().sessions, [(FIX, Gate::Resolving)]);
    let opened = s.report(&open[1], b'I', |r| (r.leaves_qty, r.ord_status) = (Qty(0), b'8'));
    assert_eq!(s.core().report().sessions, [(FIX, Gate::Open)]);
    assert_eq!(kinds(&opened), [(Replace, BUY, BID + 1, 14), (New, SELL, ASK + 1, 10)]);
    s.end();
}

#[test]
fn a_reconciliation_that_takes_too_long_takes_quotes_out() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    s.ack(&open[1]);
    s.session(SessionEvent::Disconnected);
    s.session(SessionEvent::LoggedOn);
    assert!(s.wait(999).is_empty(), "the answer is awaited");
    let out = s.wait(1);
    assert_eq!(kinds(&out), [(MassStatus, 0, 0, 0), (Cancel, BUY, BID, 10), (Cancel, SELL, ASK, 10)]);
    for cancel in &out[1..] {
        s.canceled(cancel, 0);
    }
    s.wait(100);
    assert!(s.core().report().rejects.is_empty(), "nothing is even tried before the gate is open");
    s.end();
}

#[test]
fn an_order_without_an_answer_is_asked_about_never_sent_again() {
    let mut s = Script::started(quoter);
    assert!(s.wait(1_999).is_empty());
    let asked = s.wait(1);
    assert_eq!(kinds(&asked), [(Status, BUY, BID, 10), (Status, SELL, ASK, 10)]);
    assert_eq!(s.core().orders().unknown_count(AccountId(0)), 2);
    let again = s.wait(1_000);
    assert_eq!(kinds(&again), kinds(&asked), "asked again at the interval");
    let moved = s.bbo(BID + 50, ASK + 50);
    assert_eq!(
        kinds(&moved),
        [(Cancel, BUY, BID, 10), (Cancel, SELL, ASK, 10)],
        "cancelled, not replaced, not doubled"
    );
    assert_eq!(s.core().counters().orders, 2);
    s.end();
}

#[test]
fn an_epoch_start_makes_everything_unknown_and_ids_never_repeat() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    s.ack(&open[1]);
    assert!(s.epoch(2).is_empty());
    assert_eq!(s.core().orders().unknown_count(AccountId(0)), 2);
    let asked = s.session(SessionEvent::LoggedOn);
    assert!(asked[0].cl_ord_id > open[1].cl_ord_id && asked[0].cl_ord_id.epoch() == 2);
    for order in &open {
        s.report(order, b'I', |r| (r.ord_status, r.mass_status) = (b'0', 1));
    }
    assert!(s.mass_status_end(&asked[0]).is_empty(), "both orders live on as they were");
    assert_eq!(s.core().report().sessions, [(FIX, Gate::Open)]);
    let bad = s.core().counters().bad_frames;
    s.epoch(1);
    assert_eq!(s.core().counters().bad_frames, bad + 1, "an epoch is never used twice");
    s.end();
}

#[test]
fn an_order_of_ours_that_nobody_owns_is_cancelled_at_reconciliation() {
    let mut s = Script::new(quoter);
    s.epoch(3);
    s.connect_feed();
    s.book(BID, ASK);
    let asked = s.session(SessionEvent::LoggedOn);
    let lost = Command {
        cl_ord_id: ClOrdId::new(2, 0, 77).unwrap(),
        root_cl_ord_id: ClOrdId::new(2, 0, 77).unwrap(),
        px: Price(BID - 100),
        order_qty: Qty(5),
        instrument: X,
        side: BUY,
        ..asked[0]
    };
    s.report(&lost, b'I', |r| (r.ord_status, r.mass_status) = (b'0', 1));
    let after = s.mass_status_end(&asked[0]);
    assert_eq!(kinds(&after)[0], (Cancel, BUY, BID - 100, 5));
    assert_eq!(after.len(), 3, "and the strategy quotes");
    s.canceled(&after[0], 0);
    assert_eq!(s.core().counters().orphans, 1);
    s.end();
}

#[test]
fn a_rejected_order_waits_before_it_is_tried_again() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[1]);
    assert!(s.rejected(&open[0]).is_empty());
    assert!(s.bbo(BID, ASK).is_empty());
    let again = s.wait(50);
    assert_eq!(kinds(&again), [(New, BUY, BID, 10)]);
    assert_eq!(s.core().counters().venue_rejects, 1);
    s.end();
}

#[test]
fn a_command_that_was_not_sent_is_as_if_never_asked_and_a_killed_gateway_halts() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    let not_sent = |c: &Command, why: NotSentWhy| NotSent {
        cl_ord_id: c.cl_ord_id,
        cmd_seq: c.seq,
        cmd_index: u32::from(c.index),
        why: why as u8,
        command: c.kind,
        ..Default::default()
    };
    s.feed(FIX, &not_sent(&open[0], NotSentWhy::Rate), &[]);
    assert_eq!(s.open_orders(), 1);
    s.feed(FIX, &not_sent(&open[1], NotSentWhy::Killed), &[]);
    assert_eq!(s.core().trading_state(StrategyId(0)), TradingState::Halted);
    assert!(s.wait(1_000).is_empty());
    let active = Mode { state: TradingState::Active as u8, scope: Scope::All as u8, ..Default::default() };
    assert_eq!(kinds(&s.operator(&active)), [(New, BUY, BID, 10), (New, SELL, ASK, 10)]);
    s.end();
}

#[test]
fn an_id_that_a_report_has_used_up_is_skipped() {
    let mut s = Script::new(quoter);
    s.epoch(1);
    s.connect_feed();
    s.book(BID, ASK);
    let asked = s.session(SessionEvent::LoggedOn);
    // Someone else's order under the id that our next order would have.
    let next = ClOrdId(asked[0].cl_ord_id.0 + 1);
    let foreign = Command {
        cl_ord_id: next,
        root_cl_ord_id: next,
        px: Price(BID - 100),
        order_qty: Qty(5),
        instrument: X,
        side: BUY,
        ..asked[0]
    };
    s.ack(&foreign);
    let mut sent = s.mass_status_end(&asked[0]);
    s.now += 1;
    sent.extend(s.wait(60));
    let ours: Vec<&Command> = sent.iter().filter(|c| c.kind == New as u8).collect();
    assert_eq!(ours.len(), 2, "{sent:?}");
    assert!(ours.iter().all(|c| c.cl_ord_id != next));
    assert!(s.wait(5_000).len() < 10, "questions about unknown orders come to an end");
    s.end();
}

/// A process dies with the session up; timers of its strategies fall due while nothing runs. The next process must close the
/// sessions before it lets them act.
#[test]
fn a_new_epoch_goes_before_what_fell_due_while_nothing_ran() {
    let mut s = Script::started(|| core(config(1), vec![Taker::aggressive()]));
    let taken = s.param(0, 0.002);
    s.canceled(&taken[0], 0);
    assert!(s.core().next_deadline().is_some(), "it is tried again at a timer");
    let orders = s.core().counters().orders;
    s.now += 5_000 * MS;
    // The book that the dead process knew is what the timer would trade on.
    let mut commands = s.epoch(2);
    commands.extend(s.wait(200));
    assert!(commands.is_empty(), "{commands:?}");
    assert_eq!(s.core().counters().orders, orders);
    s.end();
}

#[test]
fn a_target_that_needs_no_position_waits_for_the_gate_too() {
    let mut s = Script::new(taker);
    s.epoch(1);
    s.connect_feed();
    s.book(BID, ASK);
    s.session(SessionEvent::LoggedOn);
    s.param(0, 0.010);
    let asked = s.wait(1_000);
    s.bbo(BID + 1, ASK + 1);
    assert_eq!(s.core().counters().orders, 0);
    assert!(s.core().report().rejects.is_empty(), "held back before risk has to refuse it");
    assert!(s.notes().contains(&(Reason::NotReconciled, 0, 0)));
    let opened = s.mass_status_end(&asked[0]);
    assert_eq!(kinds(&opened), [(New, BUY, ASK + 1, 10)]);
    s.end();
}

#[test]
fn a_session_that_may_have_lost_messages_is_reconciled_again() {
    for event in [SessionEvent::LoggedOn, SessionEvent::Recovered] {
        let mut s = Script::started(quoter);
        let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
        s.ack(&open[0]);
        s.ack(&open[1]);
        s.session(SessionEvent::Recovering);
        let asked = s.session(event);
        assert_eq!(kinds(&asked), [(MassStatus, 0, 0, 0)], "{event:?}");
        assert_eq!(s.core().report().sessions, [(FIX, Gate::Asked)]);
        assert!(!s.core().risk().is_gate_open(AccountId(0)));
        s.report(&open[0], b'I', |r| (r.ord_status, r.mass_status) = (b'0', 1));
        let by_name = s.mass_status_end(&asked[0]);
        assert!(by_name.iter().any(|c| c.kind == Status as u8 && c.cl_ord_id == open[1].cl_ord_id), "{by_name:?}");
        s.report(&open[1], b'I', |r| (r.ord_status, r.leaves_qty) = (b'4', Qty(0)));
        assert_eq!(s.core().report().sessions, [(FIX, Gate::Open)]);
        assert!(s.core().risk().is_gate_open(AccountId(0)));
        s.end();
    }
}

#[test]
fn a_report_that_cannot_be_read_closes_the_gate_until_the_venue_has_spoken() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    s.ack(&open[1]);
    let unreadable = MessageReject {
        cl_ord_id: open[0].cl_ord_id,
        level: 3,
        ref_msg_type: b'8',
        ref_tag: 31,
        msg_seq_num: 9,
        ..Default::default()
    };
    let asked = s.feed(FIX, &unreadable, &[]);
    assert_eq!(kinds(&asked), [(MassStatus, 0, 0, 0)]);
    assert!(s.notes().contains(&(Reason::Reconcile, 33, 31)), "{:?}", s.notes());
    assert!(s.bbo(BID + 5, ASK + 5).is_empty(), "nothing is sent before the answer");
    assert!(s.feed(FIX, &unreadable, &[]).is_empty(), "an answer that cannot be read does not ask for another");
    for order in &open {
        s.report(order, b'I', |r| (r.ord_status, r.mass_status) = (b'0', 1));
    }
    let moved = s.mass_status_end(&asked[0]);
    assert!(moved.iter().any(|c| c.kind == Replace as u8), "open, and the quotes follow: {moved:?}");
    assert_eq!(s.core().counters().unreadable_reports, 2);
    s.end();
}

#[test]
fn an_order_that_turns_up_after_the_gate_has_opened_is_cancelled() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    let lost = ClOrdId::new(0, 0, 77).unwrap();
    let lost = Command { cl_ord_id: lost, root_cl_ord_id: lost, px: Price(BID - 100), order_qty: Qty(5), ..open[0] };
    let cancels = s.ack(&lost);
    assert_eq!(kinds(&cancels), [(Cancel, BUY, BID - 100, 5)]);
    assert!(s.ack(&lost).is_empty(), "once");
    s.canceled(&cancels[0], 0);
    assert_eq!(s.core().counters().orphans, 1);
    s.end();
}

#[test]
fn a_dead_order_that_the_venue_shows_live_is_withdrawn_and_asked_about() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    s.ack(&open[1]);
    s.feed_status(FeedEvent::Disconnected);
    s.canceled(&open[0], 0);
    let asked = s.report(&open[0], b'D', |r| r.ord_status = b'0');
    assert_eq!(kinds(&asked).iter().map(|c| c.0).collect::<Vec<_>>(), [Cancel, Status]);
    assert_eq!(s.core().orders().account_open_totals(AccountId(0), X).buy_qty, Qty(10));
    s.fill(&open[0], 10, 10);
    assert_eq!((s.position(0), s.core().counters().ledger_differences), (10, 0));
    s.end();
}

#[test]
fn a_trade_that_the_venue_takes_back_lets_positions_only_shrink() {
    for exec_type in [b'H', b'G'] {
        let mut s = Script::started(quoter);
        let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
        s.ack(&open[0]);
        s.fill(&open[0], 4, 4);
        s.report(&open[0], exec_type, |r| (r.ord_status, r.cum_qty, r.leaves_qty) = (b'1', Qty(4), Qty(6)));
        assert_eq!(s.core().trading_state(StrategyId(0)), TradingState::Reducing);
        let breach = if exec_type == b'H' { 7 } else { 8 };
        assert!(s.notes().contains(&(Reason::Verdict, 12, breach)), "{:?}", s.notes());
        s.end();
    }
}

#[test]
fn a_missing_fill_lets_positions_only_shrink_and_is_told_once() {
    let mut s = Script::started(quoter);
    let open: Vec<Command> = s.seq.sink().frames().filter_map(|f| f.body::<Command>().ok()).skip(1).collect();
    s.ack(&open[0]);
    for _ in 0..2 {
        s.report(&open[0], b'I', |r| (r.ord_status, r.cum_qty, r.leaves_qty) = (b'1', Qty(4), Qty(6)));
    }
    assert_eq!(s.core().trading_state(StrategyId(0)), TradingState::Reducing);
    assert_eq!(s.notes().iter().filter(|note| **note == (Reason::Verdict, 12, 5)).count(), 1);
    s.end();
}
