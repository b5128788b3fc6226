//! The table against a venue of its own: commands and reports cross on the wire, answers are lost with the session and come
//! back by resend, timers run out, and in the end both must hold the same orders and the same fills.
use super::*;
use std::collections::VecDeque;

/// SplitMix64: a failure prints its seed, and the seed is the whole story.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        tercel_event::mix64(self.0) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
struct VenueOrder {
    ids: Vec<ClOrdId>,
    px: i64,
    qty: i64,
    cum: i64,
    live: bool,
    status: u8,
}

#[derive(Clone, Debug)]
enum Message {
    Exec(ExecReport),
    Reject(CancelReject),
    MassEnd,
}

struct World {
    random: Random,
    orders: Orders,
    venue: Vec<VenueOrder>,
    /// On the way to the venue, and from it.
    wire: VecDeque<Command>,
    reports: VecDeque<Message>,
    /// Delivered reports, which a venue may repeat.
    delivered: Vec<ExecReport>,
    exec: u64,
    counter: u64,
    now: i64,
    traded: i64,
    /// Whether the venue accepts a cancel that names an id since replaced.
    strict_ids: bool,
    /// Count of changes, and the open orders as they were shown with it.
    shown: (u64, Vec<[i64; 9]>),
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed << 20);
        let strict_ids = random.one_in(2);
        Self {
            random,
            orders: table(4096),
            venue: Vec::new(),
            wire: VecDeque::new(),
            reports: VecDeque::new(),
            delivered: Vec::new(),
            exec: 0,
            counter: 0,
            now: 1_000,
            traded: 0,
            strict_ids,
            shown: (0, Vec::new()),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn send(&mut self, command: Command) {
        if self.orders.on_command(&command).is_ok() {
            self.wire.push_back(command);
        }
    }

    fn some_open(&mut self) -> Option<Order> {
        let open: Vec<Order> = self.orders.open_all().copied().collect();
        (!open.is_empty()).then(|| open[self.random.below(open.len() as u64) as usize])
    }

    fn report(&mut self, at: usize, exec_type: u8, about: ClOrdId, last: i64) {
        self.exec += 1;
        let order = &self.venue[at];
        let report = ExecReport {
            cl_ord_id: about,
            orig_cl_ord_id: ClOrdId::NONE,
            exec_type,
            ord_status: order.status,
            side: Side::Buy as u8,
            px: Price(order.px),
            has_px: 1,
            order_qty: Qty(order.qty),
            cum_qty: Qty(order.cum),
            leaves_qty: Qty(if order.live { order.qty - order.cum } else { 0 }),
            last_qty: Qty(last),
            last_px: Price(order.px),
            exec_id: ExecId::new(format!("{}", self.exec).as_bytes()).unwrap(),
            order_id: OrderId::new(format!("V{at}").as_bytes()).unwrap(),
            ..ExecReport::default()
        };
        self.reports.push_back(Message::Exec(report));
    }

    fn live_status(order: &VenueOrder) -> u8 {
        if order.cum > 0 { b'1' } else { b'0' }
    }

    /// The venue reads one message.
    fn venue_reads(&mut self) {
        let Some(command) = self.wire.pop_front() else { return };
        let found = self.venue.iter().position(|order| order.ids.contains(&command.root_cl_ord_id));
        match CommandKind::from_u8(command.kind).unwrap() {
            CommandKind::New => {
                let refuse = self.random.one_in(10);
                self.venue.push(VenueOrder {
                    ids: vec![command.cl_ord_id],
                    px: command.px.0,
                    qty: command.order_qty.0,
                    cum: 0,
                    live: !refuse,
                    status: if refuse { b'8' } else { b'0' },
                });
                self.report(self.venue.len() - 1, if refuse { b'8' } else { b'0' }, command.cl_ord_id, 0);
            }
            kind @ (CommandKind::Cancel | CommandKind::Replace) => {
                let known =
                    found.filter(|&at| !self.strict_ids || self.venue[at].ids.last() == Some(&command.orig_cl_ord_id));
                let lively = known.is_some_and(|at| self.venue[at].live) && !self.random.one_in(8);
                if !lively {
                    let reject = CancelReject {
                        cl_ord_id: command.cl_ord_id,
                        orig_cl_ord_id: command.orig_cl_ord_id,
                        ord_status: found.map_or(b'8', |at| self.venue[at].status),
                        reason: if known.is_some() { 1 } else { 2 },
                        response_to: if kind == CommandKind::Cancel { b'1' } else { b'2' },
                        ..CancelReject::default()
                    };
                    self.reports.push_back(Message::Reject(reject));
                    return;
                }
                let at = known.unwrap();
                if kind == CommandKind::Cancel {
                    (self.venue[at].live, self.venue[at].status) = (false, b'4');
                    self.report(at, b'4', command.cl_ord_id, 0);
                } else {
                    let order = &mut self.venue[at];
                    order.ids.push(command.cl_ord_id);
                    (order.px, order.qty) = (command.px.0, command.order_qty.0);
                    if order.cum >= order.qty {
                        order.qty = order.cum;
                        (order.live, order.status) = (false, b'2');
                    } else {
                        order.status = Self::live_status(order);
                    }
                    self.report(at, b'5', command.cl_ord_id, 0);
                }
            }
            CommandKind::Status => match found {
                Some(at) => {
                    let about = *self.venue[at].ids.last().unwrap();
                    self.report(at, b'I', about, 0);
                }
                None => {
                    let unknown = ExecReport {
                        cl_ord_id: command.root_cl_ord_id,
                        exec_type: b'I',
                        ord_status: b'8',
                        side: Side::Buy as u8,
                        ..ExecReport::default()
                    };
                    self.reports.push_back(Message::Exec(unknown));
                }
            },
            CommandKind::MassStatus => {
                for at in 0..self.venue.len() {
                    if self.venue[at].live {
                        let about = *self.venue[at].ids.last().unwrap();
                        self.report(at, b'I', about, 0);
                    }
                }
                self.reports.push_back(Message::MassEnd);
            }
            CommandKind::Resync => {}
        }
    }

    fn venue_trades(&mut self) {
        let live: Vec<usize> = (0..self.venue.len()).filter(|&at| self.venue[at].live).collect();
        if live.is_empty() {
            return;
        }
        let at = live[self.random.below(live.len() as u64) as usize];
        if self.random.one_in(12) {
            (self.venue[at].live, self.venue[at].status) = (false, b'C');
            let about = *self.venue[at].ids.last().unwrap();
            return self.report(at, b'C', about, 0);
        }
        let left = (self.venue[at].qty - self.venue[at].cum) as u64;
        let last = 1 + self.random.below(left) as i64;
        let order = &mut self.venue[at];
        order.cum += last;
        self.traded += last;
        order.live = order.cum < order.qty;
        order.status = if order.live { b'1' } else { b'2' };
        let about = *order.ids.last().unwrap();
        self.report(at, b'F', about, last);
    }

    fn deliver(&mut self, poss_dup: u8) {
        let now = TimeNs(self.now);
        match self.reports.pop_front() {
            Some(Message::Exec(report)) => {
                let update = self.orders.on_exec_report(&ExecReport { poss_dup, ..report }, SRC, now);
                assert!(!update.duplicate && !update.adopted, "{report:?}");
                self.delivered.push(report);
            }
            Some(Message::Reject(reject)) => {
                self.orders.on_cancel_reject(&reject, now);
            }
            Some(Message::MassEnd) => self.orders.on_mass_status_end(SRC),
            None => {}
        }
    }

    /// The session breaks: what was on the way to the venue is lost, or known never to have been written; what was on the
    /// way back is resent after the logon.
    fn break_session(&mut self) {
        let now = TimeNs(self.now);
        self.orders.on_session_lost(SRC, now);
        for command in core::mem::take(&mut self.wire) {
            if self.random.one_in(2) {
                let not_sent =
                    NotSent { cl_ord_id: command.cl_ord_id, command: command.kind, why: 1, ..NotSent::default() };
                self.orders.on_not_sent(&not_sent, now);
            }
        }
        while !self.reports.is_empty() {
            self.deliver(1);
        }
        let mass = Command { root_cl_ord_id: ClOrdId::NONE, ..command(CommandKind::MassStatus, 1, 0, 0, 0, self.now) };
        self.orders.on_command(&mass).unwrap();
        self.wire.push_back(mass);
    }

    fn ask(&mut self) {
        while let Some(order) = self.orders.status_due() {
            let mut status = command(CommandKind::Status, 1, 1, 0, 0, self.now);
            (status.cl_ord_id, status.root_cl_ord_id) = (order.cl_ord_id, order.root);
            self.orders.on_command(&status).unwrap();
            self.wire.push_back(status);
        }
    }

    fn step(&mut self) {
        self.now += 1 + self.random.below(1_000_000_000) as i64 / 4;
        match self.random.below(24) {
            0..4 if self.orders.open_all().count() < 12 => {
                let (next, px) = (self.next_id(), 600_000 + self.random.below(100) as i64);
                let qty = 1 + self.random.below(20) as i64;
                self.send(command(CommandKind::New, next, 0, px, qty, self.now));
            }
            4..7 => {
                if let Some(order) = self.some_open() {
                    let mut cancel = command(CommandKind::Cancel, self.counter + 1, 1, 0, 0, self.now);
                    self.counter += 1;
                    (cancel.root_cl_ord_id, cancel.orig_cl_ord_id) = (order.root, order.cl_ord_id);
                    self.send(cancel);
                }
            }
            7..10 => {
                if let Some(order) = self.some_open() {
                    let (next, qty) = (self.next_id(), order.cum_qty.0 + 1 + self.random.below(20) as i64);
                    let px = 600_000 + self.random.below(100) as i64;
                    let mut replace = command(CommandKind::Replace, next, 1, px, qty, self.now);
                    (replace.root_cl_ord_id, replace.orig_cl_ord_id) = (order.root, order.cl_ord_id);
                    self.send(replace);
                }
            }
            10..14 => self.venue_reads(),
            14..17 => self.venue_trades(),
            17..22 => self.deliver(0),
            22 if !self.delivered.is_empty() => {
                let at = self.random.below(self.delivered.len() as u64) as usize;
                let again = ExecReport { poss_dup: 1, ..self.delivered[at] };
                let before = self.orders.full_digests();
                if again.exec_type != b'I' {
                    assert!(self.orders.on_exec_report(&again, SRC, TimeNs(self.now)).duplicate);
                    assert_eq!(self.orders.full_digests(), before);
                }
            }
            _ if self.random.one_in(6) => self.break_session(),
            _ => {
                self.orders.on_time(TimeNs(self.now));
            }
        }
        if self.orders.next_deadline().is_some_and(|deadline| deadline.0 <= self.now) {
            self.orders.on_time(TimeNs(self.now));
        }
        self.ask();
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        is_consistent(&self.orders);
        let pending = |r: Option<crate::Request>| r.map_or(-1, |r| r.px.0);
        let view = self.orders.open(STRATEGY, X).map(|o| {
            let (root, id, state) = (o.root.0 as i64, o.cl_ord_id.0 as i64, o.state as i64);
            let (asks, cancels) = (pending(o.replace), i64::from(o.cancel.is_some()));
            [root, id, state, o.px.0, o.order_qty.0, o.cum_qty.0, o.reserved_qty().0, asks, cancels]
        });
        let shown = (self.orders.changes(STRATEGY, X), view.collect());
        assert!(shown.0 > self.shown.0 || shown == self.shown, "changed without notice: {:?} to {shown:?}", self.shown);
        self.shown = shown;
        for order in self.venue.iter().filter(|order| order.live) {
            let ours = self.orders.get(order.ids[0]).expect("an order that lives is in the table");
            assert!(ours.state.is_open(), "it lives at the venue and is dead here: {ours:?} {order:?}");
            assert!(ours.reserved_qty().0 >= order.qty - order.cum, "reserved less than can fill: {ours:?} {order:?}");
        }
    }

    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.now += 1_000_000_000;
            self.orders.on_time(TimeNs(self.now));
            self.ask();
            while !self.wire.is_empty() {
                self.venue_reads();
            }
            while !self.reports.is_empty() {
                self.deliver(0);
            }
            self.check();
            if self.orders.next_deadline().is_none() && self.orders.is_reconciled(ACCOUNT) {
                break;
            }
        }
        assert!(self.orders.is_reconciled(ACCOUNT), "{:?}", self.orders.open_all().collect::<Vec<_>>());
        assert_eq!(self.orders.position(STRATEGY, X).qty.0, self.traded);
        let mut ours: Vec<_> =
            self.orders.open_all().map(|o| (o.root, o.cl_ord_id, o.px.0, o.order_qty.0, o.cum_qty.0)).collect();
        let live = self.venue.iter().filter(|order| order.live);
        let mut theirs: Vec<_> = live.map(|o| (o.ids[0], *o.ids.last().unwrap(), o.px, o.qty, o.cum)).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
        let breaches = self.orders.counters().breaches;
        assert_eq!(breaches, [0; Breach::COUNT], "a venue that keeps the rules causes none");
    }
}

