//! Hot path. One message of the venue, in its envelope `{"stream":…,"data":…}` or bare, to numbers and levels.
//!
//!   bytes ──▶ a form seen before (forms.rs) ───────────────┬──▶ Depth + levels | BookTicker | Trade | Other | Foreign
//!               └──▶ keys in the venue's order (ordered.rs) ──┤
//!                        └──(anything else)──▶ any order ─────┘
//!
//! In any order, a member of the wrong shape is skipped and is a fault only if the message needs it.
//!
//! Memory      none: levels go into the caller's slice, which is the body of a frame.
//! Cost        measured in benches/json.
use crate::json::cursor::{Cursor, Key};
use crate::json::forms::Forms;
use crate::json::levels::Scales;
use crate::json::scale::{self, Scale};
use crate::json::{Malformed, Why};
use tercel_event::Level;
use tercel_types::{Instrument, InstrumentId, Price, Qty, Side, TimeNs};

/// The kinds of message that become frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Depth,
    BookTicker,
    Trade,
}

/// `depthUpdate`. Its levels stand at the front of the slice given to `decode`: bids, then asks, in the venue's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    pub instrument: InstrumentId,
    /// `U`.
    pub first_update_id: u64,
    /// `u`.
    pub last_update_id: u64,
    /// `pu`; spot has none.
    pub prev_update_id: Option<u64>,
    /// `E`.
    pub ts_exchange: TimeNs,
    pub bids_count: usize,
    pub asks_count: usize,
}

/// `bookTicker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookTicker {
    pub instrument: InstrumentId,
    pub update_id: u64,
    pub bid_px: Price,
    pub bid_qty: Qty,
    pub ask_px: Price,
    pub ask_qty: Qty,
    /// `E`; 0 on spot, which sends none.
    pub ts_exchange: TimeNs,
}

/// `trade`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    pub instrument: InstrumentId,
    pub trade_id: u64,
    pub px: Price,
    /// 0 on the venue's notices of insurance fund and deleveraging, which are no trades of the book.
    pub qty: Qty,
    /// From `m`: the buyer was the maker, so the seller was the aggressor.
    pub aggressor: Side,
    /// `E`.
    pub ts_exchange: TimeNs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Depth(Depth),
    BookTicker(BookTicker),
    Trade(Trade),
    /// Well-formed JSON of another kind: an answer to a request, another stream.
    Other,
    /// One of the three kinds, of an instrument that the decoder does not have.
    Foreign,
}

/// The REST answer of `/depth`; levels as for `Depth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub last_update_id: u64,
    /// `E`; 0 on spot, which sends none.
    pub ts_exchange: TimeNs,
    pub bids_count: usize,
    pub asks_count: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Symbol {
    pub name: Box<[u8]>,
    pub instrument: InstrumentId,
    pub scales: Scales,
}

/// Knows the instruments, and forms of recent messages, which change the cost of a message but never what it says.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(super) symbols: Vec<Symbol>,
    forms: Forms,
}

