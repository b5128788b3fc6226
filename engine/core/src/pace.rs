//! When a state hash is due.
use tercel_types::TimeNs;

const SECOND_NS: i64 = 1_000_000_000;

/// The rhythm of the state hashes: the first frame of every second, and every n-th frame.
#[derive(Clone, Debug)]
pub(crate) struct HashPace {
    every: u64,
    /// Frames until the next n-th one, itself included.
    left: u64,
    /// Start of the second in which the last frame lay.
    second: i64,
}

impl HashPace {
    /// `every` 0: none but the first of every second.
    pub fn new(every: u64) -> Self {
        let every = if every == 0 { u64::MAX } else { every };
        Self { every, left: every, second: i64::MIN }
    }

    /// Counts a frame; whether its state hash is due.
    #[inline]
    pub fn frame(&mut self, now: TimeNs) -> bool {
        self.left -= 1;
        let nth = self.left == 0;
        if nth {
            self.left = self.every;
        }
        let same = (now.0.wrapping_sub(self.second) as u64) < SECOND_NS as u64;
        if !same {
            self.second = now.0.saturating_sub(now.0.rem_euclid(SECOND_NS));
        }
        nth || !same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_due_in_every_second_and_every_nth_frame() {
        let second = |s: i64, ns: i64| TimeNs(s * SECOND_NS + ns);
        let times = [second(5, 0), second(5, 1), second(5, 999_999_999), second(6, 0), second(6, 5), second(9, 7)];
        let due = |every| {
            let mut pace = HashPace::new(every);
            times.map(|now| pace.frame(now))
        };
        assert_eq!(due(0), [true, false, false, true, false, true]);
        assert_eq!(due(1), [true; 6]);
        assert_eq!(due(3), [true, false, true, true, false, true]);
    }
}
