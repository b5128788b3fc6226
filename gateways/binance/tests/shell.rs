//! The shell over real sockets, plain and TLS, against a venue that loses messages, sends garbage, cuts connections, falls
//! silent and refuses snapshots: every book that is said to be whole is the venue's.
mod venue;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tercel_binance::{FeedConfig, FeedCounters, FeedShell, SocketConfig};
use tercel_event::{Bbo, BookDelta, FeedEvent, FeedStatus, Frame};
use tercel_net::WallClock;
use tercel_ring::{FrameConsumer, PowerOfTwo, frames};
use tercel_types::{
    Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money, Qty, TimeNs,
};
use venue::{Fault, Venue, qty_after};

fn instruments() -> Instruments {
    Instruments(vec![Instrument {
        id: InstrumentId(0),
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::ZERO,
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    }])
}

fn config(venue: &Venue) -> FeedConfig {
    let socket = |streams: &[&str]| SocketConfig {
        ws_url: venue.ws_url.clone(),
        streams: streams.iter().map(|s| format!("btcusdt@{s}")).collect(),
    };
    FeedConfig {
        rest_url: venue.rest_url.clone(),
        sockets: vec![socket(&["depth@0ms"]), socket(&["bookTicker", "trade"])],
        ca_file: venue.ca_file.clone(),
        backoff_ms_min: 5,
        backoff_ms_max: 50,
        first_depth_wait_ms: 50,
        silence_ms_max: 400,
        connect_timeout_ms: 2_000,
        ..FeedConfig::default()
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

fn shell(config: &FeedConfig) -> (FeedShell<tercel_ring::FrameProducer>, FrameConsumer, Lines) {
    assert_eq!(config.validate(&instruments()), []);
    let (producer, consumer) = frames(PowerOfTwo::at_least(1 << 20));
    let lines = Lines::default();
    let log = Arc::clone(&lines);
    let log = Box::new(move |line: &dyn std::fmt::Display| log.lock().unwrap().push(line.to_string()));
    (FeedShell::new(config, &instruments(), producer, Arc::new(WallClock), log).unwrap(), consumer, lines)
}

/// Reads the ring as the core would and checks the book whenever it is said to be whole.
#[derive(Default)]
struct Reader {
    src_seq: u64,
    qty: i64,
    at: u64,
    whole: bool,
    statuses: Vec<FeedEvent>,
    deltas_whole: u64,
    quotes: u64,
    kernel_stamps: u64,
}

impl Reader {
    fn drain(&mut self, ring: &mut FrameConsumer) {
        while let Some(bytes) = ring.peek() {
            let frame = Frame::parse(bytes).unwrap();
            self.src_seq += 1;
            assert_eq!(frame.header.src_seq, self.src_seq, "frames are numbered without holes");
            self.apply(&frame);
            ring.release();
        }
    }

    fn apply(&mut self, frame: &Frame<'_>) {
        if let Ok((head, levels)) = frame.book_snapshot() {
            self.qty = levels.bids().next().unwrap().qty.0;
            self.at = head.last_update_id / 10;
        } else if let Ok((head, levels)) = frame.book_delta() {
            assert!(head.prev_update_id / 10 <= self.at, "a hole between {} and {}", self.at, head.last_update_id / 10);
            self.stamps(&head);
            self.qty = levels.bids().next().unwrap().qty.0;
            self.at = head.last_update_id / 10;
            self.deltas_whole += u64::from(self.whole);
        } else if let Ok(status) = frame.body::<FeedStatus>() {
            let event = FeedEvent::from_code(status.event).unwrap();
            self.whole = event == FeedEvent::Recovered || (self.whole && event == FeedEvent::Alive);
            self.statuses.push(event);
        } else if frame.body::<Bbo>().is_ok() {
            self.quotes += 1;
        }
        if self.whole {
            assert_eq!(self.qty, qty_after(self.at), "the book at message {} is not the venue's", self.at);
        }
    }

    fn stamps(&mut self, head: &BookDelta) {
        assert!(head.ts_recv <= head.ts_user && head.ts_recv > TimeNs(0), "{head:?}");
        self.kernel_stamps += u64::from(head.ts_recv != head.ts_user);
    }

    fn count(&self, event: FeedEvent) -> usize {
        self.statuses.iter().filter(|e| **e == event).count()
    }
}

/// Steps until `done` or 15 s have passed.
fn run(
    shell: &mut FeedShell<tercel_ring::FrameProducer>,
    ring: &mut FrameConsumer,
    reader: &mut Reader,
    lines: &Lines,
    done: impl Fn(&Reader, &FeedCounters) -> bool,
) {
    let end = Instant::now() + Duration::from_secs(15);
    while !done(reader, shell.counters()) {
        if shell.step() == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        reader.drain(ring);
        assert!(
            Instant::now() < end,
            "not done in time: {:?}\n{:?}\n{:#?}",
            shell.counters(),
            reader.statuses,
            lines.lock().unwrap()
        );
    }
}

fn survives_every_fault(tls: bool) {
    let faults = [
        (40, Fault::Ping),
        (60, Fault::Lose),
        (120, Fault::Garbage),
        (180, Fault::Cut),
        (240, Fault::RestFails(3)),
        (241, Fault::Lose),
        (300, Fault::Close),
        (360, Fault::Silence(600)),
    ];
    let venue = Venue::start(tls, &faults);
    let (mut shell, mut ring, lines) = shell(&config(&venue));
    let mut reader = Reader::default();
    run(&mut shell, &mut ring, &mut reader, &lines, |reader, _| reader.whole && reader.at >= 420);
    let counters = *shell.counters();
    let lines = lines.lock().unwrap().join("\n");
    assert!(counters.gaps >= 2, "{counters:?}\n{lines}");
    assert_eq!(counters.malformed, 1, "{counters:?}\n{lines}");
    assert!(counters.disconnects >= 3, "cut, close and silence: {counters:?}\n{lines}");
    assert!(counters.snapshots_failed >= 1, "{counters:?}\n{lines}");
    assert!(counters.recoveries >= 6, "{counters:?}\n{lines}");
    assert_eq!(counters.ring_full + counters.statuses_dropped, 0);
    assert!(reader.deltas_whole > 100 && reader.quotes > 10, "{counters:?}");
    assert!(reader.count(FeedEvent::Alive) >= 1 && venue.pongs() >= 1, "the ping is answered and reported");
    for said in ["connected", "nothing heard for", "429", "first malformed message: byte"] {
        assert!(lines.contains(said), "the log does not say `{said}`:\n{lines}");
    }
    let urls = venue.urls();
    assert!(urls.iter().any(|u| u == "/stream?streams=btcusdt@depth@0ms"), "{urls:?}");
    assert!(urls.iter().any(|u| u == "/stream?streams=btcusdt@bookTicker/btcusdt@trade"), "{urls:?}");
    assert!(urls.iter().any(|u| u == "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"), "{urls:?}");
    println!(
        "tls {tls}: {} messages, {} gaps, {} disconnects, {} recoveries, kernel stamps on {} of the deltas",
        counters.messages, counters.gaps, counters.disconnects, counters.recoveries, reader.kernel_stamps
    );
    shell.close();
    reader.drain(&mut ring);
    assert_eq!(reader.statuses.last(), Some(&FeedEvent::Disconnected));
}

#[test]
fn the_feed_survives_every_fault_over_plain_sockets() {
    survives_every_fault(false);
}

#[test]
fn the_feed_survives_every_fault_over_tls() {
    survives_every_fault(true);
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (venue, other) = (Venue::start(true, &[]), Venue::start(true, &[]));
    let config = FeedConfig { ca_file: other.ca_file.clone(), ..config(&venue) };
    let (mut shell, mut ring, lines) = shell(&config);
    let mut reader = Reader::default();
    let refused = Arc::clone(&lines);
    run(&mut shell, &mut ring, &mut reader, &lines, |_, _| {
        refused.lock().unwrap().iter().any(|line| line.contains("TLS with") && line.contains("certificate"))
    });
    assert_eq!(reader.src_seq, 0, "nothing reaches the core");
}

#[test]
fn a_resync_command_rebuilds_a_live_book() {
    let venue = Venue::start(false, &[]);
    let (mut shell, mut ring, lines) = shell(&config(&venue));
    let mut reader = Reader::default();
    run(&mut shell, &mut ring, &mut reader, &lines, |reader, _| reader.whole && reader.at > 20);
    let mut command: tercel_event::Command = bytemuck::Zeroable::zeroed();
    command.kind = tercel_event::CommandKind::Resync as u8;
    shell.on_command(&command);
    run(&mut shell, &mut ring, &mut reader, &lines, |reader, counters| reader.whole && counters.recoveries == 2);
    assert_eq!(shell.counters().resyncs, 1);
}

#[test]
fn a_ring_too_small_for_one_message_never_blocks_the_feed() {
    let venue = Venue::start(false, &[]);
    let config = config(&venue);
    let (producer, mut ring) = frames(PowerOfTwo::at_least(1 << 10));
    let mut shell = FeedShell::new(&config, &instruments(), producer, Arc::new(WallClock), Box::new(|_| {})).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    // Nobody reads: the ring fills, messages are dropped and counted, and the thread goes on.
    while shell.counters().ring_full < 50 {
        shell.step();
        assert!(Instant::now() < end, "{:?}", shell.counters());
    }
    // Then somebody reads again, and the book comes back by itself.
    let mut reader = Reader::default();
    while !(reader.whole && reader.deltas_whole > 20) {
        shell.step();
        reader.drain(&mut ring);
        assert!(Instant::now() < end, "{:?} {:?}", shell.counters(), reader.statuses);
    }
    assert!(reader.count(FeedEvent::Recovered) >= 1);
}
