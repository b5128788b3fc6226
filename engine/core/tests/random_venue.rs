//! The core against a venue that answers late, in part, with refusals, and whose session dies in the middle: whatever
//! happens, our books equal the venue's once the session is reconciled, and the record replays.
mod common;
use common::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tercel_core::*;
use tercel_event::*;
use tercel_types::*;

fn make() -> Core {
    core(config(2), vec![Quoter::boxed(vec![], &[]), Taker::aggressive()])
}

struct Rng(u64);
impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix64(self.0) % n
    }
}

#[derive(Clone, Debug)]
struct VenueOrder {
    strategy: u16,
    cl_ord_id: ClOrdId,
    side: Side,
    px: i64,
    total: i64,
    cum: i64,
    live: bool,
    ioc: bool,
}

/// The venue's own truth, with what is on the way in both directions.
#[derive(Default)]
struct Venue {
    orders: BTreeMap<u64, VenueOrder>,
    to_venue: VecDeque<Command>,
    to_core: VecDeque<ExecReport>,
    rejects: VecDeque<CancelReject>,
    /// Delivered reports of this session: resent ones may repeat them.
    delivered: Vec<ExecReport>,
    ids_seen: BTreeSet<u64>,
    execs: u64,
    position: [i64; 2],
    mass: Option<Command>,
}

impl Venue {
    fn report(&mut self, root: u64, exec_type: u8, last: i64) {
        self.execs += 1;
        let o = &self.orders[&root];
        let status = match exec_type {
            b'F' if o.cum == o.total => b'2',
            b'F' => b'1',
            b'5' => b'0',
            b'I' if o.live => b'0',
            b'I' if o.cum == o.total => b'2',
            b'I' => b'4',
            other => other,
        };
        self.to_core.push_back(ExecReport {
            cl_ord_id: o.cl_ord_id,
            px: Price(o.px),
            has_px: 1,
            order_qty: Qty(o.total),
            last_px: Price(o.px),
            last_qty: Qty(last),
            cum_qty: Qty(o.cum),
            leaves_qty: Qty(if o.live { o.total - o.cum } else { 0 }),
            instrument: X,
            side: o.side as u8,
            exec_type,
            ord_status: status,
            liquidity: if o.ioc { 2 } else { 1 },
            order_id: OrderId::new(format!("V{root}").as_bytes()).unwrap(),
            exec_id: ExecId::new(format!("E{}", self.execs).as_bytes()).unwrap(),
            ..Default::default()
        });
    }

    fn fill(&mut self, root: u64, qty: i64) {
        let o = self.orders.get_mut(&root).unwrap();
        o.cum += qty;
        o.live = o.cum < o.total;
        self.position[usize::from(o.strategy)] += qty * o.side.sign();
        self.report(root, b'F', qty);
    }

    fn refuse(&mut self, command: &Command, live: bool) {
        self.rejects.push_back(CancelReject {
            cl_ord_id: command.cl_ord_id,
            orig_cl_ord_id: command.orig_cl_ord_id,
            ord_status: if live { b'0' } else { b'8' },
            response_to: if command.kind == CommandKind::Cancel as u8 { b'1' } else { b'2' },
            reason: if live { 3 } else { 1 },
            ..Default::default()
        });
    }

