//! One matcher everywhere: a live venue, a backtest told where the live requests arrived, and a backtest fed with frames
//! come to the same executions.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tercel_event::{
    Bbo, BookDelta, BookSnapshot, Command, CommandKind, ExecReport, Frame, FrameBuf, FrameKind, Level, MassStatusEnd,
    OrdType, SessionEvent, SessionStatus, Tif, Trade, sources,
};
use tercel_fix::{MemoryStore, StampCache};
use tercel_net::SendError;
use tercel_sim::{ClientId, Exchange, ExchangeConfig, Latency, QueueModel, SimConfig, SimExchange};
use tercel_types::{ClOrdId, DurationNs, InstrumentId, Price, Qty, Side, TimeNs};
use tercel_venue::{
    ApplyCounters, ConnId, Fault, Recording, Start, VenueConfig, VenueCore, VenueIo, VenueLog, arrivals_of,
    btcusdt_perp,
};

fn slice() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/btcusdt_usdm_20240808.jsonts.gz")
}

fn recording() -> Arc<Recording> {
    Arc::new(Recording::open(&slice()).unwrap())
}

/// A UTC time at which the recording starts.
const START: TimeNs = TimeNs(1_800_000_000_000_000_000);

#[derive(Default)]
struct Wires {
    fix: Vec<u8>,
    data: Vec<(ConnId, Vec<u8>)>,
    closed: Vec<ConnId>,
    fix_closed: bool,
}

impl VenueIo for Wires {
    fn data(&mut self, conn: ConnId, text: &[u8]) {
        self.data.push((conn, text.to_vec()));
    }
    fn close_data(&mut self, conn: ConnId) {
        self.closed.push(conn);
    }
    fn fix(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        self.fix.extend_from_slice(bytes);
        Ok(START)
    }
    fn close_fix(&mut self) {
        self.fix_closed = true;
    }
}

fn core(adjust: impl FnOnce(&mut VenueConfig)) -> VenueCore {
    let mut config = VenueConfig::new(slice(), btcusdt_perp(), PathBuf::new());
    config.start = Start::At(START);
    adjust(&mut config);
    VenueCore::new(&config, recording(), Box::new(MemoryStore::new()), VenueLog::in_memory(), START).unwrap()
}

/// A client's message, written out by hand.
fn message(seq: u32, wall: TimeNs, msg_type: &str, body: &str) -> Vec<u8> {
    let stamp = String::from_utf8(StampCache::default().render(wall).to_vec()).unwrap();
    let body = format!("35={msg_type}|34={seq}|49=TERCEL|56=VENUE|52={stamp}|{body}").replace('|', "\x01");
    let head = format!("8=FIX.4.4\x019={}\x01", body.len());
    let sum: u32 = head.bytes().chain(body.bytes()).map(u32::from).sum();
    format!("{head}{body}10={:03}\x01", sum % 256).into_bytes()
}

fn id(counter: u64) -> ClOrdId {
    ClOrdId::new(1, 0, counter).unwrap()
}

#[test]
fn before_the_start_engine_time_is_wall_time_at_any_speed() {
    let mut core = core(|config| config.speed = 4);
    let (mut io, early) = (Wires::default(), TimeNs(START.0 - 2_000_000_000));
    core.fix_connected(early, &mut io);
    core.fix_received(&message(1, early, "A", "98=0|108=30|"), early, &mut io);
    core.fix_received(&message(2, early, "AF", "584=M1|585=7|"), early, &mut io);
    let late = TimeNs(START.0 + 1_000_000_000);
    core.fix_received(&message(3, late, "AF", "584=M2|585=7|"), late, &mut io);
    let log = std::str::from_utf8(core.orders_text()).unwrap();
    let arrivals = arrivals_of(log).unwrap();
    let times: Vec<i64> = arrivals.iter().map(|arrival| arrival.ts.0 - START.0).collect();
    assert_eq!(times, [-2_000_000_000, 4_000_000_000], "{log}");
}

