use crate::quality::{Faults, Quality, ResyncReason};
use crate::side::{Filling, PRICE_MAX, SideLevels};
use tercel_event::{Bbo, BookDelta, FeedEvent, FeedStatus, Frame, FrameKind, Level, Levels, Phase, Trade, hash_words};
use tercel_types::{DurationNs, InstrumentId, Price, Problem, Qty, Side, TimeNs};

/// Size and tolerances of one book.
#[derive(Clone, Copy, Debug)]
pub struct BookConfig {
    /// Prices around the touch that have a slot of their own on each side; a power of two.
    pub window: usize,
    /// Levels held on each side beyond the window, and levels of a side that a snapshot may have.
    pub capacity: usize,
    /// When levels had to be dropped, the least number of known levels a side may shrink to before a rebuild is asked.
    pub known_min: usize,
    /// Silence after which the book is `Stale`; 0 never.
    pub stale_after: DurationNs,
    /// The venue's checksum over the book, for venues that send one. It must be a pure function.
    pub checksum: Option<fn(&Book) -> u64>,
}

impl Default for BookConfig {
    fn default() -> Self {
        Self { window: 1 << 16, capacity: 8192, known_min: 256, stale_after: DurationNs::from_secs(5), checksum: None }
    }
}

impl BookConfig {
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, key: &str, seen: String, allowed: &str, help: &str| {
            if !ok {
                problems.push(Problem { key: key.into(), seen, allowed: allowed.into(), help: help.into() });
            }
        };
        check(
            self.window.is_power_of_two() && (256..=1 << 24).contains(&self.window),
            "book.window",
            self.window.to_string(),
            "a power of two, 256..=16777216",
            "65536 price steps hold 97 % of the changes of a BTCUSDT perpetual",
        );
        check(
            (16..=1 << 20).contains(&self.capacity),
            "book.capacity",
            self.capacity.to_string(),
            "16..=1048576",
            "a Binance snapshot has 1000 levels a side",
        );
        check(
            (1..=self.capacity).contains(&self.known_min),
            "book.known_min",
            self.known_min.to_string(),
            "1..=capacity",
            "use a small part of the capacity",
        );
        check(
            self.stale_after.0 >= 0,
            "book.stale_after",
            format!("{} ns", self.stale_after.0),
            "0 or more",
            "0 switches the check off",
        );
        problems
    }
}

/// What one frame did to a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookOutcome {
    /// Levels or touch differ from before; at the last part of a message this is true if any part changed them.
    pub changed: bool,
    /// A public trade was recorded.
    pub traded: bool,
    pub quality_changed: bool,
    /// The book asks to be rebuilt; given once per fault.
    pub resync: Option<ResyncReason>,
}

/// Everything that was not used, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookCounters {
    /// Frames of another instrument or of a kind that is not market data.
    pub foreign: u64,
    /// Frames whose body is shorter than it says, with negative quantities, or parts out of order.
    pub malformed: u64,
    /// Deltas that came while the book waits for a snapshot.
    pub unsynced: u64,
    /// Deltas that end at or before the update the book stands at.
    pub old_deltas: u64,
    /// Best quotes not newer than the last one.
    pub old_bbos: u64,
    /// Trades whose id is not above the last one.
    pub old_trades: u64,
    /// Checksums that no function is configured to verify.
    pub unverified_checksums: u64,
    pub resyncs: u64,
    pub snapshots: u64,
}

/// The newest public trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrade {
    pub px: Price,
    pub qty: Qty,
    /// `None` when the venue does not say.
    pub aggressor: Option<Side>,
    pub trade_id: u64,
    /// Sequencing time of its frame.
    pub ts: TimeNs,
}

/// The newest best-quote message. A side without a quote is the zero level: quantities are never 0 otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Touch {
    update_id: u64,
    bid: Level,
    ask: Level,
}

/// The level of a side, `None` where nothing is quoted.
#[inline]
fn quoted(level: Level) -> Option<Level> {
    (level.qty.0 != 0).then_some(level)
}

