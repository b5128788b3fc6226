//! Hand-made tables: each case states a small market, what happens, and every fill that may come of it.
mod common;

use common::{Bench, limit, maker, taker};
use tercel_event::Tif;
use tercel_sim::{QueueModel, Refusal, Terms};
use tercel_types::Side::{Buy, Sell};
use tercel_types::{Price, Qty};

fn market(queue: QueueModel) -> Bench {
    let mut bench = Bench::new(queue);
    bench.depth(0, &[(100, 10), (99, 20)], &[(102, 5), (103, 6), (105, 50)]);
    bench
}

#[test]
fn a_resting_order_waits_behind_what_was_displayed() {
    let mut bench = market(QueueModel::Conservative);
    assert_eq!(bench.place(1, limit(Buy, 100, 4)).0.resting, Qty(4));
    assert_eq!(bench.ahead(1, Buy, 100), Some(10));
    assert_eq!(bench.trade(1, 100, 6, Sell), []);
    assert_eq!(bench.ahead(1, Buy, 100), Some(4));
    assert_eq!(bench.trade(2, 100, 7, Sell), [maker(1, 100, 3)], "4 ahead, then 3 of ours");
    assert_eq!(bench.trade(3, 100, 7, Sell), [maker(1, 100, 1)]);
    assert_eq!(bench.trade(4, 100, 7, Sell), [], "nothing is left of it");
}

#[test]
fn trades_of_buyers_do_not_fill_bids() {
    let mut bench = market(QueueModel::Conservative);
    bench.place(1, limit(Buy, 100, 4));
    assert_eq!(bench.trade(1, 100, 50, Buy), []);
    assert_eq!(bench.trade(2, 102, 50, Buy), []);
}

#[test]
fn one_trade_is_shared_by_priority_and_consumed_once() {
    let mut bench = market(QueueModel::Conservative);
    bench.place(1, limit(Buy, 100, 3));
    bench.place(2, limit(Buy, 100, 3));
    bench.place(3, limit(Buy, 101, 2));
    assert_eq!(
        bench.trade(1, 100, 14, Sell),
        [maker(3, 101, 2), maker(1, 100, 2)],
        "the better price first, then 10 ahead, then the older order"
    );
    assert_eq!(bench.trade(2, 100, 3, Sell), [maker(1, 100, 1), maker(2, 100, 2)]);
}

#[test]
fn others_between_two_of_our_orders_keep_their_place() {
    let mut bench = market(QueueModel::Conservative);
    bench.place(1, limit(Buy, 100, 1));
    bench.depth(1, &[(100, 15)], &[]);
    bench.place(2, limit(Buy, 100, 1));
    assert_eq!((bench.ahead(1, Buy, 100), bench.ahead(2, Buy, 100)), (Some(10), Some(15)));
    assert_eq!(bench.trade(2, 100, 13, Sell), [maker(1, 100, 1)]);
    assert_eq!(bench.ahead(2, Buy, 100), Some(3), "10 before the first, 2 between, 3 remain");
}

#[test]
fn a_trade_through_our_price_fills_at_our_price() {
    let mut bench = market(QueueModel::Conservative);
    bench.place(1, limit(Buy, 100, 4));
    assert_eq!(bench.trade(1, 99, 3, Sell), [maker(1, 100, 3)]);
    assert_eq!(bench.trade(2, 99, 3, Sell), [maker(1, 100, 1)]);
}

#[test]
fn a_quote_that_reaches_our_price_fills_what_it_displays_once() {
    let mut bench = market(QueueModel::Conservative);
    bench.place(1, limit(Buy, 100, 9));
    assert_eq!(bench.quote(1, (98, 5), (99, 2)), [maker(1, 100, 2)]);
    assert_eq!(bench.quote(2, (98, 6), (99, 2)), [], "the 2 at 99 are taken");
    assert_eq!(bench.quote(3, (98, 6), (99, 5)), [maker(1, 100, 3)], "3 more came");
}

#[test]
fn cancels_ahead_by_model() {
    for (model, after) in [(QueueModel::Conservative, 10), (QueueModel::Proportional, 8)] {
        let mut bench = market(model);
        bench.place(1, limit(Buy, 100, 4));
        bench.depth(1, &[(100, 20)], &[]);
        bench.depth(2, &[(100, 15)], &[]);
        assert_eq!(bench.ahead(1, Buy, 100), Some(10), "{model:?}: the decrease waits for its trade");
        bench.depth(100, &[(98, 1)], &[]);
        assert_eq!(bench.ahead(1, Buy, 100), Some(after), "{model:?}: 5 of 20 cancelled, 10 were ahead");
        bench.depth(101, &[(100, 3)], &[]);
        bench.depth(200, &[(98, 2)], &[]);
        assert!(bench.ahead(1, Buy, 100).unwrap() <= 3, "{model:?}: no more ahead than there is");
    }
}

