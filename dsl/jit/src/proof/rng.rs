//! A counter-based generator: the same seed gives the same programs and tapes on every host.
use tercel_event::mix64;

pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix64(seed))
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix64(self.0)
    }

    /// Below `n`, which is at least 1.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    /// True once in `n`.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// In 0 .. 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of any kind: small integers (so that comparisons meet), prices, extremes, raw bits.
    pub(super) fn number(&mut self) -> f64 {
        match self.below(16) {
            0..=4 => self.below(5) as f64 - 2.0,
            5..=7 => 60_000.0 + self.below(20) as f64 / 10.0,
            8..=9 => self.unit() * 2.0 - 1.0,
            10 => self.pick(&[0.0, -0.0]),
            11 => self.pick(&[f64::from_bits(1), -f64::from_bits(1), f64::MIN_POSITIVE, f64::from_bits(0xf_ffff)]),
            12 => self.pick(&[f64::MAX, f64::MIN, 1e308, -1e200, 1e-300, 9_007_199_254_740_993.0]),
            13 => self.pick(&[f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            14 => f64::NAN,
            _ => f64::from_bits(self.word()),
        }
    }

    pub(super) fn finite(&mut self) -> f64 {
        loop {
            let number = self.number();
            if number.is_finite() {
                return number;
            }
        }
    }
}