/// After any interleaving the table holds what the venue holds, every fill once, nothing unknown; and at no moment is an
/// order dead here that lives there, or less reserved than can fill.
#[test]
fn the_table_agrees_with_the_venue_in_the_end_sim() {
    let seeds = if std::env::var_os("TERCEL_SOAK").is_some() { 20_000 } else { 600 };
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..400 {
                world.step();
                world.check();
            }
            world.settle();
        });
        if let Err(panic) = run {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The world is worth something only if it fails when it should.
#[test]
fn planted_defects_are_caught() {
    use crate::orders::Defect::{AnyAnswerSettles, CountsTwice, IgnoresMissingFills, LostIsDead, ReservesOldOnly};
    let caught = [LostIsDead, CountsTwice, AnyAnswerSettles, ReservesOldOnly, IgnoresMissingFills].map(|defect| {
        let caught = (0..40).filter(|seed| {
            let run = std::panic::catch_unwind(|| {
                let mut world = World::new(*seed);
                world.orders.defect = Some(defect);
                for _ in 0..400 {
                    world.step();
                    world.check();
                }
                world.settle();
            });
            run.is_err()
        });
        (defect, caught.count())
    });
    println!("caught in how many of 40 worlds: {caught:?}");
    assert!(caught.iter().all(|(_, count)| *count >= 5), "{caught:?}");
}
