//! What one run does, all of it drawn from a seed before the run begins. A failure prints this value; setting a field by hand
//! and running again is how a finding is cut down.
use crate::rng::Rng;
use tercel_types::DurationNs;

const MS: i64 = 1_000_000;

/// Everything that shapes a run. Times count from the start of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub seed: u64,
    /// In order of time.
    pub faults: Vec<(DurationNs, Fault)>,
    /// From here on nothing goes wrong any more; the system must be quoting again within `recover_within`.
    pub faults_until: DurationNs,
    pub recover_within: DurationNs,
    /// The operator kills everything here; what follows is quiet.
    pub kill_at: DurationNs,
    pub end: DurationNs,
    /// One way on the order connection, shortest and longest, microseconds.
    pub order_us: (i64, i64),
    /// One way on a market data connection, likewise; sockets differ, so their streams have no mutual order.
    pub data_us: [(i64, i64); 2],
    /// Between two threads of the engine, likewise.
    pub hop_us: (i64, i64),
    /// Writes on the order connection that arrive in two pieces, of 1,000.
    pub split_per_mille: u64,
    /// Of 1,000 market data messages, before `faults_until`: lost before the socket, sent twice, cut in the middle.
    pub data_lost_per_mille: u64,
    pub data_twice_per_mille: u64,
    pub data_cut_per_mille: u64,
    /// Of 1,000 snapshot requests, before `faults_until`.
    pub snapshot_fails_per_mille: u64,
    pub snapshot_us: (i64, i64),
    /// The venue cancels what rests when the order connection ends.
    pub cancel_on_disconnect: bool,
    /// Mean time between two market events, microseconds.
    pub market_us: i64,
    /// Play the recording of the demo instead of a market made from the seed.
    pub recorded: bool,
    /// Wait before connecting again: the first and the longest.
    pub back_off: (DurationNs, DurationNs),
    /// Planted, to show that the checkers can fail.
    pub defect: Option<Defect>,
    /// Keep a line per event for `Failure`.
    pub trace: bool,
}

/// One thing that goes wrong at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The order connection breaks. Bytes on the way are lost from a random one on, in each direction; the two ends hear of it
    /// at different times, and until then writes may fail or vanish.
    CutOrders,
    /// The order connection goes silent in the named directions and nobody is told; heartbeats find out.
    SilenceOrders {
        to_venue: bool,
        to_engine: bool,
    },
    /// What is sent in this span takes this much longer.
    SlowOrders {
        by: DurationNs,
        lasts: DurationNs,
    },
    /// Nobody listens on the order port.
    RefuseOrders {
        lasts: DurationNs,
    },
    /// A market data connection breaks, or goes silent without a word.
    CutData {
        socket: usize,
    },
    SilenceData {
        socket: usize,
    },
    RefuseData {
        lasts: DurationNs,
    },
    /// The ring from the feed gateway to the core is full.
    FullRing {
        lasts: DurationNs,
    },
    /// A thread does not run.
    StallCore {
        lasts: DurationNs,
    },
    StallOrders {
        lasts: DurationNs,
    },
    StallFeed {
        lasts: DurationNs,
    },
    /// `kill -9`, now or when the point is passed for the `count`-th time from now on.
    Crash {
        point: Option<&'static str>,
        count: u64,
        down: DurationNs,
    },
    /// The operator halts all trading, and lets it go on.
    Halt {
        lasts: DurationNs,
    },
    /// The operator moves the quoter's offset.
    Param,
    /// The model's value goes absent.
    Signal,
}

/// Instants at which `Fault::Crash` can strike beside any time.
pub const CRASH_POINTS: [&str; 6] = ["startup", "after_log_write", "before_send", "after_send", "resend", "reconcile"];

/// A planted defect of the code under test, made from outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A restart believes the message store's inbound number instead of the log's.
    SkipExpectIn,
    /// The session answers a resend request with the orders instead of a gap fill.
    ResendOrders,
    /// A fill that comes with PossDup counts once more, under another ExecID.
    CountPossDupTwice,
    /// The ring to the core loses one execution report in 20.
    LoseReports,
    /// A restart does not say that it is one.
    SkipEpochStart,
    /// Commands leave before the log has them: a crash loses the end of the log.
    LogLate,
    /// The gateway says that a mass status answer is complete before the venue has answered.
    EndMassStatusEarly,
}

