use super::*;
use crate::control::{Control, Verdict};
use crate::feed::FillInput;
use crate::limits::{AccountLimits, InstrumentLimits, RateLimits, StrategyLimits};
use tercel_event::{Command, CommandKind, LimitSet, OrdType, Tif};
use tercel_types::{Calendar, Decimal, FeeRates, Instrument, InstrumentKind, SourceId};

mod edges;
mod oracle;
mod short;
mod windows;

pub(crate) const X: InstrumentId = InstrumentId(0);
pub(crate) const ACCOUNT: AccountId = AccountId(0);
const MS: i64 = 1_000_000;

pub(crate) fn instruments() -> Instruments {
    let row = |id: u32, symbol: &str| Instrument {
        id: InstrumentId(id),
        symbol: symbol.into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 0 },
        lot: Decimal::ONE,
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::ZERO,
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    };
    Instruments(vec![row(0, "XUSDT"), row(1, "YUSDT")])
}

pub(crate) fn scope() -> ScopeLimits {
    ScopeLimits {
        max_open_orders: 1_000,
        max_gross_value: Money::from_whole(1_000_000_000),
        max_net_value: Money::from_whole(1_000_000_000),
        max_loss_day: Money::from_whole(1_000_000_000),
        max_drawdown: Money::from_whole(1_000_000_000),
        rates: RateLimits { orders: [100_000; 3], cancels: [100_000; 3], halt_after: 0 },
    }
}

/// Wide limits for two strategies on one account and two instruments; each test narrows the one that it is about.
pub(crate) fn limits() -> RiskLimits {
    let strategy = StrategyLimits {
        accounts: vec![ACCOUNT],
        scope: scope(),
        positions: vec![PositionLimits::both(1_000_000); 2],
        duplicate_window: Some(DurationNs(0)),
    };
    let instrument = InstrumentLimits {
        max_order_qty: Qty(100_000),
        max_order_value: Money::from_whole(500_000_000),
        collar: Some(Collar::Ticks(500)),
        reference_max_age: DurationNs::from_secs(3600),
    };
    RiskLimits {
        capacity: 1_024,
        firm: scope(),
        accounts: vec![AccountLimits { scope: scope(), positions: vec![PositionLimits::both(1_000_000); 2] }],
        strategies: vec![strategy.clone(), strategy],
        instruments: vec![instrument; 2],
    }
}

/// A ledger with open gate and marks 999/1001 at time 0.
pub(crate) fn ready(limits: &RiskLimits) -> Risk {
    let mut risk = Risk::new(&instruments(), limits);
    risk.open_gate(ACCOUNT);
    for instrument in [X, InstrumentId(1)] {
        risk.mark(instrument, Price(999), Price(1_001), TimeNs(0));
    }
    risk
}

pub(crate) fn id(counter: u64) -> ClOrdId {
    ClOrdId::new(1, 0, counter).unwrap()
}

pub(crate) fn new(counter: u64, side: Side, px: i64, qty: i64, ts: i64) -> Command {
    Command {
        seq: 0,
        epoch: 1,
        index: 0,
        kind: CommandKind::New as u8,
        dest: SourceId(3),
        ts: TimeNs(ts),
        ts_cause: TimeNs(0),
        cl_ord_id: id(counter),
        orig_cl_ord_id: ClOrdId::NONE,
        root_cl_ord_id: id(counter),
        parent_id: 0,
        px: Price(px),
        order_qty: Qty(qty),
        instrument: X,
        strategy: StrategyId(0),
        account: ACCOUNT,
        side: side as u8,
        tif: Tif::Day as u8,
        ord_type: OrdType::Limit as u8,
        flags: 0,
        reason: 0,
        leg: 0,
        reserved: [0; 4],
    }
}

pub(crate) fn replace(counter: u64, root: u64, side: Side, px: i64, qty: i64, ts: i64) -> Command {
    Command { kind: CommandKind::Replace as u8, root_cl_ord_id: id(root), ..new(counter, side, px, qty, ts) }
}

pub(crate) fn cancel(counter: u64, root: u64, ts: i64) -> Command {
    Command { kind: CommandKind::Cancel as u8, root_cl_ord_id: id(root), ..new(counter, Side::Buy, 0, 0, ts) }
}

pub(crate) fn fill(root: u64, side: Side, px: i64, qty: i64, ts: i64) -> FillInput {
    FillInput {
        root: id(root),
        strategy: StrategyId(0),
        account: ACCOUNT,
        instrument: X,
        side,
        px: Price(px),
        qty: Qty(qty),
        fee: Money::ZERO,
        now: TimeNs(ts),
    }
}

