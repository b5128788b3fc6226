//! The configuration file of `tercel run`: TOML in, checked component settings out. Reference: docs/reference/config.md.
mod reader;
mod risk;

pub use reader::{Located, Source, Table};

use std::path::{Path, PathBuf};
use tercel_binance::{FeedConfig, SocketConfig};
use tercel_core::{AccountConfig, CoreConfig, SignalConfig, StrategyConfig};
use tercel_event::sources;
use tercel_fix::{Credentials, SessionConfig};
use tercel_net::TlsTrust;
use tercel_risk::{AccountLimits, InstrumentLimits, RiskLimits, StrategyLimits};
use tercel_runtime::{Durability, SignalSlotConfig, TopologyConfig};
use tercel_types::{
    AccountId, Calendar, Decimal, DurationNs, FeeRates, Instrument, InstrumentId, InstrumentKind, Instruments, Money,
    Qty, SourceId, TimeNs,
};

/// Everything that one run is made from.
pub struct RunConfig {
    /// Where the configuration was read from, for messages.
    pub file: String,
    /// The text, as it goes into the journal.
    pub text: String,
    pub name: String,
    /// Journal, control socket, kill word, signals.
    pub dir: PathBuf,
    /// Where the sequenced log lies; tmpfs.
    pub log_dir: PathBuf,
    pub log_mb: usize,
    pub segment_mb: u64,
    pub durability: Durability,
    pub speed: u32,
    pub start_at: Option<TimeNs>,
    pub topology: TopologyConfig,
    pub feed: FeedConfig,
    pub session: OrderSession,
    pub strategies: Vec<StrategyEntry>,
    pub signals: Vec<SignalSlotConfig>,
    /// Without the strategies' compiled artefacts.
    pub core: CoreConfig,
}

/// The order session.
pub struct OrderSession {
    pub source: SourceId,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Trust only these certificates (PEM) instead of the public roots.
    pub ca_file: Option<PathBuf>,
    pub fix: SessionConfig,
}

/// One `[[strategy]]`.
pub struct StrategyEntry {
    /// The path as written.
    pub file: String,
    pub source: String,
    /// Where it was read from, for messages.
    pub shown: String,
    /// Line and column of its table in the configuration, and of each of its parameters.
    pub at: (usize, usize),
    pub params_at: Vec<(String, (usize, usize))>,
}

/// Gateways in configuration order: the feed, then the order session.
pub const FEED: SourceId = sources::FIRST_GATEWAY;
pub const ORDERS: SourceId = SourceId(sources::FIRST_GATEWAY.0 + 1);

impl RunConfig {
    /// Reads `path`; strategies and other files are relative to it.
    pub fn load(path: &Path) -> Result<Self, Vec<Located>> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
                let read_file =
                    |file: &str| crate::strategies::read(&base.join(file)).map_err(|error| error.to_string());
                let mut config = Source::new(&shown, &text).read(|root| {
                    check_certificates(root);
                    read_root(root, &shown, &text, &read_file)
                })?;
                for entry in &mut config.strategies {
                    entry.shown = base.join(&entry.file).display().to_string();
                }
                Ok(config)
            }
            Err(error) => Err(vec![Located {
                file: shown,
                line: 0,
                column: 0,
                problem: tercel_types::Problem {
                    key: "--config".into(),
                    seen: error.to_string(),
                    allowed: "a readable TOML file".into(),
                    help: "check the path; docs/reference/config.md has an example".into(),
                },
            }]),
        }
    }

    /// Parses a text; `read_file` finds the strategies that it names. No other file is looked at.
    pub fn parse(
        file: &str,
        text: &str,
        read_file: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Vec<Located>> {
        Source::new(file, text).read(|root| read_root(root, file, text, read_file))
    }
}

/// The files of certificates, which a start needs and the replay of a journal does not.
fn check_certificates(root: &Table<'_>) {
    for section in ["feed", "session"] {
        root.peek(section, |table| {
            let Some(path) = table.peek_str("ca_file") else { return };
            if let Err(error) = TlsTrust::new(Some(Path::new(&path))) {
                table.problem(
                    "ca_file",
                    crate::engine::chain(&error),
                    "a readable PEM file with at least one certificate",
                    "check the path, which is relative to where the program starts; without the key the public roots are trusted",
                );
            }
        });
    }
}