/// The book of one instrument. See the crate's page for what holds.
#[derive(Clone, Debug)]
pub struct Book {
    instrument: InstrumentId,
    config: BookConfig,
    bids: SideLevels<true>,
    asks: SideLevels<false>,
    staged_bids: Filling,
    staged_asks: Filling,
    /// Number of the snapshot part that must come next; 0 outside a snapshot.
    next_part: u32,
    /// Update id of the message whose further parts are expected.
    open_message: Option<u64>,
    /// Some part of the open message changed the book.
    open_changed: bool,
    /// Update id that the levels stand at.
    depth_id: u64,
    /// The next delta is the first after a snapshot, whose chain starts before it.
    first_delta: bool,
    /// A snapshot has been applied and nothing has broken it since.
    synced: bool,
    touch: Touch,
    quality: Quality,
    trade: Option<LastTrade>,
    /// Hash of everything but the touch, as of `seal`.
    sealed: u64,
    ts_changed: Option<TimeNs>,
    ts_alive: TimeNs,
    ts_exchange: TimeNs,
    ts_recv: TimeNs,
    counters: BookCounters,
}

impl Book {
    /// An empty book that waits for its feed. All memory is taken here.
    pub fn new(instrument: InstrumentId, config: BookConfig) -> Self {
        let mut new = Self {
            instrument,
            config,
            bids: SideLevels::new(config.window, config.capacity),
            asks: SideLevels::new(config.window, config.capacity),
            staged_bids: Filling::new(config.capacity),
            staged_asks: Filling::new(config.capacity),
            next_part: 0,
            open_message: None,
            open_changed: false,
            depth_id: 0,
            first_delta: false,
            synced: false,
            touch: Touch::default(),
            quality: Quality { faults: Faults::DISCONNECTED.union(Faults::RECOVERING), phase: Phase::Continuous },
            trade: None,
            sealed: 0,
            ts_changed: None,
            ts_alive: TimeNs::MIN,
            ts_exchange: TimeNs(0),
            ts_recv: TimeNs(0),
            counters: BookCounters::default(),
        };
        new.sealed = new.seal();
        new
    }

    /// Applies one frame of this instrument. Never panics; what cannot be used is counted.
    #[inline]
    pub fn apply(&mut self, frame: &Frame<'_>) -> BookOutcome {
        let before = self.quality;
        let mut outcome = match frame.kind() {
            Ok(FrameKind::BookDelta) => match frame.book_delta() {
                Ok((head, _)) if head.instrument != self.instrument => self.foreign(),
                Ok((head, levels)) => self.on_delta(frame, &head, levels),
                Err(_) => self.malformed(),
            },
            Ok(FrameKind::Bbo) => match frame.body::<Bbo>() {
                Ok(bbo) => return self.apply_bbo(&bbo, frame.header.ts_seq),
                Err(_) => self.malformed(),
            },
            Ok(FrameKind::Trade) => match frame.body::<Trade>() {
                Ok(trade) if trade.instrument != self.instrument => self.foreign(),
                Ok(trade) => self.on_trade(frame, &trade),
                Err(_) => self.malformed(),
            },
            Ok(FrameKind::BookSnapshot) => self.on_snapshot(frame),
            Ok(FrameKind::FeedStatus) => match frame.body::<FeedStatus>() {
                Ok(status) if status.instrument != self.instrument => self.foreign(),
                Ok(status) => self.on_status(frame, &status),
                Err(_) => self.malformed(),
            },
            _ => self.foreign(),
        };
        outcome.quality_changed = self.quality != before;
        self.sealed = self.seal();
        outcome
    }

    /// The ordinary best quote, sequenced at `now`: newer than everything before, of both sides, not crossed, of a live book.
    /// Does what `apply_bbo` does, and says whether the touch has changed; `None`, and nothing done, for any other quote.
    #[inline(always)] // 20 of 60 instructions would be the call
    pub fn requote(&mut self, bbo: &Bbo, now: TimeNs) -> Option<bool> {
        let ordinary = self.is_live()
            && bbo.instrument == self.instrument
            && bbo.update_id > self.depth_id
            && bbo.update_id > self.touch.update_id
            && bbo.bid_qty.0 > 0
            && bbo.ask_qty.0 > 0
            && bbo.bid_px < bbo.ask_px;
        if !ordinary {
            return None;
        }
        let bid = Level { px: bbo.bid_px, qty: bbo.bid_qty };
        let ask = Level { px: bbo.ask_px, qty: bbo.ask_qty };
        let changed = self.shown() != (bid, ask);
        self.touch = Touch { update_id: bbo.update_id, bid, ask };
        (self.ts_alive, self.ts_exchange, self.ts_recv) = (now, bbo.ts_exchange, bbo.ts_recv);
        if changed {
            self.ts_changed = Some(now);
        }
        Some(changed)
    }

