//! The machine beside the figures: name, load, clock, hop, and what the kernel took.
use quanta::Clock;
use std::sync::OnceLock;
use tercel_ring::{PowerOfTwo, spsc};

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The CPUs of the process, asked before any thread is pinned: afterwards a thread sees its own only.
pub fn cores() -> &'static [core_affinity::CoreId] {
    static CORES: OnceLock<Vec<core_affinity::CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

pub fn load() -> String {
    read("/proc/loadavg").trim().to_owned()
}

/// Host, CPUs, load, commit.
pub fn describe() -> String {
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1).map(str::to_owned))
        .unwrap_or_default();
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    let cpus = cores().len();
    let kernel = read("/proc/sys/kernel/osrelease");
    let changed = if changed { " with local changes" } else { "" };
    format!("{model}, {cpus} CPUs, Linux {}, load {}, commit {commit}{changed}", kernel.trim(), load())
}

/// Involuntary context switches of this thread.
pub fn involuntary_switches() -> i64 {
    // SAFETY: all-zero is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    // SAFETY: the struct lives across the call, which writes nothing else.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw
}

/// Back-to-back clock reads: (median, smallest step above zero, mean of many), in ns.
pub fn clock_pair(clock: &Clock) -> (f64, f64, f64) {
    let per_tick = ns_per_tick(clock);
    let mut steps: Vec<u64> = (0..100_000)
        .map(|_| {
            let start = clock.raw();
            clock.raw() - start
        })
        .collect();
    steps.sort_unstable();
    let median = steps[steps.len() / 2];
    let step = steps.iter().find(|&&step| step > 1).copied().unwrap_or(0);
    let start = clock.raw();
    (0..100_000).for_each(|_| {
        std::hint::black_box(clock.raw());
    });
    let mean = (clock.raw() - start) as f64 / 1e5;
    (median as f64 * per_tick, step as f64 * per_tick, mean * per_tick)
}

pub fn ns_per_tick(clock: &Clock) -> f64 {
    clock.delta_as_nanos(0, 1 << 30) as f64 / f64::from(1u32 << 30)
}

/// Half round trips of one 64-byte message over two rings between the CPUs, median in ns; `None` with one CPU. The other
/// thread is pinned to the second CPU, this one stays where it is.
pub fn hop(clock: &Clock, trips: u64) -> Option<f64> {
    let other = *cores().get(1)?;
    let (mut ping_tx, mut ping_rx) = spsc::<[u64; 8]>(PowerOfTwo::at_least(64));
    let (mut pong_tx, mut pong_rx) = spsc::<[u64; 8]>(PowerOfTwo::at_least(64));
    let mut samples: Vec<u64> = std::thread::scope(|scope| {
        scope.spawn(move || {
            core_affinity::set_for_current(other);
            let mut seen = 0;
            while seen < trips {
                ping_rx.drain(1, |word| {
                    seen = word[0];
                    while pong_tx.try_push(*word).is_err() {}
                });
            }
        });
        (1..=trips)
            .map(|trip| {
                let start = clock.raw();
                while ping_tx.try_push([trip; 8]).is_err() {}
                while pong_rx.drain(1, |_| ()) == 0 {}
                (clock.raw() - start) / 2
            })
            .collect()
    });
    samples.sort_unstable();
    Some(samples[samples.len() / 2] as f64 * ns_per_tick(clock))
}
