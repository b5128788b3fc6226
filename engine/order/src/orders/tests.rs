use super::*;
use crate::position::Fill;
use crate::{OrderError, Replaced};
use tercel_event::{CancelReject, Command, CommandKind, ExecReport, MessageReject, NotSent, Sent, Tif};
use tercel_types::{Calendar, Decimal, DurationNs, ExecId, FeeRates, Instrument, InstrumentKind, Money};

const SRC: SourceId = SourceId(3);
const STRATEGY: StrategyId = StrategyId(0);
const ACCOUNT: AccountId = AccountId(0);
const X: InstrumentId = InstrumentId(0);

pub(crate) fn instruments() -> Instruments {
    Instruments(vec![Instrument {
        id: X,
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::ZERO,
        fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
        calendar: Calendar::Always,
    }])
}

pub(crate) fn table(capacity: usize) -> Orders {
    let config = OrderConfig { capacity, exec_ids: 1024, strategies: 2, ..OrderConfig::default() };
    assert_eq!(config.validate(), []);
    Orders::new(&instruments(), config)
}

pub(crate) fn id(counter: u64) -> ClOrdId {
    ClOrdId::new(1, 0, counter).unwrap()
}

pub(crate) fn command(kind: CommandKind, counter: u64, root: u64, px: i64, qty: i64, ts: i64) -> Command {
    Command {
        kind: kind as u8,
        cl_ord_id: id(counter),
        root_cl_ord_id: id(root),
        px: Price(px),
        order_qty: Qty(qty),
        side: Side::Buy as u8,
        tif: Tif::Day as u8,
        ord_type: b'2',
        dest: SRC,
        ts: TimeNs(ts),
        ..bytemuck_zero()
    }
}

fn bytemuck_zero() -> Command {
    // A command of zeros, field by field, so that this crate needs no cast.
    Command {
        seq: 0,
        epoch: 0,
        index: 0,
        kind: 0,
        dest: SourceId(0),
        ts: TimeNs(0),
        ts_cause: TimeNs(0),
        cl_ord_id: ClOrdId::NONE,
        orig_cl_ord_id: ClOrdId::NONE,
        root_cl_ord_id: ClOrdId::NONE,
        parent_id: 0,
        px: Price(0),
        order_qty: Qty::ZERO,
        instrument: X,
        strategy: STRATEGY,
        account: ACCOUNT,
        side: 0,
        tif: 0,
        ord_type: 0,
        flags: 0,
        reason: 0,
        leg: 0,
        reserved: [0; 4],
    }
}

/// A report about order `of` of the shape a venue sends; ExecIDs count up by themselves.
pub(crate) struct Venue {
    exec: u64,
}

impl Venue {
    pub(crate) fn report(&mut self, exec_type: u8, ord_status: u8, of: u64, cum: i64, leaves: i64) -> ExecReport {
        self.exec += 1;
        ExecReport {
            cl_ord_id: id(of),
            exec_type,
            ord_status,
            side: Side::Buy as u8,
            cum_qty: Qty(cum),
            leaves_qty: Qty(leaves),
            exec_id: ExecId::new(format!("E{}", self.exec).as_bytes()).unwrap(),
            order_id: OrderId::new(b"V1").unwrap(),
            ..ExecReport::default()
        }
    }

    pub(crate) fn fill(&mut self, of: u64, last: i64, px: i64, cum: i64, leaves: i64) -> ExecReport {
        let status = if leaves == 0 { b'2' } else { b'1' };
        ExecReport {
            last_qty: Qty(last),
            last_px: Price(px),
            liquidity: 1,
            ..self.report(b'F', status, of, cum, leaves)
        }
    }
}

/// A table with order 1 (buy 10 at 600,000) acknowledged.
fn with_new() -> (Orders, Venue) {
    let (mut orders, mut venue) = (table(64), Venue { exec: 0 });
    orders.on_command(&command(CommandKind::New, 1, 0, 600_000, 10, 100)).unwrap();
    let update = orders.on_exec_report(&venue.report(b'0', b'0', 1, 0, 10), SRC, TimeNs(200));
    assert_eq!((update.before, update.after), (Some(OrderState::PendingNew), Some(OrderState::New)));
    (orders, venue)
}

fn state(orders: &Orders) -> OrderState {
    orders.get(id(1)).unwrap().state
}