    /// Both sides of the touch, the zero level where nothing is quoted.
    #[inline]
    fn shown(&self) -> (Level, Level) {
        if self.overlaid() {
            (self.touch.bid, self.touch.ask)
        } else {
            (self.bids.best().unwrap_or_default(), self.asks.best().unwrap_or_default())
        }
    }

    /// Applies any best quote sequenced at `now`: what `apply` does with a frame of that kind.
    #[inline(never)]
    pub fn apply_bbo(&mut self, bbo: &Bbo, now: TimeNs) -> BookOutcome {
        let before = self.quality;
        let outcome = if bbo.instrument == self.instrument { self.on_bbo(bbo, now) } else { self.foreign() };
        let quality_changed = self.quality != before;
        if quality_changed {
            self.sealed = self.seal();
        }
        BookOutcome { quality_changed, ..outcome }
    }

    #[cold]
    fn foreign(&mut self) -> BookOutcome {
        self.counters.foreign += 1;
        BookOutcome::default()
    }

    #[cold]
    fn malformed(&mut self) -> BookOutcome {
        self.counters.malformed += 1;
        self.fail(Faults::GAP, ResyncReason::Malformed)
    }

    /// Records a fault found by the book itself. Asks for a rebuild once: a book that already waits for one is silent.
    #[cold]
    fn fail(&mut self, fault: Faults, reason: ResyncReason) -> BookOutcome {
        let waiting = !self.synced;
        self.quality.faults = self.quality.faults.union(fault);
        self.unsync();
        if waiting {
            return BookOutcome::default();
        }
        self.counters.resyncs += 1;
        BookOutcome { resync: Some(reason), ..BookOutcome::default() }
    }

    fn unsync(&mut self) {
        self.synced = false;
        self.next_part = 0;
        self.open_message = None;
        self.open_changed = false;
    }

    #[inline]
    fn alive(&mut self, now: TimeNs, ts_exchange: TimeNs, ts_recv: TimeNs) {
        self.ts_exchange = ts_exchange;
        self.ts_recv = ts_recv;
        self.alive_at(now);
    }

    fn on_delta(&mut self, frame: &Frame<'_>, head: &BookDelta, levels: Levels<'_>) -> BookOutcome {
        self.alive(frame.header.ts_seq, head.ts_exchange, head.ts_recv);
        if !self.synced {
            self.counters.unsynced += 1;
            return BookOutcome::default();
        }
        let touch_before = (self.best_bid(), self.best_ask());
        if self.open_message != Some(head.last_update_id) {
            if self.open_message.take().is_some() {
                return self.malformed();
            }
            if head.last_update_id < self.depth_id || (head.last_update_id == self.depth_id && !self.first_delta) {
                self.counters.old_deltas += 1;
                return BookOutcome::default();
            }
            let follows = match head.prev_update_id {
                0 => true,
                prev if self.first_delta => prev <= self.depth_id,
                prev => prev == self.depth_id,
            };
            if !follows {
                return self.fail(Faults::GAP, ResyncReason::Gap);
            }
            self.first_delta = false;
            self.open_changed = false;
        }
        let (mut changed, mut impossible) = (false, false);
        for level in levels.bids() {
            impossible |= is_impossible(level);
            changed |= self.bids.set(bounded(level.px), level.qty);
        }
        for level in levels.asks() {
            impossible |= is_impossible(level);
            changed |= self.asks.set(bounded(level.px), level.qty);
        }
        if impossible {
            return self.malformed();
        }
        self.depth_id = head.last_update_id;
        changed |= touch_before != (self.best_bid(), self.best_ask());
        if changed {
            self.ts_changed = Some(frame.header.ts_seq);
        }
        if frame.has_more() {
            self.open_message = Some(head.last_update_id);
            self.open_changed |= changed;
            return BookOutcome { changed, ..BookOutcome::default() };
        }
        self.open_message = None;
        changed |= self.open_changed;
        self.open_changed = false;
        BookOutcome { changed, ..self.verify(head.checksum) }
    }