fn read_root(
    root: &Table<'_>,
    file: &str,
    text: &str,
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> RunConfig {
    let (name, dir, log_dir, log_mb, segment_mb, durability) = root
        .table("run", |run| {
            (
                run.str("name"),
                PathBuf::from(run.str("dir")),
                PathBuf::from(run.str_or("log_dir", "/dev/shm")),
                run.int_or("log_mb", 1..65_537, 64) as usize,
                run.int_or("segment_mb", 1..65_537, 256) as u64,
                run.word_or("durability", Durability::WORDS, Durability::Memory),
            )
        })
        .unwrap_or_default();
    let (speed, start_at) = root
        .table_opt("clock", |clock| {
            (clock.int_or("speed", 1..101, 1) as u32, clock.int_opt("start_at_ns", 0..i64::MAX).map(TimeNs))
        })
        .unwrap_or((1, None));
    let topology = root.table_opt("topology", read_topology).unwrap_or_default();
    let (instruments, instrument_limits) = read_instruments(root);
    let feed = root.table("feed", |table| read_feed(table, &instruments)).unwrap_or_default();
    let (accounts, account_limits): (Vec<_>, Vec<_>) = read_accounts(root, &instruments).into_iter().unzip();
    let session = root.table("session", read_session).unwrap_or_else(|| OrderSession {
        source: ORDERS,
        host: String::new(),
        port: 0,
        tls: false,
        ca_file: None,
        fix: SessionConfig::initiator("", ""),
    });
    let signals = read_signals(root);
    let names: Vec<String> = accounts.iter().map(|account| account.name.clone()).collect();
    let mut strategies = Vec::new();
    let mut strategy_configs = Vec::new();
    let mut strategy_limits = Vec::new();
    for (entry, config, limits) in read_strategies(root, &names, &instruments, read_file) {
        strategies.push(entry);
        strategy_configs.push(config);
        strategy_limits.push(limits);
    }
    let firm = root.table("risk", risk::read_scope).unwrap_or_default();
    let limits = RiskLimits {
        capacity: (firm.max_open_orders as usize).next_power_of_two().max(64),
        firm,
        accounts: account_limits,
        strategies: strategy_limits,
        instruments: instrument_limits,
    };
    let mut core = core_defaults(instruments, accounts, strategy_configs, limits);
    core.signals = signals
        .iter()
        .map(|signal| SignalConfig { name: signal.model.clone(), schema: u32::from(signal.schema) })
        .collect();
    root.table_opt("core", |table| read_core(table, &mut core));
    RunConfig {
        file: file.into(),
        text: text.into(),
        name,
        dir,
        log_dir,
        log_mb,
        segment_mb,
        durability,
        speed,
        start_at,
        topology,
        feed,
        session,
        strategies,
        signals,
        core,
    }
}

fn read_topology(table: &Table<'_>) -> TopologyConfig {
    let cpu = |key: &str| table.int_opt(key, 0..1024).map(|cpu| cpu as usize);
    let wait = table.str_opt("wait").and_then(|word| {
        let found = tercel_ring::WaitStrategy::from_word(&word);
        if found.is_none() && word != "auto" {
            table.problem("wait", format!("`{word}`"), "auto, spin, spin-then-yield, park", "choose one of them");
        }
        found
    });
    let config = TopologyConfig {
        wait,
        core_cpu: cpu("core_cpu"),
        feed_cpu: cpu("feed_cpu"),
        order_cpu: cpu("order_cpu"),
        journal_cpu: cpu("journal_cpu"),
    };
    table.add(config.validate(cpus()));
    config
}

/// Processors that this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn read_instruments(root: &Table<'_>) -> (Instruments, Vec<InstrumentLimits>) {
    const KINDS: &[(&str, InstrumentKind)] = &[
        ("spot", InstrumentKind::Spot),
        ("linear_perp", InstrumentKind::LinearPerp),
        ("inverse_perp", InstrumentKind::InversePerp),
    ];
    if !root.has("instrument") {
        root.problem("instrument", "nothing", "at least one `[[instrument]]`", "describe what is traded");
    }
    let mut settle: Option<String> = None;
    let (mut list, limits): (Vec<Instrument>, Vec<InstrumentLimits>) = root
        .tables("instrument", |table| {
            let lot = table.decimal("lot");
            let quote = table.str("quote");
            let price_step = table.decimal("price_step");
            for (key, value) in [("price_step", price_step), ("lot", lot)] {
                if value.mantissa <= 0 {
                    table.problem(key, value.to_string(), "a decimal above 0", "give the venue's step");
                }
            }
            let qty = |key: &str, default: i64| match table.str_opt(key) {
                None => Qty(default),
                Some(text) => lot.count_of(text.as_bytes()).map(Qty).unwrap_or_else(|error| {
                    table.problem(
                        key,
                        format!("{text:?} ({error})"),
                        format!("a multiple of the lot {lot}"),
                        "change the value",
                    );
                    Qty(default)
                }),
            };
            let fee = |key: &str| match table.decimal_opt(key) {
                None => 0,
                // bps are 10^-4, rates are kept in 10^-8.
                Some(bps) => {
                    Decimal { mantissa: 1, scale: 4 }.count_of(bps.to_string().as_bytes()).unwrap_or_else(|error| {
                        table.problem(
                            key,
                            format!("{bps} ({error})"),
                            "basis points with at most 4 decimals",
                            "round it",
                        );
                        0
                    })
                }
            };
            let instrument = Instrument {
                id: InstrumentId(0),
                symbol: table.str("symbol"),
                kind: table.word_or("kind", KINDS, InstrumentKind::LinearPerp),
                base: table.str("base"),
                settle: table.str_or("settle", &quote),
                quote,
                price_step,
                multiplier: table.decimal_opt("multiplier").unwrap_or(Decimal::ONE),
                min_qty: qty("min_qty", 1),
                min_notional: table.decimal_opt("min_notional").map_or(Money::ZERO, money),
                fees: FeeRates { maker_e8: fee("fee_maker_bps"), taker_e8: fee("fee_taker_bps") },
                calendar: table.word_or("calendar", &[("always", Calendar::Always)], Calendar::Always),
                lot,
            };
            let limits = table.table("limits", |limits| risk::read_instrument(limits, lot)).unwrap_or_default();
            // Limits, losses and profit are sums over instruments, so all of them count one currency.
            let settle = settle.get_or_insert_with(|| instrument.settle.clone());
            if !instrument.settle.is_empty() && *settle != instrument.settle {
                let key = if table.has("settle") { "settle" } else { "quote" };
                table.problem(
                    key,
                    format!("settlement in {}", instrument.settle),
                    format!("{settle}, as the first instrument: the limits of firm, accounts and strategies are in one currency"),
                    "run instruments of another settlement currency with a configuration of their own",
                );
            }
            (instrument, limits)
        })
        .into_iter()
        .unzip();
    for (at, instrument) in list.iter_mut().enumerate() {
        instrument.id = InstrumentId(at as u32);
    }
    (Instruments(list), limits)
}

