//! The whole system in one process under one seed and virtual time: core, order gateway, feed machine and venue are the real
//! ones; the links, the crashes and the threads between them are simulated.
//!
//!   Options::from_seed(seed) ──▶ Sim ──▶ Outcome { hash, stats, violations }
//!
//! Phase one is safety under faults; then faults stop and quoting must return; then the operator kills everything and both
//! accounts must be equal. `docs/guide/simulation.md` says how to use it and what it does not cover.
#![forbid(unsafe_code)]

mod disk;
mod engine;
mod judge;
mod links;
mod market;
mod options;
mod rng;
mod setup;
mod sim;
mod stats;
mod strategies;

pub use options::{CRASH_POINTS, Defect, Fault, Options};
pub use rng::Rng;
pub use sim::{Outcome, Sim, run};
pub use stats::Stats;

/// Runs and stops the test with the seed and everything that it expands to when something did not hold.
pub fn check(options: &Options) -> Outcome {
    let outcome = run(options);
    assert!(
        outcome.violations.is_empty(),
        "seed {} failed:\n  {}\nwith {options:#?}",
        options.seed,
        outcome.violations.join("\n  ")
    );
    outcome
}
