//! Hot path. The venue's answers as frames: ExecutionReport (8), OrderCancelReject (9), Reject (3), BusinessMessageReject (j).
use super::Desk;
use crate::number::{count_of, parse_u32};
use crate::session::{Inbound, Link, Verdict, reject_reason};
use crate::stamp::parse_stamp;
use crate::store::Store;
use crate::tag::{self, msg_type};
use tercel_event::{CancelReject, CommandKind, ExecReport, MassStatusEnd, MessageReject, is_terminal};
use tercel_net::{GatewayIo, Now};
use tercel_types::{ClOrdId, Decimal, ExecId, Instrument, OrderId, Price, Qty, Side, TimeNs};

/// Commission (12) in the unit of `Money`.
const MONEY: Decimal = Decimal { mantissa: 1, scale: 12 };

/// A mass status request whose answer is not complete yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct MassAnswer {
    request: ClOrdId,
    reports_count: u32,
}

impl MassAnswer {
    pub(super) fn new(request: ClOrdId) -> Self {
        Self { request, reports_count: 0 }
    }
}

/// Values of one report as text, collected in one pass over its fields. Empty is absent.
#[derive(Default)]
struct Texts<'a> {
    cl_ord_id: &'a [u8],
    orig_cl_ord_id: &'a [u8],
    order_id: &'a [u8],
    exec_id: &'a [u8],
    exec_type: u8,
    ord_status: u8,
    symbol: &'a [u8],
    side: u8,
    order_qty: &'a [u8],
    px: &'a [u8],
    last_qty: &'a [u8],
    last_px: &'a [u8],
    leaves_qty: &'a [u8],
    cum_qty: &'a [u8],
    transact_time: &'a [u8],
    commission: &'a [u8],
    comm_type: u8,
    liquidity: u8,
    rej_reason: &'a [u8],
    mass_request: &'a [u8],
    tot_num_reports: &'a [u8],
    last_rpt: u8,
}

impl<'a> Texts<'a> {
    #[inline]
    fn read(inbound: &Inbound<'a>) -> Self {
        let mut texts = Self::default();
        let one = |value: &[u8]| if let [byte] = value { *byte } else { 0 };
        for (tag, value) in inbound.message.fields_from(inbound.header.body_idx) {
            match tag {
                tag::CL_ORD_ID => texts.cl_ord_id = value,
                tag::ORIG_CL_ORD_ID => texts.orig_cl_ord_id = value,
                tag::ORDER_ID => texts.order_id = value,
                tag::EXEC_ID => texts.exec_id = value,
                tag::EXEC_TYPE => texts.exec_type = one(value),
                tag::ORD_STATUS => texts.ord_status = one(value),
                tag::SYMBOL => texts.symbol = value,
                tag::SIDE => texts.side = one(value),
                tag::ORDER_QTY => texts.order_qty = value,
                tag::PRICE => texts.px = value,
                tag::LAST_QTY => texts.last_qty = value,
                tag::LAST_PX => texts.last_px = value,
                tag::LEAVES_QTY => texts.leaves_qty = value,
                tag::CUM_QTY => texts.cum_qty = value,
                tag::TRANSACT_TIME => texts.transact_time = value,
                tag::COMMISSION => texts.commission = value,
                tag::COMM_TYPE => texts.comm_type = one(value),
                tag::LAST_LIQUIDITY_IND => texts.liquidity = one(value),
                tag::ORD_REJ_REASON => texts.rej_reason = value,
                tag::MASS_STATUS_REQ_ID => texts.mass_request = value,
                tag::TOT_NUM_REPORTS => texts.tot_num_reports = value,
                tag::LAST_RPT_REQUESTED => texts.last_rpt = one(value),
                _ => {}
            }
        }
        texts
    }
}

impl Desk {
    #[inline]
    pub(super) fn on_report<S: Store>(
        &mut self,
        inbound: &Inbound<'_>,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) -> Verdict {
        self.counters.reports += 1;
        let texts = Texts::read(inbound);
        let total = parse_u32(texts.tot_num_reports);
        if !texts.mass_request.is_empty() && total == Some(0) {
            // Nothing is open. The rest of the report stands for no order.
            io.crash_point("reconcile");
            self.end_mass_answer(texts.mass_request, 0, now, io);
            return Verdict::Done;
        }
        let ts_exchange = self.stamps.read(texts.transact_time).unwrap_or(TimeNs(0));
        let (slot, verdict) = match self.report_of(&texts, ts_exchange, inbound) {
            Ok(report) => {
                let slot = self.track(&report);
                if !texts.mass_request.is_empty() {
                    io.crash_point("reconcile");
                }
                self.push(&report, io);
                (slot, Verdict::Done)
            }
            Err((ref_tag, reason)) => (None, self.unreadable(&texts, ref_tag, reason, inbound, io)),
        };
        if let Some(slot) = slot {
            self.kill_order(slot, link, now, io);
        }
        // Counted whether it could be read or not: the answer is complete when the venue has said everything.
        if !texts.mass_request.is_empty() {
            self.count_mass_report(&texts, total, now, io);
        }
        verdict
    }

