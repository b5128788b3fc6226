//! `fix/parse/execution_report`, `fix/parse/to_frame`, `fix/encode/new_order_single`, `fix/encode/command_to_wire`: the FIX
//! order path without its sockets, beside fix-codec-rs in the same run.
//!
//! parse   ours checks BeginString, BodyLength, CheckSum and field syntax, indexes every field, reads the header and one
//!         price to fixed point; the peer decodes, validates length and checksum and finds the same fields.
//! to_frame  the same message through the whole gateway: CompIDs, clock, sequence, every number to fixed point, order
//!         table, frame.
//! encode  a NewOrderSingle with its header, number, two timestamps and checksum; the peer encodes a decoded message, which
//!         needs no number rendered. command_to_wire adds gate, table, `Sent` frame; the store keeps nothing, so that
//!         the figure is the gateway's.
//!
//! Blocks alternate: mean is the median of block means, ratio the median of block ratios. Percentiles come from one pair of
//! clock reads per call, whose own cost is printed and not subtracted.
use fix_codec_rs::decoder::Decoder;
use std::hint::black_box;
use tercel_event::{Command, CommandKind};
use tercel_fix::framing::{Scan, scan};
use tercel_fix::number::count_of;
use tercel_fix::order::{OrderGateway, OrderGatewayConfig};
use tercel_fix::session::SessionConfig;
use tercel_fix::store::{Store, StoreError};
use tercel_fix::{Index, StampCache, checksum, tag};
use tercel_net::{GatewayIo, Now, OrderMachine, Received, SendError};
use tercel_types::{
    Calendar, ClOrdId, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Price, Qty, SourceId, TimeNs,
};

const STEP: Decimal = Decimal { mantissa: 1, scale: 1 };
const NOW: Now = Now { engine: TimeNs(1_790_000_000_123_000_000), wall: TimeNs(1_790_000_000_123_000_000) };

/// A store that keeps numbers only.
struct Numbers {
    next_out: u32,
    next_in: u32,
}

impl Store for Numbers {
    fn next_out(&self) -> u32 {
        self.next_out
    }
    fn next_in(&self) -> u32 {
        self.next_in
    }
    fn append(&mut self, msg_seq_num: u32, _: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        black_box(message);
        self.next_out = msg_seq_num + 1;
        Ok(())
    }
    fn skip_out(&mut self, next_out: u32) {
        self.next_out = next_out;
    }
    fn set_next_in(&mut self, next_in: u32) {
        self.next_in = next_in;
    }
    fn reset(&mut self) -> Result<(), StoreError> {
        (self.next_out, self.next_in) = (1, 1);
        Ok(())
    }
    fn sent(&self, _: u32, _: &mut Vec<u8>) -> bool {
        false
    }
    fn find(&self, _: ClOrdId) -> Option<u32> {
        None
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Sink;

impl GatewayIo for Sink {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        black_box(bytes);
        Ok(NOW.engine)
    }
    #[inline]
    fn push(&mut self, frame: &[u8]) {
        black_box(frame);
    }
    fn close(&mut self) {}
}

fn framed(body: &str) -> Vec<u8> {
    let body = body.replace('|', "\u{1}");
    let mut message = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).into_bytes();
    let sum = checksum(&message);
    message.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    message
}

fn stamp() -> String {
    String::from_utf8_lossy(StampCache::default().render(NOW.wall)).into_owned()
}

fn report(msg_seq_num: u32) -> Vec<u8> {
    let (time, id) = (stamp(), ClOrdId::new(7, 0, u64::from(msg_seq_num)).expect("small"));
    framed(&format!(
        "35=8|34={msg_seq_num}|49=VENUE|56=TERCEL|52={time}|37=V00000{msg_seq_num}|11={id}|17=X00000{msg_seq_num}|150=F|39=1|\
         1=ACC|55=BTCUSDT|54=1|38=0.125|40=2|44=61800.2|59=1|18=6|32=0.010|31=61800.2|851=1|151=0.115|14=0.010|6=61800.2|\
         60={time}|12=0.1236004|13=3|453=2|448=DESK|447=D|452=24|448=TRADER|447=D|452=12|"
    ))
}

