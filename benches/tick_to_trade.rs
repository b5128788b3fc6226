//! In-process tick-to-trade beside a hand-written path: `cargo bench -p tercel-benches --bench tick_to_trade`
//!
//!   tick_to_trade/one_order    best-quote message bytes in, bytes of one FIX order out; the maker's bid alone
//!   tick_to_trade/two_orders   the same with bid and ask: to the bytes of the second order
//!   tick_to_trade/no_order     messages that change quantities only, to the end of the step
//!
//! product  feed machine, sequencer with a mapped log, core with the strategy in machine code, order gateway: one thread
//! control  the same orders, byte for byte, by a path written for this strategy alone, with the same kind of log
//! spin     the loop with nothing in it: what the machine itself adds to the tail
//!
//! The store keeps messages in memory and the socket captures them, so that neither disk nor kernel is in a figure. Every
//! order is acknowledged over FIX between two events. Open loop: latency counts from the instant at which the message was
//! due, one pair of clock reads per event. Blocks alternate (product, control, spin); a round in which the kernel took the
//! CPU away is left out and counted. Ratio: the median over rounds of the ratio of block means of the middle half.
//! Under `cargo test` it runs small; `-- one_order` runs that one alone; `-- profile N` runs N events of the product and
//! nothing else, `-- profile-control N` of the control, for callgrind.
#[path = "tick_to_trade/control.rs"]
mod control;
#[path = "tick_to_trade/host.rs"]
mod host;
#[path = "tick_to_trade/path.rs"]
mod path;
#[path = "tick_to_trade/product.rs"]
mod product;
#[path = "tick_to_trade/venue.rs"]
mod venue;

use control::Control;
use path::Path;
use product::Product;
use quanta::Clock;
use std::hint::{black_box, spin_loop};
use venue::{Feed, Moves};

/// Wall time between two events of a block: longer than the answers to the orders of one event take.
const PERIOD_NS: u64 = 20_000;
/// Events of a block: measured, and before them not measured. A block of 4 ms mostly fits a time slice of a busy machine.
const BLOCK: usize = 160;
const WARM: usize = 32;

struct Shape {
    name: &'static str,
    legs: usize,
    moves: Moves,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "one_order", legs: 1, moves: Moves::Touch },
    Shape { name: "two_orders", legs: 2, moves: Moves::Touch },
    Shape { name: "no_order", legs: 1, moves: Moves::Quantities },
];

/// Samples of one path in clock ticks.
#[derive(Default)]
struct Samples {
    kept: Vec<u64>,
    /// Largest of the rounds left out.
    max_left_out: u64,
    /// Events that gave another number of orders than the shape says; not in the figures.
    odd: u64,
}

/// One block. Returns the mean of the middle half, and whether the kernel left the thread alone.
fn block<P: Path>(clock: &Clock, path: &mut P, feed: &mut Feed, shape: &Shape, samples: &mut Vec<u64>) -> (bool, u64) {
    let orders_want = if shape.moves == Moves::Touch { shape.legs } else { 0 };
    let period = (PERIOD_NS as f64 / host::ns_per_tick(clock)) as u64;
    samples.clear();
    let mut odd = 0;
    std::thread::yield_now();
    let switches = host::involuntary_switches();
    let mut due = clock.raw() + period;
    for event in 0..WARM + BLOCK {
        feed.next(shape.moves);
        path.before(feed.now);
        path.settle(|_| ());
        while clock.raw() < due {
            spin_loop();
        }
        path.on_event(black_box(feed.text.as_bytes()));
        let end = if orders_want > 0 { path.sent_at() } else { clock.raw() };
        let mut orders = 0;
        path.settle(|_| orders += 1);
        if orders != orders_want {
            odd += 1;
        } else if event >= WARM {
            samples.push(end.saturating_sub(due));
        }
        due += period;
    }
    (host::involuntary_switches() == switches, odd)
}

/// The same loop around nothing.
fn spin_block(clock: &Clock, samples: &mut Vec<u64>) -> bool {
    let period = (PERIOD_NS as f64 / host::ns_per_tick(clock)) as u64;
    samples.clear();
    std::thread::yield_now();
    let switches = host::involuntary_switches();
    let mut due = clock.raw() + period;
    for event in 0..WARM + BLOCK {
        while clock.raw() < due {
            spin_loop();
        }
        let end = clock.raw();
        if event >= WARM {
            samples.push(end - due);
        }
        due += period;
    }
    host::involuntary_switches() == switches
}