/// A schedule of requests that rest, take, replace and cancel around the market of the recording, one every 40 ms.
fn requests(recording: &Recording) -> Vec<(TimeNs, Command)> {
    let mut exchange = Exchange::new(&[btcusdt_perp()], ExchangeConfig::default());
    let mut counters = ApplyCounters::default();
    recording.prime(&mut exchange, InstrumentId(0), 0, &mut counters).unwrap();
    let mut requests = Vec::new();
    let mut next = recording.first_played();
    let (mut counter, mut last) = (0, 0);
    for at in 0..400 {
        let offset = 40_000_000 * at + 7_000_003;
        while recording.messages()[next].recv.0 - recording.base().0 <= offset {
            recording.apply(next, &mut exchange, InstrumentId(0), 0, START, &mut counters);
            next += 1;
        }
        let matcher = exchange.matcher(InstrumentId(0)).unwrap();
        let side = if at % 2 == 0 { Side::Buy } else { Side::Sell };
        let (own, other) = (matcher.best(side).unwrap().0, matcher.best(side.opposite()).unwrap().0);
        counter += 1;
        let new = Command {
            seq: 1,
            epoch: 1,
            cl_ord_id: id(counter),
            order_qty: Qty(2 + at % 5),
            side: side as u8,
            ord_type: OrdType::Limit as u8,
            ..bytemuck::Zeroable::zeroed()
        };
        let command = match at % 7 {
            0..=3 => {
                Command { kind: CommandKind::New as u8, px: own, tif: Tif::Gtc as u8, flags: Command::POST_ONLY, ..new }
            }
            4 => Command { kind: CommandKind::New as u8, px: other, tif: Tif::Ioc as u8, ..new },
            5 => Command {
                kind: CommandKind::Replace as u8,
                orig_cl_ord_id: id(last),
                px: Price(own.0 - side.sign()),
                tif: Tif::Gtc as u8,
                ..new
            },
            _ => Command { kind: CommandKind::Cancel as u8, orig_cl_ord_id: id(last), ..new },
        };
        if command.kind == CommandKind::New as u8 {
            last = counter;
        }
        requests.push((START.saturating_add(DurationNs(offset)), command));
    }
    requests
}

fn body_of(command: &Command) -> (&'static str, String) {
    let instrument = btcusdt_perp();
    let terms = || {
        let inst = if command.flags & Command::POST_ONLY != 0 { "18=6|" } else { "" };
        format!(
            "55=BTCUSDT|54={}|60=20270101-00:00:00|38={}|40=2|44={}|59={}|{inst}",
            command.side,
            instrument.lot.text_of(command.order_qty.0),
            instrument.price_step.text_of(command.px.0),
            char::from(command.tif),
        )
    };
    let own = command.cl_ord_id;
    match CommandKind::from_u8(command.kind).unwrap() {
        CommandKind::New => ("D", format!("11={own}|{}", terms())),
        CommandKind::Replace => ("G", format!("11={own}|41={}|{}", command.orig_cl_ord_id, terms())),
        CommandKind::Cancel => (
            "F",
            format!("11={own}|41={}|55=BTCUSDT|54={}|60=20270101-00:00:00|", command.orig_cl_ord_id, command.side),
        ),
        kind => panic!("{kind:?} is not sent here"),
    }
}

/// What identifies an execution: order, kind, status, quantities, price, liquidity.
type Exec = (ClOrdId, u8, u8, i64, i64, i64, u8, Vec<u8>);

fn live(requests: &[(TimeNs, Command)], until: TimeNs) -> (VenueCore, Vec<Exec>) {
    let mut venue = core(|_| {});
    let executions = play(&mut venue, requests, until);
    (venue, executions)
}

/// Sends the requests at their times and returns the executions that the venue sent.
fn play(venue: &mut VenueCore, requests: &[(TimeNs, Command)], until: TimeNs) -> Vec<Exec> {
    let mut io = Wires::default();
    venue.fix_connected(START, &mut io);
    venue.fix_received(&message(1, START, "A", "98=0|108=3600|"), START, &mut io);
    for (at, (time, command)) in requests.iter().enumerate() {
        while let Some(due) = venue.next_deadline().filter(|due| due < time) {
            venue.on_time(due, &mut io);
        }
        let (msg_type, body) = body_of(command);
        venue.fix_received(&message(at as u32 + 2, *time, msg_type, &body), *time, &mut io);
    }
    while let Some(due) = venue.next_deadline().filter(|due| *due < until) {
        venue.on_time(due, &mut io);
    }
    let text = String::from_utf8(io.fix).unwrap().replace('\x01', "|");
    text.split("8=FIX.4.4|").filter(|message| message.contains("|35=8|")).map(exec_of_text).collect()
}