pub(crate) fn refused_by(verdict: Verdict) -> Option<&'static str> {
    verdict.control().map(Control::code)
}

#[test]
fn limits_of_a_run_pass_and_missing_ones_are_all_named() {
    assert_eq!(limits().validate(&instruments()), []);
    let problems = RiskLimits::default().validate(&instruments());
    let keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
    for key in
        ["risk.capacity", "risk.instruments", "risk.accounts", "risk.firm.max_gross_value", "risk.firm.rates.orders"]
    {
        assert!(keys.contains(&key), "{key} in {keys:?}");
    }
    let mut two = instruments();
    two.0[1].settle = "BTC".into();
    assert!(limits().validate(&two).iter().any(|p| p.allowed.contains("one settlement currency")));
}

/// Every limit that is left out refuses, one by one.
#[test]
fn what_is_not_configured_is_refused() {
    type Spoil = fn(&mut RiskLimits);
    let cases: &[(&str, Spoil)] = &[
        ("C1", |l| l.strategies[0].accounts.clear()),
        ("C4", |l| l.instruments[0].max_order_qty = Qty(0)),
        ("C5", |l| l.instruments[0].max_order_value = Money::ZERO),
        ("C6", |l| l.instruments[0].collar = None),
        ("C8", |l| l.strategies[0].scope.rates.orders = [0; 3]),
        ("C8", |l| l.accounts[0].scope.rates.orders[2] = 0),
        ("C8", |l| l.firm.rates.orders[0] = 0),
        ("C10", |l| l.strategies[0].duplicate_window = None),
        ("C11", |l| l.strategies[0].scope.max_open_orders = 0),
        ("C11", |l| l.accounts[0].scope.max_gross_value = Money::ZERO),
        ("C11", |l| l.firm.max_net_value = Money::ZERO),
        ("C12", |l| l.strategies[0].positions[0] = PositionLimits::default()),
        ("C12", |l| l.accounts[0].positions.clear()),
        ("C14", |l| l.strategies[0].scope.max_loss_day = Money::ZERO),
        ("C14", |l| l.firm.max_drawdown = Money::ZERO),
    ];
    for (control, spoil) in cases {
        let mut spoilt = limits();
        spoil(&mut spoilt);
        assert_eq!(refused_by(ready(&spoilt).submit(&new(1, Side::Buy, 1_000, 1, 1))), Some(*control));
    }
    let mut never = Risk::new(&instruments(), &RiskLimits::default());
    assert_eq!(refused_by(never.submit(&new(1, Side::Buy, 1_000, 1, 1))), Some("C1"));
}

#[test]
fn no_order_leaves_before_the_gate_is_open_and_cancels_always_do() {
    let mut risk = ready(&limits());
    assert!(risk.submit(&new(1, Side::Buy, 1_000, 1, 1)).is_ok());
    risk.close_gate(ACCOUNT);
    assert_eq!(refused_by(risk.submit(&new(2, Side::Buy, 1_000, 2, 2))), Some("C33"));
    assert_eq!(refused_by(risk.submit(&replace(3, 1, Side::Buy, 1_000, 2, 3))), Some("C33"));
    risk.halt_all();
    assert!(risk.submit(&cancel(4, 1, 4)).is_ok());
    assert_eq!(refused_by(risk.submit(&cancel(4, 1, 5))), Some("C10"), "but not under a used id");
    risk.open_gate(ACCOUNT);
    assert_eq!(refused_by(risk.submit(&new(5, Side::Buy, 1_000, 2, 6))), Some("C20"));
    assert_eq!(risk.refusals_of(Control::StartGate), 2);
}

#[test]
fn the_strictest_state_of_firm_account_and_strategy_holds() {
    for scope in [Scope::All, Scope::Account, Scope::Strategy] {
        let mut risk = ready(&limits());
        assert!(risk.set_state(scope, 0, TradingState::Halted));
        assert_eq!(risk.state(StrategyId(0), ACCOUNT), TradingState::Halted);
        assert_eq!(refused_by(risk.submit(&new(1, Side::Buy, 1_000, 1, 1))), Some("C20"));
        risk.set_state(scope, 0, TradingState::Active);
        assert!(risk.submit(&new(1, Side::Buy, 1_000, 1, 1)).is_ok());
    }
    assert!(!ready(&limits()).set_state(Scope::Strategy, 9, TradingState::Active));
    let mut risk = ready(&limits());
    risk.set_state(Scope::Strategy, 0, TradingState::Halted);
    let other = Command { strategy: StrategyId(1), ..new(1, Side::Buy, 1_000, 1, 1) };
    assert!(risk.submit(&other).is_ok(), "the other strategy trades on");
}

