//! What each received message means: checks, sequence, session messages, and the hand-over to the application.
use super::link::{Link, State};
use super::queue::Queue;
use super::{Application, Inbound, Role, Verdict, Wire, reject_reason};
use crate::message::{Header, Index, Message};
use crate::number::parse_u32;
use crate::stamp::parse_stamp;
use crate::store::Store;
use crate::tag::{self, msg_type};
use core::cmp::Ordering;
use tercel_event::SessionEvent;
use tercel_net::Now;
use tercel_types::{DurationNs, TimeNs};

/// One call's surroundings.
pub(super) struct Ctx<'a, W: ?Sized, A> {
    pub(super) now: Now,
    pub(super) ts_recv: TimeNs,
    pub(super) wire: &'a mut W,
    pub(super) app: &'a mut A,
}

/// The session without its receive buffer, so that a message can be read from the buffer while this changes.
#[derive(Debug)]
pub(super) struct Core<S> {
    pub(super) link: Link<S>,
    pub(super) queue: Queue,
    queued_index: Index,
    queued_buf: Vec<u8>,
}

/// Longest HeartBtInt that is taken; a larger one is as good as none, and would overflow timers.
const HEART_BT_S_MAX: u32 = 86_400;

impl<S: Store> Core<S> {
    pub(super) fn new(link: Link<S>) -> Self {
        Self { link, queue: Queue::new(), queued_index: Index::default(), queued_buf: Vec::with_capacity(64 * 1024) }
    }

    /// A message whose length and checksum agree.
    pub(super) fn on_message<W, A>(&mut self, message: &Message<'_>, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let header = message.header();
        self.link.counters.messages_in += 1;
        self.link.last_received = ctx.now.wall;
        self.link.test_request_sent = None;
        if self.link.state == State::LoggingOn {
            return self.on_first(message, &header, ctx);
        }
        let Some(msg_seq_num) = header.msg_seq_num else {
            return self.link.logout_and_close("Required tag missing (34)", ctx.now, ctx.wire);
        };
        if message.begin_string() != self.link.config.begin_string.as_bytes() {
            return self.link.logout_and_close("Incorrect BeginString", ctx.now, ctx.wire);
        }
        if !self.link.comp_ids_match(&header) {
            self.refuse(message, msg_seq_num, reject_reason::COMP_ID_PROBLEM, None, "CompID problem", ctx);
            return self.link.logout_and_close("CompID problem", ctx.now, ctx.wire);
        }
        match self.link.sending_time_fault(&header, ctx.now) {
            None => {}
            Some((reason @ reject_reason::SENDING_TIME_ACCURACY, _)) => {
                let text = "SendingTime accuracy problem";
                self.refuse(message, msg_seq_num, reason, None, text, ctx);
                return self.link.logout_and_close(text, ctx.now, ctx.wire);
            }
            Some((reason, text)) => {
                return self.refuse(message, msg_seq_num, reason, Some(tag::SENDING_TIME), text, ctx);
            }
        }
        match header.msg_type {
            msg_type::SEQUENCE_RESET if !message.flag(tag::GAP_FILL_FLAG) => {
                return self.on_reset(message, msg_seq_num, ctx);
            }
            msg_type::LOGON if message.flag(tag::RESET_SEQ_NUM_FLAG) => return self.on_reset_logon(ctx),
            _ => {}
        }
        let expected = self.link.store.next_in();
        match msg_seq_num.cmp(&expected) {
            Ordering::Equal => {
                if self.link.recovery.is_some() {
                    ctx.wire.crash_point("resend");
                }
                self.in_sequence(message, &header, msg_seq_num, ctx);
                self.drain(ctx);
            }
            Ordering::Less => self.too_low(message, &header, msg_seq_num, ctx),
            Ordering::Greater => self.too_high(message, msg_seq_num, ctx),
        }
    }

