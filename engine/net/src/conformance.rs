//! What every order machine must do, whatever its protocol. A gateway writes one `Rig` (its machine and a double of its
//! venue) and calls `check_all`; each check starts from a fresh rig and panics with what it found.
use crate::{GatewayIo, Now, OrderMachine, Received, SendError};
use tercel_event::{
    Body, Command, CommandKind, ExecReport, Frame, FrameKind, MassStatusEnd, NotSent, NotSentWhy, OrdType, Sent,
    SessionEvent, SessionStatus, Tif,
};
use tercel_types::{AccountId, ClOrdId, DurationNs, InstrumentId, Price, Qty, TimeNs};

/// A request that the double of the venue understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    New { cl_ord_id: ClOrdId },
    Cancel { cl_ord_id: ClOrdId, orig_cl_ord_id: ClOrdId },
    Replace { cl_ord_id: ClOrdId, orig_cl_ord_id: ClOrdId },
    Status { cl_ord_id: ClOrdId },
    MassStatus,
}

/// How the double answers orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every request succeeds; orders rest.
    Accept,
    /// Session messages only: requests are taken and not answered.
    Mute,
}

/// A machine under test and the double of its venue. Instrument 0 and account 0 exist; orders rest until cancelled.
pub trait Rig {
    type Machine: OrderMachine;

    fn fresh() -> Self;
    fn machine(&mut self) -> &mut Self::Machine;
    fn set_answer(&mut self, answer: Answer);
    /// Takes what the machine wrote and returns what the venue writes back.
    fn venue(&mut self, bytes: &[u8], now: Now) -> Vec<u8>;
    /// Tells the double that its connection is new.
    fn venue_connected(&mut self, now: Now);
    /// Everything that the venue was asked, in order.
    fn requests(&self) -> &[Request];
}

/// Frames, bytes and the kill word of one test.
#[derive(Debug, Default)]
pub struct TestIo {
    pub frames: Vec<Vec<u8>>,
    pub bytes: Vec<u8>,
    pub closed: bool,
    pub connected: bool,
    pub kill_word: bool,
    pub points: Vec<&'static str>,
}

impl GatewayIo for TestIo {
    fn send(&mut self, bytes: &[u8]) -> Result<TimeNs, SendError> {
        if !self.connected || self.closed {
            return Err(SendError::Closed);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(TimeNs(1))
    }

    fn push(&mut self, frame: &[u8]) {
        self.frames.push(frame.to_vec());
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn killed(&self) -> bool {
        self.kill_word
    }

    fn crash_point(&mut self, point: &'static str) {
        self.points.push(point);
    }
}

impl TestIo {
    /// Bodies of one kind, in order.
    pub fn bodies<B: Body>(&self) -> Vec<B> {
        self.frames.iter().filter_map(|bytes| Frame::parse(bytes).ok()?.body::<B>().ok()).collect()
    }

    /// (command index, was sent) of every answer to a command, in order.
    pub fn answers(&self) -> Vec<(u64, bool)> {
        let answer = |bytes: &Vec<u8>| {
            let frame = Frame::parse(bytes).ok()?;
            match frame.kind() {
                Ok(FrameKind::Sent) => frame.body::<Sent>().ok().map(|sent| (sent.cmd_seq, true)),
                Ok(FrameKind::NotSent) => frame.body::<NotSent>().ok().map(|not| (not.cmd_seq, false)),
                _ => None,
            }
        };
        self.frames.iter().filter_map(answer).collect()
    }
}

/// A rig in the middle of a conversation.
pub struct Session<R> {
    pub rig: R,
    pub io: TestIo,
    pub now: Now,
    commands: u64,
}

impl<R: Rig> Default for Session<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rig> Session<R> {
    pub fn new() -> Self {
        let start = TimeNs(1_790_000_000_000_000_000);
        let now = Now { engine: start, wall: start };
        Self { rig: R::fresh(), io: TestIo::default(), now, commands: 0 }
    }

    pub fn logged_on() -> Self {
        let mut session = Self::new();
        session.connect();
        assert!(session.rig.machine().is_ready(), "the machine is ready after the logon");
        session
    }

    pub fn connect(&mut self) {
        (self.io.connected, self.io.closed) = (true, false);
        self.rig.venue_connected(self.now);
        self.rig.machine().on_connected(self.now, &mut self.io);
        self.settle();
    }

    pub fn disconnect(&mut self) {
        self.io.connected = false;
        self.io.bytes.clear();
        self.rig.machine().on_disconnected(self.now, &mut self.io);
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        let received = Received { bytes, ts_user: self.now.engine, ts_kernel: None };
        self.rig.machine().on_received(received, self.now, &mut self.io);
    }

    /// Carries bytes both ways until both sides are silent.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            let bytes = core::mem::take(&mut self.io.bytes);
            if bytes.is_empty() {
                return;
            }
            let answer = self.rig.venue(&bytes, self.now);
            self.receive(&answer);
        }
        panic!("machine and venue never fall silent");
    }