/// A decimal amount of a currency; more than 12 decimals are cut.
pub fn money(value: Decimal) -> Money {
    let scale = i32::from(value.scale);
    let mantissa = i128::from(value.mantissa);
    Money(if scale <= 12 {
        mantissa * 10i128.pow((12 - scale) as u32)
    } else {
        mantissa / 10i128.pow((scale - 12) as u32)
    })
}

fn read_feed(table: &Table<'_>, instruments: &Instruments) -> FeedConfig {
    let defaults = FeedConfig::default();
    table.word_or("kind", &[("binance", ())], ());
    let millis = |key: &str, default: u32| table.int_or(key, 1..3_600_001, i64::from(default)) as u32;
    let feed = FeedConfig {
        source: FEED,
        rest_url: table.str("rest_url"),
        snapshot_levels: table.int_or("snapshot_levels", 5..5_001, i64::from(defaults.snapshot_levels)) as u32,
        sockets: table.tables("socket", |socket| SocketConfig {
            ws_url: socket.str("ws_url"),
            streams: socket.strings("streams"),
        }),
        ca_file: table.str_opt("ca_file").map(PathBuf::from),
        busy_poll_us: table.int_opt("busy_poll_us", 1..1_001).map(|us| us as u32),
        connect_timeout_ms: millis("connect_timeout_ms", defaults.connect_timeout_ms),
        snapshot_timeout_ms: millis("snapshot_timeout_ms", defaults.snapshot_timeout_ms),
        backoff_ms_min: millis("backoff_ms_min", defaults.backoff_ms_min),
        backoff_ms_max: millis("backoff_ms_max", defaults.backoff_ms_max),
        first_depth_wait_ms: millis("first_depth_wait_ms", defaults.first_depth_wait_ms),
        silence_ms_max: millis("silence_ms_max", defaults.silence_ms_max),
        message_len_max: defaults.message_len_max,
        buffer_len: defaults.buffer_len,
    };
    table.add(feed.validate(instruments));
    feed
}

