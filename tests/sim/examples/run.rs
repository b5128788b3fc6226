//! Runs seeds and prints what they did: `run FIRST [COUNT] [storm]`, or `run SEED trace [storm]` for every event of one.
use tercel_test_sim::{Options, Stats, run};

fn main() {
    let mut args = std::env::args().skip(1);
    let first: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let more = args.next();
    let trace = more.as_deref() == Some("trace");
    let count = more.and_then(|text| text.parse().ok()).unwrap_or(1);
    let draw = if args.next().as_deref() == Some("storm") { Options::storm } else { Options::from_seed };
    let (mut sum, mut failed) = (Stats::default(), 0);
    for seed in first..first + count {
        let options = Options { trace, ..draw(seed) };
        let outcome = run(&options);
        sum.add(&outcome.stats);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        if !outcome.violations.is_empty() {
            failed += 1;
            println!("seed {seed}:\n  {}", outcome.violations.join("\n  "));
            if count == 1 {
                println!("{options:#?}");
            }
        } else if count == 1 {
            println!("seed {seed}: hash {:016x}", outcome.hash);
        }
    }
    println!("{sum:#?}\n{failed} of {count} seeds failed");
}
