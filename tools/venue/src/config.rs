use crate::Fault;
use std::path::PathBuf;
use tercel_sim::QueueModel;
use tercel_types::{
    Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Problem, Qty, TimeNs,
};

/// When the playback starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this UTC time, which the engine shares when the playback is faster than 1×.
    At(TimeNs),
    /// When the first market data subscription arrives.
    FirstSubscriber,
}

#[derive(Clone, Debug)]
pub struct VenueConfig {
    pub recording: PathBuf,
    pub instrument: Instrument,
    /// Playback speed, ≥ 1.
    pub speed: u32,
    pub start: Start,
    /// Loopback ports; 0 takes a free one.
    pub http_port: u16,
    pub fix_port: u16,
    /// CompIDs of the venue and of its client.
    pub comp_id: String,
    pub client_comp_id: String,
    pub queue: QueueModel,
    pub cancel_on_disconnect: bool,
    pub faults: Vec<Fault>,
    /// Folder of the venue's log; also holds the message store of the session.
    pub log_folder: PathBuf,
}

impl VenueConfig {
    pub fn new(recording: PathBuf, instrument: Instrument, log_folder: PathBuf) -> Self {
        Self {
            recording,
            instrument,
            speed: 1,
            start: Start::FirstSubscriber,
            http_port: 0,
            fix_port: 0,
            comp_id: "VENUE".into(),
            client_comp_id: "TERCEL".into(),
            queue: QueueModel::Conservative,
            cancel_on_disconnect: false,
            faults: Vec::new(),
            log_folder,
        }
    }

    /// Every problem at once; keys are below `venue`.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.session().validate();
        for problem in &mut problems {
            problem.key = format!("venue.{}", problem.key);
        }
        let mut problem = |key: &str, seen: String, allowed: &str, help: &str| {
            problems.push(Problem {
                key: format!("venue.{key}"),
                seen: format!("`{seen}`"),
                allowed: allowed.into(),
                help: help.into(),
            });
        };
        if !(1..=10_000).contains(&self.speed) {
            problem("speed", self.speed.to_string(), "1 to 10000", "1 plays as it happened");
        }
        if !self.recording.is_file() {
            let seen = self.recording.display().to_string();
            problem("recording", seen, "an existing file", "name a recorded Binance file, plain or `.gz`");
        }
        if self.http_port != 0 && self.http_port == self.fix_port {
            problem("fix_port", self.fix_port.to_string(), "a port of its own", "0 takes a free one");
        }
        problems
    }

    pub(crate) fn session(&self) -> tercel_fix::SessionConfig {
        tercel_fix::SessionConfig::acceptor(&self.comp_id, &self.client_comp_id)
    }
}

/// The perpetual of the demo's recording, with the venue's public contract terms and its base fee tier.
pub fn btcusdt_perp() -> Instrument {
    Instrument {
        id: InstrumentId(0),
        symbol: "BTCUSDT".into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal { mantissa: 1, scale: 1 },
        lot: Decimal { mantissa: 1, scale: 3 },
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::from_whole(50),
        fees: FeeRates { maker_e8: 20_000, taker_e8: 50_000 },
        calendar: Calendar::Always,
    }
}
