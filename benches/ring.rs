//! Rings, log and journal beside their floors and peers, in one process and in turns: `cargo bench -p tercel-benches --bench ring`
//!
//!   ring/hop/*          one 64-byte message in flight over two rings between two pinned threads; half the round trip
//!   ring/throughput/*   64-byte messages, capacity 1024, median over chunks
//!   log/push/*          one frame into the log; floor: the same bytes copied into touched memory
//!   journal/drain/*     log → checksummed segment, 128-byte frames; floor: raw writes of 64 KiB to the same place
//!
//! Absolute hops compare only within one run: the two cores may be near or far. Under `cargo test` it runs small;
//! `-- log/push` runs that one alone.
use quanta::Clock;
use std::fs::File;
use std::hint::{black_box, spin_loop};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use tercel_event::{FrameBuf, Trade};
use tercel_journal::{JournalLock, SegmentWriter, WriterConfig};
use tercel_ring::{
    Consumer, FrameConsumer, FrameProducer, Gauge, LogConfig, LogWriter, PowerOfTwo, Producer, frames, spsc,
};
use tercel_types::{SourceId, TimeNs};

type Message = [u64; 8];

const CAPACITY: PowerOfTwo = PowerOfTwo::at_least(1024);

/// A way for messages from one thread to another.
trait Link {
    const NAME: &'static str;
    type Tx: Send;
    type Rx: Send;
    fn link() -> (Self::Tx, Self::Rx);
    fn try_send(tx: &mut Self::Tx, message: &Message) -> bool;
    /// At most a batch; hands over the first word of each.
    fn receive(rx: &mut Self::Rx, on_word: impl FnMut(u64));
}

/// The floor: one word on one cache line per direction.
struct Line;
impl Link for Line {
    const NAME: &'static str = "bare_line";
    type Tx = Gauge;
    type Rx = (Gauge, u64);

    fn link() -> (Gauge, (Gauge, u64)) {
        let line = Gauge::new();
        (line.clone(), (line, 0))
    }

    fn try_send(tx: &mut Gauge, message: &Message) -> bool {
        tx.set(message[0]);
        true
    }

    fn receive(rx: &mut (Gauge, u64), mut on_word: impl FnMut(u64)) {
        let word = rx.0.get();
        if word != rx.1 {
            rx.1 = word;
            on_word(word);
        }
    }
}

struct Spsc;
impl Link for Spsc {
    const NAME: &'static str = "spsc";
    type Tx = Producer<Message>;
    type Rx = Consumer<Message>;

    fn link() -> (Self::Tx, Self::Rx) {
        spsc(CAPACITY)
    }

    fn try_send(tx: &mut Self::Tx, message: &Message) -> bool {
        tx.try_push(*message).is_ok()
    }

    fn receive(rx: &mut Self::Rx, mut on_word: impl FnMut(u64)) {
        rx.drain(64, |message| on_word(message[0]));
    }
}

/// Frames of 64 bytes: 4 of length, 60 of payload.
struct Frames;
impl Link for Frames {
    const NAME: &'static str = "frames";
    type Tx = FrameProducer;
    type Rx = FrameConsumer;

    fn link() -> (Self::Tx, Self::Rx) {
        frames(PowerOfTwo::at_least(1024 * 64))
    }

    fn try_send(tx: &mut Self::Tx, message: &Message) -> bool {
        let Ok(claimed) = tx.claim(64) else { return false };
        for (place, word) in claimed[4..].chunks_exact_mut(8).zip(message) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        tx.publish();
        true
    }

    fn receive(rx: &mut Self::Rx, mut on_word: impl FnMut(u64)) {
        for _ in 0..64 {
            let Some(frame) = rx.peek() else { return };
            on_word(u64::from_le_bytes(frame[8..16].try_into().unwrap_or_default()));
            rx.release();
        }
    }
}

struct Rtrb;
impl Link for Rtrb {
    const NAME: &'static str = "rtrb";
    type Tx = rtrb::Producer<Message>;
    type Rx = rtrb::Consumer<Message>;

    fn link() -> (Self::Tx, Self::Rx) {
        rtrb::RingBuffer::new(CAPACITY.get())
    }

    fn try_send(tx: &mut Self::Tx, message: &Message) -> bool {
        tx.push(*message).is_ok()
    }

