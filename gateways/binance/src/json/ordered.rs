//! Hot path. The short way: messages whose keys stand in the order in which the venue writes them today, without blanks; the
//! three markets differ in a few keys, and each of their messages has one order.
//! The first byte that is anything else leaves through `None`, and the message is read again in any order, with the same
//! result (tests/json_diff.rs compares the two ways on every recorded message). Nothing is taken on trust but the order.
use crate::json::cursor::{Cursor, plain_end};
use crate::json::message::{BookTicker, Decoder, Depth, Message, Symbol, Trade};
use crate::json::scale;
use tercel_event::Level;
use tercel_types::{Side, TimeNs};

impl Decoder {
    #[inline]
    pub(super) fn decode_ordered(&self, bytes: &[u8], levels: &mut [Level]) -> Option<Message> {
        let cursor = &mut Cursor::new(bytes);
        let enveloped = cursor.take(b"{\"stream\":\"");
        if enveloped {
            cursor.at = plain_end(bytes, cursor.at);
            take(cursor, b"\",\"data\":{\"")?;
        } else {
            take(cursor, b"{\"")?;
        }
        let message = if cursor.take(b"u\":") {
            let update_id = whole(cursor)?;
            take(cursor, b",\"")?;
            let named = cursor.take(b"e\":\"bookTicker\",\"");
            self.book_ticker(cursor, update_id, named)
        } else if cursor.take(b"e\":\"bookTicker\",\"u\":") {
            let update_id = whole(cursor)?;
            take(cursor, b",\"")?;
            self.book_ticker(cursor, update_id, true)
        } else if cursor.take(b"e\":\"depthUpdate\",\"E\":") {
            self.depth(cursor, levels)
        } else if cursor.take(b"e\":\"trade\",\"E\":") {
            self.trade(cursor)
        } else {
            None
        }?;
        let ended = if enveloped { cursor.take(b"}}") } else { cursor.take(b"}") };
        (ended && cursor.at == bytes.len()).then_some(message)
    }

    /// From behind `"E":` to the last level.
    #[inline]
    fn depth(&self, cursor: &mut Cursor<'_>, levels: &mut [Level]) -> Option<Message> {
        let ts_exchange = time(cursor)?;
        if cursor.take(b",\"T\":") {
            whole(cursor)?;
        }
        take(cursor, b",\"")?;
        let symbol = self.symbol(cursor)?;
        take(cursor, b"U\":")?;
        let first_update_id = whole(cursor)?;
        take(cursor, b",\"u\":")?;
        let last_update_id = whole(cursor)?;
        let prev_update_id = if cursor.take(b",\"pu\":") { Some(whole(cursor)?) } else { None };
        take(cursor, b",\"b\":")?;
        let bids_count = symbol.scales.levels(cursor, levels).ok()?;
        take(cursor, b",\"a\":")?;
        let asks_count = symbol.scales.levels(cursor, levels.get_mut(bids_count..)?).ok()?;
        let instrument = symbol.instrument;
        Some(Message::Depth(Depth {
            instrument,
            first_update_id,
            last_update_id,
            prev_update_id,
            ts_exchange,
            bids_count,
            asks_count,
        }))
    }

    /// From the key of the symbol to `E`; spot has neither name nor times.
    #[inline]
    fn book_ticker(&self, cursor: &mut Cursor<'_>, update_id: u64, named: bool) -> Option<Message> {
        let symbol = self.symbol(cursor)?;
        take(cursor, b"b\":")?;
        let bid_px = symbol.scales.price(cursor).ok()?;
        take(cursor, b",\"B\":")?;
        let bid_qty = symbol.scales.qty(cursor).ok()?;
        take(cursor, b",\"a\":")?;
        let ask_px = symbol.scales.price(cursor).ok()?;
        take(cursor, b",\"A\":")?;
        let ask_qty = symbol.scales.qty(cursor).ok()?;
        let (mut ts_exchange, instrument) = (TimeNs(0), symbol.instrument);
        if named {
            take(cursor, b",\"T\":")?;
            whole(cursor)?;
            take(cursor, b",\"E\":")?;
            ts_exchange = time(cursor)?;
        }
        Some(Message::BookTicker(BookTicker { instrument, update_id, bid_px, bid_qty, ask_px, ask_qty, ts_exchange }))
    }

    /// From behind `"E":` to `m`.
    #[inline]
    fn trade(&self, cursor: &mut Cursor<'_>) -> Option<Message> {
        let ts_exchange = time(cursor)?;
        if cursor.take(b",\"T\":") {
            whole(cursor)?;
        }
        take(cursor, b",\"")?;
        let symbol = self.symbol(cursor)?;
        take(cursor, b"t\":")?;
        let trade_id = whole(cursor)?;
        take(cursor, b",\"p\":")?;
        let px = symbol.scales.price(cursor).ok()?;
        take(cursor, b",\"q\":")?;
        let qty = symbol.scales.qty(cursor).ok()?;
        let spot = cursor.take(b",\"T\":");
        if spot {
            whole(cursor)?;
            take(cursor, b",\"m\":")?;
        } else {
            take(cursor, b",\"X\":\"MARKET\",\"m\":")?;
        }
        let buyer_is_maker = boolean(cursor)?;
        if spot {
            take(cursor, b",\"M\":")?;
            boolean(cursor)?;
        }
        let (aggressor, instrument) = (if buyer_is_maker { Side::Sell } else { Side::Buy }, symbol.instrument);
        Some(Message::Trade(Trade { instrument, trade_id, px, qty, aggressor, ts_exchange }))
    }

    /// `s":"NAME","` and, on COIN-M, the pair behind it.
    #[inline]
    fn symbol(&self, cursor: &mut Cursor<'_>) -> Option<&Symbol> {
        take(cursor, b"s\":\"")?;
        let rest = cursor.bytes.get(cursor.at..)?;
        let symbol =
            self.symbols.iter().find(|s| rest.starts_with(&s.name) && rest.get(s.name.len()) == Some(&b'"'))?;
        cursor.at += symbol.name.len();
        take(cursor, b"\",\"")?;
        if cursor.take(b"ps\":\"") {
            while cursor.peek().is_ascii_alphanumeric() {
                cursor.at += 1;
            }
            take(cursor, b"\",\"")?;
        }
        Some(symbol)
    }
}

#[inline(always)]
fn take<const N: usize>(cursor: &mut Cursor<'_>, want: &[u8; N]) -> Option<()> {
    cursor.take(want).then_some(())
}

#[inline]
fn boolean(cursor: &mut Cursor<'_>) -> Option<bool> {
    let is_true = cursor.take(b"true");
    (is_true || cursor.take(b"false")).then_some(is_true)
}

#[inline]
fn whole(cursor: &mut Cursor<'_>) -> Option<u64> {
    let (value, end) = scale::whole(cursor.bytes, cursor.at).ok()?;
    cursor.at = end;
    Some(value)
}

#[inline]
fn time(cursor: &mut Cursor<'_>) -> Option<TimeNs> {
    i64::try_from(whole(cursor)?).ok()?.checked_mul(1_000_000).map(TimeNs)
}
