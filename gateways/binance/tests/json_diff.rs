//! The decoder against serde_json: on every message of the real recordings, and on messages that were reordered, spread out
//! with blanks, damaged or cut.
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use tercel_binance::json::{BookTicker, Decoder, Depth, Malformed, Message, Trade, Why};
use tercel_binance::recording::{LineKind, Recording};
use tercel_event::Level;
use tercel_types::{
    Calendar, Decimal, FeeRates, Instrument, InstrumentId, InstrumentKind, Money, Price, Qty, Side, TimeNs,
};

fn instrument(id: u32, symbol: &str, price_step: &str, lot: &str) -> Instrument {
    Instrument {
        id: InstrumentId(id),
        symbol: symbol.into(),
        kind: InstrumentKind::LinearPerp,
        base: "BTC".into(),
        quote: "USDT".into(),
        settle: "USDT".into(),
        price_step: Decimal::parse(price_step.as_bytes()).unwrap(),
        lot: Decimal::parse(lot.as_bytes()).unwrap(),
        multiplier: Decimal::ONE,
        min_qty: Qty(1),
        min_notional: Money::ZERO,
        fees: FeeRates::default(),
        calendar: Calendar::Always,
    }
}

/// USD-M, COIN-M and spot have different steps; spot shares its symbol with USD-M, so it gets a decoder of its own.
fn decoders() -> [(Vec<Instrument>, Decoder); 2] {
    [
        vec![instrument(4, "BTCUSDT", "0.10", "0.001"), instrument(9, "BTCUSD_PERP", "0.1", "1")],
        vec![instrument(1, "BTCUSDT", "0.01", "0.00000001")],
    ]
    .map(|list| (list.clone(), Decoder::new(&list)))
}

const KEYS: [&str; 14] = ["e", "s", "E", "U", "u", "pu", "b", "a", "B", "A", "t", "p", "q", "m"];

