use tercel_event::hash_words;
use tercel_types::{ExecId, SourceId};

/// The newest execution ids, so that each counts once. A ring of fixed size with an index; the ids themselves are compared,
/// so two ids that share a hash are two ids.
#[derive(Clone, Debug)]
pub(crate) struct ExecIds {
    ring: Box<[Seen]>,
    /// Heads of the chains of equal bucket; `NONE` ends one.
    heads: Box<[u32]>,
    at: usize,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    exec_id: ExecId,
    source: SourceId,
    bucket: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

impl ExecIds {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(16).next_power_of_two();
        let empty = Seen { exec_id: ExecId::EMPTY, source: SourceId(0), bucket: 0, next: NONE };
        Self {
            ring: vec![empty; capacity].into_boxed_slice(),
            heads: vec![NONE; capacity * 2].into_boxed_slice(),
            at: 0,
            len: 0,
        }
    }

    /// Remembers the id; `false` when it is among the remembered ones already. The oldest one is forgotten for it.
    pub(crate) fn insert(&mut self, source: SourceId, exec_id: ExecId) -> bool {
        let bucket = (hash(source, &exec_id) as usize & (self.heads.len() - 1)) as u32;
        let mut slot = self.heads[bucket as usize];
        while slot != NONE {
            let seen = &self.ring[slot as usize];
            if seen.exec_id == exec_id && seen.source == source {
                return false;
            }
            slot = seen.next;
        }
        if self.len == self.ring.len() {
            self.forget(self.at as u32);
        } else {
            self.len += 1;
        }
        self.ring[self.at] = Seen { exec_id, source, bucket, next: self.heads[bucket as usize] };
        self.heads[bucket as usize] = self.at as u32;
        self.at = (self.at + 1) & (self.ring.len() - 1);
        true
    }

    fn forget(&mut self, slot: u32) {
        let Seen { bucket, next, .. } = self.ring[slot as usize];
        if self.heads[bucket as usize] == slot {
            self.heads[bucket as usize] = next;
            return;
        }
        let mut before = self.heads[bucket as usize];
        while before != NONE {
            if self.ring[before as usize].next == slot {
                self.ring[before as usize].next = next;
                return;
            }
            before = self.ring[before as usize].next;
        }
    }
}

/// Padding zeros are part of the id's 40 bytes, so equal ids are equal words.
#[inline]
fn hash(source: SourceId, exec_id: &ExecId) -> u64 {
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(exec_id.padded().chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8]));
    }
    hash_words(u64::from(source.0), words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn an_id_is_new_once_among_the_newest() {
        let (mut ids, mut model) = (ExecIds::new(64), VecDeque::new());
        let mut state = 1u64;
        for _ in 0..50_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (SourceId((state >> 60) as u8 & 1), (state >> 40) % 120);
            let fresh = !model.contains(&key);
            assert_eq!(ids.insert(key.0, ExecId::new(format!("X{}", key.1).as_bytes()).unwrap()), fresh);
            if fresh {
                model.push_back(key);
                if model.len() > 64 {
                    model.pop_front();
                }
            }
        }
    }
}