    /// Handles the oldest command that has arrived.
    fn handle(&mut self, rng: &mut Rng) {
        let Some(command) = self.to_venue.pop_front() else { return };
        let (kind, root) = (CommandKind::from_u8(command.kind).unwrap(), command.root_cl_ord_id.0);
        if matches!(kind, CommandKind::New | CommandKind::Cancel | CommandKind::Replace) {
            assert!(self.ids_seen.insert(command.cl_ord_id.0), "a ClOrdID was used twice");
        }
        match kind {
            CommandKind::New => {
                assert!(!self.orders.contains_key(&root), "an order was sent again");
                let ioc = command.tif == Tif::Ioc as u8;
                let order = VenueOrder {
                    strategy: command.strategy.0,
                    cl_ord_id: command.cl_ord_id,
                    side: Side::from_u8(command.side).unwrap(),
                    px: command.px.0,
                    total: command.order_qty.0,
                    cum: 0,
                    live: true,
                    ioc,
                };
                self.orders.insert(root, order);
                if rng.below(6) == 0 {
                    self.orders.get_mut(&root).unwrap().live = false;
                    return self.report(root, b'8', 0);
                }
                self.report(root, b'0', 0);
                if ioc {
                    let qty = rng.below(command.order_qty.0 as u64 + 1) as i64;
                    if qty > 0 {
                        self.fill(root, qty);
                    }
                    if self.orders[&root].live {
                        self.orders.get_mut(&root).unwrap().live = false;
                        self.report(root, b'4', 0);
                    }
                }
            }
            CommandKind::Cancel | CommandKind::Replace => {
                let known = self.orders.get(&root).filter(|o| o.live).cloned();
                let Some(order) = known else { return self.refuse(&command, false) };
                let fits = command.order_qty.0 > order.cum;
                if kind == CommandKind::Replace && (rng.below(5) == 0 || !fits) {
                    return self.refuse(&command, true);
                }
                let o = self.orders.get_mut(&root).unwrap();
                o.cl_ord_id = command.cl_ord_id;
                if kind == CommandKind::Cancel {
                    o.live = false;
                    self.report(root, b'4', 0);
                } else {
                    (o.px, o.total) = (command.px.0, command.order_qty.0);
                    self.report(root, b'5', 0);
                }
            }
            CommandKind::Status => match self.orders.contains_key(&root) {
                true => self.report(root, b'I', 0),
                false => {
                    // The venue has never heard of it.
                    self.orders.insert(
                        root,
                        VenueOrder {
                            strategy: command.strategy.0,
                            cl_ord_id: command.cl_ord_id,
                            side: Side::from_u8(command.side).unwrap(),
                            px: command.px.0,
                            total: command.order_qty.0,
                            cum: 0,
                            live: false,
                            ioc: false,
                        },
                    );
                    self.report(root, b'I', 0);
                    self.to_core.back_mut().unwrap().ord_status = b'8';
                }
            },
            CommandKind::MassStatus => {
                let live: Vec<u64> = self.orders.iter().filter(|(_, o)| o.live).map(|(root, _)| *root).collect();
                for root in live {
                    self.report(root, b'I', 0);
                    self.to_core.back_mut().unwrap().mass_status = 1;
                }
                self.mass = Some(command);
            }
            CommandKind::Resync => {}
        }
    }
}

/// Hands one message to the core and sends what it asks.
fn deliver(s: &mut Script, venue: &mut Venue) {
    let commands = if let Some(report) = venue.to_core.pop_front() {
        venue.delivered.push(report);
        s.feed(FIX, &report, &[])
    } else if let Some(reject) = venue.rejects.pop_front() {
        s.feed(FIX, &reject, &[])
    } else if let Some(mass) = venue.mass.take() {
        s.mass_status_end(&mass)
    } else {
        return;
    };
    venue.to_venue.extend(commands);
}

