//! What happened, by the sequenced log alone: a gating reader, as the journal is one, counts the frames behind the arming.
use std::time::Duration;
use tercel_event::{
    CancelReject, Command, CommandKind, ExecReport, FeedEvent, FeedStatus, Frame, FrameKind, ParamSet, SessionEvent,
    SessionStatus,
};
use tercel_ring::{Flag, GatingReader, Gauge};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Inputs of every kind, timers included.
    pub inputs: u64,
    pub derived: u64,
    pub timers: u64,
    pub market: u64,
    pub signals: u64,
    pub gaps: u64,
    pub resync_commands: u64,
    pub recoveries: u64,
    pub session_losses: u64,
    pub logons: u64,
    pub mass_statuses: u64,
    pub orders: u64,
    pub replaces: u64,
    pub cancels: u64,
    pub fills: u64,
    pub rejects: u64,
    pub cancel_rejects: u64,
    pub params: u64,
    pub kills: u64,
    pub limits: u64,
    /// Trading states set, by the operator or by the core loop when the log fills up.
    pub modes: u64,
    pub statuses_asked: u64,
    pub messages_not_sent: u64,
    /// Frames of all kinds, bytes as in the log.
    pub bytes: u64,
}

/// What the reader shares with the other threads.
#[derive(Clone)]
pub struct Shared {
    /// Input behind which is counted; 0 until it is known.
    pub armed_at: Gauge,
    /// Set to 1 for the reader to fall behind until the log is full, once.
    pub stall: Gauge,
    /// Turns of the core that found the log full.
    pub log_busy: Gauge,
    pub stop: Flag,
}

/// Reads until `stop` is raised and nothing is left. Errors: the log holds what is no frame.
pub fn collect(mut reader: GatingReader, shared: &Shared) -> Result<Evidence, String> {
    let mut seen = Evidence::default();
    loop {
        let stopping = shared.stop.is_raised();
        if shared.stall.get() == 1 && !stopping {
            if shared.log_busy.get() == 0 {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            shared.stall.set(2);
        }
        let mut taken = 0;
        while taken < 512
            && let Some(bytes) = reader.peek().map_err(|fault| fault.to_string())?
        {
            let frame = Frame::parse(bytes).map_err(|error| error.to_string())?;
            let armed = shared.armed_at.get();
            if armed > 0 && frame.header.seq > armed {
                seen.count(&frame);
            }
            reader.advance();
            taken += 1;
        }
        reader.commit();
        if taken == 0 {
            if stopping {
                return Ok(seen);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Evidence {
    fn count(&mut self, frame: &Frame<'_>) {
        self.bytes += Frame::padded_len(frame.header.len as usize) as u64;
        *(if frame.is_derived() { &mut self.derived } else { &mut self.inputs }) += 1;
        let Ok(kind) = frame.kind() else { return };
        let counter = match kind {
            FrameKind::Timer => &mut self.timers,
            FrameKind::BookDelta | FrameKind::BookSnapshot | FrameKind::Bbo | FrameKind::Trade => &mut self.market,
            FrameKind::Signal => &mut self.signals,
            FrameKind::FeedStatus => {
                match frame.body::<FeedStatus>().map(|status| FeedEvent::from_code(status.event)) {
                    Ok(Some(FeedEvent::Gap)) => &mut self.gaps,
                    Ok(Some(FeedEvent::Recovered)) => &mut self.recoveries,
                    _ => return,
                }
            }
            FrameKind::SessionStatus => {
                match frame.body::<SessionStatus>().map(|status| SessionEvent::from_code(status.event)) {
                    Ok(Some(SessionEvent::Disconnected)) => &mut self.session_losses,
                    Ok(Some(SessionEvent::LoggedOn)) => &mut self.logons,
                    _ => return,
                }
            }
            FrameKind::MassStatusEnd => &mut self.mass_statuses,
            FrameKind::ExecReport => match frame.body::<ExecReport>() {
                Ok(report) if report.exec_type == b'F' => &mut self.fills,
                Ok(report) if report.exec_type == b'8' => &mut self.rejects,
                _ => return,
            },
            FrameKind::CancelReject if frame.body::<CancelReject>().is_ok() => &mut self.cancel_rejects,
            FrameKind::ParamSet if frame.body::<ParamSet>().is_ok() => &mut self.params,
            FrameKind::Kill => &mut self.kills,
            FrameKind::LimitSet => &mut self.limits,
            FrameKind::Mode => &mut self.modes,
            FrameKind::NotSent => &mut self.messages_not_sent,
            FrameKind::Command => match frame.body::<Command>().map(|command| CommandKind::from_u8(command.kind)) {
                Ok(Some(CommandKind::New)) => &mut self.orders,
                Ok(Some(CommandKind::Replace)) => &mut self.replaces,
                Ok(Some(CommandKind::Cancel)) => &mut self.cancels,
                Ok(Some(CommandKind::Status)) => &mut self.statuses_asked,
                Ok(Some(CommandKind::Resync)) => &mut self.resync_commands,
                _ => return,
            },
            _ => return,
        };
        *counter += 1;
    }
}