    /// What must hold at the end of every message; one comparison each when it does.
    #[inline]
    fn verify(&mut self, checksum: u64) -> BookOutcome {
        if self.quality.phase == Phase::Continuous
            && let (Some(bid), Some(ask)) = (self.bids.best(), self.asks.best())
            && bid.px >= ask.px
        {
            return self.fail(Faults::CROSSED, ResyncReason::Crossed);
        }
        if checksum != 0 {
            match self.config.checksum {
                Some(compute) if compute(self) != checksum => {
                    return self.fail(Faults::CHECKSUM, ResyncReason::Checksum);
                }
                Some(_) => {}
                None => self.counters.unverified_checksums += 1,
            }
        }
        let short = |horizon: Option<Price>, len: usize| horizon.is_some() && len < self.config.known_min;
        if short(self.bids.horizon(), self.bids.len()) || short(self.asks.horizon(), self.asks.len()) {
            return self.fail(Faults::GAP, ResyncReason::Truncated);
        }
        BookOutcome::default()
    }

    fn on_snapshot(&mut self, frame: &Frame<'_>) -> BookOutcome {
        let Ok((head, levels)) = frame.book_snapshot() else { return self.malformed() };
        if head.instrument != self.instrument {
            return self.foreign();
        }
        self.alive(frame.header.ts_seq, head.ts_exchange, head.ts_recv);
        if head.part == 0 {
            self.staged_bids.clear();
            self.staged_asks.clear();
        } else if head.part != self.next_part {
            return self.malformed();
        }
        let mut impossible = false;
        for level in levels.bids() {
            impossible |= is_impossible(level);
            if level.qty.0 > 0 {
                self.staged_bids.add::<true>(level);
            }
        }
        for level in levels.asks() {
            impossible |= is_impossible(level);
            if level.qty.0 > 0 {
                self.staged_asks.add::<false>(level);
            }
        }
        if impossible {
            return self.malformed();
        }
        if frame.has_more() {
            self.next_part = head.part.saturating_add(1);
            return BookOutcome::default();
        }
        self.next_part = 0;
        self.staged_bids.fill(&mut self.bids);
        self.staged_asks.fill(&mut self.asks);
        self.depth_id = head.last_update_id;
        self.first_delta = true;
        self.open_message = None;
        self.synced = true;
        self.counters.snapshots += 1;
        let healed = Faults::GAP.union(Faults::CROSSED).union(Faults::CHECKSUM);
        self.quality.faults = self.quality.faults.without(healed);
        self.ts_changed = Some(frame.header.ts_seq);
        BookOutcome { changed: true, ..self.verify(head.checksum) }
    }

    fn on_bbo(&mut self, bbo: &Bbo, now: TimeNs) -> BookOutcome {
        self.alive(now, bbo.ts_exchange, bbo.ts_recv);
        if (bbo.bid_qty.0 | bbo.ask_qty.0) < 0 {
            return self.malformed();
        }
        if bbo.update_id <= self.touch.update_id {
            self.counters.old_bbos += 1;
            return BookOutcome::default();
        }
        let level = |px, qty: Qty| if qty.is_zero() { Level::default() } else { Level { px, qty } };
        let (bid, ask) = (level(bbo.bid_px, bbo.bid_qty), level(bbo.ask_px, bbo.ask_qty));
        let before = self.shown();
        self.touch = Touch { update_id: bbo.update_id, bid, ask };
        if bbo.update_id <= self.depth_id {
            return BookOutcome::default();
        }
        let changed = before != (bid, ask);
        if changed {
            self.ts_changed = Some(now);
        }
        if bid.px >= ask.px && self.quality.phase == Phase::Continuous && !bid.qty.is_zero() && !ask.qty.is_zero() {
            return BookOutcome { changed, ..self.fail(Faults::CROSSED, ResyncReason::Crossed) };
        }
        BookOutcome { changed, ..BookOutcome::default() }
    }

    fn on_trade(&mut self, frame: &Frame<'_>, trade: &Trade) -> BookOutcome {
        self.alive(frame.header.ts_seq, trade.ts_exchange, trade.ts_recv);
        if trade.trade_id != 0 && self.trade.is_some_and(|last| trade.trade_id <= last.trade_id) {
            self.counters.old_trades += 1;
            return BookOutcome::default();
        }
        self.trade = Some(LastTrade {
            px: trade.px,
            qty: trade.qty,
            aggressor: Side::from_u8(trade.aggressor),
            trade_id: trade.trade_id,
            ts: frame.header.ts_seq,
        });
        BookOutcome { traded: true, ..BookOutcome::default() }
    }

