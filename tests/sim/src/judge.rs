//! The venue's own account of the run, read from its order log and from the bytes of the session, and compared with what the
//! core believes. It shares no code with the order table, the positions or the risk ledger.
use std::collections::{BTreeMap, BTreeSet};
use tercel_core::{Core, MemoryLog};
use tercel_event::{
    Command, CommandKind, ExecReport, FrameKind, MassStatusEnd, NotSent, Sent, SessionEvent, SessionStatus,
};
use tercel_risk::{OpenSeen, Seen};
use tercel_types::{ClOrdId, Decimal, Qty, Side, StrategyId};

use crate::setup::{ACCOUNT, X};
use crate::strategies;
use tercel_venue::btcusdt_perp;

/// An order as the venue's log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueOrder {
    /// Its first ClOrdID, and the one that it has now.
    pub root: String,
    pub id: String,
    pub side: u8,
    pub px: i64,
    pub qty: i64,
    pub cum: i64,
    pub open: bool,
}

/// A request as the venue understood it.
#[derive(Clone, Debug)]
struct Request {
    msg_type: char,
    side: u8,
    px: i64,
    qty: i64,
}

#[derive(Default)]
pub struct Judge {
    read: usize,
    /// By the venue's OrderID.
    pub orders: BTreeMap<String, VenueOrder>,
    requests: BTreeMap<String, Request>,
    /// MassStatusReqID and the venue's time of the request.
    mass: BTreeMap<String, i64>,
    execs: BTreeSet<String>,
    pub fills: u64,
    pub fills_passive: u64,
    /// Bought and sold by root ClOrdID.
    filled: BTreeMap<String, i64>,
    wire_ids: BTreeSet<Vec<u8>>,
    pub violations: Vec<String>,
}

fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = line[from..].find(key) {
        let start = from + at;
        let end = start + key.len();
        if line[..start].ends_with('"') && line[end..].starts_with("\":") {
            let rest = &line[end + 2..];
            return match rest.strip_prefix('"') {
                Some(text) => text.split('"').next(),
                None => rest.split([',', '}']).next(),
            };
        }
        from = end;
    }
    None
}

fn count(step: Decimal, text: Option<&str>) -> i64 {
    text.and_then(|text| step.count_of(text.as_bytes()).ok()).unwrap_or(0)
}

impl Judge {
    fn breach(&mut self, text: String) {
        // The first ones say what happened; what follows is mostly their echo.
        if self.violations.len() < 20 {
            self.violations.push(text);
        }
    }

    /// One write of the engine on the order connection: whole messages.
    pub fn wire(&mut self, bytes: &[u8], now_ms: i64) {
        for message in bytes.split_inclusive(|&b| b == 1).collect::<Vec<_>>().split(|f| f.starts_with(b"8=FIX")) {
            let get = |tag: &[u8]| message.iter().find_map(|f| f.strip_prefix(tag)).map(|f| &f[..f.len() - 1]);
            let Some(kind @ (b"D" | b"F" | b"G")) = get(b"35=") else { continue };
            let kind = String::from_utf8_lossy(kind).into_owned();
            if get(b"43=") == Some(b"Y") || get(b"97=") == Some(b"Y") {
                self.breach(format!("{now_ms} ms: an order message ({kind}) was sent again"));
            }
            let id = get(b"11=").unwrap_or(b"").to_vec();
            if !self.wire_ids.insert(id.clone()) {
                self.breach(format!("{now_ms} ms: ClOrdID {} was sent twice", String::from_utf8_lossy(&id)));
            }
        }
    }

    /// Reads what the venue has written since the last call.
    pub fn read(&mut self, log: &[u8]) {
        let new = &log[self.read..];
        self.read = log.len();
        let text = core::str::from_utf8(new).unwrap_or("");
        for line in text.lines() {
            match field(line, "type") {
                Some("request") => self.request(line),
                Some("exec") => self.exec(line),
                _ => {}
            }
        }
    }

    fn request(&mut self, line: &str) {
        let instrument = btcusdt_perp();
        let msg_type = field(line, "msg_type").and_then(|text| text.chars().next()).unwrap_or('?');
        if let Some(request) = field(line, "mass_status_req_id") {
            let ts = field(line, "ts").and_then(|ts| ts.parse().ok()).unwrap_or(0);
            self.mass.entry(request.to_owned()).or_insert(ts);
            return;
        }
        if !matches!(msg_type, 'D' | 'F' | 'G') {
            return;
        }
        let id = field(line, "cl_ord_id").unwrap_or("").to_owned();
        let request = Request {
            msg_type,
            side: field(line, "side").and_then(|side| side.parse().ok()).unwrap_or(0),
            px: count(instrument.price_step, field(line, "px")),
            qty: count(instrument.lot, field(line, "order_qty")),
        };
        if self.requests.insert(id.clone(), request).is_some() {
            self.breach(format!("the venue got ClOrdID {id} twice: {line}"));
        }
    }

