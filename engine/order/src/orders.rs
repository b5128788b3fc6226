use crate::due::DueHeap;
use crate::exec_ids::ExecIds;
use crate::list::{List, NONE};
use crate::order::{IDS_COUNT, Questions, Share};
use crate::{Breach, Order, OrderConfig, OrderState, OrderUpdate, Position};
use tercel_types::{
    AccountId, ClOrdId, IdMap, InstrumentId, Instruments, OrderId, Price, Qty, Side, SourceId, StrategyId, TimeNs,
};

/// What is open of one owner in one instrument, in the worst case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenTotals {
    pub orders_count: u32,
    /// Σ `reserved_qty` of the buys.
    pub buy_qty: Qty,
    pub sell_qty: Qty,
}

/// Everything that was not used, or should not happen, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reports whose ExecID had counted before.
    pub duplicates: u64,
    /// Reports of orders that are not ours and are no fills.
    pub foreign_reports: u64,
    /// Reports that an order of ours which we do not have is dead.
    pub unknown_reports: u64,
    /// Orders taken in from reports.
    pub adopted: u64,
    /// Orders held dead that the venue showed live.
    pub revived: u64,
    /// Answers to requests that had been settled otherwise.
    pub late_answers: u64,
    /// Orders that an outcome timer, a lost session or a restart made `Unknown`.
    pub unknowns: u64,
    /// Dead orders that made room.
    pub recycled: u64,
    /// By `Breach as usize`.
    pub breaches: [u64; Breach::COUNT],
}

/// Every order, every position. See the crate's page for what holds.
#[derive(Clone, Debug)]
pub struct Orders {
    pub(crate) config: OrderConfig,
    pub(crate) instruments: Instruments,
    pub(crate) slots: Box<[Order]>,
    free: Vec<u32>,
    ids: IdMap,
    pub(crate) exec_ids: ExecIds,
    /// Open orders by (strategy, instrument); the row after the last strategy holds what is nobody's.
    open: Box<[List]>,
    dead: List,
    by_strategy: Box<[OpenTotals]>,
    by_account: Box<[OpenTotals]>,
    unknown_by_account: Box<[u32]>,
    /// Open orders that the venue must be asked about.
    unproven_count: u32,
    /// By (strategy, instrument): changes of its open orders so far.
    changes: Box<[u64]>,
    pub(crate) positions: Box<[Position]>,
    pub(crate) account_positions: Box<[Position]>,
    /// The highest ClOrdID used.
    pub(crate) newest_id: ClOrdId,
    /// The highest ClOrdID that has ever led to an order, those that reports brought in from elsewhere included.
    highest_id: ClOrdId,
    pub(crate) due: DueHeap,
    orders_digest: u64,
    pub(crate) positions_digest: u64,
    pub(crate) counters: Counters,
    #[cfg(test)]
    pub(crate) defect: Option<Defect>,
}

/// Defects that the tests plant, to show that they would be caught.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// An order of a lost session is taken for dead.
    LostIsDead,
    /// A repeated ExecID counts again.
    CountsTwice,
    /// Any status answer settles every request, whenever the question was asked.
    AnyAnswerSettles,
    /// CumQty of the venue is not looked at.
    IgnoresMissingFills,
    /// A replace in flight reserves what stands only.
    ReservesOldOnly,
}

impl Orders {
    /// All memory is taken here. `config` must have passed `validate`.
    pub fn new(instruments: &Instruments, config: OrderConfig) -> Self {
        let (rows, columns) = (config.strategies + 1, instruments.len());
        let ids_len = config.capacity * (IDS_COUNT + 1);
        Self {
            slots: vec![EMPTY; config.capacity].into_boxed_slice(),
            free: (0..config.capacity as u32).rev().collect(),
            ids: IdMap::new(ids_len),
            exec_ids: ExecIds::new(config.exec_ids),
            open: vec![List::EMPTY; rows * columns].into_boxed_slice(),
            dead: List::EMPTY,
            by_strategy: vec![OpenTotals::default(); rows * columns].into_boxed_slice(),
            by_account: vec![OpenTotals::default(); config.accounts * columns].into_boxed_slice(),
            unknown_by_account: vec![0; config.accounts].into_boxed_slice(),
            unproven_count: 0,
            changes: vec![0; rows * columns].into_boxed_slice(),
            positions: vec![Position::default(); rows * columns].into_boxed_slice(),
            account_positions: vec![Position::default(); config.accounts * columns].into_boxed_slice(),
            newest_id: ClOrdId::NONE,
            highest_id: ClOrdId::NONE,
            due: DueHeap::new(config.capacity),
            orders_digest: 0,
            positions_digest: 0,
            counters: Counters::default(),
            #[cfg(test)]
            defect: None,
            instruments: instruments.clone(),
            config,
        }
    }

