//! The venue of a play: it acknowledges at once. Orders that meet the book as it was last shown trade with it, immediate ones
//! lose what is left, resting ones fill when a row says so. It matches nothing else and takes no liquidity away.
use crate::event::VenueWord;
use std::collections::VecDeque;
use tercel_event::{
    CancelReject, Command, CommandKind, ExecReport, FrameBuf, Level, MassStatusEnd, SessionEvent, SessionStatus, Tif,
};
use tercel_types::{ClOrdId, ExecId, InstrumentId, OrderId, Price, Qty, Side, SourceId, TimeNs};

#[derive(Clone, Copy, Debug)]
struct Held {
    root: ClOrdId,
    cl_ord_id: ClOrdId,
    instrument: InstrumentId,
    side: Side,
    px: Price,
    qty: Qty,
    cum: Qty,
}

impl Held {
    fn leaves(&self) -> Qty {
        Qty(self.qty.0 - self.cum.0)
    }
}

pub(crate) struct Venue {
    src: SourceId,
    src_seq: u64,
    /// Open orders, oldest first.
    open: Vec<Held>,
    /// Requests without an answer so far.
    kept: VecDeque<Command>,
    is_silent: bool,
    refuse: u32,
    partial: Option<Qty>,
    exec_ids: u64,
    /// Per instrument: bids, asks.
    books: Vec<[Vec<Level>; 2]>,
}

impl Venue {
    pub fn new(src: SourceId, instruments: usize) -> Self {
        Self {
            src,
            src_seq: 0,
            open: Vec::new(),
            kept: VecDeque::new(),
            is_silent: false,
            refuse: 0,
            partial: None,
            exec_ids: 0,
            books: vec![[Vec::new(), Vec::new()]; instruments],
        }
    }

    pub fn show_book(&mut self, instrument: usize, bids: &[Level], asks: &[Level]) {
        self.books[instrument] = [bids.to_vec(), asks.to_vec()];
    }

    /// What a row says about the requests to come. Answers that were kept come out of [`Venue::answer`].
    pub fn tell(&mut self, word: VenueWord) {
        match word {
            VenueWord::Refuse(count) => self.refuse += count,
            VenueWord::Silent => self.is_silent = true,
            VenueWord::Answer => self.is_silent = false,
            VenueWord::Partial(qty) => self.partial = Some(qty),
        }
    }

    pub fn take(&mut self, command: &Command) {
        self.kept.push_back(*command);
    }

    /// Answers of the next request, in order; `None` when there is none, or silence.
    pub fn answer(&mut self, now: TimeNs) -> Option<Vec<FrameBuf>> {
        if self.is_silent {
            return None;
        }
        let command = self.kept.pop_front()?;
        let mut out = Vec::new();
        match CommandKind::from_u8(command.kind) {
            Some(CommandKind::New) => self.new_order(&command, now, &mut out),
            Some(CommandKind::Replace) => self.replace(&command, now, &mut out),
            Some(CommandKind::Cancel) => self.cancel(&command, now, &mut out),
            Some(CommandKind::Status) => self.status(&command, now, &mut out),
            Some(CommandKind::MassStatus) => self.mass_status(&command, now, &mut out),
            Some(CommandKind::Resync) | None => {}
        }
        Some(out)
    }

    pub fn session(&mut self, event: SessionEvent) -> FrameBuf {
        self.src_seq += 1;
        FrameBuf::of(self.src, self.src_seq, &SessionStatus { event: event as u8, ..Default::default() }, &[])
    }

    /// Fills working orders of one side, best price first. Error: what is open is less than that.
    pub fn fill(
        &mut self,
        instrument: InstrumentId,
        side: Side,
        qty: Qty,
        px: Option<Price>,
        now: TimeNs,
    ) -> Result<Vec<FrameBuf>, Qty> {
        let mut mine: Vec<usize> = (0..self.open.len())
            .filter(|at| self.open[*at].instrument == instrument && self.open[*at].side == side)
            .collect();
        mine.sort_by_key(|at| -self.open[*at].px.0 * side.sign());
        let working = Qty(mine.iter().map(|at| self.open[*at].leaves().0).sum());
        if working < qty {
            return Err(working);
        }
        let (mut left, mut out) = (qty, Vec::new());
        for at in mine {
            let last = Qty(self.open[at].leaves().0.min(left.0));
            if last.0 > 0 {
                left = Qty(left.0 - last.0);
                let held = &mut self.open[at];
                held.cum = Qty(held.cum.0 + last.0);
                let held = *held;
                out.push(self.fill_report(&held, last, px.unwrap_or(held.px), true, now));
            }
        }
        self.open.retain(|held| held.leaves().0 > 0);
        Ok(out)
    }

    fn refuses(&mut self) -> bool {
        let refuses = self.refuse > 0;
        self.refuse -= u32::from(refuses);
        refuses
    }