    fn exec(&mut self, line: &str) {
        let instrument = btcusdt_perp();
        let text = |key| field(line, key).unwrap_or("").to_owned();
        let (order_id, exec_type, status) = (text("order_id"), text("exec_type"), text("ord_status"));
        if order_id == "NONE" || order_id.is_empty() || exec_type == "I" {
            return;
        }
        if !self.execs.insert(text("exec_id")) {
            self.breach(format!("the venue used an ExecID twice: {line}"));
        }
        let id = text("cl_ord_id");
        let order = self.orders.entry(order_id).or_insert_with(|| VenueOrder {
            root: id.clone(),
            id: id.clone(),
            side: field(line, "side").and_then(|side| side.parse().ok()).unwrap_or(0),
            px: 0,
            qty: 0,
            cum: 0,
            open: true,
        });
        if exec_type == "5" {
            order.id = id;
        }
        order.open = !matches!(status.as_str(), "2" | "4" | "8" | "C");
        order.px = count(instrument.price_step, field(line, "px"));
        order.qty = count(instrument.lot, field(line, "order_qty"));
        order.cum = count(instrument.lot, field(line, "cum_qty"));
        if exec_type == "F" {
            self.fills += 1;
            self.fills_passive += u64::from(field(line, "liquidity") == Some("1"));
            let last = count(instrument.lot, field(line, "last_qty"));
            *self.filled.entry(order.root.clone()).or_default() += last;
        }
    }

    /// Orders that are open at the venue, by their current ClOrdID.
    pub fn open(&self) -> BTreeMap<&str, &VenueOrder> {
        self.orders.values().filter(|order| order.open).map(|order| (order.id.as_str(), order)).collect()
    }

    /// While nothing is on its way: open orders, position and fees of the core are the venue's.
    pub fn compare(&mut self, core: &Core, holding: &tercel_sim::Holding, at: &str) {
        let position = core.orders().account_position(ACCOUNT, X);
        let own = (position.qty, position.bought, position.sold, position.fees, position.fills);
        let theirs = (holding.position, holding.bought, holding.sold, holding.fees, holding.fills_count);
        if own != theirs {
            self.breach(format!("{at}: position (qty, bought, sold, fees, fills) is {own:?}, at the venue {theirs:?}"));
        }
        let mut ours = BTreeMap::new();
        for order in core.orders().open_all() {
            let seen = (order.side as u8, order.px.0, order.order_qty.0, order.cum_qty.0);
            ours.insert(order.cl_ord_id.to_string(), seen);
        }
        let open = self.open();
        let venue: BTreeMap<_, _> =
            open.iter().map(|(id, o)| ((*id).to_owned(), (o.side, o.px, o.qty, o.cum))).collect();
        if ours != venue {
            self.breach(format!("{at}: open orders are {ours:?}, at the venue {venue:?}"));
        }
        self.compare_risk(core, at);
    }

    /// The risk ledger says what the order table says.
    fn compare_risk(&mut self, core: &Core, at: &str) {
        let orders = core.orders();
        let account = orders.account_open_totals(ACCOUNT, X);
        let seen = |totals: tercel_order::OpenTotals| OpenSeen {
            orders_count: totals.orders_count,
            buy_qty: totals.buy_qty,
            sell_qty: totals.sell_qty,
        };
        for strategy in (0..strategies::COUNT as u16).map(StrategyId) {
            let difference = core.risk().compare(&Seen {
                strategy,
                account: ACCOUNT,
                instrument: X,
                strategy_qty: orders.position(strategy, X).qty,
                account_qty: orders.account_position(ACCOUNT, X).qty,
                strategy_open: seen(orders.open_totals(strategy, X)),
                account_open: seen(account),
            });
            if let Some(difference) = difference {
                self.breach(format!("{at}: risk and orders differ: {difference:?}"));
            }
        }
    }

    /// The core's whole log against the venue: gate, identities, attribution, execution reports. `restarts` are the
    /// sequence numbers of the last input before each restart.
    pub fn walk(&mut self, log: &MemoryLog, core: &Core, restarts: &[u64]) {
        let mut walk = Walk::default();
        let mut restarts = restarts.iter().peekable();
        for frame in log.frames() {
            while restarts.next_if(|last| frame.header.seq > **last).is_some() {
                walk.close();
            }
            walk.frame(&frame, &self.mass);
        }
        for text in core::mem::take(&mut walk.breaches) {
            self.breach(text);
        }
        for (id, command) in &walk.commands {
            let Some(request) = self.requests.get(id) else { continue };
            let kind = match CommandKind::from_u8(command.kind) {
                Some(CommandKind::New) => 'D',
                Some(CommandKind::Replace) => 'G',
                _ => 'F',
            };
            let terms = kind == 'F' || (request.px == command.px.0 && request.qty == command.order_qty.0);
            if request.msg_type != kind || request.side != command.side || !terms {
                self.breach(format!("the venue got {request:?} for {command:?}"));
            }
            if walk.not_sent.contains(id) {
                self.breach(format!("{id} was answered with NotSent, and the venue got it"));
            }
        }
        let unknown: Vec<_> = self.requests.keys().filter(|id| !walk.commands.contains_key(*id)).cloned().collect();
        for id in unknown {
            self.breach(format!("the venue got {id}, which is no command of the log"));
        }
        self.attribute(&walk, core);
    }

