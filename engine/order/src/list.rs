use crate::Order;

pub(crate) const NONE: u32 = u32::MAX;

/// A list of orders threaded through their slots, oldest first. O(1) everywhere, no memory of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) first: u32,
    last: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE };

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(crate) fn push_back(&mut self, slots: &mut [Order], slot: u32) {
        slots[slot as usize].prev = self.last;
        slots[slot as usize].next = NONE;
        match self.last {
            NONE => self.first = slot,
            last => slots[last as usize].next = slot,
        }
        self.last = slot;
    }

    pub(crate) fn remove(&mut self, slots: &mut [Order], slot: u32) {
        let Order { prev, next, .. } = slots[slot as usize];
        match prev {
            NONE => self.first = next,
            prev => slots[prev as usize].next = next,
        }
        match next {
            NONE => self.last = prev,
            next => slots[next as usize].prev = prev,
        }
    }

    pub(crate) fn iter<'a>(&self, slots: &'a [Order]) -> impl Iterator<Item = &'a Order> + use<'a> {
        let mut at = self.first;
        core::iter::from_fn(move || {
            let order = slots.get(at as usize)?;
            at = order.next;
            Some(order)
        })
    }
}