impl Decoder {
    pub fn new<'a>(instruments: impl IntoIterator<Item = &'a Instrument>) -> Self {
        let symbols: Vec<Symbol> = instruments
            .into_iter()
            .map(|i| Symbol {
                name: i.symbol.as_bytes().into(),
                instrument: i.id,
                scales: Scales { price: Scale::new(i.price_step), qty: Scale::new(i.lot) },
            })
            .collect();
        Self { forms: Forms::new(symbols.len()), symbols }
    }

    /// Decodes one message. `levels` receives what a `Depth` counts; its content is undefined otherwise.
    #[inline]
    pub fn decode(&mut self, bytes: &[u8], levels: &mut [Level]) -> Result<Message, Malformed> {
        match self.decode_form(bytes) {
            Some(message) => Ok(message),
            None => self.decode_formless(bytes, levels),
        }
    }

    /// A best quote or trade of a form that was seen before, `None` for every other message.
    #[inline(always)]
    pub(crate) fn decode_form(&self, bytes: &[u8]) -> Option<Message> {
        self.forms.read(bytes)
    }

    /// As `decode`, for a message that `decode_form` does not know. Its form will be known from here on.
    #[inline(never)]
    pub(crate) fn decode_formless(&mut self, bytes: &[u8], levels: &mut [Level]) -> Result<Message, Malformed> {
        let Some(message) = self.decode_ordered(bytes, levels) else { return self.decode_any(bytes, levels) };
        if !matches!(message, Message::Depth(_)) {
            self.forms.learn(bytes, &message, &self.symbols);
        }
        Ok(message)
    }

    /// As `decode`, without the short ways for forms seen before and for the order of keys that the venue uses today.
    pub fn decode_any(&self, bytes: &[u8], levels: &mut [Level]) -> Result<Message, Malformed> {
        let (mut cursor, mut fields) = (Cursor::new(bytes), Fields::default());
        match self.members(&mut cursor, &mut fields, true, levels).and_then(|()| ended(&mut cursor)) {
            Ok(()) => fields.message(&self.symbols, levels),
            Err(malformed) => Err(fields.known(&self.symbols, malformed)),
        }
    }

    /// Decodes a REST snapshot of `instrument`.
    pub fn snapshot(
        &self,
        instrument: InstrumentId,
        bytes: &[u8],
        levels: &mut [Level],
    ) -> Result<Snapshot, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let known = |malformed: Malformed| Malformed { instrument: Some(instrument), ..malformed };
        let Some(symbol) = self.symbols.iter().find(|s| s.instrument == instrument) else {
            return Err(known(cursor.fault(Why::Missing)));
        };
        read_snapshot(&symbol.scales, &mut cursor, levels).map_err(known)
    }

    /// The members of one object. In the outer one, `data` is the envelope of the message.
    #[inline]
    fn members(
        &self,
        cursor: &mut Cursor<'_>,
        fields: &mut Fields,
        outer: bool,
        levels: &mut [Level],
    ) -> Result<(), Malformed> {
        cursor.expect(b'{')?;
        let start = cursor.at;
        if cursor.is_empty(b'}') {
            return Ok(());
        }
        loop {
            let key = cursor.key()?;
            let at = cursor.at;
            let bit = bit_of(key);
            if bit == 0 {
                if outer && key == Key::Long(b"data") && cursor.peek() == b'{' {
                    if fields.seen != 0 || fields.enveloped {
                        return Err(cursor.fault(Why::Twice));
                    }
                    fields.enveloped = true;
                    self.members(cursor, fields, false, levels)?;
                } else {
                    cursor.skip()?;
                }
            } else if outer && fields.enveloped {
                // Members of a message beside an envelope would make two messages of one.
                return Err(cursor.fault(Why::Twice));
            } else if let Err(malformed) = self.member(bit, start, cursor, fields, levels) {
                fields.faults |= bit;
                fields.fault.get_or_insert(malformed);
                cursor.at = at;
                cursor.skip()?;
            }
            if !cursor.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// One member. An error leaves it to the caller to skip the value.
    #[inline]
    fn member(
        &self,
        bit: u32,
        start: usize,
        cursor: &mut Cursor<'_>,
        fields: &mut Fields,
        levels: &mut [Level],
    ) -> Result<(), Malformed> {
        if fields.seen & bit != 0 {
            return Err(cursor.fault(Why::Twice));
        }
        fields.seen |= bit;
        match bit {
            EVENT => {
                fields.event = match cursor.string()? {
                    b"depthUpdate" => Kind::Known(Event::Depth),
                    b"bookTicker" => Kind::Known(Event::BookTicker),
                    b"trade" => Kind::Known(Event::Trade),
                    _ => Kind::Unknown,
                };
            }
            SYMBOL => {
                let name = cursor.string()?;
                fields.symbol = self.symbols.iter().position(|s| *s.name == *name).map_or(FOREIGN, |at| at as u32);
            }
            TIME => fields.ts_ms = whole(cursor)?,
            FIRST => fields.first = whole(cursor)?,
            LAST => fields.last = whole(cursor)?,
            PREV => fields.prev = whole(cursor)?,
            TRADE_ID => fields.trade_id = whole(cursor)?,
            MAKER => {
                fields.buyer_is_maker = cursor.take(b"true");
                if !fields.buyer_is_maker {
                    cursor.literal(b"false")?;
                }
            }
            _ => {
                let Some(scales) = self.scales(start, cursor, fields) else { return cursor.skip() };
                match bit {
                    PX => fields.px = scales.price(cursor)?,
                    QTY => fields.qty = scales.qty(cursor)?,
                    BID_QTY => fields.bid_qty = scales.qty(cursor)?,
                    ASK_QTY => fields.ask_qty = scales.qty(cursor)?,
                    BIDS if cursor.peek() == b'"' => fields.bid_px = scales.price(cursor)?,
                    ASKS if cursor.peek() == b'"' => fields.ask_px = scales.price(cursor)?,
                    _ => {
                        let used = fields.bids_count + fields.asks_count;
                        let room = levels.get_mut(used..).unwrap_or_default();
                        let count = scales.levels(cursor, room)?;
                        if bit == BIDS {
                            fields.asks_first = fields.asks_count > 0;
                            fields.bids_count = count;
                        } else {
                            fields.asks_count = count;
                        }
                        fields.arrays |= bit;
                    }
                }
            }
        }
        Ok(())
    }

    /// The scales of the message's instrument; looks ahead when its symbol has not been seen yet.
    #[inline]
    fn scales(&self, start: usize, cursor: &Cursor<'_>, fields: &mut Fields) -> Option<&Scales> {
        if fields.symbol == NOT_SEEN {
            fields.symbol = self.look_ahead(Cursor { bytes: cursor.bytes, at: start });
        }
        self.symbols.get(fields.symbol as usize).map(|s| &s.scales)
    }

    #[cold]
    #[inline(never)]
    fn look_ahead(&self, mut cursor: Cursor<'_>) -> u32 {
        let mut find = || -> Result<Option<u32>, Malformed> {
            loop {
                if cursor.key()? == Key::One(b's') {
                    let name = cursor.string()?;
                    return Ok(self.symbols.iter().position(|s| *s.name == *name).map(|at| at as u32));
                }
                cursor.skip()?;
                if !cursor.more(b'}')? {
                    return Ok(None);
                }
            }
        };
        // A fault on the way shows again, with its place, when the members are read in order.
        find().ok().flatten().unwrap_or(FOREIGN)
    }
}

/// The bit of a key that we read, 0 of any other.
#[inline]
fn bit_of(key: Key<'_>) -> u32 {
    match key {
        Key::One(b'e') => EVENT,
        Key::One(b's') => SYMBOL,
        Key::One(b'E') => TIME,
        Key::One(b'U') => FIRST,
        Key::One(b'u') => LAST,
        Key::One(b'b') => BIDS,
        Key::One(b'a') => ASKS,
        Key::One(b'B') => BID_QTY,
        Key::One(b'A') => ASK_QTY,
        Key::One(b't') => TRADE_ID,
        Key::One(b'p') => PX,
        Key::One(b'q') => QTY,
        Key::One(b'm') => MAKER,
        Key::Long(b"pu") => PREV,
        _ => 0,
    }
}

const EVENT: u32 = 1;
const SYMBOL: u32 = 1 << 1;
const TIME: u32 = 1 << 2;
const FIRST: u32 = 1 << 3;
const LAST: u32 = 1 << 4;
const PREV: u32 = 1 << 5;
const BIDS: u32 = 1 << 6;
const ASKS: u32 = 1 << 7;
const BID_QTY: u32 = 1 << 8;
const ASK_QTY: u32 = 1 << 9;
const TRADE_ID: u32 = 1 << 10;
const PX: u32 = 1 << 11;
const QTY: u32 = 1 << 12;
const MAKER: u32 = 1 << 13;

const NOT_SEEN: u32 = u32::MAX;
const FOREIGN: u32 = u32::MAX - 1;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Absent,
    Known(Event),
    Unknown,
}