fn read_accounts(root: &Table<'_>, instruments: &Instruments) -> Vec<(AccountConfig, AccountLimits)> {
    if !root.has("account") {
        root.problem("account", "nothing", "at least one `[[account]]`", "name the account that the orders are for");
    }
    root.tables("account", |table| {
        let limits = AccountLimits {
            scope: table.table("limits", risk::read_scope).unwrap_or_default(),
            positions: risk::read_positions(table, instruments),
        };
        (AccountConfig { name: table.str("name") }, limits)
    })
}

fn read_session(table: &Table<'_>) -> OrderSession {
    table.word_or("kind", &[("fix44", ())], ());
    let mut fix = SessionConfig::initiator(&table.str("sender_comp_id"), &table.str("target_comp_id"));
    fix.heart_bt_int_s = table.int_or("heart_bt_int_s", 1..3_601, 30) as u32;
    fix.reset_on_logon = table.bool_or("reset_on_logon", false);
    let username = table.str_opt("username");
    // Secrets never stand in the file: it names the environment variable that holds them.
    if let Some(variable) = table.str_opt("password_env") {
        match (std::env::var(&variable), username) {
            (Ok(password), Some(username)) => fix.credentials = Some(Credentials { username, password }),
            (Ok(_), None) => {
                table.problem("username", "nothing", "a user name beside `password_env`", "add `username = \"…\"`")
            }
            (Err(_), _) => table.problem(
                "password_env",
                format!("`{variable}`, which is not set"),
                "the name of an environment variable that holds the password",
                "set it before the start",
            ),
        }
    }
    table.add(fix.validate());
    OrderSession {
        source: ORDERS,
        host: table.str("host"),
        port: table.int("port", 1..65_536) as u16,
        tls: table.bool_or("tls", false),
        ca_file: table.str_opt("ca_file").map(PathBuf::from),
        fix,
    }
}

fn read_signals(root: &Table<'_>) -> Vec<SignalSlotConfig> {
    root.tables("signal", |table| {
        let config = SignalSlotConfig {
            model: table.str("model"),
            slot_idx: table.int("slot", 0..1_024) as usize,
            schema: table.int("schema", 0..65_536) as u16,
            lo: table.float_opt("lo").unwrap_or(f64::MIN),
            hi: table.float_opt("hi").unwrap_or(f64::MAX),
        };
        table.add(config.validate());
        config
    })
}