    /// The owner of orders and positions that no strategy of this run can be named for.
    pub fn foreign(&self) -> StrategyId {
        StrategyId(self.config.strategies as u16)
    }

    /// The order that `id` leads to: its root, its current id, or one of its newest requests. Dead ones are kept for a while.
    #[inline]
    pub fn get(&self, id: ClOrdId) -> Option<&Order> {
        self.find(id).map(|slot| &self.slots[slot as usize])
    }

    /// Open orders of a strategy in an instrument, oldest first.
    #[inline]
    pub fn open(&self, strategy: StrategyId, instrument: InstrumentId) -> impl Iterator<Item = &Order> + use<'_> {
        let list = self.cell(strategy, instrument).map_or(List::EMPTY, |at| self.open[at]);
        list.iter(&self.slots)
    }

    /// Open orders of one leg (sink in the high byte, leg in the low one).
    #[inline]
    pub fn open_leg(
        &self,
        strategy: StrategyId,
        instrument: InstrumentId,
        leg: u16,
    ) -> impl Iterator<Item = &Order> + use<'_> {
        self.open(strategy, instrument).filter(move |order| order.leg == leg)
    }

    /// Every open order, by strategy, then instrument, then age.
    pub fn open_all(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().flat_map(|list| list.iter(&self.slots))
    }

    /// Every order that the table still knows, dead ones of the recent past included, by slot. A walk over the whole table.
    pub fn all(&self) -> impl Iterator<Item = &Order> {
        let known = |&(at, order): &(usize, &Order)| self.find(order.root) == Some(at as u32);
        self.slots.iter().enumerate().filter(known).map(|(_, order)| order)
    }

    /// No order of the strategy in the instrument is open or unknown.
    #[inline]
    pub fn is_settled(&self, strategy: StrategyId, instrument: InstrumentId) -> bool {
        self.cell(strategy, instrument).is_none_or(|at| self.open[at].is_empty())
    }

    /// Settled, and the position is below what can be traded.
    #[inline]
    pub fn is_flat(&self, strategy: StrategyId, instrument: InstrumentId) -> bool {
        let min_qty = self.instruments.get(instrument).map_or(1, |i| i.min_qty.0.max(1));
        self.is_settled(strategy, instrument) && self.position(strategy, instrument).qty.0.abs() < min_qty
    }

    /// A number that grows whenever anything about an open order of a strategy in an instrument changes that decides what
    /// may be done with it: a view of those orders holds for as long as it stays.
    #[inline]
    pub fn changes(&self, strategy: StrategyId, instrument: InstrumentId) -> u64 {
        self.cell(strategy, instrument).map_or(0, |at| self.changes[at])
    }

    /// Own quantity that the public book shows at a price, over all strategies of the account. A walk over the open orders in
    /// the instrument: where `account_open_totals` has nothing on that side, nothing rests.
    pub fn own_qty_at(&self, account: AccountId, instrument: InstrumentId, side: Side, px: Price) -> Qty {
        let (mut own, mut cell) = (0, instrument.idx());
        while let Some(list) = self.open.get(cell) {
            cell += self.instruments.len();
            let mut at = list.first;
            while let Some(order) = self.slots.get(at as usize) {
                if order.px == px && order.side == side && order.account == account && order.is_resting() {
                    own += order.leaves_qty().0;
                }
                at = order.next;
            }
        }
        Qty(own)
    }

    #[inline]
    pub fn position(&self, strategy: StrategyId, instrument: InstrumentId) -> Position {
        self.cell(strategy, instrument).map_or_else(Position::default, |at| self.positions[at])
    }

    #[inline]
    pub fn account_position(&self, account: AccountId, instrument: InstrumentId) -> Position {
        self.account_cell(account, instrument).map_or_else(Position::default, |at| self.account_positions[at])
    }

    #[inline]
    pub fn open_totals(&self, strategy: StrategyId, instrument: InstrumentId) -> OpenTotals {
        self.cell(strategy, instrument).map_or_else(OpenTotals::default, |at| self.by_strategy[at])
    }

    #[inline]
    pub fn account_open_totals(&self, account: AccountId, instrument: InstrumentId) -> OpenTotals {
        self.account_cell(account, instrument).map_or_else(OpenTotals::default, |at| self.by_account[at])
    }

    /// Orders of the account that are `Unknown`.
    pub fn unknown_count(&self, account: AccountId) -> u32 {
        self.unknown_by_account.get(account.idx()).copied().unwrap_or(0)
    }

    /// Nothing of the account is unknown or missing: what the start gate asks for.
    pub fn is_reconciled(&self, account: AccountId) -> bool {
        self.open_all().all(|order| order.account != account || !order.needs_status())
    }

    /// The next order whose fate the venue must be asked for, if the question is due. `on_command` with the question moves
    /// on to the next.
    #[inline]
    pub fn status_due(&self) -> Option<&Order> {
        if self.unproven_count == 0 {
            return None; // asked at every frame, almost always in vain
        }
        self.open_all().find(|order| order.needs_status() && order.status_from == TimeNs::MIN)
    }

    /// When `on_time` has something to do; `None` while nothing is awaited.
    #[inline]
    pub fn next_deadline(&self) -> Option<TimeNs> {
        let soonest = self.due.soonest();
        (soonest != TimeNs::MAX).then_some(soonest)
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Addend of `StateDigest::orders`, kept per change.
    #[inline]
    pub fn orders_digest(&self) -> u64 {
        self.orders_digest
    }

    /// Addend of `StateDigest::positions`, kept per change.
    #[inline]
    pub fn positions_digest(&self) -> u64 {
        self.positions_digest
    }

    /// Both digests computed anew from all fields; equal to the kept ones unless there is a defect.
    pub fn full_digests(&self) -> (u64, u64) {
        let live = self.open_all().chain(self.dead.iter(&self.slots));
        let orders = live.map(Order::digest).fold(0, u64::wrapping_add);
        let positions = self.positions.iter().enumerate().map(|(at, p)| p.digest(strategy_key(at)));
        let accounts = self.account_positions.iter().enumerate().map(|(at, p)| p.digest(account_key(at)));
        (orders, positions.chain(accounts).fold(0, u64::wrapping_add))
    }

    #[inline]
    pub(crate) fn find(&self, id: ClOrdId) -> Option<u32> {
        self.ids.get(id.0)
    }

    /// By the venue's own id: a scan, for reports that name the order in no other way.
    #[cold]
    pub(crate) fn find_by_order_id(&self, source: SourceId, order_id: &OrderId) -> Option<u32> {
        if order_id.is_empty() {
            return None;
        }
        let open = self.open_all().chain(self.dead.iter(&self.slots));
        let found = open.filter(|order| order.dest == source && order.order_id == *order_id).last()?;
        self.find(found.root)
    }

    #[inline]
    pub(crate) fn cell(&self, strategy: StrategyId, instrument: InstrumentId) -> Option<usize> {
        let columns = self.instruments.len();
        (strategy.idx() <= self.config.strategies && instrument.idx() < columns)
            .then(|| strategy.idx() * columns + instrument.idx())
    }

    #[inline]
    pub(crate) fn account_cell(&self, account: AccountId, instrument: InstrumentId) -> Option<usize> {
        let columns = self.instruments.len();
        (account.idx() < self.config.accounts && instrument.idx() < columns)
            .then(|| account.idx() * columns + instrument.idx())
    }

    /// Takes a slot for `order` and indexes its root; `None` when every slot holds an open order. The caller attaches it.
    pub(crate) fn place(&mut self, order: Order) -> Option<u32> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.recycle()?,
        };
        let at = |cell: Option<usize>| cell.map_or(u32::MAX, |at| at as u32);
        let cell = at(self.cell(order.strategy, order.instrument));
        let account_cell = at(self.account_cell(order.account, order.instrument));
        self.slots[slot as usize] = Order { cell, account_cell, ..order };
        self.ids.insert(order.root.0, slot);
        self.highest_id = self.highest_id.max(order.root);
        Some(slot)
    }

    #[cold]
    fn recycle(&mut self) -> Option<u32> {
        let slot = self.dead.first;
        let order = *self.slots.get(slot as usize)?;
        self.dead.remove(&mut self.slots, slot);
        self.orders_digest = self.orders_digest.wrapping_sub(order.digested);
        self.ids.remove(order.root.0);
        for id in order.ids {
            self.ids.remove(id.0);
        }
        self.counters.recycled += 1;
        Some(slot)
    }

    /// `id` leads to no order and has led to none that this table still knows.
    #[inline]
    pub(crate) fn is_unused(&self, id: ClOrdId) -> bool {
        // An id that a report has brought in from elsewhere is used too, however high it is.
        id > self.newest_id && (id > self.highest_id || self.find(id).is_none())
    }

    /// Lets `id` lead to the order. The oldest id that nothing awaits is forgotten for it.
    #[inline(always)]
    pub(crate) fn add_id(&mut self, slot: u32, id: ClOrdId) {
        let order = &mut self.slots[slot as usize];
        // Ids grow with time, and `NONE` is the least of all: the least one that is not needed is the oldest, or a free place.
        // It is the first of the ring, unless the first is still awaited or reports have mixed the order of the ids.
        let at = usize::from(order.oldest_id);
        let newest = *order.ids.get(at.wrapping_sub(1)).unwrap_or(&order.ids[IDS_COUNT - 1]);
        match order.ids.get(at) {
            Some(&oldest) if id >= newest && !order.needs_id(oldest) => {
                order.ids[at] = id;
                order.oldest_id = if at + 1 < IDS_COUNT { at as u8 + 1 } else { 0 };
                self.index_id(slot, oldest, id);
            }
            _ => self.add_id_out_of_order(slot, id),
        }
    }

    #[cold]
    fn add_id_out_of_order(&mut self, slot: u32, id: ClOrdId) {
        let order = &mut self.slots[slot as usize];
        order.ids.sort_unstable();
        let place = (0..IDS_COUNT).find(|&at| !order.needs_id(order.ids[at])).unwrap_or(0);
        let old = core::mem::replace(&mut order.ids[place], id);
        order.ids.sort_unstable();
        order.oldest_id = 0;
        self.index_id(slot, old, id);
    }

    #[inline]
    fn index_id(&mut self, slot: u32, old: ClOrdId, id: ClOrdId) {
        self.ids.remove(old.0);
        self.ids.insert(id.0, slot);
        self.highest_id = self.highest_id.max(id);
    }

    /// Puts a fresh order into the lists and totals.
    pub(crate) fn attach_new(&mut self, slot: u32, now: TimeNs) {
        let order = self.slots[slot as usize];
        if let Some(at) = self.cell(order.strategy, order.instrument) {
            let mut list = self.open[at];
            list.push_back(&mut self.slots, slot);
            self.open[at] = list;
        }
        self.recount(slot, now);
    }

    /// After a change of an order: counts its share anew in every sum, by the difference to what was counted, and keeps the
    /// timers right.
    #[inline(always)]
    pub(crate) fn recount(&mut self, slot: u32, now: TimeNs) {
        let order = &mut self.slots[slot as usize];
        order.ts_changed = now;
        let share = order.share();
        if share.unknown || !share.open || !order.in_flight() {
            order.deadline = TimeNs::MAX;
        } else if order.deadline == TimeNs::MAX {
            order.deadline = now.saturating_add(self.config.outcome_after);
        }
        if (share.open || order.counted.open)
            && let Some(changes) = self.changes.get_mut(order.cell as usize)
        {
            *changes += 1;
        }
        let digest = order.digest();
        self.orders_digest = self.orders_digest.wrapping_sub(order.digested).wrapping_add(digest);
        order.digested = digest;
        if share != order.counted {
            self.move_totals(slot, share);
        }
        self.schedule(slot);
    }

    /// Tells the heap when the order is due.
    #[inline]
    pub(crate) fn schedule(&mut self, slot: u32) {
        let order = &mut self.slots[slot as usize];
        let due = due(order);
        if due != order.due {
            order.due = due;
            self.due.set(slot, due);
        }
    }

    /// Calls `visit` with every open order's slot. `visit` may change orders but end none of them.
    pub(crate) fn for_each_open(&mut self, mut visit: impl FnMut(&mut Self, u32)) {
        for cell in 0..self.open.len() {
            let mut at = self.open[cell].first;
            while at != NONE {
                let slot = at;
                at = self.slots[slot as usize].next;
                visit(self, slot);
            }
        }
    }

    /// Moves an order that just died from its list to the dead ones.
    pub(crate) fn bury(&mut self, slot: u32) {
        let order = self.slots[slot as usize];
        if let Some(at) = self.cell(order.strategy, order.instrument) {
            let mut list = self.open[at];
            list.remove(&mut self.slots, slot);
            self.open[at] = list;
        }
        let mut dead = self.dead;
        dead.push_back(&mut self.slots, slot);
        self.dead = dead;
    }

    /// The way back: from the dead ones to its list.
    #[cold]
    pub(crate) fn exhume(&mut self, slot: u32) {
        let mut dead = self.dead;
        dead.remove(&mut self.slots, slot);
        self.dead = dead;
        let order = self.slots[slot as usize];
        if let Some(at) = self.cell(order.strategy, order.instrument) {
            let mut list = self.open[at];
            list.push_back(&mut self.slots, slot);
            self.open[at] = list;
        }
    }

    /// Brings the open totals from what was counted of an order to its share as it is.
    #[inline(never)]
    fn move_totals(&mut self, slot: u32, share: Share) {
        let order = &mut self.slots[slot as usize];
        let before = core::mem::replace(&mut order.counted, share);
        let orders = i32::from(share.open) - i32::from(before.open);
        let qty = share.qty.0 - before.qty.0;
        let totals =
            [self.by_strategy.get_mut(order.cell as usize), self.by_account.get_mut(order.account_cell as usize)];
        for totals in totals.into_iter().flatten() {
            totals.orders_count = totals.orders_count.wrapping_add_signed(orders);
            match order.side {
                Side::Buy => totals.buy_qty.0 += qty,
                Side::Sell => totals.sell_qty.0 += qty,
            }
        }
        let unproven = i32::from(share.unproven) - i32::from(before.unproven);
        self.unproven_count = self.unproven_count.wrapping_add_signed(unproven);
        if let Some(count) = self.unknown_by_account.get_mut(order.account.idx()) {
            *count = count.wrapping_add_signed(i32::from(share.unknown) - i32::from(before.unknown));
        }
    }

    #[cold]
    pub(crate) fn breach(&mut self, update: &mut OrderUpdate, breach: Breach) {
        self.counters.breaches[breach as usize] += 1;
        // The first one names the cause; the counters have them all.
        update.breach.get_or_insert(breach);
    }
}