/// What has been read of one message. `seen` has a bit per key, `faults` of those that could not be read as what their key
/// says; `arrays` says which of `b` and `a` were arrays.
#[derive(Clone, Copy)]
struct Fields {
    seen: u32,
    arrays: u32,
    faults: u32,
    event: Kind,
    symbol: u32,
    ts_ms: u64,
    first: u64,
    last: u64,
    prev: u64,
    trade_id: u64,
    bid_px: Price,
    bid_qty: Qty,
    ask_px: Price,
    ask_qty: Qty,
    px: Price,
    qty: Qty,
    bids_count: usize,
    asks_count: usize,
    asks_first: bool,
    /// The message came inside of an envelope.
    enveloped: bool,
    buyer_is_maker: bool,
    /// The first of the faults.
    fault: Option<Malformed>,
}

impl Default for Fields {
    #[inline]
    fn default() -> Self {
        Self {
            seen: 0,
            arrays: 0,
            faults: 0,
            event: Kind::Absent,
            symbol: NOT_SEEN,
            ts_ms: 0,
            first: 0,
            last: 0,
            prev: 0,
            trade_id: 0,
            bid_px: Price(0),
            bid_qty: Qty(0),
            ask_px: Price(0),
            ask_qty: Qty(0),
            px: Price(0),
            qty: Qty(0),
            bids_count: 0,
            asks_count: 0,
            asks_first: false,
            enveloped: false,
            buyer_is_maker: false,
            fault: None,
        }
    }
}