fn read_strategies(
    root: &Table<'_>,
    accounts: &[String],
    instruments: &Instruments,
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> Vec<(StrategyEntry, StrategyConfig, StrategyLimits)> {
    if !root.has("strategy") {
        root.problem("strategy", "nothing", "at least one `[[strategy]]`", "name a `.strat` file");
    }
    root.tables("strategy", |table| {
        let file = table.str("file");
        let source = read_file(&file).unwrap_or_else(|error| {
            table.problem(
                "file",
                format!("`{file}`: {error}"),
                "a readable strategy",
                "check the path; it is relative to this file",
            );
            String::new()
        });
        let wanted = table.str("account");
        let account = accounts.iter().position(|name| *name == wanted).unwrap_or_else(|| {
            table.problem("account", format!("`{wanted}`"), accounts.join(", "), "name one of the accounts");
            0
        });
        let bindings = table.table_opt("instruments", Table::entries_str).unwrap_or_default();
        for (alias, symbol) in &bindings {
            if instruments.by_symbol(symbol).is_none() {
                table.problem(
                    "instruments",
                    format!("{alias} = `{symbol}`"),
                    symbols(instruments),
                    "add it as `[[instrument]]`",
                );
            }
        }
        let (params, params_at) =
            table.table_opt("params", |params| (params.entries(), params.places())).unwrap_or_default();
        let config = StrategyConfig {
            name: file.clone(),
            account: AccountId(account as u16),
            gateway: ORDERS,
            bindings,
            params,
        };
        let limits = StrategyLimits {
            accounts: vec![config.account],
            scope: table.table("limits", risk::read_scope).unwrap_or_default(),
            positions: risk::read_positions(table, instruments),
            duplicate_window: Some(DurationNs::from_millis(table.int_or("duplicate_window_ms", 0..60_001, 0))),
        };
        let entry = StrategyEntry { shown: file.clone(), file, source, at: table.place("file"), params_at };
        (entry, config, limits)
    })
}

/// The symbols of the run, for messages.
fn symbols(instruments: &Instruments) -> String {
    let known: Vec<&str> =
        instruments.0.iter().map(|i| i.symbol.as_str()).filter(|symbol| !symbol.is_empty()).collect();
    if known.is_empty() { "a symbol of an `[[instrument]]`".to_owned() } else { known.join(", ") }
}

fn read_core(table: &Table<'_>, core: &mut CoreConfig) {
    let millis = |key: &str, default: DurationNs| {
        DurationNs::from_millis(table.int_or(key, 1..86_400_001, default.0 / 1_000_000))
    };
    core.outcome_timeout = millis("outcome_timeout_ms", core.outcome_timeout);
    core.status_retry = millis("status_retry_ms", core.status_retry);
    core.feed_stale = millis("feed_stale_ms", core.feed_stale);
    core.resync_retry = millis("resync_retry_ms", core.resync_retry);
    core.exec.retry = millis("order_retry_ms", core.exec.retry);
    core.exec.backoff = millis("refusal_backoff_ms", core.exec.backoff);
    core.exec.refill = DurationNs::from_millis(table.int_or("refill_delay_ms", 0..60_001, 0));
    core.orders_max = table.int_or("orders_max", 64..(1 << 20), core.orders_max as i64) as usize;
    core.book.capacity = table.int_or("book_levels", 16..(1 << 20), core.book.capacity as i64) as usize;
    table.add(core.exec.validate());
}

/// The settings of a core that a file need not name.
pub fn core_defaults(
    instruments: Instruments,
    accounts: Vec<AccountConfig>,
    strategies: Vec<StrategyConfig>,
    risk: RiskLimits,
) -> CoreConfig {
    CoreConfig {
        epoch: 1,
        shard: 0,
        feeds: vec![FEED; instruments.len()],
        instruments,
        accounts,
        strategies,
        signals: Vec::new(),
        exec: Default::default(),
        risk,
        book: Default::default(),
        orders_max: 4_096,
        exec_ids_max: 1 << 16,
        outcome_timeout: DurationNs::from_secs(3),
        status_retry: DurationNs::from_secs(2),
        feed_stale: DurationNs::from_secs(5),
        hash_every_frames: 1,
        resync_retry: DurationNs::from_millis(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<Located> {
        let source = |_: &str| Ok("strategy s version 1 {}".to_owned());
        RunConfig::parse("t.toml", text, &source).err().unwrap_or_default()
    }

    /// Whatever one value of a good file is replaced by, and whichever key is missing: each key is found once.
    #[test]
    fn no_finding_is_repeated() {
        let texts = [("s.strat".to_owned(), String::new())];
        let good = crate::demo::config_text(1, Path::new("here"), &texts, 9, 9, 0);
        assert_eq!(problems_of(&good), []);
        let lines: Vec<&str> = good.lines().collect();
        let mut judged = 0;
        for (at, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) else { continue };
            let values = [
                "\"\"",
                "\"nonsense\"",
                "\"0\"",
                "\"-1\"",
                "-1",
                "0",
                "70000",
                "1.5",
                "true",
                "[]",
                "[1, 2]",
                "[\"a\", 1]",
                "{}",
            ];
            let mended = values.iter().map(|value| format!("{key} = {value}")).chain([String::new()]);
            for mended in mended {
                let mut changed = lines.clone();
                changed[at] = &mended;
                let found = problems_of(&changed.join("\n"));
                let mut keys: Vec<&str> = found.iter().map(|located| located.problem.key.as_str()).collect();
                keys.sort_unstable();
                keys.dedup();
                let told: Vec<String> = found.iter().map(ToString::to_string).collect();
                assert_eq!(keys.len(), found.len(), "`{line}` as `{mended}`:\n{}", told.join("\n"));
                judged += found.len();
            }
        }
        assert!(judged > 300, "{judged}");
    }

    #[test]
    fn all_instruments_settle_in_one_currency() {
        let texts = [("s.strat".to_owned(), String::new())];
        let good = crate::demo::config_text(1, Path::new("here"), &texts, 9, 9, 0);
        let (from, to) = (good.find("[[instrument]]").unwrap(), good.find("# For the exchange").unwrap());
        let second = good[from..to].replace("BTCUSDT", "BTCUSDC").replace("quote = \"USDT\"", "quote = \"USDC\"");
        let text = format!("{}{second}{}", &good[..to], &good[to..]);
        let found = problems_of(&text);
        let line = 1 + text.lines().position(|line| line == "quote = \"USDC\"").unwrap();
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|told| told.starts_with(&format!(
                "t.toml:{line}:9: `instrument[1].quote`: found settlement in USDC, allowed is USDT, as the first instrument"
            ))),
            "{told:#?}"
        );
    }
}
