//! The control: the same orders from the same messages by a path written by hand for this one strategy, as someone would who
//! needs nothing else. Same log, same store, same socket; its FIX bytes equal the product's (each run compares them).
//!
//! What it leaves out is what the product is for: book depth, frames in any order, order states, a ledger of its own,
//! parameters, other strategies, replay and its hashes, the kill word, a fallback for unusual JSON.
use crate::path::{FEED, ORDERS, Path, new_log};
use crate::venue::{RingStore, START, Socket};
use quanta::Clock;
use tercel_event::{Bbo, Command, CommandKind, FrameFlags, OrdType, Tif, sources, stamp, write_frame};
use tercel_fix::store::Store;
use tercel_net::GatewayIo;
use tercel_ring::LogWriter;
use tercel_types::{AccountId, ClOrdId, InstrumentId, Price, Qty, Side, StrategyId, TimeNs};

const TICK: f64 = 0.1;
const KEEP: i64 = 1;
const CLIP: i64 = 5;
const GAMMA: f64 = 0.005;
const KAPPA: f64 = 20.0;
const LEAN: f64 = 0.5;
const PERIOD_NS: i64 = 250_000_000;
const HALFLIFE_NS: f64 = 2e9;

#[derive(Clone, Copy, Default)]
struct Touch {
    bid: i64,
    bid_qty: i64,
    ask: i64,
    ask_qty: i64,
}

/// One order, always live or not there.
#[derive(Clone, Copy)]
struct Working {
    side: Side,
    id: ClOrdId,
    root: ClOrdId,
    px: i64,
}

pub struct Control {
    log: LogWriter,
    store: RingStore,
    socket: Socket,
    legs: Vec<Working>,
    touch: Touch,
    seq: u64,
    src_seq: u64,
    update_id: u64,
    counter: u64,
    now: TimeNs,
    /// What SendingTime says: the product's gateway, too, hears of a timer's order when the engine turns to it.
    wall: TimeNs,
    /// `ln(1 + gamma / kappa) / gamma`.
    least_half: f64,
    next_sample: i64,
    last: Option<f64>,
    last_ns: i64,
    v: f64,
    samples: u64,
    /// Times of the newest orders; a window of 100 ms and one of 1 s are held against them.
    sent: [i64; 128],
    sent_count: usize,
    message: [u8; 512],
    frame: [u64; 32],
    second: i64,
    stamp: [u8; 21],
    pub refused: u64,
}

impl Control {
    pub fn new(clock: &Clock, legs: usize, log_name: &str) -> Self {
        let leg = |side| Working { side, id: ClOrdId::NONE, root: ClOrdId::NONE, px: 0 };
        Self {
            log: new_log(log_name),
            // Logon and mass status request come before.
            store: RingStore::new(3),
            socket: Socket::new(clock),
            legs: [Side::Buy, Side::Sell][..legs].iter().map(|&side| leg(side)).collect(),
            touch: Touch::default(),
            seq: 0,
            src_seq: 0,
            update_id: 0,
            // The product's mass status request takes the first id.
            counter: 1,
            now: START,
            wall: START,
            least_half: (1.0 + GAMMA / KAPPA).ln() / GAMMA,
            next_sample: (START.0 / PERIOD_NS + 1) * PERIOD_NS,
            last: None,
            last_ns: 0,
            v: 0.0,
            samples: 0,
            sent: [i64::MIN; 128],
            sent_count: 0,
            message: [0; 512],
            frame: [0; 32],
            second: i64::MIN,
            stamp: *b"19700101-00:00:00.000",
            refused: 0,
        }
    }

    fn fair(&self) -> f64 {
        let Touch { bid, bid_qty, ask, ask_qty } = self.touch;
        let [bid, ask] = [bid, ask].map(|px| px as f64 / 10.0);
        let [bid_qty, ask_qty] = [bid_qty, ask_qty].map(|qty| qty as f64 / 1_000.0);
        (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty) * (1.0 + LEAN * 0.0)
    }

    fn sample(&mut self, at: i64) {
        if self.touch.bid == 0 {
            return;
        }
        let fair = self.fair();
        if let Some(last) = self.last {
            let (dt, change) = ((at - self.last_ns) as f64, fair - last);
            let rate = change * change / (dt / 1e9);
            let weight = 1.0 - (-dt / HALFLIFE_NS).exp2();
            self.v = if self.samples == 0 { rate } else { self.v + weight * (rate - self.v) };
            self.samples += 1;
        }
        (self.last, self.last_ns) = (Some(fair), at);
    }

    #[inline]
    fn log_frame<B: tercel_event::Body>(&mut self, derived: bool, body: &B) {
        let frame: &mut [u8] = bytemuck::cast_slice_mut(&mut self.frame);
        let (src, number, flags) =
            if derived { (sources::CORE, 0, FrameFlags::DERIVED) } else { (FEED, self.src_seq, 0) };
        if let Some(len) = write_frame(frame, src, number, flags, body, &[]) {
            stamp(frame, self.seq, self.now);
            self.log.push(&frame[..len]).expect("no reader holds the log");
        }
    }

