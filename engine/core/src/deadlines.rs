//! The core's deadlines: a dense table of slots with stable ids, so that a `Timer` frame can be read by people.
//!
//! An id is `class · 2^16 + index`:
//!
//! | class | fires | index |
//! |---|---|---|
//! | 1 | the strategy's own next deadline | strategy |
//! | 2 | a feed was silent for longer than a limit allows | limit, counted over all strategies |
//! | 3 | a pulled limit has held for 1 s | limit, counted over all strategies |
//! | 4 | the reconciler tries again | (strategy, instrument) pair, counted over all strategies |
//! | 5 | a request has had no answer for too long, or an unknown order is asked about again | 0 |
//! | 6 | a mass status request has had no answer | order session |
//! | 7 | a feed has been silent for `feed_stale` | instrument |
//! | 8 | a resynchronisation may be asked for again | instrument |
use tercel_types::TimeNs;

/// First half of a timer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerClass {
    Strategy = 1,
    Silence = 2,
    Hold = 3,
    Retry = 4,
    Outcome = 5,
    Reconcile = 6,
    Stale = 7,
    Resync = 8,
}

pub(crate) const CLASSES: [TimerClass; 8] = [
    TimerClass::Strategy,
    TimerClass::Silence,
    TimerClass::Hold,
    TimerClass::Retry,
    TimerClass::Outcome,
    TimerClass::Reconcile,
    TimerClass::Stale,
    TimerClass::Resync,
];

/// A stable timer id.
#[inline]
pub const fn timer_id(class: TimerClass, idx: usize) -> u32 {
    (class as u32) << 16 | (idx as u32 & 0xFFFF)
}

/// The parts of a timer id; `None` for an unknown class.
pub fn timer_parts(id: u32) -> Option<(TimerClass, usize)> {
    CLASSES.iter().find(|&&class| class as u32 == id >> 16).map(|&class| (class, (id & 0xFFFF) as usize))
}

/// Slots of one block.
const BLOCK: usize = 16;

/// All slots of a core, in id order; `TimeNs::MAX` where not armed. Each block of slots keeps its earliest due time, so that
/// moving the earliest of all looks at one block and at the blocks, not at every slot.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines {
    ids: Vec<u32>,
    due: Vec<TimeNs>,
    /// First slot of each class.
    base: [usize; CLASSES.len() + 1],
    /// Earliest of each block.
    blocks: Vec<TimeNs>,
    earliest: TimeNs,
}

