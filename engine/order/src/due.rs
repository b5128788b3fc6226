use tercel_types::TimeNs;

/// Orders by the time when something must happen to them: a binary heap over slots that knows each slot's place. The soonest
/// is read for nothing; to change one costs O(log n) of the orders that await something, and never a walk over the open ones.
#[derive(Clone, Debug)]
pub(crate) struct DueHeap {
    /// `(due, slot)`, no entry before the one at half its index.
    heap: Vec<(TimeNs, u32)>,
    /// By slot: index in `heap` plus 1, 0 for a slot that awaits nothing.
    places: Box<[u32]>,
}

impl DueHeap {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { heap: Vec::with_capacity(capacity), places: vec![0; capacity].into_boxed_slice() }
    }

    /// The soonest due time, `MAX` when nothing is awaited.
    #[inline]
    pub(crate) fn soonest(&self) -> TimeNs {
        self.heap.first().map_or(TimeNs::MAX, |(due, _)| *due)
    }

    /// `slot` is due at `due`, or never (`MAX`).
    pub(crate) fn set(&mut self, slot: u32, due: TimeNs) {
        let place = self.places[slot as usize] as usize;
        match place.checked_sub(1) {
            None if due == TimeNs::MAX => {}
            None => {
                // INVARIANT: each slot has at most one entry, so the capacity suffices.
                self.heap.push((due, slot));
                self.rise(self.heap.len() - 1, (due, slot));
            }
            Some(at) if due == TimeNs::MAX => self.remove(at),
            Some(at) => self.settle(at, (due, slot)),
        }
    }

    fn remove(&mut self, at: usize) {
        let Some(last) = self.heap.pop() else { return };
        match self.heap.get(at) {
            Some(&(_, gone)) => {
                self.places[gone as usize] = 0;
                self.settle(at, last);
            }
            None => self.places[last.1 as usize] = 0,
        }
    }

    /// Moves the hole at `at` to where `entry` belongs, and fills it.
    fn settle(&mut self, mut at: usize, entry: (TimeNs, u32)) {
        loop {
            let mut child = 2 * at + 1;
            if child + 1 < self.heap.len() && self.heap[child + 1].0 < self.heap[child].0 {
                child += 1;
            }
            if child >= self.heap.len() || self.heap[child].0 >= entry.0 {
                break;
            }
            at = self.shift(child, at);
        }
        self.rise(at, entry);
    }

    /// The same where no entry below the hole is sooner.
    #[inline]
    fn rise(&mut self, mut at: usize, entry: (TimeNs, u32)) {
        while at > 0 && entry.0 < self.heap[(at - 1) / 2].0 {
            at = self.shift((at - 1) / 2, at);
        }
        self.heap[at] = entry;
        self.places[entry.1 as usize] = at as u32 + 1;
    }

    /// Moves one entry into the hole and returns where the hole is now.
    fn shift(&mut self, from: usize, to: usize) -> usize {
        self.heap[to] = self.heap[from];
        self.places[self.heap[to].1 as usize] = to as u32 + 1;
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel_event::mix64;

    #[test]
    fn knows_the_soonest_of_any_changes() {
        let (mut heap, mut model) = (DueHeap::new(50), [TimeNs::MAX; 50]);
        for step in 0..100_000u64 {
            let word = mix64(step);
            let (slot, due) = (word % 50, (word >> 8) % 200);
            let due = if due < 60 { TimeNs::MAX } else { TimeNs(due as i64) };
            heap.set(slot as u32, due);
            model[slot as usize] = due;
            assert_eq!(heap.soonest(), *model.iter().min().unwrap(), "at step {step}");
        }
    }
}