    /// The first message of a connection: a Logon, or the end without a word.
    fn on_first<W, A>(&mut self, message: &Message<'_>, header: &Header<'_>, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        let known = message.begin_string() == link.config.begin_string.as_bytes() && link.comp_ids_match(header);
        if known && header.msg_type == msg_type::LOGOUT && link.config.role == Role::Initiator {
            let text = String::from_utf8_lossy(message.get(tag::TEXT).unwrap_or(b"no reason given")).into_owned();
            link.set_reason(&format!("the peer refused the Logon: {text}"));
            ctx.app.on_session(SessionEvent::LoggedOut, link, ctx.now, ctx.wire);
            return link.close(ctx.now, ctx.wire);
        }
        let problem = link.logon_problem(message, header, known, ctx.now);
        if let Some(problem) = problem {
            link.set_reason(problem);
            return link.close(ctx.now, ctx.wire);
        }
        let msg_seq_num = header.msg_seq_num.unwrap_or(0);
        let heart_bt_s = message.get_u32(tag::HEART_BT_INT).unwrap_or(link.config.heart_bt_int_s).min(HEART_BT_S_MAX);
        let reset = message.flag(tag::RESET_SEQ_NUM_FLAG);
        if reset && !link.reset_asked {
            if !link.config.accept_reset {
                let text = "ResetSeqNumFlag is not agreed on this session";
                return link.logout_and_close(text, ctx.now, ctx.wire);
            }
            // An initiator has sent its Logon already; after the peer's reset that was number 1.
            let next_out = if link.config.role == Role::Initiator { 2 } else { 1 };
            if link.store.reset().is_err() {
                link.counters.store_failures += 1;
                return link.logout_and_close("the message store cannot be reset", ctx.now, ctx.wire);
            }
            if next_out > 1 {
                link.store.skip_out(next_out);
            }
        }
        let expected = link.store.next_in();
        if msg_seq_num < expected && !header.poss_dup {
            let text = format!("MsgSeqNum too low, expecting {expected} but received {msg_seq_num}");
            return link.logout_and_close(&text, ctx.now, ctx.wire);
        }
        link.state = State::LoggedOn;
        link.state_since = ctx.now.wall;
        if link.config.role == Role::Acceptor {
            link.heart_bt = DurationNs::from_secs(i64::from(heart_bt_s));
            link.reset_asked = reset;
            link.send_logon(ctx.now, ctx.wire);
            if link.state != State::LoggedOn {
                return;
            }
        }
        if msg_seq_num > expected {
            return self.open_gap(msg_seq_num, ctx);
        }
        if msg_seq_num == expected {
            link.store.set_next_in(expected + 1);
        }
        link.announced = true;
        ctx.app.on_session(SessionEvent::LoggedOn, link, ctx.now, ctx.wire);
    }

