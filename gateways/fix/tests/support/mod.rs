//! A double of a FIX venue on our own acceptor session: orders rest until they are cancelled. Small on purpose; the real
//! matching is the venue's.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use tercel_event::SessionEvent;
use tercel_fix::order::{OrderGateway, OrderGatewayConfig};
use tercel_fix::session::{Application, Inbound, Link, Persist, Session, SessionConfig, Verdict, Wire};
use tercel_fix::store::{MemoryStore, Store};
use tercel_fix::tag::{self, msg_type};
use tercel_net::conformance::{Answer, Request, Rig};
use tercel_net::{Now, Received, SendError};
use tercel_types::{
    Calendar, ClOrdId, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Qty, SourceId, TimeNs,
};

pub fn btcusdt() -> Instrument {
    Instrument {
        id: InstrumentId(0),
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::from_whole(100),
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    }
}

pub fn config() -> OrderGatewayConfig {
    OrderGatewayConfig {
        source: SourceId(4),
        session: SessionConfig::initiator("TERCEL", "VENUE"),
        instruments: vec![btcusdt()],
        accounts: vec!["ACC".into()],
        epoch: 7,
        orders_max: 64,
    }
}

#[derive(Default)]
pub struct Out {
    pub bytes: Vec<u8>,
    pub closed: bool,
}

impl Wire for Out {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        self.bytes.extend_from_slice(bytes);
        Ok(TimeNs(0))
    }
    fn close(&mut self) {
        self.closed = true;
    }
}

#[derive(Clone)]
struct Resting {
    order_id: u64,
    qty: String,
    px: String,
    side: u8,
}

/// The venue's application.
pub struct Exchange {
    pub requests: Vec<Request>,
    pub raw: Vec<String>,
    pub mute: bool,
    orders: BTreeMap<ClOrdId, Resting>,
    order_ids: u64,
    exec_ids: u64,
}