    pub fn pass_time(&mut self, ms: i64) {
        self.now.wall = self.now.wall.saturating_add(DurationNs::from_millis(ms));
        self.now.engine = self.now.wall;
        self.rig.machine().on_time(self.now, &mut self.io);
    }

    /// Gives the machine a command; its `seq` is the number of the command, from 1.
    pub fn command(&mut self, kind: u8, id: u64, orig: u64) -> u64 {
        self.commands += 1;
        let id_of = |counter| if counter == 0 { ClOrdId::NONE } else { order_id(counter) };
        let command = Command {
            seq: self.commands,
            kind,
            dest: self.rig.machine().source(),
            ts: self.now.engine,
            ts_cause: self.now.engine,
            cl_ord_id: id_of(id),
            orig_cl_ord_id: id_of(orig),
            root_cl_ord_id: id_of(if orig == 0 { id } else { orig }),
            px: Price(618_002),
            order_qty: Qty(5),
            instrument: InstrumentId(0),
            account: AccountId(0),
            side: 1,
            tif: Tif::Gtc as u8,
            ord_type: OrdType::Limit as u8,
            ..bytemuck_zero()
        };
        self.rig.machine().on_command(&command, self.now, &mut self.io);
        self.commands
    }

    fn cancels(&self) -> Vec<ClOrdId> {
        let of = |request: &Request| match request {
            Request::Cancel { orig_cl_ord_id, .. } => Some(*orig_cl_ord_id),
            _ => None,
        };
        self.rig.requests().iter().filter_map(of).collect()
    }
}

fn bytemuck_zero() -> Command {
    bytemuck::Zeroable::zeroed()
}

/// ClOrdID number `counter` of the checks.
pub fn order_id(counter: u64) -> ClOrdId {
    ClOrdId::new(1, 0, counter).expect("a counter of a test is small")
}

const NEW: u8 = CommandKind::New as u8;
const CANCEL: u8 = CommandKind::Cancel as u8;
const REPLACE: u8 = CommandKind::Replace as u8;

/// Every check, each on a fresh rig.
pub fn check_all<R: Rig>() {
    every_command_is_answered_once::<R>();
    reports_become_frames_whatever_the_reads::<R>();
    kill_cancels_everything_known_once::<R>();
    kill_follows_a_replace_to_its_new_id::<R>();
    under_the_kill_word_only_cancels_leave::<R>();
    kill_without_a_session_acts_after_the_logon::<R>();
    unkill_lets_orders_pass_again::<R>();
    a_lost_session_is_told_once_and_refuses_commands::<R>();
    mass_status_is_answered_completely::<R>();
    garbage_pushes_no_order_frame::<R>();
    frames_are_numbered_without_holes::<R>();
    crash_points_are_passed::<R>();
}

