//! The constant parts of order messages, rendered at start.
use super::form::PIECE_LEN;
use crate::number::Places;
use crate::session::SessionConfig;
use tercel_types::{Decimal, Instrument};

/// What every order of one account in one instrument has in common, rendered once.
#[derive(Debug)]
pub(super) struct Template {
    /// `1=…|21=1|55=…|`
    pub(super) order: Box<[u8]>,
    /// `55=…|`
    pub(super) symbol: Box<[u8]>,
    pub(super) price_step: Decimal,
    pub(super) lot: Decimal,
    pub(super) price_places: Places,
    pub(super) lot_places: Places,
    /// `1=…|21=1|55=…|54=` where a form has room for it.
    pub(super) piece: Option<Piece>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) text: [u8; PIECE_LEN],
    pub(super) len: usize,
    /// Of its bytes.
    pub(super) sum: u32,
}

impl Piece {
    fn of(order: &[u8]) -> Option<Self> {
        let (mut text, len) = ([0; PIECE_LEN], order.len() + 3);
        text.get_mut(..order.len())?.copy_from_slice(order);
        text.get_mut(order.len()..len)?.copy_from_slice(b"54=");
        Some(Self { text, len, sum: text.iter().map(|&byte| u32::from(byte)).sum() })
    }
}

impl Template {
    /// Account-major: `account · instruments + instrument`.
    pub(super) fn all(accounts: &[String], instruments: &[Instrument]) -> Vec<Self> {
        let of = |account: &String, instrument: &Instrument| {
            let account = if account.is_empty() { String::new() } else { format!("1={account}\x01") };
            let symbol = format!("55={}\x01", instrument.symbol);
            let order = format!("{account}21=1\x01{symbol}").into_bytes();
            Self {
                piece: Piece::of(&order),
                order: order.into(),
                symbol: symbol.into_bytes().into(),
                price_step: instrument.price_step,
                lot: instrument.lot,
                price_places: Places::of(instrument.price_step),
                lot_places: Places::of(instrument.lot),
            }
        };
        accounts.iter().flat_map(|account| instruments.iter().map(move |instrument| of(account, instrument))).collect()
    }
}

/// What stands in front of MsgSeqNum, with zeros for BodyLength, and from behind it to SendingTime.
pub(super) fn header_of(session: &SessionConfig, kind: char) -> (Vec<u8>, Vec<u8>) {
    let head = format!("8={}\x019=000\x0135={kind}\x0134=", session.begin_string);
    let comp_ids = format!("\x0149={}\x0156={}\x0152=", session.sender_comp_id, session.target_comp_id);
    (head.into_bytes(), comp_ids.into_bytes())
}
