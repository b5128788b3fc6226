//! Random orders, amends, cancels, fills, late fills, lost answers and marks against an oracle that keeps every order in a
//! list and adds everything up anew each time. It shares no arithmetic with the ledger.
use super::*;
use tercel_event::mix64;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix64(self.0) % n
    }
}

#[derive(Clone, Debug)]
struct OracleOrder {
    root: u64,
    strategy: u16,
    instrument: u32,
    buy: bool,
    px: i64,
    qty: i64,
    pending: Option<(i64, i64)>,
    cum: i64,
    dead: bool,
}

impl OracleOrder {
    fn worst_qty(&self) -> i64 {
        (self.qty.max(self.pending.map_or(0, |p| p.1)) - self.cum).max(0)
    }

    fn worst_value(&self) -> i64 {
        self.worst_qty() * self.px.max(self.pending.map_or(0, |p| p.0))
    }

    fn side(&self) -> Side {
        if self.buy { Side::Buy } else { Side::Sell }
    }

    fn sign(&self) -> i64 {
        if self.buy { 1 } else { -1 }
    }

    /// `command` as this order's own.
    fn own(&self, command: Command) -> Command {
        Command { strategy: StrategyId(self.strategy), instrument: InstrumentId(self.instrument), ..command }
    }
}

#[derive(Clone, Copy)]
struct Traded {
    strategy: u16,
    instrument: u32,
    signed: i64,
    px: i64,
    fee: i64,
}

struct Oracle {
    orders: Vec<OracleOrder>,
    fills: Vec<Traded>,
    /// Bid and ask by instrument.
    marks: [(i64, i64); 2],
}

impl Oracle {
    fn position(&self, strategy: Option<u16>, instrument: u32) -> i64 {
        let of = |fill: &&Traded| strategy.is_none_or(|s| s == fill.strategy) && fill.instrument == instrument;
        self.fills.iter().filter(of).map(|fill| fill.signed).sum()
    }

    fn open(&self, strategy: Option<u16>) -> impl Iterator<Item = &OracleOrder> {
        self.orders.iter().filter(move |o| !o.dead && strategy.is_none_or(|s| s == o.strategy))
    }

    fn open_qty(&self, strategy: Option<u16>, instrument: u32, buy: bool) -> i64 {
        self.open(strategy).filter(|o| o.instrument == instrument && o.buy == buy).map(OracleOrder::worst_qty).sum()
    }

    fn profit(&self, strategy: u16) -> i64 {
        let own = self.fills.iter().filter(|fill| fill.strategy == strategy);
        let cash: i64 = own.map(|fill| -fill.signed * fill.px - fill.fee).sum();
        let worth = |instrument: u32| {
            let position = self.position(Some(strategy), instrument);
            let (bid, ask) = self.marks[instrument as usize];
            position * if position > 0 { bid } else { ask }
        };
        cash + worth(0) + worth(1)
    }

    /// Would own orders of the account meet?
    fn crosses(&self, buy: bool, instrument: u32, px: i64) -> bool {
        self.open(None).filter(|o| o.instrument == instrument && o.buy != buy).any(|o| {
            let prices = [Some(o.px), o.pending.map(|p| p.0)];
            prices.into_iter().flatten().any(|own| if buy { px >= own } else { px <= own })
        })
    }

