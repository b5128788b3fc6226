//! The order gateway in FIX terms: what is on the wire for each command, and which frame each answer becomes.
mod support;

use support::{FixRig, Venue, config};
use tercel_event::{
    CancelReject, CommandKind, ExecReport, Frame, MassStatusEnd, MessageReject, NotSent, NotSentWhy, Sent,
    SessionEvent, SessionStatus,
};
use tercel_fix::order::{Fate, InboundTrail, KILL_SHARD, OrderGateway};
use tercel_fix::store::{FileStore, MemoryStore, Store, StoreError};
use tercel_fix::tag::msg_type;
use tercel_net::conformance::{Answer, Request, Rig, Session, TestIo, order_id};
use tercel_net::{GatewayIo, Now, OrderMachine, Received};
use tercel_types::{ClOrdId, Price, Qty, SourceId, TimeNs};

type Talk = Session<FixRig>;

fn kind(kind: CommandKind) -> u8 {
    kind as u8
}

/// The newest request that the venue read, with `|` for SOH.
fn newest(talk: &Talk) -> &str {
    talk.rig.venue.exchange.raw.last().map_or("", |raw| raw)
}

fn text(counter: u64) -> String {
    order_id(counter).to_string()
}

/// An ExecutionReport of the venue about order `id`.
fn report(talk: &mut Talk, id: u64, body: &str) {
    let now = talk.now;
    let body = format!("37=V1|11={}|55=BTCUSDT|54=1|{body}", text(id));
    let bytes = talk.rig.venue.send(msg_type::EXECUTION_REPORT, &body, now);
    talk.receive(&bytes);
}

#[test]
fn each_command_is_the_fix_message_it_should_be() {
    let mut talk = Talk::logged_on();
    talk.command(kind(CommandKind::New), 1, 0);
    talk.settle();
    let order = newest(&talk).to_string();
    let want = format!("|11={}|1=ACC|21=1|55=BTCUSDT|54=1|60=", text(1));
    assert!(order.contains("|35=D|34=2|49=TERCEL|56=VENUE|52=") && order.contains(&want), "{order}");
    assert!(order.contains("|38=0.005|40=2|44=61800.2|59=1|10="), "{order}");
    talk.command(kind(CommandKind::Replace), 2, 1);
    talk.settle();
    let want = format!("|11={}|41={}|1=ACC|21=1|55=BTCUSDT|54=1|", text(2), text(1));
    assert!(newest(&talk).contains("|35=G|") && newest(&talk).contains(&want), "{}", newest(&talk));
    talk.command(kind(CommandKind::Status), 3, 2);
    talk.settle();
    let want = format!("|11={}|55=BTCUSDT|54=1|790={}|", text(2), text(3));
    assert!(newest(&talk).contains("|35=H|") && newest(&talk).contains(&want), "{}", newest(&talk));
    talk.command(kind(CommandKind::MassStatus), 4, 0);
    talk.settle();
    assert!(newest(&talk).contains(&format!("|584={}|585=7|", text(4))), "{}", newest(&talk));
    talk.command(kind(CommandKind::Cancel), 5, 2);
    talk.settle();
    let want = format!("|11={}|41={}|55=BTCUSDT|54=1|60=", text(5), text(2));
    assert!(newest(&talk).contains("|35=F|") && newest(&talk).contains(&want), "{}", newest(&talk));
    let sent = talk.io.bodies::<Sent>();
    assert_eq!(sent.iter().map(|sent| sent.msg_seq_num).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert!(sent.iter().all(|sent| sent.ts_cause == talk.now.engine && sent.ts_tx == TimeNs(1)));
}

#[test]
fn a_fill_becomes_a_report_with_every_number_exact() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::New), 1, 0);
    talk.settle();
    let body = "17=X9|150=F|39=1|38=0.005|44=61800.20|32=0.002|31=61799.9|14=0.0020|151=0.003|851=1|12=0.02471996|13=3|60=20260901-10:11:12.345|";
    report(&mut talk, 1, body);
    let fill = talk.io.bodies::<ExecReport>()[0];
    assert_eq!((fill.cl_ord_id, fill.exec_type, fill.ord_status, fill.side), (order_id(1), b'F', b'1', 1));
    assert_eq!((fill.px, fill.last_px, fill.has_px), (Price(618_002), Price(617_999), 1));
    assert_eq!((fill.order_qty, fill.last_qty, fill.cum_qty, fill.leaves_qty), (Qty(5), Qty(2), Qty(2), Qty(3)));
    assert_eq!((fill.commission, fill.has_commission, fill.liquidity), (24_719_960_000, 1, 1));
    assert_eq!(fill.ts_exchange, TimeNs(1_788_257_472_345_000_000));
    assert_eq!((fill.order_id.as_bytes(), fill.exec_id.as_bytes()), (&b"V1"[..], &b"X9"[..]));
    assert_eq!((fill.poss_dup, fill.mass_status, fill.msg_seq_num), (0, 0, 2));
    assert_eq!(talk.rig.gateway.open_orders(), 1);
    report(&mut talk, 1, "17=X10|150=F|39=2|32=0.003|31=61800.2|14=0.005|151=0|");
    assert_eq!(talk.rig.gateway.open_orders(), 0, "a filled order leaves the kill table");
}

