//! What a start finds: the journal and the log of an earlier epoch are stepped through a fresh core, and compared on the way.
use crate::operator;
use std::collections::BTreeMap;
use std::path::Path;
use tercel_core::{Core, Replayer};
use tercel_event::{
    Command, CommandKind, Frame, FrameKind, Kill, Mode, NotSent, NotSentWhy, Scope, Sent, TradingState, sources,
};
use tercel_fix::InboundTrail;
use tercel_journal::{Recovery, RecoverySummary, TornTail};
use tercel_types::SourceId;

/// A core that stands where the last epoch ended.
pub struct Recovered {
    pub replayer: Replayer,
    pub recovery: Recovery,
    pub summary: RecoverySummary,
    /// Commands that have neither `Sent` nor `NotSent`, oldest first.
    pub unanswered: Vec<Command>,
    /// What the venue's next MsgSeqNum is, by the log.
    pub next_in: Option<u32>,
    /// The trading state of everything before an orderly end, or the engine for its journal's sake, halted it; `None` when
    /// the last word was another one.
    pub state_before_end: Option<TradingState>,
}

impl Recovered {
    /// Frames were found: this is a restart.
    pub fn is_restart(&self) -> bool {
        self.replayer.frames_count() > 0
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let s = &self.summary;
        let torn = match &s.torn {
            Some(torn) => format!("; {}", torn_tail(torn)),
            None => String::new(),
        };
        format!(
            "recovered epoch {} up to seq {}: {} frames from the journal, {} from the log; {} orders open, {} commands unanswered{torn}",
            s.last_epoch,
            self.replayer.last().0,
            s.journal_frames,
            s.log_frames,
            self.replayer.core().orders().open_all().count(),
            self.unanswered.len(),
        )
    }
}

/// What was cut, where, and what the journal ends with now.
pub fn torn_tail(torn: &TornTail) -> String {
    format!(
        "a torn tail of {} bytes was cut off {} at offset {}, after {}",
        torn.torn_len,
        torn.path.display(),
        torn.offset,
        torn.last_key
    )
}

/// Reads everything that `journal` and, where it exists, `log` hold. Errors are for people.
pub fn recover(core: Core, journal: &Path, log: &Path, orders: SourceId) -> Result<Recovered, String> {
    let log = log.exists().then_some(log);
    let mut recovery = Recovery::open(journal, log).map_err(|error| super::chain(&error))?;
    let mut replayer = Replayer::new(core);
    let mut trail = InboundTrail::new(orders);
    let mut unanswered = BTreeMap::new();
    let mut state_before_end = None;
    // Before a halt by the engine itself, for a journal that lagged or failed: the state, and the core's own halts.
    let mut before_storage = None;
    while let Some(bytes) = recovery.next_frame().map_err(|error| super::chain(&error))? {
        let frame = Frame::parse(bytes).map_err(|error| format!("the journal holds what is no frame: {error}"))?;
        trail.observe(&frame);
        follow(&frame, &mut unanswered);
        match frame.kind() {
            Ok(FrameKind::Kill) if frame.body::<Kill>().is_ok_and(|kill| operator::is_end(&kill)) => {
                // A second end without a start in between does not happen: each start takes the end before it back.
                let state = storage_state(before_storage.take(), replayer.core());
                state_before_end = Some(state.unwrap_or(replayer.core().risk().firm_state()));
            }
            Ok(FrameKind::Kill) if frame.header.src == sources::CORE => {}
            Ok(FrameKind::Mode) if is_storage_halt(&frame) => {
                let state = replayer.core().risk().firm_state();
                if state != TradingState::Halted {
                    before_storage = Some((state, own_halts(replayer.core())));
                }
            }
            Ok(FrameKind::Kill | FrameKind::Mode) => (state_before_end, before_storage) = (None, None),
            _ => {}
        }
        replayer.replay_frame(frame).map_err(|difference| {
            format!(
                "the journal in {} cannot be reproduced: {difference}. It was written by another build or configuration, or it was changed. \
                 `tercel replay` shows more; to begin anew, move the directory away after making sure that the venue holds no orders",
                journal.display()
            )
        })?;
    }
    let before_storage = storage_state(before_storage, replayer.core());
    // Commands of the last input that the log did not get: they never left.
    for command in replayer.derived().commands() {
        if replayer.frames_count() > 0 && command.kind != CommandKind::Resync as u8 {
            unanswered.entry((command.seq, command.index)).or_insert(*command);
        }
    }
    let summary = recovery.summary().clone();
    Ok(Recovered {
        replayer,
        recovery,
        summary,
        unanswered: unanswered.into_values().collect(),
        next_in: trail.next_in(),
        state_before_end: state_before_end.or(before_storage),
    })
}

/// A halt of everything that the core thread made for the journal's sake; people and ends have an operator number.
fn is_storage_halt(frame: &Frame<'_>) -> bool {
    frame.header.src == sources::CORE
        && frame.body::<Mode>().is_ok_and(|mode| {
            (mode.operator, mode.scope, mode.state) == (0, Scope::All as u8, TradingState::Halted as u8)
        })
}

/// Halts that the core made by its own judgement, which no start lifts.
fn own_halts(core: &Core) -> u64 {
    let counters = core.counters();
    counters.halts + counters.ledger_differences + counters.not_sent[NotSentWhy::Killed as usize] + counters.rejects[11]
}

/// The state before a halt for the journal's sake, unless the core has found a reason of its own since.
fn storage_state(before: Option<(TradingState, u64)>, core: &Core) -> Option<TradingState> {
    before.and_then(|(state, halts)| (halts == own_halts(core)).then_some(state))
}

fn follow(frame: &Frame<'_>, unanswered: &mut BTreeMap<(u64, u16), Command>) {
    match frame.kind() {
        Ok(FrameKind::Command) => {
            // A feed gateway answers `Resync` by rebuilding the book, not with a frame.
            if let Ok(command) = frame.body::<Command>()
                && command.kind != CommandKind::Resync as u8
            {
                unanswered.insert((command.seq, command.index), command);
            }
        }
        Ok(FrameKind::Sent) => {
            if let Ok(sent) = frame.body::<Sent>() {
                unanswered.remove(&(sent.cmd_seq, sent.cmd_index as u16));
            }
        }
        Ok(FrameKind::NotSent) => {
            if let Ok(not_sent) = frame.body::<NotSent>() {
                unanswered.remove(&(not_sent.cmd_seq, not_sent.cmd_index as u16));
            }
        }
        _ => {}
    }
}