fn is_consistent(orders: &Orders) {
    assert_eq!((orders.orders_digest(), orders.positions_digest()), orders.full_digests());
    let mut totals = OpenTotals::default();
    for order in orders.open_all() {
        assert!(order.state.is_open());
        totals.orders_count += 1;
        match order.side {
            Side::Buy => totals.buy_qty.0 += order.reserved_qty().0,
            Side::Sell => totals.sell_qty.0 += order.reserved_qty().0,
        }
    }
    assert_eq!(orders.account_open_totals(ACCOUNT, X), totals);
    let due_first = orders.open_all().find(|order| order.needs_status() && order.status_from == TimeNs::MIN);
    assert_eq!(orders.status_due().map(|order| order.root), due_first.map(|order| order.root));
    let due = orders.open_all().map(super::due).min().filter(|due| *due != TimeNs::MAX);
    assert_eq!(orders.next_deadline(), due);
}

#[test]
fn the_plain_life_of_an_order() {
    let (mut orders, mut venue) = with_new();
    let update = orders.on_exec_report(&venue.fill(1, 4, 600_000, 4, 6), SRC, TimeNs(300));
    let fee = Money(48_000_000_000); // 0.004 · 60,000 · 0.0002
    assert_eq!(update.fill, Some(Fill { side: Side::Buy, px: Price(600_000), qty: Qty(4), fee, maker: true }));
    assert_eq!((update.after, update.released, update.breach), (Some(OrderState::PartFilled), false, None));
    assert_eq!(orders.open_totals(STRATEGY, X).buy_qty, Qty(6));
    let update = orders.on_exec_report(&venue.fill(1, 6, 600_000, 10, 0), SRC, TimeNs(400));
    assert_eq!((update.after, update.released, update.breach), (Some(OrderState::Filled), true, None));
    assert_eq!((orders.position(STRATEGY, X).qty, orders.account_position(ACCOUNT, X).qty), (Qty(10), Qty(10)));
    assert!(orders.is_settled(STRATEGY, X) && !orders.is_flat(STRATEGY, X));
    assert_eq!(orders.next_deadline(), None);
    is_consistent(&orders);
}

#[test]
fn an_exec_id_counts_once() {
    let (mut orders, mut venue) = with_new();
    let fill = venue.fill(1, 4, 600_000, 4, 6);
    orders.on_exec_report(&fill, SRC, TimeNs(300));
    let digests = orders.full_digests();
    let update = orders.on_exec_report(&ExecReport { poss_dup: 1, ..fill }, SRC, TimeNs(301));
    assert!(update.duplicate && update.fill.is_none() && update.breach.is_none());
    assert_eq!((orders.full_digests(), orders.counters().duplicates), (digests, 1));
    // Without an ExecID, CumQty has to tell.
    let blank = ExecReport { exec_id: ExecId::EMPTY, ..fill };
    assert!(orders.on_exec_report(&blank, SRC, TimeNs(302)).duplicate);
    let next = ExecReport { cum_qty: Qty(8), leaves_qty: Qty(2), ..blank };
    assert!(orders.on_exec_report(&next, SRC, TimeNs(303)).fill.is_some());
    is_consistent(&orders);
}

#[test]
fn a_late_fill_after_cancel_always_counts() {
    let (mut orders, mut venue) = with_new();
    orders.on_command(&command(CommandKind::Cancel, 2, 1, 0, 0, 210)).unwrap();
    assert_eq!(state(&orders), OrderState::PendingCancel);
    let update = orders.on_exec_report(&venue.report(b'4', b'4', 2, 0, 0), SRC, TimeNs(220));
    assert!(update.released);
    let update = orders.on_exec_report(&venue.fill(1, 3, 600_000, 3, 0), SRC, TimeNs(230));
    assert_eq!((update.breach, update.fill.map(|f| f.qty)), (Some(Breach::LateFill), Some(Qty(3))));
    assert_eq!((orders.position(STRATEGY, X).qty, state(&orders)), (Qty(3), OrderState::Canceled));
    is_consistent(&orders);
}

#[test]
fn a_fill_may_overtake_its_acknowledgement() {
    let (mut orders, mut venue) = (table(64), Venue { exec: 0 });
    orders.on_command(&command(CommandKind::New, 1, 0, 600_000, 10, 100)).unwrap();
    let ack = venue.report(b'0', b'0', 1, 0, 10);
    orders.on_exec_report(&venue.fill(1, 4, 600_000, 4, 6), SRC, TimeNs(110));
    let update = orders.on_exec_report(&ack, SRC, TimeNs(120));
    assert_eq!((update.breach, state(&orders)), (None, OrderState::PartFilled));
}

