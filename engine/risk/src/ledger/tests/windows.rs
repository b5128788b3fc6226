//! Message rates against a list of all times, and the memory of the duplicate check.
use super::*;
use crate::operate::LimitError;
use crate::rate::{Rate, SPANS_NS};
use proptest::prelude::*;

fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0i64), 1i64..40_000_000, Just(100_000_000), Just(99_999_999), 1i64..3_000_000_000]
}

proptest! {
    /// The ring decides as a list of all messages would, for any times and limits: sliding, not bucketed.
    #[test]
    fn the_window_slides_exactly_prop(
        limits in [1u32..6, 1u32..12, 1u32..30],
        gaps in prop::collection::vec(gap(), 1..300),
    ) {
        let (mut rate, mut sent, mut now) = (Rate::new(limits), Vec::<i64>::new(), 1_000_000_000_000);
        for gap in gaps {
            now += gap;
            let allowed = limits.iter().zip(SPANS_NS).all(|(limit, span)| {
                sent.iter().filter(|ts| **ts > now - span).count() < *limit as usize
            });
            prop_assert_eq!(rate.is_open(TimeNs(now)), allowed);
            prop_assert_eq!(rate.limit_reached(TimeNs(now)) == 0, allowed);
            if allowed {
                rate.count(TimeNs(now));
                sent.push(now);
            }
        }
    }
}

/// Whatever is offered, no window of one second ever holds more than the limit, and cancels pass.
#[test]
fn a_flood_is_cut_to_the_limit_in_every_window_and_cancels_pass() {
    let mut tight = limits();
    tight.strategies[0].scope.rates.orders = [1_000, 1_000, 60_000];
    let mut risk = ready(&tight);
    let (mut sent, mut cancels, mut counter) = (Vec::new(), 0, 0);
    for at in 0..100_000i64 {
        let now = at * 100_000; // 10,000 offers a second for 10 s
        counter += 1;
        if risk.submit(&new(counter, Side::Buy, 990 - at % 7, 1 + at % 5, now)).is_ok() {
            sent.push(now);
            risk.release(id(counter));
        }
        if at % 100 == 0 {
            counter += 1;
            cancels += i64::from(risk.submit(&cancel(counter, 1, now)).is_ok());
        }
    }
    assert_eq!(cancels, 1_000);
    for (first, ts) in sent.iter().enumerate() {
        let within = sent[first..].iter().take_while(|other| **other < ts + 1_000_000_000).count();
        assert!(within <= 1_000, "{within} from {ts}");
    }
    assert_eq!(sent.len(), 10_000, "and not one less than allowed");
}

#[test]
fn running_into_the_rate_again_and_again_halts_when_configured() {
    let mut tight = limits();
    tight.strategies[0].scope.rates = RateLimits { orders: [2, 1_000, 1_000], cancels: [1_000; 3], halt_after: 3 };
    let mut risk = ready(&tight);
    let mut counter = 0;
    let mut offer = |risk: &mut Risk, now: i64| {
        counter += 1;
        refused_by(risk.submit(&new(counter, Side::Buy, 990, counter as i64, now)))
    };
    for run in 0..3 {
        let now = run * 200 * MS;
        assert_eq!([offer(&mut risk, now), offer(&mut risk, now)], [None, None]);
        assert_eq!([offer(&mut risk, now), offer(&mut risk, now)], [Some("C8"), Some("C8")], "one run counts once");
    }
    let halt = risk.next_halt().unwrap();
    assert_eq!((halt.control, halt.value, halt.limit), (Control::Rate, 3, 3));
    assert_eq!(offer(&mut risk, 900 * MS), Some("C8"), "halted by C8");
}

#[test]
fn more_orders_than_the_duplicate_check_remembers_are_refused() {
    let mut wide = limits();
    wide.strategies[0].duplicate_window = Some(DurationNs(1_000));
    let mut risk = ready(&wide);
    for at in 0..65 {
        assert!(risk.submit(&new(at + 1, Side::Buy, 990, at as i64 + 1, 10)).is_ok());
    }
    assert_eq!(refused_by(risk.submit(&new(100, Side::Buy, 980, 1, 10))), Some("C10"));
    assert!(risk.submit(&new(100, Side::Buy, 980, 1, 1_011)).is_ok());
}

#[test]
fn limits_are_set_within_what_they_may_be() {
    let mut risk = ready(&limits());
    let set =
        |control, value| LimitSet { control, value, strategy: StrategyId(0), account: ACCOUNT, ..Default::default() };
    assert_eq!(risk.set_limit(&set(4, 5)), Ok(()));
    assert_eq!(refused_by(risk.submit(&new(1, Side::Buy, 1_000, 6, 1))), Some("C4"));
    assert_eq!(risk.set_limit(&set(12, 3)), Ok(()));
    assert_eq!(refused_by(risk.submit(&new(1, Side::Buy, 1_000, 4, 1))), Some("C12"));
    assert_eq!(risk.set_limit(&set(8, 0)), Ok(()));
    assert_eq!(refused_by(risk.submit(&new(1, Side::Buy, 1_000, 1, 1))), Some("C8"));
    assert_eq!(risk.set_limit(&set(4, -1)), Err(LimitError::Value(-1)));
    assert_eq!(risk.set_limit(&set(8, 1 << 40)), Err(LimitError::Value(1 << 40)));
    assert_eq!(risk.set_limit(&set(33, 1)), Err(LimitError::Control(33)));
    let nowhere = LimitSet { instrument: InstrumentId(9), ..set(12, 1) };
    assert_eq!(risk.set_limit(&nowhere), Err(LimitError::Unknown));
}