#[test]
fn a_trade_moves_the_queue_once_whichever_stream_is_first() {
    for trade_first in [true, false] {
        let mut bench = market(QueueModel::Proportional);
        bench.place(1, limit(Buy, 100, 4));
        bench.depth(1, &[(100, 30)], &[]);
        if trade_first {
            bench.trade(10, 100, 4, Sell);
            bench.quote(10, (100, 26), (102, 5));
        } else {
            bench.quote(10, (100, 26), (102, 5));
            bench.trade(10, 100, 4, Sell);
        }
        bench.depth(500, &[(98, 1)], &[]);
        assert_eq!(bench.ahead(1, Buy, 100), Some(6), "trade first: {trade_first}");
    }
}

#[test]
fn an_aggressive_order_takes_level_by_level_and_only_once() {
    let mut bench = market(QueueModel::Conservative);
    let ioc = Terms { tif: Tif::Ioc, ..limit(Buy, 103, 8) };
    let (placed, fills) = bench.place(1, ioc);
    assert_eq!(fills, [taker(1, 102, 5), taker(1, 103, 3)]);
    assert_eq!((placed.filled, placed.canceled), (Qty(8), Qty(0)));
    let (placed, fills) = bench.place(2, ioc);
    assert_eq!(fills, [taker(2, 103, 3)], "what was taken is gone");
    assert_eq!((placed.filled, placed.canceled), (Qty(3), Qty(5)));
    bench.depth(1, &[], &[(102, 7)]);
    assert_eq!(bench.place(3, ioc).1, [taker(3, 102, 2)], "2 were added to the level");
    bench.depth(2, &[], &[(102, 0)]);
    bench.depth(3, &[], &[(102, 4)]);
    assert_eq!(bench.place(4, ioc).1, [taker(4, 102, 4)], "the level was empty: all of it is new");
}

#[test]
fn a_newer_quote_hides_levels_until_depth_catches_up() {
    let mut bench = market(QueueModel::Conservative);
    bench.quote(1, (102, 3), (103, 4));
    assert_eq!(bench.place(1, Terms { tif: Tif::Ioc, ..limit(Buy, 103, 9) }).1, [taker(1, 103, 4)]);
    assert_eq!(bench.matcher.best(Buy), Some((Price(102), Qty(3))));
    bench.depth(2, &[(102, 3)], &[(102, 0), (103, 4)]);
    assert_eq!(bench.place(2, Terms { tif: Tif::Ioc, ..limit(Buy, 103, 9) }).1, [], "still taken");
}

#[test]
fn fill_or_kill_is_all_or_nothing() {
    let mut bench = market(QueueModel::Conservative);
    let fok = |qty| Terms { tif: Tif::Fok, ..limit(Buy, 103, qty) };
    assert_eq!(bench.place(1, fok(12)).1, []);
    assert_eq!(bench.place(2, fok(11)).1, [taker(2, 102, 5), taker(2, 103, 6)]);
}

#[test]
fn a_market_order_pays_what_is_displayed_and_rests_nothing() {
    let mut bench = market(QueueModel::Conservative);
    let (placed, fills) = bench.place(1, Terms { limit: None, ..limit(Buy, 0, 100) });
    assert_eq!(fills, [taker(1, 102, 5), taker(1, 103, 6), taker(1, 105, 50)]);
    assert_eq!((placed.resting, placed.canceled), (Qty(0), Qty(39)));
}

#[test]
fn a_limit_order_that_takes_rests_with_what_is_left() {
    let mut bench = market(QueueModel::Conservative);
    let (placed, fills) = bench.place(1, limit(Buy, 102, 7));
    assert_eq!(fills, [taker(1, 102, 5)]);
    assert_eq!(placed.resting, Qty(2));
    assert_eq!(bench.trade(1, 102, 1, Sell), [maker(1, 102, 1)], "alone at its price, so in front");
}

#[test]
fn post_only_is_refused_where_it_would_take() {
    let bench = market(QueueModel::Conservative);
    let post = |px| Terms { post_only: true, ..limit(Buy, px, 1) };
    assert_eq!(bench.matcher.check(&post(102)), Err(Refusal::WouldTake));
    assert_eq!(bench.matcher.check(&post(101)), Ok(()));
}

#[test]
fn terms_outside_the_instrument_are_refused() {
    let bench = market(QueueModel::Conservative);
    assert_eq!(bench.matcher.check(&limit(Buy, 100, 0)), Err(Refusal::QtyBelowMinimum));
    assert_eq!(bench.matcher.check(&limit(Buy, 0, 1)), Err(Refusal::Price));
    assert_eq!(bench.matcher.check(&limit(Buy, -5, 1)), Err(Refusal::Price));
    let empty = Bench::new(QueueModel::Conservative);
    let market_order = Terms { limit: None, ..limit(Buy, 0, 1) };
    assert_eq!(empty.matcher.check(&market_order), Err(Refusal::Price), "no price to value it at");
}

#[test]
fn an_older_snapshot_does_not_turn_the_book_back() {
    let mut bench = market(QueueModel::Conservative);
    bench.depth(1, &[(100, 7)], &[]);
    assert!(!bench.matcher.snapshot_begin(1));
    assert_eq!(bench.matcher.best(Buy), Some((Price(100), Qty(7))));
    assert!(bench.matcher.snapshot_begin(2));
    assert_eq!(bench.matcher.best(Buy), None);
}