#[test]
fn an_unreadable_report_is_rejected_by_tag_and_told_to_the_core() {
    for (body, tag, reason) in [
        ("17=X|150=F|39=1|14=0.002|151=0.003|32=0.0015|31=61800.2|", 32, 6),
        ("17=X|150=F|39=1|14=0.002|151=0.003|32=0.002|31=61800.25|", 31, 6),
        ("17=X|150=0|39=0|151=0.003|", 14, 1),
        ("17=X|39=0|14=0|151=0.003|", 150, 1),
        ("17=X2345678901234567890123456789012345678901234|150=0|39=0|14=0|151=0|", 17, 5),
    ] {
        let mut talk = Talk::logged_on();
        talk.rig.set_answer(Answer::Mute);
        talk.command(kind(CommandKind::New), 1, 0);
        talk.settle();
        report(&mut talk, 1, body);
        assert!(talk.io.bodies::<ExecReport>().is_empty(), "{body}");
        let told = talk.io.bodies::<MessageReject>()[0];
        assert_eq!((told.cl_ord_id, told.level, told.ref_msg_type, told.ref_tag), (order_id(1), 3, b'8', tag));
        let wrote = String::from_utf8_lossy(&talk.io.bytes).replace('\u{1}', "|");
        assert!(wrote.contains(&format!("|371={tag}|372=8|373={reason}|")), "{body}: {wrote}");
        assert_eq!(talk.rig.gateway.counters().malformed, 1);
    }
    let mut talk = Talk::logged_on();
    let now = talk.now;
    let bytes = talk.rig.venue.send(msg_type::EXECUTION_REPORT, "37=V|55=OTHER|54=1|17=X|150=0|39=0|14=0|151=0|", now);
    talk.receive(&bytes);
    assert_eq!(talk.rig.gateway.counters().malformed, 1, "an instrument that is not in the master");
    assert!(talk.io.bodies::<MessageReject>().is_empty(), "and no order of ours");
}

#[test]
fn rejects_of_every_kind_name_the_command() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::New), 1, 0);
    talk.command(kind(CommandKind::New), 2, 0);
    talk.settle();
    let now = talk.now;
    let session = talk.rig.venue.send(msg_type::REJECT, "45=2|371=44|372=D|373=5|58=bad price|", now);
    talk.receive(&session);
    let body = format!("45=3|372=D|379={}|380=2|58=unknown security|", text(2));
    let business = talk.rig.venue.send(msg_type::BUSINESS_MESSAGE_REJECT, &body, now);
    talk.receive(&business);
    let rejects = talk.io.bodies::<MessageReject>();
    assert_eq!(
        (rejects[0].cl_ord_id, rejects[0].level, rejects[0].reason, rejects[0].ref_tag),
        (order_id(1), 1, 6, 44)
    );
    assert_eq!((rejects[1].cl_ord_id, rejects[1].level, rejects[1].reason), (order_id(2), 2, 3));
    assert!(rejects.iter().all(|reject| reject.ref_msg_type == b'D'));
    assert_eq!(talk.rig.gateway.open_orders(), 0, "orders that were never taken in are not cancelled by a kill");
}

