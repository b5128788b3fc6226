//! Hot path. NewOrderSingle (D) and OrderCancelReplaceRequest (G) of a limit order as a form: the whole message with header
//! and trailer stands in one buffer, and an order fills in what differs from the one before.
//!
//!   8=…|9=nnn|35=G|34=  n  |49=…|56=…|52=  stamp  |11=  id  |41=  id  |1=…|21=1|55=…|54=  side  |60=  stamp  |38=  qty  |40=2|44=  px  …
//!         head ────────▶│◀── to the left of the number, for it grows   │◀── `FIELDS_AT`, at fixed places        │◀── as they come
//!
//! Memory      one buffer for each message; it stays in the cache whatever the number of instruments.
//! Cost        no loop and no call: numbers are rendered in words, CheckSum is summed from the words and never read back.
//! Invariants  the bytes equal those that `Writer` renders of the same order; what does not fit a form (`None`) is left to it.
use super::template::{Template, header_of};
use crate::message::SOH;
use crate::number::{Places, text2, text3, text8};
use crate::session::SessionConfig;
use crate::stamp::{STAMP_LEN, StampCache};
use tercel_event::{Command, OrdType};
use tercel_types::{ClOrdId, TimeNs};

/// Longest `1=…|21=1|55=…|54=` that fits a form.
pub(super) const PIECE_LEN: usize = 64;
const LEN: usize = 512;
/// Place of SendingTime (52); BeginString, BodyLength, number and CompIDs lie to the left of it.
const FIELDS_AT: usize = 160;
/// `8=FIX.4.4|9=nnn|35=D|34=` with spare room in front.
const HEAD_LEN: usize = 32;
/// `nnn|35=D|34=` of the head, and of that what BodyLength counts.
const BODY_LEN_TAIL: usize = 12;
const BODY_TAIL: usize = 8;
const DIGITS_MAX: usize = 8;
const NUMBER_END: u32 = 100_000_000;
/// Place of the milliseconds in a stamp; the byte behind them is SOH.
const MS_AT: usize = 18;
/// From the side to the quantity: `n|60=`, stamp, `|38=`.
const SIDE_LEN: usize = 1 + 4 + STAMP_LEN + 4;
/// Low bits of an id: its last four characters. Those before change once in a million ids.
const ID_BITS: u32 = 20;
const ID_HIGH: usize = 9;
const ID_LOW: usize = 4;

/// What changes rarely. While it stands, so do most bytes of the buffer and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    template: usize,
    second: TimeNs,
    id: u64,
    orig: u64,
}

impl Key {
    const NONE: Self = Self { template: usize::MAX, second: TimeNs(0), id: u64::MAX, orig: u64::MAX };
}

/// The form of a G with `REPLACE`, else of a D.
#[derive(Debug)]
pub(super) struct Form<const REPLACE: bool> {
    bytes: [u8; LEN],
    key: Key,
    /// Of all bytes that neither the order nor one of the other sums is about.
    sum: u32,
    /// Place of the side.
    side_at: usize,

    /// The quantity that stands there in lots, the place behind it, its sum. Zero for none: an order has more.
    qty: i64,
    qty_end: usize,
    qty_sum: u32,

    /// What stands in front of the CompIDs is for the numbers from here to 99 further on, and for so many
    /// bytes between number and CheckSum.
    hundred: u64,
    behind_len: usize,
    /// Place of BeginString.
    start: usize,
    /// Of what stands in front of the CompIDs but the last two digits of the number.
    lead_sum: u32,

    /// Right-aligned.
    head: [u8; HEAD_LEN],
    head_len: usize,
    /// Place behind MsgSeqNum; 0 when the texts of the session do not fit.
    number_end: usize,
    /// Of the bytes that never change, and of the first characters of both ids.
    sum_always: u32,
    ids_sum: u32,
}

impl<const REPLACE: bool> Form<REPLACE> {
    const ID_AT: usize = FIELDS_AT + STAMP_LEN + 4;
    const ORIG_AT: usize = Self::ID_AT + ID_HIGH + ID_LOW + 4;
    const PIECE_AT: usize = (if REPLACE { Self::ORIG_AT } else { Self::ID_AT }) + ID_HIGH + ID_LOW + 1;
    const NO_HUNDRED: u64 = 1 << 32;

