//! Over any stream of recorded messages and orders, no fill is better or larger than the record allows.
mod common;

use common::{Bench, limit};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tercel_event::Tif;
use tercel_sim::{Fill, QueueModel, Terms};
use tercel_types::Side;

#[derive(Clone, Debug)]
enum Step {
    Depth(Vec<(bool, i64, i64)>),
    Trade { px: i64, qty: i64, seller: bool },
    Order { buy: bool, px: i64, qty: i64, ioc: bool },
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let px = 95..106i64;
    prop_oneof![
        3 => prop::collection::vec((any::<bool>(), px.clone(), 0..15i64), 1..6).prop_map(Step::Depth),
        3 => (px.clone(), 1..20i64, any::<bool>()).prop_map(|(px, qty, seller)| Step::Trade { px, qty, seller }),
        2 => (any::<bool>(), px, 1..12i64, any::<bool>()).prop_map(|(buy, px, qty, ioc)| Step::Order { buy, px, qty, ioc }),
        1 => Just(Step::Wait),
    ]
}

/// What the record has offered so far and what was made of it.
#[derive(Default)]
struct Audit {
    shown: BTreeMap<(bool, i64), i64>,
    /// Everything that was ever added at a level, and what we took of it.
    added: BTreeMap<(bool, i64), i64>,
    taken: BTreeMap<(bool, i64), i64>,
    orders: BTreeMap<u64, (bool, i64, i64)>,
}

impl Audit {
    fn show(&mut self, bid: bool, px: i64, qty: i64) {
        let before = self.shown.insert((bid, px), qty).unwrap_or(0);
        *self.added.entry((bid, px)).or_default() += (qty - before).max(0);
    }

    fn own(&mut self, fill: &Fill) -> Result<(bool, i64), String> {
        let (buy, px, open) = self.orders.get_mut(&fill.no).ok_or("fill of no order")?;
        *open -= fill.qty.0;
        if *open < 0 || fill.qty.0 <= 0 {
            return Err(format!("{fill:?} is more than the order"));
        }
        Ok((*buy, *px))
    }

    /// Fills made by one trade.
    fn trade(&mut self, fills: &[Fill], trade_px: i64, trade_qty: i64, seller: bool) -> Result<(), String> {
        let total: i64 = fills.iter().map(|fill| fill.qty.0).sum();
        if total > trade_qty {
            return Err(format!("{total} filled of a trade of {trade_qty}"));
        }
        for fill in fills {
            let (buy, px) = self.own(fill)?;
            let worse_or_equal = if buy { fill.px.0 >= trade_px } else { fill.px.0 <= trade_px };
            if buy != seller || fill.px.0 != px || !worse_or_equal || !fill.maker {
                return Err(format!("{fill:?} by a trade at {trade_px}"));
            }
        }
        Ok(())
    }

    /// Fills against displayed quantity: the opposite side at our limit or better must have shown that much.
    fn displayed(&mut self, fills: &[Fill]) -> Result<(), String> {
        for fill in fills {
            let (buy, limit) = self.own(fill)?;
            let inside = if buy { fill.px.0 <= limit } else { fill.px.0 >= limit };
            if !inside || (fill.maker && fill.px.0 != limit) {
                return Err(format!("{fill:?} outside its limit {limit}"));
            }
            if !fill.maker {
                *self.taken.entry((!buy, fill.px.0)).or_default() += fill.qty.0;
            }
        }
        for (level, taken) in &self.taken {
            let added = self.added.get(level).copied().unwrap_or(0);
            if *taken > added {
                return Err(format!("{taken} taken at {level:?}, which showed {added} in all"));
            }
        }
        Ok(())
    }
}

fn run(steps: &[Step], model: QueueModel) -> Result<(), String> {
    let (mut bench, mut audit) = (Bench::new(model), Audit::default());
    let mut ahead: BTreeMap<u64, i64> = BTreeMap::new();
    for (t, step) in steps.iter().enumerate() {
        let (t, no) = (t as i64 * 7, t as u64 + 1);
        match step {
            Step::Depth(rows) => {
                let side = |bid: bool| -> Vec<(i64, i64)> {
                    rows.iter().filter(|row| row.0 == bid).map(|row| (row.1, row.2)).collect()
                };
                let (bids, asks) = (side(true), side(false));
                for (bid, rows) in [(true, &bids), (false, &asks)] {
                    for &(px, qty) in rows {
                        audit.show(bid, px, qty);
                    }
                }
                let fills = bench.depth(t, &bids, &asks).to_vec();
                audit.displayed(&fills)?;
            }
            Step::Trade { px, qty, seller } => {
                let aggressor = if *seller { Side::Sell } else { Side::Buy };
                let fills = bench.trade(t, *px, *qty, aggressor).to_vec();
                audit.trade(&fills, *px, *qty, *seller)?;
            }
            Step::Order { buy, px, qty, ioc } => {
                let side = if *buy { Side::Buy } else { Side::Sell };
                if bench.matcher.meets_own(side, Some(tercel_types::Price(*px)), |_| true) {
                    continue;
                }
                audit.orders.insert(no, (*buy, *px, *qty));
                let tif = if *ioc { Tif::Ioc } else { Tif::Gtc };
                let (placed, fills) = bench.place(no, Terms { tif, ..limit(side, *px, *qty) });
                if placed.filled.0 + placed.resting.0 + placed.canceled.0 != *qty {
                    return Err(format!("{placed:?} of {qty}"));
                }
                audit.displayed(&fills)?;
            }
            Step::Wait => {
                bench.depth(t + 10_000, &[], &[]);
            }
        }
        for (&no, &(buy, px, _)) in &audit.orders {
            let Some(now) = bench.ahead(no, if buy { Side::Buy } else { Side::Sell }, px) else { continue };
            let before = ahead.insert(no, now).unwrap_or(i64::MAX);
            if now > before || now < 0 {
                return Err(format!("queue of {no} went from {before} to {now}"));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var("TERCEL_SOAK").is_ok() { 50_000 } else { 2_000 }))]

    /// Passive fills ≤ the trade, at our own limit; taken ≤ displayed in all; queues only shorten.
    #[test]
    fn no_fill_is_better_than_the_record_prop(steps in prop::collection::vec(step(), 1..80)) {
        for model in QueueModel::ALL {
            if let Err(what) = run(&steps, *model) {
                prop_assert!(false, "{model:?}: {what}");
            }
        }
    }
}

#[test]
fn the_audit_catches_planted_fills() {
    let order = |audit: &mut Audit| audit.orders.insert(1, (true, 100, 10));
    let mut audit = Audit::default();
    order(&mut audit);
    assert!(audit.trade(&[common::maker(1, 100, 5)], 100, 4, true).is_err(), "more than the trade");
    let mut audit = Audit::default();
    order(&mut audit);
    assert!(audit.trade(&[common::maker(1, 99, 1)], 99, 4, true).is_err(), "better than our own limit");
    let mut audit = Audit::default();
    order(&mut audit);
    audit.show(false, 100, 3);
    assert!(audit.displayed(&[common::taker(1, 100, 4)]).is_err(), "more than was displayed");
}
