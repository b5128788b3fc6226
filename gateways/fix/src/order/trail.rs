use tercel_event::{CancelReject, ExecReport, Frame, FrameKind, MessageReject, SessionStatus};
use tercel_types::SourceId;

/// Follows a log and says which MsgSeqNum of the venue comes next. The store's own number can be ahead of the log, when the
/// process died between a socket and the log, and then a fill would never be asked for again.
#[derive(Clone, Copy, Debug)]
pub struct InboundTrail {
    source: SourceId,
    next_in: Option<u32>,
}

impl InboundTrail {
    pub fn new(source: SourceId) -> Self {
        Self { source, next_in: None }
    }

    /// Every frame of the log in order; those of other sources are ignored.
    pub fn observe(&mut self, frame: &Frame<'_>) {
        if frame.header.src != self.source || frame.is_derived() {
            return;
        }
        let seen = match frame.kind() {
            Ok(FrameKind::SessionStatus) => {
                if let Ok(status) = frame.body::<SessionStatus>() {
                    self.next_in = Some(status.next_in);
                }
                return;
            }
            Ok(FrameKind::ExecReport) => frame.body::<ExecReport>().map(|body| body.msg_seq_num),
            Ok(FrameKind::CancelReject) => frame.body::<CancelReject>().map(|body| body.msg_seq_num),
            Ok(FrameKind::MessageReject) => frame.body::<MessageReject>().map(|body| body.msg_seq_num),
            _ => return,
        };
        if let Ok(number) = seen {
            self.next_in = Some(self.next_in.unwrap_or(1).max(number.saturating_add(1)));
        }
    }

    /// `None` when the log holds nothing of the session: then the store's number stands.
    pub fn next_in(&self) -> Option<u32> {
        self.next_in
    }
}
