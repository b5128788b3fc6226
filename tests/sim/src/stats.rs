/// What a run did and what was done to it. Sums over runs add field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub runs: u64,
    pub virtual_ms: u64,
    pub events: u64,
    pub frames: u64,
    pub orders: u64,
    pub replaces: u64,
    pub cancels: u64,
    pub fills: u64,
    pub fills_passive: u64,
    pub status_asked: u64,
    /// Crashes by `CRASH_POINTS`, then those at a plain time.
    pub crashes: [u64; 7],
    /// Frames that a crash cut off the end of the log: it fell into a step.
    pub frames_torn: u64,
    pub unanswered: u64,
    pub never_stored: u64,
    pub order_cuts: u64,
    pub order_silences: u64,
    pub order_refusals: u64,
    pub order_bytes_lost: u64,
    pub slow_spans: u64,
    pub session_losses: u64,
    /// Fills that came with PossDup.
    pub fills_resent: u64,
    pub data_cuts: u64,
    pub data_silences: u64,
    pub data_lost: u64,
    pub data_twice: u64,
    pub data_cut: u64,
    pub snapshots_failed: u64,
    pub gaps: u64,
    pub resyncs: u64,
    pub rings_full: u64,
    pub stalls: u64,
    pub halts: u64,
    /// Times at which open orders, position and fees were compared.
    pub compared: u64,
    /// From the end of the faults to quoting again: the sum, and the longest.
    pub recovery_ms: u64,
    pub recovery_ms_max: u64,
}

macro_rules! sum {
    ($self:ident, $other:ident, $($field:ident),+) => { $($self.$field += $other.$field;)+ };
}

impl Stats {
    pub fn add(&mut self, other: &Self) {
        sum!(
            self,
            other,
            runs,
            virtual_ms,
            events,
            frames,
            orders,
            replaces,
            cancels,
            fills,
            fills_passive,
            status_asked,
            frames_torn,
            unanswered,
            never_stored,
            order_cuts,
            order_silences,
            order_refusals,
            order_bytes_lost,
            slow_spans,
            session_losses,
            fills_resent,
            data_cuts,
            data_silences,
            data_lost,
            data_twice,
            data_cut,
            snapshots_failed,
            gaps,
            resyncs,
            rings_full,
            stalls,
            halts,
            compared,
            recovery_ms
        );
        self.crashes.iter_mut().zip(other.crashes).for_each(|(sum, n)| *sum += n);
        self.recovery_ms_max = self.recovery_ms_max.max(other.recovery_ms_max);
    }
}