    /// A message with the expected number: handled, then counted.
    fn in_sequence<W, A>(
        &mut self,
        message: &Message<'_>,
        header: &Header<'_>,
        msg_seq_num: u32,
        ctx: &mut Ctx<'_, W, A>,
    ) where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        if header.poss_dup && header.orig_sending_time.is_empty() && header.msg_type != msg_type::SEQUENCE_RESET {
            return self.refuse(
                message,
                msg_seq_num,
                reject_reason::REQUIRED_TAG_MISSING,
                Some(tag::ORIG_SENDING_TIME),
                "Required tag missing",
                ctx,
            );
        }
        // In a report an empty value is an absent one: it is not lost for a field that nobody reads.
        let lenient = header.msg_type == msg_type::EXECUTION_REPORT;
        if let Some(empty) = message.empty_field().filter(|_| !lenient) {
            let (reason, text) = (reject_reason::TAG_WITHOUT_VALUE, "Tag specified without a value");
            return self.refuse(message, msg_seq_num, reason, Some(empty), text, ctx);
        }
        match header.msg_type {
            msg_type::HEARTBEAT => link.store.set_next_in(msg_seq_num + 1),
            msg_type::TEST_REQUEST => match message.get(tag::TEST_REQ_ID) {
                Some(id) => {
                    link.store.set_next_in(msg_seq_num + 1);
                    link.send_admin(msg_type::HEARTBEAT, ctx.now, ctx.wire, |w| w.text::<{ tag::TEST_REQ_ID }>(id));
                }
                None => self.missing(message, msg_seq_num, tag::TEST_REQ_ID, ctx),
            },
            msg_type::RESEND_REQUEST => {
                link.store.set_next_in(msg_seq_num + 1);
                self.on_resend_request(message, msg_seq_num, ctx);
            }
            msg_type::SEQUENCE_RESET => match message.get_u32(tag::NEW_SEQ_NO) {
                Some(new) if new > msg_seq_num => link.store.set_next_in(new),
                Some(_) => {
                    self.reject(message, msg_seq_num, reject_reason::VALUE_OUT_OF_RANGE, None, NOT_IN_RANGE, ctx)
                }
                None => self.missing(message, msg_seq_num, tag::NEW_SEQ_NO, ctx),
            },
            msg_type::LOGOUT => {
                link.store.set_next_in(msg_seq_num + 1);
                self.on_logout(message, ctx);
            }
            msg_type::LOGON => {
                self.refuse(message, msg_seq_num, reject_reason::OTHER, None, "Logon in an open session", ctx);
            }
            _ => {
                if header.msg_type == msg_type::REJECT {
                    link.counters.rejects_received += 1;
                }
                let inbound = Inbound { message: *message, header: *header, msg_seq_num, ts_recv: ctx.ts_recv };
                let verdict = ctx.app.on_message(&inbound, link, ctx.now, ctx.wire);
                // After the hand-over: a crash between the two makes the peer send it again, never lose it.
                link.store.set_next_in(msg_seq_num + 1);
                match verdict {
                    Verdict::Done => {}
                    // Answering a Reject with a Reject would never end.
                    _ if header.msg_type == msg_type::REJECT => {}
                    Verdict::Reject { reason, ref_tag, text } => {
                        self.reject(message, msg_seq_num, reason, ref_tag, text, ctx);
                    }
                    Verdict::BusinessReject { reason, text } => {
                        let business_id = message.get(tag::CL_ORD_ID).or_else(|| message.get(tag::MASS_STATUS_REQ_ID));
                        link.counters.rejects_sent += 1;
                        link.send_admin(msg_type::BUSINESS_MESSAGE_REJECT, ctx.now, ctx.wire, |w| {
                            w.uint::<{ tag::REF_SEQ_NUM }>(u64::from(msg_seq_num));
                            w.text::<{ tag::TEXT }>(text.as_bytes());
                            w.text::<{ tag::REF_MSG_TYPE }>(header.msg_type);
                            if let Some(id) = business_id {
                                w.text::<{ tag::BUSINESS_REJECT_REF_ID }>(id);
                            }
                            w.uint::<{ tag::BUSINESS_REJECT_REASON }>(u64::from(reason));
                        });
                    }
                }
            }
        }
    }

    /// Messages that waited behind the gap, then the question whether it is closed.
    fn drain<W, A>(&mut self, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        if self.link.recovery.is_none() && self.queue.first().is_none() {
            return;
        }
        let mut index = core::mem::replace(&mut self.queued_index, Index::with_capacity(0));
        let mut buf = core::mem::take(&mut self.queued_buf);
        while self.link.state == State::LoggedOn && self.queue.take(self.link.store.next_in(), &mut buf) {
            if buf.is_empty() {
                let handled = self.link.store.next_in();
                self.link.store.set_next_in(handled + 1);
            } else if let Ok(message) = index.parse(&buf) {
                // It was whole when it was queued, so it is now.
                let header = message.header();
                let number = header.msg_seq_num.unwrap_or(0);
                self.in_sequence(&message, &header, number, ctx);
            }
        }
        (self.queued_index, self.queued_buf) = (index, buf);
        let next_in = self.link.store.next_in();
        let link = &mut self.link;
        let Some(recovery) = &mut link.recovery else { return };
        if let Some(last) = self.queue.last() {
            recovery.until = recovery.until.max(last);
        }
        recovery.deadline = ctx.now.wall.saturating_add(link.config.resend_timeout);
        if next_in > recovery.until {
            link.recovery = None;
            if link.state == State::LoggedOn {
                let event = if link.announced { SessionEvent::Recovered } else { SessionEvent::LoggedOn };
                link.announced = true;
                ctx.app.on_session(event, link, ctx.now, ctx.wire);
            }
        } else if recovery.chunk_end != 0 && next_in > recovery.chunk_end {
            let until = recovery.until;
            link.send_resend_request(until, 1, ctx.now, ctx.wire);
        }
    }

    fn too_low<W, A>(&mut self, message: &Message<'_>, header: &Header<'_>, msg_seq_num: u32, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        if !header.poss_dup {
            let expected = link.store.next_in();
            let text = format!("MsgSeqNum too low, expecting {expected} but received {msg_seq_num}");
            return link.logout_and_close(&text, ctx.now, ctx.wire);
        }
        link.counters.duplicates += 1;
        if header.msg_type == msg_type::SEQUENCE_RESET {
            return;
        }
        match (parse_stamp(header.orig_sending_time), parse_stamp(header.sending_time)) {
            (Some(orig), Some(sent)) if orig > sent => {
                let text = "SendingTime accuracy problem";
                self.reject(message, msg_seq_num, reject_reason::SENDING_TIME_ACCURACY, None, text, ctx);
                self.link.logout_and_close(text, ctx.now, ctx.wire);
            }
            (Some(_), _) => {}
            (None, _) => {
                let (reason, tag) = (reject_reason::REQUIRED_TAG_MISSING, tag::ORIG_SENDING_TIME);
                self.reject(message, msg_seq_num, reason, Some(tag), "Required tag missing", ctx);
            }
        }
    }

    fn too_high<W, A>(&mut self, message: &Message<'_>, msg_seq_num: u32, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        match message.msg_type() {
            // Answered at once: if both sides waited for their own gap first, neither would ever answer. Its number is kept
            // without its text, so that it is not answered twice.
            msg_type::RESEND_REQUEST => {
                self.on_resend_request(message, msg_seq_num, ctx);
                self.queue.keep(msg_seq_num, &[], &mut self.link.counters);
            }
            msg_type::LOGOUT => return self.on_logout(message, ctx),
            _ => self.queue.keep(msg_seq_num, message.bytes(), &mut self.link.counters),
        }
        self.open_gap(msg_seq_num, ctx);
    }

    /// One ResendRequest per gap; a message further on only widens it.
    fn open_gap<W, A>(&mut self, seen: u32, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        if let Some(recovery) = &mut link.recovery {
            recovery.until = recovery.until.max(seen);
            return;
        }
        if link.state != State::LoggedOn {
            return;
        }
        link.counters.gaps += 1;
        ctx.app.on_session(SessionEvent::Recovering, link, ctx.now, ctx.wire);
        link.send_resend_request(seen, 1, ctx.now, ctx.wire);
    }

    fn on_resend_request<W, A>(&mut self, message: &Message<'_>, msg_seq_num: u32, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let range = (message.get_u32(tag::BEGIN_SEQ_NO), message.get_u32(tag::END_SEQ_NO));
        self.link.counters.resend_requests_received += 1;
        match range {
            (Some(begin), Some(end)) => self.link.answer_resend(begin, end, ctx.now, ctx.wire),
            (None, _) => self.missing(message, msg_seq_num, tag::BEGIN_SEQ_NO, ctx),
            (_, None) => self.missing(message, msg_seq_num, tag::END_SEQ_NO, ctx),
        }
    }

    /// SequenceReset in reset mode: MsgSeqNum is ignored, NewSeqNo is the next number whatever was before.
    fn on_reset<W, A>(&mut self, message: &Message<'_>, msg_seq_num: u32, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        let expected = link.store.next_in();
        match message.get_u32(tag::NEW_SEQ_NO) {
            None => self.missing(message, msg_seq_num, tag::NEW_SEQ_NO, ctx),
            Some(new) if new < expected => {
                self.reject(message, msg_seq_num, reject_reason::VALUE_OUT_OF_RANGE, None, NOT_IN_RANGE, ctx);
            }
            Some(new) => {
                link.store.set_next_in(new);
                if new > expected && link.state == State::LoggedOn && link.recovery.is_none() {
                    // The peer gave up messages that we never saw: whoever keeps orders must ask for their state.
                    ctx.app.on_session(SessionEvent::Recovering, link, ctx.now, ctx.wire);
                    ctx.app.on_session(SessionEvent::LoggedOn, link, ctx.now, ctx.wire);
                }
                self.drain(ctx);
            }
        }
    }

    /// Logon with ResetSeqNumFlag in an open session.
    fn on_reset_logon<W, A>(&mut self, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        if !link.config.accept_reset || link.config.role == Role::Initiator || link.state != State::LoggedOn {
            return link.logout_and_close("ResetSeqNumFlag is not agreed on this session", ctx.now, ctx.wire);
        }
        if link.store.reset().is_err() {
            link.counters.store_failures += 1;
            return link.logout_and_close("the message store cannot be reset", ctx.now, ctx.wire);
        }
        self.queue.clear();
        link.recovery = None;
        link.reset_asked = true;
        link.store.set_next_in(2);
        link.send_logon(ctx.now, ctx.wire);
        ctx.app.on_session(SessionEvent::LoggedOn, link, ctx.now, ctx.wire);
    }

    fn on_logout<W, A>(&mut self, message: &Message<'_>, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.link;
        if link.state == State::LoggedOn {
            let text = message.get(tag::TEXT).unwrap_or(b"");
            link.set_reason(&format!("the peer logged out: {}", String::from_utf8_lossy(text)));
            link.send_admin(msg_type::LOGOUT, ctx.now, ctx.wire, |_| {});
        }
        ctx.app.on_session(SessionEvent::LoggedOut, link, ctx.now, ctx.wire);
        link.close(ctx.now, ctx.wire);
    }

    /// Reject and, where the message had the expected number, use that number up.
    fn refuse<W, A>(
        &mut self,
        message: &Message<'_>,
        msg_seq_num: u32,
        reason: u32,
        ref_tag: Option<u32>,
        text: &str,
        ctx: &mut Ctx<'_, W, A>,
    ) where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        if msg_seq_num == self.link.store.next_in() {
            self.link.store.set_next_in(msg_seq_num + 1);
        }
        self.reject(message, msg_seq_num, reason, ref_tag, text, ctx);
    }

    fn missing<W, A>(&mut self, message: &Message<'_>, msg_seq_num: u32, tag: u32, ctx: &mut Ctx<'_, W, A>)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        self.refuse(message, msg_seq_num, reject_reason::REQUIRED_TAG_MISSING, Some(tag), "Required tag missing", ctx);
    }

    fn reject<W, A>(
        &mut self,
        message: &Message<'_>,
        msg_seq_num: u32,
        reason: u32,
        ref_tag: Option<u32>,
        text: &str,
        ctx: &mut Ctx<'_, W, A>,
    ) where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        self.link.counters.rejects_sent += 1;
        self.link.send_admin(msg_type::REJECT, ctx.now, ctx.wire, |w| {
            w.uint::<{ tag::REF_SEQ_NUM }>(u64::from(msg_seq_num));
            w.text::<{ tag::TEXT }>(text.as_bytes());
            if let Some(tag) = ref_tag {
                w.uint::<{ tag::REF_TAG_ID }>(u64::from(tag));
            }
            w.text::<{ tag::REF_MSG_TYPE }>(message.msg_type());
            w.uint::<{ tag::SESSION_REJECT_REASON }>(u64::from(reason));
        });
    }
}

