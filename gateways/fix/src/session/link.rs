//! The sending half of a session: numbers, templates of the header, the store, and what the session remembers of its peer.
use super::{SessionConfig, Wire};
use crate::message::Index;
use crate::stamp::StampReader;
use crate::store::Store;
use crate::tag::{self, msg_type};
use crate::writer::Writer;
use tercel_net::{Now, SendError};
use tercel_types::{ClOrdId, DurationNs, TimeNs};

/// A message left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub msg_seq_num: u32,
    /// When the write to the socket returned; engine time.
    pub ts_tx: TimeNs,
}

/// A message did not leave: no byte of it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    SessionDown,
    /// The store refused; nothing was sent and the number is free.
    Storage,
    /// The message does not fit the writer.
    TooLong,
    /// The store has it, the socket does not; the number is used up and will be gap-filled.
    Wire(SendError),
}

/// Whether a message may leave when the store cannot keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persist {
    /// Orders and reports.
    Required,
    /// Cancels and session messages: they must pass on a full disk too.
    BestEffort,
}

/// What was dropped, refused or repeated; nothing is dropped without one of these moving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub messages_in: u64,
    pub messages_out: u64,
    /// Messages that failed framing, length, checksum or field syntax.
    pub garbled: u64,
    /// Bytes between messages.
    pub garbage_bytes: u64,
    /// Messages below the expected number with PossDupFlag.
    pub duplicates: u64,
    pub gaps: u64,
    /// Messages that came during a gap and did not fit the queue; they are asked for again.
    pub queue_dropped: u64,
    pub rejects_sent: u64,
    pub rejects_received: u64,
    pub resend_requests_sent: u64,
    pub resend_requests_received: u64,
    pub resent: u64,
    pub gap_fills_sent: u64,
    pub store_failures: u64,
    pub wire_failures: u64,
    /// Bytes that came after the session had asked to close.
    pub bytes_after_close: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Disconnected,
    /// Connected, Logon not yet complete.
    LoggingOn,
    LoggedOn,
    /// We sent Logout and wait for the answer.
    LoggingOut,
    /// We asked the wire to close.
    Closing,
}

/// One open ResendRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    /// Highest number seen beyond the gap; recovered once `next_in` passes it.
    pub(super) until: u32,
    /// End of the chunk that was asked for, 0 for all.
    pub(super) chunk_end: u32,
    pub(super) deadline: TimeNs,
    pub(super) tries: u32,
}

/// What an application sends through and may ask of its session.
#[derive(Debug)]
pub struct Link<S> {
    pub(super) config: SessionConfig,
    pub(super) store: S,
    pub(super) state: State,
    pub(super) heart_bt: DurationNs,
    pub(super) last_sent: TimeNs,
    pub(super) last_received: TimeNs,
    /// When the state began, for the logon and logout timers.
    pub(super) state_since: TimeNs,
    pub(super) test_request_sent: Option<TimeNs>,
    pub(super) recovery: Option<Recovery>,
    /// LoggedOn has been announced for this connection.
    pub(super) announced: bool,
    /// Our Logon asked for a reset, which the answer must confirm.
    pub(super) reset_asked: bool,
    /// MsgSeqNum of our Logon on this connection.
    pub(super) logon_out: u32,
    pub(super) counters: Counters,
    pub(super) reason: String,
    pub(super) writer: Writer,
    pub(super) stamps: StampReader,
    begin: Vec<u8>,
    /// `49=…|56=…|` and `|52=` follow the number.
    comp_ids: Vec<u8>,
    pub(super) resend_index: Index,
    pub(super) resend_buf: Vec<u8>,
}

impl<S: Store> Link<S> {
    pub(super) fn new(config: SessionConfig, store: S) -> Self {
        let begin = format!("8={}\x019=", config.begin_string).into_bytes();
        let comp_ids = format!("49={}\x0156={}\x01", config.sender_comp_id, config.target_comp_id).into_bytes();
        Self {
            heart_bt: DurationNs::from_secs(i64::from(config.heart_bt_int_s)),
            config,
            store,
            state: State::Disconnected,
            last_sent: TimeNs(0),
            last_received: TimeNs(0),
            state_since: TimeNs(0),
            test_request_sent: None,
            recovery: None,
            announced: false,
            reset_asked: false,
            logon_out: 0,
            counters: Counters::default(),
            reason: String::with_capacity(256),
            writer: Writer::default(),
            stamps: StampReader::default(),
            begin,
            comp_ids,
            resend_index: Index::default(),
            resend_buf: Vec::with_capacity(Writer::DEFAULT_LEN),
        }
    }

    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Why the session last ended or was refused, in words; never holds a credential.
    pub fn last_reason(&self) -> &str {
        &self.reason
    }

    /// Messages may be sent.
    pub fn is_logged_on(&self) -> bool {
        self.state == State::LoggedOn
    }

    /// Logged on and no message of the peer is missing.
    pub fn is_ready(&self) -> bool {
        self.state == State::LoggedOn && self.recovery.is_none()
    }

    pub fn next_out(&self) -> u32 {
        self.store.next_out()
    }

    pub fn next_in(&self) -> u32 {
        self.store.next_in()
    }

    /// Sends an application message. `build` writes the body's fields; the header and trailer are the session's.
    /// `cl_ord_id` is the order request in the message, by which the store finds it after a crash.
    #[inline]
    pub fn send<W: Wire + ?Sized>(
        &mut self,
        msg_type: &[u8],
        cl_ord_id: ClOrdId,
        persist: Persist,
        now: Now,
        wire: &mut W,
        build: impl FnOnce(&mut Writer),
    ) -> Result<Written, NotWritten> {
        if self.state != State::LoggedOn {
            return Err(NotWritten::SessionDown);
        }
        self.send_any(msg_type, cl_ord_id, persist, now, wire, build)
    }