#[test]
fn a_refused_cancel_leaves_the_order_unless_the_venue_does_not_know_it() {
    for (reason, status, left) in [(0, '1', 1), (1, '8', 0)] {
        let mut talk = Talk::logged_on();
        talk.rig.set_answer(Answer::Mute);
        talk.command(kind(CommandKind::New), 1, 0);
        talk.command(kind(CommandKind::Cancel), 2, 1);
        talk.settle();
        let now = talk.now;
        let body = format!("37=V1|11={}|41={}|39={status}|434=1|102={reason}|", text(2), text(1));
        let bytes = talk.rig.venue.send(msg_type::ORDER_CANCEL_REJECT, &body, now);
        talk.receive(&bytes);
        let reject = talk.io.bodies::<CancelReject>()[0];
        assert_eq!((reject.cl_ord_id, reject.orig_cl_ord_id), (order_id(2), order_id(1)));
        assert_eq!((reject.reason, reject.response_to, reject.ord_status), (reason + 1, b'1', status as u8));
        assert_eq!(talk.rig.gateway.open_orders(), left);
    }
}

#[test]
fn post_only_and_reduce_only_are_exec_insts() {
    use tercel_event::{Command, OrdType, Tif};
    for (flags, want) in [(0, "|59=3|10="), (1, "|59=3|18=6|10="), (2, "|59=3|18=E|10="), (3, "|59=3|18=6 E|10=")] {
        let mut talk = Talk::logged_on();
        let command = Command {
            kind: kind(CommandKind::New),
            cl_ord_id: order_id(1),
            side: 2,
            tif: Tif::Ioc as u8,
            ord_type: OrdType::Market as u8,
            order_qty: Qty(1),
            flags,
            ..bytemuck::Zeroable::zeroed()
        };
        talk.rig.gateway.on_command(&command, talk.now, &mut talk.io);
        talk.settle();
        assert!(newest(&talk).contains(want) && newest(&talk).contains("|54=2|"), "{}", newest(&talk));
        assert!(!newest(&talk).contains("|44="), "a market order has no price");
    }
}

#[test]
fn what_fix_cannot_say_is_not_sent() {
    let mut talk = Talk::logged_on();
    let good = talk.command(kind(CommandKind::New), 1, 0);
    let base = tercel_event::Command {
        kind: kind(CommandKind::New),
        cl_ord_id: order_id(2),
        side: 1,
        tif: b'1',
        ord_type: b'2',
        order_qty: Qty(1),
        ..bytemuck::Zeroable::zeroed()
    };
    use tercel_event::Command;
    use tercel_types::{AccountId, InstrumentId};
    for bad in [
        Command { side: 3, ..base },
        Command { tif: b'6', ..base },
        Command { tif: b'x', ..base },
        Command { ord_type: b'3', ..base },
        Command { order_qty: Qty(0), ..base },
        Command { instrument: InstrumentId(9), ..base },
        Command { account: AccountId(9), ..base },
    ] {
        talk.rig.gateway.on_command(&bad, talk.now, &mut talk.io);
    }
    let not_sent = talk.io.bodies::<NotSent>();
    assert_eq!((good, not_sent.len()), (1, 7));
    assert!(not_sent.iter().all(|not| not.why == NotSentWhy::Unsupported as u8));
}