/// When something must happen to an order by time alone.
#[inline]
pub(crate) fn due(order: &Order) -> TimeNs {
    if order.state.is_dead() {
        return TimeNs::MAX;
    }
    let asks = order.status_from != TimeNs::MIN && order.needs_status();
    if asks { order.deadline.min(order.status_from) } else { order.deadline }
}

pub(crate) const fn strategy_key(at: usize) -> u64 {
    (at as u64) << 1
}

pub(crate) const fn account_key(at: usize) -> u64 {
    (at as u64) << 1 | 1
}

const EMPTY: Order = Order {
    root: ClOrdId::NONE,
    cl_ord_id: ClOrdId::NONE,
    order_id: OrderId::EMPTY,
    strategy: StrategyId(0),
    account: AccountId(0),
    instrument: InstrumentId(0),
    dest: SourceId(0),
    side: Side::Buy,
    tif: 0,
    flags: 0,
    leg: 0,
    parent_id: 0,
    px: Price(0),
    order_qty: Qty::ZERO,
    cum_qty: Qty::ZERO,
    venue_cum_qty: Qty::ZERO,
    state: OrderState::Rejected,
    acked: false,
    sent: false,
    adopted: false,
    cancel: None,
    replace: None,
    final_state: None,
    ts_created: TimeNs(0),
    ts_changed: TimeNs(0),
    deadline: TimeNs::MAX,
    due: TimeNs::MAX,
    status_from: TimeNs::MIN,
    questions: Questions::NONE,
    counted: Share { qty: Qty::ZERO, open: false, unknown: false, unproven: false },
    digested: 0,
    cell: u32::MAX,
    account_cell: u32::MAX,
    ids: [ClOrdId::NONE; IDS_COUNT],
    oldest_id: 0,
    prev: NONE,
    next: NONE,
};

impl Order {
    /// A record with nothing in it but its identity.
    pub(crate) const fn blank(root: ClOrdId, now: TimeNs) -> Self {
        Self { root, cl_ord_id: root, ts_created: now, ..EMPTY }
    }
}

#[cfg(test)]
mod tests;