#[test]
fn a_cancel_that_loses_the_race_is_no_breach() {
    let (mut orders, mut venue) = with_new();
    orders.on_command(&command(CommandKind::Cancel, 2, 1, 0, 0, 210)).unwrap();
    orders.on_exec_report(&venue.fill(1, 10, 600_000, 10, 0), SRC, TimeNs(220));
    let reject =
        CancelReject { cl_ord_id: id(2), orig_cl_ord_id: id(1), ord_status: b'2', reason: 1, ..Default::default() };
    let update = orders.on_cancel_reject(&reject, TimeNs(230));
    assert_eq!((update.breach, update.released, state(&orders)), (None, false, OrderState::Filled));
    is_consistent(&orders);
}

#[test]
fn a_refused_cancel_leaves_the_order_live() {
    let (mut orders, _) = with_new();
    orders.on_command(&command(CommandKind::Cancel, 2, 1, 0, 0, 210)).unwrap();
    let again = orders.on_command(&command(CommandKind::Cancel, 3, 1, 0, 0, 215));
    assert_eq!(again, Err(OrderError::State(OrderState::PendingCancel)));
    let reject =
        CancelReject { cl_ord_id: id(2), orig_cl_ord_id: id(1), ord_status: b'0', reason: 0, ..Default::default() };
    orders.on_cancel_reject(&reject, TimeNs(220));
    assert_eq!(state(&orders), OrderState::New);
    orders.on_command(&command(CommandKind::Cancel, 3, 1, 0, 0, 230)).unwrap();
    // "Unknown order": it is not live there, and how it ended has not been shown.
    let reject =
        CancelReject { cl_ord_id: id(3), orig_cl_ord_id: id(1), ord_status: b'8', reason: 2, ..Default::default() };
    orders.on_cancel_reject(&reject, TimeNs(240));
    assert_eq!((state(&orders), orders.status_due().map(|o| o.root)), (OrderState::Unknown, Some(id(1))));
    assert_eq!(orders.open_totals(STRATEGY, X).buy_qty, Qty(10), "still reserved");
    is_consistent(&orders);
}

#[test]
fn a_replace_reserves_the_worse_until_it_is_answered() {
    let (mut orders, mut venue) = with_new();
    orders.on_command(&command(CommandKind::Replace, 2, 1, 600_010, 15, 210)).unwrap();
    assert_eq!((state(&orders), orders.open_totals(STRATEGY, X).buy_qty), (OrderState::PendingReplace, Qty(15)));
    orders.on_exec_report(&venue.fill(1, 4, 600_000, 4, 6), SRC, TimeNs(220));
    assert_eq!((state(&orders), orders.open_totals(STRATEGY, X).buy_qty), (OrderState::PendingReplace, Qty(11)));
    let ack = ExecReport {
        orig_cl_ord_id: id(1),
        px: Price(600_010),
        has_px: 1,
        order_qty: Qty(15),
        ..venue.report(b'5', b'1', 2, 4, 11)
    };
    let update = orders.on_exec_report(&ack, SRC, TimeNs(230));
    assert_eq!(update.replaced, Some(Replaced { accepted: true, px: Price(600_010), order_qty: Qty(15) }));
    let order = orders.get(id(1)).unwrap();
    assert_eq!((order.cl_ord_id, order.state, order.leaves_qty()), (id(2), OrderState::PartFilled, Qty(11)));
    // A shrinking replace keeps the larger quantity until it is acknowledged.
    orders.on_command(&command(CommandKind::Replace, 3, 1, 600_010, 6, 240)).unwrap();
    assert_eq!(orders.open_totals(STRATEGY, X).buy_qty, Qty(11));
    let reject = CancelReject {
        cl_ord_id: id(3),
        orig_cl_ord_id: id(2),
        ord_status: b'1',
        response_to: b'2',
        ..Default::default()
    };
    let update = orders.on_cancel_reject(&reject, TimeNs(250));
    assert_eq!(update.replaced, Some(Replaced { accepted: false, px: Price(600_010), order_qty: Qty(15) }));
    assert_eq!(state(&orders), OrderState::PartFilled);
    is_consistent(&orders);
}