    fn receive(rx: &mut Self::Rx, mut on_word: impl FnMut(u64)) {
        for _ in 0..64 {
            let Ok(message) = rx.pop() else { return };
            on_word(message[0]);
        }
    }
}

struct Disruptor;
impl Link for Disruptor {
    const NAME: &'static str = "disruptor";
    type Tx = disruptor::SingleProducer<Message, disruptor::SingleConsumerBarrier>;
    type Rx = disruptor::EventPoller<Message, disruptor::SingleProducerBarrier>;

    fn link() -> (Self::Tx, Self::Rx) {
        let builder = disruptor::build_single_producer(CAPACITY.get(), || [0; 8], disruptor::BusySpin);
        let (rx, builder) = builder.event_poller();
        (builder.build(), rx)
    }

    fn try_send(tx: &mut Self::Tx, message: &Message) -> bool {
        use disruptor::Producer;
        tx.try_publish(|slot| *slot = *message).is_ok()
    }

    fn receive(rx: &mut Self::Rx, mut on_word: impl FnMut(u64)) {
        if let Ok(mut events) = rx.poll_take(64) {
            (&mut events).for_each(|message| on_word(message[0]));
        }
    }
}

/// The cores of the process, asked before any thread is pinned: afterwards a thread sees its own only.
fn cores() -> &'static [core_affinity::CoreId] {
    static CORES: OnceLock<Vec<core_affinity::CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Pins the calling thread; without a second core it stays where it is.
fn pin(index: usize) {
    if let Some(core) = cores().get(index) {
        core_affinity::set_for_current(*core);
    }
}

/// Two spinning threads need two cores: on one they would wait for each other's time slices.
fn has_two_cores() -> bool {
    cores().len() > 1
}

fn receive_one<L: Link>(rx: &mut L::Rx) -> u64 {
    let mut got = None;
    while got.is_none() {
        L::receive(rx, |word| got = Some(word));
    }
    got.unwrap_or_default()
}

/// Half round trips in clock ticks.
fn hops<L: Link>(clock: &Clock, trips: u64) -> Vec<u64> {
    let (mut ping_tx, mut ping_rx) = L::link();
    let (mut pong_tx, mut pong_rx) = L::link();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            for _ in 0..=trips {
                let word = receive_one::<L>(&mut ping_rx);
                while !L::try_send(&mut pong_tx, &[word; 8]) {}
            }
        });
        let mut trip = |word: u64| {
            let start = clock.raw();
            while !L::try_send(&mut ping_tx, &[word; 8]) {}
            assert_eq!(receive_one::<L>(&mut pong_rx), word);
            clock.raw() - start
        };
        trip(1); // both threads run
        (0..trips).map(|i| trip(i + 2) / 2).collect()
    })
}

/// Millions of messages per second: the median over chunks, from the consumer's side.
fn throughput<L: Link>(clock: &Clock, messages: u64) -> f64 {
    const CHUNK: u64 = 4096;
    let (mut tx, mut rx) = L::link();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            for word in 1..=messages {
                while !L::try_send(&mut tx, &[word; 8]) {
                    spin_loop();
                }
            }
        });
        let (mut seen, mut last, mut chunks) = (0, clock.raw(), Vec::new());
        while seen < messages {
            L::receive(&mut rx, |word| seen = black_box(word));
            if seen / CHUNK > chunks.len() as u64 {
                let now = clock.raw();
                chunks.push(clock.delta_as_nanos(last, now));
                last = now;
            }
        }
        chunks.sort_unstable();
        CHUNK as f64 * 1e3 / chunks[chunks.len() / 2].max(1) as f64
    })
}

struct Summary {
    median: f64,
}