fn exec_of_text(message: &str) -> Exec {
    let get = |tag: u32| message.split('|').find_map(|pair| pair.strip_prefix(&format!("{tag}=")));
    let instrument = btcusdt_perp();
    let lots = |tag| get(tag).map_or(0, |text| instrument.lot.count_of(text.as_bytes()).unwrap());
    let px = get(31).map_or(0, |text| instrument.price_step.count_of(text.as_bytes()).unwrap());
    (
        ClOrdId::parse(get(11).unwrap().as_bytes()).unwrap(),
        get(150).unwrap().as_bytes()[0],
        get(39).unwrap().as_bytes()[0],
        lots(14),
        lots(32),
        px,
        get(851).map_or(0, |text| text.parse().unwrap()),
        get(17).unwrap().as_bytes().to_vec(),
    )
}

fn exec_of_frame(e: &ExecReport) -> Exec {
    (
        e.cl_ord_id,
        e.exec_type,
        e.ord_status,
        e.cum_qty.0,
        e.last_qty.0,
        e.last_px.0,
        e.liquidity,
        e.exec_id.as_bytes().to_vec(),
    )
}

fn simulator(latency: Latency) -> SimExchange {
    let config = SimConfig { source: sources::FIRST_GATEWAY, exchange: ExchangeConfig::default(), latency };
    SimExchange::new(&[btcusdt_perp()], config, START)
}

fn drain(sim: &mut SimExchange, frame: &mut FrameBuf, out: &mut Vec<Exec>) {
    while sim.pop(TimeNs::MAX, frame).is_some() {
        if let Ok(exec) = frame.frame().body::<ExecReport>() {
            out.push(exec_of_frame(&exec));
        }
    }
}

const NONE: Latency = Latency { order: DurationNs(0), report: DurationNs(0), sent: DurationNs(0), feed: DurationNs(0) };

#[test]
fn a_backtest_told_the_arrivals_repeats_the_live_run() {
    let recording = recording();
    let requests = requests(&recording);
    let until = START.saturating_add(DurationNs::from_secs(18));
    let (mut venue, live) = live(&requests, until);
    assert!(venue.flush_log().is_ok());
    let arrivals = arrivals_of(std::str::from_utf8(venue.orders_text()).unwrap()).unwrap();
    assert_eq!(arrivals.len(), requests.len());

    let mut sim = simulator(NONE);
    let (mut frame, mut replayed, mut counters) = (FrameBuf::new(), Vec::new(), ApplyCounters::default());
    sim.data(START, |exchange, _| {
        recording.prime(exchange, InstrumentId(0), recording.shift_ms(START), &mut counters).unwrap();
    });
    for (arrival, (time, command)) in arrivals.iter().zip(&requests) {
        assert_eq!(arrival.request, ClientId::new(&command.cl_ord_id.to_ascii()).unwrap());
        assert!(sim.on_command_after(command, *time, arrival.after));
    }
    for idx in recording.first_played()..recording.messages().len() {
        let at = START.saturating_add(recording.messages()[idx].recv.since(recording.base()));
        if at >= until {
            break;
        }
        sim.data(at, |exchange, now| {
            let shift = recording.shift_ms(START);
            recording.apply(idx, exchange, InstrumentId(0), shift, now, &mut counters);
        });
    }
    drain(&mut sim, &mut frame, &mut replayed);
    let fills = live.iter().filter(|exec| exec.1 == b'F').count();
    let makers = live.iter().filter(|exec| exec.6 == 1).count();
    assert!(fills >= 30 && makers >= 5, "{fills} fills, {makers} of them passive: the test must see trading");
    assert!(live.iter().any(|exec| exec.2 == b'1'), "and a partial fill");
    assert_eq!(live, replayed);
}