    /// A report that cannot be told to the core as one. What it said may have been a fill of ours, so the core hears that
    /// something was said; what names another instrument and no order of ours is only counted.
    #[cold]
    fn unreadable(
        &mut self,
        texts: &Texts<'_>,
        ref_tag: u32,
        reason: u32,
        inbound: &Inbound<'_>,
        io: &mut (dyn GatewayIo + '_),
    ) -> Verdict {
        let ids = [texts.cl_ord_id, texts.orig_cl_ord_id].map(|text| ClOrdId::parse(text).unwrap_or(ClOrdId::NONE));
        let ours = ids.into_iter().find(|&id| self.table.find(id).is_some());
        if ours.is_none() && !texts.symbol.is_empty() && self.instrument_of(texts.symbol).is_none() {
            if texts.mass_request.is_empty() {
                return self.malformed(ref_tag, reason);
            }
            // A mass status asks for the whole account, and so answers for instruments that are not traded here.
            self.counters.foreign += 1;
            return Verdict::Done;
        }
        let named = ids.into_iter().find(|id| !id.is_none());
        let reject = MessageReject {
            cl_ord_id: ours.or(named).unwrap_or(ClOrdId::NONE),
            ref_seq_num: 0,
            reason: reason as u16 + 1,
            level: UNREADABLE,
            ref_msg_type: msg_type::EXECUTION_REPORT[0],
            ref_tag,
            msg_seq_num: inbound.msg_seq_num,
            ts_recv: inbound.ts_recv,
        };
        self.push(&reject, io);
        self.malformed(ref_tag, reason)
    }

    /// The report as a frame, or the tag that is missing or cannot be read, with its SessionRejectReason.
    #[inline]
    fn report_of(
        &self,
        texts: &Texts<'_>,
        ts_exchange: TimeNs,
        inbound: &Inbound<'_>,
    ) -> Result<ExecReport, (u32, u32)> {
        const MISSING: u32 = reject_reason::REQUIRED_TAG_MISSING;
        const RANGE: u32 = reject_reason::VALUE_OUT_OF_RANGE;
        const FORMAT: u32 = reject_reason::INCORRECT_DATA_FORMAT;
        let instrument = self.instrument_of(texts.symbol).ok_or((tag::SYMBOL, RANGE))?;
        let qty = |text: &[u8], tag| match text {
            [] => Err((tag, MISSING)),
            text => count_of(instrument.lot, text).map_err(|_| (tag, FORMAT)),
        };
        let optional = |step, text: &[u8], tag| match text {
            [] => Ok(0),
            text => count_of(step, text).map_err(|_| (tag, FORMAT)),
        };
        for (byte, tag) in [(texts.exec_type, tag::EXEC_TYPE), (texts.ord_status, tag::ORD_STATUS)] {
            if byte == 0 {
                return Err((tag, MISSING));
            }
        }
        // Only trades, corrections and cancels of trades carry a price that matters; a status report may repeat an average.
        let trade = matches!(texts.exec_type, b'F' | b'G' | b'H' | b'1' | b'2');
        let last_px = if trade { optional(instrument.price_step, texts.last_px, tag::LAST_PX)? } else { 0 };
        let last_qty = if trade { optional(instrument.lot, texts.last_qty, tag::LAST_QTY)? } else { 0 };
        // What is for information only may be too fine or too long for a frame; then it is absent, and the rest stands.
        let px = if texts.px.is_empty() { None } else { count_of(instrument.price_step, texts.px).ok() };
        let commission = if texts.comm_type == b'3' || texts.comm_type == 0 { texts.commission } else { &[] };
        let commission = if commission.is_empty() { None } else { count_of(MONEY, commission).ok() };
        Ok(ExecReport {
            cl_ord_id: ClOrdId::parse(texts.cl_ord_id).unwrap_or(ClOrdId::NONE),
            orig_cl_ord_id: ClOrdId::parse(texts.orig_cl_ord_id).unwrap_or(ClOrdId::NONE),
            px: Price(px.unwrap_or(0)),
            order_qty: Qty(optional(instrument.lot, texts.order_qty, tag::ORDER_QTY)?),
            last_px: Price(last_px),
            last_qty: Qty(last_qty),
            cum_qty: Qty(qty(texts.cum_qty, tag::CUM_QTY)?),
            leaves_qty: Qty(qty(texts.leaves_qty, tag::LEAVES_QTY)?),
            ts_exchange,
            ts_recv: inbound.ts_recv,
            instrument: instrument.id,
            side: Side::from_u8(texts.side.wrapping_sub(b'0')).ok_or((tag::SIDE, RANGE))? as u8,
            exec_type: texts.exec_type,
            ord_status: texts.ord_status,
            liquidity: match texts.liquidity {
                b'1' => 1,
                b'2' => 2,
                _ => 0,
            },
            poss_dup: u8::from(inbound.header.poss_dup),
            rej_reason: plus_one(texts.rej_reason) as u8,
            mass_status: u8::from(!texts.mass_request.is_empty()),
            has_px: u8::from(px.is_some()),
            msg_seq_num: inbound.msg_seq_num,
            commission: commission.unwrap_or(0),
            has_commission: u64::from(commission.is_some()),
            order_id: OrderId::new(texts.order_id).unwrap_or(OrderId::EMPTY),
            exec_id: ExecId::new(texts.exec_id).ok_or((tag::EXEC_ID, RANGE))?,
        })
    }

    fn instrument_of(&self, symbol: &[u8]) -> Option<&Instrument> {
        self.instruments.iter().find(|instrument| instrument.symbol.as_bytes() == symbol)
    }

    #[cold]
    fn malformed(&mut self, ref_tag: u32, reason: u32) -> Verdict {
        self.counters.malformed += 1;
        let text = match reason {
            reject_reason::REQUIRED_TAG_MISSING => "Required tag missing",
            reject_reason::INCORRECT_DATA_FORMAT => "Incorrect data format for value",
            _ => "Value is incorrect (out of range) for this tag",
        };
        Verdict::Reject { reason, ref_tag: Some(ref_tag), text }
    }

    /// Brings the table up to the report; returns the order's slot while it may be live.
    #[inline]
    fn track(&mut self, report: &ExecReport) -> Option<u32> {
        let found = self.table.find(report.cl_ord_id).or_else(|| self.table.find(report.orig_cl_ord_id));
        if is_terminal(report.ord_status) {
            // A replace that was refused reports on the order, not on itself; only cancel rejects do that, so dead is dead.
            if let Some(slot) = found {
                self.table.remove(slot);
            }
            return None;
        }
        let slot = match found {
            Some(slot) => slot,
            None => self.adopt(report)?,
        };
        let entry = self.table.entry(slot);
        let names_order = report.cl_ord_id != entry.cancel;
        let pending = matches!(report.exec_type, b'E' | b'6');
        if names_order && !pending && report.poss_dup == 0 && !report.cl_ord_id.is_none() {
            let id = report.cl_ord_id;
            // A pending replace takes effect by Replaced (5), or by any report that names the order by the new id.
            if id == entry.replace || (report.exec_type == b'I' && id != entry.current) {
                self.table.set_current(slot, id);
            }
        }
        let entry = self.table.entry_mut(slot);
        if report.order_qty.0 > 0 && !pending {
            entry.order_qty = report.order_qty;
        }
        entry.cum_qty = entry.cum_qty.max(report.cum_qty);
        Some(slot)
    }

    /// An order that lives at the venue and is not in the table: of an earlier run, told by a status report.
    #[cold]
    fn adopt(&mut self, report: &ExecReport) -> Option<u32> {
        if report.cl_ord_id.is_none() {
            self.counters.foreign += 1;
            return None;
        }
        if report.poss_dup != 0 {
            return None; // of the past: what is live now, the status answer tells
        }
        let side = Side::from_u8(report.side)?;
        let slot = self.table.insert(report.cl_ord_id, report.instrument, side, report.order_qty);
        if slot.is_none() {
            self.counters.not_tracked += 1;
        }
        slot
    }

    fn count_mass_report(&mut self, texts: &Texts<'_>, total: Option<u32>, now: Now, io: &mut (dyn GatewayIo + '_)) {
        let Some(mass) = &mut self.mass else { return };
        if ClOrdId::parse(texts.mass_request) != Ok(mass.request) {
            return;
        }
        mass.reports_count += 1;
        let count = mass.reports_count;
        io.crash_point("reconcile");
        if texts.last_rpt == b'Y' || total.is_some_and(|total| count >= total) {
            self.end_mass_answer(texts.mass_request, count, now, io);
        }
    }

