//! Hot path. Arrays of `["price","quantity"]`, straight into `Level`s.
use crate::json::cursor::Cursor;
use crate::json::places::Decimal;
use crate::json::scale::Scale;
use crate::json::{Malformed, Why};
use tercel_event::Level;
use tercel_types::{Price, Qty};

/// The two scales of one instrument.
#[derive(Clone, Copy, Debug)]
pub struct Scales {
    pub price: Scale,
    pub qty: Scale,
}

impl Scales {
    /// A quoted price; the place is then behind its closing quote.
    #[inline]
    pub fn price(&self, cursor: &mut Cursor<'_>) -> Result<Price, Malformed> {
        quoted(cursor, &self.price).map(Price)
    }

    /// A quoted quantity, never negative.
    #[inline]
    pub fn qty(&self, cursor: &mut Cursor<'_>) -> Result<Qty, Malformed> {
        let at = cursor.at;
        match quoted(cursor, &self.qty)? {
            count if count < 0 => Err(Malformed::new(at, Why::Negative)),
            count => Ok(Qty(count)),
        }
    }

    /// The array at `cursor` into the front of `out`; returns how many levels it had. The venue writes no blanks, so each
    /// separator is first looked for as one word and only then piece by piece; and nearly all numbers have their digits where
    /// the one before had them (94 % on USD-M, 99 % on spot), which lets one level be read without waiting for the last.
    #[inline(never)]
    pub fn levels(&self, cursor: &mut Cursor<'_>, out: &mut [Level]) -> Result<usize, Malformed> {
        let (mut count, mut px_like, mut qty_like) = (0, Decimal::NONE, Decimal::NONE);
        cursor.expect(b'[')?;
        if cursor.is_empty(b']') {
            return Ok(0);
        }
        let mut opened = cursor.take(b"[\"");
        loop {
            if !opened {
                cursor.expect(b'[')?;
                cursor.expect(b'"')?;
            }
            let px = counted_like(cursor, &self.price, &mut px_like)?;
            if !cursor.take(b",\"") {
                cursor.expect(b',')?;
                cursor.expect(b'"')?;
            }
            let qty = counted_like(cursor, &self.qty, &mut qty_like)?;
            if qty < 0 {
                return Err(cursor.fault(Why::Negative));
            }
            let Some(slot) = out.get_mut(count) else { return Err(cursor.fault(Why::TooLarge)) };
            *slot = Level { px: Price(px), qty: Qty(qty) };
            count += 1;
            opened = cursor.take(b"],[\"");
            if !opened {
                cursor.expect(b']')?;
                if !cursor.more(b']')? {
                    return Ok(count);
                }
            }
        }
    }
}

#[inline]
fn quoted(cursor: &mut Cursor<'_>, scale: &Scale) -> Result<i64, Malformed> {
    if cursor.peek() != b'"' {
        return Err(cursor.fault(Why::Number));
    }
    cursor.at += 1;
    counted(cursor, scale)
}

#[inline(always)]
fn counted(cursor: &mut Cursor<'_>, scale: &Scale) -> Result<i64, Malformed> {
    match scale.count(cursor.bytes, cursor.at) {
        Ok((count, end)) => {
            cursor.at = end;
            Ok(count)
        }
        Err(why) => Err(cursor.fault(why)),
    }
}

#[inline(always)]
fn counted_like(cursor: &mut Cursor<'_>, scale: &Scale, like: &mut Decimal) -> Result<i64, Malformed> {
    match like.read_like(cursor.bytes, cursor.at) {
        Some((count, end)) => {
            cursor.at = end;
            Ok(count)
        }
        None => counted_anew(cursor, scale, like),
    }
}

#[inline(never)]
fn counted_anew(cursor: &mut Cursor<'_>, scale: &Scale, like: &mut Decimal) -> Result<i64, Malformed> {
    let from = cursor.at;
    let count = counted(cursor, scale)?;
    // Whole numbers change their length too often to be worth it.
    let to = cursor.at - 1;
    if cursor.bytes[from..to].contains(&b'.') {
        *like = Decimal::at(cursor.bytes, from, to, scale).unwrap_or(Decimal::NONE);
    }
    Ok(count)
}
