//! What trades in the simulation: a quoter and a taker written by hand, and the interpreter on a strategy of the repository.
use tercel_event::{
    ClockSource, Desires, Field, Input, Instant, InstrumentBinding, LegSpec, Manifest, ParamError, ParamSpec,
    QuoteWith, SinkSpec, Strategy, Via, mix64,
};
use tercel_graph::Interp;
use tercel_types::{Side, TimeNs};

/// Number of the quoter, and how many strategies there are, in the order of `all`.
pub const QUOTER: u16 = 0;
pub const COUNT: usize = 3;

const AS_MAKER: &str = include_str!("../../../strategies/as_maker.strat");

/// Quoter, taker and the interpreted maker.
pub fn all() -> Vec<Box<dyn Strategy>> {
    let compiled = tercel_lang::compile(AS_MAKER, "as_maker.strat").unwrap_or_else(|d| panic!("{}", d.render()));
    let maker = Interp::new(compiled.program, compiled.manifest).unwrap_or_else(|error| panic!("{error}"));
    vec![Box::new(Quoter::new()), Box::new(Taker::new()), Box::new(maker)]
}

fn manifest(name: &str, inputs: &[Field]) -> Manifest {
    Manifest {
        name: name.into(),
        version: 1,
        hash: mix64(name.len() as u64),
        instruments: vec![InstrumentBinding {
            alias: "x".into(),
            kind: "perp".into(),
            base: "BTC".into(),
            quote: "USDT".into(),
        }],
        inputs: inputs.iter().map(|&field| Input::Instrument { instrument: 0, field }).collect(),
        clocks: vec![
            ClockSource::Book(0),
            ClockSource::Exec(0),
            ClockSource::Timer,
            ClockSource::Param,
            ClockSource::Control,
            ClockSource::Quality(0),
        ],
        ..Manifest::default()
    }
}

/// Two-sided, post-only, 10 lots at the touch less an offset; leans one step against a position of more than 40 lots.
struct Quoter {
    manifest: Manifest,
    offset: f64,
    instants: u64,
}

impl Quoter {
    fn new() -> Self {
        let fields = [Field::BidPx(0), Field::AskPx(0), Field::Position];
        let mut manifest = manifest("quoter", &fields);
        manifest.params = vec![ParamSpec { name: "offset".into(), unit: "".into(), default: 0.0, lo: 0.0, hi: 1.0 }];
        manifest.sinks = vec![SinkSpec::Quote {
            instrument: 0,
            legs: vec![LegSpec { side: Side::Buy }, LegSpec { side: Side::Sell }],
            first_slot: 0,
            with: QuoteWith { post_only: true, keep_slot: None, keep_qty_slot: None },
        }];
        manifest.values_len = 4;
        Self { manifest, offset: 0.0, instants: 0 }
    }
}

impl Strategy for Quoter {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        self.instants += 1;
        let &[bid, ask, position] = instant.inputs else { return };
        let (lean_bid, lean_ask) =
            (if position > 0.040 { 0.1 } else { 0.0 }, if position < -0.040 { 0.1 } else { 0.0 });
        // An unknown position makes both quantities absent: nothing is wanted until it is known.
        let qty = 0.010 + 0.0 * position;
        out.owners[0] = 0;
        out.values.copy_from_slice(&[bid - self.offset - lean_bid, qty, ask + self.offset + lean_ask, qty]);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        None
    }

    fn set_param(&mut self, _: usize, value: f64) -> Result<(), ParamError> {
        self.offset = value;
        Ok(())
    }

    fn digest(&self) -> u64 {
        mix64(self.instants ^ self.offset.to_bits())
    }

    fn mode_name(&self) -> &str {
        ""
    }
}

/// Wants another position every 400 ms, by a hash of the time, from −6 to 6 lots, by immediate orders at the touch.
struct Taker {
    manifest: Manifest,
    next: TimeNs,
}

const STRIDE: i64 = 400_000_000;

impl Taker {
    fn new() -> Self {
        let mut manifest = manifest("taker", &[Field::Position]);
        manifest.sinks = vec![SinkSpec::Target { instrument: 0, slot: 0, via: Via::Aggressive { max_slip_slot: 1 } }];
        manifest.values_len = 2;
        Self { manifest, next: TimeNs(0) }
    }
}

impl Strategy for Taker {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn on_instant(&mut self, instant: &Instant<'_>, out: &mut Desires) {
        let slot = instant.now.0.div_euclid(STRIDE);
        self.next = TimeNs((slot + 1) * STRIDE);
        let target = (mix64(slot as u64) % 13) as i64 - 6;
        out.owners[0] = 0;
        out.values.copy_from_slice(&[target as f64 / 1_000.0, 0.001]);
    }

    fn next_deadline(&self) -> Option<TimeNs> {
        Some(self.next)
    }

    fn set_param(&mut self, idx: usize, _: f64) -> Result<(), ParamError> {
        Err(ParamError::Unknown { idx, count: 0 })
    }

    fn digest(&self) -> u64 {
        mix64(self.next.0 as u64)
    }

    fn mode_name(&self) -> &str {
        "taking"
    }
}