/// What serde_json makes of a message: the three kinds with exact numbers, `None` for everything else.
fn reference(instruments: &[Instrument], bytes: &[u8]) -> Option<(Message, Vec<Level>)> {
    let whole: Value = serde_json::from_slice(bytes).ok()?;
    let object = whole.as_object()?;
    let m = match object.get("data") {
        // Members of a message beside an envelope would make two messages of one.
        Some(Value::Object(_)) if KEYS.iter().any(|key| object.contains_key(*key)) => return None,
        Some(Value::Object(inner)) => inner,
        _ => object,
    };
    let id = |key: &str| m.get(key).and_then(Value::as_u64).filter(|&v| v < 10_000_000_000_000_000_000);
    let found = instruments.iter().find(|i| Some(i.symbol.as_str()) == m.get("s").and_then(Value::as_str))?;
    let price = |v: &Value| found.price_step.count_of(v.as_str()?.as_bytes()).ok().map(Price);
    let qty = |v: &Value| found.lot.count_of(v.as_str()?.as_bytes()).ok().filter(|&q| q >= 0).map(Qty);
    let time = |ms: u64| i64::try_from(ms).ok()?.checked_mul(1_000_000).map(TimeNs);
    let side = |key: &str| {
        m.get(key)?
            .as_array()?
            .iter()
            .map(|level| match level.as_array()?.as_slice() {
                [px, q] => Some(Level { px: price(px)?, qty: qty(q)? }),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
    };
    let instrument = found.id;
    match m.get("e") {
        Some(Value::String(e)) if e == "depthUpdate" => {
            let (bids, asks) = (side("b")?, side("a")?);
            let prev_update_id = match m.get("pu") {
                None => None,
                Some(_) => Some(id("pu")?),
            };
            let depth = Depth {
                instrument,
                first_update_id: id("U")?,
                last_update_id: id("u")?,
                prev_update_id,
                ts_exchange: time(id("E")?)?,
                bids_count: bids.len(),
                asks_count: asks.len(),
            };
            Some((Message::Depth(depth), [bids, asks].concat()))
        }
        Some(Value::String(e)) if e == "trade" => Some((
            Message::Trade(Trade {
                instrument,
                trade_id: id("t")?,
                px: price(m.get("p")?)?,
                qty: qty(m.get("q")?)?,
                aggressor: if m.get("m")?.as_bool()? { Side::Sell } else { Side::Buy },
                ts_exchange: time(id("E")?)?,
            }),
            Vec::new(),
        )),
        e => {
            // Spot sends its best quotes without a name; with `t` or `U` it would be another message.
            let named = e.and_then(Value::as_str) == Some("bookTicker");
            if !named && (e.is_some() || m.contains_key("t") || m.contains_key("U")) {
                return None;
            }
            let ts = match m.get("E") {
                None if !named => 0,
                _ => id("E")?,
            };
            Some((
                Message::BookTicker(BookTicker {
                    instrument,
                    update_id: id("u")?,
                    bid_px: price(m.get("b")?)?,
                    bid_qty: qty(m.get("B")?)?,
                    ask_px: price(m.get("a")?)?,
                    ask_qty: qty(m.get("A")?)?,
                    ts_exchange: time(ts)?,
                }),
                Vec::new(),
            ))
        }
    }
}

fn fault_of_value(bytes: &[u8]) -> String {
    serde_json::from_slice::<Value>(bytes).err().map(|e| e.to_string()).unwrap_or_default()
}

/// True when an object has a key twice, which `Value` lets pass and we do not.
fn has_twins(bytes: &[u8]) -> bool {
    struct Unique;
    impl<'de> serde::Deserialize<'de> for Unique {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(Unique)
        }
    }
    impl<'de> serde::de::Visitor<'de> for Unique {
        type Value = Self;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("JSON without twins")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
            let mut seen = std::collections::BTreeSet::new();
            while let Some((key, Unique)) = map.next_entry::<String, Unique>()? {
                if !seen.insert(key) {
                    return Err(serde::de::Error::custom("twins"));
                }
            }
            Ok(self)
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
            while seq.next_element::<Unique>()?.is_some() {}
            Ok(self)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self, E> {
            Ok(self)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
            Ok(self)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
            Ok(self)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
            Ok(self)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
            Ok(self)
        }
        fn visit_unit<E>(self) -> Result<Self, E> {
            Ok(self)
        }
    }
    serde_json::from_slice::<Unique>(bytes).is_err_and(|e| e.to_string().starts_with("twins"))
}

fn ours(decoder: &mut Decoder, bytes: &[u8], room: &mut [Level]) -> Result<(Message, Vec<Level>), Malformed> {
    let message = decoder.decode(bytes, room)?;
    let count = match &message {
        Message::Depth(depth) => depth.bids_count + depth.asks_count,
        _ => 0,
    };
    Ok((message, room[..count].to_vec()))
}

/// Whatever we read, serde_json reads the same; whatever it reads, we read or refuse for a reason that it does not have.
fn compare(set: &mut (Vec<Instrument>, Decoder), bytes: &[u8], room: &mut [Level]) -> Result<(), String> {
    let want = reference(&set.0, bytes);
    match (ours(&mut set.1, bytes, room), want) {
        (Ok((Message::Other | Message::Foreign, _)), None) | (Err(_), None) => Ok(()),
        (Ok(got), Some(want)) if got == want => Ok(()),
        (Err(Malformed { why: Why::Escape | Why::Depth, .. }), Some(_)) => Ok(()),
        (Err(_), Some(_)) if has_twins(bytes) => Ok(()),
        // `1e999` under a key that we do not read: JSON, but no `f64`.
        (Ok(_), None) if fault_of_value(bytes).starts_with("number out of range") => Ok(()),
        (got, want) => Err(format!("{}\nours {got:?}\nserde {want:?}", String::from_utf8_lossy(bytes))),
    }
}

fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TERCEL_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let path = root.join("l2").join(name);
    if !path.exists() {
        println!("skipped: no {name} under {}; set TERCEL_DATA", root.display());
        return None;
    }
    Some(path)
}

