//! Market data and signals: into the books, and to the strategies that look at them.
use crate::deadlines::TimerClass;
use crate::{Core, Outbox};
use tercel_book::{Book, BookOutcome, Faults};
use tercel_event::{
    Bbo, BookDelta, BookSnapshot, CommandKind, FeedEvent, FeedStatus, Frame, FrameKind, Reason, Signal, Trade,
};
use tercel_types::{InstrumentId, SourceId, TimeNs};

/// What the core can see of one feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedCounters {
    /// Market data frames.
    pub messages: u64,
    /// Gaps told by the feed gateway or found by the book.
    pub gaps: u64,
    /// `Resync` commands of the core.
    pub resyncs_asked: u64,
    /// Rebuilds that came to an end, whoever asked.
    pub resyncs_done: u64,
    pub disconnects: u64,
    pub malformed: u64,
    pub overflows: u64,
    /// Engine time with the book `Live`, and without, from the instrument's first frame on.
    pub live_ns: i64,
    pub not_live_ns: i64,
}

/// The core's notes on one feed and its book.
#[derive(Clone, Debug)]
pub(crate) struct FeedState {
    pub counters: FeedCounters,
    /// Since when `was_live` holds.
    pub since: Option<TimeNs>,
    pub was_live: bool,
    /// The book asked to be rebuilt while a `Resync` was under way.
    pub resync_wanted: bool,
    /// The strategies that name the instrument, in configuration order, each with the bit of its binding.
    pub lookers: Vec<(u32, u64)>,
    /// The book's digest, an addend of the core's.
    pub digest: u64,
    /// The deadline at which the book is stale stands.
    pub watched: bool,
}

impl FeedState {
    pub fn new(book: &Book) -> Self {
        Self {
            counters: FeedCounters::default(),
            since: None,
            was_live: false,
            resync_wanted: false,
            lookers: Vec::new(),
            digest: book.digest(),
            watched: false,
        }
    }

    /// After any change of the book: its digest, and the sum of which that is an addend.
    #[inline]
    fn renew(&mut self, book: &Book, sum: &mut u64) {
        let digest = book.digest();
        *sum = sum.wrapping_add(digest).wrapping_sub(self.digest);
        self.digest = digest;
    }

    /// Counts a frame of the feed.
    #[inline]
    fn heard(&mut self, malformed: bool, now: TimeNs) {
        self.counters.messages += 1;
        if malformed {
            self.counters.malformed += 1;
        }
        if self.since.is_none() {
            self.since = Some(now);
        }
    }

    #[cold]
    fn turn(&mut self, live: bool, now: TimeNs) {
        let span = self.since.map_or(0, |since| now.since(since).0);
        if self.was_live {
            self.counters.live_ns += span;
        } else {
            self.counters.not_live_ns += span;
        }
        (self.since, self.was_live) = (Some(now), live);
    }
}

/// The instrument and receive stamp of a market data frame.
fn head(frame: &Frame<'_>, kind: FrameKind) -> Option<(InstrumentId, TimeNs)> {
    match kind {
        FrameKind::Bbo => frame.body::<Bbo>().ok().map(|b| (b.instrument, b.ts_recv)),
        FrameKind::BookDelta => frame.body::<BookDelta>().ok().map(|b| (b.instrument, b.ts_recv)),
        FrameKind::BookSnapshot => frame.body::<BookSnapshot>().ok().map(|b| (b.instrument, b.ts_recv)),
        FrameKind::Trade => frame.body::<Trade>().ok().map(|b| (b.instrument, b.ts_recv)),
        FrameKind::FeedStatus => frame.body::<FeedStatus>().ok().map(|b| (b.instrument, b.ts_recv)),
        _ => None,
    }
}

impl Core {
    /// A best quote: what `on_market` does with any frame, in a straight line for the ordinary one.
    #[inline(always)]
    pub(crate) fn on_bbo(&mut self, frame: &Frame<'_>, bbo: &Bbo, out: &mut Outbox) {
        let idx = bbo.instrument.idx();
        let (Some(book), Some(feed)) = (self.books.get_mut(idx), self.feeds.get_mut(idx)) else {
            return self.bad_frame();
        };
        let Some(changed) = book.requote(bbo, self.now) else { return self.on_market(frame, FrameKind::Bbo, out) };
        self.ts_cause = bbo.ts_recv;
        // A live book has heard of its feed before.
        feed.counters.messages += 1;
        feed.renew(book, &mut self.books_digest);
        self.mark_at(idx, bbo.bid_px, bbo.ask_px, out);
        self.tell_lookers(idx, BookOutcome { changed, ..BookOutcome::default() });
        self.watch(idx);
    }

    /// Any market data frame.
    pub(crate) fn on_market(&mut self, frame: &Frame<'_>, kind: FrameKind, out: &mut Outbox) {
        let Some((id, ts_recv)) = head(frame, kind) else { return self.bad_frame() };
        let idx = id.idx();
        let (Some(book), Some(feed)) = (self.books.get_mut(idx), self.feeds.get_mut(idx)) else {
            return self.bad_frame();
        };
        self.ts_cause = ts_recv;
        let malformed = book.counters().malformed;
        let outcome = book.apply(frame);
        feed.renew(book, &mut self.books_digest);
        feed.heard(book.counters().malformed != malformed, self.now);
        if kind == FrameKind::FeedStatus
            && let Ok(status) = frame.body::<FeedStatus>()
        {
            match FeedEvent::from_code(status.event) {
                Some(FeedEvent::Gap) => feed.counters.gaps += 1,
                Some(FeedEvent::Recovered) => feed.counters.resyncs_done += 1,
                Some(FeedEvent::Disconnected) => feed.counters.disconnects += 1,
                Some(FeedEvent::Malformed) => feed.counters.malformed += 1,
                Some(FeedEvent::Overflow) => feed.counters.overflows += 1,
                Some(_) => {}
                None => return self.bad_frame(),
            }
        }
        self.after_book(idx, outcome, out);
    }

