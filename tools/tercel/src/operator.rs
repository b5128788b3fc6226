//! Operator actions: from the control socket, signals and the watchdog to frames in the core's operator ring.
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tercel_event::{Body, Kill, Manifest, Mode, ParamSet, Rearm, Reason, Scope, TradingState, sources, write_frame};
use tercel_ring::FrameProducer;
use tercel_types::StrategyId;

/// Operator number of what an orderly end and the start after it do by themselves; people are 1.
const END: u32 = 2;

/// A kill that only ended a run: unlike any other, the next start takes it back.
pub fn is_end(kill: &Kill) -> bool {
    kill.operator == END && kill.scope == Scope::All as u8
}

/// Put by an end or a start, not by a person.
pub fn is_own(mode: &Mode) -> bool {
    mode.operator == END
}

/// What a start puts in place of `is_end`.
pub fn state_before_end(state: TradingState) -> Mode {
    let reason = u64::from(Reason::Operator as u16);
    Mode { operator: END, state: state as u8, scope: Scope::All as u8, id: 0, reason }
}

/// The operator's end of the operator ring; clones share it.
#[derive(Clone)]
pub struct Operator {
    ring: Arc<Mutex<(FrameProducer, u64)>>,
    strategies: Arc<Vec<Manifest>>,
    accounts: Arc<Vec<String>>,
}

impl Operator {
    pub fn new(ring: FrameProducer, strategies: Vec<Manifest>, accounts: Vec<String>) -> Self {
        Self { ring: Arc::new(Mutex::new((ring, 0))), strategies: Arc::new(strategies), accounts: Arc::new(accounts) }
    }

    fn push<B: Body>(&self, body: &B) -> Result<(), String> {
        let mut held = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let (ring, src_seq) = &mut *held;
        let mut frame = [0; 256];
        let len = write_frame(&mut frame, sources::OPERATOR, *src_seq + 1, 0, body, &[])
            .ok_or_else(|| "the action does not fit a frame".to_owned())?;
        ring.push(&frame[..len])
            .map_err(|_| "the operator ring is full: the core does not answer; use `tercel kill`".to_owned())?;
        *src_seq += 1;
        Ok(())
    }

    /// The end of a run: cancels everything and blocks new orders, until the next start takes it back.
    pub fn end_all(&self) -> Result<(), String> {
        self.push(&Kill { operator: END, scope: Scope::All as u8, ..Default::default() })
    }

    fn strategy(&self, name: &str) -> Result<(StrategyId, &Manifest), String> {
        let found = self.strategies.iter().position(|manifest| manifest.name == name);
        match found {
            Some(at) => Ok((StrategyId(at as u16), &self.strategies[at])),
            None => {
                let names: Vec<&str> = self.strategies.iter().map(|manifest| manifest.name.as_str()).collect();
                Err(format!("no strategy `{name}`; this run has {}", names.join(", ")))
            }
        }
    }

    /// The account of that name, which must be one of the run.
    fn account(&self, name: &str) -> Result<u16, String> {
        let found = self.accounts.iter().position(|account| account == name);
        found
            .map(|at| at as u16)
            .ok_or_else(|| format!("no account `{name}`; this run has {}", self.accounts.join(", ")))
    }

    /// Carries out one request of the control socket. The answer says in words what was done; it is done when the core takes
    /// the frame, which is its next one.
    pub fn request(&self, request: &Value) -> Result<Value, String> {
        let text = |key: &str| request[key].as_str().ok_or_else(|| format!("the request lacks the text `{key}`"));
        let said = match text("op")? {
            "param" => {
                let value = request["value"].as_f64().ok_or("the request lacks the number `value`")?;
                self.set_param(text("strategy")?, text("name")?, value)?
            }
            "mode" => {
                let (state, effect) = match text("state")? {
                    "active" => (TradingState::Active, "orders may leave again"),
                    "reducing" => (TradingState::Reducing, "only orders that reduce a position leave"),
                    "halted" => (TradingState::Halted, "working orders are cancelled and no order leaves"),
                    other => return Err(format!("no trading state `{other}`; there are active, reducing, halted")),
                };
                let (scope, id, who) = match (request["strategy"].as_str(), request["account"].as_str()) {
                    (None, None) => (Scope::All, 0, "everything".to_owned()),
                    (Some(name), None) => (Scope::Strategy, self.strategy(name)?.0.0, format!("strategy `{name}`")),
                    (None, Some(name)) => (Scope::Account, self.account(name)?, format!("account `{name}`")),
                    (Some(_), Some(_)) => return Err("name a strategy or an account, not both".into()),
                };
                let reason = u64::from(Reason::Operator as u16);
                self.push(&Mode { operator: 1, state: state as u8, scope: scope as u8, id, reason })?;
                format!("{who} is {}: {effect}", text("state")?)
            }
            "kill" => {
                let name = text("strategy")?;
                let (id, _) = self.strategy(name)?;
                self.push(&Kill { operator: 1, scope: Scope::Strategy as u8, reserved: 0, id: id.0 })?;
                format!(
                    "strategy `{name}` is halted: its working orders are cancelled, its position stays, and no order of it \
                     leaves until `mode active --strategy {name}`"
                )
            }
            "rearm" => {
                let name = text("strategy")?;
                let (id, _) = self.strategy(name)?;
                self.push(&Rearm { operator: 1, strategy: id, reserved: 0 })?;
                format!(
                    "verdicts of `{name}` are ended: pulls, flattens and halts of its limits and its own `halt`; a limit that is \
                     still broken acts again at once"
                )
            }
            other => return Err(format!("no operation `{other}`; there are param, mode, kill, rearm")),
        };
        Ok(json!({ "ok": true, "done": said }))
    }

