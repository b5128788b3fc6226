//! The life of orders at the simulated exchange, in the words of FIX.
mod common;

use common::{instrument, limit, ms};
use tercel_event::{Level, Tif};
use tercel_sim::{
    Cancel, ClientId, Exchange, ExchangeConfig, ExecType, Execution, NewOrder, OrdStatus, PublicTrade, Refusal,
    Replace, Response, Terms,
};
use tercel_types::Side::{Buy, Sell};
use tercel_types::{Ascii, InstrumentId, Money, Price, Qty, TimeNs};

const X: InstrumentId = InstrumentId(0);

fn id(text: &str) -> ClientId {
    ClientId::new(text.as_bytes()).unwrap()
}

fn order(text: &str, terms: Terms) -> NewOrder {
    NewOrder { cl_ord_id: id(text), account: Ascii::EMPTY, instrument: X, terms, expire_at: None }
}

fn replace(text: &str, orig: &str, px: i64, qty: i64) -> Replace {
    Replace { cl_ord_id: id(text), orig_cl_ord_id: id(orig), side: Buy, limit: Some(Price(px)), qty: Qty(qty) }
}

struct Venue(Exchange);

impl Venue {
    fn new() -> Self {
        let mut exchange = Exchange::new(&[instrument()], ExchangeConfig::default());
        let level = |(px, qty)| Level { px: Price(px), qty: Qty(qty) };
        let matcher = exchange.matcher_mut(X).unwrap();
        matcher.levels([(1000, 10), (999, 20)].map(level).into_iter(), [(1002, 5), (1003, 6)].map(level).into_iter());
        matcher.depth_end(1, ms(0));
        exchange.message_end(X, ms(0));
        Self(exchange)
    }

    fn trade(&mut self, px: i64, qty: i64, t: i64) {
        let trade = PublicTrade { px: Price(px), qty: Qty(qty), aggressor: Sell, ts: ms(t) };
        self.0.matcher_mut(X).unwrap().on_trade(trade);
        self.0.message_end(X, ms(t));
    }

    fn all(&mut self) -> Vec<Response> {
        std::iter::from_fn(|| self.0.pop()).collect()
    }

    /// (ExecType, OrdStatus, cum, leaves) of each execution.
    fn seen(&mut self) -> Vec<(ExecType, OrdStatus, i64, i64)> {
        let row = |e: Execution| (e.exec_type, e.ord_status, e.cum_qty.0, e.leaves_qty.0);
        self.all().into_iter().map(|response| row(execution(response))).collect()
    }