#[test]
fn every_message_of_the_recordings_reads_as_serde_json_reads_it() {
    let mut sets = decoders();
    let mut room = vec![Level::default(); 8_192];
    for name in [
        "binance_usdm_btcusdt_20240808.jsonts.gz",
        "binance_coinm_btcusd_perp_20240808.jsonts.gz",
        "binance_coinm_btcusd_perp_20240809.jsonts.gz",
        "binance_spot_btcusdt_20240808.jsonts.gz",
        "binance_spot_btcusdt_20240809.jsonts.gz",
    ] {
        let Some(path) = data(name) else { continue };
        let mut recording = Recording::open(&[path]).unwrap();
        let mut counts = [0u32; 4];
        let set = &mut sets[usize::from(name.contains("spot"))];
        while let Some(line) = recording.next_line() {
            let line = line.unwrap();
            if line.kind == LineKind::Snapshot {
                let first = set.0.iter().find(|i| (i.symbol == "BTCUSD_PERP") == name.contains("coinm")).unwrap();
                let got = set.1.snapshot(first.id, line.json, &mut room).unwrap();
                let want: Value = serde_json::from_slice(line.json).unwrap();
                assert_eq!(Some(got.last_update_id), want["lastUpdateId"].as_u64());
                let mut at = 0;
                for (key, count) in [("bids", got.bids_count), ("asks", got.asks_count)] {
                    let levels = want[key].as_array().unwrap();
                    assert_eq!(levels.len(), count);
                    for level in levels {
                        let px = first.price_step.count_of(level[0].as_str().unwrap().as_bytes()).unwrap();
                        let qty = first.lot.count_of(level[1].as_str().unwrap().as_bytes()).unwrap();
                        assert_eq!(room[at], Level { px: Price(px), qty: Qty(qty) });
                        at += 1;
                    }
                }
                counts[3] += 1;
                continue;
            }
            let got = ours(&mut set.1, line.json, &mut room).unwrap_or_else(|e| panic!("{name}:{}: {e}", line.line_no));
            assert_eq!(Some(&got), reference(&set.0, line.json).as_ref(), "{name}:{}", line.line_no);
            assert_eq!(
                set.1.decode_any(line.json, &mut room),
                Ok(got.0),
                "{name}:{}: the two ways differ",
                line.line_no
            );
            assert_eq!(room[..got.1.len()], got.1, "{name}:{}: the two ways differ", line.line_no);
            match got.0 {
                Message::Depth(_) => counts[0] += 1,
                Message::BookTicker(_) => counts[1] += 1,
                Message::Trade(_) => counts[2] += 1,
                other => panic!("{name}:{}: {other:?}", line.line_no),
            }
        }
        let [depths, tickers, trades, snapshots] = counts;
        println!("{name}: {depths} depth, {tickers} bookTicker, {trades} trade, {snapshots} snapshot: all equal");
    }
}

const SAMPLES: [&str; 6] = [
    r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"],["61496.50","0.010"],["61510.90","0.000"]],"a":[["61641.50","1.211"],["161652.80","1000.195"]]}}"#,
    r#"{"e":"depthUpdate","E":1723161257440,"T":1723161257432,"s":"BTCUSD_PERP","ps":"BTCUSD","U":1007198631260,"u":1007198631565,"pu":1007198631198,"b":[["61773.6","1001"]],"a":[]}"#,
    r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#,
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#,
    r#"{"e":"trade","E":1723161257687,"T":1723161257679,"s":"BTCUSD_PERP","t":849714402,"p":"61804.8","q":"4","X":"MARKET","m":true}"#,
    r#"{"u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510"}"#,
];

/// Writes a value with the members of every object in an order, and blanks in places, that `dice` chooses.
fn scatter(value: &Value, dice: &mut impl FnMut(usize) -> usize, out: &mut String) {
    let blank = |out: &mut String, dice: &mut dyn FnMut(usize) -> usize| {
        if dice(3) == 0 {
            out.push_str([" ", "\n", "\t", "\r\n "][dice(4)]);
        }
    };
    blank(out, dice);
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            for at in (1..members.len()).rev() {
                members.swap(at, dice(at + 1));
            }
            out.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                blank(out, dice);
                write!(out, "\"{key}\"").unwrap();
                blank(out, dice);
                out.push(':');
                scatter(value, dice, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                scatter(item, dice, out);
            }
            out.push(']');
        }
        other => write!(out, "{other}").unwrap(),
    }
    if dice(3) == 0 {
        out.push(' ');
    }
}