impl Fields {
    #[inline]
    fn message(&self, symbols: &[Symbol], levels: &mut [Level]) -> Result<Message, Malformed> {
        const TICKER: u32 = SYMBOL | LAST | BIDS | BID_QTY | ASKS | ASK_QTY;
        if let (Some(fault), true) = (self.fault, self.faults & EVENT != 0) {
            return Err(self.known(symbols, fault));
        }
        let event = match self.event {
            Kind::Known(event) => event,
            // Spot sends its best quotes without a name.
            Kind::Absent if self.seen & (TICKER | TRADE_ID | FIRST) == TICKER && self.arrays == 0 => Event::BookTicker,
            _ => return Ok(Message::Other),
        };
        let (needs, arrays) = match event {
            Event::Depth => (SYMBOL | TIME | FIRST | LAST | BIDS | ASKS, BIDS | ASKS),
            Event::BookTicker if self.event == Kind::Absent => (TICKER, 0),
            Event::BookTicker => (TICKER | TIME, 0),
            Event::Trade => (SYMBOL | TIME | TRADE_ID | PX | QTY | MAKER, self.arrays),
        };
        let optional = match event {
            Event::Depth => PREV,
            Event::BookTicker => TIME,
            Event::Trade => 0,
        };
        if self.symbol == FOREIGN && self.seen & SYMBOL != 0 && self.faults & SYMBOL == 0 {
            return Ok(Message::Foreign);
        }
        if self.faults & (needs | optional) != 0 {
            return Err(self.known(symbols, self.fault.unwrap_or(Malformed::new(0, Why::Syntax))));
        }
        let symbol = symbols.get(self.symbol as usize).filter(|_| self.seen & needs == needs && self.arrays == arrays);
        let Some(instrument) = symbol.map(|s| s.instrument) else {
            return Err(self.known(symbols, Malformed::new(0, Why::Missing)));
        };
        let Some(ts_exchange) = i64::try_from(self.ts_ms).ok().and_then(|ms| ms.checked_mul(1_000_000)).map(TimeNs)
        else {
            return Err(self.known(symbols, Malformed::new(0, Why::Overflow)));
        };
        Ok(match event {
            Event::Depth => {
                if self.asks_first {
                    levels[..self.bids_count + self.asks_count].rotate_left(self.asks_count);
                }
                Message::Depth(Depth {
                    instrument,
                    first_update_id: self.first,
                    last_update_id: self.last,
                    prev_update_id: (self.seen & PREV != 0).then_some(self.prev),
                    ts_exchange,
                    bids_count: self.bids_count,
                    asks_count: self.asks_count,
                })
            }
            Event::BookTicker => Message::BookTicker(BookTicker {
                instrument,
                update_id: self.last,
                bid_px: self.bid_px,
                bid_qty: self.bid_qty,
                ask_px: self.ask_px,
                ask_qty: self.ask_qty,
                ts_exchange,
            }),
            Event::Trade => Message::Trade(Trade {
                instrument,
                trade_id: self.trade_id,
                px: self.px,
                qty: self.qty,
                aggressor: if self.buyer_is_maker { Side::Sell } else { Side::Buy },
                ts_exchange,
            }),
        })
    }

