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

/// Accepts everything: logon, orders, replaces; nothing is ever filled. It runs between two measured spans on the same
/// processor, so it neither allocates nor formats: what it evicts from the caches, a venue across the wire would not.
#[derive(Default)]
pub struct Venue {
    next_out: u64,
    exec_id: u64,
}

/// The fields of a request that its answer repeats.
#[derive(Default)]
struct Request<'a> {
    kind: &'a [u8],
    id: &'a [u8],
    orig: &'a [u8],
    side: &'a [u8],
    qty: &'a [u8],
    px: &'a [u8],
    mass_status_id: &'a [u8],
}

impl<'a> Request<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut request = Self::default();
        for field in message.split(|&byte| byte == 1) {
            let Some(equals) = field.iter().take(4).position(|&byte| byte == b'=') else { continue };
            let (tag, value) = (&field[..equals], &field[equals + 1..]);
            match tag {
                b"35" => request.kind = value,
                b"11" => request.id = value,
                b"41" => request.orig = value,
                b"54" => request.side = value,
                b"38" => request.qty = value,
                b"44" => request.px = value,
                b"584" => request.mass_status_id = value,
                _ => {}
            }
        }
        request
    }
}

/// Digits without leading zeros, into the end of `room`.
fn digits(mut value: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut start = room.len();
    loop {
        start -= 1;
        room[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &room[start..];
        }
    }
}

impl Venue {
    /// Appends the venue's answer to one message to `out`, if it has one.
    pub fn answer(&mut self, message: &[u8], stamp: &[u8], out: &mut Vec<u8>) {
        const HEAD: &[u8] = b"8=FIX.4.4\x019=000\x01";
        let request = Request::read(message);
        if !matches!(request.kind, b"A" | b"AF" | b"D" | b"G") {
            return;
        }
        self.exec_id += 1;
        self.next_out += 1;
        let (mut exec_room, mut number_room) = ([0; 20], [0; 20]);
        let (exec_id, number) = (digits(self.exec_id, &mut exec_room), digits(self.next_out, &mut number_room));
        let start = out.len();
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        let kind: &[u8] = if request.kind == b"A" { b"A" } else { b"8" };
        put(&[HEAD, b"35=", kind, b"\x0134=", number, b"\x0149=VENUE\x0156=TERCEL\x0152=", stamp, b"\x01"]);
        match request.kind {
            b"A" => put(&[b"98=0\x01108=30\x01"]),
            b"AF" => {
                put(&[b"37=NONE\x0117=E", exec_id, b"\x01150=I\x0139=8\x01584=", request.mass_status_id]);
                put(&[b"\x01911=0\x01912=Y\x01"]);
            }
            kind => {
                if kind == b"D" {
                    put(&[b"37=V", request.id, b"\x0111=", request.id, b"\x01150=0"]);
                } else {
                    put(&[b"37=V", request.orig, b"\x0111=", request.id, b"\x0141=", request.orig, b"\x01150=5"]);
                }
                put(&[b"\x0117=E", exec_id, b"\x0139=0\x0155=BTCUSDT\x0154=", request.side]);
                put(&[b"\x0138=", request.qty, b"\x0144=", request.px, b"\x01151=", request.qty]);
                put(&[b"\x0114=0\x016=0\x0160=", stamp, b"\x01"]);
            }
        }
        let len = out.len() - start - HEAD.len();
        fill(&mut out[start + HEAD.len() - 4..start + HEAD.len() - 1], len as u64);
        let sum = checksum(&out[start..]);
        let at = out.len() + 3;
        out.extend_from_slice(b"10=000\x01");
        fill(&mut out[at..at + 3], u64::from(sum));
    }
}

/// `value` with leading zeros.
fn fill(places: &mut [u8], mut value: u64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}