#[test]
fn a_cancel_may_follow_a_replace_in_flight() {
    let (mut orders, mut venue) = with_new();
    orders.on_command(&command(CommandKind::Replace, 2, 1, 600_010, 12, 210)).unwrap();
    orders.on_command(&command(CommandKind::Cancel, 3, 1, 0, 0, 211)).unwrap();
    assert_eq!(state(&orders), OrderState::PendingBoth);
    let ack = ExecReport { orig_cl_ord_id: id(1), ..venue.report(b'5', b'0', 2, 0, 12) };
    let update = orders.on_exec_report(&ack, SRC, TimeNs(220));
    assert_eq!((update.after, update.replaced.map(|r| r.px)), (Some(OrderState::PendingCancel), Some(Price(600_010))));
    let update = orders.on_exec_report(&venue.report(b'4', b'4', 3, 0, 0), SRC, TimeNs(230));
    assert!(update.released);
    is_consistent(&orders);
}

#[test]
fn no_answer_in_time_is_unknown_and_stays_reserved() {
    let (mut orders, mut venue) = (table(64), Venue { exec: 0 });
    orders.on_command(&command(CommandKind::New, 1, 0, 600_000, 10, 100)).unwrap();
    let deadline = TimeNs(100 + DurationNs::from_secs(3).0);
    assert_eq!(orders.next_deadline(), Some(deadline));
    assert_eq!(orders.on_time(TimeNs(deadline.0 - 1)), 0);
    orders.on_sent(&Sent { cl_ord_id: id(1), ..Default::default() }, TimeNs(200));
    let deadline = TimeNs(200 + DurationNs::from_secs(3).0);
    assert_eq!(orders.next_deadline(), Some(deadline));
    assert_eq!(orders.on_time(deadline), 1);
    assert_eq!((state(&orders), orders.unknown_count(ACCOUNT)), (OrderState::Unknown, 1));
    assert_eq!((orders.open_totals(STRATEGY, X).buy_qty, orders.is_settled(STRATEGY, X)), (Qty(10), false));
    let replace = orders.on_command(&command(CommandKind::Replace, 2, 1, 1, 1, deadline.0));
    assert_eq!(replace, Err(OrderError::State(OrderState::Unknown)), "may be cancelled, not replaced");
    // Asked once, then again only after a while.
    assert_eq!(orders.status_due().map(|o| o.root), Some(id(1)));
    orders.on_command(&command(CommandKind::Status, 1, 1, 0, 0, deadline.0)).unwrap();
    assert!(orders.status_due().is_none());
    let again = orders.next_deadline().unwrap();
    orders.on_time(again);
    assert!(orders.status_due().is_some());
    assert_eq!(orders.next_deadline(), None, "what is due at once needs no timer");
    // The venue shows it.
    let update = orders.on_exec_report(&venue.report(b'I', b'0', 1, 0, 10), SRC, again);
    assert_eq!((update.after, update.breach), (Some(OrderState::New), None));
    assert!(orders.is_reconciled(ACCOUNT));
    is_consistent(&orders);
}

#[test]
fn an_unknown_order_may_be_cancelled() {
    let (mut orders, mut venue) = with_new();
    assert_eq!(orders.on_session_lost(SourceId(9), TimeNs(300)), 0);
    assert_eq!(orders.on_session_lost(SRC, TimeNs(300)), 1);
    orders.on_command(&command(CommandKind::Cancel, 2, 1, 0, 0, 310)).unwrap();
    assert_eq!(state(&orders), OrderState::Unknown);
    let update = orders.on_exec_report(&venue.report(b'4', b'4', 2, 0, 0), SRC, TimeNs(320));
    assert!(update.released && orders.is_settled(STRATEGY, X));
    is_consistent(&orders);
}

#[test]
fn the_venue_that_does_not_know_an_unknown_order_proves_it_dead() {
    let (mut orders, mut venue) = (table(64), Venue { exec: 0 });
    orders.on_command(&command(CommandKind::New, 1, 0, 600_000, 10, 100)).unwrap();
    assert_eq!(orders.on_epoch_start(TimeNs(1_000)), 1);
    orders.on_command(&command(CommandKind::MassStatus, 50, 0, 0, 0, 1_100)).unwrap();
    assert!(orders.status_due().is_none(), "the mass answer comes first");
    orders.on_mass_status_end(SRC);
    assert_eq!(orders.status_due().map(|o| o.root), Some(id(1)), "not mentioned: asked by name");
    orders.on_command(&command(CommandKind::Status, 1, 1, 0, 0, 1_200)).unwrap();
    assert_eq!(orders.open_totals(STRATEGY, X).buy_qty, Qty(10), "reserved until proven");
    let update = orders.on_exec_report(&venue.report(b'I', b'8', 1, 0, 0), SRC, TimeNs(1_300));
    assert_eq!((update.after, update.released, update.breach), (Some(OrderState::Rejected), true, None));
    assert!(orders.is_reconciled(ACCOUNT));
    is_consistent(&orders);
}

