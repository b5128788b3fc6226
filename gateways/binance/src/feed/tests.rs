use super::*;
use crate::config::SocketConfig;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tercel_event::{BookDelta, BookSnapshot, FeedStatus, Frame, FrameKind, MAX_LEVELS};
use tercel_types::{Calendar, Decimal, FeeRates, InstrumentKind, Money, Qty};

const BTC: InstrumentId = InstrumentId(0);

/// What reached the core, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Status(FeedEvent),
    Snapshot(u64),
    Delta(u64),
    Bbo(u64),
    Trade(u64),
}

/// Takes `room` messages, then is full.
struct Io {
    room: usize,
    got: Vec<Got>,
    frames: Vec<Vec<u8>>,
    asked: usize,
}

impl Default for Io {
    fn default() -> Self {
        Self { room: usize::MAX, got: Vec::new(), frames: Vec::new(), asked: 0 }
    }
}

impl FeedIo for Io {
    fn push(&mut self, frames: &[u8]) -> Result<(), RingFull> {
        self.room = self.room.checked_sub(1).ok_or(RingFull)?;
        for bytes in frames_of(frames) {
            let frame = Frame::parse(bytes).unwrap();
            self.frames.push(bytes.to_vec());
            if frame.has_more() {
                continue;
            }
            self.got.push(match frame.kind().unwrap() {
                FrameKind::FeedStatus => {
                    let status: FeedStatus = frame.body().unwrap();
                    Got::Status(FeedEvent::from_code(status.event).unwrap())
                }
                FrameKind::BookSnapshot => Got::Snapshot(frame.body::<BookSnapshot>().unwrap().last_update_id),
                FrameKind::BookDelta => Got::Delta(frame.body::<BookDelta>().unwrap().last_update_id),
                FrameKind::Bbo => Got::Bbo(frame.body::<Bbo>().unwrap().update_id),
                FrameKind::Trade => Got::Trade(frame.body::<tercel_event::Trade>().unwrap().trade_id),
                kind => panic!("{kind:?}"),
            });
        }
        Ok(())
    }

    fn request_snapshot(&mut self, instrument: InstrumentId) {
        assert_eq!(instrument, BTC);
        self.asked += 1;
    }
}