#[test]
fn a_full_table_refuses_new_orders_and_says_so() {
    let mut talk = Talk::logged_on();
    for id in 1..=65 {
        talk.command(kind(CommandKind::New), id, 0);
    }
    let not_sent = talk.io.bodies::<NotSent>();
    assert_eq!((not_sent.len(), not_sent[0].why), (1, NotSentWhy::Capacity as u8));
    talk.settle();
    talk.command(kind(CommandKind::Cancel), 100, 1);
    talk.settle();
    talk.command(kind(CommandKind::New), 101, 0);
    assert_eq!(talk.io.bodies::<NotSent>().len(), 1, "a cancelled order made room");
}

#[test]
fn kill_ids_are_of_their_own_shard_and_an_order_that_comes_late_is_cancelled_too() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::New), 1, 0);
    talk.settle();
    talk.command(kind(CommandKind::Replace), 2, 1);
    talk.settle();
    talk.rig.gateway.kill(talk.now, &mut talk.io);
    talk.settle();
    report(&mut talk, 1, "17=X1|150=0|39=0|38=0.005|14=0|151=0.005|");
    let replaced = format!("41={}|17=X2|150=5|39=0|38=0.005|14=0|151=0.005|", text(1));
    report(&mut talk, 2, &replaced);
    talk.settle();
    let cancels: Vec<_> = talk
        .rig
        .requests()
        .iter()
        .filter_map(|request| match request {
            Request::Cancel { cl_ord_id, orig_cl_ord_id } => {
                Some((cl_ord_id.shard(), cl_ord_id.epoch(), *orig_cl_ord_id))
            }
            _ => None,
        })
        .collect();
    assert_eq!(cancels, [(KILL_SHARD, 7, order_id(1)), (KILL_SHARD, 7, order_id(2))]);
    // No answer comes: asked again, at most five times for one order.
    for _ in 0..20 {
        talk.pass_time(2_000);
        talk.settle();
    }
    assert_eq!(talk.rig.gateway.counters().kill_cancels, 5);
}

#[test]
fn a_kill_after_a_restart_asks_the_venue_what_is_open_and_cancels_it() {
    let mut talk = Talk::logged_on();
    for id in 1..=3 {
        talk.command(kind(CommandKind::New), id, 0);
    }
    talk.settle();
    // The process dies; a new one comes up with the kill word raised and an empty table.
    let store = {
        let link = talk.rig.gateway.session().link();
        MemoryStore::at(link.next_out(), link.next_in())
    };
    talk.rig.gateway = OrderGateway::new(config(), store);
    talk.rig.gateway.kill(talk.now, &mut talk.io);
    talk.connect();
    talk.settle();
    assert_eq!(talk.rig.gateway.counters().kill_cancels, 3);
    assert_eq!(talk.rig.gateway.open_orders(), 0);
}

#[test]
fn a_resent_fill_is_marked_and_a_repeated_one_does_not_move_the_table() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::New), 1, 0);
    talk.settle();
    let fill = "17=X9|150=F|39=1|38=0.005|32=0.002|31=61799.9|14=0.002|151=0.003|";
    let now = talk.now;
    let lost = format!("37=V1|11={}|55=BTCUSDT|54=1|{fill}", text(1));
    let _ = talk.rig.venue.send(msg_type::EXECUTION_REPORT, &lost, now);
    report(&mut talk, 1, fill);
    talk.settle();
    let fills = talk.io.bodies::<ExecReport>();
    assert_eq!(fills.iter().map(|fill| (fill.msg_seq_num, fill.poss_dup)).collect::<Vec<_>>(), [(2, 1), (3, 0)]);
    assert!(fills.iter().all(|fill| fill.exec_id.as_bytes() == b"X9"), "the core counts an ExecID once");
    let events: Vec<u8> = talk.io.bodies::<SessionStatus>().iter().map(|status| status.event).collect();
    assert_eq!(events[2..], [SessionEvent::Recovering as u8, SessionEvent::Recovered as u8]);
    assert!(talk.io.points.contains(&"resend"));
}

