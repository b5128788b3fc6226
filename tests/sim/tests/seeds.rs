//! Many seeds: safety under faults, life after them, equal books at the end.
use std::sync::Mutex;
use tercel_test_sim::{CRASH_POINTS, Options, Stats, check, run};

fn soak() -> bool {
    std::env::var_os("TERCEL_SOAK").is_some()
}

/// `count` seeds from `first`, on every core of the host; a run itself has one thread.
fn play(first: u64, count: u64, options: fn(u64) -> Options) -> Stats {
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let sum = Mutex::new(Stats::default());
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let sum = &sum;
            scope.spawn(move || {
                for seed in (first + worker..first + count).step_by(workers as usize) {
                    let outcome = check(&options(seed));
                    sum.lock().unwrap().add(&outcome.stats);
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

/// Safe under faults, quoting again within 5 s of their end, equal to the venue after the kill, and replayed identical.
#[test]
fn every_seed_is_safe_and_lives_on_sim() {
    let stats = play(0, if soak() { 10_000 } else { 100 }, Options::from_seed);
    println!("{stats:#?}");
    for (point, count) in CRASH_POINTS.iter().zip(stats.crashes) {
        assert!(count > 0, "no crash at {point}");
    }
    let reached = [
        ("crashes at any time", stats.crashes[CRASH_POINTS.len()]),
        ("crashes inside a step", stats.frames_torn),
        ("commands left unanswered", stats.unanswered),
        ("commands that never left", stats.never_stored),
        ("bytes lost on the order connection", stats.order_bytes_lost),
        ("connections that fell silent", stats.order_silences),
        ("refused connections", stats.order_refusals),
        ("fills told again", stats.fills_resent),
        ("orders asked about", stats.status_asked),
        ("gaps of the feed", stats.gaps),
        ("failed snapshots", stats.snapshots_failed),
        ("full rings", stats.rings_full),
        ("stalls", stats.stalls),
        ("halts", stats.halts),
        ("passive fills", stats.fills_passive),
        ("fills taken", stats.fills - stats.fills_passive),
        ("replaces", stats.replaces),
        ("comparisons", stats.compared),
    ];
    for (what, count) in reached {
        assert!(count > 0, "the seeds reached no {what}: {stats:#?}");
    }
}

/// Faults on top of faults: crashes during recovery, cuts during logon.
#[test]
fn storms_are_survived_sim() {
    let stats = play(50_000, if soak() { 2_000 } else { 20 }, Options::storm);
    assert!(stats.crashes.iter().sum::<u64>() > stats.runs * 5, "{stats:#?}");
}

#[test]
fn equal_seeds_give_equal_runs_sim() {
    let hashes: Vec<u64> = (1_000..1_006)
        .map(|seed| {
            let options = Options::from_seed(seed);
            let (first, second) = (run(&options), run(&options));
            assert_eq!(first.hash, second.hash, "seed {seed}");
            assert_eq!(first.stats, second.stats, "seed {seed}");
            first.hash
        })
        .collect();
    assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]), "different seeds are different runs");
}

/// Without faults nothing is lost, nothing is asked about and no session ends.
#[test]
fn a_calm_run_loses_nothing_sim() {
    let stats = check(&Options::calm(7)).stats;
    let quiet = [stats.session_losses, stats.status_asked, stats.fills_resent, stats.gaps, stats.order_bytes_lost];
    assert_eq!(quiet, [0; 5], "{stats:#?}");
    assert!(stats.fills > 20 && stats.recovery_ms == 0, "{stats:#?}");
}

/// The same faults over the real data of the demo.
#[test]
fn recorded_data_under_faults_sim() {
    let mut stats = Stats::default();
    for seed in 2_000..if soak() { 2_100 } else { 2_003 } {
        stats.add(&check(&Options { recorded: true, ..Options::from_seed(seed) }).stats);
    }
    assert!(stats.fills > 0 && stats.session_losses > 0, "{stats:#?}");
}