#[test]
fn reducing_lets_through_what_brings_the_position_to_flat_and_no_further() {
    let mut risk = ready(&limits());
    risk.fill(&fill(900, Side::Buy, 1_000, 10, 0));
    risk.reduce(StrategyId(0));
    let check =
        |risk: &mut Risk, counter, side, qty| refused_by(risk.submit(&new(counter, side, 1_000, qty, counter as i64)));
    assert_eq!(check(&mut risk, 1, Side::Buy, 1), Some("C20"));
    assert_eq!(check(&mut risk, 2, Side::Sell, 11), Some("C20"));
    assert_eq!(check(&mut risk, 3, Side::Sell, 6), None);
    assert_eq!(check(&mut risk, 4, Side::Sell, 5), Some("C20"), "what is open counts");
    assert_eq!(check(&mut risk, 5, Side::Sell, 4), None);
    // The other strategy may leave a short although that lengthens the account: it is not the one that must reduce.
    let mut risk = ready(&limits());
    risk.fill(&fill(900, Side::Buy, 1_000, 10, 0));
    risk.fill(&FillInput { strategy: StrategyId(1), ..fill(901, Side::Sell, 1_000, 3, 0) });
    risk.reduce(StrategyId(1));
    let cover = Command { strategy: StrategyId(1), ..new(1, Side::Buy, 1_000, 3, 1) };
    assert!(risk.submit(&cover).is_ok());
}

#[test]
fn a_replace_reserves_the_worse_and_a_release_gives_all_back() {
    let mut risk = ready(&limits());
    assert!(risk.submit(&new(1, Side::Buy, 1_000, 10, 1)).is_ok());
    assert!(risk.submit(&replace(2, 1, Side::Buy, 990, 4, 2)).is_ok());
    assert_eq!(risk.account_worst_case(ACCOUNT, X), (Qty(0), Qty(10), Qty(0)), "a decrease frees nothing yet");
    assert_eq!(risk.exposure(StrategyId(0)).0, Money::from_whole(10_000));
    assert_eq!(refused_by(risk.submit(&replace(3, 1, Side::Buy, 990, 5, 3))), Some("C3"), "one replace at a time");
    risk.replaced(id(1), Price(990), Qty(4));
    assert_eq!(risk.exposure(StrategyId(0)), (Money::from_whole(3_960), Money::from_whole(3_960)));
    assert!(risk.submit(&replace(4, 1, Side::Buy, 1_000, 20, 4)).is_ok());
    assert_eq!(risk.account_worst_case(ACCOUNT, X).1, Qty(20), "an increase reserves before it leaves");
    risk.replaced(id(1), Price(990), Qty(4));
    risk.fill(&fill(1, Side::Buy, 990, 3, 5));
    assert_eq!(risk.account_worst_case(ACCOUNT, X), (Qty(3), Qty(1), Qty(0)));
    assert!(risk.submit(&cancel(5, 1, 6)).is_ok());
    assert_eq!(risk.account_worst_case(ACCOUNT, X).1, Qty(1), "a cancel that is not answered frees nothing");
    risk.release(id(1));
    assert_eq!(risk.exposure(StrategyId(0)), (Money::ZERO, Money::ZERO));
    risk.fill(&fill(1, Side::Buy, 990, 1, 7));
    assert_eq!((risk.account_worst_case(ACCOUNT, X).0, risk.anomalies()), (Qty(4), 1), "a late fill counts");
    risk.release(id(1));
    assert_eq!(risk.anomalies(), 2);
}

