use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tercel_event::{BookSnapshot, FrameBuf, FrameFlags};
use tercel_types::SourceId;

const SRC: SourceId = SourceId(3);

fn levels_tail(bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Vec<u8> {
    let level = |&(px, qty): &(i64, i64)| Level { px: Price(px), qty: Qty(qty) };
    let all: Vec<Level> = bids.iter().chain(asks).map(level).collect();
    bytemuck::cast_slice(&all).to_vec()
}

fn delta(prev: u64, id: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> FrameBuf {
    delta_part(prev, id, bids, asks, false)
}

fn delta_part(prev: u64, id: u64, bids: &[(i64, i64)], asks: &[(i64, i64)], more: bool) -> FrameBuf {
    let head = BookDelta {
        bids_count: bids.len() as u32,
        asks_count: asks.len() as u32,
        first_update_id: prev + 1,
        last_update_id: id,
        prev_update_id: prev,
        ..Default::default()
    };
    let mut buf = FrameBuf::new();
    let flags = if more { FrameFlags::MORE } else { 0 };
    assert!(buf.write(SRC, 0, flags, &head, &levels_tail(bids, asks)));
    buf.stamp(id, TimeNs(id as i64));
    buf
}

fn snapshot(id: u64, part: u32, more: bool, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> FrameBuf {
    let head = BookSnapshot {
        bids_count: bids.len() as u32,
        asks_count: asks.len() as u32,
        part,
        last_update_id: id,
        ..Default::default()
    };
    let mut buf = FrameBuf::new();
    let flags = if more { FrameFlags::MORE } else { 0 };
    assert!(buf.write(SRC, 0, flags, &head, &levels_tail(bids, asks)));
    buf.stamp(id, TimeNs(id as i64));
    buf
}

fn bbo(id: u64, bid: (i64, i64), ask: (i64, i64)) -> FrameBuf {
    let body = Bbo {
        update_id: id,
        bid_px: Price(bid.0),
        bid_qty: Qty(bid.1),
        ask_px: Price(ask.0),
        ask_qty: Qty(ask.1),
        ..Default::default()
    };
    FrameBuf::of(SRC, 0, &body, &[])
}

fn status(event: FeedEvent, phase: u8) -> FrameBuf {
    FrameBuf::of(SRC, 0, &FeedStatus { event: event as u8, phase, ..Default::default() }, &[])
}

fn level(px: i64, qty: i64) -> Option<Level> {
    Some(Level { px: Price(px), qty: Qty(qty) })
}

fn with_capacity(capacity: usize) -> Book {
    // The smallest window, so that levels beyond it are the rule.
    let config = BookConfig { window: 256, capacity, known_min: 4, ..BookConfig::default() };
    assert_eq!(config.validate(), []);
    Book::new(InstrumentId(0), config)
}

/// A live book: 100/101, three levels a side, at update 10.
fn live() -> Book {
    let mut book = with_capacity(64);
    book.apply(&status(FeedEvent::Connected, 0).frame());
    book.apply(&snapshot(10, 0, false, &[(100, 1), (99, 2), (98, 3)], &[(101, 1), (102, 2), (103, 3)]).frame());
    book.apply(&status(FeedEvent::Recovered, 0).frame());
    assert!(book.is_live());
    book
}

#[test]
fn a_book_is_live_only_after_snapshot_and_recovered() {
    let mut book = with_capacity(64);
    assert!(book.quality().faults.contains(Faults::DISCONNECTED));
    book.apply(&status(FeedEvent::Connected, 0).frame());
    book.apply(&status(FeedEvent::Recovered, 0).frame());
    assert!(!book.is_live(), "recovered without a snapshot is no recovery");
    let outcome = book.apply(&delta(0, 5, &[(1, 1)], &[]).frame());
    assert_eq!((outcome, book.counters().unsynced), (BookOutcome::default(), 1));
    book.apply(&snapshot(10, 0, false, &[(100, 1)], &[(101, 1)]).frame());
    assert!(!book.is_live());
    let outcome = book.apply(&status(FeedEvent::Recovered, 0).frame());
    assert!(outcome.quality_changed && book.is_live());
}

#[test]
fn snapshot_parts_appear_together() {
    let mut book = live();
    let outcome = book.apply(&snapshot(50, 0, true, &[(200, 1)], &[]).frame());
    assert_eq!((outcome.changed, book.best_bid()), (false, level(100, 1)));
    book.apply(&snapshot(50, 1, true, &[(199, 1)], &[(201, 5)]).frame());
    assert_eq!(book.best_bid(), level(100, 1));
    let outcome = book.apply(&snapshot(50, 2, false, &[], &[(202, 5)]).frame());
    assert!(outcome.changed);
    assert_eq!((book.best_bid(), book.best_ask(), book.levels_count()), (level(200, 1), level(201, 5), (2, 2)));
}

#[test]
fn a_lost_snapshot_part_is_no_snapshot() {
    let mut book = live();
    book.apply(&snapshot(50, 0, true, &[(200, 1)], &[(201, 1)]).frame());
    let outcome = book.apply(&snapshot(50, 2, false, &[], &[]).frame());
    assert_eq!(outcome.resync, Some(ResyncReason::Malformed));
    assert_eq!((book.best_bid(), book.is_live()), (level(100, 1), false));
}

#[test]
fn a_delta_in_parts_is_judged_at_its_end() {
    let mut book = live();
    // Crossed between the parts, right at the end.
    let first = book.apply(&delta_part(10, 11, &[(102, 9)], &[], true).frame());
    assert_eq!(first.resync, None);
    let last = book.apply(&delta_part(10, 11, &[], &[(101, 0), (102, 0)], false).frame());
    assert!(last.changed && last.resync.is_none() && book.is_live());
    assert_eq!((book.best_bid(), book.best_ask()), (level(102, 9), level(103, 3)));
}

#[test]
fn the_first_delta_may_start_before_the_snapshot_and_no_other() {
    let mut book = live();
    assert_eq!(book.apply(&delta(5, 9, &[(100, 0)], &[]).frame()), BookOutcome::default());
    assert_eq!(book.counters().old_deltas, 1);
    assert!(book.apply(&delta(8, 12, &[(100, 7)], &[]).frame()).changed);
    let outcome = book.apply(&delta(11, 13, &[(100, 8)], &[]).frame());
    assert_eq!(outcome.resync, Some(ResyncReason::Gap));
    assert!(outcome.quality_changed && book.quality().faults.contains(Faults::GAP));
    assert_eq!(book.best_bid(), level(100, 7), "what follows a gap is not applied");
    let again = book.apply(&delta(20, 21, &[(100, 8)], &[]).frame());
    assert_eq!(again.resync, None, "one fault asks once");
    book.apply(&snapshot(30, 0, false, &[(90, 1)], &[(91, 1)]).frame());
    assert!(book.is_live(), "a snapshot heals the gap");
}

#[test]
fn a_gap_after_the_snapshot_is_seen_at_the_first_delta() {
    let mut book = live();
    assert_eq!(book.apply(&delta(11, 12, &[(100, 7)], &[]).frame()).resync, Some(ResyncReason::Gap));
}

#[test]
fn the_newest_of_depth_and_best_quote_is_the_touch() {
    let mut book = live();
    let outcome = book.apply(&bbo(15, (101, 4), (102, 2)).frame());
    assert!(outcome.changed);
    assert_eq!((book.best_bid(), book.best_ask()), (level(101, 4), level(102, 2)));
    assert_eq!(book.depth_best(), (level(100, 1), level(101, 1)), "the depth itself is not touched");
    assert_eq!(book.ask_level(1), level(103, 3), "the crossed ask at 101 is hidden");
    assert_eq!(book.bid_level(1), level(100, 1));
    assert!(!book.apply(&bbo(14, (1, 1), (2, 1)).frame()).changed, "an older quote changes nothing");
    let outcome = book.apply(&delta(10, 15, &[(101, 4)], &[(101, 0)]).frame());
    assert!(outcome.changed, "the levels behind the touch changed");
    assert_eq!((book.best_bid(), book.best_ask(), book.ask_level(1)), (level(101, 4), level(102, 2), level(103, 3)));
    assert!(!book.apply(&bbo(14, (1, 1), (2, 1)).frame()).changed);
}

#[test]
fn trades_never_change_the_book() {
    let mut book = live();
    let digest = book.depth_best();
    let trade = Trade { trade_id: 7, px: Price(101), qty: Qty(1), aggressor: 1, ..Default::default() };
    let outcome = book.apply(&FrameBuf::of(SRC, 0, &trade, &[]).frame());
    assert!(outcome.traded && !outcome.changed);
    assert_eq!(book.last_trade().map(|t| (t.px, t.aggressor)), Some((Price(101), Some(Side::Buy))));
    assert!(!book.apply(&FrameBuf::of(SRC, 0, &trade, &[]).frame()).traded, "an id counts once");
    assert_eq!(book.depth_best(), digest);
}

#[test]
fn crossed_is_a_fault_in_continuous_only() {
    for (crossing, at) in [((101, 5), "locked"), ((102, 5), "crossed")] {
        let mut book = live();
        let outcome = book.apply(&delta(10, 11, &[crossing], &[]).frame());
        assert_eq!(outcome.resync, Some(ResyncReason::Crossed), "{at}");
        assert_eq!(book.quality().faults, Faults::CROSSED);
    }
    let mut book = live();
    book.apply(&status(FeedEvent::Phase, Phase::PreOpen as u8).frame());
    assert_eq!(book.apply(&delta(10, 11, &[(102, 5)], &[]).frame()).resync, None);
    assert!(!book.is_live() && book.quality().faults.is_empty());
    let outcome = book.apply(&status(FeedEvent::Phase, Phase::Continuous as u8).frame());
    assert_eq!(outcome.resync, Some(ResyncReason::Crossed), "and it is when trading turns continuous");
    assert_eq!(live().apply(&bbo(20, (105, 1), (104, 1)).frame()).resync, Some(ResyncReason::Crossed));
}

#[test]
fn silence_makes_stale_and_any_sign_of_life_ends_it() {
    let mut book = with_capacity(64);
    assert_eq!(book.next_deadline(), None);
    book.apply(&status(FeedEvent::Connected, 0).frame());
    book.apply(&snapshot(10, 0, false, &[(100, 1)], &[(101, 1)]).frame());
    book.apply(&status(FeedEvent::Recovered, 0).frame());
    let mut alive = status(FeedEvent::Alive, 0);
    alive.stamp(1, TimeNs(1_000));
    book.apply(&alive.frame());
    let deadline = book.next_deadline().unwrap();
    assert_eq!(deadline, TimeNs(1_000 + 5_000_000_000));
    assert!(!book.on_time(TimeNs(deadline.0 - 1)).quality_changed);
    assert!(book.on_time(deadline).quality_changed && book.quality().faults == Faults::STALE);
    assert_eq!(book.next_deadline(), None);
    assert!(book.apply(&alive.frame()).quality_changed && book.is_live());
}

#[test]
fn a_checksum_is_verified_at_the_end_of_the_frame() {
    let sum: fn(&Book) -> u64 = |book| book.depth_bid(0).map_or(0, |level| level.px.0 as u64);
    let mut book = Book::new(InstrumentId(0), BookConfig { checksum: Some(sum), ..BookConfig::default() });
    book.apply(&status(FeedEvent::Connected, 0).frame());
    book.apply(&snapshot(10, 0, false, &[(100, 1)], &[(101, 1)]).frame());
    let with_sum = |prev, id, checksum| {
        let head = BookDelta { prev_update_id: prev, last_update_id: id, checksum, ..Default::default() };
        FrameBuf::of(SRC, 0, &head, &[])
    };
    assert_eq!(book.apply(&with_sum(10, 11, 100).frame()).resync, None);
    assert_eq!(book.apply(&with_sum(11, 12, 99).frame()).resync, Some(ResyncReason::Checksum));
    let mut without = live();
    without.apply(&with_sum(10, 11, 99).frame());
    assert_eq!((without.is_live(), without.counters().unverified_checksums), (true, 1));
}

#[test]
fn a_disconnect_forgets_the_touch_and_waits_for_a_snapshot() {
    let mut book = live();
    book.apply(&bbo(15, (100, 4), (102, 2)).frame());
    book.apply(&status(FeedEvent::Disconnected, 0).frame());
    assert!(!book.is_live() && book.touch_update_id() == 0);
    book.apply(&status(FeedEvent::Connected, 0).frame());
    book.apply(&delta(10, 11, &[(100, 9)], &[]).frame());
    assert_eq!(book.depth_bid(0), level(100, 1), "updates of a new connection need a snapshot first");
}

#[test]
fn what_does_not_fit_moves_the_horizon_and_coming_near_it_asks_for_a_rebuild() {
    let mut book = with_capacity(16);
    book.apply(&status(FeedEvent::Connected, 0).frame());
    let bids: Vec<_> = (0..20).map(|at| (100 - at, 1)).collect();
    book.apply(&snapshot(10, 0, false, &bids, &[(101, 1)]).frame());
    book.apply(&status(FeedEvent::Recovered, 0).frame());
    assert_eq!((book.levels_count().0, book.horizons().0, book.levels_dropped()), (16, Some(Price(84)), 4));
    assert!(book.is_live());
    // A change beyond the horizon is dropped, even when room has been made: what lies between is not known.
    book.apply(&delta(10, 11, &[(100, 0), (83, 5)], &[]).frame());
    assert_eq!((book.levels_count().0, book.levels_dropped()), (15, 5));
    let removals: Vec<_> = (1..12).map(|at| (100 - at, 0)).collect();
    assert!(book.apply(&delta(11, 12, &removals, &[]).frame()).resync.is_none(), "4 levels are still known");
    let outcome = book.apply(&delta(12, 13, &[(88, 0)], &[]).frame());
    assert_eq!(outcome.resync, Some(ResyncReason::Truncated));
    assert!(book.quality().faults.contains(Faults::GAP));
}

#[test]
fn a_full_side_keeps_the_best_levels() {
    let mut book = with_capacity(16);
    book.apply(&status(FeedEvent::Connected, 0).frame());
    let asks: Vec<_> = (0..16).map(|at| (2_000 + at * 1_000, 1)).collect();
    book.apply(&snapshot(10, 0, false, &[], &asks).frame());
    assert_eq!((book.levels_count().1, book.horizons().1), (16, None));
    // Two better ones: the ask at 2,000 leaves the window, and the list beyond holds 16.
    book.apply(&delta(10, 11, &[], &[(1_500, 3), (1_000, 3)]).frame());
    assert_eq!((book.best_ask(), book.levels_count().1, book.horizons().1), (level(1_000, 3), 17, Some(Price(17_000))));
    assert_eq!(book.levels_dropped(), 1);
    book.apply(&delta(11, 12, &[], &[(570_000, 1), (17_000, 2)]).frame());
    assert_eq!((book.levels_count().1, book.levels_dropped()), (17, 3));
}

#[test]
fn the_window_follows_the_touch_over_any_distance_and_back() {
    let mut book = with_capacity(64);
    book.apply(&status(FeedEvent::Phase, Phase::PreOpen as u8).frame());
    book.apply(&snapshot(1, 0, false, &[(100, 1), (40, 2), (-300_000, 9)], &[]).frame());
    let mut id = 1;
    let mut bid = |book: &mut Book, px, qty| {
        id += 1;
        book.apply(&delta(id - 1, id, &[(px, qty)], &[]).frame());
        (book.best_bid(), book.levels_count().0)
    };
    assert_eq!(bid(&mut book, 570_000, 3), (level(570_000, 3), 4));
    assert_eq!(bid(&mut book, 570_000, 0), (level(100, 1), 3));
    assert_eq!(bid(&mut book, 99, 5), (level(100, 1), 4));
    assert_eq!(bid(&mut book, 100, 0), (level(99, 5), 3));
    assert_eq!(bid(&mut book, 99, 0), (level(40, 2), 2));
    assert_eq!(bid(&mut book, 40, 0), (level(-300_000, 9), 1));
    assert_eq!(bid(&mut book, -300_000, 0), (None, 0));
    assert_eq!(bid(&mut book, 7, 0), (None, 0));
    assert_eq!(bid(&mut book, -PRICE_MAX, 1), (level(-PRICE_MAX, 1), 1));
    assert_eq!(bid(&mut book, PRICE_MAX, 1), (level(PRICE_MAX, 1), 2));
    assert_eq!(book.bids.digest(), {
        let mut other = with_capacity(64);
        other.apply(&status(FeedEvent::Phase, Phase::PreOpen as u8).frame());
        other.apply(&snapshot(1, 0, false, &[(-PRICE_MAX, 1), (PRICE_MAX, 1)], &[]).frame());
        other.bids.digest()
    });
}

#[test]
fn impossible_frames_are_counted_and_fault_the_book() {
    let mut book = live();
    assert_eq!(book.apply(&delta(10, 11, &[(100, -1)], &[]).frame()).resync, Some(ResyncReason::Malformed));
    assert!(!book.is_live());
    assert_eq!(live().apply(&delta(10, 11, &[(PRICE_MAX + 1, 1)], &[]).frame()).resync, Some(ResyncReason::Malformed));
    assert_eq!(live().apply(&delta(10, 11, &[], &[(i64::MIN, 1)]).frame()).resync, Some(ResyncReason::Malformed));
    let mut book = live();
    let lying = FrameBuf::of(SRC, 0, &BookDelta { bids_count: 9, ..Default::default() }, &[]);
    assert_eq!(book.apply(&lying.frame()).resync, Some(ResyncReason::Malformed));
    let foreign = FrameBuf::of(SRC, 0, &Bbo { instrument: InstrumentId(7), update_id: 99, ..Default::default() }, &[]);
    assert_eq!((book.apply(&foreign.frame()), book.counters().foreign), (BookOutcome::default(), 1));
}

#[test]
fn others_best_leaves_our_own_quantity_out() {
    let mut book = live();
    let own = |px: Price| Qty(i64::from(px == Price(100)));
    assert_eq!(book.best_bid_less(own), level(99, 2));
    assert_eq!(book.best_bid_less(|_| Qty::ZERO), level(100, 1));
    assert_eq!(book.best_ask_less(|px| Qty(if px == Price(102) { 1 } else { 5 })), level(102, 1));
    book.apply(&bbo(15, (101, 4), (103, 2)).frame());
    assert_eq!(book.best_bid_less(|px| Qty(if px == Price(101) { 4 } else { 0 })), level(100, 1));
}

#[test]
fn unordered_snapshots_and_repeated_prices_end_as_the_last_word() {
    let mut book = with_capacity(64);
    book.apply(
        &snapshot(10, 0, false, &[(5, 1), (9, 1), (7, 1), (9, 4), (5, 2)], &[(20, 1), (20, 2), (11, 1)]).frame(),
    );
    assert_eq!(book.best_bid(), level(9, 4));
    assert_eq!((book.depth_bid(2), book.depth_ask(1), book.levels_count()), (level(5, 2), level(20, 2), (3, 2)));
}

/// What a book is, written the slow way.
#[derive(Default)]
struct Model {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Model {
    fn set(&mut self, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        for (side, changes) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for &(px, qty) in changes {
                if qty == 0 {
                    side.remove(&px)
                } else {
                    side.insert(px, qty)
                };
            }
        }
    }
}

type Changes = Vec<(i64, i64)>;

/// Changes near the touch mostly, far away at times, in any order and with repeated prices.
fn changes() -> impl Strategy<Value = Changes> {
    let px = prop_oneof![8 => 990i64..1_010, 2 => 0i64..2_000, 1 => 0i64..570_000];
    prop::collection::vec((px, prop_oneof![1 => Just(0i64), 2 => 1i64..50]), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The array book and a sorted-map model agree on every level after every frame of any stream; the digest of the levels
    /// is a function of the levels alone.
    #[test]
    fn book_matches_model_prop(frames in prop::collection::vec((changes(), changes(), any::<bool>()), 1..60)) {
        let (mut book, mut model) = (with_capacity(4096), Model::default());
        book.apply(&status(FeedEvent::Phase, Phase::PreOpen as u8).frame());
        book.apply(&snapshot(1, 0, false, &[], &[]).frame());
        let mut id = 1;
        for (bids, asks, is_snapshot) in &frames {
            let before = (model.bids.clone(), model.asks.clone());
            if *is_snapshot && id % 7 == 0 {
                model = Model::default();
                id += 1;
                book.apply(&snapshot(id, 0, false, bids, asks).frame());
                // A snapshot has no zeros: they are skipped, not removals.
                let live = |side: &Changes| side.iter().copied().filter(|level| level.1 != 0).collect::<Vec<_>>();
                model.set(&live(bids), &live(asks));
            } else {
                let outcome = book.apply(&delta(id, id + 1, bids, asks).frame());
                id += 1;
                model.set(bids, asks);
                if before != (model.bids.clone(), model.asks.clone()) {
                    prop_assert!(outcome.changed);
                }
            }
            let bids: Vec<_> = (0..).map_while(|at| book.depth_bid(at)).map(|l| (l.px.0, l.qty.0)).collect();
            let asks: Vec<_> = (0..).map_while(|at| book.depth_ask(at)).map(|l| (l.px.0, l.qty.0)).collect();
            prop_assert_eq!(bids, model.bids.iter().rev().map(|(p, q)| (*p, *q)).collect::<Vec<_>>());
            prop_assert_eq!(asks, model.asks.iter().map(|(p, q)| (*p, *q)).collect::<Vec<_>>());
            let mut anew = with_capacity(4096);
            anew.apply(&status(FeedEvent::Phase, Phase::PreOpen as u8).frame());
            let all_bids: Vec<_> = model.bids.iter().map(|(p, q)| (*p, *q)).collect();
            let all_asks: Vec<_> = model.asks.iter().rev().map(|(p, q)| (*p, *q)).collect();
            anew.apply(&snapshot(id, 0, false, &all_bids, &all_asks).frame());
            prop_assert_eq!(book.bids.digest(), anew.bids.digest());
            prop_assert_eq!(book.asks.digest(), anew.asks.digest());
        }
    }

    /// However small the book, the levels better than its horizon are exactly the model's.
    #[test]
    fn a_small_book_is_right_up_to_its_horizon_prop(frames in prop::collection::vec((changes(), changes()), 1..60)) {
        let config = BookConfig { window: 256, capacity: 16, known_min: 1, ..BookConfig::default() };
        let (mut book, mut model) = (Book::new(InstrumentId(0), config), Model::default());
        book.apply(&status(FeedEvent::Phase, Phase::PreOpen as u8).frame());
        book.apply(&snapshot(1, 0, false, &[], &[]).frame());
        for (at, (bids, asks)) in frames.iter().enumerate() {
            let at = at as u64;
            let outcome = book.apply(&delta(at + 1, at + 2, bids, asks).frame());
            model.set(bids, asks);
            if outcome.resync.is_some() {
                break;
            }
            let (bid_horizon, ask_horizon) = book.horizons();
            let got: Vec<_> = (0..).map_while(|at| book.depth_bid(at)).map(|l| (l.px.0, l.qty.0)).collect();
            let want = model.bids.iter().rev().filter(|(px, _)| bid_horizon.is_none_or(|h| **px > h.0));
            prop_assert_eq!(got, want.map(|(p, q)| (*p, *q)).collect::<Vec<_>>());
            let got: Vec<_> = (0..).map_while(|at| book.depth_ask(at)).map(|l| (l.px.0, l.qty.0)).collect();
            let want = model.asks.iter().filter(|(px, _)| ask_horizon.is_none_or(|h| **px < h.0));
            prop_assert_eq!(got, want.map(|(p, q)| (*p, *q)).collect::<Vec<_>>());
        }
    }

    /// The short way of an ordinary best quote does what the long one does, and takes no other.
    #[test]
    fn an_ordinary_best_quote_is_the_same_both_ways_prop(
        quotes in prop::collection::vec((0u64..40, -2i64..3, 0i64..3, -1i64..3, -1i64..3, 0u8..8), 1..60),
    ) {
        let mut long = live();
        let mut short = long.clone();
        for (at, (id, bid_px, spread, bid_qty, ask_qty, then)) in quotes.into_iter().enumerate() {
            let (bid_px, ask_px) = (Price(100 + bid_px), Price(100 + bid_px + spread));
            let (bid_qty, ask_qty, now) = (Qty(bid_qty), Qty(ask_qty), TimeNs(1_000 + at as i64));
            let bbo = Bbo { update_id: id + at as u64 / 2, bid_px, bid_qty, ask_px, ask_qty, ts_recv: now, ..Bbo::default() };
            let want = long.apply_bbo(&bbo, now);
            let got = match short.requote(&bbo, now) {
                Some(changed) => BookOutcome { changed, ..BookOutcome::default() },
                None => short.apply_bbo(&bbo, now),
            };
            prop_assert_eq!(got, want);
            prop_assert_eq!(format!("{:?}", short), format!("{:?}", long));
            if then == 0 {
                // Depth moves on, and repairs what a quote has broken.
                let image = snapshot(20 + at as u64, 0, false, &[(100, 5)], &[(101, 5)]);
                prop_assert_eq!(short.apply(&image.frame()), long.apply(&image.frame()));
            }
            prop_assert_eq!(short.sealed, short.seal());
            prop_assert_eq!(short.digest(), long.digest());
        }
    }

    /// Any bytes as a frame are taken without a panic.
    #[test]
    fn any_body_is_survived_prop(kind in 16u16..21, flags in 0u8..2, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut book = live();
        let header = tercel_event::FrameHeader { len: 32 + body.len() as u32, kind, flags, ..Default::default() };
        for _ in 0..3 {
            book.apply(&Frame { header, body: &body });
            prop_assert_eq!(book.sealed, book.seal());
        }
        let _ = (book.digest(), book.bid_level(3), book.best_ask_less(|_| Qty(1)));
    }
}