fn order(counter: u64) -> Command {
    Command {
        seq: counter,
        kind: CommandKind::New as u8,
        cl_ord_id: ClOrdId::new(7, 0, counter).expect("small"),
        side: 1,
        tif: b'1',
        ord_type: b'2',
        px: Price(618_002 + (counter % 1_000) as i64),
        order_qty: Qty(125),
        flags: Command::POST_ONLY,
        ..bytemuck::Zeroable::zeroed()
    }
}

fn gateway(orders_max: usize) -> OrderGateway<Numbers> {
    let instrument = Instrument {
        id: InstrumentId(0),
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: STEP,
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::from_whole(100),
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    };
    let config = OrderGatewayConfig {
        source: SourceId(4),
        session: SessionConfig::initiator("TERCEL", "VENUE"),
        instruments: vec![instrument],
        accounts: vec!["ACC".into()],
        epoch: 7,
        orders_max,
    };
    let mut gateway = OrderGateway::new(config, Numbers { next_out: 1, next_in: 1 });
    gateway.on_connected(NOW, &mut Sink);
    receive(&mut gateway, &framed(&format!("35=A|34=1|49=VENUE|56=TERCEL|52={}|98=0|108=30|", stamp())));
    assert!(gateway.is_ready());
    gateway
}

#[inline]
fn receive(gateway: &mut OrderGateway<Numbers>, bytes: &[u8]) {
    gateway.on_received(Received { bytes, ts_user: NOW.engine, ts_kernel: None }, NOW, &mut Sink);
}

/// One competitor: prepares a block, then does call number `i` of it.
struct Row<'a> {
    name: &'a str,
    prepare: Box<dyn FnMut() + 'a>,
    call: Box<dyn FnMut(usize) + 'a>,
}

