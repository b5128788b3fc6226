//! Types as written, literals, and values that must be known when the strategy is compiled.
use super::{Checker, Place, Traits, Ty, Value};
use crate::ast::{self, Expr, ExprKind, UnaryOp};
use crate::diagnostic::{Diagnostic, nearest};
use crate::span::Span;
use crate::unit::Unit;
use tercel_graph::Op;

const UNIT_WORDS: &[&str] =
    &["ratio", "real", "bps", "percent", "int", "bool", "duration", "time", "price", "qty", "money", "s", "num"];

impl Checker<'_> {
    /// A type as written, and the scale of a bare number in it: 1e-4 for `bps`.
    pub fn ty(&mut self, ty: &ast::Ty) -> Option<(Ty, f64)> {
        if ty.optional {
            self.unsupported("an optional type `…?`; every value may be absent", ty.span);
            return None;
        }
        if let [factor] = ty.factors.as_slice()
            && factor.exponent == 1
        {
            match factor.name.text.as_str() {
                "int" => return Some((Ty::Int, 1.0)),
                "bool" => return Some((Ty::Bool, 1.0)),
                "time" => return Some((Ty::Time, 1.0)),
                "word" if self.frame.function.is_some() => return Some((Ty::Word(String::new()), 1.0)),
                "bps" => return Some((Ty::Num(Unit::ratio()), 1e-4)),
                "percent" => return Some((Ty::Num(Unit::ratio()), 1e-2)),
                _ => {}
            }
        }
        let mut unit = Unit::ratio();
        for factor in &ty.factors {
            unit = unit.times(&self.factor(factor)?.power(i64::from(factor.exponent), 1));
        }
        Some((Ty::Num(unit), 1.0))
    }

    fn factor(&mut self, factor: &ast::Factor) -> Option<Unit> {
        let word = factor.name.text.as_str();
        match (word, &factor.index) {
            ("price" | "qty", Some(index)) => {
                let idx = self.instrument_named(index)?;
                Some(if word == "price" { self.price_unit(idx) } else { self.qty_unit(idx) })
            }
            ("money", Some(currency)) => Some(Unit::currency(&currency.text)),
            ("price" | "qty", None) => {
                let alias = self.instruments.first().map_or("x".to_string(), |i| i.alias.clone());
                let message = format!("expected the instrument of `{word}`");
                self.report(Diagnostic::new("E0206", factor.span, message).help(format!("write `{word}[{alias}]`")));
                None
            }
            ("money", None) => {
                let message = "expected the currency of `money`";
                self.report(Diagnostic::new("E0206", factor.span, message).help("write `money[USDT]`"));
                None
            }
            ("num", index) if self.frame.function.is_some() => {
                let name = index.as_ref().map_or("num".to_string(), |i| format!("num[{}]", i.text));
                // Without a bound argument only zeros were given, which fit every unit.
                let free = if self.generic { Unit::currency(&name) } else { Unit::ratio() };
                Some(self.frame.unit_variables.get(&name).cloned().unwrap_or(free))
            }
            ("num", _) => {
                let message = "`num` stands for any unit in the signature of a function, not here";
                self.report(Diagnostic::new("E0203", factor.span, message).help("write the unit, such as `ratio`"));
                None
            }
            ("1" | "ratio" | "real", None) => Some(Unit::ratio()),
            ("duration" | "s", None) => Some(Unit::second()),
            (_, None) if self.is_currency(word) => Some(Unit::currency(word)),
            _ if self.broken_declarations && factor.index.is_none() => None,
            _ => {
                let help = match nearest(word, UNIT_WORDS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("units are {}", UNIT_WORDS.join(", ")),
                };
                let message = format!("expected a unit, found `{}`", self.text(factor.span));
                self.report(Diagnostic::new("E0203", factor.span, message).label("unknown unit").help(help));
                None
            }
        }
    }

    fn is_currency(&self, word: &str) -> bool {
        let is_upper = word.starts_with(|c: char| c.is_ascii_uppercase());
        let anywhere = self.frame.function.is_some() && is_upper;
        anywhere || self.instruments.iter().any(|i| i.base == word || i.quote == word)
    }

    pub fn price_unit(&self, instrument: u16) -> Unit {
        let i = &self.instruments[instrument as usize];
        Unit::currency(&i.quote).per(&Unit::currency(&i.base))
    }

    pub fn qty_unit(&self, instrument: u16) -> Unit {
        Unit::currency(&self.instruments[instrument as usize].base)
    }

    pub fn literal(&mut self, digits: &str, unit: Option<&ast::Name>, span: Span) -> Value {
        let word = unit.map(|u| u.text.as_str());
        let (shift, factor, ty) = match word {
            None if digits.bytes().all(|b| b.is_ascii_digit()) => (0, 1.0, Ty::Int),
            None => (0, 1.0, Ty::Num(Unit::ratio())),
            Some("%") => (-2, 1.0, Ty::Num(Unit::ratio())),
            Some("bps") => (-4, 1.0, Ty::Num(Unit::ratio())),
            Some("s") => (0, 1.0, Ty::Num(Unit::second())),
            Some("ms") => (-3, 1.0, Ty::Num(Unit::second())),
            Some("us") => (-6, 1.0, Ty::Num(Unit::second())),
            Some("ns") => (-9, 1.0, Ty::Num(Unit::second())),
            Some("min") => (0, 60.0, Ty::Num(Unit::second())),
            Some("h") => (0, 3_600.0, Ty::Num(Unit::second())),
            Some("d") => (0, 86_400.0, Ty::Num(Unit::second())),
            Some(word @ ("tick" | "ticks" | "lot" | "lots")) => {
                let alias = self.instruments.first().map_or("x".to_string(), |i| i.alias.clone());
                let field = if word.starts_with("tick") { "tick" } else { "lot" };
                let message = format!("`{word}` is a count, not a unit: its size depends on the instrument");
                self.report(
                    Diagnostic::new("E0207", span, message).help(format!("write `{digits} * {alias}.{field}`")),
                );
                return self.poison();
            }
            Some(currency) if self.is_currency(currency) => (0, 1.0, Ty::Num(Unit::currency(currency))),
            Some(_) if self.broken_declarations => return self.poison(),
            Some(other) => {
                let known: Vec<&str> =
                    self.instruments.iter().flat_map(|i| [i.base.as_str(), i.quote.as_str()]).collect();
                let help = match nearest(other, known.iter().copied()).or(known.first().copied()) {
                    Some(near) => format!("currencies here are {}; did you mean `{near}`?", known.join(", ")),
                    None => "declare an instrument first".to_string(),
                };
                let at = unit.map_or(span, |u| u.span);
                let message = format!("`{other}` is not a currency of an instrument of this strategy");
                self.report(Diagnostic::new("E0108", at, message).help(help));
                return self.poison();
            }
        };
        let value = scaled(digits, shift).map(|v| v * factor).filter(|v| v.is_finite());
        let Some(value) = value else {
            let message = format!("`{}` is outside the range of numbers", self.text(span));
            self.report(Diagnostic::new("E0208", span, message).help("write a smaller number"));
            return self.poison();
        };
        if ty == Ty::Int && value.abs() > 9_007_199_254_740_992.0 {
            self.report(Diagnostic::new("E0208", span, "whole numbers go up to 2^53").help("write a smaller number"));
            return self.poison();
        }
        let mut literal = self.constant(value, ty, span);
        literal.bare = word.is_none();
        literal
    }

    pub fn constant(&mut self, value: f64, ty: Ty, span: Span) -> Value {
        let node = self.push(Op::Const(value), &[], span);
        Value { node, ty, traits: Traits::default(), constant: Some(value), bare: false }
    }

    /// A value known when the strategy is compiled, in the unit of `ty`; a bare literal takes that unit with its scale.
    pub fn constant_in(&mut self, expr: &Expr, ty: &Ty, scale: f64, what: &str) -> Option<f64> {
        let before = std::mem::replace(&mut self.frame.place, Place::Plain);
        let value = if let Some(bare) = bare_number(expr, scale) {
            let is_duration = *ty == Ty::Num(Unit::second());
            if is_duration && bare != 0.0 {
                let digits = self.text(expr.span);
                let message = format!("expected {what} with a unit of time, found `{digits}`");
                self.report(
                    Diagnostic::new("E0207", expr.span, message)
                        .label("seconds, minutes or milliseconds?")
                        .help(format!("write `{digits}s`")),
                );
                None
            } else {
                Some(bare)
            }
        } else {
            let value = self.expr(expr);
            match value.constant {
                _ if value.is_poison() => None,
                None => {
                    let message = format!("expected a literal for {what}, found `{}`", self.text(expr.span));
                    self.report(
                        Diagnostic::new("E0210", expr.span, message)
                            .label("known only when the strategy runs")
                            .help("write the number here"),
                    );
                    None
                }
                Some(constant) => self.expect_ty(&value, ty, expr.span, &format!("{what} is")).then_some(constant),
            }
        };
        self.frame.place = before;
        let value = value?;
        if *ty == Ty::Int && value.fract() != 0.0 && !self.stands_for_any(expr) {
            let message = format!("expected a whole number for {what}, found `{}`", self.text(expr.span));
            self.report(Diagnostic::new("E0208", expr.span, message).help(format!("write `{}`", value.round())));
            return None;
        }
        Some(value)
    }

    /// In a definition: whether the number depends on an argument, whose value is known at each call only.
    fn stands_for_any(&self, expr: &Expr) -> bool {
        let mut named = false;
        expr.walk(&mut |e| named |= matches!(e.kind, ExprKind::Path(_)));
        self.generic && named
    }

    /// A positive span of time known when the strategy is compiled, in nanoseconds.
    pub fn constant_span(&mut self, expr: &Expr, what: &str) -> Option<i64> {
        let seconds = self.constant_in(expr, &Ty::Num(Unit::second()), 1.0, what)?;
        let ns = (seconds * 1e9).round();
        if !(1.0..=tercel_graph::limits::SPAN_NS_MAX as f64).contains(&ns) {
            if self.stands_for_any(expr) {
                return Some(1_000_000_000);
            }
            let message = format!("expected {what} between 1 ns and 30 days, found `{}`", self.text(expr.span));
            self.report(Diagnostic::new("E0208", expr.span, message).help("write a duration such as `2s`"));
            return None;
        }
        Some(ns as i64)
    }

    /// A small count known when the strategy is compiled, at least 1.
    pub fn constant_count(&mut self, expr: &Expr, most: u32, what: &str) -> Option<u32> {
        self.constant_within(expr, 1, most, what)
    }

    pub fn constant_within(&mut self, expr: &Expr, least: u32, most: u32, what: &str) -> Option<u32> {
        let value = self.constant_in(expr, &Ty::Int, 1.0, what)?;
        if value < f64::from(least) || value > f64::from(most) {
            if self.stands_for_any(expr) {
                return Some(1);
            }
            let message = format!("expected {what} between {least} and {most}, found `{}`", self.text(expr.span));
            self.report(
                Diagnostic::new("E0208", expr.span, message)
                    .help(format!("write `{}`", value.clamp(f64::from(least), f64::from(most)))),
            );
            return None;
        }
        Some(value as u32)
    }

    /// Whether `value` fits `wanted`; says so where it does not. `lead` begins the message: "`a` is declared as".
    pub fn expect_ty(&mut self, value: &Value, wanted: &Ty, span: Span, lead: &str) -> bool {
        let fits = match (&value.ty, wanted) {
            (Ty::Poison, _) | (_, Ty::Poison) => return true,
            (found, wanted) if found == wanted => true,
            (Ty::Int, Ty::Num(unit)) => unit.is_ratio() || value.is_bare_zero(),
            (Ty::Num(_), Ty::Num(_)) => value.is_bare_zero(),
            _ => false,
        };
        if !fits {
            let (wanted, found) = (self.show(wanted), self.show(&value.ty));
            let units = matches!((&value.ty, found.as_str()), (Ty::Num(_) | Ty::Int, _)) && wanted != "bool";
            let code = if units { "E0207" } else { "E0206" };
            let help = self.unit_advice(&wanted, &found);
            self.report(
                Diagnostic::new(code, span, format!("{lead} {wanted}, found {found}"))
                    .label(format!("this is {found}"))
                    .help(help),
            );
        }
        fits
    }

    /// How to bring a value of one unit to another, when there is a usual way.
    pub fn unit_advice(&self, wanted: &str, found: &str) -> String {
        let alias = self.instruments.first().map_or("x", |i| i.alias.as_str());
        match (wanted, found) {
            (w, "ratio" | "int") if w.starts_with("price[") => {
                format!("multiply by a price (`{alias}.mid * …`) or by the step (`… * {alias}.tick`)")
            }
            (w, "ratio" | "int") if w.starts_with("qty[") => {
                let base = self.instruments.first().map_or("BTC", |i| i.base.as_str());
                format!("give the number its unit, such as `0.01 {base}`")
            }
            ("ratio", f) if f.starts_with("price[") && !f.contains(['/', '*', '^']) => {
                format!("divide by a price: `… / {alias}.mid`")
            }
            ("ratio", f) if f.starts_with("qty[") && !f.contains(['/', '*', '^']) => {
                "divide by a quantity of the same instrument".into()
            }
            (w, "ratio" | "int") if self.is_currency(w) => format!("give the number its unit, such as `100 {w}`"),
            ("bool", _) => "compare it: `… > 0`".into(),
            ("duration", "ratio" | "int") => "give the number its unit, such as `2s`".into(),
            (w, f) => format!("bring both to one unit: multiply or divide the {f} so that it becomes {w}"),
        }
    }
}

/// A literal without unit, perhaps negative, in the scale of its place.
fn bare_number(expr: &Expr, scale: f64) -> Option<f64> {
    match &expr.kind {
        ExprKind::Quantity { digits, unit: None } => {
            let shift = if scale == 1e-4 {
                -4
            } else if scale == 1e-2 {
                -2
            } else {
                0
            };
            scaled(digits, shift).filter(|v| v.is_finite())
        }
        ExprKind::Unary { op: UnaryOp::Neg, arg } => bare_number(arg, scale).map(|v| -v),
        _ => None,
    }
}

/// `digits * 10^shift`, correctly rounded: the exponent is moved in the text.
fn scaled(digits: &str, shift: i32) -> Option<f64> {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], digits[at + 1..].parse::<i32>().ok()?),
        None => (digits, 0),
    };
    format!("{mantissa}e{}", exponent.saturating_add(shift)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn scales_are_correctly_rounded() {
        assert_eq!(scaled("1.2", -4), Some(0.00012));
        assert_eq!(scaled("20", -3), Some(0.02));
        assert_eq!(scaled("3e2", -2), Some(3.0));
        assert_eq!(scaled("0.3", 0), Some(0.3));
        assert_eq!(scaled("1e99999999999", 0), None);
    }
}
