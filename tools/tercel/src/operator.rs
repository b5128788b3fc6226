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
}

impl Operator {
    pub fn new(ring: FrameProducer, strategies: Vec<Manifest>) -> Self {
        Self { ring: Arc::new(Mutex::new((ring, 0))), strategies: Arc::new(strategies) }
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

    pub fn mode_all(&self, state: TradingState) -> Result<(), String> {
        let reason = u64::from(Reason::Operator as u16);
        self.push(&Mode { operator: 1, state: state as u8, scope: Scope::All as u8, id: 0, reason })
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

    /// Carries out one request of the control socket.
    pub fn request(&self, request: &Value) -> Result<Value, String> {
        let text = |key: &str| request[key].as_str().ok_or_else(|| format!("the request lacks the text `{key}`"));
        match text("op")? {
            "param" => {
                let (id, manifest) = self.strategy(text("strategy")?)?;
                let name = text("name")?;
                let value = request["value"].as_f64().ok_or("the request lacks the number `value`")?;
                let found = manifest.params.iter().position(|param| param.name == name);
                let Some(at) = found else {
                    let names: Vec<&str> = manifest.params.iter().map(|param| param.name.as_str()).collect();
                    return Err(format!("`{}` has no parameter `{name}`; it has {}", manifest.name, names.join(", ")));
                };
                let param = &manifest.params[at];
                if !(value >= param.lo && value <= param.hi) {
                    return Err(format!("{name} = {value} is outside {} .. {} {}", param.lo, param.hi, param.unit));
                }
                self.push(&ParamSet { operator: 1, strategy: id, param_idx: at as u16, value })?;
            }
            "mode" => self.mode_all(match text("state")? {
                "active" => TradingState::Active,
                "reducing" => TradingState::Reducing,
                "halted" => TradingState::Halted,
                other => return Err(format!("no trading state `{other}`; there are active, reducing, halted")),
            })?,
            "kill" => {
                let (id, _) = self.strategy(text("strategy")?)?;
                self.push(&Kill { operator: 1, scope: Scope::Strategy as u8, reserved: 0, id: id.0 })?;
            }
            "rearm" => {
                let (id, _) = self.strategy(text("strategy")?)?;
                self.push(&Rearm { operator: 1, strategy: id, reserved: 0 })?;
            }
            other => return Err(format!("no operation `{other}`; there are param, mode, kill, rearm")),
        }
        Ok(json!({ "ok": true }))
    }
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
        let param = ParamSpec { name: "clip".into(), unit: "qty[x]".into(), default: 0.01, lo: 0.001, hi: 0.1 };
        let manifest = Manifest { name: "as_maker".into(), params: vec![param], ..Default::default() };
        (Operator::new(producer, vec![manifest]), consumer)
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
