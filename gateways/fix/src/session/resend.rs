//! How a ResendRequest is answered.
use super::link::Link;
use super::{ResendPolicy, Wire};
use crate::message::{Index, SOH};
use crate::store::Store;
use crate::tag::{self, is_header, msg_type};
use tercel_net::Now;

impl<S: Store> Link<S> {
    /// Answers the range `begin..=end` (0: to the last that was sent).
    pub(super) fn answer_resend<W: Wire + ?Sized>(&mut self, begin: u32, end: u32, now: Now, wire: &mut W) {
        let last = self.store.next_out() - 1;
        let end = if end == 0 || end > last { last } else { end };
        let begin = begin.max(1);
        wire.crash_point("resend");
        if begin > end {
            return;
        }
        if self.config.resend == ResendPolicy::GapFillAll {
            // What was sent on this connection has arrived and waits behind the peer's gap. Only a peer that asks for it
            // by number has lost it.
            let arrived = self.logon_out;
            let end = if begin <= arrived { end.min(arrived) } else { end };
            return self.gap_fill(begin, end + 1, now, wire);
        }
        // The buffers are taken out so that the link can send while they are read.
        let mut buf = core::mem::take(&mut self.resend_buf);
        let mut index = core::mem::replace(&mut self.resend_index, Index::with_capacity(0));
        let mut fill_from = None;
        for number in begin..=end {
            let kept = self.store.sent(number, &mut buf);
            let parsed = if kept { index.parse(&buf).ok() } else { None };
            match parsed {
                Some(message) if !msg_type::is_admin(message.msg_type()) => {
                    if let Some(from) = fill_from.take() {
                        self.gap_fill(from, number, now, wire);
                    }
                    let header = message.header();
                    self.send_past(message.msg_type(), number, now, wire, |w| {
                        w.text::<{ tag::ORIG_SENDING_TIME }>(header.sending_time);
                        for (tag, value) in message.fields_from(1) {
                            let written = matches!(
                                tag,
                                tag::MSG_SEQ_NUM
                                    | tag::SENDER_COMP_ID
                                    | tag::TARGET_COMP_ID
                                    | tag::SENDING_TIME
                                    | tag::POSS_DUP_FLAG
                                    | tag::ORIG_SENDING_TIME
                            );
                            if !(written && is_header(tag)) {
                                w.field(tag, value);
                            }
                        }
                        debug_assert!(!header.sending_time.contains(&SOH));
                    });
                    self.counters.resent += 1;
                }
                _ => {
                    fill_from.get_or_insert(number);
                }
            }
        }
        if let Some(from) = fill_from {
            self.gap_fill(from, end + 1, now, wire);
        }
        self.resend_buf = buf;
        self.resend_index = index;
    }

    fn gap_fill<W: Wire + ?Sized>(&mut self, from: u32, new_seq_no: u32, now: Now, wire: &mut W) {
        self.counters.gap_fills_sent += 1;
        self.send_past(msg_type::SEQUENCE_RESET, from, now, wire, |w| {
            w.time::<{ tag::ORIG_SENDING_TIME }>(now.wall);
            w.char::<{ tag::GAP_FILL_FLAG }>(b'Y');
            w.uint::<{ tag::NEW_SEQ_NO }>(u64::from(new_seq_no));
        });
    }
}
