//! What the owner calls: connection, bytes, time. The meaning of each message is in `inbound`.
use super::inbound::{Core, Ctx};
use super::link::{Link, Persist, State};
use super::{Application, Counters, Role, SessionConfig, Wire};
use crate::framing::{Carry, Scan, scan};
use crate::message::Index;
use crate::store::Store;
use crate::tag::{self, msg_type};
use tercel_event::SessionEvent;
use tercel_net::{Now, Received};
use tercel_types::{ClOrdId, DurationNs, TimeNs};

/// One FIX session; outlives its connections.
#[derive(Debug)]
pub struct Session<S> {
    core: Core<S>,
    index: Index,
    carry: Carry,
}

impl<S: Store> Session<S> {
    pub fn new(config: SessionConfig, store: S) -> Self {
        Self { core: Core::new(Link::new(config, store)), index: Index::default(), carry: Carry::new() }
    }

    pub fn link(&self) -> &Link<S> {
        &self.core.link
    }

    pub fn link_mut(&mut self) -> &mut Link<S> {
        &mut self.core.link
    }

    pub fn counters(&self) -> &Counters {
        self.core.link.counters()
    }

    /// The transport is up. An initiator sends its Logon; an acceptor waits for one.
    pub fn on_connected<W, A>(&mut self, now: Now, wire: &mut W, app: &mut A)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        self.carry.clear();
        self.core.queue.clear();
        let link = &mut self.core.link;
        link.state = State::LoggingOn;
        (link.state_since, link.last_sent, link.last_received) = (now.wall, now.wall, now.wall);
        (link.test_request_sent, link.recovery, link.announced, link.reset_asked) = (None, None, false, false);
        app.on_session(SessionEvent::Connected, link, now, wire);
        if link.config.role == Role::Initiator {
            wire.crash_point("startup");
            if link.config.reset_on_logon {
                if link.store.reset().is_err() {
                    link.counters.store_failures += 1;
                    link.set_reason("the message store cannot be reset");
                    return link.close(now, wire);
                }
                link.reset_asked = true;
            }
            link.send_logon(now, wire);
        }
    }

    /// Bytes as one read returned them: any part of a message, or many.
    pub fn on_received<W, A>(&mut self, received: Received<'_>, now: Now, wire: &mut W, app: &mut A)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let Self { core, index, carry } = self;
        let mut ctx = Ctx { now, ts_recv: received.ts_kernel.unwrap_or(received.ts_user), wire, app };
        let mut rest = received.bytes;
        if carry.is_empty() {
            let consumed = consume(rest, index, core, &mut ctx);
            rest = &rest[consumed..];
        }
        while !rest.is_empty() {
            let taken = carry.push(rest);
            rest = &rest[taken..];
            let consumed = consume(carry.filled(), index, core, &mut ctx);
            carry.consume(consumed);
        }
    }

    /// The transport is gone.
    pub fn on_disconnected<W, A>(&mut self, now: Now, wire: &mut W, app: &mut A)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.core.link;
        if link.state == State::Disconnected {
            return;
        }
        link.state = State::Disconnected;
        link.recovery = None;
        self.carry.clear();
        self.core.queue.clear();
        if link.store.flush().is_err() {
            link.counters.store_failures += 1;
        }
        app.on_session(SessionEvent::Disconnected, link, now, wire);
    }

    /// Heartbeats, test requests and time-outs; call at least at `next_deadline`.
    pub fn on_time<W, A>(&mut self, now: Now, wire: &mut W, app: &mut A)
    where
        W: Wire + ?Sized,
        A: Application<W, S>,
    {
        let link = &mut self.core.link;
        let since = |then: TimeNs| now.wall.since(then);
        match link.state {
            State::Disconnected | State::Closing => {}
            State::LoggingOn => {
                if since(link.state_since) >= link.config.logon_timeout {
                    link.set_reason("the peer did not answer the Logon in time");
                    link.close(now, wire);
                }
            }
            State::LoggingOut => {
                if since(link.state_since) >= link.config.logout_timeout {
                    link.set_reason("the peer did not answer the Logout in time");
                    app.on_session(SessionEvent::LoggedOut, link, now, wire);
                    link.close(now, wire);
                }
            }
            State::LoggedOn => {
                link.keep_alive(now, wire);
                if link.state == State::LoggedOn && link.recovery.is_some_and(|r| now.wall >= r.deadline) {
                    link.repeat_resend_request(now, wire);
                }
            }
        }
    }

    /// When `on_time` has something to do, wall time.
    pub fn next_deadline(&self) -> Option<TimeNs> {
        let link = &self.core.link;
        match link.state {
            State::Disconnected | State::Closing => None,
            State::LoggingOn => Some(link.state_since.saturating_add(link.config.logon_timeout)),
            State::LoggingOut => Some(link.state_since.saturating_add(link.config.logout_timeout)),
            State::LoggedOn => {
                let recovery = link.recovery.map(|r| r.deadline);
                let silence = (link.heart_bt > DurationNs::ZERO).then(|| {
                    let fifths = if link.test_request_sent.is_some() { 12 } else { 6 };
                    let received = link.last_received.saturating_add(fifth(link.heart_bt, fifths));
                    received.min(link.last_sent.saturating_add(link.heart_bt))
                });
                silence.into_iter().chain(recovery).min()
            }
        }
    }

    /// Starts an orderly end: sends Logout and waits for the answer.
    pub fn logout<W: Wire + ?Sized>(&mut self, text: &str, now: Now, wire: &mut W) {
        let link = &mut self.core.link;
        match link.state {
            State::LoggedOn => {
                link.set_reason(text);
                link.send_admin(msg_type::LOGOUT, now, wire, |w| {
                    if !text.is_empty() {
                        w.text::<{ tag::TEXT }>(text.as_bytes());
                    }
                });
                link.state = State::LoggingOut;
                link.state_since = now.wall;
            }
            State::LoggingOn => link.close(now, wire),
            State::Disconnected | State::LoggingOut | State::Closing => {}
        }
    }
}