impl Deadlines {
    /// `counts[i]` slots of class `CLASSES[i]`.
    pub fn new(counts: [usize; CLASSES.len()]) -> Self {
        let mut base = [0; CLASSES.len() + 1];
        let mut ids = Vec::new();
        for (at, (&class, &count)) in CLASSES.iter().zip(&counts).enumerate() {
            ids.extend((0..count).map(|idx| timer_id(class, idx)));
            base[at + 1] = ids.len();
        }
        let blocks = vec![TimeNs::MAX; ids.len().div_ceil(BLOCK)];
        Self { due: vec![TimeNs::MAX; ids.len()], ids, base, blocks, earliest: TimeNs::MAX }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    #[inline]
    fn slot(&self, class: TimerClass, idx: usize) -> Option<usize> {
        let at = class as usize - 1;
        let slot = self.base[at] + idx;
        (slot < self.base[at + 1]).then_some(slot)
    }

    /// Arms the slot, or disarms it with `None`. Most calls change nothing.
    #[inline]
    pub fn set(&mut self, class: TimerClass, idx: usize, due: Option<TimeNs>) {
        let due = due.unwrap_or(TimeNs::MAX);
        if let Some(slot) = self.slot(class, idx)
            && let Some(kept) = self.due.get_mut(slot)
            && *kept != due
        {
            let before = core::mem::replace(kept, due);
            self.moved(slot, before, due);
        }
    }

    #[inline]
    fn moved(&mut self, slot: usize, before: TimeNs, due: TimeNs) {
        let Some(block) = self.blocks.get_mut(slot / BLOCK) else { return };
        if due < *block {
            *block = due;
            self.earliest = self.earliest.min(due);
        } else if before == *block {
            self.seek_earliest(slot / BLOCK);
        }
    }

    /// The earliest of a block has moved to a later time.
    #[inline(never)]
    fn seek_earliest(&mut self, block: usize) {
        let first = block * BLOCK;
        let of_block = earliest(&self.due[first..self.due.len().min(first + BLOCK)]);
        let before = core::mem::replace(&mut self.blocks[block], of_block);
        if before == self.earliest {
            self.earliest = earliest(&self.blocks);
        }
    }

    /// The slot's due time, while armed.
    #[inline]
    pub fn get(&self, class: TimerClass, idx: usize) -> Option<TimeNs> {
        let due = *self.due.get(self.slot(class, idx)?)?;
        (due != TimeNs::MAX).then_some(due)
    }

    #[inline]
    pub fn next(&self) -> Option<TimeNs> {
        (self.earliest != TimeNs::MAX).then_some(self.earliest)
    }

    /// Writes the ids of every slot due at or before `now`, in id order; returns how many.
    pub fn due_ids(&self, now: TimeNs, ids: &mut [u32]) -> usize {
        let due = self.ids.iter().zip(&self.due).filter(|(_, due)| **due <= now && **due != TimeNs::MAX);
        let mut count = 0;
        for ((id, _), out) in due.zip(ids) {
            *out = *id;
            count += 1;
        }
        count
    }

    pub fn digest(&self, chain: &mut tercel_event::Chain) {
        for due in &self.due {
            chain.word(due.0 as u64);
        }
    }
}

fn earliest(due: &[TimeNs]) -> TimeNs {
    due.iter().fold(TimeNs::MAX, |earliest, due| earliest.min(*due))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_survives_arming_and_disarming() {
        let mut slots = Deadlines::new([2, 0, 0, 3, 1, 0, 0, 0]);
        assert_eq!(slots.next(), None);
        slots.set(TimerClass::Retry, 2, Some(TimeNs(30)));
        slots.set(TimerClass::Strategy, 1, Some(TimeNs(10)));
        slots.set(TimerClass::Outcome, 0, Some(TimeNs(10)));
        slots.set(TimerClass::Retry, 3, Some(TimeNs(1)));
        assert_eq!(slots.next(), Some(TimeNs(10)), "a slot that does not exist is not armed");
        let mut ids = [0; 8];
        let count = slots.due_ids(TimeNs(10), &mut ids);
        assert_eq!(ids[..count], [timer_id(TimerClass::Strategy, 1), timer_id(TimerClass::Outcome, 0)]);
        slots.set(TimerClass::Strategy, 1, None);
        slots.set(TimerClass::Outcome, 0, None);
        assert_eq!(slots.next(), Some(TimeNs(30)));
        assert_eq!(slots.get(TimerClass::Retry, 2), Some(TimeNs(30)));
    }

    /// The kept minimum is the minimum, over many blocks and any order of changes.
    #[test]
    fn the_earliest_is_the_minimum_of_all_slots_prop() {
        let mut slots = Deadlines::new([37, 0, 5, 90, 1, 3, 40, 41]);
        let mut random = 7u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let class = CLASSES[(random % 8) as usize];
            let due = (random >> 8 & 3 != 0).then_some(TimeNs((random >> 16 & 63) as i64));
            slots.set(class, (random >> 32) as usize % 91, due);
            let expected = slots.due.iter().copied().filter(|due| *due != TimeNs::MAX).min();
            assert_eq!(slots.next(), expected);
        }
    }

    #[test]
    fn ids_are_stable_numbers() {
        assert_eq!(timer_id(TimerClass::Strategy, 3), 0x1_0003);
        assert_eq!(timer_parts(0x8_0001), Some((TimerClass::Resync, 1)));
        assert_eq!(timer_parts(0x9_0001), None);
    }
}