    #[inline]
    fn quote_all(&mut self) {
        if self.samples >= 8 {
            (0..self.legs.len()).for_each(|leg| self.quote(leg));
        }
    }

    #[inline]
    fn quote(&mut self, leg: usize) {
        let Touch { bid, ask, bid_qty, ask_qty } = self.touch;
        let Working { side, id, root, px: working } = self.legs[leg];
        let fair = self.fair();
        let half = (GAMMA * self.v / 2.0 + self.least_half).max(10.0 * TICK);
        // The touch without the own order at it.
        let px = match side {
            Side::Buy => {
                let others = if working == bid && bid_qty <= CLIP { bid - 1 } else { bid };
                steps((fair - half).min(others as f64 / 10.0), side)
            }
            Side::Sell => {
                let others = if working == ask && ask_qty <= CLIP { ask + 1 } else { ask };
                steps((fair + half).max(others as f64 / 10.0), side)
            }
        };
        if !id.is_none() && (px - working).abs() <= KEEP {
            return;
        }
        let crosses = self
            .legs
            .iter()
            .any(|other| other.side != side && !other.id.is_none() && (px - other.px) * side.sign() >= 0);
        let collar = (bid + ask) / 2 / 200;
        let per_100ms = self.sent[(self.sent_count + 128 - 40) % 128];
        let per_1s = self.sent[(self.sent_count + 128 - 100) % 128];
        let rate_ok = per_100ms < self.now.0 - 100_000_000 && per_1s < self.now.0 - 1_000_000_000;
        let value_ok = px * CLIP <= 20_000 * 10_000 && CLIP <= 200;
        if crosses || (px - (bid + ask) / 2).abs() > collar || !rate_ok || !value_ok {
            self.refused += 1;
            return;
        }
        let Some(new_id) = ClOrdId::new(1, 0, self.counter + 1) else { return };
        self.counter += 1;
        self.sent[self.sent_count % 128] = self.now.0;
        self.sent_count += 1;
        let is_new = id.is_none();
        let command = Command {
            seq: self.seq,
            epoch: 1,
            index: leg as u16,
            kind: if is_new { CommandKind::New } else { CommandKind::Replace } as u8,
            dest: ORDERS,
            ts: self.now,
            ts_cause: self.now,
            cl_ord_id: new_id,
            orig_cl_ord_id: id,
            root_cl_ord_id: if is_new { new_id } else { root },
            parent_id: 0,
            px: Price(px),
            order_qty: Qty(CLIP),
            instrument: InstrumentId(0),
            strategy: StrategyId(0),
            account: AccountId(0),
            side: side as u8,
            tif: Tif::Gtc as u8,
            ord_type: OrdType::Limit as u8,
            flags: Command::POST_ONLY,
            reason: 1,
            leg: leg as u16,
            reserved: [0; 4],
        };
        self.log_frame(true, &command);
        self.send(&command, is_new);
        // The venue always accepts.
        self.legs[leg] = Working { side, id: new_id, root: command.root_cl_ord_id, px };
    }

    /// Body first, head in front of it, checksum behind.
    #[inline]
    fn send(&mut self, command: &Command, is_new: bool) {
        const HEAD: usize = 16;
        let stamp = self.render_stamp();
        let number = self.store.next_out();
        let mut out = Out { bytes: &mut self.message, at: HEAD };
        out.put(if is_new { b"35=D\x0134=" } else { b"35=G\x0134=" });
        out.number(u64::from(number), 1);
        out.put(b"\x0149=TERCEL\x0156=VENUE\x0152=");
        out.put(&stamp);
        out.put(b"\x0111=");
        out.put(&command.cl_ord_id.to_ascii());
        if !is_new {
            out.put(b"\x0141=");
            out.put(&command.orig_cl_ord_id.to_ascii());
        }
        out.put(b"\x011=ACC\x0121=1\x0155=BTCUSDT\x0154=");
        out.put(&[b'0' + command.side]);
        out.put(b"\x0160=");
        out.put(&stamp);
        out.put(b"\x0138=");
        out.number(command.order_qty.0 as u64 / 1_000, 1);
        out.put(b".");
        out.number(command.order_qty.0 as u64 % 1_000, 3);
        out.put(b"\x0140=2\x0144=");
        out.number(command.px.0 as u64 / 10, 1);
        out.put(b".");
        out.number(command.px.0 as u64 % 10, 1);
        out.put(b"\x0159=1\x0118=6\x01");
        let body_end = out.at;
        let len = (body_end - HEAD) as u64;
        let mut head = Out { bytes: &mut self.message, at: 0 };
        head.put(b"8=FIX.4.4\x019=");
        head.number(len, 3);
        head.put(b"\x01");
        let sum = tercel_fix::checksum(&self.message[..body_end]);
        let mut tail = Out { bytes: &mut self.message, at: body_end };
        tail.put(b"10=");
        tail.number(u64::from(sum), 3);
        tail.put(b"\x01");
        let end = tail.at;
        let message = &self.message[..end];
        let _ = self.store.append(number, command.cl_ord_id, message);
        let _ = self.socket.send(message);
    }

