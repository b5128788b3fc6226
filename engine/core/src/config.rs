//! What a core must know before its first frame. `tools` fills it from TOML; nothing here reads a file.
use tercel_book::BookConfig;
use tercel_exec::ExecConfig;
use tercel_risk::RiskLimits;
use tercel_types::{AccountId, DurationNs, Instruments, SourceId};

/// One strategy of the run, in configuration order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrategyConfig {
    /// Name in the configuration; the manifest has the name in the source.
    pub name: String,
    pub account: AccountId,
    /// The order session that its orders go to.
    pub gateway: SourceId,
    /// (alias in the source, symbol in the instrument master); an alias that is not listed is bound by kind, base and quote.
    pub bindings: Vec<(String, String)>,
    /// (parameter name, value).
    pub params: Vec<(String, f64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountConfig {
    pub name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    /// The model's name, as strategies bind it.
    pub name: String,
    pub schema: u32,
}

/// Everything a core is made from, apart from the strategies themselves.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    pub epoch: u32,
    pub shard: u8,
    pub instruments: Instruments,
    /// The feed gateway of each instrument, dense by `InstrumentId`.
    pub feeds: Vec<SourceId>,
    pub accounts: Vec<AccountConfig>,
    pub strategies: Vec<StrategyConfig>,
    pub signals: Vec<SignalConfig>,
    pub exec: ExecConfig,
    pub risk: RiskLimits,
    /// Size and checksum of the books; `stale_after` is taken from `feed_stale`.
    pub book: BookConfig,
    /// Orders that the table holds at once, dead ones of the recent past included.
    pub orders_max: usize,
    /// ExecIDs remembered.
    pub exec_ids_max: usize,
    /// A request without an answer for this long leaves its order `Unknown`.
    pub outcome_timeout: DurationNs,
    /// Time between two questions about one unknown order, and between two mass status requests.
    pub status_retry: DurationNs,
    /// A feed without any proof of life for this long is `Stale`.
    pub feed_stale: DurationNs,
    /// A `StateHash` follows every input whose number is a multiple of this, beside the one of every second; 0: only those.
    /// With 1 a replay names the very input that differs, for one cache line of log per input.
    pub hash_every_frames: u64,
    /// Shortest time between two `Resync` commands for one instrument.
    pub resync_retry: DurationNs,
}