#[test]
fn a_missing_fill_is_waited_for_and_never_invented() {
    let (mut orders, mut venue) = with_new();
    let (first, second) = (venue.fill(1, 4, 600_000, 4, 6), venue.fill(1, 6, 600_000, 10, 0));
    orders.on_session_lost(SRC, TimeNs(300));
    let update = orders.on_exec_report(&venue.report(b'I', b'2', 1, 10, 0), SRC, TimeNs(400));
    assert_eq!((update.breach, update.released), (Some(Breach::MissingFill), false));
    assert_eq!((state(&orders), orders.position(STRATEGY, X).qty), (OrderState::Unknown, Qty(0)));
    assert!(!orders.is_reconciled(ACCOUNT));
    orders.on_exec_report(&ExecReport { poss_dup: 1, ..first }, SRC, TimeNs(500));
    assert_eq!(state(&orders), OrderState::Unknown);
    let update = orders.on_exec_report(&ExecReport { poss_dup: 1, ..second }, SRC, TimeNs(600));
    assert_eq!((update.after, update.released), (Some(OrderState::Filled), true));
    assert_eq!(orders.position(STRATEGY, X).qty, Qty(10));
    assert!(orders.is_reconciled(ACCOUNT));
    is_consistent(&orders);
}

#[test]
fn a_cancel_that_tells_of_an_unseen_fill_keeps_the_order_unknown() {
    let (mut orders, mut venue) = with_new();
    let fill = venue.fill(1, 4, 600_000, 4, 6);
    let update = orders.on_exec_report(&venue.report(b'4', b'4', 1, 4, 0), SRC, TimeNs(300));
    assert_eq!((update.after, update.breach), (Some(OrderState::Unknown), Some(Breach::MissingFill)));
    let update = orders.on_exec_report(&fill, SRC, TimeNs(310));
    assert_eq!((update.after, update.released), (Some(OrderState::Canceled), true));
    is_consistent(&orders);
}

#[test]
fn a_status_settles_requests_made_before_the_question_only() {
    let (mut orders, mut venue) = with_new();
    orders.on_command(&command(CommandKind::Replace, 2, 1, 600_010, 12, 210)).unwrap();
    orders.on_session_lost(SRC, TimeNs(300));
    assert_eq!(orders.open_totals(STRATEGY, X).buy_qty, Qty(12));
    orders.on_command(&command(CommandKind::Status, 1, 1, 0, 0, 310)).unwrap();
    orders.on_command(&command(CommandKind::Cancel, 3, 1, 0, 0, 320)).unwrap();
    let status = ExecReport { order_qty: Qty(10), px: Price(600_000), has_px: 1, ..venue.report(b'I', b'0', 1, 0, 10) };
    let update = orders.on_exec_report(&status, SRC, TimeNs(330));
    assert_eq!(update.replaced.map(|r| r.accepted), Some(false), "the replace never arrived");
    assert_eq!(state(&orders), OrderState::PendingCancel, "the cancel is younger than the question");
    assert_eq!(orders.open_totals(STRATEGY, X).buy_qty, Qty(10));
    let (mut orders, mut venue) = with_new();
    orders.on_command(&command(CommandKind::Replace, 2, 1, 600_010, 12, 210)).unwrap();
    orders.on_session_lost(SRC, TimeNs(300));
    orders.on_command(&command(CommandKind::Status, 1, 1, 0, 0, 310)).unwrap();
    let status = ExecReport { order_qty: Qty(12), px: Price(600_010), has_px: 1, ..venue.report(b'I', b'0', 2, 0, 12) };
    let update = orders.on_exec_report(&status, SRC, TimeNs(330));
    assert_eq!(update.replaced, Some(Replaced { accepted: true, px: Price(600_010), order_qty: Qty(12) }));
    assert_eq!((orders.get(id(1)).unwrap().cl_ord_id, state(&orders)), (id(2), OrderState::New));
    is_consistent(&orders);
}

