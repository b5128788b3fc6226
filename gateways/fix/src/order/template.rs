//! The constant parts of order messages, rendered at start.
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
}

impl Template {
    /// Account-major: `account · instruments + instrument`.
    pub(super) fn all(accounts: &[String], instruments: &[Instrument]) -> Vec<Self> {
        let of = |account: &String, instrument: &Instrument| {
            let account = if account.is_empty() { String::new() } else { format!("1={account}\x01") };
            let symbol = format!("55={}\x01", instrument.symbol);
            Self {
                order: format!("{account}21=1\x01{symbol}").into_bytes().into(),
                symbol: symbol.into_bytes().into(),
                price_step: instrument.price_step,
                lot: instrument.lot,
            }
        };
        accounts.iter().flat_map(|account| instruments.iter().map(move |instrument| of(account, instrument))).collect()
    }
}
