//! A simulated exchange: clients, order ids, lifecycle and the venue's own bookkeeping around one `Matcher` per instrument.
//! It answers requests in the words of FIX and shares no accounting with the engine's order side, so the two can be compared.
//!
//! Invariants  `order_qty = cum_qty + leaves_qty` while an order is open. ExecIDs are dense from 1. A client id names one
//!             order for ever. Every answer carries how many recorded messages came before it.
use crate::matcher::{Fill, Matcher, Placed};
use crate::order::{OrderNo, Refusal, Terms};
use crate::queue::QueueModel;
use crate::report::{CancelRefused, ClientId, ClientNo, ExecType, Execution, Holding, MassStatus, OrdStatus, Response};
use std::collections::{BTreeMap, VecDeque};
use tercel_event::{Frame, FrameError, FrameKind, OrdType, Tif};
use tercel_types::{Ascii, Instrument, InstrumentId, Money, Price, Qty, Side, TimeNs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeConfig {
    pub queue: QueueModel,
    /// Open orders of one client, at most.
    pub max_open_orders: usize,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self { queue: QueueModel::Conservative, max_open_orders: 1_000 }
    }
}

/// NewOrderSingle (D).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    pub cl_ord_id: ClientId,
    pub account: Ascii<16>,
    pub instrument: InstrumentId,
    pub terms: Terms,
    /// ExpireTime (126) of a `Gtd` order.
    pub expire_at: Option<TimeNs>,
}

/// OrderCancelRequest (F).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    pub cl_ord_id: ClientId,
    /// Any id that the order has had.
    pub orig_cl_ord_id: ClientId,
}

/// OrderCancelReplaceRequest (G).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replace {
    pub cl_ord_id: ClientId,
    /// The id that the venue acknowledged last; an older one is refused.
    pub orig_cl_ord_id: ClientId,
    pub side: Side,
    pub limit: Option<Price>,
    /// The new total, not what is left.
    pub qty: Qty,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    client: ClientNo,
    instrument: InstrumentId,
    cl_ord_id: ClientId,
    orig_cl_ord_id: ClientId,
    account: Ascii<16>,
    terms: Terms,
    expire_at: Option<TimeNs>,
    status: OrdStatus,
    cum_qty: i64,
    cost: i128,
}

impl Order {
    fn of(client: ClientNo, new: &NewOrder) -> Self {
        Self {
            client,
            instrument: new.instrument,
            cl_ord_id: new.cl_ord_id,
            orig_cl_ord_id: ClientId::EMPTY,
            account: new.account,
            terms: new.terms,
            expire_at: new.expire_at,
            status: OrdStatus::New,
            cum_qty: 0,
            cost: 0,
        }
    }

    fn leaves(&self) -> i64 {
        if self.status.is_open() { self.terms.qty.0 - self.cum_qty } else { 0 }
    }

    fn ord_type(&self) -> OrdType {
        if self.terms.limit.is_some() { OrdType::Limit } else { OrdType::Market }
    }
}

#[derive(Debug)]
pub struct Exchange {
    config: ExchangeConfig,
    matchers: Vec<Matcher>,
    /// By `OrderNo` less one.
    orders: Vec<Order>,
    open: Vec<OrderNo>,
    ids: BTreeMap<(ClientNo, ClientId), OrderNo>,
    holdings: BTreeMap<(ClientNo, InstrumentId), Holding>,
    next_exec: u64,
    /// Recorded messages taken in.
    after: u64,
    out: VecDeque<Response>,
    fills: Vec<Fill>,
}

impl Exchange {
    pub fn new(instruments: &[Instrument], config: ExchangeConfig) -> Self {
        Self {
            config,
            matchers: instruments.iter().map(|i| Matcher::new(i.clone(), config.queue)).collect(),
            orders: Vec::new(),
            open: Vec::new(),
            ids: BTreeMap::new(),
            holdings: BTreeMap::new(),
            next_exec: 1,
            after: 0,
            out: VecDeque::new(),
            fills: Vec::new(),
        }
    }

    /// The next answer, in the order in which they were made.
    pub fn pop(&mut self) -> Option<Response> {
        self.out.pop_front()
    }

    /// Recorded messages taken in so far.
    pub fn after(&self) -> u64 {
        self.after
    }

    pub fn matcher(&self, instrument: InstrumentId) -> Option<&Matcher> {
        self.matchers.iter().find(|m| m.instrument().id == instrument)
    }