    /// `value` is in the unit that the parameter is declared in; the core counts in base units.
    fn set_param(&self, strategy: &str, name: &str, value: f64) -> Result<String, String> {
        let (id, manifest) = self.strategy(strategy)?;
        let Some(at) = manifest.params.iter().position(|param| param.name == name) else {
            let names: Vec<&str> = manifest.params.iter().map(|param| param.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!("`{strategy}` has no parameter `{name}`; it has {known}"));
        };
        let param = &manifest.params[at];
        let (scale, unit) = match param.unit.as_str() {
            "bps" => (1e-4, " bps"),
            "percent" => (1e-2, " percent"),
            "duration" => (1.0, " s"),
            "int" | "ratio" | "real" | "1" => (1.0, ""),
            other => (1.0, other),
        };
        let unit = if unit.is_empty() || unit.starts_with(' ') { unit.to_owned() } else { format!(" {unit}") };
        let range = format!("{} .. {}{unit}", digits(param.lo / scale), digits(param.hi / scale));
        let base = value * scale;
        // The ends are meant to be reachable, whatever the conversion rounds.
        let base = [param.lo, param.hi].into_iter().find(|end| digits(end / scale) == digits(value)).unwrap_or(base);
        if param.lo == param.hi {
            return Err(format!(
                "`{name}` of `{strategy}` is declared without a range, so it stays {}",
                digits(param.lo / scale)
            ));
        }
        if !(base >= param.lo && base <= param.hi) {
            return Err(format!("{name} = {} is outside {range}; nothing is changed", digits(value)));
        }
        if param.unit == "int" && base.fract() != 0.0 {
            return Err(format!(
                "{name} = {} is no whole number, allowed is {range}; nothing is changed",
                digits(value)
            ));
        }
        self.push(&ParamSet { operator: 1, strategy: id, param_idx: at as u16, value: base })?;
        Ok(format!("`{name}` of `{strategy}` is {}{unit} (allowed {range}); a restart keeps it", digits(value)))
    }
}

/// A number as people write it: twelve digits at most, so that no conversion shows.
fn digits(value: f64) -> String {
    format!("{value:.11e}").parse::<f64>().map_or_else(|_| value.to_string(), |rounded| rounded.to_string())
}

/// The control socket of a run: one JSON object a line in, one a line out.
pub struct ControlSocket {
    listener: UnixListener,
    operator: Operator,
}

impl ControlSocket {
    pub fn bind(path: &Path, operator: Operator) -> std::io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, operator })
    }

    /// Serves at most one connection; `false` when nobody asked.
    pub fn turn(&mut self) -> bool {
        match self.listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = self.serve(stream) {
                    eprintln!("control socket: {error}");
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => {
                eprintln!("control socket: {error}");
                false
            }
        }
    }

    fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        // An operator who connects and says nothing must not hold up the next one.
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.set_write_timeout(Some(Duration::from_millis(500)))?;
        let mut line = String::new();
        BufReader::new(std::io::Read::take(&stream, 64 * 1024)).read_line(&mut line)?;
        let outcome = match serde_json::from_str(&line) {
            Ok(request) => self.operator.request(&request),
            Err(error) => Err(format!("not JSON: {error}")),
        };
        let answer = outcome.unwrap_or_else(|error| json!({ "ok": false, "error": error }));
        writeln!(&stream, "{answer}")
    }
}