    fn end_mass_answer(&mut self, request: &[u8], orders_count: u32, now: Now, io: &mut (dyn GatewayIo + '_)) {
        let Some(mass) = self.mass else { return };
        if ClOrdId::parse(request) != Ok(mass.request) {
            return;
        }
        self.mass = None;
        self.kill.set_complete();
        io.crash_point("reconcile");
        let end = MassStatusEnd { request_id: mass.request.0, orders_count, reserved: 0, ts: now.engine };
        self.push(&end, io);
    }

    pub(super) fn on_cancel_reject(&mut self, inbound: &Inbound<'_>, io: &mut (dyn GatewayIo + '_)) -> Verdict {
        let message = &inbound.message;
        let Some(cl_ord_id) = message.get(tag::CL_ORD_ID) else {
            return self.malformed(tag::CL_ORD_ID, reject_reason::REQUIRED_TAG_MISSING);
        };
        let Some(ord_status) = message.get_char(tag::ORD_STATUS) else {
            return self.malformed(tag::ORD_STATUS, reject_reason::REQUIRED_TAG_MISSING);
        };
        let id = |text: Option<&[u8]>| text.and_then(|text| ClOrdId::parse(text).ok()).unwrap_or(ClOrdId::NONE);
        let reject = CancelReject {
            cl_ord_id: id(Some(cl_ord_id)),
            orig_cl_ord_id: id(message.get(tag::ORIG_CL_ORD_ID)),
            ts_exchange: message.get(tag::TRANSACT_TIME).and_then(parse_stamp).unwrap_or(TimeNs(0)),
            ts_recv: inbound.ts_recv,
            ord_status,
            response_to: message.get_char(tag::CXL_REJ_RESPONSE_TO).unwrap_or(0),
            reason: plus_one(message.get(tag::CXL_REJ_REASON).unwrap_or(b"")) as u8,
            reserved: 0,
            msg_seq_num: inbound.msg_seq_num,
        };
        let found = self.table.find(reject.cl_ord_id).or_else(|| self.table.find(reject.orig_cl_ord_id));
        match found {
            // Too late is not unknown: the final report of a filled order comes by itself.
            Some(slot) if reject.reason == UNKNOWN_ORDER || is_terminal(ord_status) => self.table.remove(slot),
            Some(slot) => self.drop_request(slot, reject.cl_ord_id),
            None => self.counters.foreign += 1,
        }
        self.push(&reject, io);
        Verdict::Done
    }