    fn after_book(&mut self, idx: usize, outcome: BookOutcome, out: &mut Outbox) {
        if outcome.quality_changed {
            self.feeds[idx].turn(self.books[idx].is_live(), self.now);
        }
        // Every sign of life of a live book keeps the reference fresh.
        self.mark(idx, out);
        self.tell_lookers(idx, outcome);
        self.watch(idx);
        if outcome.resync.is_some() {
            self.feeds[idx].counters.gaps += 1;
            self.resync(idx, out);
        }
    }

    /// What the frame was to the strategies that name the instrument.
    #[inline(always)]
    fn tell_lookers(&mut self, idx: usize, outcome: BookOutcome) {
        // A change of quality is an instant of the book too (decision 20 of the language).
        let changed = if outcome.changed || outcome.quality_changed { u64::MAX } else { 0 };
        let seldom = outcome.quality_changed || outcome.traded;
        for &(runner, bit) in &self.feeds[idx].lookers {
            let runner = &mut self.runners[runner as usize];
            if runner.limits.pulled != 0 {
                // A sign of life that changes nothing may still end a silence.
                runner.dirty |= bit;
            }
            let pending = &mut runner.pending;
            pending.book |= bit & changed;
            if seldom {
                pending.quality |= if outcome.quality_changed { bit } else { 0 };
                pending.trades |= if outcome.traded { bit } else { 0 };
            }
        }
    }

    /// Arms the deadline at which the book is stale. Lazily: when it fires early, it is set again from the book's own.
    #[inline(always)]
    fn watch(&mut self, idx: usize) {
        let feed = &mut self.feeds[idx];
        if !feed.watched {
            let due = self.books[idx].next_deadline();
            feed.watched = due.is_some();
            self.deadlines.set(TimerClass::Stale, idx, due);
        }
    }

    /// Asks the feed for a rebuild, at most once per `resync_retry`.
    #[cold]
    fn resync(&mut self, idx: usize, out: &mut Outbox) {
        if self.deadlines.get(TimerClass::Resync, idx).is_some() {
            self.feeds[idx].resync_wanted = true;
            return;
        }
        self.feeds[idx].resync_wanted = false;
        self.feeds[idx].counters.resyncs_asked += 1;
        self.deadlines.set(TimerClass::Resync, idx, Some(self.now.saturating_add(self.config.resync_retry)));
        let dest = self.config.feeds.get(idx).copied().unwrap_or(SourceId(0));
        let mut command = self.request(CommandKind::Resync, dest, Reason::BookFault);
        command.instrument = InstrumentId(idx as u32);
        self.emit(&mut command, out);
    }

    pub(crate) fn on_resync_due(&mut self, idx: usize, out: &mut Outbox) {
        self.deadlines.set(TimerClass::Resync, idx, None);
        let (Some(book), Some(feed)) = (self.books.get(idx), self.feeds.get(idx)) else { return };
        let faults = book.quality().faults;
        let broken = faults.intersects(Faults::GAP.union(Faults::CROSSED).union(Faults::CHECKSUM));
        let under_way = faults.intersects(Faults::RECOVERING.union(Faults::DISCONNECTED));
        if feed.resync_wanted || (broken && !under_way) {
            self.resync(idx, out);
        }
    }

    pub(crate) fn on_stale_due(&mut self, idx: usize, out: &mut Outbox) {
        let (Some(book), Some(feed)) = (self.books.get_mut(idx), self.feeds.get_mut(idx)) else { return };
        let outcome = book.on_time(self.now);
        feed.renew(book, &mut self.books_digest);
        let due = book.next_deadline();
        feed.watched = due.is_some();
        self.deadlines.set(TimerClass::Stale, idx, due);
        self.after_book(idx, outcome, out);
    }

    pub(crate) fn on_signal(&mut self, frame: &Frame<'_>) {
        let Ok(signal) = frame.body::<Signal>() else { return self.bad_frame() };
        let Some(slot) = self.signals.get_mut(signal.signal as usize) else { return self.bad_frame() };
        let used = signal.valid == 1 && signal.value.is_finite();
        (slot.value, slot.ts_features) =
            if used { (signal.value, signal.ts_features) } else { (f64::NAN, slot.ts_features) };
        let count = if used { &mut self.counters.signals_used } else { &mut self.counters.signals_absent };
        *count += 1;
        for &(runner, bit) in &self.by_signal[signal.signal as usize] {
            self.runners[runner as usize].pending.signals |= bit;
        }
    }

    /// The feed's counters with the time of the current quality up to now.
    pub(crate) fn feed_counters(&self, idx: usize) -> FeedCounters {
        let mut feed = self.feeds[idx].clone();
        if feed.since.is_some() {
            feed.turn(feed.was_live, self.now);
        }
        feed.counters
    }
}