#[test]
fn the_same_run_from_frames_fills_the_same() {
    let recording = recording();
    let requests = requests(&recording);
    let until = 18_000_000_000;
    let run = |from_frames: bool| {
        let mut sim = simulator(NONE);
        let (mut frame, mut execs, mut counters) = (FrameBuf::new(), Vec::new(), ApplyCounters::default());
        sim.data(START, |exchange, _| {
            recording.prime(exchange, InstrumentId(0), 0, &mut counters).unwrap();
        });
        let mut requests = requests.iter().peekable();
        for idx in recording.first_played()..recording.messages().len() {
            let offset = recording.messages()[idx].recv.since(recording.base());
            if offset.0 > until {
                break;
            }
            let at = START.saturating_add(offset);
            while let Some((time, command)) = requests.next_if(|(time, _)| *time < at) {
                sim.on_command(command, *time);
            }
            if from_frames {
                let frame = frame_of(&recording, idx);
                sim.on_data(&frame.frame(), at).unwrap();
            } else {
                sim.data(at, |exchange, now| recording.apply(idx, exchange, InstrumentId(0), 0, now, &mut counters));
            }
        }
        drain(&mut sim, &mut frame, &mut execs);
        (execs, sim.exchange().after())
    };
    let (by_text, by_frame) = (run(false), run(true));
    assert!(by_text.0.len() > 300);
    assert_eq!(by_text, by_frame);
}

/// A recorded message as the frame that a feed gateway would make of it.
fn frame_of(recording: &Recording, idx: usize) -> FrameBuf {
    let json: serde_json::Value = serde_json::from_slice(recording.data(idx)).unwrap();
    let instrument = btcusdt_perp();
    let px = |key: &str| Price(instrument.price_step.count_of(json[key].as_str().unwrap().as_bytes()).unwrap());
    let qty = |key: &str| Qty(instrument.lot.count_of(json[key].as_str().unwrap().as_bytes()).unwrap());
    let ts_exchange = TimeNs::from_millis(json["E"].as_i64().unwrap());
    match json["e"].as_str().unwrap() {
        "depthUpdate" => {
            let rows = |key: &str| {
                let level = |row: &serde_json::Value| Level {
                    px: Price(instrument.price_step.count_of(row[0].as_str().unwrap().as_bytes()).unwrap()),
                    qty: Qty(instrument.lot.count_of(row[1].as_str().unwrap().as_bytes()).unwrap()),
                };
                json[key].as_array().unwrap().iter().map(level).collect::<Vec<_>>()
            };
            let (bids, asks) = (rows("b"), rows("a"));
            let head = BookDelta {
                bids_count: bids.len() as u32,
                asks_count: asks.len() as u32,
                last_update_id: json["u"].as_u64().unwrap(),
                ts_exchange,
                ..BookDelta::default()
            };
            FrameBuf::of(sources::FIRST_GATEWAY, 1, &head, bytemuck::cast_slice(&[bids, asks].concat()))
        }
        "bookTicker" => {
            let bbo = Bbo {
                update_id: json["u"].as_u64().unwrap(),
                bid_px: px("b"),
                bid_qty: qty("B"),
                ask_px: px("a"),
                ask_qty: qty("A"),
                ts_exchange,
                ..Bbo::default()
            };
            FrameBuf::of(sources::FIRST_GATEWAY, 1, &bbo, &[])
        }
        "trade" => {
            let aggressor = if json["m"].as_bool().unwrap() { Side::Sell } else { Side::Buy } as u8;
            let trade = Trade { aggressor, px: px("p"), qty: qty("q"), ts_exchange, ..Trade::default() };
            FrameBuf::of(sources::FIRST_GATEWAY, 1, &trade, &[])
        }
        other => panic!("{other}"),
    }
}

