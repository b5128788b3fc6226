/// Ids that stand together: sixteen lines of cells.
const GROUP: u64 = 64;
/// How far ahead the line of an id is asked for.
const AHEAD: u64 = 8;

/// A fixed-capacity map from non-zero 64-bit ids to slots. Deterministic (no random seed), never allocates after `new`.
/// Open addressing at most half full; made for ids that mostly count up. The cells of a run stand in the order of their homes
/// (Robin Hood: Celis, Larson, Munro 1985), so a removal closes its hole without looking past the next id that is at home.
#[derive(Clone, Debug)]
pub struct IdMap {
    /// `(id, slot)`; id 0 marks a free cell.
    cells: Box<[(u64, u32)]>,
    mask: usize,
    len: usize,
    capacity: usize,
}

impl IdMap {
    /// Room for `capacity` ids.
    pub fn new(capacity: usize) -> Self {
        let cells = (capacity.max(4) * 2).next_power_of_two();
        Self { cells: vec![(0, 0); cells].into_boxed_slice(), mask: cells - 1, len: 0, capacity: capacity.max(4) }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ids count up, so [`GROUP`] neighbours in time are neighbours in memory, and nearly every new id meets a line that is in
    /// the cache or on its way there. The groups are scattered: were the whole count one run of cells, then an id that falls
    /// into an old run, of another epoch or of orders that rest for a day, would move thousands of them. The golden ratio keeps
    /// consecutive groups apart (Knuth, The Art of Computer Programming 3, 6.4).
    #[inline]
    fn home(&self, id: u64) -> usize {
        let group = (id / GROUP).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (group * GROUP + id % GROUP) as usize & self.mask
    }

    #[inline]
    pub fn get(&self, id: u64) -> Option<u32> {
        if id == 0 {
            return None;
        }
        let at = self.home(id);
        match self.cells[at] {
            (0, _) => None,
            (found, slot) if found == id => Some(slot),
            _ => self.find_away(at, id).map(|at| self.cells[at].1),
        }
    }

    /// Where an id stands that is not at home: behind none that is nearer to its own.
    #[inline(never)]
    fn find_away(&self, home: usize, id: u64) -> Option<usize> {
        let (mut at, mut away) = (home, 0);
        loop {
            let found = self.cells[at].0;
            if found == id {
                return Some(at);
            }
            if found == 0 || self.away(at, found) < away {
                return None;
            }
            (at, away) = ((at + 1) & self.mask, away + 1);
        }
    }

    /// How far the id of a used cell lies from its home.
    #[inline]
    fn away(&self, at: usize, id: u64) -> usize {
        at.wrapping_sub(self.home(id)) & self.mask
    }

    /// Maps `id` to `slot`; `false` when the map is full, `id` is 0, or `id` is there already (its slot stays).
    #[inline]
    pub fn insert(&mut self, id: u64, slot: u32) -> bool {
        if id == 0 || self.len == self.capacity {
            return false;
        }
        let at = self.home(id);
        if self.cells[at].0 == 0 {
            self.cells[at] = (id, slot);
        } else if !self.insert_in_run(at, id, slot) {
            return false;
        }
        self.len += 1;
        // Nobody waits for this load: it brings the line of an id to come while there is time.
        let _ = core::hint::black_box(self.cells[self.home(id.wrapping_add(AHEAD))].0);
        true
    }

    /// Into a run that covers the home of `id`: before the first id that is nearer to its own home, which moves on.
    #[inline(never)]
    fn insert_in_run(&mut self, home: usize, id: u64, slot: u32) -> bool {
        let (mut at, mut away) = (home, 0);
        while self.cells[at].0 != 0 {
            let found = self.cells[at].0;
            if found == id {
                return false;
            }
            if self.away(at, found) < away {
                break;
            }
            (at, away) = ((at + 1) & self.mask, away + 1);
        }
        let mut carried = (id, slot);
        while carried.0 != 0 {
            core::mem::swap(&mut self.cells[at], &mut carried);
            at = (at + 1) & self.mask;
        }
        true
    }

    #[inline]
    pub fn remove(&mut self, id: u64) -> Option<u32> {
        if id == 0 {
            return None;
        }
        let home = self.home(id);
        let at = if self.cells[home].0 == id { home } else { self.find_away(home, id)? };
        let slot = self.cells[at].1;
        self.len -= 1;
        let next = (at + 1) & self.mask;
        let after = self.cells[next].0;
        if after == 0 || self.home(after) == next {
            self.cells[at].0 = 0;
        } else {
            self.close(at);
        }
        Some(slot)
    }

    /// Moves every later cell of the run one back, up to the first that is at home.
    #[inline(never)]
    fn close(&mut self, mut hole: usize) {
        loop {
            let at = (hole + 1) & self.mask;
            let cell = self.cells[at];
            if cell.0 == 0 || self.away(at, cell.0) == 0 {
                break;
            }
            self.cells[hole] = cell;
            hole = at;
        }
        self.cells[hole].0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_sorted_map_under_random_churn() {
        let (mut map, mut model) = (IdMap::new(64), BTreeMap::new());
        let mut state = 7u64;
        for step in 0..200_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let id = (state >> 33) % 150;
            if state >> 63 == 0 {
                let fits = id != 0 && model.len() < 64 && !model.contains_key(&id);
                assert_eq!(map.insert(id, step), fits, "insert {id} at step {step}");
                if fits {
                    model.insert(id, step);
                }
            } else {
                assert_eq!(map.remove(id), model.remove(&id), "remove {id} at step {step}");
            }
            assert_eq!(map.get(id), model.get(&id).copied());
            assert_eq!(map.len(), model.len());
        }
    }

    /// Ids that count up through a table which is as full as it may be: the shape of orders and their requests.
    #[test]
    fn finds_the_newest_of_a_long_count_and_none_of_the_removed() {
        let mut map = IdMap::new(1_000);
        let base = 1u64 << 44;
        for at in 0..100_000u64 {
            if at >= 1_000 {
                let oldest = base + at - 1_000;
                assert_eq!(map.remove(oldest), Some((at - 1_000) as u32));
                assert_eq!(map.get(oldest), None);
            }
            assert!(map.insert(base + at, at as u32));
            let some = base + at - at.min(999) / (1 + at % 7);
            assert_eq!(map.get(some), Some((some - base) as u32), "at {at}");
        }
        assert!(!map.insert(base, 0), "full");
    }

    /// The longest way of any id from its home.
    fn farthest(map: &IdMap) -> usize {
        let cells = map.cells.iter().enumerate().filter(|(_, cell)| cell.0 != 0);
        cells.map(|(at, cell)| map.away(at, cell.0)).max().unwrap_or(0)
    }

    /// The two shapes that made one run of a counted sequence: a new epoch counts beside the ids of the one before, which are
    /// all still there, and ids that stay for good while the count laps the table.
    #[test]
    fn no_epoch_and_no_resting_order_makes_long_ways() {
        const KEPT: u64 = 4_096;
        for ids_per_order in [1, 2, 4, 7] {
            let kept = KEPT * ids_per_order;
            for used in (0..70_000).step_by(4_999) {
                let mut map = IdMap::new((KEPT * 8) as usize);
                let (old, new) = (1u64 << 44 | used, 2u64 << 44 | 1);
                (0..kept).for_each(|at| assert!(map.insert(old + at, 0)));
                let mut most = 0;
                for at in 0..kept {
                    assert!(map.remove(old + at).is_some() && map.insert(new + at, 1));
                    if at % 512 == 0 {
                        most = most.max(farthest(&map));
                    }
                }
                assert!(most <= 128, "{ids_per_order} ids an order, {used} used before: {most} cells away");
            }
        }
        let mut map = IdMap::new(8_192);
        (0..1_000).for_each(|at| assert!(map.insert(1 << 44 | at, 0)));
        for at in 1_000..200_000u64 {
            assert!(map.insert(1 << 44 | at, 0) && (at < 2_000 || map.remove(1 << 44 | (at - 1_000)).is_some()));
            if at % 1_024 == 0 {
                assert!(farthest(&map) <= 64, "{} cells away at {at}", farthest(&map));
            }
        }
    }
}
