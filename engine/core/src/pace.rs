//! When a state hash is due, and what the books add to it: kept per change, so that a hash costs the same with one book or
//! a thousand.
use crate::market::FeedState;
use tercel_book::Book;
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

/// The sum of the books' digests, brought up to date when it is asked for, for the books that were touched since.
#[derive(Clone, Debug)]
pub(crate) struct BookSum {
    sum: u64,
    /// Each book at most once, so it never grows beyond its first capacity.
    touched: Vec<u32>,
}

impl BookSum {
    pub fn new(feeds: &[FeedState]) -> Self {
        let sum = feeds.iter().fold(0u64, |sum, feed| sum.wrapping_add(feed.digest));
        Self { sum, touched: Vec::with_capacity(feeds.len()) }
    }

    /// The book of this feed may have changed.
    #[inline]
    pub fn touch(&mut self, idx: usize, feed: &mut FeedState) {
        if !feed.touched {
            feed.touched = true;
            self.touched.push(idx as u32);
        }
    }

    #[inline]
    pub fn renew(&mut self, feeds: &mut [FeedState], books: &[Book]) -> u64 {
        while let Some(idx) = self.touched.pop() {
            if let (Some(book), Some(feed)) = (books.get(idx as usize), feeds.get_mut(idx as usize)) {
                let before = core::mem::replace(&mut feed.digest, book.digest());
                self.sum = self.sum.wrapping_add(feed.digest).wrapping_sub(before);
                feed.touched = false;
            }
        }
        debug_assert_eq!(self.sum, books.iter().map(Book::digest).fold(0, u64::wrapping_add));
        self.sum
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