#[test]
fn latencies_delay_requests_and_reports() {
    let mut sim = simulator(Latency {
        order: DurationNs(1_000),
        report: DurationNs(500),
        sent: DurationNs(100),
        feed: DurationNs(200),
    });
    let mut frame = FrameBuf::new();
    for want in [SessionEvent::Connected, SessionEvent::LoggedOn] {
        assert_eq!(sim.pop(START, &mut frame), Some(START));
        assert_eq!(frame.frame().body::<SessionStatus>().unwrap().event, want as u8);
    }
    let level = |px, qty| Level { px: Price(px), qty: Qty(qty) };
    let levels = [level(618_000, 10), level(618_010, 10)];
    let head = BookSnapshot { bids_count: 1, asks_count: 1, last_update_id: 1, ..BookSnapshot::default() };
    let book = FrameBuf::of(sources::FIRST_GATEWAY, 1, &head, bytemuck::cast_slice(&levels));
    sim.on_data(&book.frame(), START).unwrap();
    let take = Command {
        kind: CommandKind::New as u8,
        cl_ord_id: id(1),
        px: Price(618_010),
        order_qty: Qty(4),
        side: Side::Buy as u8,
        tif: Tif::Ioc as u8,
        ord_type: OrdType::Limit as u8,
        ..bytemuck::Zeroable::zeroed()
    };
    assert!(sim.on_command(&take, START));
    let mass = Command { kind: CommandKind::MassStatus as u8, cl_ord_id: id(2), ..bytemuck::Zeroable::zeroed() };
    assert!(sim.on_command(&mass, START));
    let resync = Command { kind: CommandKind::Resync as u8, ..bytemuck::Zeroable::zeroed() };
    assert!(!sim.on_command(&resync, START), "not for a venue");
    let at = |ns| START.saturating_add(DurationNs(ns));
    assert_eq!(sim.next_due(TimeNs::MAX), Some(at(100)));
    let mut seen = Vec::new();
    while let Some(time) = sim.pop(TimeNs::MAX, &mut frame) {
        seen.push((time.since(START).0, frame.frame().kind().unwrap()));
    }
    use FrameKind as K;
    assert_eq!(
        seen,
        [(100, K::Sent), (100, K::Sent), (1_500, K::ExecReport), (1_500, K::ExecReport), (1_500, K::MassStatusEnd)]
    );
    assert_eq!(
        frame.frame().body::<MassStatusEnd>().unwrap(),
        MassStatusEnd { request_id: id(2).0, orders_count: 0, reserved: 0, ts: at(1_500) }
    );
    assert_eq!(sim.exchange().holding(0, InstrumentId(0)).position, Qty(4));
}

#[test]
fn two_venues_from_one_schedule_agree_byte_for_byte() {
    let recording = recording();
    let requests = requests(&recording);
    let until = START.saturating_add(DurationNs::from_secs(4));
    let (first, second) = (live(&requests[..80], until), live(&requests[..80], until));
    assert_eq!(first.1, second.1);
    assert_eq!(first.0.orders_text(), second.0.orders_text());
}