/// Prints p50, p99, p99.9 and max of samples in ns.
fn print_row(name: &str, clock: &Clock, samples: &mut [u64], note: &str) -> Summary {
    samples.sort_unstable();
    let at = |part: f64| clock.delta_as_nanos(0, samples[((samples.len() - 1) as f64 * part) as usize]);
    println!(
        "{name:<30} p50 {:>6} ns  p99 {:>6}  p99.9 {:>7}  max {:>9}  n {:>8}  {note}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        samples.len()
    );
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4 + 1];
    let ticks = middle.iter().sum::<u64>() as f64 / middle.len() as f64;
    Summary { median: ticks }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn bench_hops(clock: &Clock, rounds: usize, trips: u64) {
    type Run = fn(&Clock, u64) -> Vec<u64>;
    let links: [(&str, Run); 5] = [
        (Line::NAME, hops::<Line>),
        (Spsc::NAME, hops::<Spsc>),
        (Frames::NAME, hops::<Frames>),
        (Rtrb::NAME, hops::<Rtrb>),
        (Disruptor::NAME, hops::<Disruptor>),
    ];
    let mut all: [Vec<u64>; 5] = Default::default();
    let mut ratios: [Vec<f64>; 5] = Default::default();
    for _ in 0..rounds {
        let mut floor = 1.0;
        for (index, (_, run)) in links.iter().enumerate() {
            let mut block = run(clock, trips);
            block.sort_unstable();
            let own = block[block.len() / 2] as f64;
            floor = if index == 0 { own } else { floor };
            ratios[index].push(own / floor);
            all[index].extend(block);
        }
    }
    for (index, (name, _)) in links.iter().enumerate() {
        let note = format!("{:.2} x line (median of {rounds} blocks)", median(&mut ratios[index]));
        print_row(&format!("ring/hop/{name}"), clock, &mut all[index], &note);
    }
}

fn bench_throughput(clock: &Clock, rounds: usize, messages: u64) {
    type Run = fn(&Clock, u64) -> f64;
    let links: [(&str, Run); 4] = [
        (Rtrb::NAME, throughput::<Rtrb>),
        (Disruptor::NAME, throughput::<Disruptor>),
        (Spsc::NAME, throughput::<Spsc>),
        (Frames::NAME, throughput::<Frames>),
    ];
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        links.iter().zip(&mut rates).for_each(|((_, run), rates)| rates.push(run(clock, messages)));
    }
    for ((name, _), rates) in links.iter().zip(&mut rates) {
        println!(
            "{:<30} {:>7.1} M messages/s (median of {rounds} blocks)",
            format!("ring/throughput/{name}"),
            median(rates)
        );
    }
}

fn bench_log(clock: &Clock, dir: &Path, count: usize) {
    let path = dir.join(format!("tercel-bench-log-{}", std::process::id()));
    let config = LogConfig {
        path: path.clone(),
        capacity: PowerOfTwo::at_least(64 << 20),
        epoch: 1,
        config_hash: 0,
        build_hash: 0,
    };
    let mut log = LogWriter::create(&config).expect("the bench log");
    println!("log at {}: {:?}", dir.display(), log.residency());
    for len in [64, 128, 704] {
        let mut frame = vec![7; len];
        frame[..4].copy_from_slice(&(len as u32).to_le_bytes());
        let mut floor = vec![1_u8; 64 << 20];
        let mut at = 0;
        let mut copy = |frame: &[u8]| {
            floor[at..at + frame.len()].copy_from_slice(frame);
            at = (at + frame.len()) % (floor.len() - 1024);
            black_box(&mut floor);
        };
        const BATCH: usize = 256;
        let (mut samples, mut batches) = (Vec::with_capacity(count), [Vec::new(), Vec::new()]);
        for _ in 0..count / BATCH {
            let start = clock.raw();
            (0..BATCH).for_each(|_| log.push(black_box(&frame)).expect("no reader holds the log"));
            let pushed = clock.raw();
            (0..BATCH).for_each(|_| copy(black_box(&frame)));
            let copied = clock.raw();
            batches[0].push((pushed - start) as f64 / BATCH as f64);
            batches[1].push((copied - pushed) as f64 / BATCH as f64);
        }
        for _ in 0..count {
            let start = clock.raw();
            log.push(black_box(&frame)).expect("no reader holds the log");
            samples.push(clock.raw() - start);
        }
        let per_tick = clock.delta_as_nanos(0, 1_000_000) as f64 / 1e6;
        let [push, copy] = batches.each_mut().map(|batch| median(batch) * per_tick);
        let lines = len.div_ceil(64) as f64;
        let note = format!(
            "batch mean {push:.2} ns = {:.2} per line, bare copy {copy:.2}, {:.2} x",
            push / lines,
            push / copy
        );
        print_row(&format!("log/push/{len}_bytes"), clock, &mut samples, &note);
    }
    let _ = std::fs::remove_file(path);
}

