//! Units of measure: a free abelian group over currencies and seconds with rational exponents. `ratio` is its neutral
//! element, `%` and `bps` are scales of it. Prices and quantities of spot instruments and linear perpetuals reduce to
//! quote/base and base.
use std::cmp::Ordering;
use std::fmt::Write;

/// What a unit is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    Currency(String),
    Second,
}

/// A reduced fraction; the denominator is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exponent {
    num: i64,
    den: i64,
}

impl Exponent {
    pub fn new(num: i64, den: i64) -> Self {
        let divisor = gcd(num.unsigned_abs(), den.unsigned_abs()).max(1) as i64;
        let sign = if den < 0 { -1 } else { 1 };
        Self { num: sign * num / divisor, den: sign * den / divisor }
    }

    /// Saturates: exponents beyond 2^31 never occur in a unit that anyone can read, and must not panic.
    fn plus(self, other: Self) -> Self {
        let cross = |a: i64, b: i64| a.saturating_mul(b).clamp(-(1 << 31), 1 << 31);
        Self::new(cross(self.num, other.den) + cross(other.num, self.den), cross(self.den, other.den))
    }

    fn times(self, num: i64, den: i64) -> Self {
        let cross = |a: i64, b: i64| a.saturating_mul(b).clamp(-(1 << 31), 1 << 31);
        Self::new(cross(self.num, num), cross(self.den, den).max(1))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A product of powers of atoms, sorted, without zero exponents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit(Vec<(Atom, Exponent)>);

impl Unit {
    pub fn ratio() -> Self {
        Self::default()
    }

    pub fn second() -> Self {
        Self(vec![(Atom::Second, Exponent::new(1, 1))])
    }

    pub fn currency(name: &str) -> Self {
        Self(vec![(Atom::Currency(name.to_string()), Exponent::new(1, 1))])
    }

    pub fn is_ratio(&self) -> bool {
        self.0.is_empty()
    }

    pub fn times(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut product = Vec::new();
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return Self(product),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(x), Some(y)) => x.0.cmp(&y.0),
            };
            match order {
                Ordering::Less => product.extend(a.next().cloned()),
                Ordering::Greater => product.extend(b.next().cloned()),
                Ordering::Equal => {
                    if let (Some((atom, x)), Some((_, y))) = (a.next(), b.next()) {
                        let sum = x.plus(*y);
                        if sum.num != 0 {
                            product.push((atom.clone(), sum));
                        }
                    }
                }
            }
        }
    }

    pub fn per(&self, other: &Self) -> Self {
        self.times(&other.power(-1, 1))
    }

    /// `self ^ (num / den)`.
    pub fn power(&self, num: i64, den: i64) -> Self {
        if num == 0 {
            return Self::ratio();
        }
        Self(self.0.iter().map(|(atom, e)| (atom.clone(), e.times(num, den))).collect())
    }

    fn exponent_of(&self, atom: &Atom) -> Exponent {
        self.0.iter().find(|(a, _)| a == atom).map_or(Exponent::new(0, 1), |(_, e)| *e)
    }
}

/// The names under which a strategy knows its instruments' units: for messages.
#[derive(Clone, Debug, Default)]
pub struct UnitNames {
    /// Alias, base, quote.
    pub instruments: Vec<(String, String, String)>,
}

impl UnitNames {
    /// `ratio`, `price[x]^2/s`, `qty[x]`, `USDT`: instruments' words where they fit, currencies otherwise.
    pub fn show(&self, unit: &Unit) -> String {
        if unit.is_ratio() {
            return "ratio".into();
        }
        let (mut rest, mut over, mut under) = (unit.clone(), Vec::new(), Vec::new());
        let mut put = |name: String, e: Exponent| {
            let mut text = name;
            let (num, den) = (e.num.abs(), e.den);
            if den != 1 {
                let _ = write!(text, "^({num}/{den})");
            } else if num != 1 {
                let _ = write!(text, "^{num}");
            }
            if e.num < 0 { under.push(text) } else { over.push(text) }
        };
        for (alias, base, quote) in &self.instruments {
            let (base, quote) = (Unit::currency(base), Unit::currency(quote));
            let ((b, _), (q, _)) = (base.0[0].clone(), quote.0[0].clone());
            let (eb, eq) = (rest.exponent_of(&b), rest.exponent_of(&q));
            if eb.num == 0 {
                continue;
            }
            if eq == eb.times(-1, 1) {
                put(format!("price[{alias}]"), eq);
                rest = rest.per(&quote.per(&base).power(eq.num, eq.den));
            } else if eq.num == 0 {
                put(format!("qty[{alias}]"), eb);
                rest = rest.per(&base.power(eb.num, eb.den));
            }
        }
        for (atom, e) in &rest.0 {
            let name = match atom {
                Atom::Currency(name) => name.clone(),
                Atom::Second => "s".into(),
            };
            put(name, *e);
        }
        let over = if over.is_empty() { "1".to_string() } else { over.join("*") };
        let shown = if under.is_empty() { over } else { format!("{over}/{}", under.join("/")) };
        if shown == "s" { "duration".into() } else { shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> UnitNames {
        UnitNames {
            instruments: vec![("x".into(), "BTC".into(), "USDT".into()), ("a".into(), "ETH".into(), "USDT".into())],
        }
    }

    fn price() -> Unit {
        Unit::currency("USDT").per(&Unit::currency("BTC"))
    }

    #[test]
    fn the_group_laws_hold_on_the_units_of_a_maker() {
        let variance = price().power(2, 1).per(&Unit::second());
        let gamma = price().power(-1, 1);
        assert_eq!(gamma.times(&variance).times(&Unit::second()), price());
        assert_eq!(variance.power(1, 2).power(2, 1), variance);
        assert!(price().per(&price()).is_ratio());
        assert_eq!(price().times(&Unit::currency("BTC")), Unit::currency("USDT"));
    }

    #[test]
    fn units_are_shown_in_the_words_of_the_strategy() {
        let n = names();
        assert_eq!(n.show(&Unit::ratio()), "ratio");
        assert_eq!(n.show(&price()), "price[x]");
        assert_eq!(n.show(&price().power(2, 1).per(&Unit::second())), "price[x]^2/s");
        assert_eq!(n.show(&price().power(-1, 1)), "1/price[x]");
        assert_eq!(n.show(&Unit::currency("BTC")), "qty[x]");
        assert_eq!(n.show(&Unit::currency("USDT")), "USDT");
        assert_eq!(n.show(&Unit::second()), "duration");
        assert_eq!(n.show(&Unit::second().power(-1, 2)), "1/s^(1/2)");
        assert_eq!(n.show(&Unit::currency("BTC").per(&Unit::currency("ETH"))), "qty[x]/qty[a]");
    }

    #[test]
    fn huge_exponents_do_not_panic() {
        let mut unit = price();
        for _ in 0..200 {
            unit = unit.power(16, 1).times(&unit.power(1, 16));
        }
        assert!(!names().show(&unit).is_empty());
    }
}