/// `fifths`/5 of a span: 6 is 1.2 times, 12 is 2.4 times.
fn fifth(span: DurationNs, fifths: i64) -> DurationNs {
    DurationNs((span.0 / 5).saturating_mul(fifths))
}

/// Hands every whole message of `bytes` on and returns how many bytes are done with.
fn consume<S, W, A>(bytes: &[u8], index: &mut Index, core: &mut Core<S>, ctx: &mut Ctx<'_, W, A>) -> usize
where
    S: Store,
    W: Wire + ?Sized,
    A: Application<W, S>,
{
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if matches!(core.link.state, State::Closing | State::Disconnected) {
            core.link.counters.bytes_after_close += rest.len() as u64;
            return bytes.len();
        }
        match scan(rest) {
            Scan::Message(extent) => {
                match index.parse_extent(rest, extent) {
                    Ok(message) => core.on_message(&message, ctx),
                    Err(_) => core.link.counters.garbled += 1,
                }
                at += extent.len;
            }
            Scan::Partial => break,
            Scan::Garbage { skip } => {
                core.link.counters.garbage_bytes += skip as u64;
                at += skip;
            }
            Scan::Garbled { skip, .. } => {
                core.link.counters.garbled += 1;
                at += skip;
            }
        }
    }
    at
}

impl<S: Store> Link<S> {
    pub(super) fn send_logon<W: Wire + ?Sized>(&mut self, now: Now, wire: &mut W) {
        let credentials = self.config.credentials.clone().filter(|_| self.config.role == Role::Initiator);
        self.logon_out = self.store.next_out();
        let (heart_bt_s, reset) = ((self.heart_bt.0 / 1_000_000_000) as u64, self.reset_asked);
        let sent = self.send_any(msg_type::LOGON, ClOrdId::NONE, Persist::BestEffort, now, wire, |w| {
            w.char::<{ tag::ENCRYPT_METHOD }>(b'0');
            w.uint::<{ tag::HEART_BT_INT }>(heart_bt_s);
            if reset {
                w.char::<{ tag::RESET_SEQ_NUM_FLAG }>(b'Y');
            }
            if let Some(credentials) = &credentials {
                w.text::<{ tag::USERNAME }>(credentials.username.as_bytes());
                w.text::<{ tag::PASSWORD }>(credentials.password.as_bytes());
            }
        });
        if sent.is_err() {
            self.set_reason("the Logon could not be sent");
            self.close(now, wire);
        }
    }

    fn keep_alive<W: Wire + ?Sized>(&mut self, now: Now, wire: &mut W) {
        if self.heart_bt <= DurationNs::ZERO {
            return;
        }
        let silent = now.wall.since(self.last_received);
        if silent >= fifth(self.heart_bt, 12) && self.test_request_sent.is_some() {
            self.set_reason("the peer fell silent and did not answer a TestRequest");
            return self.close(now, wire);
        }
        if silent >= fifth(self.heart_bt, 6) && self.test_request_sent.is_none() {
            self.test_request_sent = Some(now.wall);
            self.send_admin(msg_type::TEST_REQUEST, now, wire, |w| w.text::<{ tag::TEST_REQ_ID }>(b"TEST"));
        }
        if now.wall.since(self.last_sent) >= self.heart_bt {
            self.send_admin(msg_type::HEARTBEAT, now, wire, |_| {});
        }
    }

    pub(super) fn send_resend_request<W: Wire + ?Sized>(&mut self, until: u32, tries: u32, now: Now, wire: &mut W) {
        let begin = self.store.next_in();
        let chunk_end = match self.config.resend_chunk {
            0 => 0,
            chunk => begin.saturating_add(chunk - 1),
        };
        let deadline = now.wall.saturating_add(self.config.resend_timeout);
        self.recovery = Some(super::link::Recovery { until, chunk_end, deadline, tries });
        self.counters.resend_requests_sent += 1;
        self.send_admin(msg_type::RESEND_REQUEST, now, wire, |w| {
            w.uint::<{ tag::BEGIN_SEQ_NO }>(u64::from(begin));
            w.uint::<{ tag::END_SEQ_NO }>(u64::from(chunk_end));
        });
    }

    fn repeat_resend_request<W: Wire + ?Sized>(&mut self, now: Now, wire: &mut W) {
        let Some(recovery) = self.recovery else { return };
        if recovery.tries >= 3 {
            return self.logout_and_close("a ResendRequest was not answered", now, wire);
        }
        self.send_resend_request(recovery.until, recovery.tries + 1, now, wire);
    }
}