    /// What the controls that a sequence can reach must say.
    fn judge(&self, asked: &OracleOrder, old: Option<&OracleOrder>) -> Option<&'static str> {
        let added_qty = asked.worst_qty() - old.map_or(0, OracleOrder::worst_qty);
        let added_value = asked.worst_value() - old.map_or(0, OracleOrder::worst_value);
        let (strategy, instrument) = (Some(asked.strategy), asked.instrument);
        let position = asked.sign() * self.position(strategy, instrument);
        if position + self.open_qty(strategy, instrument, asked.buy) + added_qty > MAX_POSITION {
            return Some("C12");
        }
        let count = self.open(strategy).count() + usize::from(old.is_none());
        let gross: i64 = self.open(strategy).map(OracleOrder::worst_value).sum::<i64>() + added_value;
        let net: i64 = self.open(strategy).map(|o| o.worst_value() * o.sign()).sum();
        let net_after = net + asked.sign() * added_value;
        if count > MAX_OPEN as usize || gross > MAX_GROSS || (net_after.abs() > MAX_NET && net_after.abs() > net.abs())
        {
            return Some("C11");
        }
        let px = asked.pending.map_or(asked.px, |p| p.0);
        self.crosses(asked.buy, instrument, px).then_some("C15")
    }

    /// Where the ledger differs.
    fn compare(&self, risk: &Risk) -> Result<(), String> {
        for strategy in 0..2u16 {
            let owner = StrategyId(strategy);
            let gross: i64 = self.open(Some(strategy)).map(OracleOrder::worst_value).sum();
            if risk.exposure(owner).0 != Money::from_whole(gross) {
                return Err(format!("gross of {strategy}: {}, oracle {gross}", risk.exposure(owner).0));
            }
            let profit = self.profit(strategy);
            if risk.profit(owner) != Money::from_whole(profit) || risk.profit_of_cells(owner) != risk.profit(owner).0 {
                return Err(format!("profit of {strategy}: {}, oracle {profit}", risk.profit(owner)));
            }
            for instrument in 0..2u32 {
                let open = |owner: Option<u16>| OpenSeen {
                    orders_count: self.open(owner).filter(|o| o.instrument == instrument).count() as u32,
                    buy_qty: Qty(self.open_qty(owner, instrument, true)),
                    sell_qty: Qty(self.open_qty(owner, instrument, false)),
                };
                let seen = Seen {
                    strategy: owner,
                    account: ACCOUNT,
                    instrument: InstrumentId(instrument),
                    strategy_qty: Qty(self.position(Some(strategy), instrument)),
                    account_qty: Qty(self.position(None, instrument)),
                    strategy_open: open(Some(strategy)),
                    account_open: open(None),
                };
                if let Some(difference) = risk.compare(&seen) {
                    return Err(format!("{difference:?}"));
                }
            }
        }
        Ok(())
    }
}

const MAX_POSITION: i64 = 60;
const MAX_OPEN: u32 = 12;
const MAX_GROSS: i64 = 90_000;
const MAX_NET: i64 = 50_000;

fn tight() -> RiskLimits {
    let mut tight = limits();
    for strategy in &mut tight.strategies {
        strategy.positions = vec![PositionLimits::both(MAX_POSITION); 2];
        strategy.scope.max_open_orders = MAX_OPEN;
        strategy.scope.max_gross_value = Money::from_whole(MAX_GROSS);
        strategy.scope.max_net_value = Money::from_whole(MAX_NET);
    }
    tight
}

/// One order, oldest first, dead ones among them if asked.
fn pick(random: &mut Random, oracle: &Oracle, alive: bool) -> Option<usize> {
    let fit: Vec<usize> = (0..oracle.orders.len()).filter(|&at| !alive || !oracle.orders[at].dead).collect();
    (!fit.is_empty()).then(|| fit[random.below(fit.len() as u64) as usize])
}

