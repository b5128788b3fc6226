//! Limits: `[risk]` for the firm, `[account.limits]`, `[strategy.limits]`, `[instrument.limits]`, and positions. What is not
//! configured is refused by the core, so a missing limit is a problem here.
use super::{Table, money};
use tercel_risk::{Collar, InstrumentLimits, PositionLimits, RateLimits, ScopeLimits};
use tercel_types::{Decimal, DurationNs, Instruments, Money, Qty};

/// Limits of the firm, an account or a strategy.
pub fn read_scope(table: &Table<'_>) -> ScopeLimits {
    let amount = |key: &str| positive_money(table, key);
    ScopeLimits {
        max_open_orders: table.int("max_open_orders", 1..(1 << 20)) as u32,
        max_gross_value: amount("max_gross_value"),
        max_net_value: amount("max_net_value"),
        max_loss_day: amount("max_loss_day"),
        max_drawdown: amount("max_drawdown"),
        rates: RateLimits {
            orders: read_rates(table, "orders_per_100ms_1s_60s"),
            cancels: read_rates(table, "cancels_per_100ms_1s_60s"),
            halt_after: table.int_or("halt_after", 0..1_000_001, 0) as u32,
        },
    }
}

fn positive_money(table: &Table<'_>, key: &str) -> Money {
    let value = table.decimal(key);
    if value.mantissa <= 0 {
        table.problem(key, value.to_string(), "above 0", "a limit of 0 refuses every order");
    }
    money(value)
}

fn read_rates(table: &Table<'_>, key: &str) -> [u32; 3] {
    let rates = table.ints(key, 1..(1 << 20) + 1);
    match rates.as_slice() {
        [a, b, c] => [*a as u32, *b as u32, *c as u32],
        other => {
            table.problem(
                key,
                format!("{} numbers", other.len()),
                "three: messages per 100 ms, per 1 s, per 60 s",
                "such as [20, 100, 2000]",
            );
            [1; 3]
        }
    }
}

/// `[instrument.limits]`.
pub fn read_instrument(table: &Table<'_>, lot: Decimal) -> InstrumentLimits {
    let collar = match (table.int_opt("collar_bps", 1..10_001), table.int_opt("collar_ticks", 1..(1 << 40))) {
        (Some(bps), None) => Some(Collar::Bps(bps)),
        (None, Some(ticks)) => Some(Collar::Ticks(ticks)),
        (found, _) => {
            let seen = if found.is_some() { "both" } else { "neither" };
            table.problem(
                "collar_bps",
                seen,
                "either `collar_bps` or `collar_ticks`",
                "bound the distance of a price to the middle",
            );
            None
        }
    };
    InstrumentLimits {
        max_order_qty: positive_qty(table, "max_order_qty", lot),
        max_order_value: positive_money(table, "max_order_value"),
        collar,
        reference_max_age: DurationNs::from_millis(table.int("reference_max_age_ms", 1..86_400_001)),
    }
}

fn positive_qty(table: &Table<'_>, key: &str, lot: Decimal) -> Qty {
    let qty = read_qty(table, key, lot);
    if qty.0 <= 0 {
        table.problem(key, qty.0.to_string(), "above 0", "a limit of 0 refuses every order");
    }
    qty
}

/// A quantity as text, a multiple of the lot.
pub fn read_qty(table: &Table<'_>, key: &str, lot: Decimal) -> Qty {
    let text = table.str(key);
    if text.is_empty() {
        return Qty(1); // `str` has reported it
    }
    lot.count_of(text.as_bytes()).map(Qty).unwrap_or_else(|error| {
        table.problem(key, format!("{text:?} ({error})"), format!("a multiple of the lot {lot}"), "change the value");
        Qty(1)
    })
}

/// `[[account.position]]`, `[[strategy.position]]`: dense by instrument; one that is not named may not be traded.
pub fn read_positions(table: &Table<'_>, instruments: &Instruments) -> Vec<PositionLimits> {
    let mut positions = vec![PositionLimits::default(); instruments.len()];
    if !table.has("position") {
        table.problem("position", "nothing", "a `position` table per instrument", "without it every order is refused");
    }
    table.tables("position", |position| {
        let symbol = position.str("symbol");
        match instruments.by_symbol(&symbol) {
            Some(instrument) => {
                positions[instrument.id.idx()] = PositionLimits {
                    max_long: read_qty(position, "max_long", instrument.lot),
                    max_short: read_qty(position, "max_short", instrument.lot),
                };
            }
            None => {
                position.problem(
                    "symbol",
                    format!("`{symbol}`"),
                    super::symbols(instruments),
                    "add it as `[[instrument]]`",
                );
                // Read, so that they are no unknown keys; what lot they count in is not known.
                let _ = (position.str("max_long"), position.str("max_short"));
            }
        }
    });
    positions
}