#[test]
fn what_was_not_sent_never_was() {
    let (mut orders, _) = (table(64), ());
    orders.on_command(&command(CommandKind::New, 1, 0, 600_000, 10, 100)).unwrap();
    let not_sent = NotSent { cl_ord_id: id(1), command: CommandKind::New as u8, why: 1, ..Default::default() };
    let update = orders.on_not_sent(&not_sent, TimeNs(110));
    assert!(update.released && state(&orders) == OrderState::Rejected);
    let (mut orders, _) = with_new();
    orders.on_command(&command(CommandKind::Replace, 2, 1, 600_010, 12, 210)).unwrap();
    let not_sent = NotSent { cl_ord_id: id(2), command: CommandKind::Replace as u8, why: 1, ..Default::default() };
    let update = orders.on_not_sent(&not_sent, TimeNs(220));
    assert_eq!((update.replaced.map(|r| r.accepted), state(&orders)), (Some(false), OrderState::New));
    orders.on_command(&command(CommandKind::Cancel, 3, 1, 0, 0, 230)).unwrap();
    let reject = MessageReject { cl_ord_id: id(3), ref_msg_type: b'F', ..Default::default() };
    orders.on_message_reject(&reject, TimeNs(240));
    assert_eq!(state(&orders), OrderState::New);
    is_consistent(&orders);
}

#[test]
fn an_order_of_ours_that_we_do_not_have_is_taken_in_and_can_be_cancelled() {
    let (mut orders, mut venue) = (table(64), Venue { exec: 0 });
    let status = ExecReport { order_qty: Qty(10), px: Price(600_000), has_px: 1, ..venue.report(b'I', b'1', 77, 4, 6) };
    let update = orders.on_exec_report(&status, SRC, TimeNs(100));
    assert!(update.adopted && update.breach == Some(Breach::UnknownOrder));
    let order = *orders.get(id(77)).unwrap();
    assert_eq!((order.strategy, order.leaves_qty(), order.state), (orders.foreign(), Qty(6), OrderState::PartFilled));
    assert_eq!(orders.account_position(ACCOUNT, X).qty, Qty(0), "what filled before is not ours to invent");
    orders.on_exec_report(&venue.fill(77, 2, 600_000, 6, 4), SRC, TimeNs(110));
    assert_eq!(orders.account_position(ACCOUNT, X).qty, Qty(2));
    let cancel = Command { strategy: orders.foreign(), ..command(CommandKind::Cancel, 80, 77, 0, 0, 120) };
    orders.on_command(&cancel).unwrap();
    assert!(orders.on_exec_report(&venue.report(b'4', b'4', 80, 6, 0), SRC, TimeNs(130)).released);
    // Dead orders and other people's are counted only; a fill counts whoever's it is.
    let dead = ExecReport { order_id: OrderId::new(b"V2").unwrap(), ..venue.report(b'I', b'4', 78, 0, 0) };
    orders.on_exec_report(&dead, SRC, TimeNs(140));
    assert_eq!(orders.counters().unknown_reports, 1);
    let others =
        ExecReport { cl_ord_id: ClOrdId::NONE, order_id: OrderId::EMPTY, ..venue.report(b'I', b'0', 79, 0, 5) };
    assert!(!orders.on_exec_report(&others, SRC, TimeNs(150)).adopted);
    assert_eq!(orders.counters().foreign_reports, 1);
    let fill = ExecReport { cl_ord_id: ClOrdId::NONE, order_id: OrderId::EMPTY, ..venue.fill(79, 5, 600_000, 5, 0) };
    assert!(orders.on_exec_report(&fill, SRC, TimeNs(160)).fill.is_some());
    assert_eq!(orders.account_position(ACCOUNT, X).qty, Qty(7));
    is_consistent(&orders);
}

#[test]
fn busts_corrections_overfills_and_lies_are_breaches() {
    let (mut orders, mut venue) = with_new();
    let of = |orders: &mut Orders, report: ExecReport| orders.on_exec_report(&report, SRC, TimeNs(300)).breach;
    assert_eq!(of(&mut orders, venue.report(b'H', b'0', 1, 0, 10)), Some(Breach::TradeBusted));
    assert_eq!(of(&mut orders, venue.report(b'G', b'0', 1, 0, 10)), Some(Breach::TradeCorrected));
    assert_eq!(of(&mut orders, venue.report(b'?', b'0', 1, 0, 10)), Some(Breach::Malformed));
    assert_eq!(of(&mut orders, venue.report(b'0', b'0', 1, 0, 10)), Some(Breach::State), "acknowledged twice");
    assert_eq!(of(&mut orders, ExecReport { last_qty: Qty(-1), ..venue.fill(1, 1, 1, 1, 1) }), Some(Breach::Malformed));
    let sell = ExecReport { side: Side::Sell as u8, ..venue.fill(1, 2, 600_000, 2, 8) };
    assert_eq!(of(&mut orders, sell), Some(Breach::Identity));
    assert_eq!(orders.position(STRATEGY, X).qty, Qty(-2), "what was traded was traded");
    assert_eq!(of(&mut orders, venue.fill(1, 3, 600_000, 2, 8)), Some(Breach::CumBelow));
    assert_eq!(of(&mut orders, venue.fill(1, 20, 600_000, 23, 0)), Some(Breach::Overfill));
    assert_eq!(orders.position(STRATEGY, X).qty, Qty(21));
    is_consistent(&orders);
}