    pub(super) fn new(session: &SessionConfig) -> Self {
        let (head, comp_ids) = header_of(session, if REPLACE { 'G' } else { 'D' });
        let mut new = Self {
            bytes: [0; LEN],
            key: Key::NONE,
            sum: 0,
            side_at: 0,
            qty: 0,
            qty_end: 0,
            qty_sum: 0,
            hundred: Self::NO_HUNDRED,
            behind_len: 0,
            start: 0,
            lead_sum: 0,
            head: [0; HEAD_LEN],
            head_len: head.len(),
            number_end: 0,
            sum_always: 0,
            ids_sum: 0,
        };
        if head.len() <= HEAD_LEN && HEAD_LEN + DIGITS_MAX + comp_ids.len() <= FIELDS_AT {
            new.head[HEAD_LEN - head.len()..].copy_from_slice(&head);
            new.number_end = FIELDS_AT - comp_ids.len();
            new.bytes[new.number_end..FIELDS_AT].copy_from_slice(&comp_ids);
        }
        new.bytes[Self::ID_AT - 4..Self::ID_AT].copy_from_slice(b"\x0111=");
        if REPLACE {
            new.bytes[Self::ORIG_AT - 4..Self::ORIG_AT].copy_from_slice(b"\x0141=");
        }
        new.bytes[Self::PIECE_AT - 1] = SOH;
        // Where an order fills in, there is nothing yet.
        new.sum_always = sum_of(&new.bytes) + sum_of(AFTER_SIDE) + sum_of(AFTER_STAMP) + sum_of(BEFORE_PX);
        new
    }

    /// The message with number `number`, or `None` when it does not fit: not a limit order, a number of too many digits, a
    /// text that is too long.
    #[inline]
    pub(super) fn render(
        &mut self,
        number: u32,
        command: &Command,
        (template_idx, template): (usize, &Template),
        stamps: &mut StampCache,
        wall: TimeNs,
    ) -> Option<&[u8]> {
        let (ms, ms_sum) = text3(stamps.split(wall), SOH);
        let (id, orig) = (command.cl_ord_id.0, if REPLACE { command.orig_cl_ord_id.0 } else { 0 });
        let key = Key { template: template_idx, second: stamps.second(), id: id >> ID_BITS, orig: orig >> ID_BITS };
        if self.key != key {
            self.set_key(key, template, stamps)?;
        }
        if command.order_qty.0 != self.qty {
            self.set_qty(command.order_qty.0, template)?;
        }
        if command.ord_type != OrdType::Limit as u8 {
            return None;
        }

        let (id_text, orig_text) = (id_low(id), if REPLACE { id_low(orig) } else { 0 });
        put(&mut self.bytes, FIELDS_AT + MS_AT, ms.to_le_bytes());
        put(&mut self.bytes, Self::ID_AT + ID_HIGH, id_text.to_le_bytes());
        if REPLACE {
            put(&mut self.bytes, Self::ORIG_AT + ID_HIGH, orig_text.to_le_bytes());
        }
        let side = b'0' + command.side;
        let rest: &mut [u8; SIDE_LEN] = window(&mut self.bytes, self.side_at)?;
        rest[0] = side;
        put(rest, 5 + MS_AT, ms.to_le_bytes());

        let rest: &mut [u8; Places::SPAN + END_LEN] = window(&mut self.bytes, self.qty_end)?;
        let (px_len, px_sum) = template.price_places.write(command.px.0, rest.first_chunk_mut()?)?;
        let end = &ENDS[usize::from(command.flags & (Command::POST_ONLY | Command::REDUCE_ONLY))];
        let px_len = px_len % Places::SPAN;
        put(rest, px_len, end.text);
        rest[px_len + 4] = command.tif;
        let sum_at = self.qty_end + px_len + end.len;

        let behind_len = sum_at - self.number_end;
        let of_hundred = u64::from(number).wrapping_sub(self.hundred);
        let last_sum = if of_hundred < 100 && behind_len == self.behind_len {
            let (digits, sum) = text2(of_hundred as u32);
            *window(&mut self.bytes, self.number_end - 2)? = digits.to_le_bytes();
            sum
        } else {
            self.set_lead(number, behind_len)?
        };
        let sum = self.sum
            + self.lead_sum
            + last_sum
            + 2 * ms_sum
            + sum_of_ids(id_text, orig_text)
            + u32::from(side)
            + self.qty_sum
            + px_sum
            + u32::from(command.tif)
            + end.sum;
        *window(&mut self.bytes, sum_at)? = CHECK_SUMS[sum as usize % CHECK_SUMS.len()];
        self.bytes.get(self.start..sum_at + 4)
    }