    pub fn holding(&self, client: ClientNo, instrument: InstrumentId) -> Holding {
        self.holdings.get(&(client, instrument)).copied().unwrap_or_default()
    }

    pub fn open_orders_count(&self, client: ClientNo) -> usize {
        self.open.iter().filter(|&&no| self.orders[no as usize - 1].client == client).count()
    }

    // ---- the record ----

    /// One recorded message as a frame. Only market data counts as a message, and with `MORE` only its last part.
    pub fn on_frame(&mut self, frame: &Frame<'_>, now: TimeNs) -> Result<(), FrameError> {
        let instrument = match frame.kind()? {
            FrameKind::BookDelta => frame.book_delta()?.0.instrument,
            FrameKind::BookSnapshot => frame.book_snapshot()?.0.instrument,
            FrameKind::Bbo => frame.body::<tercel_event::Bbo>()?.instrument,
            FrameKind::Trade => frame.body::<tercel_event::Trade>()?.instrument,
            _ => return Ok(()),
        };
        let snapshot = frame.kind()? == FrameKind::BookSnapshot;
        let Some(at) = self.matchers.iter().position(|m| m.instrument().id == instrument) else { return Ok(()) };
        let whole = self.matchers[at].on_frame(frame)?;
        if whole && !snapshot {
            self.message_end(instrument, now);
        }
        Ok(())
    }

    /// Feeds the matcher of `instrument` directly; `message_end` must follow each recorded message.
    pub fn matcher_mut(&mut self, instrument: InstrumentId) -> Option<&mut Matcher> {
        self.matchers.iter_mut().find(|m| m.instrument().id == instrument)
    }

    /// Counts a recorded message and reports the fills that it made.
    pub fn message_end(&mut self, instrument: InstrumentId, now: TimeNs) {
        self.after += 1;
        self.report_fills(instrument, now);
    }

    // ---- requests ----

    pub fn submit(&mut self, client: ClientNo, new: NewOrder, now: TimeNs) {
        let order = Order::of(client, &new);
        let no = self.orders.len() as OrderNo + 1;
        if let Err(refusal) = self.admit(client, &new) {
            return self.refuse_order(client, new, refusal, now);
        }
        self.orders.push(order);
        self.ids.insert((client, new.cl_ord_id), no);
        self.open.push(no);
        self.report(no, ExecType::New, now, |_| {});
        self.work(no, &new.terms, now);
    }

    /// Answers an order with a rejection without looking at it further.
    pub fn refuse_order(&mut self, client: ClientNo, new: NewOrder, refusal: Refusal, now: TimeNs) {
        self.orders.push(Order { status: OrdStatus::Rejected, ..Order::of(client, &new) });
        let no = self.orders.len() as OrderNo;
        self.ids.entry((client, new.cl_ord_id)).or_insert(no);
        self.report(no, ExecType::Rejected, now, |e| e.refusal = Some(refusal));
    }

    /// True when `id` has named an order or request of this client.
    pub fn knows(&self, client: ClientNo, id: ClientId) -> bool {
        self.ids.contains_key(&(client, id))
    }

    fn admit(&self, client: ClientNo, new: &NewOrder) -> Result<(), Refusal> {
        if self.ids.contains_key(&(client, new.cl_ord_id)) {
            return Err(Refusal::DuplicateId);
        }
        let matcher = self.matcher(new.instrument).ok_or(Refusal::UnknownInstrument)?;
        if self.open_orders_count(client) >= self.config.max_open_orders {
            return Err(Refusal::Full);
        }
        self.admit_terms(matcher, client, &new.terms, 0)
    }

    fn admit_terms(&self, matcher: &Matcher, client: ClientNo, terms: &Terms, except: OrderNo) -> Result<(), Refusal> {
        matcher.check(terms)?;
        let own = |no: OrderNo| no != except && self.orders[no as usize - 1].client == client;
        if matcher.meets_own(terms.side, terms.limit, own) {
            return Err(Refusal::SelfTrade);
        }
        Ok(())
    }

