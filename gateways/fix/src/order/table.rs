//! The gateway's own table of orders: what it sent and what the venue answered, just enough to cancel everything without
//! the core. Quantities are absolute (CumQty, never a sum of fills), so a report that comes twice changes nothing.
//!
//! Memory      `capacity` entries and an open-addressed map of their ids, allocated once.
//! Invariants  every id of a used entry is in the map; a dead order leaves the table at once.
use tercel_types::{ClOrdId, IdMap, InstrumentId, Qty, Side, TimeNs};

/// One order that may be live at the venue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The id under which the order was sent.
    pub(super) root: ClOrdId,
    /// The id that the venue acknowledged last, by which it must be cancelled.
    pub(super) current: ClOrdId,
    /// A replace request without an answer.
    pub(super) replace: ClOrdId,
    /// The newest cancel request.
    pub(super) cancel: ClOrdId,
    pub(super) instrument: InstrumentId,
    pub(super) side: Side,
    pub(super) order_qty: Qty,
    pub(super) cum_qty: Qty,
    /// Cancels that the kill switch sent, for which id, and when (wall time).
    pub(super) kill_tries: u8,
    pub(super) kill_target: ClOrdId,
    pub(super) kill_at: TimeNs,
    used: bool,
}

const FREE: Entry = Entry {
    root: ClOrdId::NONE,
    current: ClOrdId::NONE,
    replace: ClOrdId::NONE,
    cancel: ClOrdId::NONE,
    instrument: InstrumentId(0),
    side: Side::Buy,
    order_qty: Qty(0),
    cum_qty: Qty(0),
    kill_tries: 0,
    kill_target: ClOrdId::NONE,
    kill_at: TimeNs(0),
    used: false,
};

/// Root, current, replace, cancel.
const IDS_PER_ENTRY: usize = 4;

#[derive(Debug)]
pub(super) struct Table {
    entries: Box<[Entry]>,
    free: Vec<u32>,
    /// Every id of every entry: up to four each.
    ids: IdMap,
}

impl Table {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            entries: vec![FREE; capacity].into_boxed_slice(),
            free: (0..capacity as u32).rev().collect(),
            ids: IdMap::new(IDS_PER_ENTRY * capacity),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    #[inline]
    pub(super) fn find(&self, id: ClOrdId) -> Option<u32> {
        self.ids.get(id.0)
    }

    pub(super) fn entry(&self, slot: u32) -> &Entry {
        &self.entries[slot as usize]
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// Takes an order in; the same id again gives the same entry. `None` when the table is full.
    #[inline]
    pub(super) fn insert(&mut self, id: ClOrdId, instrument: InstrumentId, side: Side, order_qty: Qty) -> Option<u32> {
        match self.find(id) {
            Some(slot) => Some(slot),
            None => self.take(id, instrument, side, order_qty),
        }
    }

    #[inline(never)]
    fn take(&mut self, id: ClOrdId, instrument: InstrumentId, side: Side, order_qty: Qty) -> Option<u32> {
        let slot = self.free.pop()?;
        self.entries[slot as usize] = Entry { root: id, current: id, instrument, side, order_qty, used: true, ..FREE };
        self.ids.insert(id.0, slot);
        Some(slot)
    }

    /// A cancel request is on its way; the id of the one before is forgotten.
    pub(super) fn set_cancel(&mut self, slot: u32, id: ClOrdId) {
        let before = core::mem::replace(&mut self.entries[slot as usize].cancel, id);
        self.drop_id(slot, before);
        self.add_id(id, slot);
    }

    #[inline]
    pub(super) fn set_replace(&mut self, slot: u32, id: ClOrdId) {
        let before = core::mem::replace(&mut self.entries[slot as usize].replace, id);
        if !before.is_none() {
            self.drop_id(slot, before);
        }
        self.add_id(id, slot);
    }

    /// The venue acknowledged the order under `id` (a replace took effect, or a mass status names it so).
    pub(super) fn set_current(&mut self, slot: u32, id: ClOrdId) {
        let entry = &mut self.entries[slot as usize];
        if entry.replace == id {
            entry.replace = ClOrdId::NONE;
        }
        let before = core::mem::replace(&mut entry.current, id);
        if before != id {
            self.drop_id(slot, before);
            self.add_id(id, slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let entry = core::mem::replace(&mut self.entries[slot as usize], FREE);
        for id in [entry.root, entry.current, entry.replace, entry.cancel] {
            self.ids.remove(id.0);
        }
        if entry.used {
            self.free.push(slot);
        }
    }

    /// Slots of the orders that may be live, in table order.
    pub(super) fn next_used(&self, from: u32) -> Option<u32> {
        (from..self.entries.len() as u32).find(|&slot| self.entries[slot as usize].used)
    }

    /// An id that led to another entry leads to this one.
    #[inline]
    fn add_id(&mut self, id: ClOrdId, slot: u32) {
        if !self.ids.insert(id.0, slot) && self.ids.remove(id.0).is_some() {
            self.ids.insert(id.0, slot);
        }
    }

    /// Forgets an id unless the entry still goes by it.
    fn drop_id(&mut self, slot: u32, id: ClOrdId) {
        let entry = &self.entries[slot as usize];
        if ![entry.root, entry.current, entry.replace, entry.cancel].contains(&id) {
            self.ids.remove(id.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn table_with(capacity: usize) -> Table {
        Table::with_capacity(capacity)
    }

    #[test]
    fn a_full_table_says_so_and_a_removed_order_makes_room() {
        let mut table = table_with(2);
        let insert = |table: &mut Table, id| table.insert(ClOrdId(id), InstrumentId(0), Side::Sell, Qty(1));
        assert!(insert(&mut table, 1).is_some() && insert(&mut table, 2).is_some());
        assert_eq!(insert(&mut table, 1), table.find(ClOrdId(1)), "the same id is the same order");
        assert!(insert(&mut table, 3).is_none());
        table.remove(table.find(ClOrdId(1)).unwrap());
        assert!(insert(&mut table, 3).is_some());
        assert!(table.find(ClOrdId(1)).is_none());
    }

    #[test]
    fn an_order_is_found_by_each_of_its_ids_until_it_is_gone() {
        let mut table = table_with(4);
        let slot = table.insert(ClOrdId(10), InstrumentId(0), Side::Buy, Qty(5)).unwrap();
        table.set_replace(slot, ClOrdId(11));
        table.set_cancel(slot, ClOrdId(12));
        table.set_current(slot, ClOrdId(11));
        table.set_cancel(slot, ClOrdId(13));
        for (id, found) in [(10, true), (11, true), (12, false), (13, true)] {
            assert_eq!(table.find(ClOrdId(id)).is_some(), found, "{id}");
        }
        table.remove(slot);
        assert!((10..14).all(|id| table.find(ClOrdId(id)).is_none()));
        assert_eq!(table.len(), 0);
    }

    proptest! {
        /// The probed map and a sorted map agree after every insertion and removal.
        #[test]
        fn table_matches_model_prop(steps in prop::collection::vec((1u64..40, any::<bool>()), 1..300)) {
            let (mut table, mut model) = (table_with(16), BTreeMap::new());
            for (id, add) in steps {
                if add {
                    if let Some(slot) = table.insert(ClOrdId(id), InstrumentId(0), Side::Buy, Qty(1)) {
                        model.insert(id, slot);
                    }
                } else if let Some(slot) = model.remove(&id) {
                    table.remove(slot);
                }
                prop_assert_eq!(table.len(), model.len());
                for id in 1..40 {
                    prop_assert_eq!(table.find(ClOrdId(id)), model.get(&id).copied());
                }
            }
        }
    }
}