    pub(super) fn on_reject(&mut self, inbound: &Inbound<'_>, io: &mut (dyn GatewayIo + '_)) -> Verdict {
        let message = &inbound.message;
        let session_level = inbound.header.msg_type == msg_type::REJECT;
        let ref_seq_num = message.get_u32(tag::REF_SEQ_NUM).unwrap_or(0);
        let by_text = message.get(tag::BUSINESS_REJECT_REF_ID).and_then(|text| ClOrdId::parse(text).ok());
        let ref_msg_type = message.get(tag::REF_MSG_TYPE).unwrap_or(b"");
        let by_number = self.sent.find(ref_seq_num, ref_msg_type);
        let cl_ord_id = by_number.map(|(id, _)| id).or(by_text).unwrap_or(ClOrdId::NONE);
        let reason_tag = if session_level { tag::SESSION_REJECT_REASON } else { tag::BUSINESS_REJECT_REASON };
        let kind = by_number.and_then(|(_, kind)| CommandKind::from_u8(kind));
        if let Some(slot) = self.table.find(cl_ord_id) {
            match (kind, ref_msg_type) {
                (Some(CommandKind::New), _) | (None, msg_type::NEW_ORDER_SINGLE) => self.table.remove(slot),
                (Some(CommandKind::Status | CommandKind::MassStatus), _) => {}
                _ => self.drop_request(slot, cl_ord_id),
            }
        }
        if kind == Some(CommandKind::MassStatus) {
            self.mass = None;
        }
        let reject = MessageReject {
            cl_ord_id: if kind == Some(CommandKind::MassStatus) { ClOrdId::NONE } else { cl_ord_id },
            ref_seq_num,
            reason: plus_one(message.get(reason_tag).unwrap_or(b"")),
            level: if session_level { 1 } else { 2 },
            ref_msg_type: ref_msg_type.first().copied().unwrap_or(0),
            ref_tag: message.get_u32(tag::REF_TAG_ID).unwrap_or(0),
            msg_seq_num: inbound.msg_seq_num,
            ts_recv: inbound.ts_recv,
        };
        self.push(&reject, io);
        Verdict::Done
    }

    /// A cancel or replace request came to nothing; the order lives on under its current id.
    fn drop_request(&mut self, slot: u32, id: ClOrdId) {
        let entry = *self.table.entry(slot);
        if entry.replace == id {
            self.table.set_replace(slot, ClOrdId::NONE);
        }
        if entry.cancel == id {
            self.table.set_cancel(slot, ClOrdId::NONE);
        }
    }
}

/// CxlRejReason 1, unknown order, as a frame carries it.
const UNKNOWN_ORDER: u8 = 2;

/// `MessageReject::level` of a report that could not be read.
const UNREADABLE: u8 = 3;

/// A small number plus one, 0 when absent or not a number.
fn plus_one(text: &[u8]) -> u16 {
    parse_u32(text).map_or(0, |value| (value.min(254) + 1) as u16)
}