fn run(seed: u64, steps: u64) -> [u64; 4] {
    let (mut rng, mut venue) = (Rng(seed), Venue::default());
    let mut s = Script::new(make);
    s.epoch(1);
    s.connect_feed();
    s.book(BID, ASK);
    venue.to_venue.extend(s.session(SessionEvent::LoggedOn));
    let (mut up, mut px, mut epoch) = (true, 0i64, 1);
    for _ in 0..steps {
        s.now += (1 + rng.below(40) as i64) * MS;
        let fresh = match rng.below(24) {
            0..=6 => {
                px += rng.below(7) as i64 - 3;
                s.bbo(BID + px, ASK + px)
            }
            7 => s.param(1, rng.below(5) as f64 * 0.002 - 0.004),
            8..=12 if up => {
                venue.handle(&mut rng);
                Vec::new()
            }
            13..=17 if up => {
                deliver(&mut s, &mut venue);
                Vec::new()
            }
            18..=19 => {
                let live: Vec<u64> = venue.orders.iter().filter(|(_, o)| o.live).map(|(root, _)| *root).collect();
                if !live.is_empty() {
                    let root = live[rng.below(live.len() as u64) as usize];
                    let leaves = venue.orders[&root].total - venue.orders[&root].cum;
                    venue.fill(root, 1 + rng.below(leaves as u64) as i64);
                }
                Vec::new()
            }
            20 if up && rng.below(4) == 0 => {
                // What is on the way to the venue is lost from some point on; what it reported is kept for resending.
                let kept = rng.below(venue.to_venue.len() as u64 + 1) as usize;
                for _ in 0..kept {
                    venue.handle(&mut rng);
                }
                venue.to_venue.clear();
                venue.rejects.clear();
                venue.mass = None;
                up = false;
                // A timer due before the news may still send: what it sends is lost like the rest.
                s.session(SessionEvent::Disconnected);
                Vec::new()
            }
            21 if !up => {
                up = true;
                if rng.below(3) == 0 {
                    epoch += 1;
                    s.epoch(epoch);
                }
                // Resent reports carry PossDup, and some repeat what has been delivered.
                let repeated: Vec<ExecReport> = venue.delivered.iter().rev().take(3).copied().collect();
                for mut report in repeated.into_iter().rev().chain(core::mem::take(&mut venue.to_core)) {
                    report.poss_dup = 1;
                    let commands = s.feed(FIX, &report, &[]);
                    assert!(commands.is_empty(), "seed {seed}: a command while the session is down: {commands:?}");
                    venue.delivered.push(report);
                }
                s.session(SessionEvent::LoggedOn)
            }
            _ => s.wait(0),
        };
        if up {
            venue.to_venue.extend(fresh);
        } else {
            assert!(fresh.is_empty(), "seed {seed}: a command while the session is down: {fresh:?}");
        }
        check(&s, seed);
    }
    // Faults stop; everything must come to rest and agree.
    if !up {
        for mut report in core::mem::take(&mut venue.to_core) {
            report.poss_dup = 1;
            s.feed(FIX, &report, &[]);
        }
        venue.to_venue.extend(s.session(SessionEvent::LoggedOn));
    }
    s.operator(&Kill { scope: Scope::All as u8, ..Default::default() })
        .into_iter()
        .for_each(|c| venue.to_venue.push_back(c));
    for _ in 0..4_000 {
        s.now += 10 * MS;
        let commands = s.wait(0);
        venue.to_venue.extend(commands);
        venue.handle(&mut rng);
        deliver(&mut s, &mut venue);
        if s.open_orders() == 0 && venue.to_venue.is_empty() && venue.to_core.is_empty() && venue.rejects.is_empty() {
            break;
        }
    }
    let open: Vec<_> = s.core().orders().open_all().collect();
    assert!(open.is_empty(), "seed {seed}: still open: {open:?}");
    assert!(venue.orders.values().all(|o| !o.live), "seed {seed}: the venue has an order that we do not know of");
    assert_eq!([s.position(0), s.position(1)], venue.position, "seed {seed}");
    let counters = *s.core().counters();
    s.end();
    [counters.orders, counters.fills, counters.replaces, counters.session_losses]
}

/// What must hold after every step.
fn check(s: &Script, seed: u64) {
    let counters = s.core().counters();
    assert_eq!(counters.ledger_differences, 0, "seed {seed}");
    assert_eq!(counters.bad_frames, 0, "seed {seed}");
    let orders = s.core().orders();
    for leg in [0, 1] {
        assert!(orders.open_leg(StrategyId(0), X, leg).count() <= 1, "seed {seed}: two orders of one leg");
    }
    let totals = orders.open_totals(StrategyId(0), X);
    assert!(totals.buy_qty.0 <= 10 && totals.sell_qty.0 <= 10, "seed {seed}: more than the quote: {totals:?}");
    let (position, totals) = (s.position(1), orders.open_totals(StrategyId(1), X));
    let worst = (position + totals.buy_qty.0).max(totals.sell_qty.0 - position);
    assert!(worst <= 4, "seed {seed}: the target is at most 4, the worst case is {worst}");
}

#[test]
fn our_books_equal_the_venues_whatever_happens_prop() {
    let seeds = if std::env::var_os("TERCEL_SOAK").is_some() { 20_000 } else { 300 };
    let mut sums = [0; 4];
    for seed in 0..seeds {
        let counts = run(mix64(seed), 400);
        sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    let [orders, fills, replaces, losses] = sums;
    assert!(orders > seeds && fills > seeds && replaces > seeds / 4 && losses > seeds, "{sums:?}");
}
