/// A capacity: a power of two, so that a position becomes an index by one mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PowerOfTwo(usize);

impl PowerOfTwo {
    /// `None` unless `value` is a power of two.
    pub const fn new(value: usize) -> Option<Self> {
        if value.is_power_of_two() { Some(Self(value)) } else { None }
    }

    /// The smallest power of two that is at least `value`, capped at 2^62.
    pub const fn at_least(value: usize) -> Self {
        const LARGEST: usize = 1 << 62;
        if value >= LARGEST { Self(LARGEST) } else { Self(value.next_power_of_two()) }
    }

    #[inline]
    pub const fn get(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::PowerOfTwo;

    #[test]
    fn only_powers_of_two_are_capacities() {
        assert_eq!(PowerOfTwo::new(64).map(PowerOfTwo::get), Some(64));
        assert!(PowerOfTwo::new(0).is_none() && PowerOfTwo::new(65).is_none());
        assert_eq!(PowerOfTwo::at_least(0).get(), 1);
        assert_eq!(PowerOfTwo::at_least(65).get(), 128);
        assert_eq!(PowerOfTwo::at_least(usize::MAX).get(), 1 << 62);
    }
}