fn instruments() -> Instruments {
    Instruments(vec![Instrument {
        id: BTC,
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

/// Socket 0 carries depth, socket 1 quotes and trades.
fn machine(buffer_len: usize) -> FeedMachine {
    let socket = |streams: &[&str]| SocketConfig {
        ws_url: "ws://localhost/stream".into(),
        streams: streams.iter().map(|s| format!("btcusdt@{s}")).collect(),
    };
    let config = FeedConfig {
        rest_url: "http://localhost/depth".into(),
        sockets: vec![socket(&["depth@0ms"]), socket(&["bookTicker", "trade"])],
        buffer_len,
        ..FeedConfig::default()
    };
    FeedMachine::new(&config, &instruments())
}

/// Drives a machine with a clock that the test sets.
struct Rig {
    machine: FeedMachine,
    io: Io,
    ms: i64,
}

impl Rig {
    fn new() -> Self {
        Self { machine: machine(1 << 16), io: Io::default(), ms: 1_000_000 }
    }

    /// Connected, snapshot 100 linked, live at 105.
    fn live() -> Self {
        let mut rig = Self::new();
        rig.connect();
        rig.depth(98, 102, 95);
        rig.depth(103, 105, 102);
        rig.snapshot(100);
        assert!(rig.machine.is_live(BTC));
        rig.io.got.clear();
        rig
    }

    fn now(&self) -> Now {
        Now { engine: TimeNs::from_millis(self.ms), wall: TimeNs::from_millis(self.ms) }
    }

    fn connect(&mut self) {
        let now = self.now();
        self.machine.on_connected(0, now, &mut self.io);
        self.machine.on_connected(1, now, &mut self.io);
    }

    fn message(&mut self, socket: usize, text: &str) {
        let now = self.now();
        let received = Received { bytes: text.as_bytes(), ts_user: now.engine, ts_kernel: None };
        self.machine.on_message(socket, received, now, &mut self.io);
    }

    fn depth(&mut self, first: u64, last: u64, prev: u64) {
        self.message(0, &depth_text(first, last, prev, 1));
    }

    fn snapshot(&mut self, id: u64) {
        let text =
            format!(r#"{{"lastUpdateId":{id},"E":1,"T":1,"bids":[["10.0","1.000"]],"asks":[["10.1","2.000"]]}}"#);
        let now = self.now();
        let received = Received { bytes: text.as_bytes(), ts_user: now.engine, ts_kernel: None };
        self.machine.on_snapshot(BTC, Some(received), now, &mut self.io);
    }

    fn time(&mut self, ms: i64) {
        self.ms += ms;
        let now = self.now();
        self.machine.on_time(now, &mut self.io);
    }

    fn took(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.io.got)
    }
}

fn depth_text(first: u64, last: u64, prev: u64, levels: usize) -> String {
    let mut bids = String::new();
    for at in 0..levels {
        let comma = if at > 0 { "," } else { "" };
        write!(bids, "{comma}[\"{}.{}\",\"1.000\"]", at / 10, at % 10).unwrap();
    }
    format!(r#"{{"e":"depthUpdate","E":5,"T":5,"s":"BTCUSDT","U":{first},"u":{last},"pu":{prev},"b":[{bids}],"a":[]}}"#)
}

use FeedEvent::{Connected, Disconnected, Gap, Malformed as Bad, Overflow, Recovered, Recovering};
use Got::{Delta, Snapshot, Status};

#[test]
fn a_book_starts_with_the_snapshot_and_the_messages_that_it_links_to() {
    let mut rig = Rig::new();
    rig.connect();
    rig.depth(90, 94, 89);
    rig.depth(95, 97, 94);
    rig.depth(98, 102, 97);
    rig.depth(104, 105, 102);
    assert_eq!(rig.took(), [Status(Connected), Status(Recovering)]);
    assert_eq!(rig.io.asked, 1, "asked once, with the first message");
    rig.snapshot(100);
    rig.depth(106, 106, 105);
    assert_eq!(rig.took(), [Snapshot(100), Delta(102), Delta(105), Status(Recovered), Delta(106)]);
    assert_eq!(rig.machine.counters().recoveries, 1);
    let numbers: Vec<u64> = rig.io.frames.iter().map(|f| Frame::parse(f).unwrap().header.src_seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "frames are numbered without holes");
}

#[test]
fn a_snapshot_may_come_before_the_first_message_or_fall_between_two() {
    let mut rig = Rig::new();
    rig.connect();
    rig.time(1_000);
    assert_eq!(rig.io.asked, 1, "a quiet stream does not keep the book from starting");
    rig.snapshot(100);
    assert!(!rig.machine.is_live(BTC));
    rig.depth(90, 99, 80);
    rig.depth(101, 102, 99);
    assert_eq!(rig.took(), [Status(Connected), Status(Recovering), Snapshot(100), Delta(102), Status(Recovered)]);
}

#[test]
fn a_snapshot_older_than_the_buffer_is_asked_for_again_with_growing_waits() {
    let mut rig = Rig::new();
    rig.connect();
    rig.depth(103, 105, 102);
    for (round, wait) in [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000].into_iter().enumerate() {
        assert_eq!(rig.io.asked, round + 1);
        rig.snapshot(100);
        rig.time(wait - 1);
        assert_eq!(rig.io.asked, round + 1, "not before {wait} ms");
        rig.time(1);
    }
    rig.snapshot(104);
    assert!(rig.machine.is_live(BTC));
    assert_eq!(rig.machine.counters().snapshots_old, 8);
    assert_eq!(rig.took()[..2], [Status(Connected), Status(Recovering)]);
}

#[test]
fn a_failed_or_malformed_snapshot_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.connect();
    rig.depth(98, 102, 95);
    let now = rig.now();
    rig.machine.on_snapshot(BTC, None, now, &mut rig.io);
    rig.time(250);
    assert_eq!(rig.io.asked, 2);
    let bad = Received { bytes: br#"{"code":-1003,"msg":"Too many requests"}"#, ts_user: now.engine, ts_kernel: None };
    rig.machine.on_snapshot(BTC, Some(bad), now, &mut rig.io);
    rig.time(500);
    assert_eq!(rig.io.asked, 3);
    rig.snapshot(100);
    assert!(rig.machine.is_live(BTC));
    assert_eq!((rig.machine.counters().snapshots_failed, rig.machine.counters().malformed), (2, 1));
}

#[test]
fn a_gap_rebuilds_the_book_from_the_message_that_showed_it() {
    let mut rig = Rig::live();
    rig.ms += 20_000;
    rig.depth(110, 112, 109);
    rig.depth(113, 115, 112);
    assert_eq!(rig.took(), [Status(Gap), Status(Recovering)]);
    let gap = rig
        .io
        .frames
        .iter()
        .map(|f| Frame::parse(f).unwrap())
        .rfind(|f| f.body::<FeedStatus>().is_ok_and(|s| s.event == Gap as u8));
    let gap: FeedStatus = gap.unwrap().body().unwrap();
    assert_eq!((gap.expected, gap.found), (105, 109));
    rig.snapshot(111);
    assert_eq!(rig.took(), [Snapshot(111), Delta(112), Delta(115), Status(Recovered)]);
    assert_eq!((rig.machine.counters().gaps, rig.machine.counters().resyncs), (1, 1));
}

#[test]
fn a_gap_in_the_buffer_is_never_bridged_by_an_older_snapshot() {
    let mut rig = Rig::new();
    rig.connect();
    rig.depth(98, 102, 95);
    rig.depth(110, 112, 109);
    rig.snapshot(100);
    assert!(!rig.machine.is_live(BTC));
    assert_eq!((rig.machine.counters().gaps, rig.machine.counters().snapshots_old), (1, 1));
    rig.time(250);
    rig.snapshot(111);
    assert_eq!(rig.took(), [Status(Connected), Status(Recovering), Snapshot(111), Delta(112), Status(Recovered)]);
}

#[test]
fn old_and_doubled_messages_are_dropped_and_counted() {
    let mut rig = Rig::live();
    rig.depth(103, 105, 102);
    rig.depth(98, 102, 95);
    rig.depth(106, 107, 105);
    rig.depth(106, 107, 105);
    assert_eq!(rig.took(), [Delta(107)]);
    assert_eq!(rig.machine.counters().depths_old, 3);
    assert_eq!(rig.machine.counters().gaps, 0);
}

#[test]
fn losing_the_depth_socket_takes_the_book_away_until_it_is_rebuilt() {
    let mut rig = Rig::live();
    let now = rig.now();
    rig.machine.on_disconnected(1, now, &mut rig.io);
    assert_eq!(rig.took(), [], "quotes and trades may go without the book");
    rig.machine.on_disconnected(0, now, &mut rig.io);
    rig.depth(106, 107, 105);
    assert_eq!(rig.took(), [Status(Disconnected)]);
    assert_eq!(rig.machine.counters().depths_unexpected, 1);
    rig.ms += 500;
    rig.connect();
    rig.depth(5, 9, 3);
    rig.snapshot(7);
    assert_eq!(
        rig.took(),
        [Status(Connected), Status(Recovering), Snapshot(7), Delta(9), Status(Recovered)],
        "ids may start anew after a reconnect"
    );
}

#[test]
fn a_malformed_message_costs_the_book_unless_it_was_no_depth() {
    let mut rig = Rig::live();
    rig.message(1, r#"{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":7,"p":"10.05","q":"1","X":"MARKET","m":true}"#);
    rig.message(1, "garbage");
    assert_eq!(rig.took(), [], "socket 1 carries no depth");
    rig.message(0, r#"{"e":"bookTicker","u":"x","s":"BTCUSDT"}"#);
    assert_eq!(rig.took(), []);
    rig.ms += 20_000;
    rig.message(0, "{\"e\":\"depthUpdate\",");
    assert_eq!(rig.took(), [Status(Bad), Status(Recovering)]);
    assert_eq!(rig.machine.counters().malformed, 4);
    rig.ms += 10_000;
    rig.time(0);
    rig.depth(106, 109, 105);
    rig.snapshot(108);
    assert_eq!(rig.took(), [Snapshot(108), Delta(109), Status(Recovered)]);
}

#[test]
fn the_core_may_ask_for_a_new_book() {
    let mut rig = Rig::live();
    let mut command: Command = bytemuck::Zeroable::zeroed();
    command.kind = CommandKind::Resync as u8;
    command.instrument = BTC;
    rig.ms += 20_000;
    let now = rig.now();
    rig.machine.on_command(&command, now, &mut rig.io);
    rig.machine.on_command(&command, now, &mut rig.io);
    assert_eq!(rig.took(), [Status(Recovering)]);
    assert_eq!(rig.machine.counters().resyncs_idle, 1);
    rig.depth(106, 109, 105);
    rig.snapshot(107);
    assert_eq!(rig.took(), [Snapshot(107), Delta(109), Status(Recovered)]);
}

#[test]
fn a_full_ring_drops_whole_messages_and_rebuilds_the_book() {
    let mut rig = Rig::live();
    rig.io.room = 0;
    rig.depth(106, 107, 105);
    rig.depth(108, 109, 107);
    rig.message(1, r#"{"e":"bookTicker","u":200,"s":"BTCUSDT","b":"10.0","B":"1","a":"10.1","A":"1","T":1,"E":1}"#);
    assert_eq!(rig.took(), []);
    rig.io.room = usize::MAX;
    rig.ms += 10_000;
    assert_eq!(rig.machine.next_deadline(), Some(TimeNs::MIN), "statuses wait for room");
    rig.time(0);
    rig.depth(110, 111, 109);
    assert_eq!(rig.took(), [Status(Overflow), Status(Recovering)]);
    rig.snapshot(110);
    assert_eq!(rig.took(), [Snapshot(110), Delta(111), Status(Recovered)]);
    assert_eq!(rig.machine.counters().ring_full, 2, "the message of the fault and the quote; the next was buffered");
}

#[test]
fn a_small_ring_takes_a_recovery_piece_by_piece() {
    let mut rig = Rig::new();
    rig.connect();
    for at in 0..20 {
        rig.depth(100 + at, 100 + at, 99 + at);
    }
    rig.io.room = 0;
    rig.snapshot(105);
    rig.depth(120, 120, 119);
    assert!(!rig.machine.is_live(BTC));
    for _ in 0..30 {
        rig.io.room = 1;
        rig.time(1);
    }
    assert!(rig.machine.is_live(BTC));
    let mut want = vec![Status(Connected), Status(Recovering), Snapshot(105)];
    want.extend((105..=120).map(Delta));
    want.push(Status(Recovered));
    assert_eq!(rig.took(), want);
    assert_eq!((rig.machine.counters().ring_full, rig.machine.counters().resyncs), (0, 0));
}

#[test]
fn a_full_buffer_starts_over_with_the_newest_message() {
    let mut rig = Rig::new();
    rig.connect();
    let last = 1_000;
    for at in 1..=last {
        rig.depth(at, at, at - 1);
    }
    assert!(rig.machine.counters().buffered_dropped > 0);
    rig.snapshot(last);
    assert!(rig.machine.is_live(BTC));
    assert_eq!(rig.took().last(), Some(&Status(Recovered)));
}

#[test]
fn a_message_beyond_one_frame_goes_in_parts_with_more() {
    let mut rig = Rig::live();
    let levels = 2 * MAX_LEVELS + 5;
    rig.io.frames.clear();
    rig.message(0, &depth_text(106, 107, 105, levels));
    let frames: Vec<_> = rig.io.frames.iter().map(|f| Frame::parse(f).unwrap()).collect();
    assert_eq!(frames.iter().map(|f| f.has_more()).collect::<Vec<_>>(), [true, true, false]);
    let mut prices = Vec::new();
    for frame in &frames {
        let (head, parts) = frame.book_delta().unwrap();
        assert_eq!((head.last_update_id, head.asks_count), (107, 0));
        prices.extend(parts.bids().map(|l| l.px.0));
    }
    assert_eq!(prices, (0..levels as i64).collect::<Vec<_>>());
}

#[test]
fn quotes_go_forward_only_and_missing_trades_are_counted() {
    let mut rig = Rig::live();
    for id in [10, 12, 11, 12, 13] {
        let text =
            format!(r#"{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"10.0","B":"1","a":"10.1","A":"1","T":1,"E":1}}"#);
        rig.message(1, &text);
    }
    for (id, qty) in [(5, "1"), (6, "0"), (9, "1"), (9, "1"), (8, "1"), (10, "1")] {
        let text = format!(
            r#"{{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":{id},"p":"10.0","q":"{qty}","X":"MARKET","m":false}}"#
        );
        rig.message(1, &text);
    }
    use Got::Trade;
    assert_eq!(rig.took(), [Got::Bbo(10), Got::Bbo(12), Got::Bbo(13), Trade(5), Trade(9), Trade(10)]);
    let counters = rig.machine.counters();
    assert_eq!((counters.book_tickers_old, counters.trades_old), (2, 2));
    assert_eq!((counters.trades_missing, counters.trades_empty), (2, 1));
}

/// The venue of the property test: a book of numbered updates, from which messages and snapshots are cut.
struct Venue {
    /// Price to quantity after update id i, by i.
    history: Vec<BTreeMap<i64, i64>>,
    messages: Vec<Cut>,
}

/// `U`, `u`, `pu` and the changes of one message.
type Cut = (u64, u64, u64, Vec<(i64, i64)>);

fn venue(changes: &[(i64, i64)], cuts: &[usize]) -> Venue {
    let mut history = vec![BTreeMap::new()];
    let (mut messages, mut from, mut prev) = (Vec::new(), 1u64, 0u64);
    let mut cuts = cuts.iter().cycle();
    let mut left = *cuts.next().unwrap();
    for (idx, &(px, qty)) in changes.iter().enumerate() {
        let mut book: BTreeMap<i64, i64> = history[idx].clone();
        if qty == 0 {
            book.remove(&px)
        } else {
            book.insert(px, qty)
        };
        history.push(book);
        left -= 1;
        if left == 0 || idx + 1 == changes.len() {
            let last = idx as u64 + 1;
            let levels = changes[from as usize - 1..=idx].to_vec();
            messages.push((from, last, prev, levels));
            (from, prev) = (last + 1, last);
            left = *cuts.next().unwrap();
        }
    }
    Venue { history, messages }
}

fn bids(levels: impl Iterator<Item = (i64, i64)>) -> String {
    levels.map(|(px, qty)| format!("[\"{px}.0\",\"{qty}.000\"]")).collect::<Vec<_>>().join(",")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is lost, doubled, reordered or refused, and whenever snapshots come: every book that is said to be
    /// whole is the venue's book at the update id that it stands at.
    #[test]
    fn a_recovered_book_is_the_venues_book_prop(
        changes in prop::collection::vec((0i64..12, 0i64..5), 30..120),
        cuts in prop::collection::vec(1usize..4, 1..8),
        faults in prop::collection::vec(0u8..20, 200),
    ) {
        let venue = venue(&changes, &cuts);
        let mut rig = Rig::new();
        rig.connect();
        let mut faults = faults.into_iter().cycle();
        let mut answered = 0;
        let (mut book, mut whole, mut at, mut taken) = (BTreeMap::new(), false, 0u64, 0usize);
        for (idx, (first, last, prev, levels)) in venue.messages.iter().enumerate() {
            let text = format!(
                r#"{{"e":"depthUpdate","E":5,"T":5,"s":"BTCUSDT","U":{first},"u":{last},"pu":{prev},"b":[{}],"a":[]}}"#,
                bids(levels.iter().copied())
            );
            match faults.next().unwrap() {
                0 => {}
                1 => { rig.message(0, &text); rig.message(0, &text); }
                2 => rig.message(0, &text[..text.len() / 2]),
                3 => { rig.io.room = 0; rig.message(0, &text); rig.io.room = usize::MAX; }
                4 => {
                    let now = rig.now();
                    rig.machine.on_disconnected(0, now, &mut rig.io);
                    rig.connect();
                    rig.message(0, &text);
                }
                5 => { rig.io.room = 1; rig.message(0, &text); }
                _ => { rig.io.room = usize::MAX; rig.message(0, &text); }
            }
            rig.time(i64::from(faults.next().unwrap()) * 200);
            if rig.io.asked > answered && faults.next().unwrap() > 4 {
                // A snapshot of some moment up to now; now and then it fails.
                answered = rig.io.asked;
                let back = u64::from(faults.next().unwrap()) / 2;
                let id = venue.messages[idx].1.saturating_sub(back);
                if back == 3 {
                    let now = rig.now();
                    rig.machine.on_snapshot(BTC, None, now, &mut rig.io);
                } else {
                    let levels = bids(venue.history[id as usize].iter().map(|(px, qty)| (*px, *qty)));
                    let text = format!(r#"{{"lastUpdateId":{id},"bids":[{levels}],"asks":[]}}"#);
                    let now = rig.now();
                    let received = Received { bytes: text.as_bytes(), ts_user: now.engine, ts_kernel: None };
                    rig.machine.on_snapshot(BTC, Some(received), now, &mut rig.io);
                }
            }
            for bytes in &rig.io.frames[taken..] {
                let frame = Frame::parse(bytes).unwrap();
                if let Ok((head, levels)) = frame.book_snapshot() {
                    book = levels.bids().map(|l| (l.px.0 / 10, l.qty.0 / 1_000)).collect();
                    (whole, at) = (false, head.last_update_id);
                } else if let Ok((head, levels)) = frame.book_delta() {
                    for level in levels.bids() {
                        let (px, qty) = (level.px.0 / 10, level.qty.0 / 1_000);
                        if qty == 0 { book.remove(&px) } else { book.insert(px, qty) };
                    }
                    at = head.last_update_id;
                } else if let Ok(status) = frame.body::<FeedStatus>() {
                    match FeedEvent::from_code(status.event) {
                        Some(FeedEvent::Recovered) => whole = true,
                        Some(FeedEvent::Alive) => {}
                        _ => whole = false,
                    }
                }
                if whole {
                    prop_assert_eq!(&book, &venue.history[at as usize], "at {}", at);
                }
            }
            taken = rig.io.frames.len();
        }
    }
}

#[test]
fn every_byte_string_is_survived_fuzz() {
    let mut rig = Rig::live();
    let good =
        [depth_text(106, 107, 105, 3), r#"{"stream":"x","data":{"e":"trade"}}"#.into(), "{}".into(), String::new()];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut bytes = good[(state >> 40) as usize % good.len()].clone().into_bytes();
        if let Some(at) = (!bytes.is_empty()).then(|| (state >> 20) as usize % bytes.len()) {
            bytes[at] = state as u8;
            bytes.truncate(at.max((state >> 50) as usize % (bytes.len() + 1)));
        }
        rig.ms += 1;
        let now = rig.now();
        let received = Received { bytes: &bytes, ts_user: now.engine, ts_kernel: None };
        match state >> 61 {
            0 => rig.machine.on_snapshot(BTC, Some(received), now, &mut rig.io),
            1 => rig.machine.on_snapshot(BTC, None, now, &mut rig.io),
            _ => rig.machine.on_message((state >> 8) as usize % 3, received, now, &mut rig.io),
        }
        rig.time(0);
        rig.io.got.clear();
        rig.io.frames.clear();
    }
    assert!(rig.machine.counters().malformed > 1_000);
}