#[test]
fn ids_are_never_used_twice_and_a_refused_command_changes_nothing() {
    let (mut orders, _) = with_new();
    let digests = orders.full_digests();
    let used = [command(CommandKind::New, 1, 0, 1, 1, 1), command(CommandKind::Cancel, 1, 1, 0, 0, 1)];
    assert_eq!(used.map(|c| orders.on_command(&c)), [Err(OrderError::ReusedId); 2]);
    let bad = [
        Command { side: 0, ..command(CommandKind::New, 5, 0, 1, 1, 1) },
        Command { strategy: StrategyId(2), ..command(CommandKind::New, 5, 0, 1, 1, 1) },
        Command { account: AccountId(1), ..command(CommandKind::New, 5, 0, 1, 1, 1) },
        Command { instrument: InstrumentId(1), ..command(CommandKind::New, 5, 0, 1, 1, 1) },
        Command { kind: 99, ..command(CommandKind::New, 5, 0, 1, 1, 1) },
        command(CommandKind::New, 5, 0, 1, 0, 1),
    ];
    assert_eq!(bad.map(|c| orders.on_command(&c)), [Err(OrderError::Malformed); 6]);
    assert_eq!(orders.on_command(&command(CommandKind::Cancel, 5, 4, 0, 0, 1)), Err(OrderError::UnknownOrder));
    assert_eq!(orders.full_digests(), digests);
}

#[test]
fn a_full_table_refuses_new_orders_and_recycles_dead_ones_oldest_first() {
    let (mut orders, mut venue) = (table(16), Venue { exec: 0 });
    for at in 1..=16 {
        orders.on_command(&command(CommandKind::New, at, 0, 600_000, 1, 1)).unwrap();
    }
    assert_eq!(orders.on_command(&command(CommandKind::New, 17, 0, 600_000, 1, 1)), Err(OrderError::Full));
    for at in [5, 3] {
        orders.on_exec_report(&venue.fill(at, 1, 600_000, 1, 0), SRC, TimeNs(2));
    }
    assert!(orders.get(id(5)).is_some(), "dead orders are kept while there is room");
    orders.on_command(&command(CommandKind::New, 17, 0, 600_000, 1, 3)).unwrap();
    assert!(orders.get(id(5)).is_none() && orders.get(id(3)).is_some());
    is_consistent(&orders);
}

#[test]
fn a_long_chain_of_replaces_keeps_its_root_and_its_newest_ids() {
    let (mut orders, mut venue) = with_new();
    for at in 2..200 {
        orders.on_command(&command(CommandKind::Replace, at, 1, 600_000 + at as i64, 10, at as i64 * 10)).unwrap();
        let ack = ExecReport { orig_cl_ord_id: id(at - 1), ..venue.report(b'5', b'0', at, 0, 10) };
        orders.on_exec_report(&ack, SRC, TimeNs(at as i64 * 10 + 1));
    }
    let order = orders.get(id(1)).unwrap();
    assert_eq!((order.cl_ord_id, order.px, order.state), (id(199), Price(600_199), OrderState::New));
    assert!(orders.get(id(198)).is_some() && orders.get(id(100)).is_none());
    // A report under a forgotten id still finds its order, by the venue's own.
    let update = orders.on_exec_report(&venue.fill(100, 1, 600_000, 1, 9), SRC, TimeNs(9_999));
    assert_eq!((update.root, update.breach), (id(1), None));
    is_consistent(&orders);
}