#[test]
fn own_orders_never_meet_across_strategies_and_amends() {
    let second = |command: Command| Command { strategy: StrategyId(1), ..command };
    let mut risk = ready(&limits());
    assert!(risk.submit(&new(1, Side::Buy, 990, 10, 1)).is_ok());
    assert_eq!(refused_by(risk.submit(&second(new(2, Side::Sell, 990, 1, 2)))), Some("C15"));
    assert!(risk.submit(&second(new(3, Side::Sell, 991, 1, 3))).is_ok());
    assert_eq!(refused_by(risk.submit(&replace(4, 1, Side::Buy, 991, 10, 4))), Some("C15"), "an amend into own");
    let market = Command { ord_type: OrdType::Market as u8, ..new(5, Side::Buy, 0, 1, 5) };
    assert_eq!(refused_by(risk.submit(&market)), Some("C15"));
    // While a replace is in flight both prices may rest.
    assert!(risk.submit(&replace(6, 1, Side::Buy, 980, 10, 6)).is_ok());
    for (counter, px) in [(7, 990), (8, 985), (9, 980)] {
        let verdict = risk.submit(&second(new(counter, Side::Sell, px, 2, counter as i64)));
        assert_eq!(refused_by(verdict), Some("C15"), "at {px}");
    }
    risk.replaced(id(1), Price(980), Qty(10));
    assert!(risk.submit(&second(new(10, Side::Sell, 981, 2, 10))).is_ok());
    risk.release(id(1));
    assert!(risk.submit(&second(new(11, Side::Sell, 980, 3, 11))).is_ok());
}

#[test]
fn a_loss_halts_and_the_peak_counts_too() {
    let walk = |marks: &[i64], max_loss: i64, max_drawdown: i64| {
        let mut tight = limits();
        tight.strategies[0].scope.max_loss_day = Money::from_whole(max_loss);
        tight.strategies[0].scope.max_drawdown = Money::from_whole(max_drawdown);
        let mut risk = ready(&tight);
        risk.fill(&fill(1, Side::Buy, 1_000, 10, 1));
        for (at, px) in marks.iter().enumerate() {
            risk.mark(X, Price(*px), Price(px + 2), TimeNs(2 + at as i64));
        }
        (risk.next_halt(), refused_by(risk.submit(&new(5, Side::Sell, 990, 1, 50))))
    };
    let halt = |value: i64, limit: i64| {
        let value = value * 1_000_000;
        Some(Halt { scope: Scope::Strategy, id: 0, control: Control::Loss, value, limit: limit * 1_000_000 })
    };
    assert_eq!(walk(&[990], 100, 1_000), (None, None));
    assert_eq!(walk(&[989], 100, 1_000), (halt(110, 100), Some("C14")));
    assert_eq!(walk(&[989, 1_100], 100, 1_000), (halt(110, 100), Some("C14")), "latched");
    assert_eq!(walk(&[1_050, 1_020], 1_000, 300), (None, None));
    assert_eq!(walk(&[1_050, 1_019], 1_000, 300), (halt(310, 300), Some("C14")));
}

#[test]
fn a_loss_counts_fees_and_realised_and_turns_with_the_day() {
    let mut tight = limits();
    tight.firm.max_loss_day = Money::from_whole(100);
    let mut risk = ready(&tight);
    risk.fill(&FillInput { fee: Money::from_whole(60), ..fill(1, Side::Buy, 1_000, 4, 1) });
    risk.fill(&FillInput { fee: Money::from_whole(10), ..fill(1, Side::Sell, 993, 4, 2) });
    assert_eq!((risk.profit(StrategyId(0)), risk.next_halt()), (Money::from_whole(-98), None));
    let day = 86_400_000_000_000;
    risk.mark(X, Price(1_000), Price(1_002), TimeNs(day));
    risk.fill(&FillInput { fee: Money::from_whole(100), ..fill(1, Side::Buy, 1_000, 1, day + 1) });
    assert_eq!(risk.next_halt(), None, "yesterday's loss is yesterday's");
    risk.fill(&FillInput { fee: Money(1), ..fill(1, Side::Sell, 1_000, 1, day + 2) });
    let halt = risk.next_halt().unwrap();
    assert_eq!((halt.scope, halt.control, risk.next_halt()), (Scope::All, Control::Loss, None), "told once");
    // Setting it active while the loss stands halts again at once; a new limit does not.
    risk.set_state(Scope::All, 0, TradingState::Active);
    assert_eq!(risk.state(StrategyId(0), ACCOUNT), TradingState::Halted);
    let set = LimitSet {
        control: 14,
        strategy: StrategyId(u16::MAX),
        account: AccountId(u16::MAX),
        value: 200_000_000,
        ..Default::default()
    };
    assert_eq!(risk.set_limit(&set), Ok(()));
    risk.set_state(Scope::All, 0, TradingState::Active);
    assert_eq!(risk.state(StrategyId(0), ACCOUNT), TradingState::Active);
}