#[test]
fn a_venue_that_refuses_the_mass_status_does_not_complete_it() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::MassStatus), 4, 0);
    talk.settle();
    let now = talk.now;
    let bytes = talk.rig.venue.send(msg_type::BUSINESS_MESSAGE_REJECT, "45=2|372=AF|380=3|58=no|", now);
    talk.receive(&bytes);
    assert!(talk.io.bodies::<MassStatusEnd>().is_empty());
    assert_eq!(talk.io.bodies::<MessageReject>()[0].ref_msg_type, b'A');
}

/// A store that can be told to fail.
struct Failing(MemoryStore, bool);

impl Store for Failing {
    fn next_out(&self) -> u32 {
        self.0.next_out()
    }
    fn next_in(&self) -> u32 {
        self.0.next_in()
    }
    fn append(&mut self, number: u32, id: ClOrdId, message: &[u8]) -> Result<(), StoreError> {
        match self.1 {
            true => Err(StoreError::Write(std::io::ErrorKind::StorageFull.into())),
            false => self.0.append(number, id, message),
        }
    }
    fn skip_out(&mut self, next_out: u32) {
        self.0.skip_out(next_out);
    }
    fn set_next_in(&mut self, next_in: u32) {
        self.0.set_next_in(next_in);
    }
    fn reset(&mut self) -> Result<(), StoreError> {
        self.0.reset()
    }
    fn sent(&self, number: u32, out: &mut Vec<u8>) -> bool {
        self.0.sent(number, out)
    }
    fn find(&self, id: ClOrdId) -> Option<u32> {
        self.0.find(id)
    }
    fn flush(&mut self) -> Result<(), StoreError> {
        self.0.flush()
    }
}

#[test]
fn on_a_full_disk_orders_stay_and_cancels_leave() {
    let start = TimeNs(1_790_000_000_000_000_000);
    let now = Now { engine: start, wall: start };
    let mut io = TestIo { connected: true, ..TestIo::default() };
    let mut gateway = OrderGateway::new(config(), Failing(MemoryStore::new(), false));
    let mut venue = Venue::new();
    venue.connected(now);
    gateway.on_connected(now, &mut io);
    let settle = |gateway: &mut OrderGateway<Failing>, venue: &mut Venue, io: &mut TestIo| {
        while !io.bytes.is_empty() {
            let answer = venue.receive(&std::mem::take(&mut io.bytes), now);
            gateway.on_received(Received { bytes: &answer, ts_user: start, ts_kernel: None }, now, io);
        }
    };
    settle(&mut gateway, &mut venue, &mut io);
    let command = |kind: CommandKind, id, orig| tercel_event::Command {
        kind: kind as u8,
        cl_ord_id: order_id(id),
        orig_cl_ord_id: if orig == 0 { ClOrdId::NONE } else { order_id(orig) },
        side: 1,
        tif: b'1',
        ord_type: b'2',
        px: Price(1),
        order_qty: Qty(1),
        ..bytemuck::Zeroable::zeroed()
    };
    gateway.on_command(&command(CommandKind::New, 1, 0), now, &mut io);
    settle(&mut gateway, &mut venue, &mut io);
    gateway.on_disconnected(now, &mut io);
    gateway = {
        let link = gateway.session().link();
        let store = MemoryStore::at(link.next_out(), link.next_in());
        let mut failing = OrderGateway::new(config(), Failing(store, true));
        venue.connected(now);
        failing.on_connected(now, &mut io);
        failing
    };
    settle(&mut gateway, &mut venue, &mut io);
    assert!(gateway.is_ready(), "session messages pass");
    gateway.on_command(&command(CommandKind::New, 2, 0), now, &mut io);
    gateway.on_command(&command(CommandKind::Replace, 3, 1), now, &mut io);
    gateway.on_command(&command(CommandKind::Cancel, 4, 1), now, &mut io);
    settle(&mut gateway, &mut venue, &mut io);
    let not_sent = io.bodies::<NotSent>();
    assert_eq!(not_sent.iter().map(|not| not.cl_ord_id).collect::<Vec<_>>(), [order_id(2), order_id(3)]);
    assert!(not_sent.iter().all(|not| not.why == NotSentWhy::Storage as u8));
    let cancels = [Request::Cancel { cl_ord_id: order_id(4), orig_cl_ord_id: order_id(1) }];
    assert_eq!(venue.exchange.requests[1..], cancels);
}