    /// Once a second, and when instrument, account or the high part of an id are not those of the order before.
    #[inline(never)]
    fn set_key(&mut self, key: Key, template: &Template, stamps: &StampCache) -> Option<()> {
        let before = core::mem::replace(&mut self.key, Key::NONE);
        let piece = template.piece.as_ref().filter(|_| self.number_end != 0)?;
        if before.template != key.template {
            put(&mut self.bytes, Self::PIECE_AT, piece.text);
            self.side_at = Self::PIECE_AT + piece.len;
            self.qty = 0;
        }
        let stamp = stamps.second_text();
        put(&mut self.bytes, FIELDS_AT, *stamp);
        let rest: &mut [u8; SIDE_LEN] = window(&mut self.bytes, self.side_at)?;
        put(rest, 1, *AFTER_SIDE);
        put(rest, 5, *stamp);
        put(rest, 5 + STAMP_LEN, *AFTER_STAMP);
        if (before.id, before.orig) != (key.id, key.orig) {
            let high = |id: u64| *ClOrdId(id << ID_BITS).to_ascii().first_chunk::<ID_HIGH>().expect("an id is longer");
            let (id, orig) = (high(key.id), high(key.orig));
            put(&mut self.bytes, Self::ID_AT, id);
            self.ids_sum = sum_of(&id);
            if REPLACE {
                put(&mut self.bytes, Self::ORIG_AT, orig);
                self.ids_sum += sum_of(&orig);
            }
        }
        self.sum = self.sum_always + self.ids_sum + piece.sum + 2 * sum_of(&stamp[..MS_AT]);
        self.key = key;
        Some(())
    }

    /// When the quantity is not that of the order before.
    #[inline(never)]
    fn set_qty(&mut self, qty: i64, template: &Template) -> Option<()> {
        self.qty = 0;
        let qty_at = self.side_at + SIDE_LEN;
        let rest: &mut [u8; Places::SPAN + BEFORE_PX.len()] = window(&mut self.bytes, qty_at)?;
        let (len, sum) = template.lot_places.write(qty, rest.first_chunk_mut()?)?;
        put(rest, len, *BEFORE_PX);
        (self.qty, self.qty_end, self.qty_sum) = (qty, qty_at + len + BEFORE_PX.len(), sum);
        Some(())
    }

    /// Every hundredth number, and when BodyLength changes. Returns what the last two digits of the number add to
    /// `lead_sum`.
    #[inline(never)]
    fn set_lead(&mut self, number: u32, behind_len: usize) -> Option<u32> {
        self.hundred = Self::NO_HUNDRED;
        if number >= NUMBER_END {
            return None;
        }
        let (digits, zeros, digits_sum) = text8(number);
        // The trailer begins three bytes before the digits of CheckSum.
        let body_len = BODY_TAIL + DIGITS_MAX - zeros + behind_len - 3;
        if !(100..1_000).contains(&body_len) {
            return None;
        }
        let (body_len, body_len_sum) = text3(body_len as u32, SOH);
        let lead_at = self.number_end - DIGITS_MAX - HEAD_LEN;
        let lead: &mut [u8; HEAD_LEN + DIGITS_MAX] = window(&mut self.bytes, lead_at)?;
        put(lead, HEAD_LEN, digits.to_le_bytes());
        put(lead, zeros, self.head);
        put(lead, zeros + HEAD_LEN - BODY_LEN_TAIL, body_len.to_le_bytes());
        self.start = lead_at + zeros + HEAD_LEN - self.head_len;
        self.behind_len = behind_len;
        self.lead_sum = sum_of(&self.head) - 3 * u32::from(b'0') + body_len_sum + digits_sum;
        if number < 100 {
            return Some(0); // one digit or two: rendered each time
        }
        let (_, last_sum) = text2(number % 100);
        self.hundred = u64::from(number - number % 100);
        self.lead_sum -= last_sum;
        Some(last_sum)
    }
}

const AFTER_SIDE: &[u8; 4] = b"\x0160=";
const AFTER_STAMP: &[u8; 4] = b"\x0138=";
const BEFORE_PX: &[u8; 9] = b"\x0140=2\x0144=";