    fn new_order(&mut self, command: &Command, now: TimeNs, out: &mut Vec<FrameBuf>) {
        let Some(side) = Side::from_u8(command.side) else { return };
        let mut held = Held {
            root: command.root_cl_ord_id,
            cl_ord_id: command.cl_ord_id,
            instrument: command.instrument,
            side,
            px: command.px,
            qty: command.order_qty,
            cum: Qty(0),
        };
        let against = &self.books[command.instrument.idx()][usize::from(side == Side::Buy)];
        let meets = |level: &&Level| (level.px.0 - held.px.0) * side.sign() <= 0;
        let met: Vec<Level> = against.iter().take_while(meets).copied().collect();
        let (post_only, immediate) = (command.flags & Command::POST_ONLY != 0, command.tif == Tif::Ioc as u8);
        if self.refuses() || (post_only && !met.is_empty()) {
            out.push(self.report(&held, b'8', now, |r| (r.leaves_qty, r.rej_reason) = (Qty(0), 1)));
            return;
        }
        out.push(self.report(&held, b'0', now, |_| {}));
        let mut most = if met.is_empty() { Qty(i64::MAX) } else { self.partial.take().unwrap_or(Qty(i64::MAX)) };
        for level in met {
            let last = Qty(held.leaves().0.min(level.qty.0).min(most.0));
            if last.0 > 0 {
                most = Qty(most.0 - last.0);
                held.cum = Qty(held.cum.0 + last.0);
                out.push(self.fill_report(&held, last, level.px, false, now));
            }
        }
        if held.leaves().0 > 0 && immediate {
            out.push(self.report(&held, b'4', now, |r| r.leaves_qty = Qty(0)));
        } else if held.leaves().0 > 0 {
            self.open.push(held);
        }
    }

    fn replace(&mut self, command: &Command, now: TimeNs, out: &mut Vec<FrameBuf>) {
        let place = self.open.iter().position(|held| held.root == command.root_cl_ord_id);
        let Some(at) = place.filter(|_| !self.refuses()) else {
            return out.push(self.refusal(command, b'2', place.is_some()));
        };
        let held = &mut self.open[at];
        (held.px, held.qty, held.cl_ord_id) = (command.px, command.order_qty, command.cl_ord_id);
        let held = *held;
        let orig = command.orig_cl_ord_id;
        out.push(self.report(&held, b'5', now, |r| (r.orig_cl_ord_id, r.ord_status) = (orig, b'0')));
    }

    fn cancel(&mut self, command: &Command, now: TimeNs, out: &mut Vec<FrameBuf>) {
        let place = self.open.iter().position(|held| held.root == command.root_cl_ord_id);
        let Some(at) = place.filter(|_| !self.refuses()) else {
            return out.push(self.refusal(command, b'1', place.is_some()));
        };
        let held = Held { cl_ord_id: command.cl_ord_id, ..self.open.remove(at) };
        let orig = command.orig_cl_ord_id;
        out.push(self.report(&held, b'4', now, |r| (r.orig_cl_ord_id, r.leaves_qty) = (orig, Qty(0))));
    }

    /// A refused request: the order lives on, or is unknown here.
    fn refusal(&mut self, command: &Command, response_to: u8, lives: bool) -> FrameBuf {
        self.src_seq += 1;
        let body = CancelReject {
            cl_ord_id: command.cl_ord_id,
            orig_cl_ord_id: command.orig_cl_ord_id,
            ord_status: if lives { b'0' } else { b'8' },
            response_to,
            reason: if lives { 0 } else { 2 },
            ..Default::default()
        };
        FrameBuf::of(self.src, self.src_seq, &body, &[])
    }

    fn status(&mut self, command: &Command, now: TimeNs, out: &mut Vec<FrameBuf>) {
        let known = self.open.iter().find(|held| held.root == command.root_cl_ord_id).copied();
        let report = match known {
            Some(held) => self.report(&held, b'I', now, |r| r.ord_status = if held.cum.0 > 0 { b'1' } else { b'0' }),
            None => {
                let gone = Held {
                    root: command.root_cl_ord_id,
                    cl_ord_id: command.cl_ord_id,
                    instrument: command.instrument,
                    side: Side::from_u8(command.side).unwrap_or(Side::Buy),
                    px: command.px,
                    qty: command.order_qty,
                    cum: Qty(0),
                };
                self.report(&gone, b'I', now, |r| (r.leaves_qty, r.ord_status) = (Qty(0), b'8'))
            }
        };
        out.push(report);
    }

    fn mass_status(&mut self, command: &Command, now: TimeNs, out: &mut Vec<FrameBuf>) {
        for held in self.open.clone() {
            let ord_status = if held.cum.0 > 0 { b'1' } else { b'0' };
            out.push(self.report(&held, b'I', now, |r| (r.ord_status, r.mass_status) = (ord_status, 1)));
        }
        self.src_seq += 1;
        let orders_count = self.open.len() as u32;
        let end = MassStatusEnd { request_id: command.cl_ord_id.0, orders_count, ..Default::default() };
        out.push(FrameBuf::of(self.src, self.src_seq, &end, &[]));
    }

    fn fill_report(&mut self, held: &Held, last: Qty, px: Price, maker: bool, now: TimeNs) -> FrameBuf {
        self.report(held, b'F', now, |r| {
            (r.last_qty, r.last_px, r.liquidity) = (last, px, if maker { 1 } else { 2 });
            r.ord_status = if held.leaves().0 == 0 { b'2' } else { b'1' };
        })
    }

    fn report(&mut self, held: &Held, exec_type: u8, now: TimeNs, change: impl FnOnce(&mut ExecReport)) -> FrameBuf {
        self.exec_ids += 1;
        self.src_seq += 1;
        let mut report = ExecReport {
            cl_ord_id: held.cl_ord_id,
            px: held.px,
            has_px: 1,
            order_qty: held.qty,
            cum_qty: held.cum,
            leaves_qty: held.leaves(),
            instrument: held.instrument,
            side: held.side as u8,
            exec_type,
            ord_status: exec_type,
            order_id: OrderId::new(format!("V{}", held.root.0).as_bytes()).unwrap_or_default(),
            exec_id: ExecId::new(format!("E{}", self.exec_ids).as_bytes()).unwrap_or_default(),
            ts_exchange: now,
            ts_recv: now,
            ..Default::default()
        };
        change(&mut report);
        FrameBuf::of(self.src, self.src_seq, &report, &[])
    }
}
