//! The checkers can fail: each planted defect is caught, within a stated number of seeds.
use tercel_test_sim::{Defect, Options, run};

/// The first seed that shows the defect, with what it showed.
fn caught(defect: Defect, seeds: u64) -> (u64, String) {
    for seed in 0..seeds {
        let outcome = run(&Options::from_seed(seed).with_defect(defect));
        if let Some(violation) = outcome.violations.first() {
            return (seed, violation.clone());
        }
    }
    panic!("{defect:?} was not caught in {seeds} seeds");
}

#[test]
fn planted_defects_are_caught_sim() {
    let defects = [
        (Defect::SkipExpectIn, 80),
        (Defect::ResendOrders, 20),
        (Defect::CountPossDupTwice, 20),
        (Defect::LoseReports, 5),
        (Defect::SkipEpochStart, 20),
        (Defect::LogLate, 20),
        (Defect::EndMassStatusEarly, 5),
    ];
    for (defect, seeds) in defects {
        let (seed, violation) = caught(defect, seeds);
        println!("{defect:?}: seed {seed}: {violation}");
    }
}