#[test]
fn own_quantity_counts_what_the_public_book_shows() {
    let (mut orders, mut venue) = with_new();
    assert_eq!(orders.own_qty_at(ACCOUNT, X, Side::Buy, Price(600_000)), Qty(10));
    assert_eq!(orders.own_qty_at(ACCOUNT, X, Side::Sell, Price(600_000)), Qty(0));
    let other = Command { strategy: StrategyId(1), ..command(CommandKind::New, 2, 0, 600_000, 7, 300) };
    orders.on_command(&other).unwrap();
    assert_eq!(orders.own_qty_at(ACCOUNT, X, Side::Buy, Price(600_000)), Qty(10), "not before it is acknowledged");
    orders.on_exec_report(&venue.report(b'0', b'0', 2, 0, 7), SRC, TimeNs(310));
    assert_eq!(orders.own_qty_at(ACCOUNT, X, Side::Buy, Price(600_000)), Qty(17), "every strategy of the account");
    orders.on_session_lost(SRC, TimeNs(320));
    assert_eq!(orders.own_qty_at(ACCOUNT, X, Side::Buy, Price(600_000)), Qty(0), "unknown is not shown");
}

mod random;

#[test]
fn an_order_held_dead_that_the_venue_shows_live_is_unknown_again_and_reserved() {
    for (exec_type, status) in [(b'I', b'0'), (b'0', b'0'), (b'D', b'0')] {
        let (mut orders, mut venue) = with_new();
        let dead = orders.on_exec_report(&venue.report(b'4', b'4', 1, 0, 0), SRC, TimeNs(210));
        assert!(dead.released);
        let live = venue.report(exec_type, status, 1, 0, 10);
        let old = ExecReport { poss_dup: 1, exec_id: ExecId::new(b"old").unwrap(), ..live };
        assert!(!orders.on_exec_report(&old, SRC, TimeNs(220)).adopted, "a repetition proves nothing about now");
        assert_eq!(state(&orders), OrderState::Canceled);
        let update = orders.on_exec_report(&live, SRC, TimeNs(230));
        assert!(update.adopted && update.breach == Some(Breach::State));
        assert_eq!(orders.account_open_totals(ACCOUNT, X).buy_qty, Qty(10));
        assert_eq!((orders.counters().revived, state(&orders)), (1, OrderState::Unknown));
        assert!(orders.status_due().is_some(), "the venue is asked");
        is_consistent(&orders);
        orders.on_command(&command(CommandKind::Cancel, 3, 1, 0, 0, 240)).unwrap();
        assert!(orders.on_exec_report(&venue.report(b'4', b'4', 3, 0, 0), SRC, TimeNs(250)).released);
        assert_eq!(orders.account_open_totals(ACCOUNT, X).buy_qty, Qty(0));
        is_consistent(&orders);
    }
}

#[test]
fn a_late_fill_that_leaves_quantity_revives_and_one_that_ends_the_order_does_not_leave_it_open() {
    let (mut orders, mut venue) = with_new();
    orders.on_exec_report(&venue.report(b'4', b'4', 1, 0, 0), SRC, TimeNs(210));
    let update = orders.on_exec_report(&venue.fill(1, 4, 600_000, 4, 6), SRC, TimeNs(220));
    assert!(update.adopted && update.fill.is_some());
    assert_eq!(orders.account_open_totals(ACCOUNT, X).buy_qty, Qty(6));
    is_consistent(&orders);
    assert!(orders.on_exec_report(&venue.fill(1, 6, 600_000, 10, 0), SRC, TimeNs(230)).released);
    is_consistent(&orders);
}

#[test]
fn done_for_the_day_ends_a_day_order_and_not_one_that_outlives_the_day() {
    for (tif, open) in [(Tif::Day, false), (Tif::Gtc, true)] {
        let (mut orders, mut venue) = (table(64), Venue { exec: 0 });
        let new = Command { tif: tif as u8, ..command(CommandKind::New, 1, 0, 600_000, 10, 100) };
        orders.on_command(&new).unwrap();
        orders.on_exec_report(&venue.report(b'0', b'0', 1, 0, 10), SRC, TimeNs(200));
        let update = orders.on_exec_report(&venue.report(b'3', b'3', 1, 0, 0), SRC, TimeNs(210));
        assert_eq!((update.released, state(&orders).is_open()), (!open, open));
        is_consistent(&orders);
    }
}

#[test]
fn a_report_that_cannot_be_read_makes_its_order_unknown() {
    let (mut orders, _) = with_new();
    assert!(orders.on_unreadable(id(1), TimeNs(210)));
    assert_eq!((state(&orders), orders.unknown_count(ACCOUNT)), (OrderState::Unknown, 1));
    assert!(!orders.on_unreadable(id(9), TimeNs(220)), "of no order");
    is_consistent(&orders);
}