pub fn every_command_is_answered_once<R: Rig>() {
    let mut session = Session::<R>::new();
    let mut id = 100;
    let mut round = |session: &mut Session<R>| {
        for kind in [NEW, CANCEL, REPLACE, CommandKind::Status as u8, CommandKind::MassStatus as u8, 6, 0, 99] {
            id += 1;
            session.command(kind, id, if kind == CANCEL || kind == REPLACE { 1 } else { 0 });
        }
    };
    round(&mut session);
    session.connect();
    session.command(NEW, 1, 0);
    session.settle();
    round(&mut session);
    session.settle();
    session.io.kill_word = true;
    round(&mut session);
    session.rig.machine().kill(session.now, &mut session.io);
    round(&mut session);
    session.disconnect();
    round(&mut session);
    let answers = session.io.answers();
    let numbers: Vec<u64> = answers.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=session.commands).collect::<Vec<_>>(), "one answer per command, in order");
}

pub fn reports_become_frames_whatever_the_reads<R: Rig>() {
    let run = |chunk: usize| {
        let mut session = Session::<R>::logged_on();
        for id in 1..=3 {
            session.command(NEW, id, 0);
        }
        let bytes = core::mem::take(&mut session.io.bytes);
        let answer = session.rig.venue(&bytes, session.now);
        answer.chunks(chunk).for_each(|part| session.receive(part));
        session.io.frames
    };
    let whole = run(usize::MAX);
    assert!(whole.len() > 3 + 2, "three answers and three reports");
    for chunk in [1, 2, 7, 100] {
        assert_eq!(run(chunk), whole, "chunks of {chunk} bytes");
    }
}

pub fn kill_cancels_everything_known_once<R: Rig>() {
    for answer in [Answer::Accept, Answer::Mute] {
        let mut session = Session::<R>::logged_on();
        session.rig.set_answer(answer);
        for id in 1..=5 {
            session.command(NEW, id, 0);
        }
        session.settle();
        session.rig.machine().kill(session.now, &mut session.io);
        session.rig.machine().kill(session.now, &mut session.io);
        session.settle();
        let mut cancels = session.cancels();
        cancels.sort();
        assert_eq!(cancels, (1..=5).map(order_id).collect::<Vec<_>>(), "orders that are live or unknown, {answer:?}");
    }
}

pub fn kill_follows_a_replace_to_its_new_id<R: Rig>() {
    let mut session = Session::<R>::logged_on();
    session.command(NEW, 1, 0);
    session.settle();
    session.command(REPLACE, 2, 1);
    session.settle();
    session.rig.machine().kill(session.now, &mut session.io);
    session.settle();
    assert_eq!(session.cancels(), [order_id(2)], "the venue knows the order by its new id");
}

pub fn under_the_kill_word_only_cancels_leave<R: Rig>() {
    for by_word in [true, false] {
        let mut session = Session::<R>::logged_on();
        session.command(NEW, 1, 0);
        session.settle();
        if by_word {
            session.io.kill_word = true;
        } else {
            session.rig.machine().kill(session.now, &mut session.io);
        }
        session.settle();
        let before = session.rig.requests().len();
        session.io.frames.clear();
        let refused = [session.command(NEW, 2, 0), session.command(REPLACE, 3, 1)];
        session.command(CANCEL, 4, 1);
        session.settle();
        let not_sent = session.io.bodies::<NotSent>();
        assert_eq!(not_sent.iter().map(|not| not.cmd_seq).collect::<Vec<_>>(), refused, "by word: {by_word}");
        assert!(not_sent.iter().all(|not| not.why == NotSentWhy::Killed as u8));
        let later = &session.rig.requests()[before..];
        assert!(later.iter().all(|request| matches!(request, Request::Cancel { .. })), "{later:?}");
        assert!(!later.is_empty(), "cancels pass");
    }
}