    /// Gives the open quantity of `terms` to the matcher and reports what became of it.
    fn work(&mut self, no: OrderNo, terms: &Terms, now: TimeNs) {
        let instrument = self.orders[no as usize - 1].instrument;
        let Some(matcher) = self.matcher_mut(instrument) else { return };
        let Placed { canceled, .. } = matcher.place(no, terms);
        self.report_fills(instrument, now);
        if canceled.0 > 0 {
            self.close(no, OrdStatus::Canceled);
            self.report(no, ExecType::Canceled, now, |_| {});
        }
    }

    pub fn cancel(&mut self, client: ClientNo, cancel: Cancel, now: TimeNs) {
        let refuse = match self.find(client, cancel.orig_cl_ord_id) {
            None => Some((0, Refusal::UnknownOrder)),
            Some(no) if !self.orders[no as usize - 1].status.is_open() => Some((no, Refusal::TooLate)),
            Some(no) if self.ids.contains_key(&(client, cancel.cl_ord_id)) => Some((no, Refusal::DuplicateId)),
            Some(no) => {
                self.ids.insert((client, cancel.cl_ord_id), no);
                self.withdraw(no, OrdStatus::Canceled);
                self.report(no, ExecType::Canceled, now, |e| {
                    e.orig_cl_ord_id = e.cl_ord_id;
                    e.cl_ord_id = cancel.cl_ord_id;
                });
                None
            }
        };
        if let Some((no, refusal)) = refuse {
            self.refuse(client, no, cancel.cl_ord_id, cancel.orig_cl_ord_id, false, refusal, now);
        }
    }

    pub fn replace(&mut self, client: ClientNo, replace: Replace, now: TimeNs) {
        match self.admit_replace(client, &replace) {
            Err((no, refusal)) => {
                self.refuse(client, no, replace.cl_ord_id, replace.orig_cl_ord_id, true, refusal, now);
            }
            Ok(no) => self.apply_replace(no, &replace, now),
        }
    }

    /// Answers a replace with a rejection without looking at it further.
    pub fn refuse_replace(&mut self, client: ClientNo, replace: &Replace, refusal: Refusal, now: TimeNs) {
        let no = self.find(client, replace.orig_cl_ord_id).unwrap_or(0);
        self.refuse(client, no, replace.cl_ord_id, replace.orig_cl_ord_id, true, refusal, now);
    }

    fn admit_replace(&self, client: ClientNo, replace: &Replace) -> Result<OrderNo, (OrderNo, Refusal)> {
        let no = self.find(client, replace.orig_cl_ord_id).ok_or((0, Refusal::UnknownOrder))?;
        let order = &self.orders[no as usize - 1];
        let refused = |refusal| Err((no, refusal));
        if !order.status.is_open() {
            return refused(Refusal::TooLate);
        }
        if order.cl_ord_id != replace.orig_cl_ord_id {
            return refused(Refusal::UnknownOrder);
        }
        if self.ids.contains_key(&(client, replace.cl_ord_id)) {
            return refused(Refusal::DuplicateId);
        }
        if replace.side != order.terms.side || replace.limit.is_none() || order.terms.limit.is_none() {
            return refused(Refusal::Unreplaceable);
        }
        if replace.qty.0 <= order.cum_qty {
            return refused(Refusal::BelowFilled);
        }
        let Some(matcher) = self.matcher(order.instrument) else { return refused(Refusal::UnknownInstrument) };
        let terms = Terms { limit: replace.limit, qty: replace.qty, ..order.terms };
        if terms.limit == order.terms.limit && terms.qty <= order.terms.qty {
            // Keeps its place and cannot meet anything that it did not meet before.
            return if terms.qty < matcher.instrument().min_qty { refused(Refusal::QtyBelowMinimum) } else { Ok(no) };
        }
        self.admit_terms(matcher, client, &terms, no).map_or_else(refused, |()| Ok(no))
    }

    fn apply_replace(&mut self, no: OrderNo, replace: &Replace, now: TimeNs) {
        let order = self.orders[no as usize - 1];
        let terms = Terms { limit: replace.limit, qty: replace.qty, ..order.terms };
        let leaves = Qty(terms.qty.0 - order.cum_qty);
        let keeps_place = terms.limit == order.terms.limit && terms.qty <= order.terms.qty;
        if let (Some(px), Some(matcher)) = (order.terms.limit, self.matcher_mut(order.instrument)) {
            if keeps_place {
                matcher.reduce(no, order.terms.side, px, leaves);
            } else {
                matcher.remove(no, order.terms.side, px);
            }
        }
        let slot = &mut self.orders[no as usize - 1];
        slot.orig_cl_ord_id = slot.cl_ord_id;
        slot.cl_ord_id = replace.cl_ord_id;
        slot.terms = terms;
        self.ids.insert((order.client, replace.cl_ord_id), no);
        self.report(no, ExecType::Replaced, now, |e| e.orig_cl_ord_id = order.cl_ord_id);
        if !keeps_place {
            self.work(no, &Terms { qty: leaves, ..terms }, now);
        }
    }