    #[cold]
    fn known(&self, symbols: &[Symbol], malformed: Malformed) -> Malformed {
        let event = if let Kind::Known(event) = self.event { Some(event) } else { None };
        let instrument = symbols.get(self.symbol as usize).map(|s| s.instrument);
        Malformed { event, instrument, ..malformed }
    }
}

#[inline]
fn whole(cursor: &mut Cursor<'_>) -> Result<u64, Malformed> {
    match scale::whole(cursor.bytes, cursor.at) {
        Ok((value, end)) => {
            cursor.at = end;
            Ok(value)
        }
        Err(why) => Err(cursor.fault(why)),
    }
}

#[inline]
fn ended(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    cursor.blanks();
    if cursor.at == cursor.bytes.len() { Ok(()) } else { Err(cursor.fault(Why::Syntax)) }
}

fn read_snapshot(scales: &Scales, cursor: &mut Cursor<'_>, levels: &mut [Level]) -> Result<Snapshot, Malformed> {
    let (mut id, mut ts_ms, mut bids, mut asks, mut asks_first) = (None, None, None, None, false);
    cursor.expect(b'{')?;
    if cursor.is_empty(b'}') {
        return Err(cursor.fault(Why::Missing));
    }
    loop {
        let key = cursor.key()?;
        let used = bids.unwrap_or(0) + asks.unwrap_or(0);
        let room = levels.get_mut(used..).unwrap_or_default();
        let twice = match key {
            Key::Long(b"lastUpdateId") => id.replace(whole(cursor)?).is_some(),
            Key::One(b'E') => ts_ms.replace(whole(cursor)?).is_some(),
            Key::Long(b"bids") => {
                asks_first = asks.is_some();
                bids.replace(scales.levels(cursor, room)?).is_some()
            }
            Key::Long(b"asks") => asks.replace(scales.levels(cursor, room)?).is_some(),
            _ => {
                cursor.skip()?;
                false
            }
        };
        if twice {
            return Err(cursor.fault(Why::Twice));
        }
        if !cursor.more(b'}')? {
            break;
        }
    }
    ended(cursor)?;
    let (Some(last_update_id), Some(bids_count), Some(asks_count)) = (id, bids, asks) else {
        return Err(cursor.fault(Why::Missing));
    };
    if asks_first {
        levels[..bids_count + asks_count].rotate_left(asks_count);
    }
    let ts_ns = i64::try_from(ts_ms.unwrap_or(0)).ok().and_then(|ms| ms.checked_mul(1_000_000));
    let ts_exchange = TimeNs(ts_ns.ok_or_else(|| cursor.fault(Why::Overflow))?);
    Ok(Snapshot { last_update_id, ts_exchange, bids_count, asks_count })
}