#[test]
fn order_and_blanks_do_not_matter_prop() {
    let extras: [(&str, Value); 4] = [
        ("x", serde_json::json!({"deep": [1, {"b": "1"}], "n": null})),
        ("extra", serde_json::json!("a \"quoted\" \\ text \u{e9}")),
        ("T", serde_json::json!(-1.5e300)),
        ("z", serde_json::json!([[], {}, true])),
    ];
    let mut runner = TestRunner::new(Config { cases: 3_000, failure_persistence: None, ..Config::default() });
    let strategy = (0..SAMPLES.len(), 0..16u32, prop::collection::vec(any::<u16>(), 400));
    runner
        .run(&strategy, |(sample, with, rolls)| {
            let mut sets = decoders();
            let mut value: Value = serde_json::from_str(SAMPLES[sample]).unwrap();
            let message = if value.get("data").is_some() { &mut value["data"] } else { &mut value };
            for (bit, (key, extra)) in extras.iter().enumerate() {
                if with >> bit & 1 == 1 {
                    message[*key] = extra.clone();
                }
            }
            let (mut text, mut at) = (String::new(), 0);
            let mut dice = |n: usize| {
                at = (at + 1) % rolls.len();
                usize::from(rolls[at]) % n
            };
            scatter(&value, &mut dice, &mut text);
            let mut room = [Level::default(); 64];
            let got = ours(&mut sets[0].1, text.as_bytes(), &mut room);
            let plain = ours(&mut sets[0].1, SAMPLES[sample].as_bytes(), &mut [Level::default(); 64]).unwrap();
            prop_assert_eq!(got, Ok(plain), "{}", text);
            compare(&mut sets[0], text.as_bytes(), &mut room).map_err(TestCaseError::fail)
        })
        .unwrap();
}

/// A small generator of its own, so that a failure is named by one number.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