/// Runs one sequence and returns how many commands were accepted and refused; `Err` says where ledger and oracle part.
fn run(seed: u64, steps: usize, defect: Option<Defect>) -> Result<(usize, usize), String> {
    let (mut random, mut risk) = (Random(seed << 24), ready(&tight()));
    let mut oracle = Oracle { orders: Vec::new(), fills: Vec::new(), marks: [(999, 1_001); 2] };
    risk.defect = defect;
    let (mut accepted, mut refused) = (0, 0);
    for step in 0..steps {
        let (counter, now) = (step as u64 + 1, 1 + step as i64 * 1_000);
        let (px, lots) = (980 + random.below(40) as i64, 1 + random.below(25) as i64);
        match random.below(20) {
            0..7 => {
                let order = OracleOrder {
                    root: counter,
                    strategy: random.below(2) as u16,
                    instrument: random.below(2) as u32,
                    buy: random.below(2) == 0,
                    px,
                    qty: lots,
                    pending: None,
                    cum: 0,
                    dead: false,
                };
                let want = oracle.judge(&order, None);
                let got = refused_by(risk.submit(&order.own(new(counter, order.side(), px, lots, now))));
                if got != want {
                    return Err(format!("step {step}: {order:?}: {got:?}, oracle {want:?}"));
                }
                if got.is_none() {
                    oracle.orders.push(order);
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
            7..10 => {
                let Some(at) = pick(&mut random, &oracle, true) else { continue };
                let old = oracle.orders[at].clone();
                if old.pending.is_some() {
                    continue;
                }
                let qty = old.cum + lots;
                let asked = OracleOrder { pending: Some((px, qty)), ..old.clone() };
                let want = oracle.judge(&asked, Some(&old));
                let got = refused_by(risk.submit(&old.own(replace(counter, old.root, old.side(), px, qty, now))));
                if got != want {
                    return Err(format!("step {step}: amend {asked:?}: {got:?}, oracle {want:?}"));
                }
                if got.is_none() {
                    oracle.orders[at] = asked;
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
            10..12 => {
                // The venue's answer to an amend: yes, or no.
                let Some(at) = pick(&mut random, &oracle, true) else { continue };
                let order = &mut oracle.orders[at];
                if let Some((px, qty)) = order.pending.take()
                    && random.below(2) == 0
                {
                    (order.px, order.qty) = (px, qty);
                }
                risk.replaced(id(order.root), Price(order.px), Qty(order.qty));
            }
            12..15 => {
                // A fill of a live order, of one whose answer is lost, or of a dead one: all count.
                let alive = random.below(4) != 0;
                let Some(at) = pick(&mut random, &oracle, alive) else { continue };
                let order = &mut oracle.orders[at];
                let left = (order.qty - order.cum).max(1);
                let (qty, fee) = (1 + random.below(left as u64) as i64, random.below(5) as i64 - 1);
                order.cum += qty;
                let order = order.clone();
                let (strategy, instrument) = (order.strategy, order.instrument);
                oracle.fills.push(Traded { strategy, instrument, signed: order.sign() * qty, px: order.px, fee });
                risk.fill(&FillInput {
                    strategy: StrategyId(strategy),
                    instrument: InstrumentId(instrument),
                    fee: Money::from_whole(fee),
                    ..fill(order.root, order.side(), order.px, qty, now)
                });
            }
            15..17 => {
                // A cancel request changes nothing; most answers to it are lost.
                let Some(at) = pick(&mut random, &oracle, true) else { continue };
                let order = &mut oracle.orders[at];
                assert!(risk.submit(&order.own(cancel(counter, order.root, now))).is_ok());
                if random.below(3) == 0 {
                    order.dead = true;
                    risk.release(id(order.root));
                }
            }
            _ => {
                let (instrument, bid) = (random.below(2) as u32, 990 + random.below(18) as i64);
                let ask = bid + 1 + random.below(3) as i64;
                oracle.marks[instrument as usize] = (bid, ask);
                risk.mark(InstrumentId(instrument), Price(bid), Price(ask), TimeNs(now));
            }
        }
        oracle.compare(&risk).map_err(|difference| format!("step {step}: {difference}"))?;
    }
    Ok((accepted, refused))
}

#[test]
fn the_ledger_equals_the_oracle_after_every_event_of_100_000() {
    let sequences = if std::env::var_os("TERCEL_SOAK").is_some() { 20_000 } else { 500 };
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..sequences {
        match run(seed, 200, None) {
            Ok(counts) => (accepted, refused) = (accepted + counts.0, refused + counts.1),
            Err(difference) => panic!("seed {seed}: {difference}"),
        }
    }
    println!("{} events, {accepted} commands accepted, {refused} refused", sequences * 200);
    assert!(accepted > 10_000 && refused > 5_000, "{accepted} accepted, {refused} refused");
}

/// The comparison is worth something only if it fails when it should.
#[test]
fn planted_defects_are_caught() {
    use Defect::{
        DropsLateFills, PassesExposure, PassesSelfTrades, ReleasesOnCancelRequest, ReservesNewOnly, SelfTradeOnAmend,
    };
    for defect in
        [ReservesNewOnly, SelfTradeOnAmend, DropsLateFills, ReleasesOnCancelRequest, PassesSelfTrades, PassesExposure]
    {
        let caught = (0..50).filter(|seed| run(*seed, 200, Some(defect)).is_err()).count();
        println!("{defect:?}: caught in {caught} of 50 sequences");
        assert!(caught >= 25, "{defect:?} was caught in {caught} of 50 sequences");
    }
}