    fn refusal(&mut self) -> Refusal {
        match self.all().as_slice() {
            [Response::CancelRefused(refused)] => refused.refusal,
            [Response::Execution(e)] => e.refusal.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn execution(response: Response) -> Execution {
    match response {
        Response::Execution(execution) => execution,
        Response::CancelRefused(refused) => panic!("{refused:?}"),
    }
}

use ExecType as E;
use OrdStatus as S;

#[test]
fn an_order_fills_in_parts_with_fees_and_position() {
    let mut venue = Venue::new();
    venue.0.submit(0, order("A", limit(Buy, 1000, 8)), ms(1));
    venue.trade(1000, 13, 2);
    venue.trade(999, 9, 3);
    let all: Vec<Execution> = venue.all().into_iter().map(execution).collect();
    let row = |e: &Execution| (e.exec_type, e.ord_status, e.last_qty.0, e.cum_qty.0, e.leaves_qty.0, e.after);
    assert_eq!(
        all.iter().map(row).collect::<Vec<_>>(),
        [(E::New, S::New, 0, 0, 8, 1), (E::Trade, S::PartiallyFilled, 3, 3, 5, 2), (E::Trade, S::Filled, 5, 8, 0, 3)]
    );
    assert_eq!(all.iter().map(|e| e.exec_no).collect::<Vec<_>>(), [1, 2, 3]);
    // 3 and 5 lots of 0.001 at 100.0, 2 basis points.
    assert_eq!(all[1].commission, Money(60_000_000));
    assert_eq!((all[1].holding.position, all[2].holding.position), (Qty(3), Qty(8)));
    assert_eq!(all[2].holding.fees, Money(160_000_000));
    assert_eq!(all[2].cost, 8_000);
}

#[test]
fn a_replace_downward_keeps_its_place_and_any_other_loses_it() {
    let mut venue = Venue::new();
    venue.0.submit(0, order("A", limit(Buy, 1000, 8)), ms(1));
    venue.trade(1000, 4, 2);
    venue.0.replace(0, replace("B", "A", 1000, 5), ms(3));
    assert_eq!(venue.0.matcher(X).unwrap().qty_ahead(1, Buy, Price(1000)), Some(Qty(6)));
    venue.0.replace(0, replace("C", "B", 1000, 6), ms(4));
    assert_eq!(venue.0.matcher(X).unwrap().qty_ahead(1, Buy, Price(1000)), Some(Qty(10)));
    assert_eq!(venue.seen(), [(E::New, S::New, 0, 8), (E::Replaced, S::New, 0, 5), (E::Replaced, S::New, 0, 6)]);
    venue.0.replace(0, replace("D", "C", 1002, 7), ms(5));
    assert_eq!(
        venue.seen(),
        [(E::Replaced, S::New, 0, 7), (E::Trade, S::PartiallyFilled, 5, 2)],
        "a replace through the other side takes"
    );
}

#[test]
fn replaces_that_cannot_be_are_refused_and_change_nothing() {
    let mut venue = Venue::new();
    let post_only = Terms { post_only: true, ..limit(Buy, 1000, 8) };
    venue.0.submit(0, order("A", post_only), ms(1));
    venue.0.replace(0, replace("B", "A", 999, 8), ms(2));
    venue.all();
    for (request, want) in [
        (replace("C", "A", 998, 8), Refusal::UnknownOrder),
        (replace("B", "B", 998, 8), Refusal::DuplicateId),
        (replace("C", "B", 1002, 8), Refusal::WouldTake),
        (replace("C", "B", 0, 9), Refusal::Price),
        (replace("C", "B", 998, 0), Refusal::BelowFilled),
        (replace("C", "nobody", 998, 8), Refusal::UnknownOrder),
        (Replace { side: Sell, ..replace("C", "B", 998, 8) }, Refusal::Unreplaceable),
        (Replace { limit: None, ..replace("C", "B", 998, 8) }, Refusal::Unreplaceable),
    ] {
        venue.0.replace(0, request, ms(3));
        assert_eq!(venue.refusal(), want, "{request:?}");
    }
    venue.0.status(0, id("B"), id("S"), Buy, ms(4));
    assert_eq!(venue.seen(), [(E::Status, S::New, 0, 8)]);
}

#[test]
fn a_cancel_may_name_any_id_of_its_order_once() {
    let mut venue = Venue::new();
    venue.0.submit(0, order("A", limit(Buy, 1000, 8)), ms(1));
    venue.0.replace(0, replace("B", "A", 999, 8), ms(2));
    venue.all();
    let cancel = |text: &str, orig: &str| Cancel { cl_ord_id: id(text), orig_cl_ord_id: id(orig) };
    venue.0.cancel(0, cancel("C", "nobody"), ms(3));
    assert_eq!(venue.refusal(), Refusal::UnknownOrder);
    venue.0.cancel(1, cancel("C", "B"), ms(3));
    assert_eq!(venue.refusal(), Refusal::UnknownOrder, "another client's order is no order");
    venue.0.cancel(0, cancel("C", "A"), ms(4));
    let done = execution(venue.all()[0]);
    assert_eq!((done.exec_type, done.cl_ord_id, done.orig_cl_ord_id), (E::Canceled, id("C"), id("B")));
    venue.0.cancel(0, cancel("D", "B"), ms(5));
    assert_eq!(venue.refusal(), Refusal::TooLate);
    assert_eq!(venue.0.open_orders_count(0), 0);
}

#[test]
fn own_orders_do_not_trade_with_each_other() {
    let mut venue = Venue::new();
    venue.0.submit(0, order("A", limit(Buy, 1001, 1)), ms(1));
    venue.all();
    venue.0.submit(0, order("B", limit(Sell, 1001, 1)), ms(2));
    assert_eq!(venue.refusal(), Refusal::SelfTrade);
    venue.0.submit(1, order("B", limit(Sell, 1002, 1)), ms(2));
    assert_eq!(venue.seen(), [(E::New, S::New, 0, 1)], "another client, another account");
}

#[test]
fn what_an_ioc_cannot_take_is_cancelled() {
    let mut venue = Venue::new();
    venue.0.submit(0, order("A", Terms { tif: Tif::Ioc, ..limit(Buy, 1002, 9) }), ms(1));
    assert_eq!(
        venue.seen(),
        [(E::New, S::New, 0, 9), (E::Trade, S::PartiallyFilled, 5, 4), (E::Canceled, S::Canceled, 5, 0)]
    );
}

#[test]
fn mass_status_lists_what_is_open_or_says_that_nothing_is() {
    let mut venue = Venue::new();
    venue.0.mass_status(0, id("M"), ms(1));
    let empty = execution(venue.all()[0]);
    assert_eq!((empty.order_no, empty.exec_no, empty.mass.unwrap().orders_count), (0, 0, 0));
    assert!(empty.mass.unwrap().last);
    for (name, px) in [("A", 1000), ("B", 999), ("C", 998)] {
        venue.0.submit(0, order(name, limit(Buy, px, 1)), ms(2));
    }
    venue.0.cancel_all(1, ms(3));
    venue.all();
    venue.0.mass_status(0, id("M2"), ms(4));
    let last: Vec<bool> = venue.all().into_iter().map(|r| execution(r).mass.unwrap().last).collect();
    assert_eq!(last, [false, false, true]);
    venue.0.cancel_all(0, ms(5));
    assert_eq!(venue.seen(), [(E::Canceled, S::Canceled, 0, 0); 3]);
}

#[test]
fn good_till_date_ends_on_its_date() {
    let mut venue = Venue::new();
    let terms = Terms { tif: Tif::Gtd, ..limit(Buy, 1000, 1) };
    venue.0.submit(0, NewOrder { expire_at: Some(ms(10)), ..order("A", terms) }, ms(1));
    assert_eq!(venue.0.next_expiry(), Some(ms(10)));
    venue.0.expire_due(TimeNs(ms(10).0 - 1));
    assert_eq!(venue.seen().len(), 1);
    venue.0.expire_due(ms(10));
    assert_eq!(venue.seen(), [(E::Expired, S::Expired, 0, 0)]);
    assert_eq!(venue.0.next_expiry(), None);
}

#[test]
fn an_id_is_used_once_and_open_orders_are_bounded() {
    let config = ExchangeConfig { max_open_orders: 2, ..ExchangeConfig::default() };
    let mut venue = Venue(Exchange::new(&[instrument()], config));
    venue.0.submit(0, order("A", limit(Buy, 1000, 1)), ms(1));
    venue.0.submit(0, order("A", limit(Buy, 1000, 1)), ms(1));
    venue.0.submit(0, order("B", limit(Buy, 1000, 1)), ms(1));
    venue.0.submit(0, order("C", limit(Buy, 1000, 1)), ms(1));
    venue.0.submit(0, NewOrder { instrument: InstrumentId(7), ..order("D", limit(Buy, 1000, 1)) }, ms(1));
    let refusals: Vec<_> = venue.all().into_iter().map(|r| execution(r).refusal).collect();
    use Refusal::{DuplicateId, Full, UnknownInstrument};
    assert_eq!(refusals, [None, Some(DuplicateId), None, Some(Full), Some(UnknownInstrument)]);
}