    /// Positions by strategy, from the venue's fills and the commands' attribution.
    fn attribute(&mut self, walk: &Walk, core: &Core) {
        let mut positions = vec![0; strategies::COUNT];
        for (root, qty) in &self.filled {
            let Some(command) = walk.commands.get(root) else { continue };
            let sign = Side::from_u8(command.side).map_or(0, Side::sign);
            if let Some(position) = positions.get_mut(command.strategy.idx()) {
                *position += sign * qty;
            }
        }
        for (idx, position) in positions.into_iter().enumerate() {
            let own = core.orders().position(StrategyId(idx as u16), X).qty;
            if own != Qty(position) {
                self.breach(format!("strategy {idx} has {own:?}, by the venue's fills {position}"));
            }
        }
        let counted = core.counters().fills;
        if counted != self.fills || walk.fills.len() as u64 != self.fills {
            let seen = walk.fills.len();
            self.breach(format!("{} fills at the venue, {seen} in the log, {counted} counted", self.fills));
        }
    }
}

/// What the log alone says.
#[derive(Default)]
struct Walk {
    commands: BTreeMap<String, Command>,
    not_sent: BTreeSet<String>,
    answered: BTreeSet<(u64, u32)>,
    fills: BTreeSet<Vec<u8>>,
    logged_on: bool,
    gap: bool,
    asked: Option<ClOrdId>,
    reconciled: bool,
    breaches: Vec<String>,
}

impl Walk {
    fn close(&mut self) {
        (self.logged_on, self.gap, self.asked, self.reconciled) = (false, false, None, false);
    }

    fn frame(&mut self, frame: &tercel_event::Frame<'_>, mass: &BTreeMap<String, i64>) {
        let (seq, ts) = (frame.header.seq, frame.header.ts_seq.0);
        match frame.kind() {
            Ok(FrameKind::EpochStart) => self.close(),
            Ok(FrameKind::SessionStatus) => {
                let event = frame.body::<SessionStatus>().ok().and_then(|s| SessionEvent::from_code(s.event));
                match event {
                    Some(SessionEvent::LoggedOn) => (self.logged_on, self.gap) = (true, false),
                    Some(SessionEvent::Recovering) => self.gap = true,
                    Some(SessionEvent::Recovered) => self.gap = false,
                    Some(SessionEvent::LoggedOut | SessionEvent::Disconnected) => self.close(),
                    Some(SessionEvent::Connected) | None => {}
                }
            }
            Ok(FrameKind::MassStatusEnd) => {
                let Ok(end) = frame.body::<MassStatusEnd>() else { return };
                let id = ClOrdId(end.request_id);
                if mass.get(&id.to_string()).is_none_or(|asked| *asked > ts) {
                    self.breaches.push(format!("seq {seq}: mass status {id} ended before the venue was asked"));
                }
                self.reconciled |= self.logged_on && self.asked == Some(id);
            }
            Ok(FrameKind::Command) => {
                let Ok(command) = frame.body::<Command>() else { return };
                let id = command.cl_ord_id.to_string();
                match CommandKind::from_u8(command.kind) {
                    Some(CommandKind::MassStatus) => self.asked = Some(command.cl_ord_id),
                    Some(kind @ (CommandKind::New | CommandKind::Replace | CommandKind::Cancel)) => {
                        if kind != CommandKind::Cancel && !(self.logged_on && self.reconciled && !self.gap) {
                            self.breaches.push(format!("seq {seq}: {kind:?} {id} while the start gate was closed"));
                        }
                        if self.commands.insert(id.clone(), command).is_some() {
                            self.breaches.push(format!("seq {seq}: ClOrdID {id} was used twice"));
                        }
                    }
                    _ => {}
                }
            }
            Ok(FrameKind::Sent) => {
                let Ok(sent) = frame.body::<Sent>() else { return };
                self.answer(sent.cmd_seq, sent.cmd_index);
            }
            Ok(FrameKind::NotSent) => {
                let Ok(not_sent) = frame.body::<NotSent>() else { return };
                let order = [CommandKind::New as u8, CommandKind::Replace as u8, CommandKind::Cancel as u8];
                if order.contains(&not_sent.command) {
                    self.not_sent.insert(not_sent.cl_ord_id.to_string());
                }
                self.answer(not_sent.cmd_seq, not_sent.cmd_index);
            }
            Ok(FrameKind::ExecReport) => {
                let Ok(report) = frame.body::<ExecReport>() else { return };
                if report.exec_type == b'F' {
                    self.fills.insert(report.exec_id.as_bytes().to_vec());
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, seq: u64, index: u32) {
        if !self.answered.insert((seq, index)) {
            self.breaches.push(format!("command ({seq}, {index}) was answered twice"));
        }
    }
}
