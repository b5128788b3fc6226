/// A fixed-capacity map from non-zero 64-bit ids to slots. Deterministic (no random seed), never allocates after `new`.
/// Open addressing with linear probing and backward-shift deletion, at most half full; made for ids that mostly count up.
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

    #[inline]
    fn home(&self, id: u64) -> usize {
        // Ids count up, so eight neighbours in time share two cache lines; the groups are scattered, because one long run
        // of occupied cells would make every removal walk to its end.
        let group = (id >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (group as usize * 8 + (id & 7) as usize) & self.mask
    }

    #[inline]
    pub fn get(&self, id: u64) -> Option<u32> {
        if id == 0 {
            return None;
        }
        let mut at = self.home(id);
        loop {
            match self.cells[at] {
                (0, _) => return None,
                (found, slot) if found == id => return Some(slot),
                _ => at = (at + 1) & self.mask,
            }
        }
    }

    /// Maps `id` to `slot`; `false` when the map is full, `id` is 0, or `id` is there already (its slot stays).
    #[inline]
    pub fn insert(&mut self, id: u64, slot: u32) -> bool {
        if id == 0 || self.len == self.capacity {
            return false;
        }
        let mut at = self.home(id);
        while self.cells[at].0 != 0 {
            if self.cells[at].0 == id {
                return false;
            }
            at = (at + 1) & self.mask;
        }
        self.cells[at] = (id, slot);
        self.len += 1;
        true
    }

    #[inline]
    pub fn remove(&mut self, id: u64) -> Option<u32> {
        if id == 0 {
            return None;
        }
        let mut at = self.home(id);
        let slot = loop {
            match self.cells[at] {
                (0, _) => return None,
                (found, slot) if found == id => break slot,
                _ => at = (at + 1) & self.mask,
            }
        };
        // Every later cell of the run that may legally move into the hole does.
        let mut hole = at;
        loop {
            at = (at + 1) & self.mask;
            let (id, _) = self.cells[at];
            if id == 0 {
                break;
            }
            let distance_home = at.wrapping_sub(self.home(id)) & self.mask;
            let distance_hole = at.wrapping_sub(hole) & self.mask;
            if distance_home >= distance_hole {
                self.cells[hole] = self.cells[at];
                hole = at;
            }
        }
        self.cells[hole] = (0, 0);
        self.len -= 1;
        Some(slot)
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
}