/// Asks the engine of `dir` and returns its answer.
pub fn ask(dir: &Path, request: &Value) -> Result<Value, String> {
    let path = dir.join("control.sock");
    let stream = UnixStream::connect(&path).map_err(|error| {
        format!("no engine answers at {}: {error}; is a run with this directory alive?", path.display())
    })?;
    let talk = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        writeln!(&stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        Ok(line)
    };
    let line = talk().map_err(|error| format!("{}: {error}", path.display()))?;
    let answer: Value =
        serde_json::from_str(&line).map_err(|error| format!("the engine's answer is not JSON: {error}"))?;
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tercel_event::{Frame, ParamSpec};
    use tercel_ring::{PowerOfTwo, frames};

    fn operator() -> (Operator, tercel_ring::FrameConsumer) {
        let (producer, consumer) = frames(PowerOfTwo::new(1 << 17).unwrap());
        let spec = |name: &str, unit: &str, lo: f64, hi: f64| ParamSpec {
            name: name.into(),
            unit: unit.into(),
            default: lo,
            lo,
            hi,
        };
        let params = vec![
            spec("clip", "qty[x]", 0.001, 0.1),
            spec("veto", "bps", 0.0, 5.0 * 1e-4),
            spec("steps", "int", 1.0, 9.0),
            spec("fixed", "ratio", 0.5, 0.5),
        ];
        let manifest = Manifest { name: "as_maker".into(), params, ..Default::default() };
        (Operator::new(producer, vec![manifest], vec!["main".into()]), consumer)
    }

    #[test]
    fn every_answer_says_in_words_what_was_done_or_why_not() {
        let (operator, mut ring) = operator();
        let param =
            |name: &str, value: f64| json!({"op": "param", "strategy": "as_maker", "name": name, "value": value});
        for (request, wanted) in [
            (param("clip", 0.02), "`clip` of `as_maker` is 0.02 qty[x] (allowed 0.001 .. 0.1 qty[x])"),
            (param("veto", 5.0), "`veto` of `as_maker` is 5 bps (allowed 0 .. 5 bps)"),
            (json!({"op": "mode", "state": "halted"}), "everything is halted: working orders are cancelled"),
            (
                json!({"op": "mode", "state": "active", "strategy": "as_maker"}),
                "strategy `as_maker` is active: orders may leave",
            ),
            (
                json!({"op": "mode", "state": "reducing", "account": "main"}),
                "account `main` is reducing: only orders that reduce",
            ),
            (json!({"op": "kill", "strategy": "as_maker"}), "until `mode active --strategy as_maker`"),
            (json!({"op": "rearm", "strategy": "as_maker"}), "verdicts of `as_maker` are ended"),
        ] {
            let answer = operator.request(&request).unwrap();
            assert!(answer["done"].as_str().unwrap().contains(wanted), "{answer}");
            ring.peek().expect("an action is a frame");
            ring.release();
        }
        for (request, wanted) in [
            (param("veto", 5.1), "veto = 5.1 is outside 0 .. 5 bps; nothing is changed"),
            (param("steps", 2.5), "no whole number"),
            (param("fixed", 0.6), "declared without a range, so it stays 0.5"),
            (param("size", 1.0), "`as_maker` has no parameter `size`; it has clip, veto, steps, fixed"),
            (json!({"op": "mode", "state": "active", "account": "side"}), "no account `side`; this run has main"),
        ] {
            let error = operator.request(&request).unwrap_err();
            assert!(error.contains(wanted), "{error}");
            assert!(ring.peek().is_none(), "a refusal is no frame");
        }
    }

    #[test]
    fn a_parameter_becomes_a_frame_and_a_bad_one_does_not() {
        let (operator, mut ring) = operator();
        let set = |value: f64| json!({"op": "param", "strategy": "as_maker", "name": "clip", "value": value});
        assert!(operator.request(&set(0.5)).unwrap_err().contains("outside 0.001 .. 0.1"));
        assert!(
            operator
                .request(&json!({"op": "param", "strategy": "x", "name": "clip", "value": 1}))
                .unwrap_err()
                .contains("as_maker")
        );
        assert!(ring.peek().is_none());
        operator.request(&set(0.02)).unwrap();
        let frame = Frame::parse(ring.peek().unwrap()).unwrap();
        let body: ParamSet = frame.body().unwrap();
        assert_eq!((body.param_idx, body.value), (0, 0.02));
    }

    #[test]
    fn the_socket_answers_in_lines() {
        let dir = std::env::temp_dir().join(format!("tercel-control-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (operator, _ring) = operator();
        let mut socket = ControlSocket::bind(&dir.join("control.sock"), operator).unwrap();
        let asker = {
            let dir = dir.clone();
            std::thread::spawn(move || {
                (
                    ask(&dir, &json!({"op": "mode", "state": "halted"})),
                    ask(&dir, &json!({"op": "mode", "state": "asleep"})),
                )
            })
        };
        while !asker.is_finished() {
            socket.turn();
        }
        let (good, bad) = asker.join().unwrap();
        assert_eq!(good.unwrap()["ok"], true);
        assert!(bad.unwrap_err().contains("active, reducing, halted"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