fn measure(rows: &mut [Row<'_>], calls: usize, blocks: usize) {
    let clock = quanta::Clock::new();
    let mut means = vec![Vec::new(); rows.len()];
    for _ in 0..blocks {
        for (row, means) in rows.iter_mut().zip(&mut means) {
            (row.prepare)();
            let start = clock.raw();
            (0..calls).for_each(|i| (row.call)(i));
            means.push(clock.delta_as_nanos(start, clock.raw()) as f64 / calls as f64);
        }
    }
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    for (at, row) in rows.iter_mut().enumerate() {
        (row.prepare)();
        let mut each: Vec<u64> = (0..calls)
            .map(|i| {
                let start = clock.raw();
                (row.call)(i);
                clock.delta_as_nanos(start, clock.raw())
            })
            .collect();
        each.sort_unstable();
        let at_share = |share: f64| each[((each.len() - 1) as f64 * share) as usize];
        let ratio = median(&means[at].iter().zip(&means[0]).map(|(this, first)| this / first).collect::<Vec<_>>());
        println!(
            "{:<34} mean {:>7.1} ns  p50 {:>5} p99 {:>5} p99.9 {:>6} max {:>7}   {ratio:.2} x the first",
            row.name,
            median(&means[at]),
            at_share(0.5),
            at_share(0.99),
            at_share(0.999),
            each[each.len() - 1],
        );
    }
    let mut empty: Vec<u64> =
        (0..calls).map(|_| clock.raw()).map(|start| clock.delta_as_nanos(start, clock.raw())).collect();
    empty.sort_unstable();
    println!("{:<34} p50 {} ns", "(pair of clock reads)", empty[empty.len() / 2]);
}

fn main() {
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let (calls, blocks) = if quick { (200, 1) } else { (500, 801) };
    let reports: Vec<Vec<u8>> = (2..calls as u32 + 2).map(report).collect();
    println!(
        "ExecutionReport of {} bytes, {} fields",
        reports[0].len(),
        Index::default().parse(&reports[0]).unwrap().len()
    );

    let (mut index, mut peer) = (Index::default(), Decoder::with_capacity(64));
    let mut parser = gateway(1 << 15);
    let parser = std::cell::RefCell::new(&mut parser);
    measure(
        &mut [
            Row {
                name: "fix/parse/execution_report",
                prepare: Box::new(|| {}),
                call: Box::new(|i| {
                    let bytes = black_box(reports[i].as_slice());
                    let Scan::Message(extent) = scan(bytes) else { panic!("no message") };
                    let message = index.parse_extent(bytes, extent).expect("whole");
                    let header = message.header();
                    let px = count_of(STEP, message.get(tag::LAST_PX).unwrap_or(b"")).expect("a price");
                    black_box((header.msg_seq_num, px));
                }),
            },
            Row {
                name: "fix-codec-rs 0.3.0 decode, validate",
                prepare: Box::new(|| {}),
                call: Box::new(|i| {
                    let message = peer.decode(black_box(reports[i].as_slice())).expect("whole");
                    message.validate_body_length().expect("length");
                    message.validate_checksum().expect("checksum");
                    black_box((message.find(34), message.find(49), message.find(56), message.find(31)));
                }),
            },
            Row {
                name: "fix/parse/to_frame",
                prepare: Box::new(|| parser.borrow_mut().expect_in(2)),
                call: Box::new(|i| receive(&mut parser.borrow_mut(), black_box(&reports[i]))),
            },
        ],
        calls,
        blocks,
    );
    assert_eq!(parser.borrow().counters().malformed, 0);

    let mut peer = Decoder::with_capacity(64);
    let source = framed(&format!(
        "35=D|34=123456|49=TERCEL|56=VENUE|52={0}|11={1}|1=ACC|21=1|55=BTCUSDT|54=1|60={0}|38=0.125|40=2|44=61800.2|59=1|18=6|",
        stamp(),
        ClOrdId::new(7, 0, 1).expect("small")
    ));
    println!("NewOrderSingle of {} bytes", source.len());
    let decoded = peer.decode(&source).expect("whole");
    let mut encoder = fix_codec_rs::encoder::Encoder::with_capacity(1_024);
    let mut out = Vec::with_capacity(1_024);
    let mut writer = tercel_fix::Writer::default();
    let commands: Vec<Command> = (1..=calls as u64).map(order).collect();
    let sender = std::cell::RefCell::new(gateway(calls));
    measure(
        &mut [
            Row {
                name: "fix/encode/new_order_single",
                prepare: Box::new(|| {}),
                call: Box::new(|i| {
                    let command = black_box(&commands[i]);
                    writer.begin();
                    writer.raw(b"35=D\x01");
                    writer.uint::<{ tag::MSG_SEQ_NUM }>(command.seq + 100_000);
                    writer.raw(b"49=TERCEL\x0156=VENUE\x01");
                    writer.time::<{ tag::SENDING_TIME }>(TimeNs(NOW.wall.0 + i as i64 * 1_000));
                    writer.fixed::<{ tag::CL_ORD_ID }, _>(&command.cl_ord_id.to_ascii());
                    writer.raw(b"1=ACC\x0121=1\x0155=BTCUSDT\x01");
                    writer.char::<{ tag::SIDE }>(b'0' + command.side);
                    writer.time::<{ tag::TRANSACT_TIME }>(TimeNs(NOW.wall.0 + i as i64 * 1_000));
                    writer.decimal::<{ tag::ORDER_QTY }>(Decimal { mantissa: 1, scale: 3 }, command.order_qty.0);
                    writer.char::<{ tag::ORD_TYPE }>(command.ord_type);
                    writer.decimal::<{ tag::PRICE }>(STEP, command.px.0);
                    writer.char::<{ tag::TIME_IN_FORCE }>(command.tif);
                    writer.char::<{ tag::EXEC_INST }>(b'6');
                    black_box(writer.finish(b"8=FIX.4.4\x019="));
                }),
            },
            Row {
                name: "fix-codec-rs 0.3.0 encode",
                prepare: Box::new(|| {}),
                call: Box::new(|_| {
                    out.clear();
                    encoder.encode(black_box(&decoded), &mut out).expect("encodes");
                    black_box(&out);
                }),
            },
            Row {
                name: "fix/encode/command_to_wire",
                prepare: Box::new(|| *sender.borrow_mut() = gateway(calls)),
                call: Box::new(|i| sender.borrow_mut().on_command(black_box(&commands[i]), NOW, &mut Sink)),
            },
        ],
        calls,
        blocks,
    );
    assert_eq!(sender.borrow().counters().not_sent, 0);
}