    fn on_status(&mut self, frame: &Frame<'_>, status: &FeedStatus) -> BookOutcome {
        self.ts_recv = status.ts_recv;
        let faults = self.quality.faults;
        match FeedEvent::from_code(status.event) {
            Some(FeedEvent::Connected) => {
                self.unsync();
                self.quality.faults = faults.without(Faults::DISCONNECTED).union(Faults::RECOVERING);
            }
            Some(FeedEvent::Disconnected) => {
                self.unsync();
                // Update ids of another connection may start anew.
                self.touch = Touch::default();
                self.quality.faults = faults.union(Faults::DISCONNECTED);
                return BookOutcome::default();
            }
            Some(FeedEvent::Gap | FeedEvent::Malformed | FeedEvent::Overflow) => {
                self.unsync();
                self.quality.faults = faults.union(Faults::GAP);
            }
            Some(FeedEvent::Recovering) => {
                self.unsync();
                self.quality.faults = faults.union(Faults::RECOVERING);
            }
            Some(FeedEvent::Recovered) if self.synced => self.quality.faults = faults.without(Faults::RECOVERING),
            Some(FeedEvent::Recovered | FeedEvent::Alive) => {}
            Some(FeedEvent::Phase) => match Phase::from_code(status.phase) {
                Some(phase) => {
                    self.quality.phase = phase;
                    self.alive_at(frame.header.ts_seq);
                    return if self.synced { self.verify(0) } else { BookOutcome::default() };
                }
                None => self.counters.malformed += 1,
            },
            None => self.counters.malformed += 1,
        }
        self.alive_at(frame.header.ts_seq);
        BookOutcome::default()
    }

    #[inline]
    fn alive_at(&mut self, now: TimeNs) {
        self.ts_alive = now;
        self.quality.faults = self.quality.faults.without(Faults::STALE);
    }

    /// When silence becomes `Stale`; `None` when it already is, or never does.
    #[inline]
    pub fn next_deadline(&self) -> Option<TimeNs> {
        let watched = self.config.stale_after.0 > 0
            && self.ts_alive != TimeNs::MIN
            && !self.quality.faults.intersects(Faults::STALE.union(Faults::DISCONNECTED));
        watched.then(|| self.ts_alive.saturating_add(self.config.stale_after))
    }

