//! Hot path. Best quotes and trades of a form that was seen before: the same text but for the digits of numbers, each as long
//! as it was. Then every number stands where it stood, and one comparison of the whole text replaces the reading of keys.
//!
//!   bytes ──▶ (stream, length) ──▶ form ──▶ text − base ≤ room, all bytes at once ──▶ numbers at known places
//!                   └──(no form, or other text)──▶ ordered.rs, and what it reads becomes a form
//!
//! A form is learned from a message that the ordered way has read, so a text that fits it has the same keys, the same
//! instrument and the same punctuation; only numbers differ, and they are counted exactly or left to the other ways. Of the
//! recorded best quotes 94 % (COIN-M) to 99.9 % (USD-M, spot) have a form, of the trades 91 % to 99.9 %.
//!
//! Memory      all slots allocated by `Forms::new`; about 800 bytes for each form in use.
//! Cost        measured in benches/json; learning costs about as much as reading a message in any order.
use crate::json::cursor::{Cursor, Key};
use crate::json::digits::eight;
use crate::json::message::{BookTicker, Message, Symbol, Trade};
use crate::json::places::{Decimal, Number};
use tercel_types::{InstrumentId, Price, Qty, Side, TimeNs};

const BLOCK: usize = 32;
const BLOCKS: usize = 8;
/// Longer and shorter messages have no form.
const LEN_MAX: usize = BLOCK * BLOCKS;
const LEN_MIN: usize = 48;
/// The text that tells streams from each other: the first bytes behind `{"stream":"`.
const STREAM_AT: u32 = 11;
/// Forms that an instrument may have before they displace each other: two kinds, each in several lengths.
const SLOTS_PER_INSTRUMENT: usize = 16;