#[test]
fn faults_and_snapshots_without_a_socket() {
    let faults = ["duplicate-depth@1s", "disconnect-depth@2s", "disconnect-fix@2s", "refuse-snapshot@2s"];
    let mut venue = core(|config| config.faults = faults.map(|text| text.parse::<Fault>().unwrap()).into());
    let mut io = Wires::default();
    assert!(venue.open_data(1, "/stream?streams=btcusdt@depth@0ms", START));
    assert!(venue.open_data(2, "/stream", START));
    assert!(!venue.open_data(3, "/elsewhere", START));
    venue.on_data_text(2, br#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":7}"#, START, &mut io);
    assert_eq!(io.data.pop().unwrap(), (2, br#"{"result":null,"id":7}"#.to_vec()));
    venue.on_data_text(2, b"garbage", START, &mut io);
    assert!(io.data.pop().unwrap().1.starts_with(br#"{"error""#));
    while let Some(due) = venue.next_deadline().filter(|due| *due < START.saturating_add(DurationNs::from_secs(3))) {
        venue.on_time(due, &mut io);
    }
    let depth: Vec<&Vec<u8>> = io.data.iter().filter(|(conn, _)| *conn == 1).map(|(_, text)| text).collect();
    assert_eq!(depth.windows(2).filter(|pair| pair[0] == pair[1]).count(), 1, "one diff came twice");
    assert_eq!((io.closed.as_slice(), io.fix_closed), (&[1][..], true));
    assert!(io.data.iter().any(|(conn, text)| *conn == 2 && text.starts_with(br#"{"stream":"btcusdt@trade""#)));
    assert_eq!(venue.http("/fapi/v1/depth?symbol=BTCUSDT&limit=5", START).status, 503);
    let answer = venue.http("/fapi/v1/depth?symbol=BTCUSDT&limit=5", START);
    let snapshot: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, snapshot["bids"].as_array().unwrap().len()), (200, 5));
    assert_eq!(venue.http("/fapi/v1/depth?symbol=ETHUSDT", START).status, 400);
    assert_eq!(venue.http("/fapi/v1/depth?symbol=BTCUSDT&limit=0", START).status, 400);
}

/// What frames the matcher reads is what `Frame::parse` accepts; anything else is an error, not a panic.
#[test]
fn lying_frames_are_refused() {
    let mut exchange =
        Exchange::new(&[btcusdt_perp()], ExchangeConfig { queue: QueueModel::Proportional, ..Default::default() });
    let head = BookDelta { bids_count: u32::MAX, ..BookDelta::default() };
    let lying = FrameBuf::of(sources::FIRST_GATEWAY, 1, &head, &[]);
    assert!(exchange.on_frame(&lying.frame(), START).is_err());
    let mut bytes = lying.bytes().to_vec();
    bytes[4] = 0xff;
    assert!(exchange.on_frame(&Frame::parse(&bytes).unwrap(), START).is_err());
    assert_eq!(exchange.after(), 0);
}

/// The folder of one judged run, and the judge's exit code and words.
fn judge(folder: &Path, more: &[&str]) -> (bool, serde_json::Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge.py");
    let output =
        std::process::Command::new("python3").arg(script).arg(folder).arg("--json").args(more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("no report: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report)
}

/// The judge agrees with a run of 400 requests, and disagrees as soon as one line of the log says something else.
#[test]
fn a_judge_that_shares_no_code_accepts_the_log_and_catches_planted_lies() {
    let recording = recording();
    let requests = requests(&recording);
    let folder = std::env::temp_dir().join(format!("tercel-venue-judge-{}", std::process::id()));
    let log = VenueLog::in_folder(&folder).unwrap();
    let mut config = VenueConfig::new(slice(), btcusdt_perp(), folder.clone());
    config.start = Start::At(START);
    let mut venue = VenueCore::new(&config, recording, Box::new(MemoryStore::new()), log, START).unwrap();
    play(&mut venue, &requests, START.saturating_add(DurationNs::from_secs(18)));
    venue.flush_log().unwrap();
    let holding = venue.report().holding;

    let path = slice().to_string_lossy().into_owned();
    let (accepted, report) = judge(&folder, &["--recording", &path]);
    assert!(accepted, "{}", report["wrong"]);
    assert_eq!(report["position"], btcusdt_perp().lot.text_of(holding.position.0).as_str());
    assert_eq!(report["fills"], holding.fills_count);
    assert_eq!(report["orders"].as_object().unwrap().len(), requests.len() * 5 / 7 + 1);

    let orders = folder.join(tercel_venue::ORDERS_FILE);
    let text = std::fs::read_to_string(&orders).unwrap();
    let fill = text.lines().find(|line| line.contains("\"liquidity\":1")).unwrap();
    let better = if fill.contains("\"side\":1") { "61000.0" } else { "62500.0" };
    let px = fill.split("\"last_px\":\"").nth(1).unwrap().split('"').next().unwrap();
    let lies = [
        text.replace(fill, &fill.replace(&format!("\"last_px\":\"{px}\""), &format!("\"last_px\":\"{better}\""))),
        text.replace(fill, &fill.replace("\"liquidity\":1", "\"liquidity\":2")),
        text.replacen(&format!("{fill}\n"), "", 1),
        text.replacen("\"cum_qty\":\"0.000\"", "\"cum_qty\":\"0.001\"", 1),
    ];
    for (at, lie) in lies.iter().enumerate() {
        assert_ne!(*lie, text, "lie {at} changes nothing");
        std::fs::write(&orders, lie).unwrap();
        let (accepted, report) = judge(&folder, &["--recording", &path]);
        assert!(!accepted && !report["wrong"].as_array().unwrap().is_empty(), "lie {at} was believed");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
