//! Connections as the two ends see them. TCP delivers a prefix of what was sent, in order, and then says so, or does not.
use crate::rng::Rng;

pub const NEVER: i64 = i64::MAX;

/// One direction of a connection.
#[derive(Clone, Debug)]
pub struct Way {
    /// Nothing arrives before what was sent before it.
    last: i64,
    /// What would arrive after this is lost.
    pub cut_at: i64,
    /// The other end is not told.
    pub silent: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self { last: i64::MIN, cut_at: NEVER, silent: false }
    }
}

impl Way {
    /// Arrival time of something sent now.
    pub fn arrival(&mut self, now: i64, delay: i64) -> i64 {
        self.last = self.last.max(now.saturating_add(delay));
        self.last
    }

    pub fn is_lost(&self, at: i64) -> bool {
        self.silent || at > self.cut_at
    }
}

/// A connection between one process of the engine and the venue.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    pub epoch: u32,
    /// 0 and 1 for market data.
    pub socket: usize,
    pub to_venue: Way,
    pub to_engine: Way,
    pub venue_open: bool,
    pub engine_open: bool,
    /// The engine's side is closed for good.
    pub engine_closed: bool,
    /// The engine's kernel knows that the connection is gone before its reader does.
    pub write_fails: bool,
}

impl Pipe {
    pub fn new(epoch: u32, socket: usize) -> Self {
        Self { epoch, socket, ..Self::default() }
    }

    /// Whole in both directions.
    pub fn is_whole(&self) -> bool {
        let whole = |way: &Way| !way.silent && way.cut_at == NEVER;
        whole(&self.to_venue) && whole(&self.to_engine) && self.venue_open && self.engine_open
    }
}

/// A delay from a range of microseconds, in ns.
pub fn delay(rng: &mut Rng, (from, to): (i64, i64)) -> i64 {
    rng.between(from * 1_000, to * 1_000)
}
