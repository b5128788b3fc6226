//! Names and fields: what can be read of instruments and signals, with unit and clock.
use super::{Checker, Entity, Place, Traits, Ty, Value};
use crate::ast::Name;
use crate::diagnostic::{Diagnostic, nearest};
use crate::span::Span;
use crate::unit::Unit;
use tercel_event::{ClockSource, Field, Input};
use tercel_graph::{ClockSet, Cmp, Op};

/// Fields of an instrument, as written behind the dot.
const FIELDS: &[&str] = &[
    "mid",
    "spread",
    "tick",
    "lot",
    "best_bid",
    "best_ask",
    "bid",
    "ask",
    "others",
    "last",
    "position",
    "avg_price",
    "bought",
    "sold",
    "flat",
    "settled",
    "fee_taker",
    "fee_maker",
    "book_age",
];
/// Levels of a book that a strategy may read.
pub(crate) const MAX_LEVELS: u32 = 20;

impl Checker<'_> {
    /// `fair`, `x.mid`, `x.others.best_bid`, `alpha.age`, `elapsed`.
    pub fn path(&mut self, path: &[Name], span: Span) -> Value {
        let Some((head, fields)) = path.split_first() else { return self.poison() };
        match (head.text.as_str(), fields) {
            ("elapsed", []) => return self.time_value(Op::Elapsed, Ty::Num(Unit::second()), span),
            ("now", []) => return self.time_value(Op::Now, Ty::Time, span),
            (word @ ("true" | "false"), []) => {
                let node = self.push(Op::ConstBool(word == "true"), &[], span);
                return Value { node, ty: Ty::Bool, traits: Traits::default(), constant: None, bare: false };
            }
            _ => {}
        }
        let Some(entity) = self.lookup(&head.text) else {
            self.unknown_name(head);
            return self.poison();
        };
        match entity {
            Entity::Instrument(instrument) => self.instrument_field(instrument, head, fields, span),
            Entity::Signal(signal) => match fields {
                [] => self.signal_value(signal, span),
                [field] if field.text == "age" => self.time_value(Op::SignalAge(signal), Ty::Num(Unit::second()), span),
                [field, ..] => {
                    let message = format!("a signal has no field `{}`", field.text);
                    let help = format!("write `{}` or `{}.age`", head.text, head.text);
                    self.report(Diagnostic::new("E0203", field.span, message).help(help));
                    self.poison()
                }
            },
            Entity::Param(param) => {
                let ty = self.param_tys[param as usize].clone();
                let mut node = self.push(Op::Param(param), &[], span);
                if ty == Ty::Int {
                    node = self.push(Op::CheckInt, &[node], span);
                }
                self.no_fields(head, fields, Value { node, ty, traits: Traits::default(), constant: None, bare: false })
            }
            Entity::State(state) => {
                let (ty, persist) = self.state_tys[state as usize].clone();
                let node = self.push(Op::State(state), &[], span);
                let traits = Traits { plain_state: !persist, ..Traits::default() };
                self.no_fields(head, fields, Value { node, ty, traits, constant: None, bare: false })
            }
            Entity::Value(value) => self.no_fields(head, fields, *value),
        }
    }

    fn no_fields(&mut self, head: &Name, fields: &[Name], value: Value) -> Value {
        if let (Ty::Record(record), [field, rest @ ..]) = (&value.ty, fields) {
            let value = self.result_named(&record.clone(), field);
            return self.no_fields(field, rest, value);
        }
        match fields.first() {
            Some(field) if !value.is_poison() => {
                let message = format!("`{}` is {}, it has no field `{}`", head.text, self.show(&value.ty), field.text);
                self.report(Diagnostic::new("E0203", field.span, message).help(format!("delete `.{}`", field.text)));
                self.poison()
            }
            _ => value,
        }
    }

    /// `now`, `elapsed` and ages as values: only where something else says when they tick.
    fn time_value(&mut self, op: Op, ty: Ty, span: Span) -> Value {
        if self.frame.place == Place::Plain {
            let text = self.text(span);
            self.report(
                Diagnostic::new("E0212", span, format!("`{text}` alone would change at every instant"))
                    .label("expected a comparison such as `… > 2s`, or a clock")
                    .help(format!("compare it (`{text} > d`), or sample the whole expression: `… @ every 1s`")),
            );
            return self.poison();
        }
        let node = self.push(op, &[], span);
        Value { node, ty, traits: Traits::default(), constant: None, bare: false }
    }

    fn signal_value(&mut self, signal: u16, span: Span) -> Value {
        let input = self.input(Input::Signal { signal });
        let clocks = self.base_clock(ClockSource::Signal(signal));
        let mut node = self.push_on(Op::Signal { input, signal }, &[], clocks, span);
        let (ty, scale) = self.signal_tys[signal as usize].clone();
        if scale != 1.0 {
            // The model publishes in the declared scale. Division by 10^k is correctly rounded, a product with 1e-4 is not.
            let per_unit = self.push(Op::Const((1.0 / scale).round()), &[], span);
            node = self.push(Op::Div, &[node, per_unit], span);
        }
        Value { node, ty, traits: Traits::default(), constant: None, bare: false }
    }

    fn instrument_field(&mut self, x: u16, head: &Name, fields: &[Name], span: Span) -> Value {
        let words: Vec<&str> = fields.iter().map(|f| f.text.as_str()).collect();
        let (price, qty) = (Ty::Num(self.price_unit(x)), Ty::Num(self.qty_unit(x)));
        let ratio = Ty::Num(Unit::ratio());
        let book = [ClockSource::Book(x)];
        let exec = [ClockSource::Exec(x)];
        let (field, clocks, ty): (Field, &[ClockSource], Ty) = match words.as_slice() {
            ["mid"] => return self.mid(x, span),
            ["spread"] => return self.spread(x, span),
            ["best_bid" | "best_ask"] | ["best_bid" | "best_ask", "px"] => {
                let field = if words[0] == "best_bid" { Field::BidPx(0) } else { Field::AskPx(0) };
                let mut value = self.field_value(x, field, &book, price, span);
                value.traits.public_touch |= 1 << x.min(63);
                return value;
            }
            ["best_bid", "qty"] => (Field::BidQty(0), &book, qty),
            ["best_ask", "qty"] => (Field::AskQty(0), &book, qty),
            ["others", "best_bid"] => (Field::OthersBidPx, &[ClockSource::Book(x), ClockSource::Exec(x)], price),
            ["others", "best_ask"] => (Field::OthersAskPx, &[ClockSource::Book(x), ClockSource::Exec(x)], price),
            ["last"] | ["last", "px"] => (Field::LastPx, &[ClockSource::Trades(x)], price),
            ["last", "qty"] => (Field::LastQty, &[ClockSource::Trades(x)], qty),
            ["last", "side"] => (Field::LastSide, &[ClockSource::Trades(x)], ratio),
            ["position"] => (Field::Position, &exec, qty),
            ["bought"] => (Field::Bought, &exec, qty),
            ["sold"] => (Field::Sold, &exec, qty),
            ["avg_price"] => (Field::AvgPrice, &exec, price),
            ["flat" | "settled"] => {
                let field = if words[0] == "flat" { Field::Flat } else { Field::Settled };
                let number = self.field_value(x, field, &exec, ratio, span);
                let zero = self.push(Op::Const(0.0), &[], span);
                let node = self.push(Op::Cmp(Cmp::Ne), &[number.node, zero], span);
                return Value { node, ty: Ty::Bool, ..number };
            }
            ["tick"] => (Field::Tick, &[], price),
            ["lot"] => (Field::Lot, &[], qty),
            ["fee_taker"] => (Field::FeeTaker, &[], ratio),
            ["fee_maker"] => (Field::FeeMaker, &[], ratio),
            ["book_age"] => (Field::BookAge, &book, Ty::Num(Unit::second())),
            _ => return self.wrong_field(head, fields, span),
        };
        self.field_value(x, field, clocks, ty, span)
    }

    fn wrong_field(&mut self, head: &Name, fields: &[Name], span: Span) -> Value {
        let alias = &head.text;
        let finding = match fields {
            [] => Diagnostic::new("E0206", span, format!("expected a value, found the instrument `{alias}`"))
                .help(format!("read one of its fields, such as `{alias}.mid`")),
            [field] if matches!(field.text.as_str(), "bid" | "ask") => {
                Diagnostic::new("E0203", span, format!("`{alias}.{}` is a list of levels", field.text))
                    .help(format!("write `{alias}.best_{}`, or a level: `{alias}.{}[0].px`", field.text, field.text))
            }
            [field, ..] => {
                let message =
                    format!("an instrument has no field `{}`", self.text(field.span.to(fields[fields.len() - 1].span)));
                let help = match nearest(&field.text, FIELDS.iter().copied()) {
                    Some(near) if near != field.text => format!("did you mean `{alias}.{near}`?"),
                    _ => format!("fields are {}", FIELDS.join(", ")),
                };
                Diagnostic::new("E0203", field.span, message).label("unknown field").help(help)
            }
        };
        self.report(finding);
        self.poison()
    }

    fn field_value(&mut self, x: u16, field: Field, clocks: &[ClockSource], ty: Ty, span: Span) -> Value {
        let mut set = ClockSet::NONE;
        for clock in clocks {
            set |= self.base_clock(*clock);
        }
        let node = self.field_node(x, field, set, span);
        Value { node, ty, traits: Traits::default(), constant: None, bare: false }
    }

    /// A price or quantity of a level, level 0 first.
    pub fn level(&mut self, x: u16, field: Field, span: Span) -> Value {
        let ty = match field {
            Field::BidPx(_) | Field::AskPx(_) => Ty::Num(self.price_unit(x)),
            _ => Ty::Num(self.qty_unit(x)),
        };
        self.field_value(x, field, &[ClockSource::Book(x)], ty, span)
    }

    /// (best_bid + best_ask) / 2.
    fn mid(&mut self, x: u16, span: Span) -> Value {
        let (bid, ask) = (self.level(x, Field::BidPx(0), span), self.level(x, Field::AskPx(0), span));
        let sum = self.push(Op::Add, &[bid.node, ask.node], span);
        let two = self.push(Op::Const(2.0), &[], span);
        let node = self.push(Op::Div, &[sum, two], span);
        Value { node, ..bid }
    }

    fn spread(&mut self, x: u16, span: Span) -> Value {
        let (bid, ask) = (self.level(x, Field::BidPx(0), span), self.level(x, Field::AskPx(0), span));
        let node = self.push(Op::Sub, &[ask.node, bid.node], span);
        Value { node, ..bid }
    }
}