/// The forms in use, in pairs of slots.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    slots: Box<[Form]>,
    pairs_mask: usize,
    /// Which slot of a full pair goes next.
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Form {
    /// Hash of stream and length, 0 in a free slot.
    tag: u64,
    len: usize,
    blocks: [Block; BLOCKS],
    makes: Makes,
    instrument: InstrumentId,
    /// `u` or `t`.
    id: Number,
    /// `E`; no digits in a best quote of spot, which has none.
    time: Number,
    /// `b`, `B`, `a`, `A`, or `p` and `q`.
    counts: [Decimal; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Makes {
    BookTicker,
    Trade(Side),
}

/// A byte less that of `base` is at most that of `room`: 0 where the text is fixed, 9 for a digit.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))] // aligned, vector instructions take it from memory
struct Block {
    base: [u8; BLOCK],
    room: [u8; BLOCK],
}

impl Forms {
    pub fn new(instruments_count: usize) -> Self {
        let slots = (instruments_count.max(1) * SLOTS_PER_INSTRUMENT).next_power_of_two();
        Self { slots: vec![Form::FREE; slots].into_boxed_slice(), pairs_mask: slots / 2 - 1, next: 0 }
    }

    /// The message, when its form is known and every number of it can be counted.
    #[inline(always)]
    pub fn read(&self, bytes: &[u8]) -> Option<Message> {
        let tag = tag_of(bytes)?;
        let pair = self.pair_of(tag);
        let form = match self.slots.get(pair..pair + 2)? {
            [form, _] if form.tag == tag => form,
            [_, form] if form.tag == tag => form,
            _ => return None,
        };
        form.read(bytes)
    }

    #[inline(always)]
    fn pair_of(&self, tag: u64) -> usize {
        2 * ((tag >> 32) as usize & self.pairs_mask)
    }

    /// Makes a form of a message that the ordered way has read as `message`.
    #[cold]
    #[inline(never)]
    pub fn learn(&mut self, bytes: &[u8], message: &Message, symbols: &[Symbol]) {
        let Some(tag) = tag_of(bytes) else { return };
        let (instrument, makes) = match message {
            Message::BookTicker(ticker) => (ticker.instrument, Makes::BookTicker),
            Message::Trade(trade) => (trade.instrument, Makes::Trade(trade.aggressor)),
            _ => return,
        };
        let Some(symbol) = symbols.iter().find(|s| s.instrument == instrument) else { return };
        let pair = self.pair_of(tag);
        let slot = match &self.slots[pair..pair + 2] {
            [form, _] if form.tag == tag || form.tag == 0 => pair,
            [_, form] if form.tag == tag || form.tag == 0 => pair + 1,
            _ => {
                self.next ^= 1;
                pair + self.next
            }
        };
        if let Some(form) = Form::of(tag, bytes, makes, symbol) {
            self.slots[slot] = form;
        }
    }
}

/// Stream and length in one word, never 0; `None` for a message that can have no form.
#[inline(always)]
fn tag_of(bytes: &[u8]) -> Option<u64> {
    let text: &[u8; LEN_MIN] = bytes.first_chunk()?;
    let (low, high) = (eight(text, STREAM_AT)?, eight(text, STREAM_AT + 8)?);
    let sum = low ^ high.rotate_left(29) ^ (bytes.len() as u64).rotate_left(48);
    Some(sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

impl Form {
    const FREE: Self = Self {
        tag: 0,
        len: 0,
        blocks: [Block { base: [0; BLOCK], room: [0; BLOCK] }; BLOCKS],
        makes: Makes::BookTicker,
        instrument: InstrumentId(0),
        id: Number::NONE,
        time: Number::NONE,
        counts: [Decimal::NONE; 4],
    };

    #[inline(always)]
    fn read(&self, bytes: &[u8]) -> Option<Message> {
        if !self.fits(bytes) {
            return None;
        }
        let (id, ms) = (self.id.read(bytes)?, self.time.read(bytes)?);
        let ts_exchange = TimeNs(i64::try_from(ms).ok()?.checked_mul(1_000_000)?);
        let (instrument, [a, b, c, d]) = (self.instrument, &self.counts);
        let (px, qty) = (Price(a.read(bytes)?), Qty(b.read(bytes)?));
        Some(match self.makes {
            Makes::BookTicker => Message::BookTicker(BookTicker {
                instrument,
                update_id: id,
                bid_px: px,
                bid_qty: qty,
                ask_px: Price(c.read(bytes)?),
                ask_qty: Qty(d.read(bytes)?),
                ts_exchange,
            }),
            Makes::Trade(aggressor) => {
                Message::Trade(Trade { instrument, trade_id: id, px, qty, aggressor, ts_exchange })
            }
        })
    }

    /// Every byte is what it was, or a digit where there was one.
    #[inline(always)]
    fn fits(&self, bytes: &[u8]) -> bool {
        // The last block ends where the text does and overlaps the one before.
        let Some(end) = bytes.last_chunk::<BLOCK>() else { return false };
        let Some(last) = self.blocks.get((bytes.len() - 1) / BLOCK) else { return false };
        let (whole, _) = bytes[..bytes.len() - 1].as_chunks::<BLOCK>();
        self.len == bytes.len()
            && whole.iter().zip(&self.blocks).all(|(text, block)| block.fits(text))
            && last.fits(end)
    }

    /// Walks the members of a message without blanks; what is no number of ours stays as it is.
    fn of(tag: u64, bytes: &[u8], makes: Makes, symbol: &Symbol) -> Option<Self> {
        let (instrument, scales) = (symbol.instrument, &symbol.scales);
        let mut form = Self { tag, len: bytes.len(), makes, instrument, ..Self::FREE };
        let (mut base, mut room) = ([0; LEN_MAX], [0; LEN_MAX]);
        base.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let mut cursor = Cursor::new(bytes);
        cursor.expect(b'{').ok()?;
        let mut found = 0;
        loop {
            let key = cursor.key().ok()?;
            if key == Key::Long(b"data") && cursor.take(b"{") {
                continue;
            }
            let from = cursor.at;
            cursor.skip().ok()?;
            let value = bytes.get(from..cursor.at)?;
            let quoted = value.first() == Some(&b'"');
            let (from, to) = if quoted { (from + 1, cursor.at - 1) } else { (from, cursor.at) };
            if !quoted && value.iter().all(u8::is_ascii_digit) {
                vary(&mut base[from..to], &mut room[from..to]);
                if value.len() > 1 {
                    // JSON has no leading zeros.
                    (base[from], room[from]) = (b'1', 8);
                }
            }
            let count = match (makes, key) {
                (Makes::BookTicker, Key::One(b'b')) | (Makes::Trade(_), Key::One(b'p')) => Some((0, &scales.price)),
                (Makes::BookTicker, Key::One(b'B')) | (Makes::Trade(_), Key::One(b'q')) => Some((1, &scales.qty)),
                (Makes::BookTicker, Key::One(b'a')) => Some((2, &scales.price)),
                (Makes::BookTicker, Key::One(b'A')) => Some((3, &scales.qty)),
                _ => None,
            };
            match (makes, key) {
                (Makes::BookTicker, Key::One(b'u')) | (Makes::Trade(_), Key::One(b't')) => {
                    form.id = Number::at(from, to)?;
                    found |= 1;
                }
                (_, Key::One(b'E')) => form.time = Number::at(from, to)?,
                _ => {}
            }
            if let Some((at, scale)) = count {
                form.counts[at] = Decimal::at(bytes, from, to, scale)?;
                vary(&mut base[from..to], &mut room[from..to]);
                found |= 2 << at;
            }
            if !cursor.more(b'}').ok()? {
                break;
            }
        }
        let wanted = if makes == Makes::BookTicker { 0b11111 } else { 0b111 };
        let last = bytes.len().div_ceil(BLOCK) - 1;
        for (at, block) in form.blocks.iter_mut().enumerate().take(last + 1) {
            let from = if at == last { bytes.len() - BLOCK } else { at * BLOCK };
            block.base.copy_from_slice(&base[from..from + BLOCK]);
            block.room.copy_from_slice(&room[from..from + BLOCK]);
        }
        (found == wanted).then_some(form)
    }
}

/// Digits may be any; the point stays.
fn vary(base: &mut [u8], room: &mut [u8]) {
    for (base, room) in base.iter_mut().zip(room).filter(|(base, _)| base.is_ascii_digit()) {
        (*base, *room) = (b'0', 9);
    }
}

impl Block {
    /// Without a branch, so that it is a few vector instructions.
    #[inline(always)]
    fn fits(&self, text: &[u8; BLOCK]) -> bool {
        let mut fits = true;
        for ((byte, base), room) in text.iter().zip(&self.base).zip(&self.room) {
            fits &= byte.wrapping_sub(*base) <= *room;
        }
        fits
    }
}