/// The crash contract of the store, over a file: a command with neither `Sent` nor `NotSent` was stored, or never left.
#[test]
fn after_a_crash_the_store_knows_what_may_have_left() {
    let path = std::env::temp_dir().join(format!("tercel-fix-gateway-{}", std::process::id()));
    let start = TimeNs(1_790_000_000_000_000_000);
    let now = Now { engine: start, wall: start };
    let mut io = TestIo { connected: true, ..TestIo::default() };
    let mut venue = Venue::new();
    let identity = config().session.identity();
    let command = |id| tercel_event::Command {
        kind: CommandKind::New as u8,
        cl_ord_id: order_id(id),
        side: 1,
        tif: b'1',
        ord_type: b'2',
        px: Price(1),
        order_qty: Qty(1),
        ..bytemuck::Zeroable::zeroed()
    };
    {
        let (store, _) = FileStore::open(&path, &identity).unwrap();
        let mut gateway = OrderGateway::new(config(), store);
        venue.connected(now);
        gateway.on_connected(now, &mut io);
        let answer = venue.receive(&std::mem::take(&mut io.bytes), now);
        gateway.on_received(Received { bytes: &answer, ts_user: start, ts_kernel: None }, now, &mut io);
        gateway.on_command(&command(1), now, &mut io);
    }
    let (store, opened) = FileStore::open(&path, &identity).unwrap();
    assert_eq!((opened.records, opened.cut_len), (2, 0));
    let mut gateway = OrderGateway::new(config(), store);
    io.frames.clear();
    assert_eq!(gateway.settle_unanswered(&command(1), now, &mut io), Fate::Stored { msg_seq_num: 2 });
    assert_eq!(gateway.settle_unanswered(&command(2), now, &mut io), Fate::NeverStored);
    let not_sent = io.bodies::<NotSent>();
    assert_eq!((not_sent.len(), not_sent[0].cl_ord_id, not_sent[0].why), (1, order_id(2), 6));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_log_decides_which_number_of_the_venue_comes_next() {
    let mut talk = Talk::logged_on();
    for id in 1..=3 {
        talk.command(kind(CommandKind::New), id, 0);
        talk.settle();
    }
    // The log holds all but the last frame: it was in the ring when the process died.
    let mut trail = InboundTrail::new(SourceId(4));
    assert_eq!(trail.next_in(), None);
    for frame in &talk.io.frames[..talk.io.frames.len() - 1] {
        trail.observe(&Frame::parse(frame).unwrap());
    }
    let (in_log, in_store) = (trail.next_in().unwrap(), talk.rig.gateway.session().link().next_in());
    assert_eq!((in_log, in_store), (4, 5));
    let store = MemoryStore::at(talk.rig.gateway.session().link().next_out(), in_store);
    talk.rig.gateway = OrderGateway::new(config(), store);
    talk.rig.gateway.expect_in(in_log);
    talk.io.frames.clear();
    talk.connect();
    let reports = talk.io.bodies::<ExecReport>();
    assert_eq!(reports.len(), 1, "the lost report came again");
    assert_eq!((reports[0].cl_ord_id, reports[0].poss_dup, reports[0].msg_seq_num), (order_id(3), 1, 4));
    assert!(talk.rig.gateway.is_ready());
}

#[test]
fn frames_and_bytes_are_the_same_for_the_same_history() {
    let run = || {
        let mut talk = Talk::logged_on();
        for id in 1..=20 {
            talk.command(kind(CommandKind::New), id, 0);
            talk.settle();
        }
        (talk.io.frames, talk.rig.venue.exchange.raw)
    };
    assert_eq!(run(), run());
}

/// Keeps the trait object usable: a gateway is driven through `dyn OrderMachine` by whoever wires it.
#[test]
fn a_gateway_is_an_object() {
    let mut gateway: Box<dyn OrderMachine> = Box::new(OrderGateway::new(config(), MemoryStore::new()));
    let mut io = TestIo::default();
    let io: &mut dyn GatewayIo = &mut io;
    gateway.kill(Now { engine: TimeNs(0), wall: TimeNs(0) }, io);
    assert!(!gateway.is_ready() && gateway.next_deadline().is_none());
}

#[test]
fn what_a_fill_says_beside_the_fill_may_be_unreadable_and_the_fill_counts() {
    for (extra, order) in [
        ("12=0.0000000000001|13=3|", "V1"),
        ("44=61800.25|", "V1"),
        ("44=|12=|58=|", "V1"),
        ("", "V2345678901234567890123456789012345678901234"),
    ] {
        let mut talk = Talk::logged_on();
        talk.rig.set_answer(Answer::Mute);
        talk.command(kind(CommandKind::New), 1, 0);
        talk.settle();
        let now = talk.now;
        let body = format!(
            "37={order}|11={}|55=BTCUSDT|54=1|17=X9|150=F|39=1|32=0.002|31=61799.9|14=0.002|151=0.003|{extra}",
            text(1)
        );
        let bytes = talk.rig.venue.send(msg_type::EXECUTION_REPORT, &body, now);
        talk.receive(&bytes);
        let fill = talk.io.bodies::<ExecReport>()[0];
        assert_eq!((fill.last_qty, fill.last_px, fill.cum_qty), (Qty(2), Price(617_999), Qty(2)), "{extra}");
        assert_eq!((fill.has_px, fill.px, fill.has_commission, fill.commission), (0, Price(0), 0, 0), "{extra}");
        assert_eq!(talk.rig.gateway.counters().malformed, 0);
    }
}

#[test]
fn a_mass_status_is_complete_with_reports_that_cannot_be_used() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::MassStatus), 4, 0);
    talk.settle();
    let now = talk.now;
    for (at, symbol) in ["OTHER", "BTCUSDT"].into_iter().enumerate() {
        let cum = if symbol == "BTCUSDT" { "0.0001" } else { "0" };
        let body = format!(
            "37=V{at}|11={}|55={symbol}|54=1|17=X|150=I|39=0|14={cum}|151=1|584={}|911=2|",
            text(70 + at as u64),
            text(4)
        );
        let bytes = talk.rig.venue.send(msg_type::EXECUTION_REPORT, &body, now);
        talk.receive(&bytes);
    }
    assert_eq!(talk.io.bodies::<MassStatusEnd>().iter().map(|end| end.orders_count).collect::<Vec<_>>(), [2]);
    let told = talk.io.bodies::<MessageReject>();
    assert_eq!(told.iter().map(|told| (told.cl_ord_id, told.level)).collect::<Vec<_>>(), [(order_id(71), 3)]);
    let counters = talk.rig.gateway.counters();
    assert_eq!((counters.foreign, counters.malformed), (1, 1));
}

#[test]
fn a_reject_of_another_message_type_does_not_name_the_order_of_that_number() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::New), 1, 0);
    talk.settle();
    let now = talk.now;
    let bytes = talk.rig.venue.send(msg_type::REJECT, "45=2|372=F|373=5|", now);
    talk.receive(&bytes);
    assert!(talk.io.bodies::<MessageReject>()[0].cl_ord_id.is_none());
    assert_eq!(talk.rig.gateway.open_orders(), 1);
}

#[test]
fn an_order_that_is_done_for_the_day_stays_in_reach_of_a_kill() {
    let mut talk = Talk::logged_on();
    talk.rig.set_answer(Answer::Mute);
    talk.command(kind(CommandKind::New), 1, 0);
    talk.settle();
    report(&mut talk, 1, "17=X|150=3|39=3|14=0|151=0.005|");
    assert_eq!(talk.rig.gateway.open_orders(), 1);
}
