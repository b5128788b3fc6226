//! What stands on the other end: a feed that moves the touch, an order store in memory, a socket that captures bytes, and a
//! venue that answers every request. None of it runs inside a measured span but `Socket::send` and `RingStore::append`.
use quanta::Clock;
use std::fmt::Write;
use tercel_event::Frame;
use tercel_fix::checksum;
use tercel_fix::store::{Store, StoreError};
use tercel_net::{GatewayIo, SendError};
use tercel_types::{ClOrdId, TimeNs};

/// Engine time of the first event, off the whole quarter of a second so that no timer falls on an event.
pub const START: TimeNs = TimeNs(1_790_000_000_037_000_000);
/// Engine time between two events.
pub const STEP_NS: i64 = 100_000_000;
/// Price steps of the bid around which the touch moves.
pub const BASE: i64 = 618_000;

/// Whether the events of a block move the touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// By 3 to 12 steps: more than `keep`, so that every leg is replaced.
    Touch,
    /// Quantities only: the quotes stay within `keep`.
    Quantities,
}

/// Best quotes as the venue writes them, one after the other into one buffer, as a socket read leaves them.
pub struct Feed {
    random: u64,
    update_id: u64,
    offset: i64,
    pub now: TimeNs,
    pub text: String,
}

impl Feed {
    pub fn new() -> Self {
        Self { random: 7, update_id: 1_000, offset: 0, now: START, text: String::with_capacity(256) }
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64: the same events in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    pub fn next(&mut self, moves: Moves) {
        self.now = TimeNs(self.now.0 + STEP_NS);
        self.update_id += 1 + self.below(40);
        if moves == Moves::Touch {
            let before = self.offset;
            while (self.offset - before).abs() < 3 {
                self.offset = self.below(13) as i64 - 6;
            }
        }
        let (bid, ask) = (BASE + self.offset, BASE + self.offset + 1);
        let [bid_qty, ask_qty] = [(); 2].map(|()| 500 + self.below(9_000));
        let ms = self.now.0 / 1_000_000;
        self.text.clear();
        let _ = write!(
            self.text,
            r#"{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{},"s":"BTCUSDT","b":"{}.{}0","B":"{}.{:03}","a":"{}.{}0","A":"{}.{:03}","T":{ms},"E":{ms}}}}}"#,
            self.update_id,
            bid / 10,
            bid % 10,
            bid_qty / 1_000,
            bid_qty % 1_000,
            ask / 10,
            ask % 10,
            ask_qty / 1_000,
            ask_qty % 1_000,
        );
    }
}

/// Keeps the newest messages in memory that was touched before: what a store costs without a disk.
pub struct RingStore {
    next_out: u32,
    next_in: u32,
    bytes: Box<[u8]>,
    at: usize,
}

impl RingStore {
    const LEN: usize = 1 << 20;

    pub fn new(next_out: u32) -> Self {
        Self { next_out, next_in: 1, bytes: vec![1; Self::LEN].into_boxed_slice(), at: 0 }
    }
}

impl Store for RingStore {
    fn next_out(&self) -> u32 {
        self.next_out
    }
    fn next_in(&self) -> u32 {
        self.next_in
    }
    #[inline]
    fn append(&mut self, msg_seq_num: u32, _: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        if self.at + message.len() > Self::LEN {
            self.at = 0;
        }
        self.bytes[self.at..self.at + message.len()].copy_from_slice(message);
        self.at += message.len();
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

/// The wire and the ring to the core, captured. Stamps the last send: the end of tick-to-trade.
pub struct Socket {
    clock: Clock,
    pub sent_at: u64,
    pub now: TimeNs,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Frames for the core, each padded to whole lines.
    pub frames: Vec<u8>,
}

impl Socket {
    pub fn new(clock: &Clock) -> Self {
        let bytes = Vec::with_capacity(1 << 16);
        let frames = Vec::with_capacity(1 << 16);
        Self { clock: clock.clone(), sent_at: 0, now: START, bytes, ends: Vec::with_capacity(64), frames }
    }

    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    pub fn clear_messages(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl GatewayIo for Socket {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.sent_at = self.clock.raw();
        Ok(self.now)
    }

    #[inline]
    fn push(&mut self, frame: &[u8]) {
        self.frames.extend_from_slice(frame);
        self.frames.resize(Frame::padded_len(self.frames.len()), 0);
    }

    fn close(&mut self) {}
}

/// Accepts everything: logon, orders, replaces; nothing is ever filled.
#[derive(Default)]
pub struct Venue {
    next_out: u32,
    exec_id: u64,
}

impl Venue {
    /// The venue's answer to one message, empty when it has none.
    pub fn answer(&mut self, message: &[u8], stamp: &str) -> Vec<u8> {
        let field = |tag: &str| {
            let mut fields = message.split(|&byte| byte == 1).filter_map(|f| std::str::from_utf8(f).ok());
            fields.find_map(|f| f.strip_prefix(tag)?.strip_prefix('=')).unwrap_or("").to_owned()
        };
        self.exec_id += 1;
        let (id, orig, exec_id) = (field("11"), field("41"), self.exec_id);
        let terms = format!(
            "17=E{exec_id}|39=0|55=BTCUSDT|54={}|38={}|44={}|151={}|14=0|6=0|60={stamp}|",
            field("54"),
            field("38"),
            field("44"),
            field("38")
        );
        let (kind, body) = match field("35").as_str() {
            "A" => ("A", "98=0|108=30|".to_owned()),
            "AF" => ("8", format!("37=NONE|17=E{exec_id}|150=I|39=8|584={}|911=0|912=Y|", field("584"))),
            "D" => ("8", format!("37=V{id}|11={id}|150=0|{terms}")),
            "G" => ("8", format!("37=V{orig}|11={id}|41={orig}|150=5|{terms}")),
            _ => return Vec::new(),
        };
        self.next_out += 1;
        let body = format!("35={kind}|34={}|49=VENUE|56=TERCEL|52={stamp}|{body}", self.next_out).replace('|', "\x01");
        let mut out = format!("8=FIX.4.4\x019={}\x01{body}", body.len()).into_bytes();
        let sum = checksum(&out);
        out.extend_from_slice(format!("10={sum:03}\x01").as_bytes());
        out
    }
}