    /// Tells the time: sets `Stale` once the deadline is reached.
    pub fn on_time(&mut self, now: TimeNs) -> BookOutcome {
        let due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.quality.faults = self.quality.faults.union(Faults::STALE);
            self.sealed = self.seal();
        }
        BookOutcome { quality_changed: due, ..BookOutcome::default() }
    }

    #[inline]
    fn overlaid(&self) -> bool {
        self.touch.update_id > self.depth_id
    }

    /// Best bid: of the newest of depth and best-quote message, by update id.
    #[inline]
    pub fn best_bid(&self) -> Option<Level> {
        if self.overlaid() { quoted(self.touch.bid) } else { self.bids.best() }
    }

    /// Best ask, likewise.
    #[inline]
    pub fn best_ask(&self) -> Option<Level> {
        if self.overlaid() { quoted(self.touch.ask) } else { self.asks.best() }
    }

    /// Bid level `level_idx` as a strategy sees it: 0 is `best_bid`, the rest are the depth levels worse than it.
    #[inline]
    pub fn bid_level(&self, level_idx: usize) -> Option<Level> {
        if level_idx == 0 { self.best_bid() } else { self.bid_beyond(level_idx) }
    }

    fn bid_beyond(&self, level_idx: usize) -> Option<Level> {
        if !self.overlaid() {
            return self.bids.level(level_idx);
        }
        let best = quoted(self.touch.bid)?;
        self.bids.iter().skip_while(|level| level.px >= best.px).nth(level_idx - 1)
    }

    #[inline]
    pub fn ask_level(&self, level_idx: usize) -> Option<Level> {
        if level_idx == 0 { self.best_ask() } else { self.ask_beyond(level_idx) }
    }

    fn ask_beyond(&self, level_idx: usize) -> Option<Level> {
        if !self.overlaid() {
            return self.asks.level(level_idx);
        }
        let best = quoted(self.touch.ask)?;
        self.asks.iter().skip_while(|level| level.px <= best.px).nth(level_idx - 1)
    }

    /// Bid level of the depth book alone, without the overlay.
    #[inline]
    pub fn depth_bid(&self, level_idx: usize) -> Option<Level> {
        self.bids.level(level_idx)
    }

    #[inline]
    pub fn depth_ask(&self, level_idx: usize) -> Option<Level> {
        self.asks.level(level_idx)
    }

    /// Best bid and ask of the depth book alone.
    #[inline]
    pub fn depth_best(&self) -> (Option<Level>, Option<Level>) {
        (self.bids.best(), self.asks.best())
    }

    /// Best bid of the others: the first level where the public quantity exceeds `own(px)`, with that excess.
    #[inline]
    pub fn best_bid_less(&self, own: impl Fn(Price) -> Qty) -> Option<Level> {
        less_own(self.best_bid(), self.bids.iter(), own, |px, best| px < best)
    }

    #[inline]
    pub fn best_ask_less(&self, own: impl Fn(Price) -> Qty) -> Option<Level> {
        less_own(self.best_ask(), self.asks.iter(), own, |px, best| px > best)
    }

    #[inline]
    pub fn quality(&self) -> Quality {
        self.quality
    }

    #[inline]
    pub fn is_live(&self) -> bool {
        self.quality.is_live()
    }

    pub fn instrument(&self) -> InstrumentId {
        self.instrument
    }

    pub fn last_trade(&self) -> Option<&LastTrade> {
        self.trade.as_ref()
    }

    /// Sequencing time of the last change of levels or touch.
    #[inline]
    pub fn last_change(&self) -> Option<TimeNs> {
        self.ts_changed
    }

    /// Sequencing time of the last sign of life, `TimeNs::MIN` before the first.
    pub fn last_alive(&self) -> TimeNs {
        self.ts_alive
    }

    /// The venue's time and the receive time of the newest message.
    pub fn last_stamps(&self) -> (TimeNs, TimeNs) {
        (self.ts_exchange, self.ts_recv)
    }

    /// Update id that the depth levels stand at, 0 before the first snapshot.
    pub fn depth_update_id(&self) -> u64 {
        self.depth_id
    }

    /// Update id of the newest best-quote message, 0 before the first.
    pub fn touch_update_id(&self) -> u64 {
        self.touch.update_id
    }

    /// Number of bid and ask levels held.
    pub fn levels_count(&self) -> (usize, usize) {
        (self.bids.len(), self.asks.len())
    }

    /// Best price of each side at or beyond which levels were dropped for want of room.
    pub fn horizons(&self) -> (Option<Price>, Option<Price>) {
        (self.bids.horizon(), self.asks.horizon())
    }

    /// Levels dropped for want of room, over the book's life.
    pub fn levels_dropped(&self) -> u64 {
        self.bids.dropped + self.asks.dropped
    }

    pub fn counters(&self) -> &BookCounters {
        &self.counters
    }

    /// This book's addend of `StateDigest::books`. O(1): the part of everything but the touch is kept per frame.
    #[inline]
    pub fn digest(&self) -> u64 {
        let Touch { update_id, bid, ask } = self.touch;
        hash_words(self.sealed, [update_id, bid.px.0 as u64, bid.qty.0 as u64, ask.px.0 as u64, ask.qty.0 as u64])
    }

    /// Hash of everything but the touch; the levels' own is kept per change.
    fn seal(&self) -> u64 {
        let [traded, trade_id, px, qty] = self.trade.map_or([0; 4], |t| [1, t.trade_id, t.px.0 as u64, t.qty.0 as u64]);
        let quality = u64::from(self.quality.faults.bits()) << 8 | u64::from(self.quality.phase as u8);
        let instrument = u64::from(self.instrument.0);
        let words = [instrument, self.bids.digest(), self.asks.digest(), self.depth_id, traded, trade_id, px, qty];
        hash_words(quality, words)
    }
}

/// A negative quantity, or a price that no market has.
#[inline]
fn is_impossible(level: Level) -> bool {
    level.qty.0 < 0 || level.px != bounded(level.px)
}

#[inline]
fn bounded(px: Price) -> Price {
    Price(px.0.clamp(-PRICE_MAX, PRICE_MAX))
}

#[inline]
fn less_own(
    best: Option<Level>,
    levels: impl Iterator<Item = Level>,
    own: impl Fn(Price) -> Qty,
    worse: impl Fn(Price, Price) -> bool,
) -> Option<Level> {
    let others = |level: Level| {
        let qty = level.qty.checked_sub(own(level.px)).unwrap_or(Qty::ZERO);
        (qty.0 > 0).then_some(Level { px: level.px, qty })
    };
    let best = best?;
    others(best).or_else(|| levels.filter(|level| worse(level.px, best.px)).find_map(others))
}

#[cfg(test)]
mod tests;