    /// As `send`, in any state that has a connection.
    #[inline]
    pub(super) fn send_any<W: Wire + ?Sized>(
        &mut self,
        msg_type_text: &[u8],
        cl_ord_id: ClOrdId,
        persist: Persist,
        now: Now,
        wire: &mut W,
        build: impl FnOnce(&mut Writer),
    ) -> Result<Written, NotWritten> {
        let msg_seq_num = self.store.next_out();
        let Self { writer, store, counters, last_sent, .. } = self;
        writer.begin();
        writer.text::<{ tag::MSG_TYPE }>(msg_type_text);
        writer.uint::<{ tag::MSG_SEQ_NUM }>(u64::from(msg_seq_num));
        writer.raw(&self.comp_ids);
        writer.time::<{ tag::SENDING_TIME }>(now.wall);
        build(writer);
        let Some(message) = writer.finish(&self.begin) else { return Err(NotWritten::TooLong) };
        // Session messages are never resent, and a Logon holds a password: their number is kept, their text is not.
        let kept = if msg_type::is_admin(msg_type_text) { &[] } else { message };
        hand_over(store, counters, last_sent, (msg_seq_num, message, kept), cl_ord_id, persist, now, wire)
    }

    /// Sends an order request that the caller rendered whole, header and trailer included, with the number `next_out()`.
    #[inline]
    pub(crate) fn send_rendered<W: Wire + ?Sized>(
        &mut self,
        msg_seq_num: u32,
        message: &[u8],
        cl_ord_id: ClOrdId,
        now: Now,
        wire: &mut W,
    ) -> Result<Written, NotWritten> {
        if self.state != State::LoggedOn {
            return Err(NotWritten::SessionDown);
        }
        let Self { store, counters, last_sent, .. } = self;
        let message = (msg_seq_num, message, message);
        hand_over(store, counters, last_sent, message, cl_ord_id, Persist::Required, now, wire)
    }

    /// Session messages: best effort, no order in them.
    pub(super) fn send_admin<W: Wire + ?Sized>(
        &mut self,
        msg_type: &[u8],
        now: Now,
        wire: &mut W,
        build: impl FnOnce(&mut Writer),
    ) {
        // A failure is counted; the peer's timers and ours end a connection that takes nothing.
        let _ = self.send_any(msg_type, ClOrdId::NONE, Persist::BestEffort, now, wire, build);
    }

    /// Sends a message under a number of the past, unstored: gap fills and resends.
    pub(super) fn send_past<W: Wire + ?Sized>(
        &mut self,
        msg_type: &[u8],
        msg_seq_num: u32,
        now: Now,
        wire: &mut W,
        build: impl FnOnce(&mut Writer),
    ) {
        let Self { writer, counters, .. } = self;
        writer.begin();
        writer.text::<{ tag::MSG_TYPE }>(msg_type);
        writer.uint::<{ tag::MSG_SEQ_NUM }>(u64::from(msg_seq_num));
        writer.raw(&self.comp_ids);
        writer.char::<{ tag::POSS_DUP_FLAG }>(b'Y');
        writer.time::<{ tag::SENDING_TIME }>(now.wall);
        build(writer);
        match writer.finish(&self.begin).map(|message| wire.send(message)) {
            Some(Ok(_)) => {
                counters.messages_out += 1;
                self.last_sent = now.wall;
            }
            _ => counters.wire_failures += 1,
        }
    }

    pub(super) fn set_reason(&mut self, text: &str) {
        self.reason.clear();
        self.reason.push_str(text);
    }

    /// Logout with a text, then close: the end of a session that cannot go on.
    pub(super) fn logout_and_close<W: Wire + ?Sized>(&mut self, text: &str, now: Now, wire: &mut W) {
        self.set_reason(text);
        self.send_admin(msg_type::LOGOUT, now, wire, |w| w.text::<{ tag::TEXT }>(text.as_bytes()));
        self.close(now, wire);
    }

    pub(super) fn close<W: Wire + ?Sized>(&mut self, now: Now, wire: &mut W) {
        self.state = State::Closing;
        self.state_since = now.wall;
        wire.close();
    }
}

/// A numbered message with what the store keeps of it: to the store, then to the wire.
#[inline]
#[expect(clippy::too_many_arguments, reason = "parts of a link whose writer holds the message")]
fn hand_over<S: Store, W: Wire + ?Sized>(
    store: &mut S,
    counters: &mut Counters,
    last_sent: &mut TimeNs,
    (msg_seq_num, message, kept): (u32, &[u8], &[u8]),
    cl_ord_id: ClOrdId,
    persist: Persist,
    now: Now,
    wire: &mut W,
) -> Result<Written, NotWritten> {
    // Bound, so that an error is dropped where there is one and nothing is where there is none.
    if let Err(_error) = store.append(msg_seq_num, cl_ord_id, kept) {
        counters.store_failures += 1;
        if persist == Persist::Required {
            return Err(NotWritten::Storage);
        }
        store.skip_out(msg_seq_num + 1);
    }
    if !cl_ord_id.is_none() {
        wire.crash_point("before_send");
    }
    match wire.send(message) {
        Ok(ts_tx) => {
            counters.messages_out += 1;
            *last_sent = now.wall;
            Ok(Written { msg_seq_num, ts_tx })
        }
        Err(error) => {
            counters.wire_failures += 1;
            Err(NotWritten::Wire(error))
        }
    }
}
