//! Hot path. The open orders of one strategy in one instrument as the reconciler sees them, copied again only after a change.
use tercel_event::{Command, Tif};
use tercel_exec::{Working, WorkingStatus};
use tercel_order::{Order, OrderState, Orders};
use tercel_types::{ClOrdId, InstrumentId, Qty, StrategyId};

/// What a request about an order repeats of it, beside what the reconciler sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub cl_ord_id: ClOrdId,
    pub order_qty: Qty,
    pub tif: u8,
    pub flags: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// `Orders::changes` at the last copy; `None` before the first.
    changes: Option<u64>,
    working: Vec<Working>,
    /// As long as `working`.
    standing: Vec<Standing>,
}

impl Shown {
    /// Room for `orders`.
    pub fn with_capacity(orders: usize) -> Self {
        Self { changes: None, working: Vec::with_capacity(orders), standing: Vec::with_capacity(orders) }
    }

    /// Whether it shows the orders as they are, after so many `Orders::changes`.
    #[inline]
    pub fn is_of(&self, changes: u64) -> bool {
        self.changes == Some(changes)
    }

    /// Copies the orders again if they have changed; false when there is no room for them.
    pub fn refresh(&mut self, orders: &Orders, strategy: StrategyId, instrument: InstrumentId) -> bool {
        let changes = orders.changes(strategy, instrument);
        if self.is_of(changes) {
            return true;
        }
        let fits = self.copy(orders, strategy, instrument);
        self.changes = fits.then_some(changes);
        fits
    }

    fn copy(&mut self, orders: &Orders, strategy: StrategyId, instrument: InstrumentId) -> bool {
        self.working.clear();
        self.standing.clear();
        for order in orders.open(strategy, instrument) {
            if self.working.len() == self.working.capacity() || self.standing.len() == self.standing.capacity() {
                return false;
            }
            self.working.push(as_working(order));
            let Order { cl_ord_id, order_qty, tif, flags, .. } = *order;
            self.standing.push(Standing { cl_ord_id, order_qty, tif, flags });
        }
        true
    }

    /// Forgets what it shows.
    pub fn clear(&mut self) {
        self.changes = None;
    }

    #[inline]
    pub fn working(&self) -> &[Working] {
        &self.working
    }

    /// The order whose first id is `root`.
    #[inline]
    pub fn find(&self, root: ClOrdId) -> Option<(&Working, &Standing)> {
        let at = self.working.iter().position(|working| working.root == root)?;
        Some((self.working.get(at)?, self.standing.get(at)?))
    }
}

fn as_working(order: &Order) -> Working {
    let status = match order.state {
        OrderState::PendingNew => WorkingStatus::PendingNew,
        OrderState::PendingCancel | OrderState::PendingBoth => WorkingStatus::PendingCancel,
        OrderState::PendingReplace => WorkingStatus::PendingReplace,
        OrderState::Unknown => WorkingStatus::Unknown,
        _ => WorkingStatus::Live,
    };
    Working {
        root: order.root,
        side: order.side,
        px: order.replace.map_or(order.px, |request| request.px),
        px_standing: order.px,
        leaves: order.reserved_qty(),
        cum: order.cum_qty,
        leg: order.leg,
        status,
        cancel_requested: order.cancel.is_some(),
        resting: order.tif != Tif::Ioc as u8,
        post_only: order.flags & Command::POST_ONLY != 0,
    }
}