fn bench_journal(clock: &Clock, dir: &Path, count: u64) {
    let scratch = dir.join(format!("tercel-bench-journal-{}", std::process::id()));
    let lock = JournalLock::acquire(&scratch).expect("the bench journal");
    let config =
        WriterConfig { build_hash: 0, config_hash: 0, epoch: 1, segment_len_max: WriterConfig::SEGMENT_LEN_DEFAULT };
    let mut journal = SegmentWriter::open(lock, config).expect("the bench journal");
    let mut log = LogWriter::create(&LogConfig {
        path: scratch.join("log"),
        capacity: PowerOfTwo::at_least(16 << 20),
        epoch: 1,
        config_hash: 0,
        build_hash: 0,
    })
    .expect("the bench log");
    let mut reader = log.gating_reader("journal").expect("a first reader");
    let mut frame = FrameBuf::of(SourceId(3), 1, &Trade::default(), &[0; 40]);
    assert_eq!(frame.bytes().len(), 128);
    let mut raw = File::create(scratch.join("raw")).expect("the control's file");
    let block = vec![7_u8; 64 << 10];
    let (mut drains, mut writes, mut seq) = (Vec::new(), Vec::new(), 0);
    const BATCH: u64 = 4096;
    for round in 0..count / BATCH {
        for _ in 0..BATCH {
            seq += 1;
            frame.stamp(seq, TimeNs(0));
            log.push(frame.bytes()).expect("the reader keeps up");
        }
        let start = clock.raw();
        while let Some(bytes) = reader.peek().expect("an undamaged log") {
            journal.append(bytes).expect("the journal's disk");
            reader.advance();
        }
        journal.flush().expect("the journal's disk");
        reader.commit();
        let drained = clock.raw();
        let blocks = BATCH * 128 / block.len() as u64;
        (0..blocks).for_each(|_| raw.write_all(&block).expect("the control's disk"));
        let written = clock.raw();
        if round > 0 {
            drains.push((drained - start) / BATCH);
            writes.push((written - drained) / BATCH);
        }
    }
    let drain = print_row(
        &format!("journal/drain/{}", dir.display()),
        clock,
        &mut drains,
        "per 128-byte frame, batches of 4096",
    );
    let write = print_row(
        &format!("journal/raw_write/{}", dir.display()),
        clock,
        &mut writes,
        "per 128 bytes, blocks of 64 KiB",
    );
    println!("{:<30} {:.2} x raw writes", "journal/drain", drain.median / write.median);
    let _ = std::fs::remove_dir_all(scratch);
}

fn print_host(clock: &Clock) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1).map(str::to_owned));
    let cores = cores().len();
    println!("host: {}, {cores} cores, load {}", model.unwrap_or_default(), read("/proc/loadavg").trim());
    let mut steps: Vec<u64> = (0..100_000).map(|_| clock.raw().wrapping_neg().wrapping_add(clock.raw())).collect();
    steps.retain(|step| *step > 1);
    print_row("clock/step", clock, &mut steps, "back-to-back reads; its size and cost are in every sample below");
}

fn main() {
    let full = std::env::args().any(|arg| arg == "--bench");
    let (rounds, scale) = if full { (15, 1) } else { (1, 100) };
    let clock = Clock::new();
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let asked = |name: &str| name.contains(&filter);
    print_host(&clock);
    pin(0);
    if !has_two_cores() {
        println!("ring/hop, ring/throughput: left out, they need two cores");
    } else {
        if asked("ring/hop") {
            bench_hops(&clock, rounds, 40_000 / scale);
        }
        if asked("ring/throughput") {
            bench_throughput(&clock, rounds, 1_000_000 / scale);
        }
    }
    let shm = Path::new("/dev/shm");
    let memory = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
    if asked("log/push") {
        bench_log(&clock, &memory, 1_000_000 / scale as usize);
    }
    if asked("journal/drain") {
        bench_journal(&clock, &memory, 2_000_000 / scale);
        bench_journal(&clock, &std::env::temp_dir(), 2_000_000 / scale);
    }
}