#[test]
fn a_stale_mark_of_something_held_refuses() {
    let mut tight = limits();
    tight.instruments[1].reference_max_age = DurationNs(100 * MS);
    let mut risk = ready(&tight);
    assert!(risk.submit(&new(1, Side::Buy, 1_000, 1, 101 * MS)).is_ok(), "nothing of it is held");
    risk.fill(&FillInput { instrument: InstrumentId(1), ..fill(9, Side::Buy, 1_000, 1, 1) });
    risk.mark(X, Price(999), Price(1_001), TimeNs(200 * MS));
    assert_eq!(refused_by(risk.submit(&new(2, Side::Buy, 1_000, 2, 200 * MS))), Some("C14"));
    risk.mark(InstrumentId(1), Price(999), Price(1_001), TimeNs(200 * MS));
    assert!(risk.submit(&new(2, Side::Buy, 1_000, 2, 200 * MS)).is_ok());
}

#[test]
fn an_adopted_order_is_reserved_unchecked_and_can_only_be_cancelled() {
    let mut risk = ready(&limits());
    let nobody = StrategyId(2);
    let found = Command { strategy: nobody, ..new(7, Side::Buy, 1_000, 500_000, 1) };
    assert!(risk.adopt(&found, Qty(100_000)));
    assert!(!risk.adopt(&found, Qty(0)), "once");
    assert_eq!(risk.account_worst_case(ACCOUNT, X).1, Qty(400_000));
    let amend = Command { strategy: nobody, ..replace(8, 7, Side::Buy, 1_000, 1, 2) };
    assert_eq!(refused_by(risk.submit(&amend)), Some("C1"));
    assert!(risk.submit(&Command { strategy: nobody, ..cancel(9, 7, 3) }).is_ok());
    risk.release(id(7));
    assert_eq!(risk.account_worst_case(ACCOUNT, X).1, Qty(0));
}

/// An order of ours that only the venue knew of holds its id and its reservation against a new order of the same id.
#[test]
fn the_id_of_an_adopted_order_is_refused_and_its_reservation_stays() {
    let mut risk = ready(&limits());
    assert!(risk.adopt(&new(7, Side::Buy, 1_000, 5, 1), Qty(0)));
    assert_eq!(refused_by(risk.submit(&new(7, Side::Buy, 1_000, 3, 2))), Some("C10"));
    assert_eq!(risk.account_worst_case(ACCOUNT, X).1, Qty(5));
    assert!(risk.submit(&new(8, Side::Buy, 1_000, 3, 3)).is_ok());
    assert_eq!(risk.account_worst_case(ACCOUNT, X).1, Qty(8));
}

#[test]
fn a_difference_between_the_ledgers_is_named() {
    let mut risk = ready(&limits());
    assert!(risk.submit(&new(1, Side::Buy, 1_000, 10, 1)).is_ok());
    risk.fill(&fill(1, Side::Buy, 1_000, 4, 2));
    let open = OpenSeen { orders_count: 1, buy_qty: Qty(6), sell_qty: Qty(0) };
    let seen = Seen {
        strategy: StrategyId(0),
        account: ACCOUNT,
        instrument: X,
        strategy_qty: Qty(4),
        account_qty: Qty(4),
        strategy_open: open,
        account_open: open,
    };
    assert_eq!(risk.compare(&seen), None);
    let different = risk.compare(&Seen { account_qty: Qty(5), ..seen });
    assert_eq!(different, Some(Difference { scope: Scope::Account, what: "position", here: 4, there: 5 }));
    let different = risk.compare(&Seen { strategy_open: OpenSeen { buy_qty: Qty(7), ..open }, ..seen });
    assert_eq!(different, Some(Difference { scope: Scope::Strategy, what: "open buys", here: 6, there: 7 }));
}

#[test]
fn an_inverse_contract_loses_when_it_must() {
    let mut one = instruments();
    one.0.truncate(1);
    one.0[0].kind = InstrumentKind::InversePerp;
    one.0[0].multiplier = Decimal { mantissa: 100, scale: 0 };
    let mut risk = Risk::new(&one, &limits());
    risk.open_gate(ACCOUNT);
    risk.mark(X, Price(1_000), Price(1_000), TimeNs(0));
    risk.fill(&fill(1, Side::Buy, 1_000, 10, 1));
    risk.mark(X, Price(800), Price(800), TimeNs(2));
    // 1000·(1/1000 − 1/800) = −0.25.
    assert_eq!(risk.profit(StrategyId(0)), Money(-250_000_000_000));
    risk.fill(&fill(1, Side::Sell, 800, 10, 3));
    assert_eq!(risk.profit(StrategyId(0)), Money(-250_000_000_000));
}