/// By words, each split in halves of bytes that cannot carry into one another.
fn sum_of(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let word_sum = |word: &[u8; 8]| {
        const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
        let word = u64::from_le_bytes(*word);
        (((word & EVEN) + (word >> 8 & EVEN)).wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
    };
    words.iter().map(word_sum).sum::<u32>() + rest.iter().map(|&byte| u32::from(byte)).sum::<u32>()
}

const END_LEN: usize = 16;

/// From behind the price to the digits of CheckSum, with a place for the TimeInForce; 6: participate don't initiate,
/// E: do not increase the position.
struct End {
    text: [u8; END_LEN],
    len: usize,
    sum: u32,
}

/// By the command's flags.
static ENDS: [End; 4] = {
    assert!(Command::POST_ONLY == 1 && Command::REDUCE_ONLY == 2);
    [
        End::of(b"\x0159=\0\x0110="),
        End::of(b"\x0159=\0\x0118=6\x0110="),
        End::of(b"\x0159=\0\x0118=E\x0110="),
        End::of(b"\x0159=\0\x0118=6 E\x0110="),
    ]
};

impl End {
    const fn of(bytes: &[u8]) -> Self {
        let (mut text, mut len, mut sum) = ([0; END_LEN], 0, 0);
        while len < bytes.len() {
            text[len] = bytes[len];
            sum += bytes[len] as u32;
            len += 1;
        }
        // The trailer is no part of its own sum.
        Self { text, len, sum: sum - (b'1' as u32 + b'0' as u32 + b'=' as u32) }
    }
}

/// `text` at `at`; where the place is a constant, so is the check.
#[inline]
fn put<const N: usize>(out: &mut [u8], at: usize, text: [u8; N]) {
    out[at..at + N].copy_from_slice(&text);
}

/// The `N` bytes from `at`: one check for all that is written there.
#[inline]
fn window<const N: usize>(bytes: &mut [u8; LEN], at: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}

/// The last four characters of an id as text, two at a time.
#[inline]
fn id_low(id: u64) -> u32 {
    let pair = |shift: u32| u32::from(ID_PAIRS[(id >> shift) as usize % ID_PAIRS.len()]);
    pair(10) | pair(0) << 16
}

static ID_PAIRS: [u16; 1_024] = {
    let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let (mut pairs, mut at) = ([0; 1_024], 0);
    while at < pairs.len() {
        pairs[at] = u16::from_le_bytes([alphabet[at / 32], alphabet[at % 32]]);
        at += 1;
    }
    pairs
};

/// Sum of the bytes of two words of characters below 0x80.
#[inline]
fn sum_of_ids(id: u32, orig: u32) -> u32 {
    const EVEN: u32 = 0x00ff_00ff;
    let both = id + orig;
    ((both & EVEN) + (both >> 8 & EVEN)).wrapping_mul(0x0001_0001) >> 16
}

/// CheckSum (10) as it is written, with its SOH.
static CHECK_SUMS: [[u8; 4]; 256] = {
    let (mut texts, mut at) = ([[0; 4]; 256], 0);
    while at < texts.len() {
        texts[at] = [b'0' + (at / 100) as u8, b'0' + (at / 10 % 10) as u8, b'0' + (at % 10) as u8, SOH];
        at += 1;
    }
    texts
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;
    use crate::tag::{self, msg_type};
    use crate::writer::Writer;
    use proptest::prelude::*;
    use tercel_net::Now;
    use tercel_types::{Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Price, Qty};

    fn instrument(id: u32, symbol: &str, price_scale: u8, lot_scale: u8) -> Instrument {
        Instrument {
            id: InstrumentId(id),
            symbol: symbol.into(),
            kind: InstrumentKind::LinearPerp,
            base: "BTC".into(),
            quote: "USDT".into(),
            settle: "USDT".into(),
            price_step: Decimal { mantissa: if id == 1 { 5 } else { 1 }, scale: price_scale },
            lot: Decimal { mantissa: 1, scale: lot_scale },
            multiplier: Decimal::ONE,
            min_qty: Qty(1),
            min_notional: Money::from_whole(100),
            fees: FeeRates::default(),
            calendar: Calendar::Always,
        }
    }

    fn by_writer(
        writer: &mut Writer,
        number: u32,
        command: &Command,
        template: &Template,
        wall: TimeNs,
        replace: bool,
    ) -> Vec<u8> {
        writer.begin();
        writer.text::<{ tag::MSG_TYPE }>(if replace {
            msg_type::ORDER_CANCEL_REPLACE_REQUEST
        } else {
            msg_type::NEW_ORDER_SINGLE
        });
        writer.uint::<{ tag::MSG_SEQ_NUM }>(u64::from(number));
        writer.raw(b"49=TERCEL\x0156=VENUE\x01");
        writer.time::<{ tag::SENDING_TIME }>(wall);
        super::super::outbound::order_fields(writer, command, template, Now { engine: TimeNs(0), wall }, replace);
        writer.finish(b"8=FIX.4.4\x019=").unwrap().to_vec()
    }

    fn readable(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace('\x01', "|")
    }

    proptest! {
        /// One form over orders of any kind renders what the writer renders of each.
        #[test]
        fn forms_equal_the_writer_prop(
            orders in prop::collection::vec(
                (
                    prop_oneof![0u32..4, 0u32..4, 0u32..4, 0u32..120, any::<u32>()],
                    (0usize..6, 0u32..3, 0u64..3, prop_oneof![0u64..100, any::<u64>()], any::<u64>()),
                    (prop_oneof![Just(5i64), Just(5i64), 1i64..2_000, 1i64..2_000_000_000, any::<i64>()], prop_oneof![1i64..2_000, 0i64..2_000_000_000, any::<i64>()]),
                    (1u8..=2, 0u8..4, 0u8..5),
                ),
                1..60,
            ),
        ) {
            let long = "X".repeat(60);
            let instruments = [
                instrument(0, "BTCUSDT", 1, 3),
                instrument(1, "ETH-USD_SWAP.X", 8, 0),
                instrument(2, &long, 2, 8),
            ];
            let templates = Template::all(&["ACC".into(), String::new()], &instruments);
            let session = SessionConfig::initiator("TERCEL", "VENUE");
            let (mut new, mut replace) = (Form::<false>::new(&session), Form::<true>::new(&session));
            let (mut stamps, mut writer) = (StampCache::default(), Writer::default());
            let mut wall = TimeNs(1_790_000_000_037_000_000);
            let mut number = 1u32;
            for (numbers, (template, epoch, step, counter, orig), (qty, px), (side, flags, tif)) in orders {
                number = if numbers > 1_000 { numbers >> (numbers % 32) } else { number.saturating_add(numbers) };
                wall = TimeNs(wall.0 + step as i64 * 700_000_000 + 1_000_000);
                let id = |counter: u64| ClOrdId::new(epoch, 3, counter & ((1 << 38) - 1)).unwrap();
                let command = Command {
                    cl_ord_id: id(counter),
                    orig_cl_ord_id: ClOrdId(orig),
                    order_qty: Qty(qty),
                    px: Price(px),
                    side,
                    tif: b'0' + tif,
                    ord_type: b'2',
                    flags,
                    ..bytemuck::Zeroable::zeroed()
                };
                let form = (template, &templates[template]);
                for is_replace in [false, true] {
                    let rendered = if is_replace {
                        replace.render(number, &command, form, &mut stamps, wall)
                    } else {
                        new.render(number, &command, form, &mut stamps, wall)
                    };
                    let small = number < 100_000_000 && (0..1_000_000_000).contains(&qty) && (0..1_000_000_000).contains(&px);
                    match rendered {
                        Some(bytes) => {
                            prop_assert_eq!(readable(bytes), readable(&by_writer(&mut writer, number, &command, form.1, wall, is_replace)));
                        }
                        None => prop_assert!(!small || template % 3 == 2, "an ordinary order was left to the writer"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_writer() {
        let templates = Template::all(&["ACC".into()], &[instrument(0, "BTCUSDT", 1, 3)]);
        let (template, mut stamps) = ((0, &templates[0]), StampCache::default());
        let limit = Command {
            order_qty: Qty(5),
            px: Price(1),
            side: 1,
            tif: b'1',
            ord_type: b'2',
            ..bytemuck::Zeroable::zeroed()
        };
        let market = Command { ord_type: b'1', ..limit };
        let mut form = Form::<false>::new(&SessionConfig::initiator("TERCEL", "VENUE"));
        let bytes = form.render(1, &limit, template, &mut stamps, TimeNs(0)).unwrap();
        let sum = checksum(&bytes[..bytes.len() - 7]);
        assert!(bytes.ends_with(format!("10={sum:03}\x01").as_bytes()), "{}", readable(bytes));
        assert!(form.render(1, &market, template, &mut stamps, TimeNs(0)).is_none());
        assert!(form.render(100_000_000, &limit, template, &mut stamps, TimeNs(0)).is_none());
        for session in [
            SessionConfig::initiator(&"S".repeat(80), &"T".repeat(80)),
            SessionConfig { begin_string: "FIX.4.4-and-much-more".into(), ..SessionConfig::initiator("A", "B") },
        ] {
            assert!(Form::<true>::new(&session).render(1, &limit, template, &mut stamps, TimeNs(0)).is_none());
        }
    }

    #[test]
    fn pairs_spell_ids() {
        for id in [0, 1, 31, 32, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(id_low(id).to_le_bytes(), ClOrdId(id).to_ascii()[ID_HIGH..], "{id:#x}");
        }
    }
}