    /// OrderStatusRequest (H): one report of the order as it stands, with the id that it has now.
    pub fn status(&mut self, client: ClientNo, cl_ord_id: ClientId, request: ClientId, side: Side, now: TimeNs) {
        match self.find(client, cl_ord_id) {
            Some(no) => self.report(no, ExecType::Status, now, |e| e.status_request = request),
            None => {
                let mut execution = self.nothing(client, now);
                execution.cl_ord_id = cl_ord_id;
                execution.side = side;
                execution.status_request = request;
                execution.refusal = Some(Refusal::UnknownOrder);
                self.out.push_back(Response::Execution(execution));
            }
        }
    }

    /// OrderMassStatusRequest (AF) for everything: one report for each open order, or one that says there is none.
    pub fn mass_status(&mut self, client: ClientNo, request: ClientId, now: TimeNs) {
        let open: Vec<OrderNo> = self.open_of(client);
        let orders_count = open.len() as u32;
        for (at, &no) in open.iter().enumerate() {
            let last = at + 1 == open.len();
            self.report(no, ExecType::Status, now, |e| e.mass = Some(MassStatus { request, orders_count, last }));
        }
        if open.is_empty() {
            let mut execution = self.nothing(client, now);
            execution.mass = Some(MassStatus { request, orders_count: 0, last: true });
            execution.refusal = Some(Refusal::UnknownOrder);
            self.out.push_back(Response::Execution(execution));
        }
    }

    /// Cancels every open order of a client, unasked.
    pub fn cancel_all(&mut self, client: ClientNo, now: TimeNs) {
        for no in self.open_of(client) {
            self.withdraw(no, OrdStatus::Canceled);
            self.report(no, ExecType::Canceled, now, |_| {});
        }
    }

    /// Expires `Gtd` orders that are due.
    pub fn expire_due(&mut self, now: TimeNs) {
        let due = |no: &OrderNo| self.orders[*no as usize - 1].expire_at.is_some_and(|at| at <= now);
        let due: Vec<OrderNo> = self.open.iter().copied().filter(due).collect();
        for no in due {
            self.withdraw(no, OrdStatus::Expired);
            self.report(no, ExecType::Expired, now, |_| {});
        }
    }

    /// When `expire_due` has something to do next.
    pub fn next_expiry(&self) -> Option<TimeNs> {
        self.open.iter().filter_map(|&no| self.orders[no as usize - 1].expire_at).min()
    }

    // ---- bookkeeping ----

    fn open_of(&self, client: ClientNo) -> Vec<OrderNo> {
        self.open.iter().copied().filter(|&no| self.orders[no as usize - 1].client == client).collect()
    }

    fn find(&self, client: ClientNo, id: ClientId) -> Option<OrderNo> {
        self.ids.get(&(client, id)).copied()
    }

    fn close(&mut self, no: OrderNo, status: OrdStatus) {
        self.orders[no as usize - 1].status = status;
        self.open.retain(|&open| open != no);
    }

    fn withdraw(&mut self, no: OrderNo, status: OrdStatus) {
        let order = self.orders[no as usize - 1];
        if let (Some(px), Some(matcher)) = (order.terms.limit, self.matcher_mut(order.instrument)) {
            matcher.remove(no, order.terms.side, px);
        }
        self.close(no, status);
    }

    fn report_fills(&mut self, instrument: InstrumentId, now: TimeNs) {
        let mut fills = core::mem::take(&mut self.fills);
        if let Some(matcher) = self.matcher_mut(instrument) {
            fills.extend(matcher.drain_fills());
        }
        for fill in fills.drain(..) {
            self.report_fill(instrument, fill, now);
        }
        self.fills = fills;
    }

