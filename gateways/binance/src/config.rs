//! What a feed needs to know. Whatever differs between the real venue, a test network and the embedded venue stands here
//! and nowhere else: addresses, TLS, stream names.
use std::path::PathBuf;
use tercel_net::Url;
use tercel_types::{InstrumentId, Instruments, Problem, SourceId};

/// One market data source: any number of sockets, one REST address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedConfig {
    pub source: SourceId,
    /// Address of the depth snapshot without its query, such as `https://fapi.binance.com/fapi/v1/depth`.
    pub rest_url: String,
    /// Levels a side that a snapshot asks for.
    pub snapshot_levels: u32,
    pub sockets: Vec<SocketConfig>,
    /// Trust only these certificates (PEM) instead of the public roots.
    pub ca_file: Option<PathBuf>,
    /// SO_BUSY_POLL, microseconds.
    pub busy_poll_us: Option<u32>,
    /// For connecting, and again for the TLS and WebSocket handshakes.
    pub connect_timeout_ms: u32,
    pub snapshot_timeout_ms: u32,
    /// Between attempts to connect or to get a snapshot: the first wait and the largest; it doubles.
    pub backoff_ms_min: u32,
    pub backoff_ms_max: u32,
    /// After connecting, how long to wait for a depth message before asking for a snapshot all the same.
    pub first_depth_wait_ms: u32,
    /// A socket that brought nothing for this long is pinged after half of it and dropped at its end.
    pub silence_ms_max: u32,
    /// Largest message accepted, bytes.
    pub message_len_max: usize,
    /// Room for depth messages that wait for a snapshot, bytes per instrument.
    pub buffer_len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Address without its query, such as `wss://fstream.binance.com/stream`.
    pub ws_url: String,
    /// Such as `btcusdt@depth@0ms`, `btcusdt@bookTicker`, `btcusdt@trade`.
    pub streams: Vec<String>,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            source: tercel_event::sources::FIRST_GATEWAY,
            rest_url: String::new(),
            snapshot_levels: 1_000,
            sockets: Vec::new(),
            ca_file: None,
            busy_poll_us: None,
            connect_timeout_ms: 5_000,
            snapshot_timeout_ms: 5_000,
            backoff_ms_min: 250,
            backoff_ms_max: 10_000,
            first_depth_wait_ms: 1_000,
            silence_ms_max: 10_000,
            message_len_max: 4 << 20,
            buffer_len: 4 << 20,
        }
    }
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    Depth,
    BookTicker,
    Trade,
}

/// A stream name, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub instrument: InstrumentId,
    pub kind: StreamKind,
}

impl Stream {
    /// `None` when the name has another form or names an instrument that is not in the master.
    pub fn parse(name: &str, instruments: &Instruments) -> Option<Self> {
        let mut parts = name.split('@');
        let symbol = parts.next()?.to_ascii_uppercase();
        let kind = match (parts.next()?, parts.next(), parts.next()) {
            ("depth", None, None) => StreamKind::Depth,
            // Partial books (`depth5`) are another stream: they carry no chain.
            ("depth", Some("0ms" | "100ms" | "250ms" | "500ms"), None) => StreamKind::Depth,
            ("bookTicker", None, None) => StreamKind::BookTicker,
            ("trade", None, None) => StreamKind::Trade,
            _ => return None,
        };
        Some(Self { instrument: instruments.by_symbol(&symbol)?.id, kind })
    }
}

impl FeedConfig {
    /// Address of the snapshot of `symbol`.
    pub fn snapshot_url(&self, symbol: &str) -> String {
        format!("{}?symbol={symbol}&limit={}", self.rest_url, self.snapshot_levels)
    }