    #[inline]
    fn render_stamp(&mut self) -> [u8; 21] {
        let (second, ms) = (self.wall.0 / 1_000_000_000, self.wall.0 / 1_000_000 % 1_000);
        if second != self.second {
            self.second = second;
            self.stamp = *tercel_fix::StampCache::default().render(self.wall);
        }
        self.stamp[18] = b'0' + (ms / 100) as u8;
        self.stamp[19] = b'0' + (ms / 10 % 10) as u8;
        self.stamp[20] = b'0' + (ms % 10) as u8;
        self.stamp
    }
}

impl Path for Control {
    fn before(&mut self, now: TimeNs) {
        self.wall = now;
        while self.next_sample <= now.0 {
            let at = self.next_sample;
            self.sample(at);
            self.next_sample = at + PERIOD_NS;
            self.now = TimeNs(at);
            self.quote_all();
        }
        self.now = now;
        self.socket.now = now;
    }

    #[inline(never)]
    fn on_event(&mut self, message: &[u8]) {
        let Some((update_id, touch)) = read_quote(message) else { return };
        if update_id <= self.update_id || touch.bid >= touch.ask {
            return;
        }
        (self.update_id, self.touch) = (update_id, touch);
        self.seq += 1;
        self.src_seq += 1;
        self.log_frame(
            false,
            &Bbo {
                instrument: InstrumentId(0),
                reserved: 0,
                update_id,
                bid_px: Price(touch.bid),
                bid_qty: Qty(touch.bid_qty),
                ask_px: Price(touch.ask),
                ask_qty: Qty(touch.ask_qty),
                ts_exchange: self.now,
                ts_recv: self.now,
                ts_user: self.now,
            },
        );
        self.quote_all();
    }

    fn sent_at(&self) -> u64 {
        self.socket.sent_at
    }

    fn settle(&mut self, on_order: impl FnMut(&[u8])) {
        self.socket.messages().for_each(on_order);
        self.socket.clear_messages();
    }
}

/// Price steps, toward the passive side.
#[inline]
fn steps(px: f64, side: Side) -> i64 {
    let steps = px * 10.0;
    let nearest = steps.round();
    if (steps - nearest).abs() <= 1e-6 {
        nearest as i64
    } else if side == Side::Buy {
        steps.floor() as i64
    } else {
        steps.ceil() as i64
    }
}

/// Fields at their places, numbers of any length.
#[inline]
fn read_quote(message: &[u8]) -> Option<(u64, Touch)> {
    let rest = message.strip_prefix(br#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":"#)?;
    let (update_id, rest) = digits(rest);
    let rest = rest.strip_prefix(br#","s":"BTCUSDT","b":""#)?;
    let (bid, rest) = decimal(rest, 1)?;
    let rest = rest.strip_prefix(br#"","B":""#)?;
    let (bid_qty, rest) = decimal(rest, 3)?;
    let rest = rest.strip_prefix(br#"","a":""#)?;
    let (ask, rest) = decimal(rest, 1)?;
    let rest = rest.strip_prefix(br#"","A":""#)?;
    let (ask_qty, rest) = decimal(rest, 3)?;
    let rest = rest.strip_prefix(br#"","T":"#)?;
    let (_, rest) = digits(rest);
    let rest = rest.strip_prefix(br#","E":"#)?;
    let (_, rest) = digits(rest);
    (rest == b"}}").then_some((update_id, Touch { bid, bid_qty, ask, ask_qty }))
}

#[inline]
fn digits(text: &[u8]) -> (u64, &[u8]) {
    let (mut value, mut at) = (0u64, 0);
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit <= 9) {
        value = value.wrapping_mul(10) + u64::from(digit);
        at += 1;
    }
    (value, &text[at..])
}

/// A decimal as a whole number of 10^-`places`; further places must be zero.
#[inline]
fn decimal(text: &[u8], places: usize) -> Option<(i64, &[u8])> {
    let (whole, rest) = digits(text);
    let rest = rest.strip_prefix(b".")?;
    let (mut value, mut at) = (whole as i64, 0);
    while at < places {
        let digit = rest.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
        at += 1;
    }
    while rest.get(at) == Some(&b'0') {
        at += 1;
    }
    Some((value, &rest[at..]))
}

struct Out<'a> {
    bytes: &'a mut [u8; 512],
    at: usize,
}

impl Out<'_> {
    #[inline]
    fn put<const N: usize>(&mut self, text: &[u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(text);
        self.at += N;
    }

    /// At least `width` digits.
    #[inline]
    fn number(&mut self, mut value: u64, width: usize) {
        let mut text = [b'0'; 20];
        let mut start = 20;
        while value > 0 || 20 - start < width {
            start -= 1;
            text[start] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        let len = 20 - start;
        self.bytes[self.at..self.at + len].copy_from_slice(&text[start..]);
        self.at += len;
    }
}