impl Options {
    /// A quiet run: delays, no faults.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            faults: Vec::new(),
            faults_until: DurationNs::from_secs(12),
            recover_within: DurationNs::from_secs(5),
            kill_at: DurationNs::from_secs(17),
            end: DurationNs::from_secs(20),
            order_us: (50, 400),
            data_us: [(50, 500), (50, 900)],
            hop_us: (1, 20),
            split_per_mille: 50,
            data_lost_per_mille: 0,
            data_twice_per_mille: 0,
            data_cut_per_mille: 0,
            snapshot_fails_per_mille: 0,
            snapshot_us: (500, 20_000),
            cancel_on_disconnect: false,
            market_us: 12_000,
            recorded: false,
            back_off: (DurationNs::from_millis(100), DurationNs::from_secs(1)),
            defect: None,
            trace: false,
        }
    }

    /// The run of a seed.
    pub fn from_seed(seed: u64) -> Self {
        Self::drawn(seed, (2, 14))
    }

    /// As `from_seed`, with several times as many faults: crashes during recovery, cuts during logon.
    pub fn storm(seed: u64) -> Self {
        Self::drawn(seed, (30, 60))
    }

    fn drawn(seed: u64, faults: (i64, i64)) -> Self {
        let mut rng = Rng::stream(seed, 1);
        let mut options = Self::calm(seed);
        let slow = *rng.pick(&[1, 1, 4, 20]);
        options.order_us = (rng.between(20, 100) * slow, rng.between(100, 800) * slow);
        options.data_us = [(20, rng.between(50, 4_000)), (20, rng.between(50, 4_000))];
        options.hop_us = (0, rng.between(1, 60));
        options.split_per_mille = rng.below(300);
        if rng.chance(700) {
            options.data_lost_per_mille = rng.below(12);
            options.data_twice_per_mille = rng.below(20);
            options.data_cut_per_mille = rng.below(4);
            options.snapshot_fails_per_mille = rng.below(300);
        }
        options.snapshot_us.1 = rng.between(1, 400) * 1_000;
        options.cancel_on_disconnect = rng.chance(200);
        options.market_us = rng.between(6_000, 20_000);
        let count = rng.between(faults.0, faults.1);
        let until = options.faults_until.0;
        options.faults = (0..count).map(|_| draw(&mut rng, until)).collect();
        options.faults.sort_by_key(|(at, _)| *at);
        options
    }

    pub fn with_defect(mut self, defect: Defect) -> Self {
        self.defect = Some(defect);
        self
    }
}

fn draw(rng: &mut Rng, until: i64) -> (DurationNs, Fault) {
    let at = rng.between(300 * MS, until - 1_500 * MS);
    let mut lasts = |from: i64, to: i64| DurationNs::from_millis(rng.between(from, to));
    let (short, long) = (lasts(1, 120), lasts(100, 1_200));
    let fault = match rng.below(100) {
        0..=15 => Fault::CutOrders,
        16..=21 => {
            let to_venue = rng.chance(600);
            Fault::SilenceOrders { to_venue, to_engine: !to_venue || rng.chance(600) }
        }
        22..=27 => Fault::SlowOrders { by: DurationNs::from_millis(rng.between(5, 2_500)), lasts: long },
        28..=32 => Fault::RefuseOrders { lasts: long },
        33..=37 => Fault::CutData { socket: rng.below(2) as usize },
        38..=39 => Fault::SilenceData { socket: rng.below(2) as usize },
        40..=41 => Fault::RefuseData { lasts: long },
        42..=45 => Fault::FullRing { lasts: short },
        46..=49 => Fault::StallCore { lasts: short },
        50..=52 => Fault::StallOrders { lasts: short },
        53 => Fault::StallFeed { lasts: short },
        54..=89 => {
            let point = if rng.chance(750) { Some(*rng.pick(&CRASH_POINTS)) } else { None };
            let many = matches!(point, Some("after_log_write" | "before_send" | "after_send" | "resend"));
            let count = if many { 1 + rng.below(12) } else { 1 };
            Fault::Crash { point, count, down: DurationNs::from_millis(rng.between(1, 900)) }
        }
        90..=93 => Fault::Halt { lasts: long },
        94..=96 => Fault::Param,
        _ => Fault::Signal,
    };
    (DurationNs(at), fault)
}