impl Exchange {
    fn new() -> Self {
        Self { requests: vec![], raw: vec![], mute: false, orders: BTreeMap::new(), order_ids: 0, exec_ids: 0 }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one report")]
    fn report<W: Wire + ?Sized, S: Store>(
        &mut self,
        link: &mut Link<S>,
        now: Now,
        wire: &mut W,
        ids: (ClOrdId, Option<ClOrdId>),
        kind: (u8, u8),
        order: &Resting,
        mass: Option<(&[u8], usize, bool)>,
    ) {
        self.exec_ids += 1;
        let (exec_id, order_id) = (format!("E{}", self.exec_ids), format!("V{}", order.order_id));
        let _ = link.send(msg_type::EXECUTION_REPORT, ClOrdId::NONE, Persist::Required, now, wire, |w| {
            w.text::<{ tag::ORDER_ID }>(order_id.as_bytes());
            w.text::<{ tag::CL_ORD_ID }>(&ids.0.to_ascii());
            if let Some(orig) = ids.1 {
                w.text::<{ tag::ORIG_CL_ORD_ID }>(&orig.to_ascii());
            }
            if let Some((request, total, last)) = mass {
                w.text::<{ tag::MASS_STATUS_REQ_ID }>(request);
                w.uint::<{ tag::TOT_NUM_REPORTS }>(total as u64);
                w.char::<{ tag::LAST_RPT_REQUESTED }>(if last { b'Y' } else { b'N' });
            }
            w.text::<{ tag::EXEC_ID }>(exec_id.as_bytes());
            w.char::<{ tag::EXEC_TYPE }>(kind.0);
            w.char::<{ tag::ORD_STATUS }>(kind.1);
            w.text::<{ tag::SYMBOL }>(b"BTCUSDT");
            w.char::<{ tag::SIDE }>(order.side);
            w.text::<{ tag::ORDER_QTY }>(order.qty.as_bytes());
            w.text::<{ tag::PRICE }>(order.px.as_bytes());
            w.text::<{ tag::LEAVES_QTY }>(if kind.1 == b'0' { order.qty.as_bytes() } else { b"0" });
            w.text::<{ tag::CUM_QTY }>(b"0");
            w.text::<{ tag::AVG_PX }>(b"0");
            w.time::<{ tag::TRANSACT_TIME }>(now.wall);
        });
    }
}

impl<W: Wire + ?Sized, S: Store> Application<W, S> for Exchange {
    fn on_message(&mut self, inbound: &Inbound<'_>, link: &mut Link<S>, now: Now, wire: &mut W) -> Verdict {
        let message = &inbound.message;
        self.raw.push(String::from_utf8_lossy(message.bytes()).replace('\u{1}', "|"));
        let id = |tag| message.get(tag).and_then(|text| ClOrdId::parse(text).ok()).unwrap_or(ClOrdId::NONE);
        let text = |tag| String::from_utf8_lossy(message.get(tag).unwrap_or(b"0")).into_owned();
        let (cl_ord_id, orig_cl_ord_id) = (id(tag::CL_ORD_ID), id(tag::ORIG_CL_ORD_ID));
        let side = message.get_char(tag::SIDE).unwrap_or(b'1');
        let request = match message.msg_type() {
            msg_type::NEW_ORDER_SINGLE => Request::New { cl_ord_id },
            msg_type::ORDER_CANCEL_REQUEST => Request::Cancel { cl_ord_id, orig_cl_ord_id },
            msg_type::ORDER_CANCEL_REPLACE_REQUEST => Request::Replace { cl_ord_id, orig_cl_ord_id },
            msg_type::ORDER_STATUS_REQUEST => Request::Status { cl_ord_id },
            msg_type::ORDER_MASS_STATUS_REQUEST => Request::MassStatus,
            _ => return Verdict::Done,
        };
        self.requests.push(request);
        if self.mute {
            return Verdict::Done;
        }
        match request {
            Request::New { .. } => {
                self.order_ids += 1;
                let order = Resting { order_id: self.order_ids, qty: text(tag::ORDER_QTY), px: text(tag::PRICE), side };
                self.orders.insert(cl_ord_id, order.clone());
                self.report(link, now, wire, (cl_ord_id, None), (b'0', b'0'), &order, None);
            }
            Request::Cancel { .. } => match self.orders.remove(&orig_cl_ord_id) {
                Some(order) => {
                    self.report(link, now, wire, (cl_ord_id, Some(orig_cl_ord_id)), (b'4', b'4'), &order, None);
                }
                None => self.refuse(link, now, wire, cl_ord_id, orig_cl_ord_id),
            },
            Request::Replace { .. } => match self.orders.remove(&orig_cl_ord_id) {
                Some(order) => {
                    let order = Resting { qty: text(tag::ORDER_QTY), px: text(tag::PRICE), ..order };
                    self.orders.insert(cl_ord_id, order.clone());
                    self.report(link, now, wire, (cl_ord_id, Some(orig_cl_ord_id)), (b'5', b'0'), &order, None);
                }
                None => self.refuse(link, now, wire, cl_ord_id, orig_cl_ord_id),
            },
            Request::Status { .. } => {
                let found = self.orders.get(&cl_ord_id).cloned();
                let status = if found.is_some() { b'0' } else { b'8' };
                let none = Resting { order_id: 0, qty: "0".into(), px: "0".into(), side };
                let order = found.unwrap_or(none);
                self.report(link, now, wire, (cl_ord_id, None), (b'I', status), &order, None);
            }
            Request::MassStatus => {
                let request = message.get(tag::MASS_STATUS_REQ_ID).unwrap_or(b"").to_vec();
                let orders: Vec<_> = self.orders.iter().map(|(id, order)| (*id, order.clone())).collect();
                for (at, (id, order)) in orders.iter().enumerate() {
                    let last = at + 1 == orders.len();
                    let mass = Some((request.as_slice(), orders.len(), last));
                    self.report(link, now, wire, (*id, None), (b'I', b'0'), order, mass);
                }
                if orders.is_empty() {
                    let none = Resting { order_id: 0, qty: "0".into(), px: "0".into(), side: b'1' };
                    self.report(link, now, wire, (ClOrdId::NONE, None), (b'I', b'8'), &none, Some((&request, 0, true)));
                }
            }
        }
        Verdict::Done
    }