const NOT_IN_RANGE: &str = "Value is incorrect (out of range) for this tag";

impl<S: Store> Link<S> {
    fn comp_ids_match(&self, header: &Header<'_>) -> bool {
        header.sender_comp_id == self.config.target_comp_id.as_bytes()
            && header.target_comp_id == self.config.sender_comp_id.as_bytes()
    }

    fn sending_time_fault(&mut self, header: &Header<'_>, now: Now) -> Option<(u32, &'static str)> {
        let tolerance = self.config.sending_time_tolerance?;
        if header.sending_time.is_empty() {
            return Some((reject_reason::REQUIRED_TAG_MISSING, "Required tag missing"));
        }
        match self.stamps.read(header.sending_time) {
            None => Some((reject_reason::INCORRECT_DATA_FORMAT, "Incorrect data format for value")),
            Some(sent) if now.wall.since(sent).0.unsigned_abs() > tolerance.0.unsigned_abs() => {
                Some((reject_reason::SENDING_TIME_ACCURACY, "SendingTime accuracy problem"))
            }
            Some(_) => None,
        }
    }

    /// Why a first message is no acceptable Logon. Checked in full before anything of ours changes: a stranger must not be
    /// able to reset a session.
    fn logon_problem(
        &mut self,
        message: &Message<'_>,
        header: &Header<'_>,
        known: bool,
        now: Now,
    ) -> Option<&'static str> {
        if header.msg_type != msg_type::LOGON {
            return Some("the first message is no Logon");
        }
        if !known {
            return Some("the Logon is for another session");
        }
        if header.msg_seq_num.is_none() {
            return Some("the Logon has no MsgSeqNum");
        }
        if self.sending_time_fault(header, now).is_some() {
            return Some("the Logon's SendingTime is missing or too far from our clock");
        }
        if message.get(tag::ENCRYPT_METHOD).is_some_and(|method| method != b"0") {
            return Some("the Logon asks for encryption");
        }
        if message.get(tag::HEART_BT_INT).and_then(parse_u32).is_none() {
            return Some("the Logon's HeartBtInt is missing or not a number");
        }
        if message.flag(tag::RESET_SEQ_NUM_FLAG) && header.msg_seq_num != Some(1) {
            return Some("the Logon resets with a MsgSeqNum other than 1");
        }
        match (&self.config.credentials, self.config.role) {
            (Some(ours), Role::Acceptor)
                if message.get(tag::USERNAME) != Some(ours.username.as_bytes())
                    || message.get(tag::PASSWORD) != Some(ours.password.as_bytes()) =>
            {
                Some("the Logon's credentials are wrong")
            }
            _ => None,
        }
    }
}