    fn report_fill(&mut self, instrument: InstrumentId, fill: Fill, now: TimeNs) {
        let order = &mut self.orders[fill.no as usize - 1];
        order.cum_qty += fill.qty.0;
        order.cost += i128::from(fill.px.0) * i128::from(fill.qty.0);
        assert!(order.cum_qty <= order.terms.qty.0, "order {} filled beyond its quantity", fill.no);
        order.status = if order.cum_qty == order.terms.qty.0 { OrdStatus::Filled } else { OrdStatus::PartiallyFilled };
        let (client, side, status) = (order.client, order.terms.side, order.status);
        if status == OrdStatus::Filled {
            self.close(fill.no, status);
        }
        let commission = self
            .matcher(instrument)
            .and_then(|m| m.instrument().fee(fill.px, fill.qty, fill.maker))
            .unwrap_or(Money::ZERO);
        let holding = self.holdings.entry((client, instrument)).or_default();
        holding.position.0 += side.sign() * fill.qty.0;
        match side {
            Side::Buy => holding.bought.0 += fill.qty.0,
            Side::Sell => holding.sold.0 += fill.qty.0,
        }
        holding.fees += commission;
        holding.fills_count += 1;
        self.report(fill.no, ExecType::Trade, now, |e| {
            e.last_px = fill.px;
            e.last_qty = fill.qty;
            e.liquidity = if fill.maker { 1 } else { 2 };
            e.commission = commission;
        });
    }

    fn report(&mut self, no: OrderNo, exec_type: ExecType, now: TimeNs, amend: impl FnOnce(&mut Execution)) {
        let order = &self.orders[no as usize - 1];
        let exec_no = self.next_exec;
        let mut execution = Execution {
            client: order.client,
            exec_no: if exec_type == ExecType::Status { 0 } else { exec_no },
            order_no: no,
            cl_ord_id: order.cl_ord_id,
            orig_cl_ord_id: if exec_type == ExecType::Status { order.orig_cl_ord_id } else { ClientId::EMPTY },
            account: order.account,
            instrument: order.instrument,
            side: order.terms.side,
            ord_type: order.ord_type(),
            tif: order.terms.tif,
            exec_type,
            ord_status: order.status,
            px: order.terms.limit,
            order_qty: order.terms.qty,
            last_px: Price(0),
            last_qty: Qty(0),
            cum_qty: Qty(order.cum_qty),
            leaves_qty: Qty(order.leaves()),
            cost: order.cost,
            liquidity: 0,
            commission: Money::ZERO,
            holding: self.holding(order.client, order.instrument),
            refusal: None,
            status_request: ClientId::EMPTY,
            mass: None,
            ts: now,
            after: self.after,
        };
        if exec_type != ExecType::Status {
            self.next_exec += 1;
        }
        amend(&mut execution);
        self.out.push_back(Response::Execution(execution));
    }

    /// A report about no order at all.
    fn nothing(&self, client: ClientNo, now: TimeNs) -> Execution {
        Execution {
            client,
            exec_no: 0,
            order_no: 0,
            cl_ord_id: ClientId::EMPTY,
            orig_cl_ord_id: ClientId::EMPTY,
            account: Ascii::EMPTY,
            instrument: self.matchers.first().map_or(InstrumentId(0), |m| m.instrument().id),
            side: Side::Buy,
            ord_type: OrdType::Limit,
            tif: Tif::Day,
            exec_type: ExecType::Status,
            ord_status: OrdStatus::Rejected,
            px: None,
            order_qty: Qty(0),
            last_px: Price(0),
            last_qty: Qty(0),
            cum_qty: Qty(0),
            leaves_qty: Qty(0),
            cost: 0,
            liquidity: 0,
            commission: Money::ZERO,
            holding: Holding::default(),
            refusal: None,
            status_request: ClientId::EMPTY,
            mass: None,
            ts: now,
            after: self.after,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message, one caller each")]
    fn refuse(
        &mut self,
        client: ClientNo,
        no: OrderNo,
        cl_ord_id: ClientId,
        orig_cl_ord_id: ClientId,
        replace: bool,
        refusal: Refusal,
        now: TimeNs,
    ) {
        let ord_status = match no {
            0 => OrdStatus::Rejected,
            _ => self.orders[no as usize - 1].status,
        };
        self.out.push_back(Response::CancelRefused(CancelRefused {
            client,
            order_no: no,
            cl_ord_id,
            orig_cl_ord_id,
            ord_status,
            replace,
            refusal,
            ts: now,
            after: self.after,
        }));
    }
}