/// Damages `text`: bytes changed, cut out, doubled, swapped with a piece of another message.
fn damage(rng: &mut Rng, text: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\"\\{}[]:,0123456789.-+eEuUbaABpqmtsl \n\0\x80\xff";
    for _ in 0..1 + rng.below(3) {
        let (at, len) = (rng.below(text.len()), 1 + rng.below(12));
        let to = (at + len).min(text.len());
        match rng.below(7) {
            0 if !text.is_empty() => text[at] = BYTES[rng.below(BYTES.len())],
            1 => text.insert(at, BYTES[rng.below(BYTES.len())]),
            2 => drop(text.drain(at..to)),
            3 => text.truncate(at),
            4 => {
                let piece = text[at..to].to_vec();
                text.splice(at..at, piece);
            }
            5 => {
                let other = SAMPLES[rng.below(SAMPLES.len())].as_bytes();
                let from = rng.below(other.len());
                text.splice(at..to, other[from..(from + len).min(other.len())].iter().copied());
            }
            _ if !text.is_empty() => text[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
}

#[test]
fn damaged_messages_never_panic_and_never_read_differently_fuzz() {
    let mut sets = decoders();
    let rounds = if std::env::var_os("TERCEL_SOAK").is_some() { 20_000_000 } else { 200_000 };
    let mut room = vec![Level::default(); 64];
    let (mut read, mut refused) = (0u64, 0u64);
    let mut rng = Rng(0x7e2c_e151);
    for round in 0..rounds {
        let seed = rng.0;
        let mut text = SAMPLES[rng.below(SAMPLES.len())].as_bytes().to_vec();
        damage(&mut rng, &mut text);
        // A text frame that is not UTF-8 never gets past the WebSocket; here it must only not panic.
        if core::str::from_utf8(&text).is_ok()
            && let Err(difference) = compare(&mut sets[0], &text, &mut room)
        {
            panic!("round {round}, seed {seed:#x}: {difference}");
        }
        match sets[0].1.decode(&text, &mut room) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
        let _ = sets[0].1.snapshot(InstrumentId(4), &text, &mut room);
    }
    println!("{rounds} damaged messages: {read} read, {refused} refused");
    assert!(read > rounds / 50 && refused > rounds / 10, "the damage is too weak or too strong to say anything");
}

/// Messages of the form of the one before, but for a few bytes: digits in numbers, in names and in keys, and what lies beside
/// digits in ASCII. They read as serde_json reads them, whether the form is known or not.
#[test]
fn messages_of_a_known_form_read_as_serde_json_reads_them_fuzz() {
    const SPOT: [&str; 2] = [
        r#"{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#,
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#,
    ];
    const OTHERS: [&str; 4] = [
        r#"{"stream":"btcusd_perp@bookTicker","data":{"u":1007198632021,"e":"bookTicker","s":"BTCUSD_PERP","ps":"BTCUSD","b":"61804.7","B":"35","a":"61804.8","A":"1645","T":1723161257465,"E":1723161257476}}"#,
        r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":7,"s":"BTCUSDT","b":"1234567890.10","B":"12345678.507","a":"1.3","A":"2","T":9223372036854,"E":9223372036855}}"#,
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":9223372036854,"T":0,"s":"BTCUSDT","t":12345678901234567,"p":"0.3","q":"100000.006","X":"MARKET","m":true}}"#,
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":12345678,"T":1723161256322,"s":"BTCUSDT","t":123456789,"p":"1234567.30000","q":"00.5","X":"MARKET","m":false}}"#,
    ];
    const NEAR: &[u8] = b"0123456789012345678901234567890123456789/:.;-\"\0\x7fpA";
    let mut sets = decoders();
    let rounds = if std::env::var_os("TERCEL_SOAK").is_some() { 20_000_000 } else { 300_000 };
    let (mut room, mut rng) = (vec![Level::default(); 64], Rng(0x51a9_0b37));
    let (mut read, mut refused) = (0u64, 0u64);
    for round in 0..rounds {
        let seed = rng.0;
        let spot = usize::from(rng.below(4) == 0);
        let samples: Vec<&str> = if spot == 1 { SPOT.to_vec() } else { [&SAMPLES[..], &OTHERS].concat() };
        let mut text = samples[rng.below(samples.len())].as_bytes().to_vec();
        let digits: Vec<usize> = (0..text.len()).filter(|&at| text[at].is_ascii_digit()).collect();
        for _ in 0..rng.below(4) {
            let at = digits[rng.below(digits.len())];
            text[at] = NEAR[rng.below(NEAR.len())];
        }
        if let Err(difference) = compare(&mut sets[spot], &text, &mut room) {
            panic!("round {round}, seed {seed:#x}: {difference}");
        }
        let (fresh, warm) = (sets[spot].1.decode_any(&text, &mut room), sets[spot].1.decode(&text, &mut room));
        assert_eq!(warm, fresh, "round {round}, seed {seed:#x}: {}", String::from_utf8_lossy(&text));
        *(if warm.is_ok() { &mut read } else { &mut refused }) += 1;
    }
    println!("{rounds} messages of a known form: {read} read, {refused} refused");
    assert!(read > rounds / 10 && refused > rounds / 10, "the damage is too weak or too strong to say anything");
}

#[test]
fn refusals_name_the_place_the_reason_and_what_was_known() {
    let [mut set, _] = decoders();
    let mut refuse =
        |text: &str, room: usize| ours(&mut set.1, text.as_bytes(), &mut vec![Level::default(); room]).unwrap_err();
    let off_step = SAMPLES[0].replace("61641.50", "61641.55");
    let fault = refuse(&off_step, 64);
    assert_eq!((fault.why, fault.instrument), (Why::OffStep, Some(InstrumentId(4))));
    assert_eq!(fault.at, off_step.find("61641.55").unwrap());
    assert_eq!(refuse(SAMPLES[0], 4).why, Why::TooLarge);
    assert_eq!(refuse(&SAMPLES[0].replace("\"U\"", "\"V\""), 64).why, Why::Missing);
    assert_eq!(refuse(&SAMPLES[0].replace("\"U\"", "\"u\""), 64).why, Why::Twice);
    assert_eq!(refuse(&SAMPLES[0].replace("0.014", "-0.014"), 64).why, Why::Negative);
    assert_eq!(refuse(&SAMPLES[0][..150], 64).why, Why::Truncated);
    assert_eq!(
        ours(&mut set.1, SAMPLES[0].replace("BTCUSDT", "ETHUSDT").as_bytes(), &mut []).unwrap().0,
        Message::Foreign
    );
    assert_eq!(ours(&mut set.1, br#"{"result":null,"id":1}"#, &mut []).unwrap().0, Message::Other);
    let aggregate = r#"{"e":"aggTrade","E":1,"s":"BTCUSDT","a":5,"p":"0.01","q":"1","f":1,"l":1,"T":1,"m":true}"#;
    assert_eq!(ours(&mut set.1, aggregate.as_bytes(), &mut []).unwrap().0, Message::Other);
}

/// The comparison can fail: a reference with another lot finds a difference at once.
#[test]
fn a_planted_scale_error_is_caught() {
    let [(instruments, _), _] = decoders();
    let wrong = vec![instrument(4, "BTCUSDT", "0.10", "0.0001")];
    let mut set = (instruments, Decoder::new(&wrong));
    assert!(compare(&mut set, SAMPLES[3].as_bytes(), &mut [Level::default(); 64]).is_err());
}