    /// Every problem at once; empty when the feed can be made.
    pub fn validate(&self, instruments: &Instruments) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut bad = |key: String, seen: String, allowed: &str, help: &str| {
            problems.push(Problem { key, seen, allowed: allowed.into(), help: help.into() });
        };
        match Url::parse(&self.rest_url) {
            Ok(url) if url.websocket || url.path.contains('?') => bad(
                "rest_url".into(),
                format!("`{}`", self.rest_url),
                "an http:// or https:// address without a query",
                "give the address of the depth endpoint; symbol and limit are added",
            ),
            Ok(_) => {}
            Err(error) => bad(
                "rest_url".into(),
                format!("`{}`", self.rest_url),
                "an http:// or https:// address",
                &error.to_string(),
            ),
        }
        if self.sockets.is_empty() {
            bad("sockets".into(), "none".into(), "at least one", "add a socket with its address and streams");
        }
        let mut seen: Vec<(Stream, String)> = Vec::new();
        for (idx, socket) in self.sockets.iter().enumerate() {
            match Url::parse(&socket.ws_url) {
                Ok(url) if url.websocket && !url.path.contains('?') => {}
                Ok(_) => bad(
                    format!("sockets[{idx}].ws_url"),
                    format!("`{}`", socket.ws_url),
                    "a ws:// or wss:// address without a query",
                    "give the address of the combined stream; the stream names are added",
                ),
                Err(error) => bad(
                    format!("sockets[{idx}].ws_url"),
                    format!("`{}`", socket.ws_url),
                    "a ws:// or wss:// address",
                    &error.to_string(),
                ),
            }
            if socket.streams.is_empty() {
                bad(
                    format!("sockets[{idx}].streams"),
                    "none".into(),
                    "at least one",
                    "name a stream or drop the socket",
                );
            }
            for (at, name) in socket.streams.iter().enumerate() {
                let key = format!("sockets[{idx}].streams[{at}]");
                match Stream::parse(name, instruments) {
                    None => bad(
                        key,
                        format!("`{name}`"),
                        "symbol@depth, symbol@depth@0ms|100ms|250ms|500ms, symbol@bookTicker or symbol@trade",
                        "use the symbol of an instrument of this configuration, in lower case",
                    ),
                    Some(stream) => match seen.iter().find(|(s, _)| *s == stream) {
                        Some((_, first)) => {
                            bad(key, format!("`{name}`"), "each stream once", &format!("it is already `{first}`"))
                        }
                        None => seen.push((stream, key)),
                    },
                }
            }
        }
        for (stream, key) in &seen {
            let has_depth = seen.iter().any(|(s, _)| s.instrument == stream.instrument && s.kind == StreamKind::Depth);
            if !has_depth && !problems.iter().any(|p| p.key == *key) {
                problems.push(Problem {
                    key: key.clone(),
                    seen: "an instrument without a depth stream".into(),
                    allowed: "one depth stream for each instrument".into(),
                    help: "the book is made of depth; add `symbol@depth@0ms`".into(),
                });
            }
        }
        for (key, value, lo, hi) in [
            ("snapshot_levels", u64::from(self.snapshot_levels), 5, 5_000),
            ("connect_timeout_ms", u64::from(self.connect_timeout_ms), 1, 60_000),
            ("snapshot_timeout_ms", u64::from(self.snapshot_timeout_ms), 1, 60_000),
            ("backoff_ms_min", u64::from(self.backoff_ms_min), 1, 60_000),
            ("backoff_ms_max", u64::from(self.backoff_ms_max), u64::from(self.backoff_ms_min), 600_000),
            ("first_depth_wait_ms", u64::from(self.first_depth_wait_ms), 0, 60_000),
            ("silence_ms_max", u64::from(self.silence_ms_max), 10, 600_000),
            ("message_len_max", self.message_len_max as u64, 1 << 12, 1 << 26),
            ("buffer_len", self.buffer_len as u64, 1 << 16, 1 << 30),
        ] {
            if !(lo..=hi).contains(&value) {
                problems.push(Problem {
                    key: key.into(),
                    seen: value.to_string(),
                    allowed: format!("{lo} to {hi}"),
                    help: "choose a value in this range".into(),
                });
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel_types::{Calendar, Decimal, FeeRates, Instrument, InstrumentKind, Money, Qty};

    fn instruments() -> Instruments {
        Instruments(vec![Instrument {
            id: InstrumentId(0),
            symbol: "BTCUSD_PERP".into(),
            kind: InstrumentKind::InversePerp,
            base: "BTC".into(),
            quote: "USD".into(),
            settle: "BTC".into(),
            price_step: Decimal { mantissa: 1, scale: 1 },
            lot: Decimal::ONE,
            multiplier: Decimal { mantissa: 100, scale: 0 },
            min_qty: Qty(1),
            min_notional: Money::ZERO,
            fees: FeeRates::default(),
            calendar: Calendar::Always,
        }])
    }

    fn socket(ws_url: &str, streams: &[&str]) -> SocketConfig {
        SocketConfig { ws_url: ws_url.into(), streams: streams.iter().map(|s| (*s).into()).collect() }
    }

    #[test]
    fn a_good_configuration_has_no_problems_and_makes_the_addresses() {
        let config = FeedConfig {
            rest_url: "https://dapi.binance.com/dapi/v1/depth".into(),
            sockets: vec![
                socket("wss://dstream.binance.com/stream", &["btcusd_perp@depth@0ms"]),
                socket("wss://dstream.binance.com/stream", &["btcusd_perp@bookTicker", "btcusd_perp@trade"]),
            ],
            ..FeedConfig::default()
        };
        assert_eq!(config.validate(&instruments()), []);
        let url = config.snapshot_url("BTCUSD_PERP");
        assert_eq!(url, "https://dapi.binance.com/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000");
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let config = FeedConfig {
            rest_url: "ftp://x".into(),
            sockets: vec![
                socket("http://x/stream", &["btcusd_perp@trade", "btcusd_perp@trade"]),
                socket("wss://x/stream?streams=y", &["ethusdt@depth", "btcusd_perp@depth5@100ms"]),
                socket("", &[]),
            ],
            snapshot_levels: 1,
            backoff_ms_min: 100,
            backoff_ms_max: 50,
            ..FeedConfig::default()
        };
        let keys: Vec<String> = config.validate(&instruments()).into_iter().map(|p| p.key).collect();
        let want = [
            "rest_url",
            "sockets[0].ws_url",
            "sockets[0].streams[1]",
            "sockets[1].ws_url",
            "sockets[1].streams[0]",
            "sockets[1].streams[1]",
            "sockets[2].ws_url",
            "sockets[2].streams",
            "sockets[0].streams[0]",
            "snapshot_levels",
            "backoff_ms_max",
        ];
        assert_eq!(keys, want);
        assert_eq!(FeedConfig::default().validate(&instruments()).len(), 2, "no address and no socket");
    }
}