    fn on_session(&mut self, _: SessionEvent, _: &mut Link<S>, _: Now, _: &mut W) {}
}

impl Exchange {
    fn refuse<W: Wire + ?Sized, S: Store>(
        &self,
        link: &mut Link<S>,
        now: Now,
        wire: &mut W,
        cl_ord_id: ClOrdId,
        orig_cl_ord_id: ClOrdId,
    ) {
        let _ = link.send(msg_type::ORDER_CANCEL_REJECT, ClOrdId::NONE, Persist::Required, now, wire, |w| {
            w.text::<{ tag::ORDER_ID }>(b"NONE");
            w.text::<{ tag::CL_ORD_ID }>(&cl_ord_id.to_ascii());
            w.text::<{ tag::ORIG_CL_ORD_ID }>(&orig_cl_ord_id.to_ascii());
            w.char::<{ tag::ORD_STATUS }>(b'8');
            w.char::<{ tag::CXL_REJ_RESPONSE_TO }>(b'1');
            w.uint::<{ tag::CXL_REJ_REASON }>(1);
        });
    }
}

/// A venue with its session.
pub struct Venue {
    pub session: Session<MemoryStore>,
    pub exchange: Exchange,
    pub out: Out,
}

impl Venue {
    pub fn new() -> Self {
        let config = SessionConfig::acceptor("VENUE", "TERCEL");
        Self { session: Session::new(config, MemoryStore::new()), exchange: Exchange::new(), out: Out::default() }
    }

    pub fn connected(&mut self, now: Now) {
        self.session.on_disconnected(now, &mut self.out, &mut self.exchange);
        self.out = Out::default();
        self.session.on_connected(now, &mut self.out, &mut self.exchange);
    }

    pub fn receive(&mut self, bytes: &[u8], now: Now) -> Vec<u8> {
        let received = Received { bytes, ts_user: now.engine, ts_kernel: None };
        self.session.on_received(received, now, &mut self.out, &mut self.exchange);
        core::mem::take(&mut self.out.bytes)
    }

    /// Sends a message of the venue's own making; `body` with `|` for SOH.
    pub fn send(&mut self, kind: &[u8], body: &str, now: Now) -> Vec<u8> {
        let body = body.replace('|', "\u{1}");
        let link = self.session.link_mut();
        link.send(kind, ClOrdId::NONE, Persist::Required, now, &mut self.out, |w| w.raw(body.as_bytes())).unwrap();
        core::mem::take(&mut self.out.bytes)
    }
}

pub struct FixRig {
    pub gateway: OrderGateway<MemoryStore>,
    pub venue: Venue,
}

impl Rig for FixRig {
    type Machine = OrderGateway<MemoryStore>;

    fn fresh() -> Self {
        Self { gateway: OrderGateway::new(config(), MemoryStore::new()), venue: Venue::new() }
    }

    fn machine(&mut self) -> &mut Self::Machine {
        &mut self.gateway
    }

    fn set_answer(&mut self, answer: Answer) {
        self.venue.exchange.mute = answer == Answer::Mute;
    }

    fn venue(&mut self, bytes: &[u8], now: Now) -> Vec<u8> {
        self.venue.receive(bytes, now)
    }

    fn venue_connected(&mut self, now: Now) {
        self.venue.connected(now);
    }

    fn requests(&self) -> &[Request] {
        &self.venue.exchange.requests
    }
}