fn middle(samples: &mut [u64]) -> f64 {
    samples.sort_unstable();
    let half = &samples[samples.len() / 4..samples.len() * 3 / 4 + 1];
    half.iter().sum::<u64>() as f64 / half.len() as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_row(name: &str, clock: &Clock, samples: &mut Samples) {
    samples.kept.sort_unstable();
    let per_tick = host::ns_per_tick(clock);
    let kept = &samples.kept;
    let at = |part: f64| match kept.len() {
        0 => f64::NAN,
        len => kept[((len - 1) as f64 * part) as usize] as f64 * per_tick,
    };
    println!(
        "{name:<34} p50 {:>6.0} ns  p99 {:>6.0}  p99.9 {:>7.0}  max {:>8.0}  n {:>7}  max of rounds left out {:>9.0}  odd {}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        kept.len(),
        samples.max_left_out as f64 * per_tick,
        samples.odd
    );
}

/// Rounds of product, control and spin until `want` are kept or `most` have run.
fn bench(clock: &Clock, shape: &Shape, want: usize, most: usize) {
    let mut product = Product::new(clock, &path::strategy(shape.legs), &format!("product-{}", shape.name));
    let mut control = Control::new(clock, shape.legs, &format!("control-{}", shape.name));
    let (mut feeds, mut blocks) = ([Feed::new(), Feed::new()], [(); 3].map(|()| Vec::with_capacity(BLOCK)));
    for _ in 0..64 {
        // A maker is ready after eight samples of its variance.
        step(&mut product, &mut feeds[0], Moves::Touch);
        step(&mut control, &mut feeds[1], Moves::Touch);
    }
    let mut all: [Samples; 3] = Default::default();
    let (mut ratios, mut left_out) = (Vec::new(), 0);
    for _ in 0..most {
        if ratios.len() == want {
            break;
        }
        let (quiet_a, odd_a) = block(clock, &mut product, &mut feeds[0], shape, &mut blocks[0]);
        let (quiet_b, odd_b) = block(clock, &mut control, &mut feeds[1], shape, &mut blocks[1]);
        let quiet_c = spin_block(clock, &mut blocks[2]);
        all[0].odd += odd_a;
        all[1].odd += odd_b;
        if quiet_a && quiet_b && quiet_c && blocks.iter().all(|block| !block.is_empty()) {
            ratios.push(middle(&mut blocks[0]) / middle(&mut blocks[1]));
            all.iter_mut().zip(&blocks).for_each(|(all, block)| all.kept.extend(block));
        } else {
            left_out += 1;
            for (all, block) in all.iter_mut().zip(&blocks) {
                all.max_left_out = all.max_left_out.max(block.iter().copied().max().unwrap_or(0));
            }
        }
    }
    let kept = ratios.len();
    let quartile = |part: f64, ratios: &[f64]| ratios.get((ratios.len() as f64 * part) as usize).copied();
    let ratio = median(&mut ratios);
    let (low, high) = (quartile(0.25, &ratios).unwrap_or(f64::NAN), quartile(0.75, &ratios).unwrap_or(f64::NAN));
    for (name, samples) in ["product", "control", "spin"].iter().zip(&mut all) {
        print_row(&format!("tick_to_trade/{}/{name}", shape.name), clock, samples);
    }
    println!(
        "tick_to_trade/{}: {ratio:.2} x the hand-written path (quartiles {low:.2}, {high:.2}; goal 2.5), {kept} rounds kept, \
         {left_out} left out for involuntary switches, load {}",
        shape.name,
        host::load()
    );
    if control.refused > 0 {
        println!("tick_to_trade/{}: the control refused {} orders", shape.name, control.refused);
    }
}

fn step<P: Path>(path: &mut P, feed: &mut Feed, moves: Moves) -> Vec<Vec<u8>> {
    let mut orders = Vec::new();
    feed.next(moves);
    path.before(feed.now);
    path.settle(|order| orders.push(order.to_vec()));
    path.on_event(feed.text.as_bytes());
    path.settle(|order| orders.push(order.to_vec()));
    orders
}

/// Both paths over the same events send the same bytes. Returns how many messages were compared.
fn check_equal_work(clock: &Clock, legs: usize, events: usize) -> usize {
    let mut product = Product::new(clock, &path::strategy(legs), "check-product");
    let mut control = Control::new(clock, legs, "check-control");
    let (mut feed_a, mut feed_b) = (Feed::new(), Feed::new());
    let mut compared = 0;
    for event in 0..events {
        let moves = if event % 7 == 6 { Moves::Quantities } else { Moves::Touch };
        let (ours, theirs) = (step(&mut product, &mut feed_a, moves), step(&mut control, &mut feed_b, moves));
        let readable = |orders: &[Vec<u8>]| {
            orders.iter().map(|o| String::from_utf8_lossy(o).replace('\x01', "|")).collect::<Vec<_>>()
        };
        assert_eq!(readable(&ours), readable(&theirs), "event {event}");
        compared += ours.len();
    }
    assert!(compared > events / 2, "only {compared} orders in {events} events");
    compared
}

/// Events of one path and nothing else.
fn profile<P: Path>(path: &mut P, events: usize) {
    let mut feed = Feed::new();
    (0..events).for_each(|_| {
        feed.next(Moves::Touch);
        path.before(feed.now);
        path.settle(|_| ());
        path.on_event(feed.text.as_bytes());
        path.settle(|_| ());
    });
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let full = args.iter().any(|arg| arg == "--bench");
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    let clock = Clock::new();
    if let [what @ ("profile" | "profile-control"), rest @ ..] = words.as_slice() {
        let events = rest.first().and_then(|count| count.parse().ok()).unwrap_or(2_000);
        return match *what {
            "profile" => profile(&mut Product::new(&clock, &path::strategy(1), "profile"), events),
            _ => profile(&mut Control::new(&clock, 1, "profile"), events),
        };
    }
    println!("host: {}", host::describe());
    if let Some(core) = host::cores().first() {
        core_affinity::set_for_current(*core);
    }
    let (median, step, mean) = host::clock_pair(&clock);
    println!(
        "clock: a pair of reads {median:.0} ns (in every sample), step {step:.0} ns, one read {mean:.1} ns in a row"
    );
    let (events, want, most, trips) = if full { (20_000, 400, 4_000, 20_000) } else { (300, 1, 2, 200) };
    match host::hop(&clock, trips) {
        Some(hop) => println!("ring: one hop between the CPUs {hop:.0} ns (median of {trips})"),
        None => println!("ring: no second CPU, no hop"),
    }
    for legs in [1, 2] {
        let compared = check_equal_work(&clock, legs, events);
        println!(
            "check: {compared} orders of {events} events equal byte for byte between product and control ({legs} legs)"
        );
    }
    for shape in SHAPES.iter().filter(|shape| words.is_empty() || words.contains(&shape.name)) {
        bench(&clock, shape, want, most);
    }
}