pub fn kill_without_a_session_acts_after_the_logon<R: Rig>() {
    let mut session = Session::<R>::logged_on();
    session.command(NEW, 1, 0);
    session.settle();
    session.disconnect();
    session.rig.machine().kill(session.now, &mut session.io);
    assert!(session.cancels().is_empty());
    session.connect();
    assert_eq!(session.cancels(), [order_id(1)]);
}

pub fn unkill_lets_orders_pass_again<R: Rig>() {
    let mut session = Session::<R>::logged_on();
    session.rig.machine().kill(session.now, &mut session.io);
    session.command(NEW, 1, 0);
    session.rig.machine().unkill(session.now);
    session.command(NEW, 2, 0);
    session.settle();
    let answers: Vec<bool> = session.io.answers().iter().map(|(_, sent)| *sent).collect();
    assert_eq!(answers, [false, true]);
}

pub fn a_lost_session_is_told_once_and_refuses_commands<R: Rig>() {
    let mut session = Session::<R>::logged_on();
    session.disconnect();
    session.disconnect();
    assert!(!session.rig.machine().is_ready());
    session.command(NEW, 1, 0);
    assert_eq!(session.io.bodies::<NotSent>()[0].why, NotSentWhy::SessionDown as u8);
    session.connect();
    assert!(session.rig.machine().is_ready());
    let events: Vec<u8> = session.io.bodies::<SessionStatus>().iter().map(|status| status.event).collect();
    let want = [SessionEvent::Connected, SessionEvent::LoggedOn, SessionEvent::Disconnected];
    let want: Vec<u8> = want.iter().chain(&want[..2]).map(|event| *event as u8).collect();
    assert_eq!(events, want);
}

pub fn mass_status_is_answered_completely<R: Rig>() {
    for orders in [0u64, 1, 3] {
        let mut session = Session::<R>::logged_on();
        for id in 1..=orders {
            session.command(NEW, id, 0);
        }
        session.settle();
        session.io.frames.clear();
        session.command(CommandKind::MassStatus as u8, 90, 0);
        session.settle();
        let ends = session.io.bodies::<MassStatusEnd>();
        assert_eq!(ends.len(), 1, "{orders} orders");
        assert_eq!((ends[0].request_id, u64::from(ends[0].orders_count)), (order_id(90).0, orders));
        let reports = session.io.bodies::<ExecReport>();
        assert_eq!(reports.iter().filter(|report| report.mass_status == 1).count() as u64, orders);
        let last = session.io.frames.last().and_then(|bytes| Frame::parse(bytes).ok()?.kind().ok());
        assert_eq!(last, Some(FrameKind::MassStatusEnd), "the end comes after the reports");
    }
}

pub fn garbage_pushes_no_order_frame<R: Rig>() {
    let mut random = 0x5eed_u64;
    for _ in 0..200 {
        let mut session = Session::<R>::logged_on();
        session.io.frames.clear();
        let noise: Vec<u8> = (0..500)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) as u8
            })
            .collect();
        session.receive(&noise);
        assert!(session.io.bodies::<ExecReport>().is_empty() && session.io.answers().is_empty());
    }
}

pub fn frames_are_numbered_without_holes<R: Rig>() {
    let mut session = Session::<R>::logged_on();
    for id in 1..=3 {
        session.command(NEW, id, 0);
        session.settle();
    }
    let source = session.rig.machine().source();
    let headers = session.io.frames.iter().map(|bytes| Frame::parse(bytes).expect("a whole frame").header);
    for (at, header) in headers.enumerate() {
        assert_eq!((header.src, header.src_seq), (source, at as u64 + 1));
    }
}

pub fn crash_points_are_passed<R: Rig>() {
    let mut session = Session::<R>::logged_on();
    session.command(NEW, 1, 0);
    let points = &session.io.points;
    let place = |name| points.iter().position(|point| *point == name);
    assert!(place("startup").is_some(), "{points:?}");
    assert!(place("before_send").is_some() && place("before_send") < place("after_send"), "{points:?}");
}
