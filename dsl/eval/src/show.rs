//! Values, orders and notes as text: the one form of tables and of `tercel eval`.
use crate::{Cause, Setup};
use tercel_event::{Command, CommandKind, Control, Manifest, Note, Reason, Tif};
use tercel_graph::Value;
use tercel_types::Side;

/// The shortest decimal that reads back as the same number; with an exponent where plain digits would be long.
pub fn number_text(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-5..1e16).contains(&size) { format!("{x:e}") } else { format!("{x}") }
}

/// A value, or `absent:cause`.
pub fn value_text(value: Value, cause: impl FnOnce() -> Cause) -> String {
    match value {
        Value::F64(Some(x)) => number_text(x),
        Value::Bool(Some(x)) => x.to_string(),
        Value::Time(Some(ns)) => ns.to_string(),
        _ => format!("absent:{}", cause()),
    }
}

/// `BookNotLive` as `book_not_live`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

pub(crate) fn reason_text(code: u16) -> String {
    Reason::from_u16(code).map_or_else(|| code.to_string(), |reason| snake(&format!("{reason:?}")))
}

/// An order or request: `buy 0.01 @ 100 post`, `amend buy 0.02 @ 99.9`, `cancel sell 0.01 @ 101`, `status …`. Quantities are
/// totals, as FIX has them. With several instruments the alias goes first. `None` for what is no order.
pub fn command_text(command: &Command, setup: &Setup) -> Option<String> {
    let own = setup.instruments.get(command.instrument.idx())?;
    let side = if Side::from_u8(command.side)? == Side::Buy { "buy" } else { "sell" };
    let (qty, px) = (own.lot.f64_of(command.order_qty.0), own.tick.f64_of(command.px.0));
    let order = format!("{side} {} @ {}", number_text(qty), number_text(px));
    let what = match CommandKind::from_u8(command.kind)? {
        CommandKind::New if command.tif == Tif::Ioc as u8 => format!("{order} ioc"),
        CommandKind::New if command.flags & Command::POST_ONLY != 0 => format!("{order} post"),
        CommandKind::New => order,
        CommandKind::Replace => format!("amend {order}"),
        CommandKind::Cancel => format!("cancel {order}"),
        CommandKind::Status => format!("status {order}"),
        CommandKind::MassStatus | CommandKind::Resync => return None,
    };
    Some(if setup.instruments.len() > 1 { format!("{} {what}", own.alias) } else { what })
}

/// A note of the core: why it did not act, or what latched. `control` is what the strategy said of itself.
pub fn note_text(note: &Note, control: Control, manifest: &Manifest, setup: &Setup) -> String {
    let message = |idx: u16| manifest.messages.get(idx as usize).map_or("", |m| m.as_str());
    let alias = setup.instruments.get(note.instrument.idx()).map(|own| own.alias.as_str());
    let reason = Reason::from_u16(note.reason);
    let text = match (reason, control, note.value) {
        (Some(Reason::Verdict), Control::Halt(m), 1) if alias.is_none() => return format!("halt \"{}\"", message(m)),
        (Some(Reason::Verdict), Control::Finish(m), 2) if alias.is_none() => {
            return format!("finish \"{}\"", message(m));
        }
        (Some(Reason::Verdict), Control::Livelock, 3) if alias.is_none() => return "livelock".into(),
        (Some(Reason::Verdict), _, value) if note.control == 0 => {
            let word =
                ["release", "pull", "flatten", "halt", "refuse"].get(value as usize).copied().unwrap_or("verdict");
            format!("{word} by limit {}", note.limit)
        }
        (Some(Reason::RiskRefused), ..) if note.control >= tercel_core::STRATEGY_LIMIT => {
            format!("refused by limit {}", note.control - tercel_core::STRATEGY_LIMIT)
        }
        (Some(Reason::RiskRefused), ..) if note.control > 0 => format!("refused by C{}", note.control),
        (Some(Reason::Operator), ..) if note.control == 20 => {
            let state = ["", "active", "reducing", "halted"].get(note.value as usize).copied().unwrap_or("");
            return format!("operator {state}");
        }
        (Some(Reason::Operator), ..) if note.limit == -1 => return "param refused".into(),
        _ => format!("{} {}", reason_text(note.reason), note.leg),
    };
    match alias {
        Some(alias) if setup.instruments.len() > 1 => format!("{alias} {text}"),
        _ => text,
    }
}
